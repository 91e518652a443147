"""The polygon: corners by clicks, or freehand by dragging, filled with the active class when closed."""

from __future__ import annotations

import math
from typing import Final

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen, QPolygonF

from segstudio.core.rasterize import polygon_mask
from segstudio.gui.tools.base import Pointer, Tool, ToolContext, two_tone_pens

_SNAP_PX: Final = 9.0
_FREEHAND_START_PX: Final = 5.0
_FREEHAND_STEP_PX: Final = 2.0
_MARGIN_PX: Final = 12.0


class PolygonTool(Tool):
    """Click the corners of a region, or hold the button and trace it."""

    name = "polygon"
    title = "Polygon"
    hint = "Click corners or drag freehand; Enter, double-click or the first corner closes; Backspace takes one back."

    def __init__(self) -> None:
        self._points: list[tuple[float, float]] = []
        self._pressed = False
        self._tracing = False

    @property
    def active(self) -> bool:
        return bool(self._points)

    @property
    def points(self) -> tuple[tuple[float, float], ...]:
        """The corners so far, in image pixels."""
        return tuple(self._points)

    def press(self, pointer: Pointer, context: ToolContext) -> None:
        if pointer.button == Qt.MouseButton.RightButton:
            self._take_back()
        elif pointer.button == Qt.MouseButton.LeftButton:
            if self._closes(pointer, context):
                self._close(context)
            elif self._points or context.ready_to_paint():
                self._points.append((pointer.x, pointer.y))
                self._pressed = True

    def move(self, pointer: Pointer, context: ToolContext) -> None:
        if not self._pressed or not self._points:
            return
        away = self._view_distance(self._points[-1], pointer, context)
        ratio = context.viewport.ratio
        if away >= (_FREEHAND_STEP_PX if self._tracing else _FREEHAND_START_PX) * ratio:
            self._tracing = True
            self._points.append((pointer.x, pointer.y))

    def release(self, pointer: Pointer, context: ToolContext) -> None:
        if pointer.button != Qt.MouseButton.LeftButton:
            return
        traced, self._pressed, self._tracing = self._tracing, False, False
        # A trace that comes back to its start encloses a region: no further click needed.
        if traced and self._closes(pointer, context):
            self._close(context)

    def double_click(self, pointer: Pointer, context: ToolContext) -> None:
        if pointer.button != Qt.MouseButton.LeftButton:
            self.press(pointer, context)
        elif len(self._points) >= 3:
            self._close(context)
        else:
            self.press(pointer, context)

    def key(self, key: Qt.Key, context: ToolContext) -> bool:
        if not self._points:
            return False
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            if len(self._points) < 3:
                context.message("A polygon needs at least three corners.")
            else:
                self._close(context)
            return True
        if key == Qt.Key.Key_Backspace:
            self._take_back()
            return True
        return False

    def cancel(self, context: ToolContext) -> bool:
        had_points = bool(self._points)
        self._reset()
        return had_points

    def preview_bounds(self, pointer: Pointer | None, context: ToolContext) -> QRectF | None:
        if not self._points:
            return None
        margin = _MARGIN_PX * context.viewport.ratio
        return self._polygon(pointer, context).boundingRect().adjusted(-margin, -margin, margin, margin)

    def paint_preview(self, painter: QPainter, pointer: Pointer | None, context: ToolContext) -> None:
        if not self._points:
            return
        polygon = self._polygon(pointer, context)
        color = context.class_color()
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(color.red(), color.green(), color.blue(), 70))
        painter.drawPolygon(polygon, Qt.FillRule.OddEvenFill)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for pen in two_tone_pens(context.viewport.ratio):
            painter.setPen(pen)
            painter.drawPolyline(polygon)
        self._paint_corners(painter, pointer, color, context)

    def _paint_corners(self, painter: QPainter, pointer: Pointer | None, color: QColor, context: ToolContext) -> None:
        ratio = context.viewport.ratio
        snaps = pointer is not None and self._closes(pointer, context)
        painter.setPen(QPen(QColor(255, 255, 255), 1.25 * ratio))
        painter.setBrush(color)
        previous: QPointF | None = None
        for index, point in enumerate(self._points):
            at = QPointF(*context.viewport.to_view(*point))
            if index == 0:
                size = (7.0 if snaps else 4.5) * ratio
                painter.drawEllipse(at, size, size)
            elif previous is None or (at - previous).manhattanLength() > 10 * ratio:
                # Corners of a trace lie too close together to be marked one by one.
                painter.drawRect(QRectF(at.x() - 2.5 * ratio, at.y() - 2.5 * ratio, 5 * ratio, 5 * ratio))
            else:
                continue
            previous = at

    def _polygon(self, pointer: Pointer | None, context: ToolContext) -> QPolygonF:
        points = [QPointF(*context.viewport.to_view(*point)) for point in self._points]
        if pointer is not None:
            closing = self._closes(pointer, context)
            points.append(points[0] if closing else QPointF(*context.viewport.to_view(pointer.x, pointer.y)))
        return QPolygonF(points)

    def _closes(self, pointer: Pointer, context: ToolContext) -> bool:
        near = len(self._points) >= 3 and not (self._pressed and not self._tracing)
        return near and self._view_distance(self._points[0], pointer, context) <= _SNAP_PX * context.viewport.ratio

    def _view_distance(self, point: tuple[float, float], pointer: Pointer, context: ToolContext) -> float:
        return math.hypot(point[0] - pointer.x, point[1] - pointer.y) * context.viewport.zoom

    def _take_back(self) -> None:
        if self._points:
            self._points.pop()

    def _close(self, context: ToolContext) -> None:
        points, document = list(self._points), context.document
        self._reset()
        if document is None or not context.ready_to_paint():
            return
        mask, rect = polygon_mask(points, document.map.shape)
        gesture = document.begin(f"Polygon {context.class_name()}")
        if not rect.is_empty:
            gesture.paint(mask, rect.top, rect.left, context.active_class)
        if gesture.commit() is not None:
            context.finished()

    def _reset(self) -> None:
        self._points, self._pressed, self._tracing = [], False, False
