"""The CRF engine of this program: exact mean field on permutohedral lattices, compiled by numba where it runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Final

import numpy as np
import numpy.typing as npt

from segstudio.core.errors import Cancelled
from segstudio.core.geometry import Rect
from segstudio.core.jobs import Progress
from segstudio.core.memory import free_memory
from segstudio.refine import mean_field_kernels as rows
from segstudio.refine.api import Refined, ignore_progress, never
from segstudio.refine.energy import MIN_PROBABILITY
from segstudio.refine.lattice import Lattice, build_lattice
from segstudio.refine.mean_field import Floats, MeanField, Term, aligned, infer, layout, term
from segstudio.refine.params import CrfParams
from segstudio.refine.recent import Recent, fingerprint
from segstudio.refine.team import Team, span, team
from segstudio.refine.windows import in_windows

_TILE: Final = 32
_USUAL_LABELS: Final = (2, 8, 21)
_WORK_BYTES: Final = 4 << 30
_FREE_SHARE: Final = 0.5
_FEWEST_PIXELS: Final = 1 << 18
# Per pixel: both lattices with the memory that building them takes, and rows of logits, probabilities and, for each
# label, up to three lattice points. Measured on photographs.
_PIXEL_BYTES: Final = 260
_LABEL_BYTES: Final = 20
Reach = tuple[float, ...]
_cache: Recent[Lattice] = Recent()


def minimise(
    image: npt.NDArray[np.uint8],
    probabilities: npt.NDArray[np.float32],
    params: CrfParams,
    *,
    exact: bool,
    progress: Callable[[Progress], None],
    cancelled: Callable[[], bool],
) -> Refined:
    """The mean-field distribution of checked input of the same height and width; in windows where memory asks for it.

    Raises:
        Cancelled: `cancelled` said so before the first or between two iterations.
    """
    labels, height, width = probabilities.shape
    most = _most_pixels(labels)
    if height * width > most:
        return in_windows(
            minimise, image, probabilities, params, most_pixels=most, exact=exact, progress=progress,
            cancelled=cancelled,
        )  # fmt: skip
    threads, order = team(), visiting_order(height, width)
    logits, uniform = packed(probabilities, order, params.temperature, threads)
    progress(Progress(0.0, "Building the lattices"))
    terms = image_terms(image, params, threads, _cache)
    if cancelled():
        raise Cancelled
    field = MeanField(logits, labels, terms, threads, pruned=not exact)
    infer(field, params.iterations, progress=progress, cancelled=cancelled)
    progress(Progress(1.0, "CRF done"))
    return Refined(field.result(order).reshape(labels, height, width), field.alive, uniform)


def _most_pixels(labels: int) -> int:
    """How many pixels go through at once: half of the free memory, and at most a few gibibytes."""
    free = free_memory()
    room = _WORK_BYTES if free is None else min(_WORK_BYTES, int(free * _FREE_SHARE))
    return max(_FEWEST_PIXELS, room // (_PIXEL_BYTES + _LABEL_BYTES * layout(labels)[1]))


def warm_up() -> None:
    """Compiles the kernels for the usual numbers of labels, or loads them from numba's cache on disk.

    Compiling takes ten seconds, once for each version of numba; where something here cannot be compiled, the first
    refinement says so.
    """
    image = np.zeros((4, 4, 3), np.uint8)
    for labels in _USUAL_LABELS:
        flat = np.full((labels, 4, 4), 1 / labels, np.float32)
        minimise(image, flat, CrfParams(iterations=1), exact=False, progress=ignore_progress, cancelled=never)


def shared_cache() -> Recent[Lattice]:
    """The process's lattices."""
    return _cache


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


def image_terms(image: npt.NDArray[np.uint8], params: CrfParams, threads: Team, cache: Recent[Lattice]) -> list[Term]:
    """The spatial and the bilateral kernel of an image; one of weight zero is left out."""
    size = image.shape[:2]
    terms = []
    for weight, xy, rgb in _kernels(params):
        key = (size, xy) if rgb is None else (size, xy, rgb, fingerprint(image))
        lattice = cache.get(key, partial(image_lattice, image, xy, rgb, threads))
        terms.append(term(lattice, weight))
    return terms


def window_lattices(image: npt.NDArray[np.uint8], params: CrfParams, threads: Team, window: Rect) -> list[Lattice]:
    """The lattices of `image_terms` for the pixels of a window alone, which keep their places in the image."""
    return [image_lattice(image, xy, rgb, threads, window) for _, xy, rgb in _kernels(params)]


def _kernels(params: CrfParams) -> list[tuple[float, Reach, Reach | None]]:
    """`CrfParams.kernels`, with a reach for each axis and colour."""
    return [(weight, (xy,) * 2, None if rgb is None else (rgb,) * 3) for weight, xy, rgb in params.kernels()]


def image_lattice(
    image: npt.NDArray[np.uint8], xy: Reach, rgb: Reach | None, threads: Team, window: Rect | None = None
) -> Lattice:
    """The lattice of an image's positions, and of its colours too where `rgb` gives their reach."""
    window = window or Rect.of_shape(image.shape[:2])
    order = visiting_order(window.height, window.width)
    features = np.empty((5 if rgb else 2, len(order)), np.float32)
    reach, colour = np.array(xy, np.float32), np.array(rgb or (1, 1, 1), np.float32)
    where = (window.top, window.left, window.width)

    def fill(part: int, parts: int) -> None:
        rows.image_features(image, order, where, reach, colour, features, *span(len(order), part, parts))

    threads.run(fill)
    return build_lattice(features, threads)


@lru_cache(maxsize=8)
def visiting_order(height: int, width: int) -> npt.NDArray[np.int32]:
    """(H W,) int32: raster numbers of the pixels, tile by tile, so that rows of neighbours lie together in memory."""
    y, x = np.divmod(np.arange(height * width, dtype=np.int32), np.int32(width))
    tile = (y // _TILE) * (-(-width // _TILE)) + x // _TILE
    return np.argsort(tile, kind="stable").astype(np.int32)
