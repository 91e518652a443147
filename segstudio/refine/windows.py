"""Images that are too large for one run: windows with margins, of which the middle is kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from segstudio.core.jobs import Progress
from segstudio.imaging.tiling import plan_tiles
from segstudio.refine.api import Minimise, Refined
from segstudio.refine.params import CrfParams

# Measured: beyond, a wider margin changes less than one pixel in a thousand.
_MARGIN_REACHES: Final = 3.0
_SMALLEST_CORE_PX: Final = 256


def in_windows(
    minimise: Minimise,
    image: npt.NDArray[np.uint8],
    probabilities: npt.NDArray[np.float32],
    params: CrfParams,
    *,
    most_pixels: int,
    exact: bool,
    progress: Callable[[Progress], None],
    cancelled: Callable[[], bool],
) -> Refined:
    """As `minimise`, with at most about `most_pixels` at once.

    Each window reaches three times as far as the kernels do; what is further away counts for one in a hundred or less.

    Raises:
        Cancelled: `cancelled` said so.
    """
    height, width = image.shape[:2]
    margin = math.ceil(_MARGIN_REACHES * max(params.bilateral_xy if params.bilateral_weight else 0, params.spatial_xy))
    core = max(_SMALLEST_CORE_PX, math.isqrt(most_pixels) - 2 * margin)
    tiles = plan_tiles(height, width, core, margin, 1)
    out = np.empty_like(probabilities)
    live: set[int] = set()
    uniform = 0
    for number, tile in enumerate(tiles):
        part = minimise(
            np.ascontiguousarray(image[tile.padded.slices]),
            np.ascontiguousarray(probabilities[(slice(None), *tile.padded.slices)]),
            params,
            exact=exact,
            progress=_share(progress, number, len(tiles)),
            cancelled=cancelled,
        )
        top, left = tile.core.top - tile.padded.top, tile.core.left - tile.padded.left
        inner = (slice(None), slice(top, top + tile.core.height), slice(left, left + tile.core.width))
        out[(slice(None), *tile.core.slices)] = part.probabilities[inner]
        live.update(part.live)
        uniform += part.uniform
    return Refined(out, tuple(sorted(live)), uniform)


def _share(progress: Callable[[Progress], None], number: int, count: int) -> Callable[[Progress], None]:
    def tell(own: Progress) -> None:
        progress(Progress((number + (own.fraction or 0.0)) / count, f"Window {number + 1} of {count}: {own.text}"))

    return tell
