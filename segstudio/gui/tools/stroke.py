"""Tools that drag a round brush: one gesture from press to release, painted as the mouse moves."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Final

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from segstudio.core.geometry import Rect
from segstudio.core.rasterize import stroke_mask
from segstudio.gui.tools.base import Pointer, Tool, ToolContext, two_tone_pens
from segstudio.services.annotating import Gesture

_BUTTONS: Final = (Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton)


class StrokeTool(Tool):
    """A round brush: left button applies it, right button takes pixels back to undecided.

    Shift and a click draw a straight line from where the last stroke ended.
    """

    def __init__(self) -> None:
        self._gesture: Gesture | None = None
        self._button = Qt.MouseButton.NoButton
        self._last: tuple[float, float] | None = None
        self._document_id = 0

    @property
    def active(self) -> bool:
        return self._gesture is not None

    @property
    def erasing(self) -> bool:
        """True while the right button erases."""
        return self._gesture is not None and self._button == Qt.MouseButton.RightButton

    @abstractmethod
    def begin_name(self, context: ToolContext) -> str | None:
        """The name of the edit for the undo menu; None, after a message, where the tool cannot work now."""

    @abstractmethod
    def apply(self, gesture: Gesture, mask: npt.NDArray[np.bool_], rect: Rect, context: ToolContext) -> None:
        """Changes the pixels under the mask, which lies at `rect`."""

    def press(self, pointer: Pointer, context: ToolContext) -> None:
        if self._gesture is not None or context.document is None or pointer.button not in _BUTTONS:
            return
        name = "Erase" if pointer.button == Qt.MouseButton.RightButton else self.begin_name(context)
        if name is None:
            return
        self._forget_other_image(context)
        self._button = pointer.button
        self._gesture = context.document.begin(name)
        if not pointer.shift:
            self._last = None
        self._extend(pointer, context)

    def move(self, pointer: Pointer, context: ToolContext) -> None:
        if self._gesture is not None:
            self._extend(pointer, context)

    def release(self, pointer: Pointer, context: ToolContext) -> None:
        if self._gesture is None or pointer.button != self._button:
            return
        gesture, self._gesture = self._gesture, None
        if gesture.commit() is not None:
            context.finished()

    def cancel(self, context: ToolContext) -> bool:
        if self._gesture is None:
            return False
        gesture, self._gesture, self._last = self._gesture, None, None
        gesture.abort()
        return True

    def _forget_other_image(self, context: ToolContext) -> None:
        if self._document_id != id(context.document):
            self._document_id, self._last = id(context.document), None

    def _extend(self, pointer: Pointer, context: ToolContext) -> None:
        assert self._gesture is not None and context.document is not None
        here = (pointer.x, pointer.y)
        points = [here] if self._last is None else [self._last, here]
        self._last = here
        mask, rect = stroke_mask(points, context.brush_radius, context.document.map.shape)
        if rect.is_empty:
            return
        if self._button == Qt.MouseButton.RightButton:
            self._gesture.erase(mask, rect.top, rect.left)
        else:
            self.apply(self._gesture, mask, rect, context)

    def preview_bounds(self, pointer: Pointer | None, context: ToolContext) -> QRectF | None:
        if pointer is None or context.document is None:
            return None
        x, y = context.viewport.to_view(pointer.x, pointer.y)
        reach = self._view_radius(context) + 4 * context.viewport.ratio
        bounds = QRectF(x - reach, y - reach, 2 * reach, 2 * reach)
        start = self._line_start(pointer, context)
        return bounds if start is None else bounds.united(QRectF(start.x() - 4, start.y() - 4, 8, 8))

    def paint_preview(self, painter: QPainter, pointer: Pointer | None, context: ToolContext) -> None:
        if pointer is None or context.document is None:
            return
        center = QPointF(*context.viewport.to_view(pointer.x, pointer.y))
        radius = self._view_radius(context)
        start = self._line_start(pointer, context)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for pen in two_tone_pens(context.viewport.ratio):
            painter.setPen(pen)
            painter.drawEllipse(center, radius, radius)
            if start is not None:
                painter.drawLine(start, center)
        self._paint_color_dot(painter, center, radius, context)

    def dot_color(self, context: ToolContext) -> QColor | None:
        """What the small mark at the rim shows: the colour about to be painted; None for no mark."""
        return None

    def _paint_color_dot(self, painter: QPainter, center: QPointF, radius: float, context: ToolContext) -> None:
        color = None if self.erasing else self.dot_color(context)
        ratio = context.viewport.ratio
        if color is None or radius < 5 * ratio:
            return
        offset = radius * math.sqrt(0.5)
        painter.setPen(QPen(QColor(255, 255, 255), ratio))
        painter.setBrush(color)
        painter.drawEllipse(center + QPointF(offset, offset), 3.5 * ratio, 3.5 * ratio)

    def _view_radius(self, context: ToolContext) -> float:
        # Never smaller than a ring one can see.
        return max(context.brush_radius * context.viewport.zoom, 1.5 * context.viewport.ratio)

    def _line_start(self, pointer: Pointer, context: ToolContext) -> QPointF | None:
        """Where the straight line of a Shift+click would start, in the view."""
        if not pointer.shift or self.active or self._last is None or self._document_id != id(context.document):
            return None
        return QPointF(*context.viewport.to_view(*self._last))
