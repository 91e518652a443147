"""Learning rates over a run's progress, counted in steps or in time."""

from __future__ import annotations

from typing import Final

from segstudio.training.config import TrainConfig

_POLY_POWER: Final = 0.9  # DeepLab v1 and v2


def rate_factor(config: TrainConfig, *, fraction: float, step: int) -> float:
    """The factor on the base learning rate, 0..1.

    ``fraction`` is the share of the budget already used; ``step`` counts from 0. Poly is (1 - t/T)^0.9, the power over
    the whole bracket; step is gamma^floor(t / step_every), t counted from the last restart. The first ``warmup`` steps
    rise linearly, because averages of gradients start empty.
    """
    rising = min(1.0, (step + 1) / config.warmup) if config.warmup > 0 else 1.0
    if config.schedule == "constant":
        return rising
    if config.schedule == "step":
        begin, every = max(((at, every) for at, every in config.restarts if at <= step), default=(0, config.step_every))
        return float(rising * config.gamma ** ((step - begin) // every))
    left = 1.0 - min(max(fraction, 0.0), 1.0)
    # A budget in time can be overrun by part of a step; the last steps still move a little.
    return float(rising * max(left**_POLY_POWER, 1e-3))
