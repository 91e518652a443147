"""Two flags that the window process sets and a busy worker reads, without locks a killed process could keep."""

from __future__ import annotations

from multiprocessing.context import SpawnContext
from typing import Any

_CANCELLED_JOB, _PAUSED = 0, 1


class Control:
    """The job to stop and whether to pause; each is one aligned machine word, so reads are never torn."""

    __slots__ = ("_words",)

    def __init__(self, context: SpawnContext) -> None:
        self._words: Any = context.RawArray("q", 2)

    def __getstate__(self) -> Any:
        return self._words

    def __setstate__(self, words: Any) -> None:
        self._words = words

    def cancel(self, job: int) -> None:
        """Asks the worker to stop this job."""
        self._words[_CANCELLED_JOB] = job

    def is_cancelled(self, job: int) -> bool:
        """True once this job should stop."""
        return bool(self._words[_CANCELLED_JOB] == job)

    @property
    def paused(self) -> bool:
        """True while a training run should wait."""
        return bool(self._words[_PAUSED])

    @paused.setter
    def paused(self, value: bool) -> None:
        self._words[_PAUSED] = int(value)
