"""The box: the network proposes labels inside a rectangle a person draws."""

from __future__ import annotations

import math
from typing import Final

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter

from segstudio.core.geometry import Rect
from segstudio.gui.tools.base import Pointer, Tool, ToolContext, two_tone_pens

MIN_SIDE_PX: Final = 4
_MARGIN_PX: Final = 4.0
_VEIL: Final = QColor(255, 255, 255, 28)


class BoxTool(Tool):
    """Drag a rectangle around an object; on release the network in use proposes labels in it."""

    name = "box"
    title = "Propose in a box"
    hint = "Drag a box around an object: the network proposes labels inside it and nowhere else."

    def __init__(self) -> None:
        self._start: tuple[float, float] | None = None

    @property
    def active(self) -> bool:
        return self._start is not None

    def press(self, pointer: Pointer, context: ToolContext) -> None:
        if context.document is not None and pointer.button == Qt.MouseButton.LeftButton:
            self._start = (pointer.x, pointer.y)

    def release(self, pointer: Pointer, context: ToolContext) -> None:
        if self._start is None or pointer.button != Qt.MouseButton.LeftButton:
            return
        box = self._box(pointer, context)
        self._start = None
        if min(box.height, box.width) >= MIN_SIDE_PX:
            context.propose_in(box)
        else:
            context.message(f"Drag a box of at least {MIN_SIDE_PX} × {MIN_SIDE_PX} pixels around an object.")

    def cancel(self, context: ToolContext) -> bool:
        was_active, self._start = self.active, None
        return was_active

    def preview_bounds(self, pointer: Pointer | None, context: ToolContext) -> QRectF | None:
        area = self._area(pointer, context)
        margin = _MARGIN_PX * context.viewport.ratio
        return None if area is None else area.adjusted(-margin, -margin, margin, margin)

    def paint_preview(self, painter: QPainter, pointer: Pointer | None, context: ToolContext) -> None:
        area = self._area(pointer, context)
        if area is None:
            return
        painter.fillRect(area, _VEIL)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for pen in two_tone_pens(context.viewport.ratio):
            painter.setPen(pen)
            painter.drawRect(area)

    def _area(self, pointer: Pointer | None, context: ToolContext) -> QRectF | None:
        """Where the box lies in the view; None while there is none."""
        box = self._box(pointer, context) if pointer is not None else Rect.EMPTY
        if box.is_empty:
            return None
        left, top, right, bottom = context.viewport.view_rect(box)
        return QRectF(left, top, right - left, bottom - top)

    def _box(self, pointer: Pointer, context: ToolContext) -> Rect:
        """Every pixel of the image that lies between the two corners, even in part."""
        if self._start is None or context.document is None:
            return Rect.EMPTY
        (x0, x1), (y0, y1) = sorted((self._start[0], pointer.x)), sorted((self._start[1], pointer.y))
        top, left = math.floor(y0), math.floor(x0)
        box = Rect(top, left, math.ceil(y1) - top, math.ceil(x1) - left)
        return box.clipped(*context.document.map.shape)
