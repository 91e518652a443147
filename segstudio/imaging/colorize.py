"""Class ids as colours for the screen."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import numpy as np
import numpy.typing as npt

_OPAQUE: Final = 255


def overlay_rgba(labels: npt.NDArray[np.uint8], table: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(h, w, 4) uint8: each label (h, w) looked up in `table` (256, 4), whatever order its channels have."""
    # One 32-bit look-up a pixel is several times as fast as four of 8 bits.
    words = np.ascontiguousarray(table).view(np.uint32).reshape(256)
    return words.take(labels).view(np.uint8).reshape(*labels.shape, 4)


def rgba_table(
    colors: npt.NDArray[np.uint8], *, hidden: Collection[int] = (), alpha: int = _OPAQUE
) -> npt.NDArray[np.uint8]:
    """(256, 4) uint8 RGBA from (256, 3) RGB: `alpha` for all, 0 for the `hidden` ids."""
    table = np.empty((256, 4), dtype=np.uint8)
    table[:, :3] = colors
    table[:, 3] = alpha
    table[list(hidden)] = 0
    return table
