"""Crops with random geometry and colour; what lies outside the image is never taught."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from segstudio.training.config import AugmentConfig

Image = npt.NDArray[np.uint8]
Shifts = npt.NDArray[np.float32]
_Index = TypeVar("_Index", np.uint8, np.uint16)
_STRETCH_PERCENTILES: Final = (1.0, 99.8)
_BORDER: Final = 2  # source pixels kept around a crop, so that interpolation at its edge sees real neighbours


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Where a square crop looks: centred on (row, column), zoomed, turned, mirrored."""

    row: float
    column: float
    zoom: float = 1.0
    angle: float = 0.0
    mirrored: bool = False

    def matrix(self, side: int) -> npt.NDArray[np.float64]:
        """The (2, 3) affine map from crop (x, y) to image (x, y)."""
        cos, sin = math.cos(math.radians(self.angle)) / self.zoom, math.sin(math.radians(self.angle)) / self.zoom
        sign = -1.0 if self.mirrored else 1.0
        linear = np.array([[cos * sign, -sin], [sin * sign, cos]])
        middle = (side - 1) / 2
        offset = np.array([self.column, self.row]) - linear @ np.array([middle, middle])
        return np.concatenate([linear, offset[:, None]], axis=1)


def random_view(
    rng: np.random.Generator, config: AugmentConfig, *, row: int, column: int, jitter: float, shape: tuple[int, int]
) -> View:
    """A view near (row, column), moved by up to ``jitter`` image pixels each way and varied as ``config`` allows.

    Its centre stays inside the image of ``shape`` (height, width): beyond it there is nothing to learn.
    """
    angle = float(rng.uniform(-config.rotate, config.rotate))
    if config.quarter_turns:
        angle += 90.0 * int(rng.integers(4))
    return View(
        row=min(max(row + float(rng.uniform(-jitter, jitter)), 0.0), shape[0] - 1.0),
        column=min(max(column + float(rng.uniform(-jitter, jitter)), 0.0), shape[1] - 1.0),
        zoom=_random_zoom(rng, config),
        angle=angle,
        mirrored=bool(config.flip and rng.random() < 0.5),
    )


def _random_zoom(rng: np.random.Generator, config: AugmentConfig) -> float:
    if config.zooms:
        return float(rng.choice(config.zooms))
    log_zoom = math.log(config.scale)
    return math.exp(float(rng.uniform(-log_zoom, log_zoom)))


def random_shifts(rng: np.random.Generator, sigma: float, side: int) -> Shifts:
    """How far each pixel of a crop is shifted, (side, side, 2) float32 of (x, y) px.

    Random vectors, Gaussian of ``sigma`` px, on a grid of 3 x 3, between them bicubic (U-Net, section 3.1).
    """
    grid = rng.normal(0.0, sigma, (3, 3, 2)).astype(np.float32)
    return np.asarray(cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC), np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lens:
    """Takes crops of ``side`` px through a view, the pixels with ``context`` px more on each side than the labels.

    ``shifts`` bends the crop, context included; None leaves it straight.
    """

    view: View
    side: int
    context: int = 0
    shifts: Shifts | None = None

    def pixels(self, image: Image) -> Image:
        """The (n, n, 3) crop, n = side + 2 context; mirrored past the edge, so that no dark frame is learnt."""
        side = self.side + 2 * self.context
        return _warp(image, self.view.matrix(side), side, self.shifts, cv2.INTER_LINEAR, cv2.BORDER_REFLECT_101)

    def nearest(self, labels: npt.NDArray[_Index], *, outside: int) -> npt.NDArray[_Index]:
        """The (side, side) labels or instances, each from the nearest pixel; ``outside`` past the edge."""
        shifts = self.shifts
        if shifts is not None and self.context:
            shifts = shifts[self.context : -self.context, self.context : -self.context]
        matrix = self.view.matrix(self.side)
        return _warp(labels, matrix, self.side, shifts, cv2.INTER_NEAREST, cv2.BORDER_CONSTANT, outside)


def _warp(
    source: npt.NDArray[_Index],
    matrix: npt.NDArray[np.float64],
    side: int,
    shifts: Shifts | None,
    how: int,
    border: int,
    outside: int = 0,
) -> npt.NDArray[_Index]:
    """What ``source`` shows at ``matrix`` @ (x, y, 1) for each (shifted) pixel of a crop."""
    if shifts is None:
        looks = np.array([[0, side - 1, 0, side - 1], [0, 0, side - 1, side - 1], [1, 1, 1, 1]], np.float64)
    else:
        grid = np.arange(side, dtype=np.float64)
        looks = np.stack([shifts[..., 0] + grid, shifts[..., 1] + grid[:, None], np.ones((side, side))])
    places = np.tensordot(matrix, looks, 1)
    # OpenCV warps sources of up to 32,767 pixels a side; the part the crop looks at is always small.
    columns, rows = (_span(*ends) for ends in zip(places, source.shape[1::-1], strict=True))
    part = source[rows, columns]
    if shifts is None:
        matrix = matrix - np.array([[0, 0, columns.start], [0, 0, rows.start]])
        flags = how | cv2.WARP_INVERSE_MAP
        out = cv2.warpAffine(part, matrix, (side, side), flags=flags, borderMode=border, borderValue=(outside,))
    else:
        x, y = ((axis - span.start).astype(np.float32) for axis, span in zip(places, (columns, rows), strict=True))
        out = cv2.remap(part, x, y, how, borderMode=border, borderValue=(outside,))
    return np.asarray(out, source.dtype)


def _span(places: npt.NDArray[np.float64], length: int) -> slice:
    """The pixels of an axis of ``length`` that ``places`` on it look at, and a few more; never none."""
    first = min(max(math.floor(places.min()) - _BORDER, 0), length - 1)
    last = min(max(math.ceil(places.max()) + _BORDER, first), length - 1)
    return slice(first, last + 1)


def recolor(image: Image, rng: np.random.Generator, config: AugmentConfig) -> Image:
    """The (H, W, 3) uint8 crop with random stretch, inversion, brightness, contrast, tint, blur and noise."""
    pixels = image.astype(np.float32)
    if config.stretch and rng.random() < config.stretch:
        low, high = np.percentile(pixels, _STRETCH_PERCENTILES)
        if high > low:
            pixels = (pixels - np.float32(low)) * np.float32(255.0 / (high - low))
    if config.invert and rng.random() < config.invert:
        pixels = 255.0 - pixels
    if config.contrast or config.brightness:
        gain = math.exp(float(rng.uniform(-config.contrast, config.contrast)))
        mean = float(pixels.mean())
        pixels = (pixels - mean) * gain + mean + float(rng.uniform(-config.brightness, config.brightness))
    if config.tint:
        pixels *= rng.uniform(1 - config.tint, 1 + config.tint, 3).astype(np.float32)
    if config.blur and rng.random() < 0.5:
        sigma = float(rng.uniform(0.3, max(config.blur, 0.31)))
        pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma), np.float32)
    if config.noise:
        sigma = float(rng.uniform(0.0, config.noise))
        pixels += rng.standard_normal(pixels.shape, dtype=np.float32) * np.float32(sigma)
    recolored: Image = np.clip(pixels + 0.5, 0, 255).astype(np.uint8)
    return recolored
