"""How far the CRF's two kernels reach around one pixel of the image: two circles, and what the colour kernel joins."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QFontMetricsF, QImage, QPainter

from segstudio.core.geometry import Rect
from segstudio.gui.canvas.overlay import argb_image
from segstudio.gui.canvas.pill import PILL_HEIGHT_PX, paint_pill, pill_font, pill_width
from segstudio.gui.canvas.viewport import Viewport
from segstudio.gui.tools.base import two_tone_pens

# The tint is at most this many samples wide, so that it follows the pointer: 512 take 5 ms (2-core machine).
_TINT_SAMPLES: Final = 512
# Cyan: the hue that photographs have least of.
_TINT_RGB: Final = (0, 229, 255)
_TINT_STRENGTH: Final = 0.75
_GAP_PX: Final = 6
_PEN_PX: Final = 3

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Reach:
    """The widths (standard deviations) of the CRF's kernels.

    Attributes:
        color: Of the colour kernel, in image pixels.
        tolerance: Of the colour kernel, in steps of 0-255.
        smoothing: Of the smoothing kernel, in image pixels.
    """

    color: float
    tolerance: float
    smoothing: float


def influence(rgb: Pixels, row: int, column: int, reach: Reach) -> tuple[Pixels, Rect]:
    """How strongly the colour kernel joins the pixels within its circle to one pixel, and where that is.

    Args:
        rgb: (H, W, 3) uint8.
        row: Of the pixel, inside the image.
        column: Likewise.
        reach: The widths.

    Returns:
        (h, w) uint8, 255 times exp(-|colour|^2 / 2 tolerance^2 - |place|^2 / 2 width^2) and 0 outside the circle, for
        every n-th pixel so that h and w stay at 512 or below; and the pixels it covers.
    """
    radius = max(1, math.floor(reach.color))
    area = Rect(row - radius, column - radius, 2 * radius + 1, 2 * radius + 1).clipped(*rgb.shape[:2])
    step = -(-max(area.height, area.width) // _TINT_SAMPLES)
    patch = rgb[area.top : area.bottom : step, area.left : area.right : step]
    colors = patch.astype(np.float32) - rgb[row, column].astype(np.float32)
    rows = np.arange(area.top, area.bottom, step, dtype=np.float32) - row
    columns = np.arange(area.left, area.right, step, dtype=np.float32) - column
    places = rows[:, None] ** 2 + columns[None, :] ** 2
    falloff = np.einsum("hwc,hwc->hw", colors, colors) / (2 * reach.tolerance**2) + places / (2 * reach.color**2)
    weights = np.where(places <= radius**2, np.exp(-falloff) * 255, 0)
    return weights.astype(np.uint8), Rect(area.top, area.left, patch.shape[0] * step, patch.shape[1] * step)


class ReachMark:
    """Draws a reach around a place of the image, in device pixels."""

    def __init__(self) -> None:
        self._key: object = None
        self._tint: tuple[QImage | None, Rect] = (None, Rect.EMPTY)

    def bounds(self, reach: Reach, at: QPointF, viewport: Viewport) -> QRectF:
        """What `paint` touches, in device pixels. `at` is the middle in image pixels."""
        area = QRectF()
        for radius in (reach.color, reach.smoothing):
            area = area.united(_circle(radius, at, viewport))
        for place, _text in _labels(reach, at, viewport):
            area = area.united(place)
        margin = _PEN_PX * viewport.ratio
        return area.adjusted(-margin, -margin, margin, margin)

    def paint(self, painter: QPainter, reach: Reach, at: QPointF, viewport: Viewport, rgb: Pixels) -> None:
        """Draws the tint, the circles and their names around an image position."""
        painter.save()
        self._paint_tint(painter, reach, at, viewport, rgb)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for radius in (reach.color, reach.smoothing):
            for pen in two_tone_pens(viewport.ratio):
                painter.setPen(pen)
                painter.drawEllipse(_circle(radius, at, viewport))
        for place, text in _labels(reach, at, viewport):
            paint_pill(painter, place, text, viewport.ratio)
        painter.restore()

    def _paint_tint(self, painter: QPainter, reach: Reach, at: QPointF, viewport: Viewport, rgb: Pixels) -> None:
        row, column = math.floor(at.y()), math.floor(at.x())
        if not (0 <= row < rgb.shape[0] and 0 <= column < rgb.shape[1]):
            return
        key = (id(rgb), row, column, reach)
        if key != self._key:
            weights, area = influence(rgb, row, column, reach)
            self._key, self._tint = key, (argb_image(_TINT_TABLE[weights]), area)
        image, area = self._tint
        if image is not None:
            left, top = viewport.to_view(area.left, area.top)
            painter.drawImage(QRectF(left, top, area.width * viewport.zoom, area.height * viewport.zoom), image)


def _circle(radius: float, at: QPointF, viewport: Viewport) -> QRectF:
    x, y = viewport.to_view(at.x(), at.y())
    size = radius * viewport.zoom
    return QRectF(x - size, y - size, 2 * size, 2 * size)


def _labels(reach: Reach, at: QPointF, viewport: Viewport) -> list[tuple[QRectF, str]]:
    """Where the circles' names go: above the one, below the other, and always within the view."""
    metrics = QFontMetricsF(pill_font(viewport.ratio))
    gap, height = _GAP_PX * viewport.ratio, PILL_HEIGHT_PX * viewport.ratio
    color, smoothing = (_circle(radius, at, viewport) for radius in (reach.color, reach.smoothing))
    found = []
    for circle, text, top in (
        (color, f"Colour {reach.color:g} px", color.top() - gap - height),
        (smoothing, f"Smoothing {reach.smoothing:g} px", smoothing.bottom() + gap),
    ):
        width = pill_width(metrics, text, viewport.ratio)
        left = min(max(circle.center().x() - width / 2, gap), viewport.view[0] - width - gap)
        top = min(max(top, gap), viewport.view[1] - height - gap)
        found.append((QRectF(left, top, width, height), text))
    return found


def _tint_table() -> npt.NDArray[np.uint32]:
    """(256,) uint32 premultiplied ARGB of the tint by strength."""
    alpha = np.rint(np.arange(256) * _TINT_STRENGTH).astype(np.uint32)
    red, green, blue = (alpha * value // 255 for value in _TINT_RGB)
    table: npt.NDArray[np.uint32] = (alpha << 24 | red << 16 | green << 8 | blue).astype(np.uint32)
    return table


_TINT_TABLE: Final = _tint_table()
