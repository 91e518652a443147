"""Two families of failure: what a person can mend (`UserError`) and what only we can (everything else)."""

from __future__ import annotations


class SegStudioError(Exception):
    """Base of every error SegStudio raises on purpose."""


class UserError(SegStudioError):
    """A problem its reader can mend: one sentence saying what and which, one saying what to do.

    Attributes:
        message: What happened, naming the file or thing concerned.
        hint: What to do about it; may be empty.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class Cancelled(SegStudioError):
    """The person asked for the work to stop; never shown as an error."""


class ImageError(UserError):
    """An image or label file cannot be used."""


class ProjectError(UserError):
    """A project cannot be opened, read or written."""


class ProjectLocked(ProjectError):
    """Another window holds the project."""


class NewerProject(ProjectError):
    """The project was written by a newer SegStudio."""


class ModelError(UserError):
    """A card, checkpoint or network cannot be used."""


class EngineError(UserError):
    """A worker process could not do its job."""


class FormatError(UserError):
    """Labels cannot be imported or exported as asked."""
