"""Sentences for the person at the window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from segstudio.core.errors import UserError

Level = Literal["info", "success", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Message:
    """One sentence, what to do about it, and at most one thing to click."""

    level: Level
    text: str
    hint: str = ""
    action: tuple[str, Callable[[], None]] | None = None

    @classmethod
    def of_error(cls, error: UserError) -> Message:
        """The message that shows a person's error."""
        return cls("error", error.message, error.hint)
