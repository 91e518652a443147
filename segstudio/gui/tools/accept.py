"""The brush that takes the proposal over, as it is, where one drags."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from segstudio.core.geometry import Rect
from segstudio.gui.tools.base import ToolContext
from segstudio.gui.tools.stroke import StrokeTool
from segstudio.services.annotating import Gesture


class AcceptTool(StrokeTool):
    """Accepts the proposal under the brush, on pixels nobody decided yet."""

    name = "accept"
    title = "Accept brush"
    hint = "Drag over the proposal to accept it there; right button makes pixels undecided again."

    def begin_name(self, context: ToolContext) -> str | None:
        if context.visible_proposal() is None:
            context.message("There is no proposal on show to accept.")
            return None
        return "Accept under the brush"

    def apply(self, gesture: Gesture, mask: npt.NDArray[np.bool_], rect: Rect, context: ToolContext) -> None:
        gesture.accept(mask, rect.top, rect.left)
