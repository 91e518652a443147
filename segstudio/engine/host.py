"""The engine whose work happens in worker processes: starts, feeds, watches, cancels and restarts them.

One thread owns all state and calls all listeners; every public method only hands it a command. So there are no locks,
events arrive in order, and nothing a caller does waits for a worker.
"""

from __future__ import annotations

import atexit
import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from segstudio.core.errors import UserError
from segstudio.core.events import Signal
from segstudio.core.jobs import ErrorKind, ErrorReport
from segstudio.core.memory import total_memory
from segstudio.engine.base import (
    ENGINE,
    ENTRY_POINTS,
    REFINE,
    TRAINER,
    Arrays,
    EngineStatus,
    JobHandle,
    Listener,
    checked_image,
    checked_probabilities,
    kind_for,
)
from segstudio.engine.devices import DeviceState
from segstudio.engine.lane import Lane, Task, all_lanes, snapshot
from segstudio.engine.process import WorkerProcess
from segstudio.engine.protocol import (
    FINAL_EVENTS,
    Broken,
    EngineEvent,
    Failed,
    Finished,
    Heartbeat,
    Order,
    PredictSpec,
    Question,
    Ready,
    RefineSpec,
    Reply,
    SettleSpec,
    Stored,
    StrokeSpec,
    TrainSpec,
    WasCancelled,
    WorkerMessage,
)
from segstudio.engine.results import fetched, result_bytes
from segstudio.engine.shm import SlotPool, needed_bytes
from segstudio.engine.system import death_sentence

_T = TypeVar("_T")
_LOG = logging.getLogger(__name__)
_CLOSE_GRACE_S = 3.0


