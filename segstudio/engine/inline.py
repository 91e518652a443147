"""The engine whose work happens right in the call: the same handlers, no processes. For tests."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from segstudio.core.errors import Cancelled
from segstudio.core.events import Signal
from segstudio.core.jobs import CancelToken, ErrorReport
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
from segstudio.engine.protocol import (
    EngineEvent,
    Failed,
    Finished,
    PredictSpec,
    Progressed,
    Question,
    RefineSpec,
    SettleSpec,
    Started,
    StrokeSpec,
    Trained,
    TrainSpec,
    WasCancelled,
)
from segstudio.engine.system import process_memory
from segstudio.engine.worker import Handler, Job


class InlineEngine:
    """An engine that has finished when its methods return; a listener hears everything before that.

    A job can be cancelled from its own listener: `cancel_current` stops the one that runs.
    """

    def __init__(self, entry_points: Mapping[str, str] | None = None) -> None:
        self.on_status: Signal[EngineStatus] = Signal()
        self.on_death: Signal[str] = Signal()
        self._entry_points = {**ENTRY_POINTS, **(entry_points or {})}
        self._desks: dict[str, _Desk] = {}
        self._numbers = itertools.count(1)
        self._token: CancelToken | None = None
        self._memory_total = total_memory()

    def predict(
        self, spec: PredictSpec, image: npt.NDArray[np.uint8], listener: Listener, *, interactive: bool = True
    ) -> JobHandle:
        """Predicts an image (H, W, 3) uint8 RGB."""
        return self._do(ENGINE, spec, (checked_image(image),), listener)

    def refine(
        self,
        spec: RefineSpec,
        image: npt.NDArray[np.uint8],
        probabilities: npt.NDArray[Any],
        listener: Listener,
        *,
        interactive: bool = True,
    ) -> JobHandle:
        """Refines probabilities (C, h, w) of an image (H, W, 3) uint8 RGB."""
        return self._do(REFINE, spec, (checked_image(image), checked_probabilities(probabilities)), listener)

    def stroke(self, spec: SettleSpec | StrokeSpec, arrays: Arrays, listener: Listener) -> JobHandle:
        """Lets strokes spread by the CRF."""
        return self._do(REFINE, spec, arrays, listener)

    def train(self, spec: TrainSpec, listener: Listener) -> JobHandle:
        """Trains from a run folder."""
        return self._do(TRAINER, spec, (), listener)

    def ask(self, question: Question, listener: Listener) -> JobHandle:
        """Puts a question that needs no image."""
        return self._do(kind_for(question), question, (), listener)

    def warm_up(self) -> None:
        """Does nothing: there is nothing to start."""

    def cancel_current(self) -> None:
        """Asks the job that runs to stop."""
        if self._token is not None:
            self._token.cancel()

    def status(self) -> EngineStatus:
        """The latest snapshot."""
        desk = self._desks.get(ENGINE)
        device = desk.device() if desk is not None else None
        return EngineStatus(
            device=device.id if device else None,
            device_name=device.name if device else "",
            memory_used=process_memory(),
            memory_total=self._memory_total,
            alive={kind: kind in self._desks for kind in ENTRY_POINTS},
        )

    def close(self) -> None:
        """Forgets the resident network."""
        self._desks.clear()

    def _do(self, kind: str, spec: object, arrays: tuple[npt.NDArray[Any], ...], listener: Listener) -> JobHandle:
        token = self._token = CancelToken()
        listener(Started())
        listener(self._outcome(kind, spec, arrays, listener, token))
        self._token = None
        self.on_status.emit(self.status())
        return JobHandle(next(self._numbers), lambda _: token.cancel())

    def _outcome(
        self,
        kind: str,
        spec: object,
        arrays: tuple[npt.NDArray[Any], ...],
        listener: Listener,
        token: CancelToken,
    ) -> EngineEvent:
        job = Job(
            spec=spec,
            arrays=tuple(array.copy() for array in arrays),
            progress=lambda progress: listener(Progressed(progress)),
            report=lambda event: listener(Trained(event)),
            cancelled=lambda: token.cancelled,
            paused=lambda: False,
        )
        try:
            return Finished(self._desk(kind).handlers[type(spec)](job))
        except Cancelled:
            return WasCancelled()
        except Exception as error:  # noqa: BLE001 - the same border as between processes
            return Failed(ErrorReport.from_exception(error))

    def _desk(self, kind: str) -> _Desk:
        if kind not in self._desks:
            desk = _Desk()
            module, _, function = self._entry_points[kind].partition(":")
            getattr(importlib.import_module(module), function)(desk)
            self._desks[kind] = desk
        return self._desks[kind]


class _Desk:
    """Takes the handlers an entry point offers, and comes back at once."""

    def __init__(self) -> None:
        self.handlers: Mapping[type, Handler] = {}
        self.device: Callable[[], DeviceState | None] = _unknown_device

    def serve(
        self, handlers: Mapping[type, Handler], *, device: Callable[[], DeviceState | None] | None = None
    ) -> None:
        """Keeps the handlers."""
        self.handlers = handlers
        if device is not None:
            self.device = device


def _unknown_device() -> None:
    return None
