"""Threads that share the work of kernels which hold no lock.

Numba's own parallel loops need a threading layer, and the one that is always there ends the process when two threads
use it at once. These threads are Python's: they wait without spinning, and any number of callers may use them
together.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final

# Beyond this, memory is what a refinement waits for.
_MOST: Final = 16


class _Task:
    """One part of a job given to another thread."""

    __slots__ = ("args", "done", "error", "part", "work")

    def __init__(self, work: Callable[..., Any], args: tuple[Any, ...], part: int) -> None:
        self.work = work
        self.args = args
        self.part = part
        self.error: BaseException | None = None
        self.done = threading.Lock()
        self.done.acquire()

    def run(self, parts: int) -> None:
        try:
            self.work(self.part, parts, *self.args)
        except BaseException as error:  # noqa: BLE001 handed to the caller's thread
            self.error = error
        finally:
            self.done.release()


class Team:
    """`size` threads, the caller's own among them."""

    def __init__(self, size: int | None = None) -> None:
        self.size = size or processors()
        self._turn = threading.Lock()
        self._tasks: SimpleQueue[tuple[_Task, int] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._serve, name=f"crf-{number}", daemon=True) for number in range(1, self.size)
        ]
        for thread in self._threads:
            thread.start()

    def run(self, work: Callable[..., Any], *args: Any) -> None:
        """Calls `work(part, parts, *args)` for each part, and returns when all are done.

        Raises:
            BaseException: what a part raised, after all of them ended.
        """
        # One call at a time: parts may wait for each other, and must not wait for a thread that another call holds.
        with self._turn:
            self._run(work, args)

    def _run(self, work: Callable[..., Any], args: tuple[Any, ...]) -> None:
        parts = self.size
        tasks = [_Task(work, args, part) for part in range(1, parts)]
        for task in tasks:
            self._tasks.put((task, parts))
        try:
            work(0, parts, *args)
        finally:
            for task in tasks:
                task.done.acquire()
        for task in tasks:
            if task.error is not None:
                raise task.error

    def close(self) -> None:
        """Ends the threads."""
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        while (given := self._tasks.get()) is not None:
            task, parts = given
            task.run(parts)
            del task, given


_team: Team | None = None
_guard = threading.Lock()


def team() -> Team:
    """The process's team, with a thread for each processor."""
    global _team
    with _guard:
        if _team is None:
            _team = Team()
        return _team


def processors() -> int:
    """How many threads are worth it."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, _MOST)


def _forget() -> None:
    """A forked child has none of its parent's threads."""
    global _team, _guard
    _team, _guard = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def span(count: int, part: int, parts: int) -> tuple[int, int]:
    """The part of 0..count that one of several takes: begin, and beyond the end."""
    return count * part // parts, count * (part + 1) // parts
