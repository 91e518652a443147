"""Tables of figures that sort by a click on a heading, and the headline figures above them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, QRect, Qt
from PySide6.QtGui import QColor, QFont, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QGridLayout,
    QHeaderView,
    QLabel,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from segstudio.gui import theme
from segstudio.gui.dialogs.metrics_figures import Figures, Value, difference_text, value_text
from segstudio.gui.panels.common import ElidedLabel, label, set_text

if TYPE_CHECKING:
    from segstudio.services.evaluating import Comparison, Evaluation

HEADLINES: Final = 5
_SWATCH_PX: Final = 10
_ROW_PX: Final = 28
_NAME_PX: Final = 160
_FIGURE_PX: Final = 78
_NARROWEST_PX: Final = 56
_BIG: Final = 1.5
_SLIGHT: Final = 0.0005
_COLOR_ROLE: Final = Qt.ItemDataRole.UserRole + 1
_NO_PARENT: Final = QModelIndex()
_Index = QModelIndex | QPersistentModelIndex


@dataclass(frozen=True, slots=True)
class Row:
    """One row: a name, its figures, and how it is dressed.

    Attributes:
        name: What the figures are of.
        values: One for each heading but the first.
        color: The class's colour, where it is a class.
        muted: True where the row counts nowhere.
        tip: A sentence on the whole row.
    """

    name: str
    values: tuple[Value, ...]
    color: tuple[int, int, int] | None = None
    muted: bool = False
    tip: str = ""


class FigureModel(QAbstractTableModel):
    """Rows of figures; differences are those of the columns whose heading begins with "B \u2212 A"."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.headings: tuple[str, ...] = ()
        self.rows: list[Row] = []
        self._given: tuple[Row, ...] = ()
        self._sorted: tuple[int, Qt.SortOrder] = (-1, Qt.SortOrder.AscendingOrder)

    def show_rows(self, headings: Sequence[str], rows: Sequence[Row]) -> None:
        """Show other rows, sorted as before; `headings` begin with that of the names."""
        self.beginResetModel()
        self.headings, self._given = tuple(headings), tuple(rows)
        if self._sorted[0] >= len(self.headings):
            self._sorted = (-1, Qt.SortOrder.AscendingOrder)
        self.rows = self._in_order()
        self.endResetModel()

    def rowCount(self, parent: _Index = _NO_PARENT) -> int:
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: _Index = _NO_PARENT) -> int:
        return 0 if parent.isValid() else len(self.headings)

    def is_difference(self, column: int) -> bool:
        """True where a column tells B less A."""
        return self.headings[column].startswith("B \u2212 A")

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal or section >= len(self.headings):
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return "B \u2212 A" if self.is_difference(section) else self.headings[section]
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{self.headings[section]}; click to sort"
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _aligned(section)
        return None

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        row, column = self.rows[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(row, column)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _aligned(column)
        if role == Qt.ItemDataRole.ToolTipRole:
            return row.tip or None
        if role == Qt.ItemDataRole.ForegroundRole:
            return self._ink(row, column)
        if role == _COLOR_ROLE and column == 0 and row.color is not None:
            return QColor(*row.color)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{row.name}, {self.headings[column]}: {self._text(row, column)}" if column else row.name
        return None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """By a column, undefined figures last whichever the order; column -1 is the order given."""
        self.beginResetModel()
        self._sorted = (column, order)
        self.rows = self._in_order()
        self.endResetModel()

    def _in_order(self) -> list[Row]:
        column, order = self._sorted
        falling = order == Qt.SortOrder.DescendingOrder
        if column < 0:
            return list(self._given)
        if column == 0:
            return sorted(self._given, key=lambda row: row.name.casefold(), reverse=falling)
        known = [row for row in self._given if not math.isnan(row.values[column - 1])]
        rest = [row for row in self._given if math.isnan(row.values[column - 1])]
        return sorted(known, key=lambda row: row.values[column - 1], reverse=falling) + rest

    def _text(self, row: Row, column: int) -> str:
        if column == 0:
            return row.name
        value = row.values[column - 1]
        return difference_text(float(value)) if self.is_difference(column) else value_text(value)

    def _ink(self, row: Row, column: int) -> QColor | None:
        look = theme.current()
        if column and self.is_difference(column) and abs(row.values[column - 1]) >= _SLIGHT:
            return look.color("success" if row.values[column - 1] > 0 else "error")
        return look.color("text_muted") if row.muted else None


def _aligned(column: int) -> Qt.AlignmentFlag:
    side = Qt.AlignmentFlag.AlignLeft if column == 0 else Qt.AlignmentFlag.AlignRight
    return side | Qt.AlignmentFlag.AlignVCenter


class _NameDelegate(QStyledItemDelegate):
    """A name behind the colour of its class."""

    def initStyleOption(self, option: QStyleOptionViewItem, index: _Index) -> None:
        super().initStyleOption(option, index)
        if index.data(_COLOR_ROLE) is not None:
            option.text = f"{' ' * 5}{option.text}"

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        super().paint(painter, option, index)
        color: QColor | None = index.data(_COLOR_ROLE)
        if color is not None:
            box: QRect = option.rect
            swatch = QRect(box.left() + 6, box.center().y() - _SWATCH_PX // 2, _SWATCH_PX, _SWATCH_PX)
            painter.fillRect(swatch.adjusted(-1, -1, 1, 1), theme.current().color("border_strong"))
            painter.fillRect(swatch, color)


class FigureTable(QTableView):
    """A read-only table of figures."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.figures = FigureModel(self)
        self.setModel(self.figures)
        self.setItemDelegateForColumn(0, _NameDelegate(self))
        self.setAccessibleName(name)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setShowGrid(False)
        self.setTabKeyNavigation(False)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(_ROW_PX)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setMinimumSectionSize(_NARROWEST_PX)
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        header.setSortIndicatorClearable(True)
        self.setSortingEnabled(True)

    def show_rows(self, headings: Sequence[str], rows: Sequence[Row]) -> None:
        """Show other rows; the widths of the columns stay where their number does."""
        before = self.figures.columnCount()
        self.figures.show_rows(headings, rows)
        if self.figures.columnCount() == before:
            return
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        for column in range(1, len(headings)):
            wanted = header.sectionSizeHint(column)
            self.setColumnWidth(column, max(_FIGURE_PX, wanted))
        self.setColumnWidth(0, _NAME_PX)
        if len(headings) <= HEADLINES + 2:
            header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)

    def show_figures(self, figures: Figures) -> None:
        """Show a metric's figures."""
        self.show_rows(("", *figures.headings), [Row(name, values) for name, values in figures.rows])


def class_table(evaluations: Sequence[Evaluation]) -> tuple[tuple[str, ...], list[Row]]:
    """(headings, rows) of the figures by class, of one evaluation or of two (A, B) with their differences."""
    first = evaluations[0]
    columns: list[tuple[Value, ...]] = []
    headings: list[str] = ["Class"]
    for name, title in (("iou", "IoU"), ("accuracy", "Accuracy"), ("dice", "Dice")):
        figures: list[tuple[float, ...]] = [getattr(e.summary, name) for e in evaluations]
        columns += figures
        if len(figures) == 1:
            headings.append(title)
            continue
        headings += [f"{title} A", f"{title} B", f"B \u2212 A, {title}"]
        columns.append(tuple(b - a for a, b in zip(*figures, strict=True)))
    headings += ["True pixels", *(["Predicted A", "Predicted B"] if len(evaluations) > 1 else ["Predicted"])]
    columns += [first.summary.true_pixels, *(e.summary.predicted_pixels for e in evaluations)]
    rows = [
        Row(name, tuple(values), color, muted=not counted, tip="" if counted else "Left out of the means.")
        for name, color, counted, *values in zip(
            first.class_names, first.colors, first.summary.counted, *columns, strict=True
        )
    ]
    return tuple(headings), rows


class Headline(QWidget):
    """The five figures of the confusion matrix, large, each with B's and the difference where two are compared."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.titles: list[ElidedLabel] = []
        self.values: list[QLabel] = []
        self.others: list[QLabel] = []
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(8)
        for column in range(HEADLINES):
            grid.addWidget(self._card(), 0, column)
            grid.setColumnStretch(column, 1)

    def _card(self) -> QFrame:
        frame = QFrame()
        frame.setProperty("role", "card")
        title, value, other = ElidedLabel(), label("", "value", wrap=False), label("", "muted", wrap=False)
        title.setProperty("role", "muted")
        font = QFont(value.font())
        font.setPointSizeF(font.pointSizeF() * _BIG)
        font.setWeight(QFont.Weight.DemiBold)
        value.setFont(font)
        column = QVBoxLayout(frame)
        column.setContentsMargins(10, 6, 10, 6)
        column.setSpacing(0)
        widgets: tuple[QLabel, ...] = (title, value, other)
        for widget in widgets:
            column.addWidget(widget)
        self.titles.append(title)
        self.values.append(value)
        self.others.append(other)
        return frame

    def show_comparison(self, comparison: Comparison) -> None:
        """Show the figures of one evaluation or of two."""
        rows = comparison.headline[:HEADLINES]
        for row, title, value, other in zip(rows, self.titles, self.values, self.others, strict=True):
            title.set_full_text(row.title)
            value.setText(value_text(row.values[0]))
            words = f"{row.title}: {value.text()}"
            if len(row.values) == 1:
                set_text(other, "")
            else:
                change = row.differences[1]
                role = "success" if change >= _SLIGHT else "error" if change <= -_SLIGHT else "muted"
                set_text(other, f"B {value_text(row.values[1])}  {difference_text(change)}", role)
                words = f"{words}; B {value_text(row.values[1])}, difference {difference_text(change)}"
            value.setAccessibleName(words)
