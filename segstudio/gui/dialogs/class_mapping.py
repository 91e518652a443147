"""The table in which a person says what each class of a source becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from PySide6.QtCore import (
    QAbstractItemModel,
    QAbstractTableModel,
    QModelIndex,
    QPersistentModelIndex,
    QRect,
    QSize,
    Qt,
    QTimer,
    Signal,
)
from PySide6.QtGui import QColor, QIcon, QKeyEvent, QPainter, QPen, QPixmap, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHeaderView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from segstudio.core.catalog import IGNORE, Catalog, LabelClass
from segstudio.gui import icons, theme
from segstudio.services.mapping import ADD

if TYPE_CHECKING:
    from segstudio.formats.classes import SourceClass
    from segstudio.services.mapping import ClassMapping

CLASS, NUMBER, PIXELS, TARGET = range(4)
_TITLES: Final = ("Class in the source", "Number", "Pixels seen", "Becomes")
_ADD_WORDS: Final = "Add as new class"
_IGNORE_WORDS: Final = "Ignore"
_ROW_PX: Final = 32
_SWATCH_PX: Final = 14
_GAP_PX: Final = 8
_MOST_SHOWN: Final = 14
_NUMBER_PX: Final = 78
_PIXELS_PX: Final = 92
_Index = QModelIndex | QPersistentModelIndex
_NOWHERE: Final = QModelIndex()


class MappingModel(QAbstractTableModel):
    """A row for each class of the source: those with pixels first, each part in the source's order."""

    chosen = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.mapping: ClassMapping | None = None
        self._rows: tuple[SourceClass, ...] = ()

    def set_mapping(self, mapping: ClassMapping | None) -> None:
        """Show another mapping, or none."""
        self.beginResetModel()
        self.mapping = mapping
        if mapping is None:
            self._rows = ()
        else:
            pixels = mapping.preview.pixels
            self._rows = tuple(sorted(mapping.preview.classes, key=lambda c: not pixels.get(c.number)))
        self.endResetModel()

    def refresh(self) -> None:
        """Show what the mapping says now."""
        if self._rows:
            self.dataChanged.emit(self.index(0, 0), self.index(len(self._rows) - 1, TARGET))

    def source(self, row: int) -> SourceClass:
        """The class of the source in a row."""
        return self._rows[row]

    def pixels(self, row: int) -> int:
        """Its pixels in the samples."""
        return self.mapping.preview.pixels.get(self._rows[row].number, 0) if self.mapping is not None else 0

    def target(self, row: int) -> int | None:
        """What it becomes."""
        return self.mapping.target(self._rows[row].number) if self.mapping is not None else None

    def becomes(self, row: int) -> LabelClass | None:
        """The class its pixels will carry, where they will carry one."""
        return self.mapping.label_class(self._rows[row].number) if self.mapping is not None else None

    def open_row(self, row: int) -> bool:
        """True where pixels use the class and nobody decided what it becomes."""
        return self.pixels(row) > 0 and self.target(row) is None

    def next_open(self, after: int) -> int | None:
        """The next row that needs a decision, from the top again after the last."""
        count = len(self._rows)
        rows = ((after + offset) % count for offset in range(1, count + 1)) if count else iter(())
        return next((row for row in rows if self.open_row(row)), None)

    def rowCount(self, parent: _Index = _NOWHERE) -> int:
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: _Index = _NOWHERE) -> int:
        return 0 if parent.isValid() else len(_TITLES)

    def flags(self, index: _Index) -> Qt.ItemFlag:
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        return flags | Qt.ItemFlag.ItemIsEditable if index.column() == TARGET else flags

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return _TITLES[section]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(section)
        if role == Qt.ItemDataRole.ToolTipRole and section == PIXELS:
            return "In the labels looked into; the others are read when they are imported"
        return None

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        row, column = index.row(), index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(row, column)
        if role == Qt.ItemDataRole.EditRole and column == TARGET:
            return self.target(row)
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._text(row, column) or None
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{self._text(row, CLASS)} becomes: {self._text(row, TARGET)}" if column == TARGET else None
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(column)
        return None

    def setData(self, index: _Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        if role != Qt.ItemDataRole.EditRole or index.column() != TARGET or value is None or self.mapping is None:
            return False
        self.mapping.choose(int(value), self._rows[index.row()].number)
        self.refresh()
        self.chosen.emit()
        return True

    def _text(self, row: int, column: int) -> str:
        source = self._rows[row]
        if column == CLASS:
            return source.name or source.called.capitalize()
        if column == NUMBER:
            return str(source.number)
        if column == PIXELS:
            return f"{self.pixels(row):,}" if self.pixels(row) else "none"
        return self._target_text(row)

    def _target_text(self, row: int) -> str:
        target = self.target(row)
        if target is None:
            if self.open_row(row):
                return "Choose…"
            return "Added if seen" if self.mapping is not None and self.mapping.adds else "Refused if seen"
        if target == ADD:
            return _ADD_WORDS
        found = self.becomes(row)
        return found.name if found is not None else _IGNORE_WORDS


class MappingDelegate(QStyledItemDelegate):
    """Paints swatches, and the last column as the combo box that it becomes when it is opened."""

    def __init__(self, targets: QAbstractItemModel, parent: QWidget) -> None:
        super().__init__(parent)
        self._targets = targets

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        model = index.model()
        if not isinstance(model, MappingModel):
            return
        look, row, column = theme.current(), index.row(), index.column()
        rect: QRect = option.rect
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        view = option.widget
        current = isinstance(view, QTableView) and view.currentIndex().row() == row
        if current:
            painter.fillRect(rect, look.color("accent_soft"))
        text = look.color("text" if model.pixels(row) else "text_muted")
        if column == CLASS:
            paint_swatch(painter, _swatch_place(rect.left() + _GAP_PX, rect), model.source(row).color)
            box = rect.adjusted(2 * _GAP_PX + _SWATCH_PX, 0, -_GAP_PX, 0)
            _paint_text(painter, box, index.data(), text, _alignment(column))
        elif column == TARGET:
            self._paint_target(painter, rect.adjusted(4, 3, -6, -3), model, row)
        else:
            box = rect.adjusted(4, 0, -_GAP_PX, 0)
            _paint_text(painter, box, index.data(), look.color("text_muted"), _alignment(column))
        painter.restore()

    def sizeHint(self, option: QStyleOptionViewItem, index: _Index) -> QSize:
        return QSize(super().sizeHint(option, index).width(), _ROW_PX)

    def createEditor(self, parent: QWidget, option: QStyleOptionViewItem, index: _Index) -> QWidget:
        combo = QComboBox(parent)
        combo.setModel(self._targets)
        combo.setMaxVisibleItems(_MOST_SHOWN)
        combo.setAccessibleName(f"What {index.model().index(index.row(), CLASS).data()} becomes")
        combo.activated.connect(lambda _index: self._take(combo))
        QTimer.singleShot(0, combo, combo.showPopup)
        return combo

    def setEditorData(self, editor: QWidget, index: _Index) -> None:
        assert isinstance(editor, QComboBox)
        editor.setCurrentIndex(editor.findData(index.data(Qt.ItemDataRole.EditRole)))

    def setModelData(self, editor: QWidget, model: QAbstractItemModel, index: _Index) -> None:
        assert isinstance(editor, QComboBox)
        chosen = editor.currentData()
        if chosen != index.data(Qt.ItemDataRole.EditRole):
            model.setData(index, chosen)

    def updateEditorGeometry(self, editor: QWidget, option: QStyleOptionViewItem, _index: _Index) -> None:
        editor.setGeometry(option.rect)

    def _take(self, combo: QComboBox) -> None:
        self.commitData.emit(combo)
        self.closeEditor.emit(combo)

    def _paint_target(self, painter: QPainter, rect: QRect, model: MappingModel, row: int) -> None:
        look, needed = theme.current(), model.open_row(row)
        painter.setPen(look.color("warning" if needed else "border_strong"))
        painter.setBrush(look.color("warning_soft" if needed else "sunken"))
        painter.drawRoundedRect(rect, 5, 5)
        left, target = rect.left() + _GAP_PX, model.target(row)
        if target is not None:
            place = _swatch_place(left, rect)
            if target == ADD:
                icons.paint_glyph(painter, place, "add", look.color("accent_ink"))
            else:
                found = model.becomes(row)
                paint_swatch(painter, place, found.color if found is not None else None)
            left += _SWATCH_PX + _GAP_PX
        arrow = QRect(0, 0, _SWATCH_PX, _SWATCH_PX)
        arrow.moveCenter(rect.center())
        arrow.moveRight(rect.right() - 5)
        icons.paint_glyph(painter, arrow, "chevron_down", look.color("text_muted"))
        box = QRect(left, rect.top(), arrow.left() - left - 4, rect.height())
        token = "warning" if needed else "text" if target is not None else "text_muted"
        _paint_text(painter, box, model.index(row, TARGET).data(), look.color(token), _alignment(TARGET))


class MappingTable(QTableView):
    """The table; a click or Enter opens the choice of a row, and a choice moves on to the next open row."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows = MappingModel(self)
        self._targets = QStandardItemModel(self)
        self._catalog: Catalog | None = None
        self.setModel(self.rows)
        self.setItemDelegate(MappingDelegate(self._targets, self))
        self.setAccessibleName("What the classes of the source become")
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.EditKeyPressed)
        self.setTabKeyNavigation(False)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(_ROW_PX)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionsClickable(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        for column in (CLASS, TARGET):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Stretch)
        for column, width in ((NUMBER, _NUMBER_PX), (PIXELS, _PIXELS_PX)):
            self.setColumnWidth(column, width)
        self.clicked.connect(self._clicked)
        self.rows.chosen.connect(self._chosen)

    def show_mapping(self, mapping: ClassMapping | None) -> None:
        """Show another mapping, or none, and go to the first row that needs a decision."""
        self.rows.set_mapping(mapping)
        if mapping is not None:
            self._offer(mapping.catalog)
        first = self.rows.next_open(-1)
        if self.rows.rowCount():
            self._go(first if first is not None else 0)

    def refresh(self) -> None:
        """Show what the mapping says now, with the project's classes now."""
        if self.rows.mapping is not None:
            self._offer(self.rows.mapping.catalog)
        self.rows.refresh()

    def currentChanged(self, current: _Index, previous: _Index) -> None:
        super().currentChanged(current, previous)
        self.viewport().update()  # the whole row shows where one is, not only its cell

    def keyPressEvent(self, event: QKeyEvent) -> None:
        opens = (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space, Qt.Key.Key_F2)
        if event.key() in opens and self.currentIndex().isValid():
            # Else Enter would press the dialog's default button.
            self.edit(self.rows.index(self.currentIndex().row(), TARGET))
            event.accept()
            return
        super().keyPressEvent(event)

    def _clicked(self, index: QModelIndex) -> None:
        if index.column() == TARGET:
            self.edit(index)

    def _chosen(self) -> None:
        following = self.rows.next_open(self.currentIndex().row())
        if following is not None:
            self._go(following)
        self.changed.emit()

    def _go(self, row: int) -> None:
        index = self.rows.index(row, TARGET)
        self.setCurrentIndex(index)
        self.scrollTo(index)

    def _offer(self, catalog: Catalog) -> None:
        """What a class may become: one list that every row's combo box shares."""
        if catalog == self._catalog:
            return
        self._catalog = catalog
        self._targets.clear()
        for words, target, icon in (
            (_ADD_WORDS, ADD, icons.icon("add")),
            (_IGNORE_WORDS, IGNORE, QIcon(_swatch_pixmap(None))),
            *((c.name, c.id, QIcon(_swatch_pixmap(c.color))) for c in catalog),
        ):
            item = QStandardItem(icon, words)
            item.setData(target, Qt.ItemDataRole.UserRole)
            item.setToolTip(words)
            self._targets.appendRow(item)


def paint_swatch(painter: QPainter, place: QRect, color: tuple[int, int, int] | None) -> None:
    """A class's colour; a dashed outline where it has none."""
    look = theme.current()
    painter.save()
    if color is None:
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(look.color("text_muted"), 1, Qt.PenStyle.DashLine))
    else:
        painter.setBrush(QColor(*color))
        painter.setPen(look.color("border_strong"))
    painter.drawRoundedRect(place, 4, 4)
    painter.restore()


def _swatch_pixmap(color: tuple[int, int, int] | None) -> QPixmap:
    picture = QPixmap(_SWATCH_PX + 2, _SWATCH_PX + 2)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    paint_swatch(painter, QRect(1, 1, _SWATCH_PX - 1, _SWATCH_PX - 1), color)
    painter.end()
    return picture


def _swatch_place(left: int, rect: QRect) -> QRect:
    place = QRect(0, 0, _SWATCH_PX, _SWATCH_PX)
    place.moveCenter(rect.center())
    place.moveLeft(left)
    return place


def _paint_text(painter: QPainter, box: QRect, text: str, color: QColor, alignment: Qt.AlignmentFlag) -> None:
    painter.setPen(color)
    painter.drawText(box, alignment, painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideMiddle, box.width()))


def _alignment(column: int) -> Qt.AlignmentFlag:
    side = Qt.AlignmentFlag.AlignRight if column in (NUMBER, PIXELS) else Qt.AlignmentFlag.AlignLeft
    return side | Qt.AlignmentFlag.AlignVCenter
