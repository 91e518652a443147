"""Learning rates over a run's progress, counted in steps or in time."""

from __future__ import annotations

from typing import Final

_POLY_POWER: Final = 0.9  # DeepLab v1 and v2


def rate_factor(kind: str, *, fraction: float, step: int, warmup: int) -> float:
    """The factor on the base learning rate, 0..1.

    ``fraction`` is the share of the budget already used; ``step`` counts from 0. Poly is (1 - t/T)^0.9, the power over
    the whole bracket; the first ``warmup`` steps rise linearly, because averages of gradients start empty.
    """
    rising = min(1.0, (step + 1) / warmup) if warmup > 0 else 1.0
    if kind == "constant":
        return rising
    left = 1.0 - min(max(fraction, 0.0), 1.0)
    # A budget in time can be overrun by part of a step; the last steps still move a little.
    return float(rising * max(left**_POLY_POWER, 1e-3))
