"""The permutohedral lattice in torch, for a graphics processor: built by sorting, filtered by weighted sums of rows.

The embedding is that of Adams, Baek and Davis, "Fast High-Dimensional Filtering Using the Permutohedral Lattice"
(2010), with pydensecrf's scaling and rounding, as in `lattice_kernels`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F

from segstudio.refine.permutohedral import TINY, alpha, check_range, codes, scales, steps


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Weighted sums of rows: a sparse matrix by rows.

    Attributes:
        index: (entries,) int32, the rows to add.
        starts: (sums + 1,) int32, where each sum's entries start.
        weights: (entries,) float32.
    """

    index: torch.Tensor
    starts: torch.Tensor
    weights: torch.Tensor

    def of(self, rows: torch.Tensor) -> torch.Tensor:
        """The sums (sums, M) of rows (N, M) float32, the terms of each added in the order they are listed."""
        if has_bags(rows.device.type):
            return F.embedding_bag(
                self.index, rows, self.starts, mode="sum", per_sample_weights=self.weights, include_last_offset=True
            )
        many = self.starts.diff()
        owners = torch.arange(len(many), device=rows.device).repeat_interleave(many, output_size=len(self.index))
        terms = rows.index_select(0, self.index).mul_(self.weights[:, None])
        return rows.new_zeros(len(many), rows.shape[1]).index_add_(0, owners, terms)

    def to(self, device: torch.device) -> Sums:
        """The same on another device."""
        return Sums(self.index.to(device), self.starts.to(device), self.weights.to(device))

    @property
    def nbytes(self) -> int:
        """Bytes of the device's memory."""
        return self.index.nbytes + self.starts.nbytes + self.weights.nbytes


@dataclass(frozen=True, slots=True, eq=False)
class Lattice:
    """A kernel of N pixels, normalised symmetrically: a product of sparse matrices.

    Attributes:
        splat: From the pixels to the lattice's points.
        blurs: From point to point, once for each axis.
        slice: From the points back to the pixels.
    """

    splat: Sums
    blurs: tuple[Sums, ...]
    slice: Sums

    def filter(self, rows: torch.Tensor) -> torch.Tensor:
        """What the kernel makes of rows (N, M) float32, a row's own share included."""
        values = self.splat.of(rows)
        for blur in self.blurs:
            values = blur.of(values)
        return self.slice.of(values)

    def to(self, device: torch.device) -> Lattice:
        """The same on another device."""
        return Lattice(self.splat.to(device), tuple(blur.to(device) for blur in self.blurs), self.slice.to(device))

    @property
    def nbytes(self) -> int:
        """Bytes of the device's memory."""
        return sum(part.nbytes for part in (self.splat, *self.blurs, self.slice))


