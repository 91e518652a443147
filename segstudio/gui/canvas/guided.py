"""The canvas with what panels show on it: how far kernels reach, before beside after, and pixels pointed out."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QEvent, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QFocusEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from segstudio.core.events import Change, ChangeSet
from segstudio.core.geometry import Rect
from segstudio.gui.canvas.compare import Comparison
from segstudio.gui.canvas.marked import Marks, MarksLayer
from segstudio.gui.canvas.overlay import Overlay
from segstudio.gui.canvas.reach import Reach, ReachMark
from segstudio.gui.canvas.widget import CanvasWidget
from segstudio.services.annotating import Annotator

_MIDDLE: Final = 0.5


class GuidedCanvas(CanvasWidget):
    """The canvas with guides over the image. They only show; the tools go on working on the proposal as it is.

    `split_moved` tells the fraction (0 to 1) of the image that shows before, once a person moved the line.
    """

    split_moved = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._comparison = Comparison()
        self._before: Overlay | None = None
        self._dragged = self._over_line = False
        self._reach: Reach | None = None
        self._mark = ReachMark()
        self._marked = QRectF()
        self._marks: MarksLayer | None = None

    # -- how far the kernels reach

    @property
    def reach(self) -> Reach | None:
        """The kernels shown around the pointer, or None."""
        return self._reach

    def set_reach(self, reach: Reach | None) -> None:
        """Shows how far kernels reach around the pointer (or the middle of what is on show), or no longer."""
        self._reach = reach
        self._move_mark()

    def _reach_center(self) -> QPointF:
        if self._pointer is not None and self.context.contains(self._pointer):
            return QPointF(self._pointer.x, self._pointer.y)
        seen = self.viewport.visible()
        return QPointF(seen.left + seen.width / 2, seen.top + seen.height / 2)

    def _move_mark(self) -> None:
        """Redraws the circles where they were and where they are now."""
        now = QRectF()
        if self._reach is not None and self.document is not None:
            now = self._mark.bounds(self._reach, self._reach_center(), self.viewport)
        both, self._marked = self._marked.united(now), now
        if not both.isEmpty():
            area = both.toAlignedRect()
            self._update_device(area.left(), area.top(), area.right() + 1, area.bottom() + 1)

    def update_preview(self) -> None:
        super().update_preview()
        if self._reach is not None:
            self._move_mark()

    # -- pixels pointed out

    @property
    def marks(self) -> Marks | None:
        """The pixels pointed out, or None."""
        return self._marks.marks if self._marks is not None else None

    def set_marks(self, marks: Marks | None) -> None:
        """Points out pixels of the image on show until it is left or Esc is pressed, or no longer."""
        if marks is not None or self._marks is not None:
            self._marks = MarksLayer(marks) if marks is not None else None
            self.update()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self._marks is not None and not self.gesture_active:
            self.set_marks(None)
        else:
            super().keyPressEvent(event)

    # -- before and after

    @property
    def split(self) -> float:
        """The fraction of the image's width on show that shows before, from the left."""
        return self._comparison.fraction

    def set_split(self, fraction: float) -> None:
        """Shows a part of the image, from the left, as it was before the refinement: 0 nothing, 1 all."""
        self._comparison.fraction = min(max(fraction, 0.0), 1.0)
        self._follow_pointer()
        self.update()

    def toggle_split(self) -> None:
        """Puts the line into the middle, or takes it away."""
        self.set_split(0.0 if self._comparison.fraction > 0 else _MIDDLE)
        self.split_moved.emit(self.split)

    def hold_before(self, *, held: bool) -> None:
        """Shows all of the image as it was before the refinement, as long as this is held."""
        if self._comparison.held != held:
            self._comparison.held = held
            self.update()

    @property
    def comparing(self) -> bool:
        """True while a part of the image shows before."""
        return self._before_labels() is not None and self._comparison.split(self.viewport) is not None

    def set_document(self, annotator: Annotator | None) -> None:
        self._before, self._dragged, self._mark, self._marks = None, False, ReachMark(), None
        super().set_document(annotator)

    def refresh_colors(self) -> None:
        if self._before is not None and self.document is not None:
            self._before.set_catalog(self.document.catalog)
        super().refresh_colors()

    def _on_changed(self, change: ChangeSet) -> None:
        if self._before is not None and Change.PIXELS in change.what:
            self._before.invalidate(change.rect or Rect(0, 0, *reversed(self.viewport.image)))
        super()._on_changed(change)

    def _before_labels(self) -> npt.NDArray[np.uint8] | None:
        """(H, W) uint8 class ids from before the refinement, or None where there is nothing to compare."""
        prediction = self.document.prediction if self.document is not None and self.proposal_visible else None
        refinement = prediction.refinement if prediction is not None else None
        return refinement.before.labels if refinement is not None else None

    def _compare(self) -> None:
        """Tells the renderer which labels go on which side of the line."""
        renderer, labels = self._renderer, self._before_labels()
        if renderer is None or self.document is None:
            return
        if labels is None:
            self._before = None
        split = self._comparison.split(self.viewport) if labels is not None else None
        if split is not None and (self._before is None or self._before.proposal is not labels):
            self._before = Overlay(self.document.map, self.document.catalog)
            self._before.set_proposal(labels)
        renderer.before, renderer.split = (self._before, split) if split is not None else (None, 0)

    # -- drawing

    def paintEvent(self, event: QPaintEvent) -> None:
        self._compare()
        super().paintEvent(event)
        document = self.document
        if document is None:
            return
        painter = QPainter(self)
        painter.scale(1 / self.viewport.ratio, 1 / self.viewport.ratio)
        if self._marks is not None:
            self._marks.paint(painter, self.viewport)
        if self.comparing and not self.overlay_hidden:
            self._comparison.paint(painter, self.viewport)
        if self._reach is not None:
            self._mark.paint(painter, self._reach, self._reach_center(), self.viewport, document.rgb)

    # -- the mouse on the line

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._track(event)
        if self._over_line and event.button() == Qt.MouseButton.LeftButton and not self._pans(event):
            self._dragged = True
            return
        super().mousePressEvent(event)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        self._track(event)
        if self._over_line:
            self.mousePressEvent(event)
            return
        super().mouseDoubleClickEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if not self._dragged:
            super().mouseMoveEvent(event)
            return
        self._track(event)
        self.set_split(self._comparison.fraction_at(self._device(event.position())[0], self.viewport))
        self.split_moved.emit(self.split)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if not self._dragged or event.button() != Qt.MouseButton.LeftButton:
            super().mouseReleaseEvent(event)
            return
        self._dragged = False
        self._track(event)

    def _follow_pointer(self, modifiers: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        super()._follow_pointer(modifiers)
        over = self._dragged or self._is_over_line()
        if over != self._over_line:
            self._over_line = over
            self._show_cursor()

    def _is_over_line(self) -> bool:
        if self._mouse is None or self.gesture_active or self.overlay_hidden or not self.comparing:
            return False
        return self._comparison.grabs(*self._device(self._mouse), self.viewport)

    def _show_cursor(self) -> None:
        if self._over_line:
            self.setCursor(Qt.CursorShape.SplitHCursor)
        else:
            super()._show_cursor()

    # -- a held key whose release goes elsewhere

    def focusOutEvent(self, event: QFocusEvent) -> None:
        self.hold_before(held=False)
        super().focusOutEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        if event.type() == QEvent.Type.ActivationChange and not self.isActiveWindow():
            self.hold_before(held=False)
        super().changeEvent(event)
