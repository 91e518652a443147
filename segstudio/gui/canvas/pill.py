"""A few words on the picture, on a dark ground of their own, so that they read on any image."""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QGuiApplication, QPainter

PILL_HEIGHT_PX: Final = 20
_FONT_PX: Final = 12
_PADDING_PX: Final = 8
_GROUND: Final = QColor(0, 0, 0, 190)


def pill_font(ratio: float) -> QFont:
    """The font of the words, sized in device pixels."""
    font = QFont(QGuiApplication.font())
    font.setPixelSize(round(_FONT_PX * ratio))
    return font


def pill_width(metrics: QFontMetricsF, text: str, ratio: float) -> float:
    """How wide a pill is, in device pixels; `metrics` are those of `pill_font`."""
    return metrics.horizontalAdvance(text) + 2 * _PADDING_PX * ratio


def paint_pill(painter: QPainter, place: QRectF, text: str, ratio: float) -> None:
    """Draws the words into a rectangle of device pixels, `PILL_HEIGHT_PX` logical pixels high."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(_GROUND)
    painter.drawRoundedRect(place, place.height() / 2, place.height() / 2)
    painter.setFont(pill_font(ratio))
    painter.setPen(QColor(Qt.GlobalColor.white))
    painter.drawText(place, Qt.AlignmentFlag.AlignCenter, text)
