"""One open image: its pixels, its segment map, its proposal, and every way a person may change the map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import IGNORE, Catalog
from segstudio.core.edits import Edit, EditBuilder
from segstudio.core.events import Change, ChangeSet, Signal
from segstudio.core.geometry import Rect
from segstudio.core.history import History
from segstudio.core.items import ImageItem
from segstudio.core.prediction import NO_OPINION, Prediction
from segstudio.core.segmentmap import SegmentMap

Mask = npt.NDArray[np.bool_]
EditKind = Literal["apply", "revert"]
_STRIP_ROWS: Final = 512


class Annotator:
    """What the canvas and the tools work on.

    Attributes:
        item: The image's row; replaced when its status changes.
        rgb: (H, W, 3) uint8.
        map: The segment map; written only through gestures, undo and redo.
        prediction: The proposal, or None.
        changed: Emits PIXELS (with the rectangle), PROPOSAL and HISTORY.
        revision: Grows with every edit, undo and redo.
    """

    def __init__(
        self,
        item: ImageItem,
        rgb: npt.NDArray[np.uint8],
        segment_map: SegmentMap,
        *,
        catalog: Callable[[], Catalog],
        on_edit: Callable[[Annotator, EditKind, Edit], None],
        history: History | None = None,
    ) -> None:
        self.item = item
        self.rgb = rgb
        self.map = segment_map
        self.history = history or History()
        self.prediction: Prediction | None = None
        self.changed: Signal[ChangeSet] = Signal()
        self.revision = item.revision
        self.saved_revision = item.revision
        self._catalog = catalog
        self._on_edit = on_edit
        self._gesture: Gesture | None = None

    @property
    def catalog(self) -> Catalog:
        """The project's classes as they are now."""
        return self._catalog()

    @property
    def locked_ids(self) -> frozenset[int]:
        """Classes that must not be painted over."""
        return frozenset(c.id for c in self.catalog if c.locked)

    @property
    def dirty(self) -> bool:
        """True where the map holds something the store does not."""
        return self.revision != self.saved_revision

    def begin(self, name: str) -> Gesture:
        """Starts a gesture; everything painted until its commit is one undoable edit."""
        if self._gesture is not None:
            self._gesture.abort()
        self._gesture = Gesture(self, name)
        return self._gesture

    def undo(self) -> Rect | None:
        """Takes the last edit back; None where there is none or a gesture is under way."""
        edit = None if self._gesture else self.history.undo(self.map)
        return self._stepped(edit, "revert")

    def redo(self) -> Rect | None:
        """Does the last undone edit again; None where there is none or a gesture is under way."""
        edit = None if self._gesture else self.history.redo(self.map)
        return self._stepped(edit, "apply")

    def set_prediction(self, prediction: Prediction | None) -> None:
        """Shows another proposal, or none; the map is not touched."""
        if prediction is not None and prediction.labels.shape != self.map.shape:
            raise ValueError(f"a proposal of {prediction.labels.shape} for an image of {self.map.shape}")
        self.prediction = prediction
        self._emit(Change.PROPOSAL, Rect.of_shape(self.map.shape))

    def accept_all(self) -> int:
        """Takes what is proposed for every undecided pixel, as one edit; returns how many pixels."""
        return self._accept("Accept proposal", lambda rect: np.ones((rect.height, rect.width), dtype=np.bool_))

    def accept_class(self, class_id: int) -> int:
        """Takes the proposal for the undecided pixels it gives to one class; returns how many pixels."""
        prediction = self.prediction
        if prediction is None or class_id not in self.catalog:
            return 0
        name = f"Accept {self.catalog[class_id].name}"
        return self._accept(name, lambda rect: prediction.labels[rect.slices] == class_id)

    def reject(self) -> None:
        """Drops the proposal."""
        if self.prediction is not None:
            self.set_prediction(None)

    def complete(self) -> tuple[int, int]:
        """Decides what is still open, as one edit: by the proposal where it has an opinion, else as background.

        Without an opinion and without a background class, open pixels stay undecided ignore.

        Returns:
            Pixels taken from the proposal, pixels taken as background.
        """
        background = self.catalog.background_id
        gesture = self.begin("Mark reviewed")
        proposed = filled = 0
        for rect in self._strips():
            everything = np.ones((rect.height, rect.width), dtype=np.bool_)
            proposed += gesture.accept(everything, rect.top, rect.left)
            open_pixels = ~self.map.decided[rect.slices]
            if background is not None and open_pixels.any():
                filled += gesture.paint(open_pixels, rect.top, rect.left, background)
        gesture.commit()
        return proposed, filled

    def _accept(self, name: str, choose: Callable[[Rect], Mask]) -> int:
        if self.prediction is None:
            return 0
        gesture = self.begin(name)
        count = sum(gesture.accept(choose(rect), rect.top, rect.left) for rect in self._strips())
        gesture.commit()
        return count

    def _strips(self) -> list[Rect]:
        """The image in strips, so that masks of a large image stay small."""
        height, width = self.map.shape
        return [Rect(top, 0, min(_STRIP_ROWS, height - top), width) for top in range(0, height, _STRIP_ROWS)]

    def _stepped(self, edit: Edit | None, kind: EditKind) -> Rect | None:
        if edit is None:
            return None
        self._recorded(kind, edit)
        self._emit(Change.PIXELS, edit.rect)
        return edit.rect

    def _recorded(self, kind: EditKind, edit: Edit) -> None:
        self.revision += 1
        self._on_edit(self, kind, edit)
        self._emit(Change.HISTORY, None)

    def _ended(self, edit: Edit | None) -> None:
        self._gesture = None
        if edit is not None:
            self.history.push(edit)
            self._recorded("apply", edit)

    def _emit(self, what: Change, rect: Rect | None) -> None:
        self.changed.emit(ChangeSet(what, self.item.id, rect))


