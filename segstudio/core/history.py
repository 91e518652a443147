"""Undo and redo of one image, bounded by bytes rather than steps."""

from __future__ import annotations

from collections import deque
from typing import Final

from segstudio.core.edits import Edit
from segstudio.core.segmentmap import SegmentMap

DEFAULT_BUDGET_BYTES: Final = 64 << 20


class History:
    """Edits done and undone. The oldest are forgotten once all together outgrow the budget; the last never is."""

    def __init__(self, budget_bytes: int = DEFAULT_BUDGET_BYTES) -> None:
        self._budget = budget_bytes
        self._done: deque[Edit] = deque()
        self._undone: list[Edit] = []

    @property
    def can_undo(self) -> bool:
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        return bool(self._undone)

    @property
    def undo_name(self) -> str:
        """Name of the edit `undo` would take back, empty where there is none."""
        return self._done[-1].name if self._done else ""

    @property
    def redo_name(self) -> str:
        """Name of the edit `redo` would do again, empty where there is none."""
        return self._undone[-1].name if self._undone else ""

    @property
    def nbytes(self) -> int:
        """Bytes held by all edits, done and undone."""
        return sum(e.nbytes for e in self._done) + sum(e.nbytes for e in self._undone)

    def push(self, edit: Edit) -> None:
        """Adds an edit that has just been made; what was undone can no longer be redone."""
        self._undone.clear()
        self._done.append(edit)
        while self.nbytes > self._budget and len(self._done) > 1:
            self._done.popleft()

    def undo(self, target: SegmentMap) -> Edit | None:
        """Reverts the last edit in `target` and returns it, or None where there is none."""
        if not self._done:
            return None
        edit = self._done.pop()
        edit.revert(target)
        self._undone.append(edit)
        return edit

    def redo(self, target: SegmentMap) -> Edit | None:
        """Does the last undone edit again in `target` and returns it, or None where there is none."""
        if not self._undone:
            return None
        edit = self._undone.pop()
        edit.apply(target)
        self._done.append(edit)
        return edit
