"""A workspace on small real files with an engine that answers at once and predictably."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from segstudio.core.catalog import Catalog
from segstudio.core.events import Signal
from segstudio.core.geometry import Rect
from segstudio.core.settings import Settings
from segstudio.engine.base import EngineStatus, JobHandle, Listener
from segstudio.engine.devices import DeviceInfo
from segstudio.engine.protocol import DevicesSpec, Finished, PredictionArrays, Started
from segstudio.services.opening import new_project
from segstudio.services.tasks import QueueDispatcher
from segstudio.services.workspace import Workspace


@dataclass
class StandInEngine:
    """Says "class 1 where the red channel is bright"; refining inverts; training hears nothing until told."""

    on_status: Signal[EngineStatus] = field(default_factory=Signal)
    on_death: Signal[str] = field(default_factory=Signal)
    predictions: list[Any] = field(default_factory=list)
    trainings: list[tuple[Any, Listener]] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)
    questions: list[tuple[Any, Listener]] = field(default_factory=list)
    devices: tuple[DeviceInfo, ...] = ()
    hold: bool = False
    held: list[Callable[[], None]] = field(default_factory=list)

    def predict(self, spec: Any, image: Any, listener: Listener, *, interactive: bool = True) -> JobHandle:
        self.predictions.append(spec)
        if spec.box is not None:
            image = image[Rect(*spec.box).slices]
        labels = np.where(image[..., 0] > 127, 1, 0).astype(np.uint8)
        scores = np.stack([1.0 - labels, labels.astype(float)]).astype(np.float16)

        def answer() -> None:
            listener(Started())
            listener(Finished(PredictionArrays(labels, np.full(labels.shape, 200, np.uint8), scores, (0, 1))))

        if self.hold:
            self.held.append(answer)
        else:
            answer()
        return JobHandle(len(self.predictions), self.cancelled.append)

    def refine(
        self, spec: Any, image: Any, probabilities: Any, listener: Listener, *, interactive: bool = True
    ) -> JobHandle:
        labels = (1 - probabilities.argmax(0)).astype(np.uint8)
        listener(Finished(PredictionArrays(labels, np.full(labels.shape, 255, np.uint8), probabilities, (0, 1))))
        return JobHandle(1000, self.cancelled.append)

    def train(self, spec: Any, listener: Listener) -> JobHandle:
        self.trainings.append((spec, listener))
        return JobHandle(2000, self.cancelled.append)

    def ask(self, question: Any, listener: Listener) -> JobHandle:
        """Answers which devices there are; other questions wait for the test."""
        if isinstance(question, DevicesSpec):
            listener(Finished(self.devices))
        else:
            self.questions.append((question, listener))
        return JobHandle(3000, self.cancelled.append)

    def warm_up(self) -> None:
        """Nothing to start."""

    def status(self) -> EngineStatus:
        return EngineStatus()

    def close(self) -> None:
        """Nothing to stop."""


def write_images(folder: Path, count: int = 4, size: tuple[int, int] = (40, 60)) -> Path:
    """A folder of `count` images whose right half is bright red."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        picture = np.full((*size, 3), 20 + index, np.uint8)
        picture[:, size[1] // 2 :, 2] = 220
        cv2.imwrite(str(folder / f"image{index + 1}.png"), picture)
    return folder


@pytest.fixture
def dispatcher() -> QueueDispatcher:
    return QueueDispatcher()


@pytest.fixture
def engine() -> StandInEngine:
    return StandInEngine()


@pytest.fixture
def workspace(tmp_path: Path, engine: StandInEngine, dispatcher: QueueDispatcher) -> Iterator[Workspace]:
    project = new_project(
        tmp_path / "p", images=write_images(tmp_path / "images"), catalog=Catalog.from_names(["background", "cell"])
    )
    opened = Workspace(project, engine, dispatcher, Settings(tmp_path / "settings.json"))
    failures: list[BaseException] = []
    opened.bugs.connect(failures.append)
    yield opened
    opened.close()
    assert not failures


@pytest.fixture
def shown(workspace: Workspace, dispatcher: QueueDispatcher) -> Workspace:
    """The workspace with its first image on the canvas."""
    workspace.open_first()
    assert dispatcher.run_until(lambda: workspace.current is not None, timeout=20)
    return workspace