class Gesture:
    """From press to release: paints at once, becomes one edit on commit, leaves no trace on abort."""

    def __init__(self, annotator: Annotator, name: str) -> None:
        self._annotator = annotator
        self._builder = EditBuilder(annotator.map, name)
        self._locked = sorted(annotator.locked_ids)
        self._open = True
        self.dirty = Rect.EMPTY

    def paint(self, mask: Mask, top: int, left: int, class_id: int) -> int:
        """Gives the pixels under an (h, w) bool mask at (top, left) to a class or to IGNORE; returns how many.

        Pixels of locked classes stay as they are.
        """
        if class_id != IGNORE and class_id not in self._annotator.catalog:
            raise ValueError(f"class {class_id} is not in the catalog")
        return self._write(mask, top, left, np.uint16(class_id), decided=True)

    def erase(self, mask: Mask, top: int, left: int) -> int:
        """Makes the pixels under the mask undecided again; returns how many."""
        return self._write(mask, top, left, np.uint16(IGNORE), decided=False)

    def accept(self, mask: Mask, top: int, left: int, *, overwrite: bool = False) -> int:
        """Takes the proposal's labels under the mask, on undecided pixels only unless `overwrite`; returns how many.

        Pixels without an opinion stay as they are.
        """
        prediction = self._annotator.prediction
        if prediction is None:
            return 0
        rect = Rect(top, left, *mask.shape).clipped(*self._annotator.map.shape)
        labels = prediction.labels[rect.slices].astype(np.uint16)
        wanted = mask[rect.top - top : rect.bottom - top, rect.left - left : rect.right - left]
        wanted = wanted & (labels != NO_OPINION)
        if not overwrite:
            wanted = wanted & ~self._annotator.map.decided[rect.slices]
        return self._write(wanted, rect.top, rect.left, labels, decided=True)

    def commit(self) -> Edit | None:
        """Ends the gesture; its edit goes into the history and the journal. None where nothing changed."""
        if not self._open:
            return None
        self._open = False
        edit = self._builder.commit()
        self._annotator._ended(edit)
        return edit

    def abort(self) -> None:
        """Ends the gesture and restores every pixel it painted."""
        if not self._open:
            return
        self._open = False
        rect = self._builder.abort()
        self._annotator._ended(None)
        if not rect.is_empty:
            self._annotator._emit(Change.PIXELS, rect)

    def _write(
        self, mask: Mask, top: int, left: int, value: np.uint16 | npt.NDArray[np.uint16], *, decided: bool
    ) -> int:
        target = self._annotator.map
        rect = Rect(top, left, *mask.shape).clipped(*target.shape)
        if not self._open or rect.is_empty:
            return 0
        inside = mask[rect.top - top : rect.bottom - top, rect.left - left : rect.right - left]
        if self._locked:
            inside = inside & ~np.isin(target.semantic(rect), self._locked)
        count = int(np.count_nonzero(inside))
        if count == 0:
            return 0
        self._builder.touch(rect)
        np.copyto(target.ids[rect.slices], value, where=inside)
        target.decided[rect.slices][inside] = decided
        self.dirty = self.dirty.union(rect)
        self._annotator._emit(Change.PIXELS, rect)
        return count
