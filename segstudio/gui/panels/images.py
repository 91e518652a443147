"""The image list: search, filter by status, how much is done; quick with 20,000 rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from PySide6.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, QRect, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QPainter, QPen
from PySide6.QtWidgets import (
    QComboBox,
    QLabel,
    QLineEdit,
    QListView,
    QProgressBar,
    QStackedWidget,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from segstudio.core.items import ImageItem, Split, Status
from segstudio.gui import icons, theme

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ITEM_ROLE: Final = Qt.ItemDataRole.UserRole + 1
_ROW_PX: Final = 32
_DOT_PX: Final = 10
_STATUS_TEXT: Final = {Status.NEW: "new", Status.IN_PROGRESS: "in progress", Status.REVIEWED: "reviewed"}
_STATUS_TOKEN: Final = {Status.NEW: "text_muted", Status.IN_PROGRESS: "warning", Status.REVIEWED: "success"}
_Index = QModelIndex | QPersistentModelIndex


@dataclass(frozen=True, slots=True)
class Filter:
    """Which images show: a part of the name, and a status or "unfinished" or "problem" (None = every one)."""

    text: str = ""
    status: str | None = None

    def keeps(self, item: ImageItem) -> bool:
        """True where the item shows."""
        if self.status == "problem":
            if item.problem is None:
                return False
        elif self.status == "unfinished":
            if item.status is Status.REVIEWED:
                return False
        elif self.status is not None and item.status != self.status:
            return False
        return not self.text or self.text in item.name.casefold()


class ImageListModel(QAbstractListModel):
    """The images of a project that pass the filter, in the project's order."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._items: list[ImageItem] = []
        self._shown: list[ImageItem] = []
        self._row_of: dict[int, int] = {}
        self._position_of: dict[int, int] = {}
        self._filter = Filter()

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008 - Qt's signature
        return 0 if parent.isValid() else len(self._shown)

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        item = self._shown[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return item.name
        if role == ITEM_ROLE:
            return item
        if role == Qt.ItemDataRole.ToolTipRole:
            return describe(item)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return describe(item).replace("\n", ", ")
        return None

    def set_items(self, items: Iterable[ImageItem]) -> None:
        """Replace every image."""
        self._items = list(items)
        self._position_of = {item.id: position for position, item in enumerate(self._items)}
        self._rebuild()

    def set_filter(self, wanted: Filter) -> None:
        """Show the images that pass."""
        if wanted != self._filter:
            self._filter = wanted
            self._rebuild()

    def update_item(self, item: ImageItem) -> None:
        """Show the new state of one image; it keeps its row even where the filter would now drop it."""
        position = self._position_of.get(item.id)
        if position is not None:
            self._items[position] = item
        row = self._row_of.get(item.id)
        if row is not None:
            before, self._shown[row] = self._shown[row], item
            # A list view lays out all its rows again for one changed one: 30 ms at 20,000 rows.
            if _painted(before) != _painted(item):
                index = self.index(row)
                self.dataChanged.emit(index, index)

    def row_of(self, image_id: int) -> int | None:
        """The row of an image, None where the filter hides it."""
        return self._row_of.get(image_id)

    def item(self, row: int) -> ImageItem:
        """The image in a row."""
        return self._shown[row]

    def _rebuild(self) -> None:
        self.beginResetModel()
        self._shown = [item for item in self._items if self._filter.keeps(item)]
        self._row_of = {item.id: row for row, item in enumerate(self._shown)}
        self.endResetModel()


def _painted(item: ImageItem) -> tuple[object, ...]:
    """What the list paints of an image; its size, say, is only in the tooltip."""
    return item.name, item.status, item.split, item.decided, item.problem, item.note


def describe(item: ImageItem) -> str:
    """What the tooltip says about an image."""
    lines = [item.name]
    if item.width and item.height:
        lines.append(f"{item.width} × {item.height} pixels")
    part = f", {item.decided:.0%} decided" if item.status is Status.IN_PROGRESS else ""
    lines.append(_STATUS_TEXT[item.status] + part)
    if item.split is Split.VALIDATION:
        lines.append("validation image: scores models, never trains them")
    lines += [sentence for sentence in (item.problem, item.note) if sentence is not None]
    return "\n".join(lines)


def mark_of(item: ImageItem) -> str | None:
    """The icon at the end of a row: a warning where the image cannot be used, a hint where it was read specially."""
    if item.problem is not None:
        return "warning"
    return "info" if item.note is not None else None


class ImageDelegate(QStyledItemDelegate):
    """Paints a row: status dot, name, a mark for validation images and for problems."""

    def sizeHint(self, _option: QStyleOptionViewItem, _index: _Index) -> QSize:
        return QSize(120, _ROW_PX)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        item: ImageItem = index.data(ITEM_ROLE)
        look = theme.current()
        rect: QRect = option.rect
        state: QStyle.StateFlag = option.state
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        selected = bool(state & QStyle.StateFlag.State_Selected)
        if selected or state & QStyle.StateFlag.State_MouseOver:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(look.color("accent_soft" if selected else "hover"))
            painter.drawRoundedRect(rect.adjusted(6, 1, -6, -1), theme.RADIUS_PX, theme.RADIUS_PX)
        paint_status(painter, rect.left() + 21, rect.center().y() + 1, item, look)
        right = rect.right() - 14
        mark = mark_of(item)
        if mark is not None:
            box = QRect(right - 16, rect.center().y() - 7, 16, 16)
            icons.paint_glyph(painter, box, mark, look.color("warning" if mark == "warning" else "text_muted"))
            right -= 22
        if item.split is Split.VALIDATION:
            painter.setPen(look.color("on_accent_soft" if selected else "text_muted"))
            painter.drawText(
                QRect(right - 26, rect.top(), 26, rect.height()),
                Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight,
                "val",
            )
            right -= 32
        box = QRect(rect.left() + 36, rect.top(), right - rect.left() - 36, rect.height())
        painter.setPen(look.color("text_muted" if item.problem else "text"))
        text = painter.fontMetrics().elidedText(item.name, Qt.TextElideMode.ElideMiddle, box.width())
        painter.drawText(box, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, text)
        painter.restore()


def paint_status(painter: QPainter, x: int, y: int, item: ImageItem, look: theme.Theme) -> None:
    """Paint the status centred at a point: hollow ring, pie of the decided part, full disc with tick."""
    box = QRect(x - _DOT_PX // 2, y - _DOT_PX // 2, _DOT_PX, _DOT_PX)
    color = look.color(_STATUS_TOKEN[item.status])
    if item.status is Status.REVIEWED:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(color)
        painter.drawEllipse(box)
        return
    painter.setPen(QPen(color, 1.5))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawEllipse(box)
    if item.status is Status.IN_PROGRESS:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(color))
        painter.drawPie(box, 90 * 16, -round(max(0.12, item.decided) * 360 * 16))


class ImageListView(QListView):
    """The list; typing letters never jumps, they are shortcuts of the window."""

    def keyboardSearch(self, _search: str) -> None:
        """Nothing: the search field finds images."""


class ImagesPanel(QWidget):
    """The left panel; `chosen` says which image a person went to."""

    chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.model = ImageListModel(self)
        self._total = 0
        self._reviewed = 0
        self._quiet = False
        self._search_timer = QTimer(self, singleShot=True, interval=120)
        self._search_timer.timeout.connect(self._apply_filter)
        self._build()

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 12, 0, 0)
        layout.setSpacing(8)
        top = QVBoxLayout()
        top.setContentsMargins(12, 0, 12, 0)
        top.setSpacing(8)
        self.count = QLabel("No images", self)
        self.count.setProperty("role", "section")
        self.progress = QProgressBar(self)
        self.progress.setTextVisible(False)
        self.progress.setAccessibleName("Part of the images that is reviewed")
        self.search = QLineEdit(self)
        self.search.setPlaceholderText("Search by name")
        self.search.setAccessibleName("Search images by name")
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(self._on_text)
        self.status = QComboBox(self)
        self.status.setAccessibleName("Filter images by status")
        for title, value in (
            ("All images", None),
            ("Unfinished", "unfinished"),
            ("New", Status.NEW),
            ("In progress", Status.IN_PROGRESS),
            ("Reviewed", Status.REVIEWED),
            ("With a problem", "problem"),
        ):
            self.status.addItem(title, value)
        self.status.currentIndexChanged.connect(self._apply_filter)
        for widget in (self.count, self.progress, self.search, self.status):
            top.addWidget(widget)
        layout.addLayout(top)
        self.stack = QStackedWidget(self)
        self.view = ImageListView(self)
        self.view.setModel(self.model)
        self.view.setItemDelegate(ImageDelegate(self.view))
        self.view.setUniformItemSizes(True)
        self.view.setAccessibleName("Images")
        self.view.setMouseTracking(True)
        self.view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.view.selectionModel().currentChanged.connect(self._on_current)
        self.empty = QLabel(self)
        self.empty.setProperty("role", "muted")
        self.empty.setWordWrap(True)
        self.empty.setAlignment(Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop)
        self.empty.setContentsMargins(16, 24, 16, 0)
        self.stack.addWidget(self.view)
        self.stack.addWidget(self.empty)
        layout.addWidget(self.stack, 1)

    def set_items(self, items: Sequence[ImageItem]) -> None:
        """Show the images of a project."""
        self._total = len(items)
        self._reviewed = sum(item.status is Status.REVIEWED for item in items)
        current = self.current_id()
        self._quiet = True
        self.model.set_items(items)
        self._quiet = False
        self._after_reset(current)

    def update_item(self, item: ImageItem, *, before: Status | None) -> None:
        """Show the new state of one image."""
        if before is not None and before is not item.status:
            self._reviewed += (item.status is Status.REVIEWED) - (before is Status.REVIEWED)
        self.model.update_item(item)
        self._refresh_count()

    def set_current(self, image_id: int | None) -> None:
        """Mark the image that the canvas shows, without asking to open it."""
        row = self.model.row_of(image_id) if image_id is not None else None
        self._quiet = True
        if row is None:
            self.view.clearSelection()
        else:
            self.view.setCurrentIndex(self.model.index(row))
        self._quiet = False

    def current_id(self) -> int | None:
        """The marked image."""
        index = self.view.currentIndex()
        return self.model.item(index.row()).id if index.isValid() else None

    def focus_search(self) -> None:
        """Put the cursor into the search field."""
        self.search.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.search.selectAll()

    def _on_current(self, index: QModelIndex, _before: QModelIndex) -> None:
        if index.isValid() and not self._quiet:
            self.chosen.emit(self.model.item(index.row()).id)

    def _on_text(self) -> None:
        self._search_timer.start()

    def _apply_filter(self) -> None:
        current = self.current_id()
        self._quiet = True
        self.model.set_filter(Filter(self.search.text().strip().casefold(), self.status.currentData()))
        self._quiet = False
        self._after_reset(current)

    def _after_reset(self, current: int | None) -> None:
        self.set_current(current)
        self._refresh_count()
        if self.model.rowCount():
            self.stack.setCurrentWidget(self.view)
            return
        nothing = "No image matches.\nClear the search or choose “All images”."
        none = "This project has no images yet.\nPut PNG, JPEG, TIFF, BMP or WebP files into its folder and press F5."
        self.empty.setText(nothing if self._total else none)
        self.stack.setCurrentWidget(self.empty)

    def _refresh_count(self) -> None:
        self.count.setText(f"{self._reviewed:,} of {self._total:,} reviewed" if self._total else "No images")
        self.progress.setRange(0, max(1, self._total))
        self.progress.setValue(self._reviewed)
