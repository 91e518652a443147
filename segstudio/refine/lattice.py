"""The permutohedral lattice of a set of features, ready to be filtered on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from segstudio.core.errors import UserError
from segstudio.refine import lattice_kernels as kernels
from segstudio.refine import mean_field_kernels as rows
from segstudio.refine import permutohedral
from segstudio.refine.team import Team, span

_ONE: Final = (0.0,)
_MOST_ENTRIES: Final = 2**31 - 1
_TINY: Final = np.float32(permutohedral.TINY)


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
        return np.float32(permutohedral.alpha(self.dimensions))

    @property
    def nbytes(self) -> int:
        """Bytes of main memory."""
        arrays = (self.ids, self.shares, self.starts, self.pixels, self.weights, self.mass, *self.links)
        return sum(array.nbytes for array in arrays)


def build_lattice(features: npt.NDArray[np.float32], team: Team) -> Lattice:
    """The lattice of features (d, N) float32, already divided by the kernel's widths.

    Raises:
        UserError: no pixels, no or too many features, or features that are not finite or too large.
    """
    _checked(features)
    low, high = features.min(1), features.max(1)
    permutohedral.check_range(low, high)
    dimensions, count = features.shape
    if count % kernels.LANES:
        features = np.pad(features, ((0, 0), (0, -count % kernels.LANES)), mode="edge")
    ids = np.empty((count, dimensions + 1), np.int32)
    shares = np.empty((count, dimensions + 1), np.float32)
    blocks = -(-count // kernels.LANES)
    ranges = [[min(count, kernels.LANES * b) for b in span(blocks, part, team.size)] for part in range(team.size)]
    codes, scales = permutohedral.codes(low, high), permutohedral.scales(dimensions)
    local: list[npt.NDArray[np.int64]] = [np.empty(0, np.int64)] * team.size

    def embed(part: int, _parts: int) -> None:
        local[part] = kernels.embed(features, scales, codes, shares, ids, *ranges[part])

    team.run(embed)
    table, bits, keys, numbers = _merged(local)
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
    links = _chains(table, bits, keys, codes, team)
    mass = _mass(ids, shares, starts, pixels, weights, links, team)
    return Lattice(ids, shares, starts, pixels, weights, links, mass)


def _checked(features: npt.NDArray[Any]) -> None:
    if features.ndim != 2 or 0 in features.shape or len(features) > kernels.MAX_DIMENSIONS:
        raise UserError(
            f"The CRF cannot use features of shape {tuple(features.shape)}.",
            f"Give (features, pixels) with 1 to {kernels.MAX_DIMENSIONS} features.",
        )
    if (len(features) + 1) * features.shape[1] > _MOST_ENTRIES:
        raise UserError(
            f"{features.shape[1]} pixels with {len(features)} features are too many for the CRF.",
            "Refine a smaller image, or parts of it.",
        )


def _merged(
    local: list[npt.NDArray[np.int64]],
) -> tuple[npt.NDArray[np.int32], int, npt.NDArray[np.int64], list[npt.NDArray[np.int32]]]:
    """One table of all points; the numbers are those of one range, whatever number of ranges there is."""
    most = sum(len(keys) for keys in local)
    bits = max(4, (2 * most - 1).bit_length())
    table = np.full(1 << bits, kernels.EMPTY, np.int32)
    keys, numbers, count = np.empty(most, np.int64), [], 0
    for part in local:
        of_part = np.empty(len(part), np.int32)
        count = kernels.number(table, keys, bits, part, of_part, count)
        numbers.append(of_part)
    return table, bits, keys[:count], numbers


def _chains(
    table: npt.NDArray[np.int32], bits: int, keys: npt.NDArray[np.int64], codes: npt.NDArray[np.int64], team: Team
) -> tuple[npt.NDArray[np.int32], ...]:
    deltas = permutohedral.steps(codes)
    links: list[npt.NDArray[np.int32]] = [np.empty(0, np.int32)] * len(deltas)

    def work(part: int, parts: int) -> None:
        following = np.empty(len(keys), np.int32)
        listed = np.empty(len(keys), np.int32)
        for axis in range(part, len(deltas), parts):
            kernels.neighbours(table, bits, keys, deltas[axis], following)
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
    alpha = np.float32(permutohedral.alpha(ids.shape[1] - 1))

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
            return ones, ones
        case "before":
            return one / (mass + _TINY), ones
        case "after":
            return ones, one / (mass + _TINY)
        case "symmetric":
            both = one / np.sqrt(mass + _TINY)
            return both, both
        case _:
            raise ValueError(normalization)
