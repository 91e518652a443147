"""The permutohedral lattice of a set of features, ready to be filtered on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from segstudio.core.errors import UserError
from segstudio.refine import lattice_kernels as kernels
from segstudio.refine import mean_field_kernels as rows
from segstudio.refine.team import Team, span

_ONE: Final = (0.0,)
# What pydensecrf adds before it divides.
_TINY: Final = np.float32(1e-20)
_LARGEST_FEATURE: Final = 1e6
# Of a packed coordinate's factor where the ranges do not fit: odd, so that they are units modulo 2^64.
_SEED: Final = 20101111


@dataclass(frozen=True, slots=True, eq=False)
class Lattice:
    """Where each pixel lies in the lattice, and who neighbours whom.

    Attributes:
        ids: (N, d + 1) int32, the corners of each pixel's simplex.
        shares: (N, d + 1) float32, its barycentric coordinates; they sum to 1.
        starts: (V + 1,) int32, where each point's entries start.
        pixels: (N (d + 1),) int32, pixels by point, in pixel order.
        weights: (N (d + 1),) float32, their shares.
        links: For each of d + 1 axes (entries,) int32: chains of neighbours, the last of each as its complement.
        mass: (N,) float32, the filter of ones: the sum of the kernel over all pixels, itself included.
    """

    ids: npt.NDArray[np.int32]
    shares: npt.NDArray[np.float32]
    starts: npt.NDArray[np.int32]
    pixels: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32]
    links: tuple[npt.NDArray[np.int32], ...]
    mass: npt.NDArray[np.float32]

    @property
    def points(self) -> int:
        """How many lattice points hold anything."""
        return len(self.starts) - 1

    @property
    def dimensions(self) -> int:
        """How many features a pixel has."""
        return int(self.ids.shape[1]) - 1

    @property
    def alpha(self) -> np.float32:
        """What makes the blurred values a mean of the kernel (Adams et al. 2010)."""
        return np.float32(1.0 / (1.0 + 2.0**-self.dimensions))

    @property
    def nbytes(self) -> int:
        """Bytes of main memory."""
        arrays = (self.ids, self.shares, self.starts, self.pixels, self.weights, self.mass, *self.links)
        return sum(array.nbytes for array in arrays)


def build_lattice(features: npt.NDArray[np.float32], team: Team) -> Lattice:
    """The lattice of features (N, d) float32, already divided by the kernel's widths.

    Raises:
        UserError: no pixels, no or too many features, or features that are not finite or too large.
    """
    checked_features(features)
    count, dimensions = features.shape
    ids = np.empty((count, dimensions + 1), np.int32)
    shares = np.empty((count, dimensions + 1), np.float32)
    ranges = [span(count, part, team.size) for part in range(team.size)]
    codes, scales = _codes(features), _scales(dimensions)
    local: list[npt.NDArray[np.int64]] = [np.empty(0, np.int64)] * team.size

    def embed(part: int, _parts: int) -> None:
        local[part] = kernels.embed(features, scales, codes, shares, ids, *ranges[part])

    team.run(embed)
    table, shift, keys, numbers = _merged(local)
    counts = np.zeros((team.size, len(keys)), np.int32)

    def renumber(part: int, _parts: int) -> None:
        kernels.renumber(ids, numbers[part], counts[part], *ranges[part])

    team.run(renumber)
    starts = np.empty(len(keys) + 1, np.int32)
    kernels.offsets(counts, starts)
    pixels, weights = np.empty(ids.size, np.int32), np.empty(ids.size, np.float32)

    def collect(part: int, _parts: int) -> None:
        kernels.collect(ids, shares, counts[part], pixels, weights, *ranges[part])

    team.run(collect)
    links = _chains(table, shift, keys, codes, team)
    mass = _mass(ids, shares, starts, pixels, weights, links, team)
    return Lattice(ids, shares, starts, pixels, weights, links, mass)


def checked_features(features: npt.NDArray[Any]) -> None:
    """Returns if a lattice can be built of these features.

    Raises:
        UserError: it cannot.
    """
    if features.ndim != 2 or 0 in features.shape or features.shape[1] > kernels.MAX_DIMENSIONS:
        raise UserError(
            f"The CRF cannot use features of shape {tuple(features.shape)}.",
            f"Give (pixels, features) with 1 to {kernels.MAX_DIMENSIONS} features.",
        )
    # Written so that what is not a number fails too.
    if not (features.max() <= _LARGEST_FEATURE and features.min() >= -_LARGEST_FEATURE):
        raise UserError(
            "The CRF cannot use features that are not finite, or beyond a million after division by their widths.",
            "Use larger widths, or leave such pixels out.",
        )


def _scales(dimensions: int) -> npt.NDArray[np.float32]:
    spread = np.float32(math.sqrt(2.0 / 3.0) * (dimensions + 1))
    return np.array([1.0 / math.sqrt((i + 1) * (i + 2)) * spread for i in range(dimensions)], np.float32)


def _codes(features: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Factors that pack coordinates into 64 bits: one to one where their ranges fit, else random ones.

    With random odd factors two of a million points share a key with a probability below 1e-7.
    """
    dimensions = features.shape[1]
    low, high = features.min(0).astype(np.float64), features.max(0).astype(np.float64)
    scales = _scales(dimensions).astype(np.float64)
    codes, room = [], 1
    for i in range(dimensions):
        # Coordinate i is the sum of the scaled features from i on, less i times the one before.
        span_after = float(((high - low) * scales)[i:].sum())
        span_before = float(i * ((high - low) * scales)[i - 1]) if i else 0.0
        codes.append(room)
        # A corner lies within d + 1 of its pixel, and a neighbour d further.
        room *= math.ceil(span_after + span_before) + 6 * (dimensions + 1)
    if room < 1 << 62:
        return np.array(codes, np.int64)
    drawn = np.random.default_rng(_SEED).integers(-(1 << 61), 1 << 61, dimensions, np.int64)
    return np.asarray(2 * drawn + 1, np.int64)


