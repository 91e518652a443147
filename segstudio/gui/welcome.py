"""The page of a window without a project: open, create, try, go on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, QRect, QSize, Qt, Signal
from PySide6.QtGui import QBrush, QFont, QPainter, QPixmap
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QListView,
    QPushButton,
    QSizePolicy,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from segstudio.gui import icons, theme
from segstudio.gui.thumbnails import load_thumbnail
from segstudio.gui.wordmark import Wordmark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segstudio.gui.actions import Actions

_Index = QModelIndex | QPersistentModelIndex
_PATH_ROLE: Final = Qt.ItemDataRole.UserRole + 1
_RECENT_ROW_PX: Final = 56
_COLUMN_PX: Final = 360
_NO_RECENT: Final = (
    "Projects you open are listed here.\nYou can also drop a folder, an image\nor a project on this window."
)
_CHOICE_PX: Final = 64
_LIST_PX: Final = 4 * _CHOICE_PX + 3 * 8


class RecentModel(QAbstractListModel):
    """Projects opened lately."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._paths: list[Path] = []
        self._pictures: dict[Path, QPixmap | None] = {}

    def set_paths(self, paths: Sequence[Path]) -> None:
        """Show other projects."""
        self.beginResetModel()
        self._paths = list(paths)
        self._pictures = {path: load_thumbnail(path) for path in self._paths}
        self.endResetModel()

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008 - Qt's signature
        return 0 if parent.isValid() else len(self._paths)

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        path = self._paths[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return path.stem
        if role == _PATH_ROLE:
            return path
        if role == Qt.ItemDataRole.DecorationRole:
            return self._pictures.get(path)
        if role in (Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleTextRole):
            return str(path)
        return None


class RecentDelegate(QStyledItemDelegate):
    """A tile with the project's first letter, its name, and where it is."""

    def sizeHint(self, _option: QStyleOptionViewItem, _index: _Index) -> QSize:
        return QSize(200, _RECENT_ROW_PX)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        rect: QRect = option.rect
        state: QStyle.StateFlag = option.state
        look = theme.current()
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        focused = state & QStyle.StateFlag.State_HasFocus
        if state & QStyle.StateFlag.State_MouseOver or focused:
            painter.setPen(look.color("accent_ink") if focused else Qt.PenStyle.NoPen)
            painter.setBrush(look.color("hover"))
            painter.drawRoundedRect(rect.adjusted(1, 1, -2, -2), theme.RADIUS_PX, theme.RADIUS_PX)
        path = index.data(_PATH_ROLE)
        tile = QRect(rect.left() + 8, rect.top() + 10, 36, 36)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(look.color("accent_soft"))
        painter.drawRoundedRect(tile, theme.RADIUS_PX, theme.RADIUS_PX)
        picture = index.data(Qt.ItemDataRole.DecorationRole)
        if picture is None:
            icons.paint_glyph(painter, tile.adjusted(9, 9, -9, -9), "images", look.color("accent_ink"))
        else:
            painter.setBrushOrigin(tile.topLeft())
            painter.setBrush(QBrush(picture.scaled(tile.size(), mode=Qt.TransformationMode.SmoothTransformation)))
            painter.drawRoundedRect(tile, theme.RADIUS_PX, theme.RADIUS_PX)
        font = QFont(painter.font())
        font.setWeight(QFont.Weight.DemiBold)
        metrics = painter.fontMetrics()
        box = QRect(tile.right() + 12, rect.top() + 9, rect.right() - tile.right() - 20, 20)
        painter.setPen(look.color("text"))
        plain = painter.font()
        painter.setFont(font)
        name = metrics.elidedText(path.stem, Qt.TextElideMode.ElideRight, box.width())
        painter.drawText(box, Qt.AlignmentFlag.AlignVCenter, name)
        painter.setFont(plain)
        painter.setPen(look.color("text_muted"))
        where = metrics.elidedText(_short(path.parent), Qt.TextElideMode.ElideMiddle, box.width())
        painter.drawText(box.translated(0, 19), Qt.AlignmentFlag.AlignVCenter, where)
        painter.restore()


def _short(path: Path) -> str:
    try:
        return "~/" + path.relative_to(Path.home()).as_posix()
    except ValueError:
        return str(path)


class ChoiceButton(QPushButton):
    """A wide button: icon, title, one muted line."""

    def __init__(self, icon: str, title: str, text: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("choice")
        self.setAccessibleName(title)
        self.setAccessibleDescription(text)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(_CHOICE_PX)
        # Outside a dialog only such a button listens to Return.
        self.setAutoDefault(True)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self._icon = icon
        layout = QHBoxLayout(self)
        layout.setContentsMargins(16, 8, 16, 8)
        layout.setSpacing(16)
        self._picture = QLabel(self)
        layout.addWidget(self._picture)
        column = QVBoxLayout()
        column.setSpacing(2)
        column.addStretch(1)
        head = QLabel(title, self)
        head.setProperty("role", "heading")
        below = QLabel(text, self)
        below.setProperty("role", "muted")
        for label in (head, below):
            label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
            column.addWidget(label)
        column.addStretch(1)
        layout.addLayout(column, 1)
        self._refresh()
        theme.manager().changed.connect(self._refresh)

    def _refresh(self) -> None:
        self._picture.setPixmap(icons.pixmap(self._icon, 26, "accent_ink", ratio=self.devicePixelRatioF()))


class WelcomePage(QWidget):
    """What a person sees first."""

    project_chosen = Signal(object)

    def __init__(self, actions: Actions, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("welcome")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.recent_model = RecentModel(self)
        outer = QHBoxLayout(self)
        outer.setContentsMargins(32, 32, 32, 32)
        outer.addStretch(1)
        middle = QVBoxLayout()
        outer.addLayout(middle)
        outer.addStretch(1)
        middle.addStretch(2)
        middle.addWidget(Wordmark(self))
        line = QLabel("Label a segmentation data set while a network learns from every correction.", self)
        line.setProperty("role", "muted")
        middle.addWidget(line)
        middle.addSpacing(32)
        columns = QHBoxLayout()
        columns.setSpacing(48)
        columns.addLayout(self._build_choices(actions))
        columns.addLayout(self._build_recent())
        middle.addLayout(columns)
        middle.addStretch(3)

    def _build_choices(self, actions: Actions) -> QVBoxLayout:
        column = QVBoxLayout()
        column.setSpacing(8)
        heading = QLabel("Start", self)
        heading.setProperty("role", "section")
        column.addWidget(heading)
        self.choices: dict[str, ChoiceButton] = {}
        for action_id, title, text in (
            ("open_folder", "Open folder", "Label the images in a folder"),
            ("open_project", "Open project", "Go on where you left off"),
            ("new_project", "New project", "Choose images, classes and a place"),
            ("open_demo", "Try the demo", "Sample images and a trained network, offline"),
        ):
            button = ChoiceButton(actions.spec(action_id).icon, title, text, self)
            button.setFixedWidth(_COLUMN_PX)
            button.setToolTip(actions.spec(action_id).tooltip)
            button.clicked.connect(actions[action_id].trigger)
            self.choices[action_id] = button
            column.addWidget(button)
        column.addStretch(1)
        return column

    def _build_recent(self) -> QVBoxLayout:
        column = QVBoxLayout()
        column.setSpacing(8)
        heading = QLabel("Recent", self)
        heading.setProperty("role", "section")
        column.addWidget(heading)
        self.recent = QListView(self)
        self.recent.setObjectName("recent")
        self.recent.setAccessibleName("Recent projects")
        self.recent.setModel(self.recent_model)
        self.recent.setItemDelegate(RecentDelegate(self.recent))
        self.recent.setMouseTracking(True)
        self.recent.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.recent.setFixedSize(_COLUMN_PX, _LIST_PX)
        self.recent.clicked.connect(self._choose)
        self.recent.activated.connect(self._choose)
        self.empty = QLabel(_NO_RECENT, self)
        self.empty.setObjectName("drop")
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.empty.setFixedSize(_COLUMN_PX, _LIST_PX)
        column.addWidget(self.recent)
        column.addWidget(self.empty)
        column.addStretch(1)
        return column

    def set_recent(self, paths: Sequence[Path]) -> None:
        """Show the projects opened lately, newest first."""
        self.recent_model.set_paths(paths)
        self.recent.setVisible(bool(paths))
        self.empty.setVisible(not paths)

    def _choose(self, index: QModelIndex) -> None:
        if index.isValid():
            self.project_chosen.emit(index.data(_PATH_ROLE))
