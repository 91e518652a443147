"""Keeps what a person did: every edit in the journal at once, the whole map a moment later."""

from __future__ import annotations

import time
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any, Final

from segstudio.core.errors import UserError
from segstudio.core.events import Change
from segstudio.core.items import Status
from segstudio.services.annotating import Annotator

if TYPE_CHECKING:
    from segstudio.services.workspace import Workspace

_AUTOSAVE_DELAY_S: Final = 1.5
_RETRY_DELAY_S: Final = 10.0
_LONGEST_PAUSE_S: Final = 60.0
_JOURNAL_PATIENCE_S: Final = 0.05
_JOURNAL: Final = "journal"
_MAP: Final = "map"


class Saver:
    """Autosave. A failed save says so once, keeps everything in memory and in the journal, and tries again.

    The complaint ends once the maps of all images and the journal are on disk.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._refused: set[tuple[str, int]] = set()  # what of which image the disk refused
        self._busy_since: dict[int, float] = {}
        self._last_edit = 0.0

    @property
    def failing(self) -> bool:
        """True while the disk refuses."""
        return bool(self._refused)

    def journal(self, image_id: int, payload: bytes) -> None:
        """Writes an edit in order; a refusal is shown like a failed save.

        Waits for the disk, a tenth of a millisecond as a rule, so that a finished stroke survives whatever happens
        next; a disk that is slower than a person notices is not waited for.
        """
        future: Future[Any] = self._workspace.project.post("journal", image_id, payload)
        wait([future], timeout=_JOURNAL_PATIENCE_S)
        workspace = self._workspace
        future.add_done_callback(lambda f: workspace.dispatch(lambda: self._judge(_JOURNAL, image_id, f.exception())))

    def watch(self, future: Future[Any]) -> None:
        """Shows it once where the disk refuses a small thing that is found out again anyway (status, size)."""
        workspace = self._workspace
        future.add_done_callback(lambda f: workspace.dispatch(lambda: self._complain(f.exception())))

    def soon(self, annotator: Annotator) -> None:
        """Asks for a save a moment after the last edit."""
        now = time.monotonic()
        # Long pauses are coffee, not work: they do not count as time spent on the image.
        if now - self._last_edit < _LONGEST_PAUSE_S:
            spent = self._busy_since.get(annotator.item.id, 0.0)
            self._busy_since[annotator.item.id] = spent + now - self._last_edit
        self._last_edit = now
        self._workspace.tasks.later(_timer(annotator), _AUTOSAVE_DELAY_S, lambda: self.save(annotator))

    def save(self, annotator: Annotator, *, status: Status | None = None) -> None:
        """Stores the map on a task's thread; a SAVED change says when. Nothing to do where nothing changed."""
        workspace = self._workspace
        workspace.tasks.forget(_timer(annotator))
        if not annotator.dirty and status is None:
            return
        image_id, revision, snapshot = annotator.item.id, annotator.revision, annotator.map.copy()
        seconds = self._busy_since.pop(image_id, 0.0)
        workspace.tasks.run(
            lambda _token: self._store(image_id, revision, snapshot, seconds, status),
            lambda _none: self._stored(annotator, revision),
            lambda error: self._failed(annotator, status, error),
        )

    def save_now(self) -> None:
        """Stores the current image's map before returning.

        Raises nothing for a person's error: it is shown, and the journal still holds every edit.
        """
        annotator = self._workspace.current
        if annotator is None or not annotator.dirty:
            return
        self._workspace.tasks.forget(_timer(annotator))
        try:
            seconds = self._busy_since.pop(annotator.item.id, 0.0)
            self._store(annotator.item.id, annotator.revision, annotator.map, seconds, None)
        except UserError as error:
            self._judge(_MAP, annotator.item.id, error)
            return
        self._stored(annotator, annotator.revision)

    def _store(self, image_id: int, revision: int, segment_map: Any, seconds: float, status: Status | None) -> None:
        project = self._workspace.project
        project.save_map(image_id, segment_map, revision=revision, seconds=seconds, status=status)

    def _stored(self, annotator: Annotator, revision: int) -> None:
        annotator.saved_revision = max(annotator.saved_revision, revision)
        self._judge(_MAP, annotator.item.id, None)
        self._workspace.refresh_item(annotator.item.id)
        self._workspace.emit(Change.SAVED | Change.STATUS, annotator.item.id)

    def _failed(self, annotator: Annotator, status: Status | None, error: BaseException) -> None:
        self._judge(_MAP, annotator.item.id, error)
        if isinstance(error, UserError):
            self._workspace.tasks.later(_timer(annotator), _RETRY_DELAY_S, lambda: self.save(annotator, status=status))

    def _judge(self, what: str, image_id: int, error: BaseException | None) -> None:
        """Complains once, and says when the last thing the disk had refused is saved."""
        if error is not None:
            if isinstance(error, UserError):
                self._complain(error)
                self._refused.add((what, image_id))
                self._workspace.emit(Change.SAVED)
            else:
                self._workspace.report(error)
        elif self._refused:
            # A map contains its image's strokes; a stroke takes all that wait for the journal to disk with it.
            saved = {one for one in self._refused if (one[0] == what if what == _JOURNAL else one[1] == image_id)}
            self._refused -= saved
            if not self._refused:
                self._workspace.say("success", "Everything is saved again.")
                self._workspace.emit(Change.SAVED)

    def _complain(self, error: BaseException | None) -> None:
        if error is not None and not (self._refused and isinstance(error, UserError)):
            self._workspace.report(error)


def _timer(annotator: Annotator) -> str:
    return f"autosave {annotator.item.id}"
