"""Two families of failure: what a person can mend (`UserError`) and what only we can (everything else)."""

from __future__ import annotations

import re
from typing import Final

_LONGEST: Final = 1_000  # characters; names from files have no end of their own
_UNSHOWN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


class SegStudioError(Exception):
    """Base of every error SegStudio raises on purpose."""


class UserError(SegStudioError):
    """A problem its reader can mend: one sentence saying what and which, one saying what to do.

    Whatever a file calls itself, both can be shown and stored: control characters and halves of characters are
    replaced, and what is longer than 1,000 characters is cut off.

    Attributes:
        message: What happened, naming the file or thing concerned.
        hint: What to do about it; may be empty.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        self.message, self.hint = _shown(message), _shown(hint)
        super().__init__(self.message, self.hint)

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


def _shown(text: str) -> str:
    return _UNSHOWN.sub("\ufffd", text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")


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