def _merged(
    local: list[npt.NDArray[np.int64]],
) -> tuple[npt.NDArray[np.int64], int, npt.NDArray[np.int64], list[npt.NDArray[np.int32]]]:
    """One table of all points; the numbers are those of one range, whatever number of ranges there is."""
    most = sum(len(keys) for keys in local)
    bits = max(4, (2 * most - 1).bit_length())
    table = np.empty((1 << bits, 2), np.int64)
    table[:, 1] = kernels.EMPTY
    keys, numbers, count = np.empty(most, np.int64), [], 0
    for part in local:
        of_part = np.empty(len(part), np.int32)
        count = kernels.merge(table, 64 - bits, part, keys, count, of_part)
        numbers.append(of_part)
    return table, 64 - bits, keys[:count], numbers


def _chains(
    table: npt.NDArray[np.int64], shift: int, keys: npt.NDArray[np.int64], codes: npt.NDArray[np.int64], team: Team
) -> tuple[npt.NDArray[np.int32], ...]:
    dimensions = len(codes)
    with np.errstate(over="ignore"):
        # A step along axis j is -1 in every coordinate but the j-th, where it is d; the last one is not in the key.
        back = -codes.sum()
        deltas = [back + np.int64(dimensions + 1) * code for code in codes] + [back]
    links: list[npt.NDArray[np.int32]] = [np.empty(0, np.int32)] * (dimensions + 1)

    def work(part: int, parts: int) -> None:
        following = np.empty(len(keys), np.int32)
        listed = np.empty(len(keys), np.int32)
        for axis in range(part, dimensions + 1, parts):
            kernels.neighbours(table, shift, keys, deltas[axis], following, 0, len(keys))
            links[axis] = listed[: kernels.chain(following, listed)].copy()

    team.run(work)
    return tuple(links)


def _mass(
    ids: npt.NDArray[np.int32],
    shares: npt.NDArray[np.float32],
    starts: npt.NDArray[np.int32],
    pixels: npt.NDArray[np.int32],
    weights: npt.NDArray[np.float32],
    links: tuple[npt.NDArray[np.int32], ...],
    team: Team,
) -> npt.NDArray[np.float32]:
    ones = np.ones(len(ids), np.float32)
    points = len(starts) - 1
    values, mass = np.empty(points, np.float32), np.empty(len(ids), np.float32)
    alpha = np.float32(1.0 / (1.0 + 2.0 ** -(ids.shape[1] - 1)))

    def gather(part: int, parts: int) -> None:
        rows.splat_rows(ones, 1, starts, pixels, weights, ones, alpha, values, _ONE, *span(points, part, parts))

    def spread(part: int, parts: int, chain: npt.NDArray[np.int32]) -> None:
        rows.blur_chains(values, 1, chain, _ONE, *span(len(chain), part, parts))

    def collect(part: int, parts: int) -> None:
        rows.slice_rows(ids, shares, ones, values, 1, mass, _ONE, *span(len(ids), part, parts))

    team.run(gather)
    for chain in links:
        team.run(spread, chain)
    team.run(collect)
    return mass


def normalisers(
    mass: npt.NDArray[np.float32], normalization: str
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The factors before and after filtering, (N,) float32 each, of one of pydensecrf's four normalisations."""
    ones, one = np.ones_like(mass), np.float32(1)
    match normalization:
        case "none":
            return ones, ones * np.float32(len(mass) / mass.sum(dtype=np.float64))
        case "before":
            return one / (mass + _TINY), ones
        case "after":
            return ones, one / (mass + _TINY)
        case "symmetric":
            both = one / np.sqrt(mass + _TINY)
            return both, both
        case _:
            raise ValueError(normalization)
