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
        pixels: (N (d + 1),) int32, pixels by point, in pixel order, the first of each point as its complement.
        weights: (N (d + 1),) float32, their shares.
        chains: (d + 1, V + 1) int32: for each axis chains of neighbours, the last of each as its complement, then one
            entry more, so that kernels may look ahead.
        lengths: (d + 1,) int64, how much of each of these is filled, that entry included.
        mass: (N,) float32, the filter of ones: the sum of the kernel over all pixels, itself included.
    """

    ids: npt.NDArray[np.int32]
    shares: npt.NDArray[np.float32]
    starts: npt.NDArray[np.int32]
    pixels: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32]
    chains: npt.NDArray[np.int32]
    lengths: npt.NDArray[np.int64]
    mass: npt.NDArray[np.float32]

    @property
    def points(self) -> int:
        """How many lattice points hold anything."""
        return len(self.starts) - 1

    @property
    def links(self) -> tuple[npt.NDArray[np.int32], ...]:
        """The filled part of each axis's chains."""
        return tuple(chain[:length] for chain, length in zip(self.chains, self.lengths, strict=True))

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
        arrays = (self.ids, self.shares, self.starts, self.pixels, self.weights, self.mass, self.chains)
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
    team.run(lambda part, parts: kernels.mark(starts, pixels, *span(len(keys), part, parts)))
    chains, lengths = _chains(table, bits, keys, codes, team)
    mass = np.empty(count, np.float32)
    lattice = Lattice(ids, shares, starts, pixels, weights, chains, lengths, mass)
    _fill_mass(lattice, team)
    return lattice


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
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    deltas = permutohedral.steps(codes)
    chains = np.empty((len(deltas), len(keys) + 1), np.int32)
    lengths = np.empty(len(deltas), np.int64)

    def work(part: int, parts: int) -> None:
        following = np.empty(len(keys), np.int32)
        for axis in range(part, len(deltas), parts):
            kernels.neighbours(table, bits, keys, deltas[axis], following)
            lengths[axis] = kernels.chain(following, chains[axis])

    team.run(work)
    return chains, lengths


def _fill_mass(lattice: Lattice, team: Team) -> None:
    count = len(lattice.ids)
    ones, values = np.ones(count, np.float32), np.empty(lattice.points, np.float32)

    def gather(part: int, parts: int) -> None:
        some = span(lattice.points, part, parts)
        rows.splat_rows(
            ones, 1, lattice.starts, lattice.pixels, lattice.weights, ones, lattice.alpha, values, _ONE, *some
        )

    def spread(part: int, parts: int, links: npt.NDArray[np.int32]) -> None:
        rows.blur_chains(values, 1, links, _ONE, *span(len(links) - 1, part, parts))

    def collect(part: int, parts: int) -> None:
        some = span(count, part, parts)
        rows.slice_rows(lattice.ids, lattice.shares, ones, values, 1, lattice.mass, _ONE, *some)

    team.run(gather)
    for links in lattice.links:
        team.run(spread, links)
    team.run(collect)


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
