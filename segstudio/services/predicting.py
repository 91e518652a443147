"""Proposals of the network in use, for the image shown, for a box of it, or for all that are not reviewed."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from segstudio.core.errors import UserError
from segstudio.core.events import Change
from segstudio.core.geometry import Rect
from segstudio.core.items import Status
from segstudio.core.jobs import ErrorReport, JobState, Progress
from segstudio.core.prediction import Prediction, placed
from segstudio.engine.base import JobHandle
from segstudio.engine.devices import DeviceInfo
from segstudio.engine.protocol import (
    DevicesSpec,
    EngineEvent,
    Failed,
    Finished,
    PredictionArrays,
    PredictSpec,
    Progressed,
    WasCancelled,
)
from segstudio.imaging.decode import read_image
from segstudio.services.annotating import Annotator
from segstudio.services.proposals import ProposalStore

if TYPE_CHECKING:
    from segstudio.services.workspace import Workspace

_CACHE_BYTES: Final = 256 << 20
_AUTO_KEY: Final = "propose_automatically"
_DEVICE_KEY: Final = "device"


class PredictingService:
    """One prediction at a time; the newest wish for the image shown wins."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._handle: JobHandle | None = None
        self._job: int | None = None
        self._ticket: object = None
        self._box: Rect | None = None
        self._total = 0
        self._batch = False
        self._queue: list[int] = []
        self._cache: OrderedDict[int, Prediction] = OrderedDict()
        self._store = ProposalStore(workspace.project.path)
        self._device_once: str | None = None
        self._devices: tuple[DeviceInfo, ...] = ()

    @property
    def busy(self) -> bool:
        """True while a proposal is being computed."""
        return self._job is not None

    @property
    def box(self) -> Rect | None:
        """The box a proposal is being computed for, or None."""
        return self._box

    @property
    def auto(self) -> bool:
        """Whether an image gets a proposal as soon as it is shown."""
        return self._workspace.settings.get(_AUTO_KEY, True)

    def set_auto(self, *, enabled: bool) -> None:
        """Chooses whether an image gets a proposal as soon as it is shown."""
        self._workspace.settings.set(_AUTO_KEY, enabled)
        self._workspace.emit(Change.SETTINGS)
        if enabled and self._workspace.current is not None:
            self.image_opened(self._workspace.current)

    @property
    def device(self) -> str:
        """The device asked for: "auto", "cpu", "cuda", "cuda:1", "mps"."""
        return self._device_once or self._workspace.settings.get(_DEVICE_KEY, "auto")

    def use_device_once(self, device: str) -> None:
        """Chooses the device for this workspace only, without remembering it."""
        self._device_once = device

    def set_device(self, device: str) -> None:
        """Chooses the device for predicting and training."""
        self._workspace.settings.set(_DEVICE_KEY, device)
        self._workspace.emit(Change.SETTINGS)

    def devices(self) -> list[tuple[str, str]]:
        """Devices to choose from: key and title; complete once the engine was asked (a SETTINGS change says so)."""
        listed = [(d.id, d.name) for d in self._devices] or [("cpu", "CPU")]
        chosen = self.device
        known = {"auto", *(key for key, _ in listed)}
        return [("auto", "Automatic"), *listed, *([] if chosen in known else [(chosen, chosen)])]

    @property
    def device_kind(self) -> str:
        """ "cpu", "cuda" or "mps" of the device in use; "cpu" as long as nobody has asked the engine."""
        if self.device != "auto":
            return self.device.partition(":")[0]
        return self._devices[0].kind if self._devices else "cpu"

    @property
    def device_info(self) -> DeviceInfo | None:
        """The device in use; None as long as nobody has asked the engine, or where it is not there."""
        wanted = "cuda:0" if self.device == "cuda" else self.device
        return next((d for d in self._devices if wanted in ("auto", d.id)), None)

    def predict_current(self) -> None:
        """Computes a proposal for the image shown; a PROPOSAL change says when it is there."""
        annotator = self._workspace.current
        if annotator is None:
            return
        self.cancel()
        if self._ready():
            self._start(annotator.item.id, annotator.rgb, f"Proposing for {annotator.item.name}")

    def predict_box(self, box: Rect, class_id: int | None = None) -> None:
        """Computes a proposal for a box of the image shown; what is proposed around it stays.

        `class_id` is the class whose object the box is drawn around; only networks that answer for one class at a time
        look at it.
        """
        annotator = self._workspace.current
        if annotator is None or (box := box.clipped(*annotator.map.shape)).is_empty:
            return
        self.cancel()
        if self._ready():
            title = f"Proposing in a box of {annotator.item.name}"
            self._start(annotator.item.id, annotator.rgb, title, box=box, class_id=class_id)

    def _ready(self) -> bool:
        """Whether the network in use can run here; says so where not, and what to expect of it."""
        workspace = self._workspace
        info = workspace.models.active_info
        title = info.card.title or info.card.id
        if not info.usable:
            workspace.say("error", f"{title} cannot run here.", info.limit)
        elif not workspace.models.can_propose(info.card):
            workspace.say("warning", f"{title}: {info.note}")
        return info.usable

    def predict_all(self) -> None:
        """Computes proposals for every image that is not reviewed; they wait until the image is opened."""
        self.cancel()
        if not self._workspace.models.active_info.usable:
            self._ready()
            return
        self._queue = [i.id for i in self._workspace.images if i.status is not Status.REVIEWED and i.problem is None]
        if not self._queue:
            self._workspace.say("info", "Every image is reviewed.")
            return
        self._batch = True
        self._job = self._workspace.jobs.add(f"Proposing for {len(self._queue)} images", self.cancel)
        self._next(total=len(self._queue))

    def cancel(self) -> None:
        """Stops computing proposals; those already there stay."""
        self._queue = []
        # What the engine still says about the job that ends here must not end the one that follows it.
        self._ticket = None
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.cancel()
        self._finish(JobState.CANCELLED)

    def image_opened(self, annotator: Annotator) -> None:
        """Gives a freshly shown image its waiting proposal, or asks for one where the person wants that."""
        image_id = annotator.item.id
        cached = self._cache.get(image_id) or self._store.load(image_id)
        info = self._workspace.models.active_info
        active = info.card
        if cached is not None and cached.model_id == active.id and cached.labels.shape == annotator.map.shape:
            annotator.set_prediction(cached)
        elif (
            self.auto
            and annotator.item.status is not Status.REVIEWED
            and not bool(annotator.map.decided.all())
            and info.usable
            and self._workspace.models.can_propose(active)
            and not self._batch
        ):
            self.predict_current()

    def model_changed(self) -> None:
        """Forgets proposals of another network and asks for a new one for the image shown."""
        self._cache.clear()
        self._store.clear()
        annotator = self._workspace.current
        if annotator is not None:
            self.image_opened(annotator)

    def _start(
        self,
        image_id: int,
        rgb: npt.NDArray[np.uint8],
        title: str,
        *,
        box: Rect | None = None,
        class_id: int | None = None,
    ) -> None:
        workspace = self._workspace
        workspace.speeds.cancel()
        card = workspace.models.active
        self._box = box
        if self._job is None:
            self._job = workspace.jobs.add(title, self.cancel)
        spec = PredictSpec(
            card=str(card.path),
            catalog_ids=workspace.catalog.sorted_ids,
            class_names=workspace.catalog.sorted_names,
            device=self.device,
            box=None if box is None else (box.top, box.left, box.height, box.width),
            box_class=class_id,
        )
        frame = Prediction(
            labels=np.zeros((0, 0), np.uint8),
            confidence=np.zeros((0, 0), np.uint8),
            probabilities=None,
            class_ids=spec.catalog_ids,
            model_id=card.id,
            image_revision=workspace.item(image_id).revision,
        )
        self._ticket = ticket = object()

        def listen(event: EngineEvent) -> None:
            workspace.dispatch(lambda: self._heard(ticket, image_id, frame, event))

        try:
            self._handle = workspace.engine.predict(spec, rgb, listen, interactive=not self._batch)
        except UserError as error:
            self._failed(ErrorReport.from_exception(error))
        workspace.emit(Change.JOBS)

    def _heard(self, ticket: object, image_id: int, frame: Prediction, event: EngineEvent) -> None:
        if ticket is not self._ticket:
            return  # a reply to a wish that was replaced meanwhile
        match event:
            case Progressed(progress=progress):
                self._tell(progress)
            case Finished(result=PredictionArrays() as result):
                self._handle = None
                self._deliver(image_id, frame, result)
            case Failed(report=report):
                self._failed(report)
            case WasCancelled():
                self._handle = None
                self._finish(JobState.CANCELLED)

    def _tell(self, progress: Progress) -> None:
        """Puts the progress of one image on the job list; among many it is a part of the whole."""
        if self._job is None:
            return
        fraction, text = progress.fraction, progress.text
        if self._batch:
            done = self._total - len(self._queue) - 1
            fraction, text = (done + (fraction or 0.0)) / self._total, f"{done} of {self._total} · {text}"
        self._workspace.jobs.progress(self._job, fraction, text)

    def _deliver(self, image_id: int, frame: Prediction, result: PredictionArrays) -> None:
        prediction = replace(
            frame,
            labels=result.labels,
            confidence=result.confidence,
            probabilities=result.probabilities,
            class_ids=result.class_ids,
            trained=result.trained,
        )
        annotator = self._workspace.current
        shown = annotator if annotator is not None and annotator.item.id == image_id else None
        if self._box is not None:
            if shown is None:
                # What would lie around the box belongs to an image that was left meanwhile.
                self._finish(JobState.DONE)
                return
            prediction = placed(prediction, self._box, shown.map.shape, shown.prediction)
        self._keep(image_id, prediction)
        self.learn_devices()
        if shown is not None:
            shown.set_prediction(prediction)
        if result.note:
            self._workspace.say("info", result.note)
        if self._batch and not self._stored(image_id, prediction):
            return
        if self._queue:
            self._next(total=None)
        else:
            self._finish(JobState.DONE)

    def _stored(self, image_id: int, prediction: Prediction) -> bool:
        """Puts a proposal on disk; False, once said, where the disk refuses."""
        try:
            self._store.save(image_id, prediction)
        except OSError as error:
            reason = UserError(f"The proposals cannot be stored ({error.strerror}).", "Free some space, try again.")
            self._failed(ErrorReport.from_exception(reason))
            return False
        return True

    def _next(self, *, total: int | None) -> None:
        if total is not None:
            self._total = total
        image_id = self._queue.pop(0)
        workspace = self._workspace
        if self._job is not None:
            done = self._total - len(self._queue) - 1
            workspace.jobs.progress(self._job, done / self._total, f"{done} of {self._total}")
        path = workspace.item(image_id).path
        title = workspace.item(image_id).name
        job = self._job

        def unreadable(error: BaseException) -> None:
            if self._job != job:
                return
            workspace.report(error)
            if self._queue:
                self._next(total=None)
            else:
                self._finish(JobState.DONE)

        def read(picture: Any) -> None:
            if self._job == job and job is not None:
                self._start(image_id, picture.rgb, title)

        workspace.tasks.run(lambda _token: read_image(path), read, unreadable)

    def learn_devices(self) -> None:
        """Asks the engine for the devices, once; a SETTINGS change says when they are known. Starts the engine."""
        workspace = self._workspace

        def heard(event: EngineEvent) -> None:
            if isinstance(event, Finished) and isinstance(event.result, tuple):
                workspace.dispatch(partial(self._know_devices, event.result))

        if not self._devices:
            workspace.engine.ask(DevicesSpec(), heard)

    def _know_devices(self, devices: tuple[DeviceInfo, ...]) -> None:
        if devices != self._devices:
            self._devices = devices
            self._workspace.emit(Change.SETTINGS)

    def _failed(self, report: ErrorReport) -> None:
        self._handle = None
        self._queue = []
        self._finish(JobState.FAILED)
        self._workspace.report(report.to_exception())

    def _finish(self, state: JobState) -> None:
        self._batch, self._box = False, None
        job, self._job = self._job, None
        if job is not None:
            self._workspace.jobs.finish(job, state)

    def remember(self, image_id: int, prediction: Prediction) -> None:
        """Keeps a proposal (a refined one, say) for when the image is opened again."""
        self._keep(image_id, prediction)

    def cached(self, image_id: int) -> Prediction | None:
        """The waiting proposal of an image, or None."""
        return self._cache.get(image_id)

    def _keep(self, image_id: int, prediction: Prediction) -> None:
        self._cache[image_id] = prediction
        self._cache.move_to_end(image_id)
        while len(self._cache) > 1 and sum(_nbytes(p) for p in self._cache.values()) > _CACHE_BYTES:
            self._cache.popitem(last=False)


def _nbytes(prediction: Prediction) -> int:
    probabilities = prediction.probabilities
    layers = 2 if prediction.refinement is None else 4
    return prediction.labels.nbytes * layers + (0 if probabilities is None else probabilities.nbytes)
