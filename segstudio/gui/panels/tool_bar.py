"""The vertical strip of tools beside the canvas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QFrame, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from segstudio.gui.actions import Actions

TOOL_ACTIONS: Final = ("brush", "eraser", "polygon", "fill", "pick", "box", "accept_brush")
_BELOW: Final = ("undo", "redo")
_BUTTON_PX: Final = 36


class ToolBar(QWidget):
    """One button for each tool, then undo and redo."""

    def __init__(self, actions: Actions, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("toolBar")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 8, 6, 8)
        layout.setSpacing(4)
        for name in TOOL_ACTIONS:
            self._add(layout, actions, name)
        rule = QFrame(self)
        rule.setProperty("role", "rule")
        layout.addSpacing(4)
        layout.addWidget(rule)
        layout.addSpacing(4)
        for name in _BELOW:
            self._add(layout, actions, name)
        layout.addStretch(1)

    def _add(self, layout: QVBoxLayout, actions: Actions, name: str) -> None:
        button = actions.button(name, self)
        button.setFixedSize(QSize(_BUTTON_PX, _BUTTON_PX))
        button.setIconSize(QSize(20, 20))
        layout.addWidget(button)
