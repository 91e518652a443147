"""Every long job a person can see: what it is, how far it is, and how to stop it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

from segstudio.core.events import Change, ChangeSet
from segstudio.core.jobs import JobState

_KEEP_FINISHED = 20


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One row of the job list; `fraction` is 0..1 or None where nobody can know."""

    id: int
    title: str
    state: JobState
    fraction: float | None = None
    text: str = ""
    cancellable: bool = False


class JobBoard:
    """The job list. All calls on the owner's thread."""

    def __init__(self, changed: Callable[[ChangeSet], None]) -> None:
        self._changed = changed
        self._ids = itertools.count(1)
        self._records: dict[int, JobRecord] = {}
        self._cancels: dict[int, Callable[[], None]] = {}

    @property
    def records(self) -> list[JobRecord]:
        """Running jobs and the last finished ones, oldest first."""
        return list(self._records.values())

    @property
    def running(self) -> list[JobRecord]:
        return [r for r in self._records.values() if not r.state.is_over]

    def add(self, title: str, cancel: Callable[[], None] | None = None) -> int:
        """Puts a running job on the list and returns its id."""
        job = next(self._ids)
        self._records[job] = JobRecord(job, title, JobState.RUNNING, cancellable=cancel is not None)
        if cancel is not None:
            self._cancels[job] = cancel
        finished = [i for i, r in self._records.items() if r.state.is_over]
        for old in finished[: max(0, len(finished) - _KEEP_FINISHED)]:
            del self._records[old]
        self._emit()
        return job

    def progress(self, job: int, fraction: float | None, text: str = "") -> None:
        """Says how far a job is."""
        record = self._records.get(job)
        if record is not None and not record.state.is_over:
            self._records[job] = replace(record, fraction=fraction, text=text or record.text)
            self._emit()

    def finish(self, job: int, state: JobState = JobState.DONE, text: str = "") -> None:
        """Says that a job is over."""
        record = self._records.get(job)
        if record is not None and not record.state.is_over:
            self._cancels.pop(job, None)
            self._records[job] = replace(record, state=state, text=text, cancellable=False)
            self._emit()

    def cancel(self, job: int) -> None:
        """Asks a job to stop; harmless where it is over."""
        cancel = self._cancels.get(job)
        if cancel is not None:
            cancel()

    def cancel_all(self) -> None:
        """Asks every job to stop."""
        for job in list(self._cancels):
            self.cancel(job)

    def _emit(self) -> None:
        self._changed(ChangeSet(Change.JOBS))