def build_lattice(features: torch.Tensor) -> Lattice:
    """The lattice of features (d, N) float32, already divided by the kernel's widths, on their device.

    Raises:
        UserError: features that are not finite or too large.
    """
    dimensions, count = features.shape
    low, high = features.amin(1).cpu().numpy(), features.amax(1).cpu().numpy()
    check_range(low, high)
    factors = codes(low, high)
    keys, shares = _embedded(features, [int(factor) for factor in factors])
    # Stable, so that the pixels of a point are listed in their order.
    ordered, origin = torch.sort(keys, stable=True)
    points, numbers, counts = torch.unique_consecutive(ordered, return_inverse=True, return_counts=True)
    ids = torch.empty_like(numbers, dtype=torch.int32)
    ids[origin] = numbers.int()
    splat = Sums((origin // (dimensions + 1)).int(), _starts(counts), shares[origin])
    starts = torch.arange(0, len(ids) + 1, dimensions + 1, dtype=torch.int32, device=ids.device)
    blurs = tuple(_blur(points, int(step)) for step in steps(factors))
    return _normalised(Lattice(splat, blurs, Sums(ids, starts, shares)), count, alpha(dimensions))


def _embedded(features: torch.Tensor, factors: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """The packed coordinates (N (d + 1),) int64 of each pixel's corners, pixel by pixel, and its shares of them."""
    dimensions = len(factors)
    up, down = dimensions + 1, float(np.float32(1) / np.float32(dimensions + 1))
    elevated = _elevated(features)
    # Half to even, as in pydensecrf.
    nearest = torch.round(elevated * down).long()
    base = nearest * up
    rest = elevated - base
    # Falling order; of equal ones the later comes after.
    rank = torch.stack([(rest > rest[i]).sum(0) + (rest[:i] == rest[i]).sum(0) for i in range(up)])
    rank += nearest.sum(0)
    # A point that rounding took off the plane of coordinate sum zero is brought back.
    back = ((rank < 0).long() - (rank > dimensions).long()) * up
    rank += back
    base += back
    by_rank = torch.empty_like(elevated).scatter_(0, rank, (elevated - base) * down).flip(0)
    shares = by_rank.clone()
    shares[1:] -= by_rank[:-1]
    shares[0] += 1 - by_rank[-1]
    factor = torch.tensor([*factors, 0], device=features.device)[:, None]
    # Corner r has one more in every coordinate but the one of rank d - r + 1, which has d less.
    turned = torch.empty_like(rank).scatter_(0, rank, factor.expand_as(rank)).flip(0)
    keys = torch.empty_like(rank)
    keys[0] = (base * factor).sum(0)
    keys[1:] = factor.sum() - up * turned[:-1]
    return keys.cumsum(0).t().reshape(-1), shares.t().reshape(-1)


def _elevated(features: torch.Tensor) -> torch.Tensor:
    """The pixels (d + 1, N) in the plane of coordinate sum zero."""
    dimensions, count = features.shape
    scale = scales(dimensions)
    elevated = features.new_empty(dimensions + 1, count)
    total = features.new_zeros(count)
    for j in range(dimensions, 0, -1):
        scaled = features[j - 1] * float(scale[j - 1])
        # Not in one step: a fused one would round differently.
        elevated[j] = total - j * scaled
        total = total + scaled
    elevated[0] = total
    return elevated


def _blur(points: torch.Tensor, step: int) -> Sums:
    """A point and half of both neighbours along an axis; one that is not in the lattice counts as zero."""
    wanted = points + step
    found = torch.searchsorted(points, wanted).clamp_(max=len(points) - 1)
    here = (points[found] == wanted).nonzero().squeeze(1)
    there = found[here]
    index = torch.full((len(points), 3), -1, dtype=torch.int32, device=points.device)
    index[:, 0] = torch.arange(len(points), device=points.device)
    index[there, 1] = here.int()
    index[here, 2] = there.int()
    entries = (index >= 0).flatten().nonzero().squeeze(1)
    return Sums(index.flatten()[entries], _starts((index >= 0).sum(1)), torch.where(entries % 3 == 0, 1.0, 0.5))


def _starts(counts: torch.Tensor) -> torch.Tensor:
    return F.pad(counts.cumsum(0), (1, 0)).int()


def _normalised(lattice: Lattice, count: int, factor: float) -> Lattice:
    """The lattice with the roots of its filter of ones, and `factor`, in the weights of both ends."""
    splat, back = lattice.splat, lattice.slice
    mass = lattice.filter(torch.ones(count, 1, device=splat.weights.device)) * factor
    root = (mass + TINY).rsqrt()
    after = back.weights.view(count, -1) * (root * factor)
    return Lattice(
        replace(splat, weights=splat.weights * root.view(-1)[splat.index]),
        lattice.blurs,
        replace(back, weights=after.view(-1)),
    )


@lru_cache(maxsize=8)
def has_bags(device: str) -> bool:
    """Whether torch has weighted sums of rows in one step on this kind of device."""
    index = torch.tensor([0, 1], dtype=torch.int32, device=device)
    starts = torch.tensor([0, 2], dtype=torch.int32, device=device)
    rows = torch.tensor([[1.0], [4.0]], device=device)
    try:
        found = F.embedding_bag(
            index, rows, starts, mode="sum", per_sample_weights=rows.view(-1), include_last_offset=True
        )
    except (NotImplementedError, RuntimeError):
        return False
    return float(found) == 17.0
