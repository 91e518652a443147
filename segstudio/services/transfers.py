"""A background job with its row on the job board, its way to be cancelled, and its end told exactly once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

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
) -> Callable[[], None]:
    """Starts `work` on a background thread; returns a function that cancels it. Exactly one callback follows."""
    tokens: list[CancelToken] = []
    over = False

    def end(state: JobState) -> bool:
        nonlocal over
        first, over = not over, True
        if first:
            workspace.jobs.finish(job, state)
        return first

    def cancel() -> None:
        for token in tokens:
            token.cancel()
        if end(JobState.CANCELLED) and on_cancel is not None:
            on_cancel()

    def done(result: T) -> None:
        if end(JobState.DONE):
            on_done(result)

    def failed(error: BaseException) -> None:
        if end(JobState.FAILED):
            on_error(error)

    def report(progress: Progress) -> None:
        workspace.dispatch(lambda: None if over else workspace.jobs.progress(job, progress.fraction, progress.text))

    job = workspace.jobs.add(title, cancel)
    tokens.append(workspace.tasks.run(lambda token: work(token, report), done, failed))
    return cancel
