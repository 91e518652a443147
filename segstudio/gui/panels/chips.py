"""Classes as small chips, a colour and a name each, on as many lines as are allowed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from PySide6.QtCore import QRect, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPalette, QResizeEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

_SWATCH_PX: Final = 10
_INNER_PX: Final = 5
_PADDING_PX: Final = 7
_SPACING_PX: Final = 5
_HEIGHT_PX: Final = 22
_LINES: Final = 3
_FRAME_PX: Final = 2 * _PADDING_PX + _SWATCH_PX + _INNER_PX

Named = tuple[str, tuple[int, int, int]]


class ClassChips(QWidget):
    """Names of classes with their colours; those that do not fit into three lines become "and n more"."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._classes: tuple[Named, ...] = ()
        self.setAccessibleName(name)
        policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)

    def set_classes(self, classes: Sequence[Named]) -> None:
        """Show other classes: name and RGB of each."""
        self._classes = tuple(classes)
        names = ", ".join(name for name, _color in classes)
        self.setToolTip(names)
        self.setAccessibleDescription(names)
        self.updateGeometry()
        self.update()

    @property
    def hidden_count(self) -> int:
        """How many classes did not fit."""
        return len(self._classes) - len(self._placed(self.width()))

    def sizeHint(self) -> QSize:
        return QSize(160, self.heightForWidth(max(160, self.width())))

    def hasHeightForWidth(self) -> bool:
        return True

    def heightForWidth(self, width: int) -> int:
        lines = max((rect.bottom() for rect, *_ in self._placed(width)), default=_HEIGHT_PX - 1)
        return lines + 1

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.updateGeometry()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        palette, placed = self.palette(), self._placed(self.width())
        for rect, text, color in placed:
            painter.setPen(palette.color(QPalette.ColorRole.Mid))
            painter.setBrush(palette.color(QPalette.ColorRole.Window))
            painter.drawRoundedRect(rect.adjusted(0, 0, -1, -1), _HEIGHT_PX / 2, _HEIGHT_PX / 2)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(*color))
            top = rect.center().y() - _SWATCH_PX // 2 + 1
            painter.drawRoundedRect(rect.left() + _PADDING_PX, top, _SWATCH_PX, _SWATCH_PX, 3, 3)
            painter.setPen(palette.color(QPalette.ColorRole.WindowText))
            words = rect.adjusted(_PADDING_PX + _SWATCH_PX + _INNER_PX, 0, -_PADDING_PX, 0)
            painter.drawText(words, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, text)
        if len(placed) < len(self._classes):
            painter.setPen(palette.color(QPalette.ColorRole.PlaceholderText))
            last = placed[-1][0] if placed else QRect(0, 0, 0, _HEIGHT_PX)
            rest = QRect(last.right() + _SPACING_PX, last.top(), self.width() - last.right(), _HEIGHT_PX)
            painter.drawText(rest, Qt.AlignmentFlag.AlignVCenter, self._rest(len(self._classes) - len(placed)))

    @staticmethod
    def _rest(count: int) -> str:
        return f"and {count} more"

    def _placed(self, width: int) -> list[tuple[QRect, str, tuple[int, int, int]]]:
        """Place, words and colour of every chip that fits; the last line keeps room for "and n more"."""
        metrics = self.fontMetrics()
        more = metrics.horizontalAdvance(self._rest(len(self._classes))) + _SPACING_PX
        placed: list[tuple[QRect, str, tuple[int, int, int]]] = []
        left = line = 0
        for index, (name, color) in enumerate(self._classes):
            text = metrics.elidedText(name, Qt.TextElideMode.ElideRight, max(20, width - _FRAME_PX))
            size = metrics.horizontalAdvance(text) + _FRAME_PX + 1
            if left and left + size > width:
                left, line = 0, line + 1
            last = index == len(self._classes) - 1
            if line >= _LINES or (line == _LINES - 1 and not last and left + size + more > width):
                break
            placed.append((QRect(left, line * (_HEIGHT_PX + _SPACING_PX), size, _HEIGHT_PX), text, color))
            left += size + _SPACING_PX
        return placed
