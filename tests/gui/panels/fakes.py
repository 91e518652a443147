"""A workspace without engine or store: the services' surface as panels see it, noting every call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from segstudio.core.catalog import Catalog
from segstudio.core.errors import UserError
from segstudio.core.events import Change, ChangeSet, Signal
from segstudio.core.jobs import JobState
from segstudio.core.prediction import Prediction
from segstudio.core.segmentmap import SegmentMap
from segstudio.nets.card import ModelCard
from segstudio.project.runs import RunRecord
from segstudio.refine.params import CrfParams
from segstudio.refine.tuned import Score, Tuned
from segstudio.services.checkpoints import ImportedCard
from segstudio.services.finetuning import Readiness, RunView
from segstudio.services.jobboard import JobRecord
from segstudio.services.models import CardInfo
from segstudio.services.speeds import Speed

CALLS = list[tuple[Any, ...]]


@dataclass
class FakeModels:
    calls: CALLS
    known: list[CardInfo]
    active: ModelCard
    previous: ModelCard | None = None
    refuse: str = ""

    def cards(self) -> list[CardInfo]:
        return self.known

    @property
    def active_info(self) -> CardInfo:
        return next(info for info in self.known if info.card.id == self.active.id)

    def use(self, name: str) -> None:
        self.calls.append(("use", name))
        if self.refuse:
            raise UserError(self.refuse)
        self.active = next(info.card for info in self.known if info.card.id == name)

    def go_back(self) -> None:
        self.calls.append(("go_back",))


@dataclass
class FakePredicting:
    calls: CALLS
    busy: bool = False
    auto: bool = True
    device: str = "auto"
    box: Any = None

    def learn_devices(self) -> None:
        """Nothing to learn."""

    def set_auto(self, *, enabled: bool) -> None:
        self.calls.append(("set_auto", enabled))
        self.auto = enabled

    def set_device(self, device: str) -> None:
        self.calls.append(("set_device", device))
        self.device = device

    def predict_current(self) -> None:
        self.calls.append(("predict_current",))

    def predict_all(self) -> None:
        self.calls.append(("predict_all",))

    def cancel(self) -> None:
        self.calls.append(("cancel_predicting",))

    def devices(self) -> list[tuple[str, str]]:
        listed = [("auto", "Automatic"), ("cpu", "Some processor")]
        return listed if self.device in dict(listed) else [*listed, (self.device, self.device)]


@dataclass
class FakeSpeeds:
    calls: CALLS
    measuring: str | None = None
    figures: dict[str, Speed] = field(default_factory=dict)
    refuse: str = ""
    on_error: Any = None

    def known(self, card: ModelCard) -> Speed | None:
        return self.figures.get(card.id)

    def measure(self, card: ModelCard, *, on_error: Any) -> None:
        self.calls.append(("measure", card.id))
        if self.refuse:
            raise UserError(self.refuse)
        self.measuring, self.on_error = card.id, on_error

    def cancel(self) -> None:
        self.calls.append(("cancel_measuring",))
        self.measuring = None


@dataclass
class FakeCheckpoints:
    calls: CALLS
    busy: bool = False
    patterns: tuple[str, ...] = ("*.pth", "*.pt")
    on_done: Callable[[ImportedCard], None] = field(default=lambda _imported: None)
    on_error: Any = None

    def import_file(self, file: Path, *, on_done: Any, on_error: Any) -> None:
        self.calls.append(("import_file", file))
        self.busy, self.on_done, self.on_error = True, on_done, on_error

    def cancel(self) -> None:
        self.calls.append(("cancel_importing",))


@dataclass
class FakeRefining:
    calls: CALLS
    busy: bool = False
    reasons: dict[str, str | None] = field(default_factory=lambda: {"native": None})

    def presets(self) -> list[tuple[str, str, str, CrfParams]]:
        return [
            ("v2", "DeepLab v2 ResNet-101", "DeepLab v2 (Chen et al., TPAMI 2018)", CrfParams()),
            ("v1", "DeepLab v1", "DeepLab v1 (Chen et al., ICLR 2015)", CrfParams(5, 50, 10, 3, 3)),
        ]

    def backends(self) -> dict[str, str | None]:
        return self.reasons

    @property
    def default_params(self) -> CrfParams:
        return CrfParams()

    def refine_current(self, params: CrfParams, backend: str, *, exact: bool = False, anyway: bool = False) -> None:
        self.calls.append(("refine_current", params, backend, exact, anyway))

    def take_back(self) -> None:
        self.calls.append(("take_back",))

    def cancel(self) -> None:
        self.calls.append(("cancel_refining",))


@dataclass
class FakeTuning:
    calls: CALLS
    busy: bool = False
    result: Tuned | None = None
    refuse: str = ""

    def start(self, *, preset: CrfParams) -> None:
        self.calls.append(("start_tuning", preset))
        if self.refuse:
            raise UserError(self.refuse)

    def cancel(self) -> None:
        self.calls.append(("cancel_tuning",))


@dataclass
class FakeFinetuning:
    calls: CALLS
    state: RunView = field(default_factory=RunView)
    ready: Readiness = field(
        default_factory=lambda: Readiness(
            ready=True, reason="2 images to learn from, 1 image to validate on.", train_images=2, validation_images=1
        )
    )
    past: list[RunRecord] = field(default_factory=list)

    @property
    def running(self) -> bool:
        return self.state.running

    def readiness(self) -> Readiness:
        return self.ready

    def runs(self) -> list[RunRecord]:
        return self.past

    def start(self, *, minutes: float | None = None, recipe: str = "few-images") -> None:
        self.calls.append(("start", minutes, recipe))

    def stop(self) -> None:
        self.calls.append(("stop",))

    def adopt(self, run_id: int) -> None:
        self.calls.append(("adopt", run_id))


@dataclass
class FakeJobs:
    calls: CALLS
    records: list[JobRecord] = field(default_factory=list)

    def cancel(self, job_id: int) -> None:
        self.calls.append(("cancel_job", job_id))


@dataclass
class FakeAnnotator:
    calls: CALLS
    map: SegmentMap
    prediction: Prediction | None = None

    def accept_all(self) -> int:
        self.calls.append(("accept_all",))
        return 1

    def accept_class(self, class_id: int) -> int:
        self.calls.append(("accept_class", class_id))
        return 1

    def reject(self) -> None:
        self.calls.append(("reject",))


def cards() -> list[CardInfo]:
    trained = ModelCard(
        id="run-3", family="unet", title="U-Net small, run 3", trained=True, classes=("background", "nucleus"),
        description="Learnt in this project.", metrics={"miou": 0.81}, path=Path("/cards/run-3.toml"), license="yours",
    )  # fmt: skip
    fcn = ModelCard(
        id="fcn8s", family="fcn", title="FCN-8s", paper="Long, Shelhamer and Darrell, CVPR 2015",
        description="A VGG-16 trunk with two skips.", parameters=134_000_000, license="BSD-3-Clause",
        merit="62.2 mean IoU on PASCAL VOC 2012 test", path=Path("/cards/fcn8s.toml"),
    )  # fmt: skip
    return [
        CardInfo(
            trained, usable=True, knows_classes=True, section="Your runs",
            note="Trained on your classes, mean IoU 0.81.",
        ),
        CardInfo(
            fcn, usable=True, knows_classes=False, section="FCN",
            note="Not trained yet: its proposals are random until you train it.",
            needs="about 1.0 GiB to propose, 2.5 GiB to train", download="528 MB, once",
        ),
    ]  # fmt: skip


def prediction(*, trained: bool = True, refined: bool = False) -> Prediction:
    """60 x 80: class 1 in the left half with confidence 255, class 0 in the right half with confidence 51 (0.2)."""
    labels = np.zeros((60, 80), np.uint8)
    labels[:, :40] = 1
    confidence = np.where(labels == 1, 255, 51).astype(np.uint8)
    probabilities = np.full((2, 15, 20), 0.5, np.float16)
    return Prediction(
        labels=labels, confidence=confidence, probabilities=probabilities, class_ids=(0, 1), model_id="run-3",
        trained=trained, refined=refined,
    )  # fmt: skip


def tuned(before: float, with_preset: float, after: float) -> Tuned:
    """A gain check of the default preset against other values, with three mean IoUs."""
    one, two, three = (Score(value, (value, value)) for value in (before, with_preset, after))
    return Tuned(
        params=CrfParams(7, 30, 13.579, 3, 1, temperature=1.4), preset=CrfParams(), before=one, with_preset=two,
        after=three, class_names=("background", "nucleus"), searched=9, checked=3, held_out=True, trials=120,
    )  # fmt: skip


def run(number: int, **changes: Any) -> RunRecord:
    record = RunRecord(
        id=number, folder=Path(f"/runs/{number}"), state=str(JobState.DONE), parent=None,
        created="2025-01-01T00:00:00Z",
        metrics={"miou": 0.83, "parent_miou": 0.71, "reason": "It beats the old model."},
        card=f"/cards/run-{number}.toml",
        accepted=True, config={},
    )  # fmt: skip
    return replace(record, **changes)


class FakeWorkspace:
    """The surface of `Workspace` that panels and dialogs use."""

    def __init__(self) -> None:
        self.calls: CALLS = []
        self.changed: Signal[ChangeSet] = Signal()
        self.catalog = Catalog.from_names(["background", "nucleus"])
        self.images: list[Any] = [object()] * 8
        known = cards()
        self.models = FakeModels(self.calls, known, known[0].card)
        self.predicting = FakePredicting(self.calls)
        self.speeds = FakeSpeeds(self.calls)
        self.checkpoints = FakeCheckpoints(self.calls)
        self.refining = FakeRefining(self.calls)
        self.tuning = FakeTuning(self.calls)
        self.finetuning = FakeFinetuning(self.calls)
        self.jobs = FakeJobs(self.calls)
        self.current: FakeAnnotator | None = FakeAnnotator(self.calls, SegmentMap.empty(60, 80))
        self.reported: list[BaseException] = []

    def emit(self, what: Change) -> None:
        self.changed.emit(ChangeSet(what))

    def report(self, error: BaseException) -> None:
        self.reported.append(error)
