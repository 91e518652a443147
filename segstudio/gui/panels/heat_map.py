"""The confusion matrix as a heat map: rows are the truth, columns the prediction."""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import QEvent, QPoint, Qt
from PySide6.QtGui import QFocusEvent, QHelpEvent, QKeyEvent, QMouseEvent, QResizeEvent
from PySide6.QtWidgets import QToolTip

from segstudio.gui.panels.heat_view import Cell, HeatView

_PAGE: Final = 10


class HeatMap(HeatView):
    """The heat map with mouse and keys: arrow keys walk, Enter, Space or a click chooses a cell."""

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange()

    def scrollContentsBy(self, _dx: int, _dy: int) -> None:
        # The names stay where they are, so that nothing can be shifted.
        self._redraw()

    def changeEvent(self, event: QEvent) -> None:
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange, QEvent.Type.PaletteChange):
            self._arrange()
        super().changeEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if self._current is None:
            super().keyPressEvent(event)
            return
        (row, column), last = self._current, len(self._names) - 1
        whole = bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)
        targets = {
            Qt.Key.Key_Left: (row, column - 1),
            Qt.Key.Key_Right: (row, column + 1),
            Qt.Key.Key_Up: (row - 1, column),
            Qt.Key.Key_Down: (row + 1, column),
            Qt.Key.Key_Home: (0 if whole else row, 0),
            Qt.Key.Key_End: (last if whole else row, last),
            Qt.Key.Key_PageUp: (row - _PAGE, column),
            Qt.Key.Key_PageDown: (row + _PAGE, column),
        }
        key = Qt.Key(event.key())
        if key in targets:
            self._move_to(targets[key])
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            self.choose(row, column)
        else:
            super().keyPressEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        cell = self.cell_at(event.position().toPoint())
        if cell is not None and event.button() == Qt.MouseButton.LeftButton:
            self.choose(*cell)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        event.accept()  # belongs to the press, whatever lies below

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._point_at(self.cell_at(event.position().toPoint()))

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        self.viewport().update()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self.viewport().update()

    def viewportEvent(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Leave:
            self._point_at(None)
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            QToolTip.showText(event.globalPos(), self._tip(event.pos()), self.viewport())
            return True
        return super().viewportEvent(event)

    def _tip(self, position: QPoint) -> str:
        cell = self.cell_at(position)
        if cell is not None:
            return self.words(*cell)
        row, column = self._names_at(position)
        return self._names[row] if row is not None else self._names[column] if column is not None else ""

    def _names_at(self, position: QPoint) -> tuple[int | None, int | None]:
        """The row or the column whose name is at a place."""
        place = self._layout
        if place is None:
            return None, None
        inside = self.cell_at(QPoint(max(position.x(), place.left), max(position.y(), place.top)))
        if inside is None or (position.x() < place.left and position.y() < place.top):
            return None, None
        return (inside[0], None) if position.x() < place.left else (None, inside[1])

    def _point_at(self, cell: Cell | None) -> None:
        if cell == self._hover:
            return
        self._hover = cell
        self.viewport().setCursor(Qt.CursorShape.PointingHandCursor if cell is not None else Qt.CursorShape.ArrowCursor)
        if cell is not None:
            self.said.emit(self.words(*cell))
        elif self._current is not None:
            self.said.emit(self.words(*self._current))
        self.viewport().update()
