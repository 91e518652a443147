"""The CRF engine of this program: exact mean field on permutohedral lattices, compiled by numba where it runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from segstudio.core.errors import Cancelled
from segstudio.core.jobs import Progress
from segstudio.refine import mean_field_kernels as rows
from segstudio.refine.api import Refined
from segstudio.refine.cache import LatticeCache, fingerprint
from segstudio.refine.energy import MIN_PROBABILITY
from segstudio.refine.lattice import Lattice, build_lattice
from segstudio.refine.mean_field import Floats, MeanField, Term, aligned, infer, layout, term
from segstudio.refine.params import CrfParams
from segstudio.refine.team import Team, span, team

_TILE: Final = 32
_cache = LatticeCache()


def minimise(
    image: npt.NDArray[np.uint8],
    probabilities: npt.NDArray[np.float32],
    params: CrfParams,
    *,
    exact: bool,
    progress: Callable[[Progress], None],
    cancelled: Callable[[], bool],
) -> Refined:
    """The mean-field distribution of checked input of the same height and width.

    Raises:
        Cancelled: `cancelled` said so before the first or between two iterations.
    """
    labels, height, width = probabilities.shape
    threads, order = team(), visiting_order(height, width)
    logits, uniform = packed(probabilities, order, params.temperature, threads)
    progress(Progress(0.0, "Building the lattices"))
    terms = image_terms(image, params, threads, _cache)
    if cancelled():
        raise Cancelled
    field = MeanField(logits, labels, terms, threads, pruned=not exact)
    infer(field, params.iterations, progress=progress, cancelled=cancelled)
    progress(Progress(1.0, "CRF done"))
    return Refined(field.result(order).reshape(labels, height, width), tuple(map(int, field.live)), uniform)


def packed(
    probabilities: npt.NDArray[np.float32], order: npt.NDArray[np.int32], temperature: float, threads: Team
) -> tuple[Floats, int]:
    """Rows of logits in visiting order of probabilities (C, H, W), and how many pixels were no distribution."""
    labels = len(probabilities)
    like, row = layout(labels)
    logits, planes = aligned(len(order) * row), probabilities.reshape(labels, -1)
    least, factor = np.float32(MIN_PROBABILITY), np.float32(1 / temperature)
    uniform = [0] * threads.size

    def pack(part: int, parts: int) -> None:
        some = span(len(order), part, parts)
        uniform[part] = rows.pack_probabilities(planes, order, least, factor, logits, row, like, *some)

    threads.run(pack)
    return logits, sum(uniform)


def image_terms(image: npt.NDArray[np.uint8], params: CrfParams, threads: Team, cache: LatticeCache) -> list[Term]:
    """The spatial and the bilateral kernel of an image; one of weight zero is left out."""
    terms = []
    size = image.shape[:2]
    if params.spatial_weight > 0:
        xy = params.spatial_xy
        lattice = cache.get((size, xy), lambda: image_lattice(image, (xy, xy), None, threads))
        terms.append(term(lattice, params.spatial_weight))
    if params.bilateral_weight > 0:
        xy, rgb = params.bilateral_xy, params.bilateral_rgb
        key = (size, xy, rgb, fingerprint(image))
        lattice = cache.get(key, lambda: image_lattice(image, (xy, xy), (rgb, rgb, rgb), threads))
        terms.append(term(lattice, params.bilateral_weight))
    return terms


def image_lattice(
    image: npt.NDArray[np.uint8], xy: tuple[float, float], rgb: tuple[float, float, float] | None, threads: Team
) -> Lattice:
    """The lattice of an image's positions, and of its colours too where `rgb` gives their reach."""
    order = visiting_order(*image.shape[:2])
    features = np.empty((len(order), 5 if rgb else 2), np.float32)
    reach, colour = np.array(xy, np.float32), np.array(rgb or (1, 1, 1), np.float32)
    threads.run(
        lambda part, parts: rows.image_features(image, order, reach, colour, features, *span(len(order), part, parts))
    )
    return build_lattice(features, threads)


@lru_cache(maxsize=8)
def visiting_order(height: int, width: int) -> npt.NDArray[np.int32]:
    """(H W,) int32: raster numbers of the pixels, tile by tile, so that rows of neighbours lie together in memory."""
    y, x = np.divmod(np.arange(height * width, dtype=np.int32), np.int32(width))
    tile = (y // _TILE) * (-(-width // _TILE)) + x // _TILE
    return np.argsort(tile, kind="stable").astype(np.int32)
