"""A background job with its row on the job board, its way to be cancelled, and its end told exactly once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from segstudio.core.errors import Cancelled
from segstudio.core.jobs import CancelToken, JobState, Progress

if TYPE_CHECKING:
    from segstudio.formats.base import ProgressCallback
    from segstudio.services.workspace import Workspace

T = TypeVar("T")


def run_transfer(
    workspace: Workspace,
    title: str,
    work: Callable[[CancelToken, ProgressCallback], T],
    *,
    on_done: Callable[[T], None],
    on_error: Callable[[BaseException], None],
    on_cancel: Callable[[], None] | None = None,
    on_stopped: Callable[[], None] | None = None,
) -> Callable[[], None]:
    """Starts `work` on a background thread; returns a function that cancels it.

    Exactly one of `on_done`, `on_error` and `on_cancel` follows. A cancel counts at once, while `work` may still finish
    what it has in hand: `on_stopped` follows then, when nothing more reaches the disk.
    """
    stop = CancelToken()
    over = False

    def stoppable(_token: CancelToken) -> T | None:
        try:
            return None if stop.cancelled else work(stop, report)
        except Cancelled:
            return None

    def end(state: JobState) -> bool:
        nonlocal over
        first, over = not over, True
        if first:
            workspace.jobs.finish(job, state)
        return first

    def cancel() -> None:
        stop.cancel()
        if end(JobState.CANCELLED) and on_cancel is not None:
            on_cancel()

    def done(result: T | None) -> None:
        if result is not None and end(JobState.DONE):
            on_done(result)
        elif on_stopped is not None:
            on_stopped()

    def failed(error: BaseException) -> None:
        if end(JobState.FAILED):
            on_error(error)
        elif on_stopped is not None:
            on_stopped()

    def report(progress: Progress) -> None:
        workspace.dispatch(lambda: None if over else workspace.jobs.progress(job, progress.fraction, progress.text))

    job = workspace.jobs.add(title, cancel)
    workspace.tasks.run(stoppable, done, failed)
    return cancel
