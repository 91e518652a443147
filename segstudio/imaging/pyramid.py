"""Images and labels at half, quarter, ... size, for a canvas that is zoomed out."""

from __future__ import annotations

from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from segstudio.core.geometry import Rect

_Label = TypeVar("_Label", bound=np.generic)


def halve_rgb(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(ceil(H/2), ceil(W/2), C) uint8: each pixel the mean of two by two; an odd edge counts itself twice."""
    height, width = rgb.shape[:2]
    if height % 2 or width % 2:
        rgb = np.asarray(cv2.copyMakeBorder(rgb, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE), dtype=np.uint8)
    half = cv2.resize(rgb, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(half, dtype=np.uint8)


def halve_labels(labels: npt.NDArray[_Label]) -> npt.NDArray[_Label]:
    """(ceil(H/2), ceil(W/2)) of the same type: each pixel the upper left of two by two, never a mixture."""
    return np.ascontiguousarray(labels[::2, ::2])


def halve_rect(rect: Rect) -> Rect:
    """The pixels of the next level that a rectangle of this one touches."""
    top, left = rect.top // 2, rect.left // 2
    return Rect(top, left, (rect.bottom + 1) // 2 - top, (rect.right + 1) // 2 - left)


def level_count(height: int, width: int, tile: int) -> int:
    """Levels from full size down to the first that fits one tile; at least 1."""
    levels = 1
    while max(height, width) > tile:
        height, width, levels = (height + 1) // 2, (width + 1) // 2, levels + 1
    return levels


def build_pyramid(rgb: npt.NDArray[np.uint8], tile: int = 256) -> list[npt.NDArray[np.uint8]]:
    """The image (H, W, 3) itself first, then each level half the one before, down to one tile."""
    levels = [rgb]
    for _ in range(level_count(rgb.shape[0], rgb.shape[1], tile) - 1):
        levels.append(halve_rgb(levels[-1]))
    return levels
