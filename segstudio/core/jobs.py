"""What every long job shares: its state, its progress, the request to stop it, and its error as text."""

from __future__ import annotations

import threading
import traceback
from dataclasses import dataclass
from enum import StrEnum

from segstudio.core.errors import Cancelled, EngineError, SegStudioError, UserError


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        """True once the job can no longer change."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


class ErrorKind(StrEnum):
    """Whose fault a failure is: the surroundings' (USER), the program's (BUG), or a process died (DIED)."""

    USER = "user"
    BUG = "bug"
    DIED = "died"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is: a fraction 0..1, or None where nobody can know, and a few words."""

    fraction: float | None
    text: str = ""


class ReportedBug(SegStudioError):
    """A programming error that happened elsewhere (another process); `details` holds its traceback."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.details = details


@dataclass(frozen=True, slots=True)
class ErrorReport:
    """An error as text, so that it crosses processes and can be shown and saved."""

    kind: ErrorKind
    message: str
    hint: str = ""
    details: str = ""

    @classmethod
    def from_exception(cls, error: BaseException) -> ErrorReport:
        """The report of an exception: its sentence for a user's error, the traceback for a bug."""
        if isinstance(error, UserError):
            return cls(ErrorKind.USER, error.message, error.hint)
        if isinstance(error, MemoryError):
            return cls(
                ErrorKind.USER,
                "There is not enough memory for this job.",
                "Close other programs, or choose a smaller model or image.",
                _traceback(error),
            )
        summary = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return cls(ErrorKind.BUG, summary, "", _traceback(error))

    def to_exception(self) -> SegStudioError:
        """An exception that says the same as this report."""
        if self.kind is ErrorKind.DIED:
            return EngineError(self.message, self.hint)
        if self.kind is ErrorKind.USER:
            return UserError(self.message, self.hint)
        return ReportedBug(self.message, self.details)

    @property
    def sentence(self) -> str:
        """Message and hint on one line."""
        return f"{self.message} {self.hint}".strip()


class CancelToken:
    """A request to stop, safe to give from any thread."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Asks the job to stop at its next safe point."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """True once somebody asked to stop."""
        return self._event.is_set()

    def raise_if_cancelled(self) -> None:
        """Returns while the job may go on.

        Raises:
            Cancelled: somebody asked to stop.
        """
        if self.cancelled:
            raise Cancelled


def _traceback(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))
