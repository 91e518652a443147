"""All tools, in the order of the tool bar."""

from __future__ import annotations

from typing import Final

from segstudio.gui.tools.accept import AcceptTool
from segstudio.gui.tools.base import Tool
from segstudio.gui.tools.box import BoxTool
from segstudio.gui.tools.brush import BrushTool, EraserTool
from segstudio.gui.tools.fill import FillTool
from segstudio.gui.tools.picker import PickerTool
from segstudio.gui.tools.polygon import PolygonTool

TOOLS: Final[tuple[type[Tool], ...]] = (
    BrushTool,
    EraserTool,
    PolygonTool,
    FillTool,
    PickerTool,
    BoxTool,
    AcceptTool,
)


def create_tools() -> dict[str, Tool]:
    """One tool of each kind by name, in the order of the tool bar."""
    return {kind.name: kind() for kind in TOOLS}
