"""What a tool is, and what the canvas hands to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from segstudio.core.catalog import IGNORE
from segstudio.core.geometry import Rect
from segstudio.gui.canvas.codes import NOTHING, shown_labels
from segstudio.gui.canvas.viewport import Viewport
from segstudio.services.annotating import Annotator

MIN_RADIUS: Final = 0.5
MAX_RADIUS: Final = 500.0


@dataclass(frozen=True, slots=True)
class Pointer:
    """One mouse event: position in image pixels (centres at +0.5), the button that changed, the modifier keys."""

    x: float
    y: float
    button: Qt.MouseButton = Qt.MouseButton.NoButton
    modifiers: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier

    @property
    def pixel(self) -> tuple[int, int]:
        """(row, column) of the pixel under the pointer."""
        return int(self.y // 1), int(self.x // 1)

    @property
    def shift(self) -> bool:
        return bool(self.modifiers & Qt.KeyboardModifier.ShiftModifier)


@dataclass(slots=True)
class ToolContext:
    """What a tool may know and call; one for the life of the canvas, its fields follow the interface.

    Attributes:
        viewport: The way from image to view positions.
        document: The open image, or None.
        active_class: Class id to paint, or IGNORE.
        brush_radius: In image pixels.
        proposal_visible: True while the proposal layer is on show.
        pick: Reports a class to make active.
        message: Shows one sentence to the user.
        finished: Reports that a gesture was committed.
        propose_in: Asks the network for a proposal inside a box.
    """

    viewport: Viewport
    document: Annotator | None = None
    active_class: int = 0
    brush_radius: float = 12.0
    proposal_visible: bool = True
    pick: Callable[[int], None] = field(default=lambda _class_id: None)
    message: Callable[[str], None] = field(default=lambda _text: None)
    finished: Callable[[], None] = field(default=lambda: None)
    propose_in: Callable[[Rect], None] = field(default=lambda _box: None)

    def contains(self, pointer: Pointer) -> bool:
        """True where the pointer is on a pixel of the image."""
        row, column = pointer.pixel
        height, width = self.document.map.shape if self.document is not None else (0, 0)
        return 0 <= row < height and 0 <= column < width

    def ready_to_paint(self) -> bool:
        """True with an image open and a class to paint; says what is missing otherwise."""
        if self.document is None:
            return False
        if self.active_class != IGNORE and self.active_class not in self.document.catalog:
            self.message("Choose a class to paint first.")
            return False
        return True

    def class_name(self) -> str:
        """The name of the active class, for the undo menu."""
        if self.document is None or self.active_class not in self.document.catalog:
            return "ignore"
        return self.document.catalog[self.active_class].name

    def class_color(self) -> QColor:
        """The colour of the active class; white for ignore."""
        if self.document is None or self.active_class not in self.document.catalog:
            return QColor(Qt.GlobalColor.white)
        return QColor(*self.document.catalog[self.active_class].color)

    def shown_at(self, pointer: Pointer) -> int | None:
        """The class id (or IGNORE) a person sees at the pointer, proposed or decided; None for nothing."""
        if self.document is None or not self.contains(pointer):
            return None
        row, column = pointer.pixel
        code = int(shown_labels(self.document.map, self.visible_proposal(), Rect(row, column, 1, 1))[0, 0])
        return None if code == NOTHING else code

    def pick_at(self, pointer: Pointer) -> None:
        """Makes the label under the pointer the active class, or says that there is none."""
        class_id = self.shown_at(pointer)
        if class_id is not None:
            self.pick(class_id)
        elif self.contains(pointer):
            self.message("Nothing is labelled here yet.")

    def visible_proposal(self) -> npt.NDArray[np.uint8] | None:
        """(H, W) uint8 class ids of the proposal where it is on show, or None."""
        prediction = self.document.prediction if self.document is not None and self.proposal_visible else None
        return prediction.labels if prediction is not None else None


class Tool(ABC):
    """One way of changing the segment map by mouse.

    Every gesture from press to release is one `Gesture` of the annotator, hence one undoable edit; `cancel` leaves the
    map as it was before the press. Keys and icons belong to the window's table of actions.

    Attributes:
        name: Short and fixed; the registry's key.
        title: What the interface calls it.
        hint: One sentence on how to use it.
        cursor: Over the canvas.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    hint: ClassVar[str]
    cursor: ClassVar[Qt.CursorShape] = Qt.CursorShape.CrossCursor

    @property
    def active(self) -> bool:
        """True between the start and the end of a gesture."""
        return False

    @abstractmethod
    def press(self, pointer: Pointer, context: ToolContext) -> None:
        """A mouse button went down over the view."""

    def move(self, pointer: Pointer, context: ToolContext) -> None:
        """The mouse moved, with or without a button down."""
        return

    def release(self, pointer: Pointer, context: ToolContext) -> None:
        """A mouse button went up."""
        return

    def double_click(self, pointer: Pointer, context: ToolContext) -> None:
        """A second press came right after a click; a plain press unless the tool says otherwise."""
        self.press(pointer, context)

    def key(self, key: Qt.Key, context: ToolContext) -> bool:
        """True where the key meant something to the gesture under way."""
        return False

    def cancel(self, context: ToolContext) -> bool:
        """Drops the gesture under way and restores what it painted; True where there was one."""
        return False

    def preview_bounds(self, pointer: Pointer | None, context: ToolContext) -> QRectF | None:
        """The part of the view that `paint_preview` would touch, in device pixels; None for nothing."""
        return None

    def paint_preview(self, painter: QPainter, pointer: Pointer | None, context: ToolContext) -> None:
        """Draws what the tool is about to do, in device pixels."""
        return


def two_tone_pens(ratio: float) -> tuple[QPen, QPen]:
    """A wide dark and a narrow bright pen; lines drawn with both read on any image."""
    dark, bright = QPen(QColor(0, 0, 0, 170), 3.0 * ratio), QPen(QColor(255, 255, 255), 1.25 * ratio)
    for pen in (dark, bright):
        pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
        pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    return dark, bright
