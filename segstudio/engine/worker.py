"""The inside of a worker process: reads orders from its pipe, does one at a time, answers, and ends with its parent."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from segstudio.core.errors import Cancelled
from segstudio.core.jobs import ErrorReport, Progress
from segstudio.core.runs import TrainEvent
from segstudio.engine import shm
from segstudio.engine.control import Control
from segstudio.engine.devices import DeviceState
from segstudio.engine.protocol import (
    Broken,
    Failed,
    Finished,
    Heartbeat,
    Order,
    PredictionArrays,
    Progressed,
    Ready,
    Reply,
    Started,
    Stored,
    StoredPrediction,
    Trained,
    WasCancelled,
    WorkerMessage,
)
from segstudio.engine.system import end_with_parent, process_memory

_HEARTBEAT_S = 1.0
_PROGRESS_INTERVAL_S = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One order as its handler sees it.

    Attributes:
        spec: What to do.
        arrays: The input arrays; valid only while the handler runs.
        progress: Tells how far the job is.
        report: Passes an event of a training run on.
        cancelled: Whether to stop now.
        paused: Whether a training run should wait.
    """

    spec: Any
    arrays: tuple[npt.NDArray[Any], ...]
    progress: Callable[[Progress], None]
    report: Callable[[TrainEvent], None]
    cancelled: Callable[[], bool]
    paused: Callable[[], bool]


Handler: TypeAlias = Callable[[Job], Any]


class Server(Protocol):
    """What an entry point is given: it hands over its handlers, one for each type of spec."""

    def serve(
        self, handlers: Mapping[type, Handler], *, device: Callable[[], DeviceState | None] | None = None
    ) -> None:
        """Does jobs until the parent says stop."""
        ...


def run_worker(entry: str, connection: Connection, control: Control, parent: int) -> None:
    """Runs an entry point ("package.module:function") in this process and never returns."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal is the parent's to answer
    end_with_parent(parent)
    worker = Worker(connection, control)
    code = 0
    try:
        module, _, function = entry.partition(":")
        getattr(importlib.import_module(module), function)(worker)
    except Exception as error:  # noqa: BLE001 - the process border: everything leaves as text
        worker.send(Broken(ErrorReport.from_exception(error)))
        code = 1
    sys.stderr.flush()
    # Skips the teardown of torch and CUDA, which takes seconds and may crash; everything of value is sent.
    os._exit(code)


class Worker:
    """The worker's side of the pipe."""

    def __init__(self, connection: Connection, control: Control) -> None:
        self._connection = connection
        self._control = control
        self._send_lock = threading.Lock()
        self._orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
        self._device: Callable[[], DeviceState | None] = _no_device
        self._lingering: list[SharedMemory] = []
        threading.Thread(target=self._read, name="orders", daemon=True).start()
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def serve(
        self, handlers: Mapping[type, Handler], *, device: Callable[[], DeviceState | None] | None = None
    ) -> None:
        """Does jobs until the parent says stop."""
        if device is not None:
            self._device = device
        self.send(Ready())
        while (order := self._orders.get()) is not None:
            self._do(order, handlers)
            self._send_heartbeat()

    def send(self, message: WorkerMessage) -> None:
        """Sends a message; without a parent there is nobody to work for, so the process ends."""
        with self._send_lock:
            try:
                self._connection.send(message)
            except OSError:
                os._exit(1)

    def _read(self) -> None:
        while True:
            try:
                order = self._connection.recv()
            except (EOFError, OSError):
                os._exit(1)
            self._orders.put(order)

    def _beat(self) -> None:
        while True:
            self._send_heartbeat()
            time.sleep(_HEARTBEAT_S)

    def _send_heartbeat(self) -> None:
        self.send(Heartbeat(process_memory(), self._device()))

    def _do(self, order: Order, handlers: Mapping[type, Handler]) -> None:
        self.send(Reply(order.job, Started()))
        memory: SharedMemory | None = None
        try:
            memory = shm.attach(order.slot) if order.slot is not None else None
        except OSError as error:
            self.send(Reply(order.job, Failed(ErrorReport.from_exception(error))))
            return
        event = self._outcome(order, handlers, memory)
        self._close(memory)
        self.send(Reply(order.job, event))

    def _outcome(
        self, order: Order, handlers: Mapping[type, Handler], memory: SharedMemory | None
    ) -> Finished | Stored | Failed | WasCancelled:
        """What came of the job; holds no array of the slot when it returns."""
        try:
            arrays = tuple(shm.view(memory, region) for region in order.inputs) if memory is not None else ()
            result = handlers[type(order.spec)](self._job(order, arrays))
            if isinstance(result, PredictionArrays):
                if memory is None:
                    raise ValueError("a job without a slot cannot answer with arrays")
                return Stored(_stored(result, memory, order.output))
            return Finished(result)
        except Cancelled:
            return WasCancelled()
        except Exception as error:  # noqa: BLE001 - the process border: everything leaves as text
            return Failed(ErrorReport.from_exception(error))

    def _job(self, order: Order, arrays: tuple[npt.NDArray[Any], ...]) -> Job:
        number = order.job
        last_sent = 0.0

        def progress(value: Progress) -> None:
            nonlocal last_sent
            now = time.monotonic()
            if now - last_sent >= _PROGRESS_INTERVAL_S or value.fraction == 1.0:
                last_sent = now
                self.send(Reply(number, Progressed(value)))

        return Job(
            spec=order.spec,
            arrays=arrays,
            progress=progress,
            report=lambda event: self.send(Reply(number, Trained(event))),
            cancelled=lambda: self._control.is_cancelled(number),
            paused=lambda: self._control.paused,
        )

    def _close(self, memory: SharedMemory | None) -> None:
        """Closes the slot, and those that something still held the last time."""
        self._lingering.extend([memory] if memory is not None else [])
        still: list[SharedMemory] = []
        for held in self._lingering:
            try:
                held.close()
            except BufferError:  # a traceback or a cycle keeps a view alive
                still.append(held)
        if still:
            gc.collect()
            for held in tuple(still):
                with contextlib.suppress(BufferError):
                    held.close()
                    still.remove(held)
        self._lingering = still


def _stored(result: PredictionArrays, memory: SharedMemory, offset: int) -> StoredPrediction:
    """Copies a result's arrays into the slot; probabilities that do not fit are thinned."""
    arrays: list[npt.NDArray[Any]] = [
        np.asarray(result.labels, dtype=np.uint8),
        np.asarray(result.confidence, dtype=np.uint8),
    ]
    probabilities = result.probabilities
    if probabilities is not None:
        taken = offset + sum(array.nbytes for array in arrays) + 256
        while probabilities.nbytes > memory.size - taken and max(probabilities.shape[1:]) > 1:
            probabilities = probabilities[:, ::2, ::2]
        arrays.append(np.asarray(probabilities, dtype=np.float16))
    regions, _ = shm.store(memory, arrays, offset=offset)
    return StoredPrediction(
        labels=regions[0],
        confidence=regions[1],
        probabilities=regions[2] if len(regions) > 2 else None,
        class_ids=result.class_ids,
        trained=result.trained,
        note=result.note,
        live=result.live,
        uniform=result.uniform,
    )


def _no_device() -> None:
    return None
