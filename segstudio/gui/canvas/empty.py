"""What the canvas shows without an image: one line that says so and one that says what to do."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from PySide6.QtCore import QRect, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QPainter, QPen

_ICON_PX: Final = 56
_WIDTH_PX: Final = 420
_GAP_PX: Final = 18


def paint_empty(painter: QPainter, area: QRect, texts: tuple[str, str], color: QColor, muted: QColor) -> None:
    """Draws a picture frame, a title and a hint in the middle of `area` (logical pixels)."""
    title, hint = texts
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    width = min(_WIDTH_PX, area.width() - 32)
    if width < 60:
        return
    base = painter.font()
    title_font = QFont(base)
    title_font.setPointSizeF(base.pointSizeF() * 1.35 if base.pointSizeF() > 0 else 13.0)
    title_font.setWeight(QFont.Weight.DemiBold)
    top = area.center().y() - (_ICON_PX + _GAP_PX + 60) // 2
    left = area.center().x() - width // 2
    _paint_frame(painter, QRectF(area.center().x() - _ICON_PX / 2, top, _ICON_PX, _ICON_PX * 0.8), muted)
    flags = Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop | Qt.TextFlag.TextWordWrap
    painter.setFont(title_font)
    painter.setPen(color)
    box = painter.drawText(QRect(left, top + int(_ICON_PX * 0.8) + _GAP_PX, width, 200), int(flags), title)
    painter.setFont(base)
    painter.setPen(muted)
    bottom = box.bottom() if isinstance(box, QRect) else top + _ICON_PX + _GAP_PX + 24
    painter.drawText(QRect(left, bottom + 8, width, 200), int(flags), hint)


def _paint_frame(painter: QPainter, frame: QRectF, color: QColor) -> None:
    """A picture of mountains and a sun, in outline."""
    pen = QPen(color, 2.0)
    pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    painter.setPen(pen)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawRoundedRect(frame, 6, 6)
    x, y, w, h = frame.x(), frame.y(), frame.width(), frame.height()
    painter.drawEllipse(QRectF(x + w * 0.2, y + h * 0.2, w * 0.15, w * 0.15))
    corners = ((0.1, 0.85), (0.38, 0.52), (0.55, 0.7), (0.72, 0.42), (0.92, 0.72))
    for (x0, y0), (x1, y1) in pairwise(corners):
        painter.drawLine(round(x + w * x0), round(y + h * y0), round(x + w * x1), round(y + h * y1))
