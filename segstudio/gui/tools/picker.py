"""The class picker, which changes nothing."""

from __future__ import annotations

from PySide6.QtCore import Qt

from segstudio.gui.tools.base import Pointer, Tool, ToolContext


class PickerTool(Tool):
    """Makes the class one clicks on the active class."""

    name = "picker"
    title = "Pick class"
    hint = "Click a labelled pixel to paint with its class (Alt+click does so with any tool)."
    cursor = Qt.CursorShape.PointingHandCursor

    def press(self, pointer: Pointer, context: ToolContext) -> None:
        context.pick_at(pointer)
