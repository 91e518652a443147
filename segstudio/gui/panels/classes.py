"""The class list: colour, name, key, share of the image, visibility and lock; edits go through `set_catalog`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QModelIndex, QPoint, QSize, Qt, Signal
from PySide6.QtGui import QAction, QColor, QMouseEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QColorDialog,
    QHBoxLayout,
    QHeaderView,
    QMenu,
    QMessageBox,
    QTableView,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from segstudio.core.catalog import IGNORE, Catalog, LabelClass
from segstudio.gui import icons, theme
from segstudio.gui.panels.class_model import EYE, KEY, LOCK, NAME, SHARE, ClassDelegate, ClassModel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_ROW_PX: Final = 32
_MAX_ROWS_SHOWN: Final = 9


class ClassView(QTableView):
    """The table; letters and digits are shortcuts of the window, never a search."""

    switched = Signal(QModelIndex)

    def keyboardSearch(self, _search: str) -> None:
        """Nothing: digits choose classes."""

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if not self._is_switch(event):
            super().mousePressEvent(event)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        if not self._is_switch(event):
            super().mouseDoubleClickEvent(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if self._is_switch(event):
            self.switched.emit(self.indexAt(event.position().toPoint()))
        else:
            super().mouseReleaseEvent(event)

    def _is_switch(self, event: QMouseEvent) -> bool:
        """True on an eye or a lock, where a click leaves the class in hand as it is."""
        index = self.indexAt(event.position().toPoint())
        return event.button() == Qt.MouseButton.LeftButton and index.column() in (EYE, LOCK)


class ClassesPanel(QWidget):
    """The classes of a project; `class_chosen` says what to paint with, `catalog_edited` asks for a change."""

    class_chosen = Signal(int)
    catalog_edited = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("panel")
        self.model = ClassModel(self)
        self.model.renamed.connect(self._rename)
        self._quiet = False
        self._build()

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 8)
        layout.setSpacing(4)
        self.view = ClassView(self)
        self.view.setModel(self.model)
        self.view.setItemDelegate(ClassDelegate(self.view))
        self.view.setAccessibleName("Classes")
        self.view.setShowGrid(False)
        self.view.setTabKeyNavigation(False)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.view.setEditTriggers(QAbstractItemView.EditTrigger.DoubleClicked)
        self.view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.view.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.view.customContextMenuRequested.connect(self._show_menu)
        self.view.verticalHeader().hide()
        self.view.verticalHeader().setDefaultSectionSize(_ROW_PX)
        header = self.view.horizontalHeader()
        header.hide()
        header.setMinimumSectionSize(24)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        for column, width in ((SHARE, 48), (KEY, 32), (EYE, 30), (LOCK, 34)):
            self.view.setColumnWidth(column, width)
        self.view.switched.connect(self._on_switched)
        self.view.selectionModel().currentChanged.connect(self._on_current)
        self.view.doubleClicked.connect(self._on_double_clicked)
        layout.addWidget(self.view, 1)
        row = QHBoxLayout()
        row.setContentsMargins(8, 0, 8, 0)
        row.setSpacing(4)
        self.buttons = {
            "add": self._button("add", "Add class (Ctrl+Shift+N)", self.add_class),
            "edit": self._button("edit", "Rename class (F2)", self.rename_current),
            "color": self._button("color", "Change colour", self._recolor),
            "delete": self._button("delete", "Delete class", self._delete),
        }
        for button in self.buttons.values():
            row.addWidget(button)
        row.addStretch(1)
        layout.addLayout(row)
        self.set_catalog(Catalog())

    def _button(self, name: str, title: str, callback: Callable[[], object]) -> QToolButton:
        button = QToolButton(self)
        button.setIcon(icons.icon(name))
        button.setIconSize(QSize(theme.ICON_PX, theme.ICON_PX))
        button.setAutoRaise(True)
        button.setToolTip(title)
        button.setAccessibleName(title)
        button.clicked.connect(callback)
        return button

    def set_catalog(self, catalog: Catalog) -> None:
        """Show other classes; the current class stays where it still exists."""
        current = self.current_class()
        self._quiet = True
        self.model.set_catalog(catalog)
        self._quiet = False
        if self.model.row_of(current) is None:
            current = catalog.ids[0] if len(catalog) else IGNORE
        self.set_current_class(current)
        rows = min(self.model.rowCount(), _MAX_ROWS_SHOWN)
        self.view.setMinimumHeight(min(rows, 4) * _ROW_PX + 4)
        self.view.setMaximumHeight(self.model.rowCount() * _ROW_PX + 4)

    def set_shares(self, shares: Mapping[int, float]) -> None:
        """Show which part (0..1) of the image each class has."""
        self.model.set_shares(shares)

    def current_class(self) -> int:
        """The class to paint with; IGNORE (255) included."""
        row = self.view.currentIndex().row()
        return self.model.class_id(row) if row >= 0 else IGNORE

    def set_current_class(self, class_id: int) -> None:
        """Choose a class; says so through `class_chosen`."""
        row = self.model.row_of(class_id)
        if row is None:
            return
        self.view.setCurrentIndex(self.model.index(row, NAME))
        self.view.viewport().update()
        self.class_chosen.emit(class_id)
        self._refresh_buttons()

    def choose_first(self) -> None:
        """Choose what a person most likely paints first: the first class that is not the background."""
        catalog = self.model.catalog
        objects = [class_id for class_id in catalog.ids if class_id != catalog.background_id]
        self.set_current_class((objects or [*catalog.ids, IGNORE])[0])

    def choose_by_key(self, number: int) -> None:
        """What the digit keys do: 1-9 the class in that row, 0 ignore."""
        if number == 0:
            self.set_current_class(IGNORE)
        elif number <= len(self.model.catalog):
            self.set_current_class(self.model.catalog.ids[number - 1])

    def add_class(self) -> None:
        """Add a class under a free name and let the person type the real one."""
        catalog = self.model.catalog
        number = len(catalog) + 1
        while catalog.by_name(f"Class {number}") is not None:
            number += 1
        changed = catalog.with_new(f"Class {number}")
        self.catalog_edited.emit(changed)
        if self.model.catalog == changed:
            self.set_current_class(changed.ids[-1])
            self.rename_current()

    def _current(self) -> LabelClass | None:
        row = self.view.currentIndex().row()
        return self.model.label_class(row) if row >= 0 else None

    def _on_current(self, index: QModelIndex, _before: QModelIndex) -> None:
        self.view.viewport().update()
        if index.isValid() and not self._quiet:
            self.class_chosen.emit(self.model.class_id(index.row()))
            self._refresh_buttons()

    def _refresh_buttons(self) -> None:
        editable = self._current() is not None
        for name in ("edit", "color", "delete"):
            self.buttons[name].setEnabled(editable)

    def _on_switched(self, index: QModelIndex) -> None:
        found = self.model.label_class(index.row())
        if found is None:
            return
        if index.column() == EYE:
            self._edit(replace(found, hidden=not found.hidden))
        else:
            self._edit(replace(found, locked=not found.locked))

    def _on_double_clicked(self, index: QModelIndex) -> None:
        if index.column() in (SHARE, KEY):
            self.rename_current()

    def _toggle_hidden(self) -> None:
        found = self._current()
        if found is not None:
            self._edit(replace(found, hidden=not found.hidden))

    def _toggle_locked(self) -> None:
        found = self._current()
        if found is not None:
            self._edit(replace(found, locked=not found.locked))

    def _edit(self, label_class: LabelClass) -> None:
        self.catalog_edited.emit(self.model.catalog.with_class(label_class))

    def _rename(self, class_id: int, name: str) -> None:
        self._edit(replace(self.model.catalog[class_id], name=name))

    def rename_current(self) -> bool:
        """Let the person type another name for the current class; False for ignore, which keeps its name."""
        if self._current() is None:
            return False
        self.view.edit(self.model.index(self.view.currentIndex().row(), NAME))
        return True

    def _recolor(self) -> None:
        found = self._current()
        if found is None:
            return
        color = QColorDialog.getColor(QColor(*found.color), self, f"Colour of {found.name}")
        if color.isValid():
            self._edit(replace(found, color=(color.red(), color.green(), color.blue())))

    def _delete(self) -> None:
        found = self._current()
        if found is None:
            return
        question = f"Delete the class “{found.name}”?\nA class that labels use cannot be deleted."
        answer = QMessageBox.question(self, "Delete class", question)
        if answer == QMessageBox.StandardButton.Yes:
            self.catalog_edited.emit(self.model.catalog.without(found.id))

    def _show_menu(self, position: QPoint) -> None:
        found = self._current()
        if found is None:
            return
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for title, callback in (
            ("Rename", self.rename_current),
            ("Change colour…", self._recolor),
            ("Show" if found.hidden else "Hide", self._toggle_hidden),
            ("Unlock" if found.locked else "Lock", self._toggle_locked),
            ("Delete…", self._delete),
        ):
            action = QAction(title, menu)
            action.triggered.connect(callback)
            menu.addAction(action)
        menu.popup(self.view.viewport().mapToGlobal(position))
