"""Small pictures of a project's images with some of their pixels pointed out; for lists, read in the background."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from segstudio.imaging.decode import read_image

# A mark covers at least this many pixels of a small picture each way, so that a single one shows.
_SMALLEST_MARK: Final = 3
_DIMMED: Final = 0.55


def marked_thumbnail(
    path: Path, marks: npt.NDArray[np.bool_] | None, *, side: int, color: tuple[int, int, int]
) -> npt.NDArray[np.uint8]:
    """(h, w, 3) uint8 RGB of an image file, its longer side `side` pixels at most; marked pixels in `color`.

    Where there are marks, the rest of the picture is dimmed, so that a few of them are found at once.

    Args:
        path: The image file.
        marks: (H, W) bool of the image's size; None marks nothing.
        side: In pixels, above 0.
        color: RGB 0-255.

    Raises:
        ImageError: The image cannot be read.
    """
    rgb = read_image(path).rgb
    height, width = rgb.shape[:2]
    scale = min(1.0, side / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    if marks is None or marks.shape != (height, width):
        return small
    covered = cv2.resize(marks.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
    grown = cv2.dilate(covered.astype(np.uint8), np.ones((_SMALLEST_MARK, _SMALLEST_MARK), np.uint8)) > 0
    small = (small * _DIMMED).astype(np.uint8)
    small[grown] = color
    return small
