"""The table of actions as data: read from `resources/shortcuts.toml`, checked as a whole before the window opens."""

from __future__ import annotations

import tomllib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QGuiApplication, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QAbstractSpinBox, QApplication, QComboBox, QLineEdit, QPlainTextEdit, QTextEdit, QWidget

from segstudio.core.paths import resources_dir
from segstudio.gui.icons import GLYPHS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MENUS: Final = ("File", "Edit", "View", "Image", "Class", "Model", "Help")
FACTS: Final = frozenset({"project", "image", "proposal", "refined", "can_undo", "can_redo", "training"})
_TYPING_MODIFIERS: Final = (
    Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier | Qt.KeyboardModifier.MetaModifier
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSpec:
    """One row of the table.

    Attributes:
        keys: Key sequences that trigger the action.
        hold_keys: Keys that act only while they are held down; handled by the window, not by a shortcut.
        when: Facts (see FACTS) that must all hold for the action to be enabled.
        group: Actions of one group exclude each other.
        separator: A line before this entry in the menu.
    """

    id: str
    title: str
    menu: str
    help: str
    keys: tuple[str, ...] = ()
    hold_keys: tuple[str, ...] = ()
    icon: str = ""
    when: frozenset[str] = frozenset()
    group: str = ""
    checkable: bool = False
    separator: bool = False

    @property
    def plain_title(self) -> str:
        """The title without the dots that announce a dialog."""
        return self.title.removesuffix("…")

    @property
    def key_text(self) -> str:
        """The first key as the platform writes it; "" without one."""
        return native(self.keys[0]) if self.keys else ""

    @property
    def tooltip(self) -> str:
        """Title, key and help: "Brush (B)" and a second line."""
        key = f" ({self.key_text})" if self.keys else ""
        return f"{self.plain_title}{key}\n{self.help}"


def native(key: str) -> str:
    """A key as the platform writes it."""
    return QKeySequence(key).toString(QKeySequence.SequenceFormat.NativeText)


def load_specs(path: Path | None = None) -> tuple[ActionSpec, ...]:
    """Every action, in menu order.

    Raises:
        ValueError: Two rows share an id or a key, or a row names an unknown menu, icon, fact or key.
    """
    with (path or resources_dir() / "shortcuts.toml").open("rb") as file:
        rows = tomllib.load(file)["action"]
    specs = tuple(_spec(row) for row in rows)
    problems = _problems(specs)
    if problems:
        raise ValueError("; ".join(problems))
    return specs


def _spec(row: dict[str, Any]) -> ActionSpec:
    values = dict(row)
    for name in ("keys", "hold_keys"):
        values[name] = tuple(values.get(name, ()))
    values["when"] = frozenset(values.get("when", ()))
    return ActionSpec(**values)


def _problems(specs: Sequence[ActionSpec]) -> list[str]:
    found = [f"action {name} occurs twice" for name, n in Counter(s.id for s in specs).items() if n > 1]
    keys = Counter(_portable(key) for s in specs for key in (*s.keys, *s.hold_keys))
    found += [f"key {key} is given twice" for key, n in keys.items() if n > 1]
    for spec in specs:
        if any(not _portable(key) for key in (*spec.keys, *spec.hold_keys)):
            found.append(f"action {spec.id} has a key that does not exist")
        if spec.menu not in MENUS:
            found.append(f"action {spec.id} is in no menu")
        if spec.icon and spec.icon not in GLYPHS:
            found.append(f"action {spec.id} has the unknown icon {spec.icon}")
        if spec.when - FACTS:
            found.append(f"action {spec.id} waits for something unknown")
    return found


def _portable(key: str) -> str:
    return QKeySequence(key).toString(QKeySequence.SequenceFormat.PortableText)


def is_text_field(widget: QObject | None) -> bool:
    """True where a person types text: single letters belong to it, not to shortcuts."""
    if isinstance(widget, QComboBox):
        return widget.isEditable()
    if isinstance(widget, QLineEdit | QTextEdit | QPlainTextEdit):
        return not widget.isReadOnly()
    return isinstance(widget, QAbstractSpinBox)


class TypingGuard(QObject):
    """Keeps bare keys (no Ctrl, Alt, Meta) from acting as shortcuts while a text field has the focus.

    Only the focused field is filtered, so that no other event passes through Python.
    """

    def __init__(self, app: QApplication) -> None:
        super().__init__(app)
        self._field: QWidget | None = None
        app.focusChanged.connect(self._on_focus_changed)

    def _on_focus_changed(self, _old: QWidget | None, new: QWidget | None) -> None:
        if self._field is not None:
            self._field.destroyed.disconnect(self._forget)
            self._field.removeEventFilter(self)
            self._field = None
        if is_text_field(new) and new is not None:
            self._field = new
            new.installEventFilter(self)
            new.destroyed.connect(self._forget)

    def _forget(self) -> None:
        self._field = None

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:
        if event.type() != QEvent.Type.ShortcutOverride or not isinstance(event, QKeyEvent):
            return False
        if event.modifiers() & _TYPING_MODIFIERS:
            return False
        event.accept()
        return True


def typing_now() -> bool:
    """True while a text field has the focus."""
    return is_text_field(QGuiApplication.focusObject())
