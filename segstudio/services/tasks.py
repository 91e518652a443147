"""Background work in the window's own process: decoding, encoding, files. One place knows about threads.

A caller says what to do, what to do with the result and what to do on failure; results come back on the owner's
thread through the dispatcher.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

from segstudio.core.errors import Cancelled
from segstudio.core.jobs import CancelToken

T = TypeVar("T")
Dispatcher = Callable[[Callable[[], None]], None]
_WORKERS: Final = 2


class QueueDispatcher:
    """A dispatcher for programs without an event loop: calls run when the owner drains them."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def __call__(self, call: Callable[[], None]) -> None:
        self._calls.put(call)

    def run_until(self, done: Callable[[], bool], *, timeout: float | None = None) -> bool:
        """Runs calls until `done()`; False where `timeout` seconds passed first."""
        end = None if timeout is None else time.monotonic() + timeout
        while not done():
            try:
                # A short wait, not a forever one: `done` may turn true without a call (a process that died).
                self._calls.get(timeout=0.2)()
            except queue.Empty:
                if end is not None and time.monotonic() > end:
                    return False
        return True


class TaskRunner:
    """Runs functions on two worker threads and brings their results home."""

    def __init__(self, dispatch: Dispatcher, on_bug: Callable[[BaseException], None]) -> None:
        self._dispatch = dispatch
        self._on_bug = on_bug
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="segstudio-task")
        self._timers: dict[str, threading.Timer] = {}
        self._closed = False
        self._pending: set[Future[None]] = set()

    def run(
        self,
        work: Callable[[CancelToken], T],
        on_done: Callable[[T], None],
        on_error: Callable[[BaseException], None] | None = None,
    ) -> CancelToken:
        """Runs `work` soon; `on_done` or `on_error` follows on the owner's thread, neither after a cancel."""
        token = CancelToken()

        def body() -> None:
            try:
                result = work(token)
            except Cancelled:
                return
            except BaseException as error:  # noqa: BLE001 - the boundary: every failure goes home as a value
                failure = error
                self._home(token, lambda: (on_error or self._on_bug)(failure))
                return
            self._home(token, lambda: on_done(result))

        if self._closed:
            return token
        future = self._pool.submit(body)
        self._pending.add(future)
        future.add_done_callback(self._pending.discard)
        return token

    def later(self, key: str, seconds: float, call: Callable[[], None]) -> None:
        """Calls `call` on the owner's thread after `seconds`; a second request for `key` replaces the first."""
        self.forget(key)
        timer = threading.Timer(seconds, lambda: self._dispatch(call))
        timer.daemon = True
        timer.name = f"segstudio-timer-{key}"
        self._timers[key] = timer
        timer.start()

    def forget(self, key: str) -> None:
        """Drops a delayed call that has not run yet."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    @property
    def idle(self) -> bool:
        """True where no task is queued or running."""
        return not self._pending

    def close(self) -> None:
        """Drops delayed calls, waits for running tasks; results that arrive later are dropped."""
        self._closed = True
        for key in list(self._timers):
            timer = self._timers.pop(key)
            timer.cancel()
            timer.join()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _home(self, token: CancelToken, call: Callable[[], None]) -> None:
        def guarded() -> None:
            if not token.cancelled and not self._closed:
                call()

        self._dispatch(guarded)
