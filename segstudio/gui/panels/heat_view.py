"""The seeing half of the heat map: cells, names and where they are, for 2 to 255 classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from PySide6.QtCore import QPoint, QRect, QSize, Qt, Signal
from PySide6.QtGui import (
    QAccessible,
    QAccessibleEvent,
    QColor,
    QFont,
    QFontMetrics,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
)
from PySide6.QtWidgets import QAbstractScrollArea, QWidget

from segstudio.gui import theme
from segstudio.gui.panels.heat_scale import Counts, Scale, cell_color, cell_text, ink_on, shades, share_text

Cell = tuple[int, int]

_SMALLEST_PX: Final = 12
_LARGEST_PX: Final = 112
_WIDE_GAP_FROM_PX: Final = 36
_LONGEST_NAME_PX: Final = 132
_GAP_PX: Final = 8
_SWATCH_PX: Final = 8
_FONT_PX: Final = 12
_SMALL_FONT_PX: Final = 11
_SMALL_CELL_PX: Final = 15
_TITLE_PX: Final = 18
_TEXT_MARGIN_PX: Final = 4
_SMALLEST_TEXT_PX: Final = 10
_TEXT_SHARE: Final = 0.42
_SHADES: Final = 100
_PAGE: Final = 10
_AXES: Final = ("True class ↓", "Predicted as →")


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where things are, in pixels of the viewport: the width of the row names, the height of the column names."""

    left: int
    top: int
    cell: int
    upright: bool
    font: QFont


