"""The class list as a Qt model, and how its cells are painted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, QRect, Qt, Signal
from PySide6.QtGui import QColor, QPainter
from PySide6.QtWidgets import QStyledItemDelegate, QStyleOptionViewItem, QTableView, QWidget

from segstudio.core.catalog import IGNORE, VOID_COLOR, Catalog, LabelClass
from segstudio.gui import icons, theme

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME, SHARE, KEY, EYE, LOCK = range(5)
_TITLES: Final = ("Class", "Share of this image", "Key", "Visible", "Lock")
_Index = QModelIndex | QPersistentModelIndex
_NUMBER_KEYS: Final = 9


class ClassModel(QAbstractTableModel):
    """Classes in display order, then the row for ignore."""

    renamed = Signal(int, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.catalog = Catalog()
        self._shares: Mapping[int, float] = {}

    def set_catalog(self, catalog: Catalog) -> None:
        """Show other classes."""
        self.beginResetModel()
        self.catalog = catalog
        self.endResetModel()

    def set_shares(self, shares: Mapping[int, float]) -> None:
        """Show which part (0..1) of the image each class has."""
        self._shares = shares
        last = self.rowCount() - 1
        self.dataChanged.emit(self.index(0, SHARE), self.index(last, SHARE))

    def class_id(self, row: int) -> int:
        """The class of a row; IGNORE for the last one."""
        return self.catalog.ids[row] if row < len(self.catalog) else IGNORE

    def row_of(self, class_id: int) -> int | None:
        """The row of a class."""
        if class_id == IGNORE:
            return len(self.catalog)
        return self.catalog.ids.index(class_id) if class_id in self.catalog else None

    def label_class(self, row: int) -> LabelClass | None:
        """The class of a row; None for ignore."""
        return self.catalog[self.class_id(row)] if row < len(self.catalog) else None

    def color(self, row: int) -> QColor:
        """The colour of a row's swatch."""
        found = self.label_class(row)
        return QColor(*(found.color if found is not None else VOID_COLOR))

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008 - Qt's signature
        return 0 if parent.isValid() else len(self.catalog) + 1

    def columnCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008 - Qt's signature
        return 0 if parent.isValid() else len(_TITLES)

    def flags(self, index: _Index) -> Qt.ItemFlag:
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        if index.column() == NAME and self.label_class(index.row()) is not None:
            flags |= Qt.ItemFlag.ItemIsEditable
        return flags

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        row, column = index.row(), index.column()
        found = self.label_class(row)
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole):
            return self._text(row, column, found)
        if role in (Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleTextRole):
            return self._tooltip(column, found)
        if role == Qt.ItemDataRole.TextAlignmentRole and column in (SHARE, KEY):
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def setData(self, index: _Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        name = str(value).strip()
        found = self.label_class(index.row())
        if role != Qt.ItemDataRole.EditRole or found is None or not name or name == found.name:
            return False
        self.renamed.emit(found.id, name)
        return True

    def _text(self, row: int, column: int, found: LabelClass | None) -> str:
        if column == NAME:
            return found.name if found is not None else "Ignore (void)"
        if column == SHARE:
            share = self._shares.get(self.class_id(row), 0.0)
            return "" if share <= 0 else ("<1 %" if share < 0.01 else f"{share:.0%}".replace("%", " %"))
        if column == KEY:
            return "0" if found is None else (str(row + 1) if row < _NUMBER_KEYS else "")
        return ""

    def _tooltip(self, column: int, found: LabelClass | None) -> str:
        if found is None:
            return "Pixels for which no class may be claimed: left out of training and scores"
        if column == EYE:
            return f"{found.name}: hidden, click to show" if found.hidden else f"{found.name}: shown, click to hide"
        if column == LOCK:
            return f"{found.name}: locked, no tool paints over it" if found.locked else f"{found.name}: not locked"
        return f"{found.name} (id {found.id}, {found.kind})"


class ClassDelegate(QStyledItemDelegate):
    """Paints the swatch, the key cap, the eye and the lock."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        model = index.model()
        if not isinstance(model, ClassModel):
            return
        rect: QRect = option.rect
        view = option.widget
        look = theme.current()
        selected = isinstance(view, QTableView) and view.currentIndex().row() == index.row()
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if selected:
            painter.fillRect(rect, look.color("accent_soft"))
        found = model.label_class(index.row())
        column = index.column()
        if column == NAME:
            self._paint_name(painter, rect, model, index.row(), hidden=found is not None and found.hidden)
        elif column == SHARE:
            painter.setPen(look.color("text_muted"))
            painter.drawText(rect, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, index.data())
        elif column == KEY and index.data():
            _paint_key(painter, rect, index.data())
        elif found is not None and column in (EYE, LOCK):
            on = not found.hidden if column == EYE else found.locked
            name = ("eye" if on else "eye_off") if column == EYE else ("lock" if on else "lock_open")
            quiet = on if column == EYE else not on
            box = QRect(0, 0, 16, 16)
            box.moveCenter(rect.center())
            icons.paint_glyph(
                painter,
                box,
                name,
                look.color("text_disabled" if quiet and column == LOCK else "text_muted" if quiet else "text"),
            )
        painter.restore()

    def _paint_name(self, painter: QPainter, rect: QRect, model: ClassModel, row: int, *, hidden: bool) -> None:
        look = theme.current()
        swatch = QRect(rect.left() + 12, rect.center().y() - 7, 16, 16)
        painter.setPen(look.color("border_strong"))
        painter.setBrush(model.color(row))
        painter.drawRoundedRect(swatch, 4, 4)
        box = rect.adjusted(36, 0, -4, 0)
        painter.setPen(look.color("text_muted" if hidden else "text"))
        text = painter.fontMetrics().elidedText(model.index(row, NAME).data(), Qt.TextElideMode.ElideRight, box.width())
        painter.drawText(box, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, text)


def _paint_key(painter: QPainter, rect: QRect, text: str) -> None:
    look = theme.current()
    box = QRect(0, 0, 18, 18)
    box.moveCenter(rect.center())
    painter.setPen(look.color("border"))
    painter.setBrush(look.color("raised"))
    painter.drawRoundedRect(box, 4, 4)
    painter.setPen(look.color("text_muted"))
    painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)
