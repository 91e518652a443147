"""The painted sign of the program: a tile cut into segments, and the name beside it."""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QIcon, QPainter, QPainterPath, QPaintEvent, QPen, QPixmap
from PySide6.QtWidgets import QSizePolicy, QWidget

from segstudio.gui import theme

_COLORS: Final = ("#3558d6", "#27b39a", "#f2a93b", "#e2617a")


def paint_mark(painter: QPainter, box: QRectF) -> None:
    """Paint the sign into a square."""
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    clip = QPainterPath()
    clip.addRoundedRect(box, box.width() * 0.22, box.width() * 0.22)
    painter.setClipPath(clip)
    painter.fillRect(box, QColor(_COLORS[0]))
    painter.setPen(QPen(QColor("#ffffff"), max(1.0, box.width() * 0.045)))

    def at(x: float, y: float) -> QPointF:
        return QPointF(box.left() + x * box.width(), box.top() + y * box.height())

    hill = QPainterPath(at(-0.1, 0.62))
    hill.cubicTo(at(0.2, 0.42), at(0.4, 0.86), at(0.62, 0.66))
    hill.cubicTo(at(0.78, 0.52), at(0.9, 0.58), at(1.1, 0.5))
    hill.lineTo(at(1.1, 1.1))
    hill.lineTo(at(-0.1, 1.1))
    hill.closeSubpath()
    painter.setBrush(QColor(_COLORS[1]))
    painter.drawPath(hill)
    painter.setBrush(QColor(_COLORS[2]))
    painter.drawEllipse(at(0.66, 0.32), box.width() * 0.17, box.width() * 0.17)
    painter.setBrush(QColor(_COLORS[3]))
    painter.drawEllipse(at(0.27, 0.5), box.width() * 0.15, box.width() * 0.19)
    painter.restore()


def app_icon() -> QIcon:
    """The icon of windows and task bars."""
    icon = QIcon()
    for size in (32, 128):
        picture = QPixmap(QSize(size, size))
        picture.fill(Qt.GlobalColor.transparent)
        painter = QPainter(picture)
        paint_mark(painter, QRectF(0, 0, size, size))
        painter.end()
        icon.addPixmap(picture)
    return icon


class Wordmark(QWidget):
    """The sign and the name."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedHeight(64)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("SegStudio")

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        paint_mark(painter, QRectF(0, 4, 56, 56))
        font = QFont(self.font())
        font.setPointSize(24)
        font.setWeight(QFont.Weight.DemiBold)
        painter.setFont(font)
        painter.setPen(theme.current().color("text"))
        painter.drawText(QRectF(72, 0, self.width() - 72, 64), Qt.AlignmentFlag.AlignVCenter, "SegStudio")
        painter.end()