class HeatView(QAbstractScrollArea):
    """Shows a matrix; what the mouse and the keys do is added by `HeatMap`.

    `chosen` tells (row, column) of the cell chosen, `said` what the cell under the pointer or the keys means.
    """

    chosen = Signal(int, int)
    said = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._counts: Counts = np.zeros((0, 0), dtype=np.int64)
        self._totals: Counts = np.zeros(0, dtype=np.int64)
        self._names: tuple[str, ...] = ()
        self._colors: tuple[QColor, ...] = ()
        self._places = np.zeros((0, 0))
        self._scale = Scale.SHARES
        self._current: Cell | None = None
        self._chosen: Cell | None = None
        self._hover: Cell | None = None
        self._layout: _Layout | None = None
        self._cells: QPixmap | None = None
        self.setFrameShape(QAbstractScrollArea.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.viewport().setMouseTracking(True)
        self.viewport().setAutoFillBackground(False)
        self.setAccessibleName("Confusion matrix: rows are true classes, columns what they were predicted as")

    # -- what is shown

    def set_matrix(
        self,
        counts: Counts,
        *,
        totals: Counts | Sequence[int],
        names: Sequence[str],
        colors: Sequence[tuple[int, int, int]],
    ) -> None:
        """Show (n, n) counts of pixels; `totals` are the true pixels of each class, those of no prediction included.

        A cell chosen stays so where the classes are the same ones.
        """
        same = tuple(names) == self._names
        self._counts = np.asarray(counts, dtype=np.int64)
        self._totals = np.asarray(totals, dtype=np.int64)
        self._names, self._colors = tuple(names), tuple(QColor(*color) for color in colors)
        if not same:
            self._current = (0, 0) if self._names else None
            self._chosen = None
        self._hover = None
        self._shade()
        self._arrange()
        self._describe()

    def set_scale(self, scale: Scale) -> None:
        """Show shares of the true classes, or pixels."""
        self._scale = scale
        self._shade()
        self._redraw()

    @property
    def scale(self) -> Scale:
        """What the cells tell."""
        return self._scale

    @property
    def most(self) -> int:
        """The largest count."""
        return int(self._counts.max(initial=0))

    @property
    def current(self) -> Cell | None:
        """The cell that the keys are on."""
        return self._current

    @property
    def chosen_cell(self) -> Cell | None:
        """The cell chosen last."""
        return self._chosen

    def choose(self, row: int, column: int) -> None:
        """Choose a cell, in view."""
        self._move_to((row, column))
        self._chosen = (row, column)
        self.viewport().update()
        self.chosen.emit(row, column)

    def words(self, row: int, column: int) -> str:
        """What a cell means, in one sentence."""
        count, total = int(self._counts[row, column]), int(self._totals[row])
        name = self._names[row]
        if not total:
            return f"{name} does not occur in the labels."
        pixels = "1 pixel" if count == 1 else f"{count:,} pixels"
        verb = "found" if row == column else f"predicted as {self._names[column]}"
        return f"{name} {verb}: {pixels}, {share_text(count / total)} of {name}."

    def cell_at(self, position: QPoint) -> Cell | None:
        """The cell at a place of the viewport; None beside them."""
        place = self._layout
        if place is None or position.x() < place.left or position.y() < place.top:
            return None
        column = (position.x() - place.left + self.horizontalScrollBar().value()) // place.cell
        row = (position.y() - place.top + self.verticalScrollBar().value()) // place.cell
        return (row, column) if row < len(self._names) and column < len(self._names) else None

    def rect_of(self, row: int, column: int) -> QRect:
        """Where a cell is in the viewport, which may be out of sight."""
        place = self._layout
        if place is None:
            return QRect()
        x = place.left + column * place.cell - self.horizontalScrollBar().value()
        y = place.top + row * place.cell - self.verticalScrollBar().value()
        return QRect(x, y, place.cell, place.cell)

    @property
    def cell_px(self) -> int:
        """The side of a cell."""
        return self._layout.cell if self._layout is not None else 0

    def sizeHint(self) -> QSize:
        return QSize(520, 460)

    def minimumSizeHint(self) -> QSize:
        return QSize(240, 200)

    # -- arranging

    def _shade(self) -> None:
        self._places = shades(self._counts, self._totals, self._scale)

    def _arrange(self) -> None:
        """Finds the largest cells that fit, and what has to scroll where the smallest do not."""
        count = len(self._names)
        if not count:
            self._layout = None
            self._redraw()
            return
        whole = self.maximumViewportSize()
        self._layout = place = self._fitted(whole)
        content = place.cell * count
        for bar, room in (
            (self.horizontalScrollBar(), whole.width() - place.left),
            (self.verticalScrollBar(), whole.height() - place.top),
        ):
            # A bar takes room from the other direction; its own width more to scroll is never missed.
            extra = bar.sizeHint().width() if bar is self.verticalScrollBar() else bar.sizeHint().height()
            over = content - room
            bar.setRange(0, over + extra if over > 0 else 0)
            bar.setPageStep(max(1, room))
            bar.setSingleStep(place.cell)
        self._redraw()

    def _redraw(self) -> None:
        """Draws the cells anew, and all else."""
        self._cells = None
        self.viewport().update()

    def _fitted(self, whole: QSize) -> _Layout:
        count = len(self._names)
        font = QFont(self.font())
        font.setPixelSize(_FONT_PX)
        longest = min(max(QFontMetrics(font).horizontalAdvance(name) for name in self._names), _LONGEST_NAME_PX)
        axis = QFontMetrics(font).horizontalAdvance(_AXES[0])
        left = max(min(longest + _SWATCH_PX + 3 * _GAP_PX, whole.width() // 2), axis + _GAP_PX)
        for top, upright in ((_TITLE_PX + _FONT_PX + 2 * _GAP_PX, False), (_TITLE_PX + longest + 2 * _GAP_PX, True)):
            top = min(top, whole.height() // 2)  # names give way to cells
            room = min((whole.width() - left) // count, (whole.height() - top) // count)
            cell = min(max(room, _SMALLEST_PX), _LARGEST_PX)
            if upright or cell >= longest + _TEXT_MARGIN_PX:
                break
        if cell < _SMALL_CELL_PX:
            font.setPixelSize(_SMALL_FONT_PX)
        return _Layout(left, top, cell, upright, font)

    def _move_to(self, cell: Cell) -> None:
        last = len(self._names) - 1
        self._current = (min(max(cell[0], 0), last), min(max(cell[1], 0), last))
        box, place = self.rect_of(*self._current), self._layout
        if place is not None:
            for bar, start, end, low, high in (
                (self.horizontalScrollBar(), box.left(), box.right(), place.left, self.viewport().width()),
                (self.verticalScrollBar(), box.top(), box.bottom(), place.top, self.viewport().height()),
            ):
                if start < low:
                    bar.setValue(bar.value() - (low - start))
                elif end >= high:
                    bar.setValue(bar.value() + end - high + 1)
        self._describe()
        self.viewport().update()

    def _describe(self) -> None:
        text = self.words(*self._current) if self._current is not None else "No data yet"
        if text != self.accessibleDescription():
            self.setAccessibleDescription(text)
            QAccessible.updateAccessibility(QAccessibleEvent(self, QAccessible.Event.DescriptionChanged))
        if self._current is not None:
            self.said.emit(text)

    # -- drawing

    def paintEvent(self, _event: QPaintEvent) -> None:
        place = self._layout
        if place is None:
            return
        painter = QPainter(self.viewport())
        painter.setFont(place.font)
        area = self.viewport().rect()
        rows = self._seen(place.top, area.height(), self.verticalScrollBar().value())
        columns = self._seen(place.left, area.width(), self.horizontalScrollBar().value())
        painter.setClipRect(area.adjusted(place.left, place.top, 0, 0))
        if self._cells is None:
            self._cells = self._drawn_cells(rows, columns)
        painter.drawPixmap(0, 0, self._cells)
        self._paint_rings(painter)
        painter.setClipRect(QRect(0, place.top, place.left, area.height()))
        self._paint_row_names(painter, rows)
        painter.setClipRect(QRect(place.left, 0, area.width(), place.top))
        self._paint_column_names(painter, columns)
        painter.setClipping(False)
        self._paint_axes(painter)

    def _seen(self, start: int, end: int, scrolled: int) -> range:
        cell = self.cell_px
        return range(scrolled // cell, min(len(self._names), math.ceil((end - start + scrolled) / cell)))

    def _drawn_cells(self, rows: range, columns: range) -> QPixmap:
        """The cells in sight as a picture, kept while the pointer moves: 255 classes take 40 ms (2-core machine)."""
        ratio = self.devicePixelRatioF()
        picture = QPixmap(self.viewport().size() * ratio)
        picture.setDevicePixelRatio(ratio)
        picture.fill(Qt.GlobalColor.transparent)
        painter, font = QPainter(picture), QFont(self.font())
        font.setPixelSize(min(max(round(self.cell_px * _TEXT_SHARE), _SMALLEST_TEXT_PX), _FONT_PX))
        painter.setFont(font)
        self._paint_cells(painter, rows, columns)
        painter.end()
        return picture

    def _paint_cells(self, painter: QPainter, rows: range, columns: range) -> None:
        look, metrics, side = theme.current(), painter.fontMetrics(), self.cell_px
        empty, none = look.color("sunken"), look.color("surface")
        ramps = {
            found: [cell_color(step / _SHADES, found=found) for step in range(_SHADES + 1)] for found in (False, True)
        }
        gap = 1 if side < _WIDE_GAP_FROM_PX else 2
        with_text = side >= 2 * _SMALLEST_TEXT_PX
        for row in rows:
            total = int(self._totals[row])
            for column in columns:
                box = self.rect_of(row, column).adjusted(0, 0, -gap, -gap)
                place = float(self._places[row, column])
                color = ramps[row == column][round(place * _SHADES)] if place else empty if total else none
                painter.fillRect(box, color)
                text = cell_text(int(self._counts[row, column]), total, self._scale) if with_text and place else ""
                if text and metrics.horizontalAdvance(text) <= side - _TEXT_MARGIN_PX:
                    painter.setPen(ink_on(color))
                    painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)

    def _paint_rings(self, painter: QPainter) -> None:
        look = theme.current()
        current = self._current if self.hasFocus() else None
        style = Qt.PenStyle.SolidLine if current == self._chosen else Qt.PenStyle.DashLine
        rings = [
            (self._hover, QPen(look.color("text_muted"), 1)),
            (self._chosen, QPen(look.color("text"), 2)),
            (current, QPen(look.color("accent_ink"), 2, style)),
        ]
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for cell, pen in rings:
            if cell is not None:
                painter.setPen(pen)
                painter.drawRect(self.rect_of(*cell).adjusted(0, 0, -2, -2))

    def _name_color(self, index: int, axis: int) -> QColor:
        """Names of the cell under the pointer (or the keys) stand out; classes that do not occur step back."""
        look, pointed = theme.current(), self._hover or (self._current if self.hasFocus() else None)
        if pointed is not None and pointed[axis] == index:
            return look.color("accent_ink")
        return look.color("text" if self._totals[index] else "text_disabled")

    def _paint_swatch(self, painter: QPainter, swatch: QRect, index: int) -> None:
        painter.fillRect(swatch.adjusted(-1, -1, 1, 1), theme.current().color("border_strong"))
        painter.fillRect(swatch, self._colors[index])

    def _paint_row_names(self, painter: QPainter, rows: range) -> None:
        place = self._layout
        assert place is not None
        for row in rows:
            box = self.rect_of(row, 0)
            swatch = QRect(
                place.left - _GAP_PX - _SWATCH_PX, box.center().y() - _SWATCH_PX // 2, _SWATCH_PX, _SWATCH_PX
            )
            self._paint_swatch(painter, swatch, row)
            room = QRect(0, box.top(), swatch.left() - _GAP_PX, box.height())
            self._paint_name(painter, room, row, self._name_color(row, 0), Qt.AlignmentFlag.AlignRight)

    def _paint_column_names(self, painter: QPainter, columns: range) -> None:
        place = self._layout
        assert place is not None
        for column in columns:
            box = self.rect_of(0, column)
            swatch = QRect(
                box.center().x() - _SWATCH_PX // 2, place.top - _GAP_PX // 2 - _SWATCH_PX, _SWATCH_PX, _SWATCH_PX
            )
            self._paint_swatch(painter, swatch, column)
            color, length = self._name_color(column, 1), swatch.top() - _GAP_PX // 2 - _TITLE_PX
            if not place.upright:
                room = QRect(box.left(), _TITLE_PX, box.width(), length)
                self._paint_name(painter, room, column, color, Qt.AlignmentFlag.AlignHCenter)
                continue
            painter.save()
            painter.translate(box.left(), _TITLE_PX + length)
            painter.rotate(-90)
            self._paint_name(painter, QRect(0, 0, length, box.width()), column, color, Qt.AlignmentFlag.AlignLeft)
            painter.restore()

    def _paint_name(
        self, painter: QPainter, room: QRect, index: int, color: QColor, side: Qt.AlignmentFlag
    ) -> None:  # fmt: skip
        painter.setPen(color)
        text = painter.fontMetrics().elidedText(self._names[index], Qt.TextElideMode.ElideMiddle, room.width())
        painter.drawText(room, side | Qt.AlignmentFlag.AlignVCenter, text)

    def _paint_axes(self, painter: QPainter) -> None:
        place = self._layout
        assert place is not None
        font = QFont(place.font)
        font.setPixelSize(_SMALL_FONT_PX)
        painter.setFont(font)
        painter.setPen(theme.current().color("text_muted"))
        above = QRect(place.left, 0, self.viewport().width() - place.left, _TITLE_PX)
        beside = QRect(0, 0, place.left - _GAP_PX, place.top - _GAP_PX // 2)
        painter.drawText(beside, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignBottom, _AXES[0])
        painter.drawText(above, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop, _AXES[1])
