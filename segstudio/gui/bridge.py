"""The only crossing between threads: callables posted to the window's thread through a queued signal."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from PySide6.QtCore import QObject, Qt, Signal

if TYPE_CHECKING:
    from collections.abc import Callable

    from segstudio.core.events import Signal as CoreSignal

T = TypeVar("T")


class Dispatcher(QObject):
    """Calls functions later, in order, on the thread that made it; `dispatcher(function)` is safe from any thread."""

    _posted = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._closed = False
        self._posted.connect(self._run, Qt.ConnectionType.QueuedConnection)

    def __call__(self, function: Callable[[], None]) -> None:
        """Post a function; dropped once the dispatcher is closed."""
        if not self._closed:
            self._posted.emit(function)

    def close(self) -> None:
        """Drop what is still posted and everything that follows."""
        self._closed = True

    def follow(self, signal: CoreSignal[T], callback: Callable[[T], None]) -> Callable[[], None]:
        """Call `callback` on the window's thread for every emission on any thread; returns the disconnect function."""
        return signal.connect(lambda value: self(lambda: callback(value)))

    def _run(self, function: Callable[[], None]) -> None:
        if not self._closed:
            function()
