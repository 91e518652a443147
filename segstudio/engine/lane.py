"""The queue in front of one kind of worker: who runs, who waits, and who is overtaken."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy.typing as npt

from segstudio.engine.base import ENGINE, REFINE, TRAINER, TUNER, EngineStatus, Listener
from segstudio.engine.devices import DeviceState
from segstudio.engine.process import WorkerProcess
from segstudio.engine.shm import Slot

_CRF_KILL_GRACE_S: Final = 3.0


@dataclass(slots=True, eq=False)
class Task:
    """A submitted job with its input arrays and the room its result needs in bytes."""

    id: int
    spec: object
    listener: Listener
    arrays: tuple[npt.NDArray[Any], ...] = ()
    output_bytes: int = 0
    interactive: bool = False
    slot: Slot | None = None
    answered: bool = False
    cancel_requested: bool = False
    kill_at: float | None = None
    killed: bool = False


@dataclass(slots=True, eq=False)
class Lane:
    """Jobs of one kind of worker: one runs, the others wait, interactive ones first.

    Attributes:
        kind: Kind of worker.
        kill_grace: Seconds a cancelled job may go on before its process is killed; None waits for ever.
        finishes_on_cancel: True where a cancelled job still answers (training: the best model so far).
        single_use: True where a process does one job.
    """

    kind: str
    kill_grace: float | None = None
    finishes_on_cancel: bool = False
    single_use: bool = False
    process: WorkerProcess | None = None
    running: Task | None = None
    waiting: deque[Task] = field(default_factory=deque)

    def add(self, task: Task) -> tuple[Task, ...]:
        """Lets a task wait its turn; returns the tasks it overtakes, of which only a running one stays here."""
        overtaken: list[Task] = []
        if task.interactive:
            overtaken = [other for other in self._all() if other.interactive and type(other.spec) is type(task.spec)]
            self.waiting = deque(other for other in self.waiting if other not in overtaken)
        self.waiting.append(task)
        return tuple(overtaken)

    def take(self) -> Task | None:
        """The next task to run, which now runs; None while one runs or none waits."""
        if self.running is not None or not self.waiting:
            return None
        chosen = next((task for task in self.waiting if task.interactive), self.waiting[0])
        self.waiting.remove(chosen)
        self.running = chosen
        return chosen

    def put_back(self, task: Task) -> None:
        """Undoes `take`."""
        self.running = None
        self.waiting.appendleft(task)

    def find(self, job: int) -> Task | None:
        """The task with this number, if it is still here."""
        return next((task for task in self._all() if task.id == job), None)

    @property
    def has_interactive(self) -> bool:
        """True while somebody waits for this lane in front of the screen."""
        return any(task.interactive and not task.answered for task in self._all())

    def _all(self) -> Iterable[Task]:
        return (*((self.running,) if self.running is not None else ()), *self.waiting)


def all_lanes() -> tuple[Lane, ...]:
    """An empty lane for each kind of worker."""
    return (
        Lane(ENGINE),
        Lane(REFINE, kill_grace=_CRF_KILL_GRACE_S),
        Lane(TRAINER, finishes_on_cancel=True, single_use=True),
        Lane(TUNER, kill_grace=_CRF_KILL_GRACE_S, single_use=True),
    )


def snapshot(lanes: Mapping[str, Lane], device: DeviceState | None, memory_total: int) -> EngineStatus:
    """What the workers do now; `device` is what the one that predicts last said of it."""
    own_memory = device is not None and device.memory_used is not None
    processes = {kind: lane.process for kind, lane in lanes.items()}
    return EngineStatus(
        device=device.id if device else None,
        device_name=device.name if device else "",
        memory_used=sum(process.memory for process in processes.values() if process is not None),
        memory_total=memory_total,
        alive={kind: process is not None for kind, process in processes.items()},
        busy={kind: lane.running is not None for kind, lane in lanes.items()},
        device_memory_used=device.memory_used if device and own_memory else None,
        device_memory_total=device.memory_total if device and own_memory else None,
    )
