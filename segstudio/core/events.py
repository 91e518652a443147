"""Change flags and a signal without Qt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Flag, auto
from typing import Generic, TypeVar

from segstudio.core.geometry import Rect

T = TypeVar("T")


class Signal(Generic[T]):
    """Calls every connected function, on the emitting thread, in order of connection."""

    __slots__ = ("_callbacks",)

    def __init__(self) -> None:
        self._callbacks: list[Callable[[T], None]] = []

    def connect(self, callback: Callable[[T], None]) -> Callable[[], None]:
        """Connects and returns a function that disconnects (harmless when called twice)."""
        self._callbacks.append(callback)

        def disconnect() -> None:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

        return disconnect

    def emit(self, value: T) -> None:
        """Calls the connected functions with `value`; those connected meanwhile wait for the next time."""
        for callback in tuple(self._callbacks):
            callback(value)


class Change(Flag):
    """Kinds of things a service call can change; panels look at these and refresh only what they show."""

    IMAGES = auto()
    CATALOG = auto()
    PIXELS = auto()
    PROPOSAL = auto()
    HISTORY = auto()
    STATUS = auto()
    MODELS = auto()
    RUNS = auto()
    JOBS = auto()
    CURRENT = auto()
    SETTINGS = auto()
    SAVED = auto()


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """What one call changed; `image_id` and `rect` (pixels) where the change is of one image or part of it."""

    what: Change
    image_id: int | None = None
    rect: Rect | None = None
