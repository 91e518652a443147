"""All keys on one page, searchable, straight from the table of actions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from segstudio.gui.shortcuts import MENUS, ActionSpec, native

if TYPE_CHECKING:
    from collections.abc import Sequence

_CANVAS_ROWS: Final = (
    (("Wheel",), "Zoom at the pointer"),
    (("Space",), "Hold and drag to pan; the middle button does it too"),
    (("Ctrl+Wheel",), "Brush size"),
    (("Right button",), "Erase with the brush or the fill"),
    (("Shift+Click",), "Straight line from where the brush was last"),
    (("Return",), "Close the polygon"),
    (("Backspace",), "Take back the last corner of the polygon"),
    (("Alt+Click",), "Pick the class under the pointer"),
    (("Esc",), "Cancel the stroke, polygon or box"),
)


class ShortcutsDialog(QDialog):
    """Keys by menu; the field at the top narrows the list."""

    def __init__(self, specs: Sequence[ActionSpec], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keyboard shortcuts")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(620, 640)
        self.rows: list[tuple[str, list[QWidget]]] = []
        layout = QVBoxLayout(self)
        layout.setContentsMargins(24, 24, 24, 16)
        layout.setSpacing(16)
        self.search = QLineEdit(self)
        self.search.setPlaceholderText("Search actions and keys")
        self.search.setAccessibleName("Search actions and keys")
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(self._narrow)
        layout.addWidget(self.search)
        area = QScrollArea(self)
        area.setWidgetResizable(True)
        inner = QWidget(area)
        inner.setObjectName("scroll")
        self._grid = QGridLayout(inner)
        self._grid.setContentsMargins(0, 0, 12, 0)
        self._grid.setHorizontalSpacing(24)
        self._grid.setVerticalSpacing(8)
        self._grid.setColumnStretch(1, 1)
        self._fill(specs)
        area.setWidget(inner)
        layout.addWidget(area, 1)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close, self)
        buttons.rejected.connect(self.reject)
        layout.addWidget(buttons)

    def _fill(self, specs: Sequence[ActionSpec]) -> None:
        self._heading("On the image")
        for keys, text in _CANVAS_ROWS:
            self._row(keys, text, "")
        for menu in MENUS:
            rows = [spec for spec in specs if spec.menu == menu and (spec.keys or spec.hold_keys)]
            if rows:
                self._heading(menu)
            for spec in rows:
                caps = (*(native(k) for k in spec.keys), *(f"hold {native(k)}" for k in spec.hold_keys))
                self._row(caps, spec.plain_title, spec.help)
        self._grid.setRowStretch(self._grid.rowCount(), 1)

    def _heading(self, text: str) -> None:
        label = QLabel(text, self)
        label.setProperty("role", "heading")
        label.setContentsMargins(0, 8, 0, 0)
        self._grid.addWidget(label, self._grid.rowCount(), 0, 1, 2)

    def _row(self, keys: Sequence[str], title: str, text: str) -> None:
        box = QWidget(self)
        line = QHBoxLayout(box)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(4)
        for key in keys:
            cap = QLabel(key, box)
            cap.setProperty("role", "key")
            line.addWidget(cap)
        line.addStretch(1)
        label = QLabel(title, self)
        label.setToolTip(text)
        row = self._grid.rowCount()
        self._grid.addWidget(box, row, 0)
        self._grid.addWidget(label, row, 1)
        self.rows.append((f"{title} {text} {' '.join(keys)}".casefold(), [box, label]))

    def _narrow(self, text: str) -> None:
        wanted = text.strip().casefold()
        for haystack, widgets in self.rows:
            for widget in widgets:
                widget.setVisible(wanted in haystack)
