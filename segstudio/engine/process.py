"""One worker process seen from the window process: its pipe, the thread that reads it, and its end."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import threading
import types
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait

from segstudio.engine.control import Control
from segstudio.engine.protocol import Order, WorkerMessage
from segstudio.engine.worker import run_worker

_POLL_S = 1.0
_SPAWN_LOCK = threading.Lock()
CHILD_ENVIRONMENT = {
    # Idle OpenMP threads that spin take the cores away from the window and from each other (5x measured).
    "OMP_WAIT_POLICY": "passive",
    # glibc returns every large array to the system at once and gets it back page by page, each filled with zeros: a
    # sixth of a prediction's time. So arrays come from the heap, and up to half a gibibyte of it stays.
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 29),
    "MALLOC_TOP_PAD_": str(1 << 26),
}


class WorkerProcess:
    """A started worker; `on_message` and `on_exit` are called on its reader thread, `on_exit` last."""

    def __init__(
        self,
        kind: str,
        entry: str,
        *,
        on_message: Callable[[WorkerProcess, WorkerMessage], None],
        on_exit: Callable[[WorkerProcess], None],
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self.kind = kind
        self.ready = False
        self.memory = 0
        self.control = Control(context)
        self._on_message = on_message
        self._on_exit = on_exit
        self._connection, theirs = context.Pipe(duplex=True)
        self._process = context.Process(
            target=run_worker, args=(entry, theirs, self.control, os.getpid()), name=f"segstudio-{kind}"
        )
        try:
            with _SPAWN_LOCK, _child_environment(), _anonymous_main():
                self._process.start()
        except BaseException:
            self._connection.close()
            raise
        finally:
            theirs.close()
        self._reader = threading.Thread(target=self._read, name=f"segstudio-{kind}-reader", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid or 0

    @property
    def exit_code(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self._process.exitcode

    def send(self, order: Order | None) -> bool:
        """Sends an order, or None to let the worker end; False if the worker is gone."""
        try:
            self._connection.send(order)
        except OSError:
            return False
        return True

    def kill(self) -> None:
        """Ends the process at once."""
        self._process.kill()

    def join(self, timeout: float) -> bool:
        """Waits for the end of the process; True if it ended."""
        self._process.join(timeout)
        return self._process.exitcode is not None

    def dispose(self) -> None:
        """Frees what the system holds for an ended process; kills one that still runs."""
        if not self.join(0):
            self.kill()
            self.join(5.0)
        if self._reader is not threading.current_thread():
            self._reader.join(5.0)
        self._connection.close()
        with contextlib.suppress(ValueError):  # it still runs: the system holds it in a call it cannot leave
            self._process.close()

    def _read(self) -> None:
        connection: Connection = self._connection
        try:
            while True:
                # The sentinel too: a grandchild may have inherited the pipe and would hold it open.
                if connection.poll(0) or connection in wait([connection, self._process.sentinel], _POLL_S):
                    self._on_message(self, connection.recv())
                elif self._process.exitcode is not None:
                    break
        except (EOFError, OSError):
            pass
        finally:
            self._process.join(2.0)
            self._on_exit(self)


@contextlib.contextmanager
def _child_environment() -> Iterator[None]:
    """Sets the children's environment variables while one starts, except those a person has set."""
    added = [name for name in CHILD_ENVIRONMENT if name not in os.environ]
    os.environ.update({name: CHILD_ENVIRONMENT[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextlib.contextmanager
def _anonymous_main() -> Iterator[None]:
    """Hides the running script while a child starts, which would otherwise run it a second time.

    Workers need nothing from it: an entry-point script may not be importable, and a script of somebody who uses the
    Python interface may lack the `__name__` guard and would start workers from workers.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