class ProcessEngine:
    """The engine of the program: one process that predicts, one that refines, one for each training run and tuning.

    Processes start with their first job (or `warm_up`). `entry_points` names what runs in them, by kind.
    """

    def __init__(self, entry_points: Mapping[str, str] | None = None) -> None:
        self.on_status: Signal[EngineStatus] = Signal()
        self.on_death: Signal[str] = Signal()
        self._entry_points = {**ENTRY_POINTS, **(entry_points or {})}
        self._lanes = {lane.kind: lane for lane in all_lanes()}
        self._retired: set[WorkerProcess] = set()
        self._pool = SlotPool()
        self._numbers = itertools.count(1)
        self._memory_total = total_memory()
        self._device: DeviceState | None = None
        self._status = EngineStatus(memory_total=self._memory_total)
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="segstudio-engine", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    # ------------------------------------------------------------------------------------------ for the caller

    def predict(
        self, spec: PredictSpec, image: npt.NDArray[np.uint8], listener: Listener, *, interactive: bool = True
    ) -> JobHandle:
        """Predicts an image (H, W, 3) uint8 RGB; an interactive request overtakes earlier interactive ones.

        The image must not change until the job is over.
        """
        pixels = checked_image(image).size // 3
        room = result_bytes(pixels, max(1, len(spec.catalog_ids)) if spec.want_probabilities else 0)
        return self._submit(ENGINE, spec, listener, (image,), room, interactive=interactive)

    def refine(
        self,
        spec: RefineSpec,
        image: npt.NDArray[np.uint8],
        probabilities: npt.NDArray[Any],
        listener: Listener,
        *,
        interactive: bool = True,
    ) -> JobHandle:
        """Refines probabilities (C, h, w) of an image (H, W, 3) uint8 RGB; neither may change until it is over."""
        pixels = checked_image(image).size // 3
        room = result_bytes(pixels, checked_probabilities(probabilities).shape[0])
        return self._submit(REFINE, spec, listener, (image, probabilities), room, interactive=interactive)

    def stroke(self, spec: SettleSpec | StrokeSpec, arrays: Arrays, listener: Listener) -> JobHandle:
        """Lets strokes spread by the CRF; the arrays must not change until the job is over."""
        return self._submit(REFINE, spec, listener, arrays, result_bytes(arrays[-1].size, 0), interactive=True)

    def train(self, spec: TrainSpec, listener: Listener) -> JobHandle:
        """Trains from a run folder in a process of its own; a second run waits for the first."""
        return self._submit(TRAINER, spec, listener, (), 0, interactive=False)

    def ask(self, question: Question, listener: Listener) -> JobHandle:
        """Puts a question that needs no image to the worker that predicts, or tunes in a process of its own."""
        return self._submit(kind_for(question), question, listener, (), 0, interactive=False)

    def warm_up(self) -> None:
        """Lets the workers that predict and refine start now: importing torch and loading kernels takes seconds."""
        for kind in (ENGINE, REFINE):
            self._post(partial(self._start, self._lanes[kind]))

    def status(self) -> EngineStatus:
        """The latest snapshot; never waits."""
        return self._status

    def close(self) -> None:
        """Stops all work and every process; waits up to a few seconds. Calling it twice is harmless."""
        atexit.unregister(self.close)
        if not self._closing:
            self._closing = True
            self._commands.put(self._shut_down)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def process_ids(self) -> dict[str, int]:
        """The process id of every worker that runs, by kind."""
        processes = {kind: lane.process for kind, lane in self._lanes.items()}
        return {kind: process.pid for kind, process in processes.items() if process is not None}

    def _submit(
        self,
        kind: str,
        spec: object,
        listener: Listener,
        arrays: tuple[npt.NDArray[Any], ...],
        room: int,
        *,
        interactive: bool,
    ) -> JobHandle:
        task = Task(next(self._numbers), spec, listener, arrays, room, interactive)
        self._post(partial(self._add, self._lanes[kind], task))
        return JobHandle(task.id, lambda job: self._post(partial(self._cancel, job)))

    def _post(self, command: Callable[[], None]) -> None:
        if not self._closing:
            self._commands.put(command)

    # ------------------------------------------------------------------------------------- on the engine's thread

    def _run(self) -> None:
        while self._lanes:
            try:
                command = self._commands.get(timeout=self._seconds_to_next_kill())
            except queue.Empty:
                command = self._kill_overdue
            try:
                command()
                self._publish_status()
            except Exception:  # noqa: BLE001 - the engine's thread must outlive any single mistake
                _LOG.exception("the engine could not carry out %s", command)

    def _add(self, lane: Lane, task: Task) -> None:
        for overtaken in lane.add(task):
            self._give_up(lane, overtaken)
        self._dispatch(lane)

    def _cancel(self, job: int) -> None:
        for lane in self._lanes.values():
            task = lane.find(job)
            if task is not None:
                self._give_up(lane, task)
                return

    def _give_up(self, lane: Lane, task: Task) -> None:
        """Stops a task: a waiting one at once, a running one at its next safe point."""
        if task is not lane.running:
            if task in lane.waiting:
                lane.waiting.remove(task)
            self._answer(task, WasCancelled())
            return
        if lane.process is not None and not task.cancel_requested:
            task.cancel_requested = True
            lane.process.control.cancel(task.id)
            if lane.kill_grace is not None:
                task.kill_at = time.monotonic() + lane.kill_grace
        if not lane.finishes_on_cancel:
            self._answer(task, WasCancelled())
            self._update_pause()

    def _dispatch(self, lane: Lane) -> None:
        """Sends the next task, if the worker is free; starts the worker if there is none."""
        while (task := lane.take()) is not None:
            try:
                self._start(lane)
                order = self._order(task)
            except (UserError, OSError, MemoryError) as error:
                self._end(lane, task, Failed(_report(error)))
                continue
            if lane.process is None or not lane.process.send(order):
                # The worker has just died; the notice is on its way and brings us back here.
                self._release(task)
                lane.put_back(task)
            break
        self._update_pause()

    def _start(self, lane: Lane) -> None:
        if lane.process is None:
            lane.process = WorkerProcess(
                lane.kind,
                self._entry_points[lane.kind],
                on_message=lambda worker, message: self._commands.put(partial(self._on_message, worker, message)),
                on_exit=lambda worker: self._commands.put(partial(self._on_exit, worker)),
            )

    def _order(self, task: Task) -> Order:
        if not task.arrays:
            return Order(task.id, task.spec)
        task.slot = self._pool.acquire(needed_bytes(task.arrays, task.output_bytes))
        regions, end = task.slot.write(task.arrays)
        return Order(task.id, task.spec, task.slot.name, regions, end)

    def _on_message(self, worker: WorkerProcess, message: WorkerMessage) -> None:
        lane = self._lanes.get(worker.kind)
        if lane is None or lane.process is not worker:
            return
        if isinstance(message, Heartbeat):
            worker.memory = message.memory
            if worker.kind == ENGINE:
                self._device = message.device
        elif isinstance(message, Ready):
            worker.ready = True
        elif isinstance(message, Broken):
            self._on_broken(lane, message.report)
        elif lane.running is not None and lane.running.id == message.job:
            self._on_reply(lane, lane.running, message)

    def _on_reply(self, lane: Lane, task: Task, reply: Reply) -> None:
        event = reply.event
        if isinstance(event, Stored):
            slot = None if task.answered else task.slot  # a stale result is not worth the copy
            self._end(lane, task, Finished(fetched(slot, event)) if slot is not None else WasCancelled())
        elif isinstance(event, FINAL_EVENTS):
            self._end(lane, task, event)
        else:
            self._answer(task, event)
            return
        if lane.single_use and lane.process is not None:
            self._retire(lane, lane.process)
        self._dispatch(lane)

    def _on_broken(self, lane: Lane, report: ErrorReport) -> None:
        """A worker that cannot start fails every job that waits for it; a later one tries again."""
        for task in (lane.running, *tuple(lane.waiting)):
            if task is not None:
                self._end(lane, task, Failed(report))
        lane.waiting.clear()
        if lane.process is not None:
            self._retire(lane, lane.process)

    def _on_exit(self, worker: WorkerProcess) -> None:
        lane = self._lanes.get(worker.kind)
        if lane is None or lane.process is not worker:
            self._retired.discard(worker)
            worker.dispose()
            return
        task, exit_code = lane.running, worker.exit_code
        wanted = task is not None and (task.killed or task.kill_at is not None)
        lane.process = None
        worker.dispose()
        restart = worker.ready and task is not None and not lane.single_use
        if not wanted:
            sentence = death_sentence(lane.kind, exit_code, restarted=restart)
            _call(self.on_death.emit, sentence)
            if task is not None:
                self._end(lane, task, Failed(ErrorReport(ErrorKind.DIED, sentence)))
        elif task is not None:
            self._end(lane, task, WasCancelled())
        if worker.kind == ENGINE:
            self._device = None
        if restart:
            self._start(lane)
        self._dispatch(lane)

    def _retire(self, lane: Lane, worker: WorkerProcess) -> None:
        """Lets a worker end by itself; its exit is no death any more."""
        lane.process = None
        self._retired.add(worker)
        worker.send(None)

    def _end(self, lane: Lane, task: Task, event: EngineEvent) -> None:
        if lane.running is task:
            lane.running = None
        self._release(task)
        self._answer(task, event)

    def _release(self, task: Task) -> None:
        if task.slot is not None:
            self._pool.release(task.slot)
            task.slot = None

    def _answer(self, task: Task, event: EngineEvent) -> None:
        """Tells the listener, unless it has had its last event: what comes after that is stale."""
        if task.answered:
            return
        task.answered = isinstance(event, FINAL_EVENTS)
        _call(task.listener, event)

    def _update_pause(self) -> None:
        trainer = self._lanes[TRAINER].process
        if trainer is not None:
            trainer.control.paused = self._lanes[ENGINE].has_interactive or self._lanes[REFINE].has_interactive

    def _seconds_to_next_kill(self) -> float | None:
        times = [lane.running.kill_at for lane in self._lanes.values() if lane.running and lane.running.kill_at]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _kill_overdue(self) -> None:
        for lane in self._lanes.values():
            task = lane.running
            if task is not None and task.kill_at is not None and time.monotonic() >= task.kill_at:
                task.kill_at = None  # once is enough; its exit brings the next job
                task.killed = True
                if lane.process is not None:
                    lane.process.kill()

    def _publish_status(self) -> None:
        status = snapshot(self._lanes, self._device, self._memory_total)
        if self._lanes and status != self._status:
            self._status = status
            _call(self.on_status.emit, status)

    def _shut_down(self) -> None:
        """Ends everything: asks, waits a little, kills, unlinks. The engine's thread ends with it."""
        workers = [lane.process for lane in self._lanes.values() if lane.process is not None]
        for lane in self._lanes.values():
            if lane.process is not None and lane.running is not None:
                lane.process.control.cancel(lane.running.id)
            for task in (lane.running, *lane.waiting):
                if task is not None:
                    self._answer(task, WasCancelled())
            lane.process = None
        self._lanes = {}
        for worker in workers:
            worker.send(None)
        workers.extend(self._retired)
        deadline = time.monotonic() + _CLOSE_GRACE_S
        for worker in workers:
            worker.join(max(0.0, deadline - time.monotonic()))
            worker.dispose()
        self._pool.close()
        self._status = EngineStatus(memory_total=self._memory_total)


def _call(listener: Callable[[_T], None], value: _T) -> None:
    try:
        listener(value)
    except Exception:  # noqa: BLE001 - a listener's mistake is not the engine's end
        _LOG.exception("a listener failed on %s", type(value).__name__)


def _report(error: Exception) -> ErrorReport:
    if isinstance(error, OSError) and not isinstance(error, UserError):
        return ErrorReport(ErrorKind.USER, f"A worker process could not be started ({error.strerror}).")
    return ErrorReport.from_exception(error)
