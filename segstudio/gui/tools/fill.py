"""The bucket: gives a whole connected region to the active class."""

from __future__ import annotations

from PySide6.QtCore import Qt

from segstudio.core.geometry import Rect
from segstudio.gui.canvas.codes import shown_labels
from segstudio.gui.tools.base import Pointer, Tool, ToolContext
from segstudio.imaging.contours import flood_region


class FillTool(Tool):
    """Fills the connected region that shows one label, whether decided or proposed, or that shows nothing.

    What counts is what the person sees: half an object accepted and half still proposed is one region.
    """

    name = "fill"
    title = "Fill"
    hint = "Click a region to give all of it to the active class; right button makes it undecided again."
    cursor = Qt.CursorShape.PointingHandCursor

    def press(self, pointer: Pointer, context: ToolContext) -> None:
        document = context.document
        erase = pointer.button == Qt.MouseButton.RightButton
        if document is None or not context.contains(pointer) or not (erase or context.ready_to_paint()):
            return
        labels = shown_labels(document.map, context.visible_proposal(), Rect.of_shape(document.map.shape))
        mask, rect = flood_region(labels, pointer.pixel)
        gesture = document.begin("Erase region" if erase else f"Fill {context.class_name()}")
        if erase:
            gesture.erase(mask, rect.top, rect.left)
        else:
            gesture.paint(mask, rect.top, rect.left, context.active_class)
        if gesture.commit() is not None:
            context.finished()
