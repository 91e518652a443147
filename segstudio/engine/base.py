"""What every engine offers, whether its work happens in other processes or right here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from segstudio.core.events import Signal
from segstudio.engine.protocol import (
    EngineEvent,
    PredictSpec,
    Question,
    RefineSpec,
    SettleSpec,
    StrokeSpec,
    TrainSpec,
    TuneSpec,
)

Listener: TypeAlias = Callable[[EngineEvent], None]
Arrays: TypeAlias = tuple[npt.NDArray[Any], ...]

ENGINE, REFINE, TRAINER, TUNER = "engine", "refine", "trainer", "tuner"
KINDS = (ENGINE, REFINE, TRAINER, TUNER)

# What runs in each kind of process; named by string so that nothing here imports torch.
ENTRY_POINTS: Mapping[str, str] = MappingProxyType(
    {
        ENGINE: "segstudio.engine.predict_main:main",
        REFINE: "segstudio.engine.refine_main:main",
        TRAINER: "segstudio.engine.train_main:main",
        TUNER: "segstudio.engine.refine_main:main",
    }
)


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """A snapshot of the workers.

    Attributes:
        device: Device the resident network uses, None until it has predicted.
        device_name: Its maker's name, "" until known.
        memory_used: Bytes of main memory the workers take together.
        memory_total: Bytes of main memory in this computer, 0 where unknown.
        alive: For each kind of worker, whether its process runs.
        busy: For each kind of worker, whether a job runs on it.
        device_memory_used: Bytes taken on a device with memory of its own, else None.
        device_memory_total: Its size.
    """

    device: str | None = None
    device_name: str = ""
    memory_used: int = 0
    memory_total: int = 0
    alive: Mapping[str, bool] = field(default_factory=lambda: dict.fromkeys(KINDS, False))
    busy: Mapping[str, bool] = field(default_factory=lambda: dict.fromkeys(KINDS, False))
    device_memory_used: int | None = None
    device_memory_total: int | None = None


class JobHandle:
    """A submitted job: its number, and a way to stop it."""

    __slots__ = ("_cancel", "id")

    def __init__(self, job: int, cancel: Callable[[int], None]) -> None:
        self.id = job
        self._cancel = cancel

    def cancel(self) -> None:
        """Asks the job to stop; harmless when it is over.

        A prediction or refinement answers `WasCancelled` at once; a training run ends with its best model so far and
        answers `Finished`.
        """
        self._cancel(self.id)


class Engine(Protocol):
    """Networks, refinement and training; every call returns at once and the listener hears the rest.

    A listener is called on a thread of the engine, one event after the other, and last with one of `Finished`,
    `Failed` and `WasCancelled`.
    """

    on_status: Signal[EngineStatus]
    on_death: Signal[str]

    def predict(
        self, spec: PredictSpec, image: npt.NDArray[np.uint8], listener: Listener, *, interactive: bool = True
    ) -> JobHandle:
        """Predicts an image (H, W, 3) uint8 RGB; an interactive request overtakes earlier interactive ones."""
        ...

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
        ...

    def stroke(self, spec: SettleSpec | StrokeSpec, arrays: Arrays, listener: Listener) -> JobHandle:
        """Lets strokes spread by the CRF; each spec says what arrays it takes. A later one overtakes its like."""
        ...

    def train(self, spec: TrainSpec, listener: Listener) -> JobHandle:
        """Trains from a run folder."""
        ...

    def ask(self, question: Question, listener: Listener) -> JobHandle:
        """Puts a question that needs no image; each spec says what answers it.

        Tuning the CRF takes minutes and has a process of its own; all else is for the worker that predicts.
        """
        ...

    def warm_up(self) -> None:
        """Lets the workers that predict and refine start now, so that nobody need wait for them."""
        ...

    def status(self) -> EngineStatus:
        """The latest snapshot; never waits."""
        ...

    def close(self) -> None:
        """Stops all work and every process; calling it twice is harmless."""
        ...


def kind_for(question: Question) -> str:
    """The kind of worker that answers."""
    return TUNER if isinstance(question, TuneSpec) else ENGINE


def checked_image(image: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """The image itself, known to be (H, W, 3) uint8.

    Raises:
        ValueError: it is something else.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(f"an image is (H, W, 3) uint8, not {image.shape} {image.dtype}")
    return image


def checked_probabilities(probabilities: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The probabilities themselves, known to be (C, h, w) floating point.

    Raises:
        ValueError: they are something else.
    """
    if probabilities.ndim != 3 or probabilities.size == 0 or not np.issubdtype(probabilities.dtype, np.floating):
        raise ValueError(f"probabilities are (C, h, w) floats, not {probabilities.shape} {probabilities.dtype}")
    return probabilities
