"""The list of the model chooser: every card under its section's heading, narrowed by words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QEvent, QModelIndex, QObject, QPersistentModelIndex, QRect, QSize, Qt, Signal
from PySide6.QtGui import QFont, QKeyEvent, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from segstudio.gui import icons, theme
from segstudio.gui.panels.common import EmptyState, count_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segstudio.services.models import CardInfo

_ID_ROLE: Final = Qt.ItemDataRole.UserRole
_SIDE_ROLE: Final = Qt.ItemDataRole.UserRole + 1
_MARK_ROLE: Final = Qt.ItemDataRole.UserRole + 2
_ROW_PX: Final = 30
_HEADING_PX: Final = 34
_MARGIN_PX: Final = 14
_MARK_PX: Final = 16
_TO_THE_END: Final = (QAbstractItemView.CursorAction.MoveEnd, QAbstractItemView.CursorAction.MovePageDown)
_Index = QModelIndex | QPersistentModelIndex
_TO_LIST: Final = frozenset({Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_PageUp, Qt.Key.Key_PageDown})


def searched(info: CardInfo) -> str:
    """Everything of a card that words may be found in, in small letters."""
    card = info.card
    words = (card.id, card.title, card.paper, card.description, card.family, card.merit, card.origin, info.section)
    return " ".join((*words, *card.classes)).casefold()


class CardDelegate(QStyledItemDelegate):
    """Paints a heading, or a card: title, what marks it out, and its size."""

    def sizeHint(self, _option: QStyleOptionViewItem, index: _Index) -> QSize:
        return QSize(160, _ROW_PX if index.data(_ID_ROLE) is not None else _HEADING_PX)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        rect: QRect = option.rect
        if index.data(_ID_ROLE) is None:
            self._paint_heading(painter, rect, str(index.data()))
        else:
            self._paint_card(painter, rect, option, index)
        painter.restore()

    @staticmethod
    def _paint_heading(painter: QPainter, rect: QRect, text: str) -> None:
        font = QFont(painter.font())
        font.setPointSizeF(font.pointSizeF() * 0.9)
        font.setWeight(QFont.Weight.DemiBold)
        painter.setFont(font)
        painter.setPen(theme.current().color("text_muted"))
        box = rect.adjusted(_MARGIN_PX, 0, -_MARGIN_PX, -6)
        painter.drawText(box, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignBottom, text)

    @staticmethod
    def _paint_card(painter: QPainter, rect: QRect, option: QStyleOptionViewItem, index: _Index) -> None:
        look = theme.current()
        state: QStyle.StateFlag = option.state
        selected = bool(state & QStyle.StateFlag.State_Selected)
        if selected or state & QStyle.StateFlag.State_MouseOver:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(look.color("accent_soft" if selected else "hover"))
            painter.drawRoundedRect(rect.adjusted(4, 1, -4, -1), theme.RADIUS_PX, theme.RADIUS_PX)
        box = rect.adjusted(_MARGIN_PX, 0, -_MARGIN_PX, 0)
        side, mark = str(index.data(_SIDE_ROLE)), index.data(_MARK_ROLE)
        if side:
            painter.setPen(look.color("on_accent_soft" if selected else "text_muted"))
            painter.drawText(box, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, side)
            box.setRight(box.right() - painter.fontMetrics().horizontalAdvance(side) - 8)
        if mark:
            place = QRect(box.right() - _MARK_PX + 1, box.center().y() - _MARK_PX // 2 + 1, _MARK_PX, _MARK_PX)
            icons.paint_glyph(painter, place, mark, look.color(mark))
            box.setRight(place.left() - 6)
        painter.setPen(look.color("on_accent_soft" if selected else "text"))
        text = painter.fontMetrics().elidedText(str(index.data()), Qt.TextElideMode.ElideRight, box.width())
        painter.drawText(box, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, text)


class _Cards(QListWidget):
    """A list whose Home, End and page keys never end on a heading, where Qt would stay put."""

    def moveCursor(self, action: QAbstractItemView.CursorAction, modifiers: Qt.KeyboardModifier) -> QModelIndex:
        index = super().moveCursor(action, modifiers)
        step = -1 if action in _TO_THE_END else 1
        while index.isValid() and (self.isRowHidden(index.row()) or not index.flags() & Qt.ItemFlag.ItemIsEnabled):
            index = index.siblingAtRow(index.row() + step)
        return index


class ModelList(QWidget):
    """A search field over the cards; `chosen` follows the selection, `activated` a double click or Enter."""

    chosen = Signal()
    activated = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._texts: dict[str, str] = {}
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search by name, paper or class")
        self.search.setAccessibleName("Search models")
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(lambda _text: self._narrow())
        self.search.returnPressed.connect(self.activated)
        self.search.installEventFilter(self)
        self.cards = _Cards()
        self.cards.setAccessibleName("Models")
        self.cards.setItemDelegate(CardDelegate(self.cards))
        self.cards.setMouseTracking(True)
        self.cards.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.cards.currentItemChanged.connect(lambda _now, _before: self.chosen.emit())
        self.cards.itemActivated.connect(lambda _item: self.activated.emit())
        self.nothing = EmptyState("")
        self.nothing.hide()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addWidget(self.search)
        column.addWidget(self.cards, 1)
        column.addWidget(self.nothing, 1, Qt.AlignmentFlag.AlignTop)

    @property
    def chosen_id(self) -> str | None:
        """The id of the card chosen; None where the search leaves none."""
        item = self.cards.currentItem()
        return None if item is None or item.isHidden() else item.data(_ID_ROLE)

    def show_infos(self, infos: Sequence[CardInfo], active_id: str, chosen_id: str) -> None:
        """List cards, in sections as they come, and choose one of them."""
        self._texts = {info.card.id: searched(info) for info in infos}
        blocked = self.cards.blockSignals(True)
        place = self.cards.verticalScrollBar().value()
        self.cards.clear()
        section = None
        for info in infos:
            if info.section != section:
                section = info.section
                self.cards.addItem(_heading(section))
            self.cards.addItem(_row(info, in_use=info.card.id == active_id))
        self.cards.blockSignals(blocked)
        self.cards.verticalScrollBar().setValue(place)
        self.choose(chosen_id)
        self._narrow()

    def choose(self, card_id: str) -> None:
        """Choose a card, in view."""
        for row in range(self.cards.count()):
            if self.cards.item(row).data(_ID_ROLE) == card_id:
                self.cards.setCurrentRow(row)
                self.cards.scrollToItem(self.cards.item(row))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Lets the arrow keys walk through the list while words are typed."""
        if event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent) and event.key() in _TO_LIST:
            QApplication.sendEvent(self.cards, event)
            return True
        return super().eventFilter(watched, event)

    def _narrow(self) -> None:
        """Hides the cards that lack one of the words, and the headings over nothing."""
        words = self.search.text().casefold().split()
        first: QListWidgetItem | None = None
        heading: QListWidgetItem | None = None
        for row in range(self.cards.count()):
            item = self.cards.item(row)
            card_id = item.data(_ID_ROLE)
            if card_id is None:
                heading = item
                item.setHidden(True)
                continue
            found = all(word in self._texts[card_id] for word in words)
            item.setHidden(not found)
            if found:
                first = first or item
                if heading is not None:
                    heading.setHidden(False)
        self.nothing.set_words(f"No model has “{self.search.text().strip()}”. Try fewer or other words.")
        self.nothing.setVisible(first is None)
        self.cards.setVisible(first is not None)
        current = self.cards.currentItem()
        if first is not None and (current is None or current.isHidden()):
            self.cards.setCurrentItem(first)
        self.chosen.emit()


def _heading(text: str) -> QListWidgetItem:
    item = QListWidgetItem(text)
    item.setFlags(Qt.ItemFlag.NoItemFlags)
    item.setData(Qt.ItemDataRole.AccessibleTextRole, f"Section {text}")
    return item


def _row(info: CardInfo, *, in_use: bool) -> QListWidgetItem:
    card = info.card
    title = card.title or card.id
    item = QListWidgetItem(title)
    item.setData(_ID_ROLE, card.id)
    item.setData(_SIDE_ROLE, "in use" if in_use else count_text(card.parameters) if card.parameters else "")
    item.setData(_MARK_ROLE, "warning" if info.limit else "success" if info.knows_classes else None)
    says = "\n".join(part for part in (title, info.note, info.limit) if part)
    item.setToolTip(says)
    item.setData(Qt.ItemDataRole.AccessibleTextRole, says.replace("\n", ", ") + (", in use" if in_use else ""))
    return item
