"""The line between before and after: where it stands in the view, what takes hold of it, how it looks."""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPen, QPolygonF

from segstudio.gui.canvas.pill import PILL_HEIGHT_PX, paint_pill, pill_font, pill_width
from segstudio.gui.canvas.viewport import Viewport
from segstudio.gui.tools.base import two_tone_pens

_GRAB_PX: Final = 5
_KNOB_PX: Final = 13
_GAP_PX: Final = 8
BEFORE, AFTER = "Before", "After"


class Comparison:
    """Which part of the image shows the proposal from before the refinement.

    Attributes:
        fraction: 0 to 1 of the image's width on show, from the left: how much of it shows before. 0 is no line.
        held: True while all of it shows before.
    """

    def __init__(self) -> None:
        self.fraction = 0.0
        self.held = False

    def split(self, viewport: Viewport) -> int | None:
        """Where before ends, in device pixels from the left of the view; None where all is after."""
        left, right = _extent(viewport)
        if self.held:
            return round(right) + 1
        return round(left + self.fraction * (right - left)) if self.fraction > 0 else None

    def line(self, viewport: Viewport) -> int | None:
        """Where the line stands, in device pixels from the left of the view; None without one."""
        return None if self.held else self.split(viewport)

    def fraction_at(self, x: float, viewport: Viewport) -> float:
        """The fraction that brings the line to a view position (device pixels)."""
        left, right = _extent(viewport)
        return min(max((x - left) / max(1.0, right - left), 0.0), 1.0)

    def grabs(self, x: float, y: float, viewport: Viewport) -> bool:
        """True where a press at a view position (device pixels) takes hold of the line."""
        line = self.line(viewport)
        if line is None:
            return False
        knob = _knob(line, viewport)
        return abs(x - line) <= _GRAB_PX * viewport.ratio or knob.contains(x, y)

    def paint(self, painter: QPainter, viewport: Viewport) -> None:
        """Draws the line with its knob, and which side is which."""
        painter.save()
        line = self.line(viewport)
        if line is not None:
            for pen in two_tone_pens(viewport.ratio):
                pen.setCapStyle(Qt.PenCapStyle.FlatCap)
                painter.setPen(pen)
                painter.drawLine(QPointF(line, 0), QPointF(line, viewport.view[1]))
            _paint_knob(painter, _knob(line, viewport), viewport.ratio)
        for place, text in self._labels(viewport):
            paint_pill(painter, place, text, viewport.ratio)
        painter.restore()

    def _labels(self, viewport: Viewport) -> list[tuple[QRectF, str]]:
        """The words on both sides of the line, near the bottom; a side too narrow for its word goes without."""
        split = self.split(viewport)
        if split is None:
            return []
        left, right = _extent(viewport)
        metrics, ratio = QFontMetricsF(pill_font(viewport.ratio)), viewport.ratio
        gap, height = _GAP_PX * ratio, PILL_HEIGHT_PX * ratio
        top = min(viewport.view[1], viewport.origin[1] + viewport.image[1] * viewport.zoom) - height - gap
        before, after = (pill_width(metrics, text, ratio) for text in (BEFORE, AFTER))
        if self.held:
            return [(QRectF((left + right - before) / 2, top, before, height), BEFORE)]
        found = []
        if split - left >= before + gap:
            found.append((QRectF(split - gap - before, top, before, height), BEFORE))
        if right - split >= after + gap:
            found.append((QRectF(split + gap, top, after, height), AFTER))
        return found


def _extent(viewport: Viewport) -> tuple[float, float]:
    """Left and right end of the image on show, in device pixels."""
    left = viewport.origin[0]
    return max(0.0, left), min(viewport.view[0], left + viewport.image[0] * viewport.zoom)


def _knob(line: float, viewport: Viewport) -> QRectF:
    radius = _KNOB_PX * viewport.ratio
    return QRectF(line - radius, viewport.view[1] / 2 - radius, 2 * radius, 2 * radius)


def _paint_knob(painter: QPainter, knob: QRectF, ratio: float) -> None:
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(QColor(0, 0, 0, 170), ratio))
    painter.setBrush(QColor(Qt.GlobalColor.white))
    painter.drawEllipse(knob)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(30, 33, 40))
    middle, inner, outer, half = knob.center(), 3 * ratio, 8 * ratio, 4 * ratio
    for side in (-1, 1):
        tip = middle + QPointF(side * outer, 0)
        base = middle.x() + side * inner
        painter.drawPolygon(QPolygonF([tip, QPointF(base, middle.y() - half), QPointF(base, middle.y() + half)]))
