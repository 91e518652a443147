"""One QAction for each row of the table; the window binds what they do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject
from PySide6.QtGui import QAction, QActionGroup, QIcon, QKeySequence
from PySide6.QtWidgets import QMenu, QMenuBar, QToolButton, QWidget

from segstudio.gui.icons import icon
from segstudio.gui.shortcuts import MENUS, ActionSpec, load_specs, native
from segstudio.gui.theme import ICON_PX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


class Actions(QObject):
    """All actions of a window, by id."""

    def __init__(self, window: QWidget, specs: Sequence[ActionSpec] | None = None) -> None:
        super().__init__(window)
        self.specs = tuple(specs) if specs is not None else load_specs()
        self._specs = {spec.id: spec for spec in self.specs}
        self._groups: dict[str, QActionGroup] = {}
        self._facts: frozenset[str] = frozenset()
        self._bound: set[str] = set()
        self._actions = {spec.id: self._make(spec) for spec in self.specs}
        window.addActions(list(self._actions.values()))
        self.set_facts(())

    def __getitem__(self, action_id: str) -> QAction:
        return self._actions[action_id]

    def spec(self, action_id: str) -> ActionSpec:
        """The row of an action."""
        return self._specs[action_id]

    @property
    def unbound(self) -> list[str]:
        """Actions that nobody gave something to do."""
        return [action_id for action_id in self._actions if action_id not in self._bound]

    def bind(self, action_id: str, callback: Callable[[], object]) -> None:
        """Say what an action does."""
        self._actions[action_id].triggered.connect(lambda _checked=False: callback())
        self._bound.add(action_id)

    def bind_toggle(self, action_id: str, callback: Callable[[bool], object]) -> None:
        """Say what a checkable action does with its new state; `setChecked` by code calls it too."""
        self._actions[action_id].toggled.connect(callback)
        self._bound.add(action_id)

    def set_facts(self, facts: Iterable[str]) -> None:
        """Enable exactly the actions whose conditions hold."""
        self._facts = frozenset(facts)
        for spec in self.specs:
            enabled = spec.when <= self._facts
            if self._actions[spec.id].isEnabled() != enabled:
                self._actions[spec.id].setEnabled(enabled)

    def retitle(self, action_id: str, title: str) -> None:
        """Another title for an action ("Undo brush stroke"); key and help stay."""
        action = self._actions[action_id]
        if action.text() == title:
            return
        spec = self._specs[action_id]
        action.setText(title)
        key = f" ({spec.key_text})" if spec.keys else ""
        action.setToolTip(f"{title.removesuffix('…')}{key}\n{spec.help}")

    def fill(self, bar: QMenuBar) -> None:
        """Put every action into its menu."""
        for name in MENUS:
            menu = QMenu(f"&{name}", bar)
            menu.setToolTipsVisible(False)
            for spec in self.specs:
                if spec.menu != name:
                    continue
                if spec.separator:
                    menu.addSeparator()
                menu.addAction(self._actions[spec.id])
            bar.addMenu(menu)

    def button(self, action_id: str, parent: QWidget | None = None) -> QToolButton:
        """An icon button for an action, with its tooltip and its title as accessible name."""
        button = QToolButton(parent)
        button.setDefaultAction(self._actions[action_id])
        button.setAutoRaise(True)
        size = button.iconSize()
        size.setWidth(ICON_PX)
        size.setHeight(ICON_PX)
        button.setIconSize(size)
        button.setAccessibleName(self._specs[action_id].plain_title)
        return button

    def _make(self, spec: ActionSpec) -> QAction:
        action = QAction(icon(spec.icon) if spec.icon else QIcon(), spec.title, self)
        action.setObjectName(spec.id)
        action.setShortcuts([QKeySequence(key) for key in spec.keys])
        action.setToolTip(spec.tooltip)
        action.setStatusTip("")
        action.setIconVisibleInMenu(bool(spec.icon))
        if spec.group:
            group = self._groups.setdefault(spec.group, QActionGroup(self))
            action.setCheckable(True)
            group.addAction(action)
        if spec.checkable:
            action.setCheckable(True)
        if spec.hold_keys:
            action.setWhatsThis(f"Hold {native(spec.hold_keys[0])}")
        return action
