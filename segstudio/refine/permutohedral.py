"""The permutohedral lattice's arithmetic that does not depend on who computes: scaling, packing and steps.

A lattice point's coordinates sum to zero, so d of its d + 1 name it. They are packed into one 64-bit number, linearly:
a neighbour's number is the point's own plus a constant of the axis. Neither numba nor torch is needed here.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from segstudio.core.errors import UserError

# What pydensecrf adds before it divides.
TINY: Final = 1e-20
# Of a coordinate before rounding: beyond, float32 leaves too few digits for the shares within a simplex.
_LARGEST: Final = 2.0**19
# Of a packed coordinate's factor where the ranges do not fit: odd, so that they are units modulo 2^64.
_SEED: Final = 20101111


def check_range(low: npt.NDArray[Any], high: npt.NDArray[Any]) -> None:
    """Returns if a lattice can be built of features from `low` to `high`, one number each for every feature.

    Raises:
        UserError: a feature is not finite, or too large for its coordinates to be exact.
    """
    reach = np.maximum(np.abs(low.astype(np.float64)), np.abs(high.astype(np.float64))) * scales(len(low))
    after = np.append(np.cumsum(reach[::-1])[::-1], 0.0)
    # Written so that what is not a number fails too.
    if not (after + np.arange(len(after)) * np.append(0.0, reach)).max() <= _LARGEST:
        raise UserError(
            "The CRF cannot use features that are not finite, or so large that neighbours cannot be told apart.",
            "Use larger widths, smaller features, or leave such pixels out.",
        )


def scales(dimensions: int) -> npt.NDArray[np.float32]:
    """The factors (d,) float32 of the features before elevation, as pydensecrf rounds them."""
    # A single float32, multiplied as a double.
    spread = float(np.float32(math.sqrt(2.0 / 3.0) * (dimensions + 1)))
    return np.array([1.0 / math.sqrt((i + 1) * (i + 2)) * spread for i in range(dimensions)], np.float32)


def alpha(dimensions: int) -> float:
    """What makes the blurred values a mean of the kernel (Adams et al. 2010)."""
    return 1.0 / (1.0 + 2.0**-dimensions)


def codes(low: npt.NDArray[Any], high: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Factors (d,) that pack coordinates into 64 bits: one to one where their ranges fit, else random ones.

    With random odd factors two of a million points share a key with a probability below 1e-7.
    """
    dimensions = len(low)
    reach = (high.astype(np.float64) - low.astype(np.float64)) * scales(dimensions)
    factors, room = [], 1
    for i in range(dimensions):
        # Coordinate i is the sum of the scaled features from i on, less i times the one before.
        span = float(reach[i:].sum()) + (i * float(reach[i - 1]) if i else 0.0)
        factors.append(room)
        # A corner lies within d + 1 of its pixel, and a neighbour d further.
        room *= math.ceil(span) + 6 * (dimensions + 1)
    if room < 1 << 62:
        return np.array(factors, np.int64)
    drawn = np.random.default_rng(_SEED).integers(-(1 << 61), 1 << 61, dimensions, np.int64)
    return np.asarray(2 * drawn + 1, np.int64)


def steps(factors: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """What leads from a point's number to that of its neighbour, (d + 1,), one for each axis; wraps around.

    A step along axis j is -1 in every coordinate but the j-th, where it is d; the last one is not in the number.
    """
    with np.errstate(over="ignore"):
        own = np.append((len(factors) + 1) * factors, 0)
        return np.asarray(own - factors.sum(), np.int64)
