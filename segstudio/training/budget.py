"""How long a run goes on, and when its weights are scored: time spent waiting for the person does not count."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from segstudio.training.config import TrainConfig

_PAUSE_POLL_S: Final = 0.02
_VALIDATION_SHARE: Final = 4.0  # learning lasts at least this many times as long as the scoring before it
_LEARNING_SHARE: Final = 0.5  # of a short budget, before the closing validation may claim the rest
_SCORINGS_PER_RUN: Final = 10
_FEWEST_STEPS_BETWEEN: Final = 10


class Budget:
    """The clock of one run."""

    def __init__(self, config: TrainConfig, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        self._start = clock()
        self._waited = 0.0
        self._scored_at = 0.0
        self._scored_step = 0
        self.scoring_seconds = 0.0
        self._every = config.validate_every
        if self._every is None and config.steps is not None and config.minutes is None:
            # A run counted in steps is scored by steps as well, so that repeating it repeats it.
            self._every = max(_FEWEST_STEPS_BETWEEN, config.steps // _SCORINGS_PER_RUN)

    @property
    def seconds(self) -> float:
        """Seconds of work since the start, without pauses."""
        return self._clock() - self._start - self._waited

    @property
    def _limit(self) -> float | None:
        """Seconds that steps may fill: the last validation belongs to the budget, too."""
        if self._config.minutes is None:
            return None
        whole = self._config.minutes * 60.0
        return max(whole - self.scoring_seconds, whole * _LEARNING_SHARE)

    def fraction(self, step: int) -> float:
        """The share of the budget used, 0..1; always 0 for a run without an end."""
        shares = [0.0]
        if self._config.steps is not None:
            shares.append(step / self._config.steps)
        limit = self._limit
        if limit is not None:
            shares.append(self.seconds / limit if limit > 0 else 1.0)
        return min(1.0, max(shares))

    def spent(self, step: int) -> bool:
        """Whether the run is over after ``step`` steps; the first step is always made."""
        return step > 0 and self.fraction(step) >= 1.0

    def wait(self, paused: Callable[[], bool], cancelled: Callable[[], bool]) -> None:
        """Returns when the person's own request is served; the time is not charged to the run."""
        if not paused():
            return
        begin = self._clock()
        while paused() and not cancelled():
            time.sleep(_PAUSE_POLL_S)
        self._waited += self._clock() - begin

    def scoring_due(self, step: int) -> bool:
        """Whether the averaged weights should be scored now."""
        if self._every is not None:
            return step - self._scored_step >= self._every
        since = self.seconds - self._scored_at
        return since >= max(self._config.validate_seconds, _VALIDATION_SHARE * self.scoring_seconds)

    def scored(self, step: int, *, seconds: float) -> None:
        """Notes a scoring that took ``seconds``."""
        self._scored_at = self.seconds
        self._scored_step = step
        self.scoring_seconds = seconds

    def unscored(self, step: int) -> bool:
        """Whether steps were made since the last scoring."""
        return step > self._scored_step
