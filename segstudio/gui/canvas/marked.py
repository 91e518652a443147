"""Pixels of an image pointed out: the rest is dimmed, and a few words say what they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QRectF
from PySide6.QtGui import QColor, QFontMetricsF, QImage, QPainter

from segstudio.gui.canvas.pill import PILL_HEIGHT_PX, paint_pill, pill_font, pill_width
from segstudio.gui.canvas.viewport import Viewport

# Magenta, as bright in both themes: it lies on a dimmed picture, not on a panel.
MARK_RGB: Final = (255, 79, 200)
_MARK: Final = QColor(*MARK_RGB, 210)
_VEIL: Final = QColor(0, 0, 0, 120)
_GAP_PX: Final = 10
_WAY_OUT: Final = "Esc hides them"


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """Pixels to point out.

    Attributes:
        image_id: The image they belong to.
        pixels: (H, W) bool.
        words: What they are.
    """

    image_id: int
    pixels: npt.NDArray[np.bool_]
    words: str


class MarksLayer:
    """Draws marks over an image, in device pixels."""

    def __init__(self, marks: Marks) -> None:
        self.marks = marks
        self._drawn: tuple[int, QImage] | None = None

    def paint(self, painter: QPainter, viewport: Viewport) -> None:
        """Dims what is not marked, colours what is, and says what it is at the top of the image."""
        step = 1 << viewport.level
        if self._drawn is None or self._drawn[0] != step:
            self._drawn = (step, _image(shrunk(self.marks.pixels, step)))
        image = self._drawn[1]
        seen = viewport.visible()
        left, top = seen.left // step, seen.top // step
        right, bottom = -(-seen.right // step), -(-seen.bottom // step)
        x0, y0 = viewport.to_view(left * step, top * step)
        x1, y1 = viewport.to_view(right * step, bottom * step)
        painter.save()
        painter.setClipRect(QRectF(*viewport.origin, *(size * viewport.zoom for size in viewport.image)))
        painter.drawImage(QRectF(x0, y0, x1 - x0, y1 - y0), image, QRectF(left, top, right - left, bottom - top))
        painter.setClipping(False)
        self._paint_words(painter, viewport)
        painter.restore()

    def _paint_words(self, painter: QPainter, viewport: Viewport) -> None:
        ratio = viewport.ratio
        words = f"{self.marks.words} · {_WAY_OUT}"
        width = pill_width(QFontMetricsF(pill_font(ratio)), words, ratio)
        left = max(_GAP_PX * ratio, (viewport.view[0] - width) / 2)
        paint_pill(painter, QRectF(left, _GAP_PX * ratio, width, PILL_HEIGHT_PX * ratio), words, ratio)


def shrunk(pixels: npt.NDArray[np.bool_], step: int) -> npt.NDArray[np.bool_]:
    """(ceil(H / step), ceil(W / step)) bool, True where any of step x step pixels is: a single one never vanishes."""
    if step == 1:
        return pixels
    rows = np.logical_or.reduceat(pixels, np.arange(0, pixels.shape[0], step), axis=0)
    return np.logical_or.reduceat(rows, np.arange(0, pixels.shape[1], step), axis=1)


def _image(pixels: npt.NDArray[np.bool_]) -> QImage:
    """An image with a byte a pixel: the mark where one is, the veil elsewhere."""
    height, width = pixels.shape
    data = np.ascontiguousarray(pixels).view(np.uint8)
    image = QImage(data.data, width, height, width, QImage.Format.Format_Indexed8).copy()
    image.setColorTable([_VEIL.rgba(), _MARK.rgba()])
    return image
