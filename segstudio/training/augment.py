"""Crops with random geometry and colour; what lies outside the image is never taught."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import IGNORE
from segstudio.training.config import AugmentConfig

Image = npt.NDArray[np.uint8]
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
    log_zoom = math.log(config.scale)
    angle = float(rng.uniform(-config.rotate, config.rotate))
    if config.quarter_turns:
        angle += 90.0 * int(rng.integers(4))
    return View(
        row=min(max(row + float(rng.uniform(-jitter, jitter)), 0.0), shape[0] - 1.0),
        column=min(max(column + float(rng.uniform(-jitter, jitter)), 0.0), shape[1] - 1.0),
        zoom=math.exp(float(rng.uniform(-log_zoom, log_zoom))),
        angle=angle,
        mirrored=bool(config.flip and rng.random() < 0.5),
    )


def cut(image: Image, labels: Image, view: View, side: int) -> tuple[Image, Image]:
    """The (side, side, 3) crop and its (side, side) labels.

    Pixels are interpolated and mirrored past the edge, so that no dark frame is learnt; labels are taken from the
    nearest pixel and are 255 past the edge.
    """
    matrix = view.matrix(side)
    corners = matrix @ np.array([[0, side - 1, 0, side - 1], [0, 0, side - 1, side - 1], [1, 1, 1, 1]])
    height, width = labels.shape
    left, top = (int(max(0, math.floor(low) - _BORDER)) for low in corners.min(axis=1))
    right = int(min(width, math.ceil(corners[0].max()) + _BORDER + 1))
    bottom = int(min(height, math.ceil(corners[1].max()) + _BORDER + 1))
    # OpenCV warps sources of up to 32,767 pixels a side; the part the crop looks at is always small.
    part, part_labels = image[top:bottom, left:right], labels[top:bottom, left:right]
    matrix[:, 2] -= (left, top)
    size = (side, side)
    inverse = cv2.WARP_INVERSE_MAP
    pixels = cv2.warpAffine(part, matrix, size, flags=cv2.INTER_LINEAR | inverse, borderMode=cv2.BORDER_REFLECT_101)
    taught = cv2.warpAffine(
        part_labels,
        matrix,
        size,
        flags=cv2.INTER_NEAREST | inverse,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(IGNORE,),
    )
    return np.asarray(pixels, np.uint8), np.asarray(taught, np.uint8)


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
