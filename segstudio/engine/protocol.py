"""The messages between the window process and its workers: frozen, picklable, small; arrays go beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from segstudio.core.jobs import ErrorReport, Progress
from segstudio.core.runs import RunResult, TrainEvent
from segstudio.engine.devices import DeviceInfo, DeviceState
from segstudio.refine.api import DEFAULT_BACKEND
from segstudio.refine.params import CrfParams
from segstudio.refine.tuned import Tuned

# Above this size stored probabilities are reduced (they are a proposal's background, not the proposal).
MAX_PROBABILITY_BYTES = 64 << 20

# ---------------------------------------------------------------------------------------------- what is asked


@dataclass(frozen=True, slots=True)
class PredictSpec:
    """Run the network of a card on one image, or on one box of it.

    Attributes:
        card: Path of the card or checkpoint.
        catalog_ids: Class ids of the catalog.
        class_names: Names of the same classes, in the same order.
        device: "auto", "cpu", "mps", "cuda" or "cuda:N".
        want_probabilities: False leaves them out of the result.
        box: Top, left, height and width in pixels; the result's arrays then cover the box only. None: the whole image.
        box_class: The class whose object the box is drawn around, for networks that answer for one class at a time;
            None lets the network choose.
    """

    card: str
    catalog_ids: tuple[int, ...]
    class_names: tuple[str, ...]
    device: str = "auto"
    want_probabilities: bool = True
    box: tuple[int, int, int, int] | None = None
    box_class: int | None = None


@dataclass(frozen=True, slots=True)
class RefineSpec:
    """Refine probabilities whose channel k is class `class_ids[k]`.

    Attributes:
        params: The kernels of the CRF.
        class_ids: Class of each channel.
        backend: The CRF engine that computes it.
        exact: Keep every class to the end, also those that no pixel wants.
    """

    params: CrfParams
    class_ids: tuple[int, ...]
    backend: str = DEFAULT_BACKEND
    exact: bool = False


@dataclass(frozen=True, slots=True)
class TrainSpec:
    """Train as the manifest and configuration in a run folder say."""

    folder: str


@dataclass(frozen=True, slots=True)
class DevicesSpec:
    """List the devices a network can run on; answered by a tuple of `DeviceInfo`, best first."""


@dataclass(frozen=True, slots=True)
class MeasureSpec:
    """Measure how long the network of a card takes for one image of 500 x 375; answered by `Measured`."""

    card: str
    device: str = "auto"


@dataclass(frozen=True, slots=True)
class ImportSpec:
    """Recognise another project's checkpoint and write a card for it; answered by `Imported`.

    Attributes:
        file: Path of the checkpoint.
        folder: Where card and weights go.
        model: The card id the person says it is, or "" to recognise it.
    """

    file: str
    folder: str
    model: str = ""


@dataclass(frozen=True, slots=True)
class TuneSpec:
    """Search the CRF's parameters; answered by `Tuned`.

    Attributes:
        files: Paths of files that `Sample.save` wrote, all of one network.
        preset: Where to start and what to compare with.
        class_names: Names of the samples' channels.
    """

    files: tuple[str, ...]
    preset: CrfParams
    class_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SettleSpec:
    """Run the CRF over a whole image and its strokes, and keep it ready for more of them; answered by arrays.

    With arrays image (H, W, 3) uint8, probabilities (C, h, w) and strokes (H, W) uint8, a session begins; with strokes
    alone, the session goes on. Strokes hold the class a stroke gives a pixel, 255 elsewhere.

    Attributes:
        session: Number of the session; the worker keeps the latest.
        params: The kernels of the CRF.
        class_ids: Class of each channel.
    """

    session: int
    params: CrfParams
    class_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StrokeSpec:
    """Run the CRF in a window around a stroke, the image having settled; answered by the window's arrays.

    Attributes:
        session: As in `SettleSpec`.
        window: Top, left, height and width in pixels; the strokes (h, w) uint8 that lie in it come beside this.
    """

    session: int
    window: tuple[int, int, int, int]


Question: TypeAlias = DevicesSpec | MeasureSpec | ImportSpec | TuneSpec


# -------------------------------------------------------------------------------------------- what is answered


@dataclass(frozen=True, slots=True, eq=False)
class PredictionArrays:
    """A prediction or refinement of one image, or of a box of H x W pixels in it.

    Attributes:
        labels: (H, W) uint8 class ids.
        confidence: (H, W) uint8, the winner's probability times 255.
        probabilities: (C, h, w) float16 with h <= H, w <= W, or None.
        class_ids: Class of each channel of `probabilities`.
        trained: False where the network never learnt these classes.
        note: A sentence worth showing, or "".
        live: Of a refinement: the classes that were in play to the end.
        uniform: Of a refinement: pixels whose probabilities were no distribution and counted as undecided.
    """

    labels: npt.NDArray[np.uint8]
    confidence: npt.NDArray[np.uint8]
    probabilities: npt.NDArray[np.float16] | None
    class_ids: tuple[int, ...]
    trained: bool = True
    note: str = ""
    live: tuple[int, ...] = ()
    uniform: int = 0


@dataclass(frozen=True, slots=True)
class Measured:
    """How fast a network is: seconds for one image of 500 x 375 on the device named."""

    seconds: float
    device: str
    device_name: str


@dataclass(frozen=True, slots=True)
class Imported:
    """A card was written at `card`; `sentences` say what was recognised and what was dropped."""

    card: str
    sentences: tuple[str, ...]


Result: TypeAlias = PredictionArrays | RunResult | tuple[DeviceInfo, ...] | Measured | Imported | Tuned


@dataclass(frozen=True, slots=True)
class Started:
    """A worker began the job."""


@dataclass(frozen=True, slots=True)
class Progressed:
    """The job came further."""

    progress: Progress


@dataclass(frozen=True, slots=True)
class Trained:
    """A training run reports a step, a validation or a note."""

    event: TrainEvent


@dataclass(frozen=True, slots=True)
class Finished:
    """The job is done; which result belongs to which request is said there."""

    result: Result


@dataclass(frozen=True, slots=True)
class Failed:
    """The job failed; the report is text."""

    report: ErrorReport


@dataclass(frozen=True, slots=True)
class WasCancelled:
    """The job was stopped on request, or overtaken by a later one."""


EngineEvent: TypeAlias = Started | Progressed | Trained | Finished | Failed | WasCancelled
FINAL_EVENTS = (Finished, Failed, WasCancelled)

# ------------------------------------------------------------------------------------------- inside the engine


@dataclass(frozen=True, slots=True)
class Region:
    """An array's place inside a slot of shared memory."""

    offset: int
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class Order:
    """A job on its way to a worker: inputs lie in the slot, and results may be put from `output` to its end."""

    job: int
    spec: object
    slot: str | None = None
    inputs: tuple[Region, ...] = ()
    output: int = 0


@dataclass(frozen=True, slots=True)
class StoredPrediction:
    """A `PredictionArrays` whose arrays lie in the slot of its job."""

    labels: Region
    confidence: Region
    probabilities: Region | None
    class_ids: tuple[int, ...]
    trained: bool
    note: str
    live: tuple[int, ...]
    uniform: int


@dataclass(frozen=True, slots=True)
class Stored:
    """The job is done and its result lies in shared memory."""

    prediction: StoredPrediction


@dataclass(frozen=True, slots=True)
class Reply:
    """What happened to a job, from the worker."""

    job: int
    event: EngineEvent | Stored


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker finished its imports and waits for orders."""


@dataclass(frozen=True, slots=True)
class Broken:
    """The worker could not even start."""

    report: ErrorReport


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The worker lives; its memory in bytes, and the device it uses."""

    memory: int
    device: DeviceState | None


WorkerMessage: TypeAlias = Reply | Ready | Broken | Heartbeat
