"""The brush, and the eraser, which is the same brush painting "undecided"."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PySide6.QtGui import QColor

from segstudio.core.geometry import Rect
from segstudio.gui.tools.base import ToolContext
from segstudio.gui.tools.stroke import StrokeTool
from segstudio.services.annotating import Gesture


class BrushTool(StrokeTool):
    """Paints the active class."""

    name = "brush"
    title = "Brush"
    hint = "Drag to paint the active class; right button erases; Shift+click draws a straight line."

    def begin_name(self, context: ToolContext) -> str | None:
        return f"Paint {context.class_name()}" if context.ready_to_paint() else None

    def apply(self, gesture: Gesture, mask: npt.NDArray[np.bool_], rect: Rect, context: ToolContext) -> None:
        gesture.paint(mask, rect.top, rect.left, context.active_class)

    def dot_color(self, context: ToolContext) -> QColor | None:
        return context.class_color()


class EraserTool(StrokeTool):
    """Takes pixels back to undecided."""

    name = "eraser"
    title = "Eraser"
    hint = "Drag to make pixels undecided again; Shift+click erases along a straight line."

    def begin_name(self, context: ToolContext) -> str | None:
        return "Erase"

    def apply(self, gesture: Gesture, mask: npt.NDArray[np.bool_], rect: Rect, context: ToolContext) -> None:
        gesture.erase(mask, rect.top, rect.left)
