"""The worker that predicts: one network stays on its device until another card is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from segstudio.core.errors import Cancelled
from segstudio.core.geometry import Rect
from segstudio.core.jobs import Progress
from segstudio.engine.channels import OTHER_NAMES, channels_by_name, channels_by_order
from segstudio.engine.devices import DeviceInfo, DeviceState
from segstudio.engine.devices_probe import device_state, list_devices
from segstudio.engine.import_checkpoint import import_model
from segstudio.engine.measure import measure
from segstudio.engine.protocol import DevicesSpec, ImportSpec, MeasureSpec, PredictionArrays, PredictSpec
from segstudio.engine.shortage import shortage_as_sentence
from segstudio.engine.worker import Job, Server
from segstudio.nets.base import SegmentationNet
from segstudio.nets.card import ModelCard, find_card, load_card
from segstudio.nets.checkpoint import load_model
from segstudio.nets.devices import release_memory, resolve_device
from segstudio.nets.fast.arithmetic import arithmetic_for
from segstudio.nets.fast.winograd import prepare_in_background
from segstudio.nets.predictor import Predictor, PredictorOutput


def main(server: Server) -> None:
    """Serves predictions, the list of devices, the speed of networks, and imports of checkpoints."""
    resident = Resident()
    prepare_in_background()
    server.serve(
        {
            PredictSpec: resident.predict,
            DevicesSpec: _devices,
            MeasureSpec: partial(measure, forget=resident.forget),
            ImportSpec: import_model,
        },
        device=resident.device_state,
    )


def _devices(job: Job) -> tuple[DeviceInfo, ...]:
    return list_devices()


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A network on its device, with the class of each channel and what to say about it."""

    key: tuple[object, ...]
    predictor: Predictor
    class_ids: tuple[int, ...]
    trained: bool
    note: str


class Resident:
    """The network in use, kept from one prediction to the next."""

    def __init__(self) -> None:
        self._loaded: _Loaded | None = None

    def predict(self, job: Job) -> PredictionArrays:
        """Labels, confidence and probabilities of the job's image, or of the box asked for.

        Raises:
            ModelError: the card, the device or the memory does not allow it.
            Cancelled: on request, between two tiles.
        """
        spec: PredictSpec = job.spec
        device = resolve_device(spec.device)
        with shortage_as_sentence(device, Path(spec.card).stem, self.forget):
            loaded = self._network(job, spec, device)
            if job.cancelled():
                raise Cancelled
            output = _output(job, spec, loaded)
        return PredictionArrays(
            labels=np.asarray(loaded.class_ids, dtype=np.uint8)[output.labels],
            confidence=output.confidence,
            probabilities=output.probabilities if spec.want_probabilities else None,
            class_ids=loaded.class_ids,
            trained=loaded.trained,
            note=loaded.note,
        )

    def forget(self) -> None:
        """Lets the network go; the next prediction loads it again."""
        self._loaded = None

    def device_state(self) -> DeviceState | None:
        """The device of the network in use, None before the first."""
        loaded = self._loaded
        return device_state(loaded.predictor.device) if loaded is not None else None

    def _network(self, job: Job, spec: PredictSpec, device: torch.device) -> _Loaded:
        # A faster way to compute may have become available since the network was loaded.
        way = arithmetic_for(device)
        key = (spec.card, _stamp(spec.card), spec.catalog_ids, spec.class_names, str(device), way)
        if self._loaded is None or self._loaded.key != key:
            job.progress(Progress(None, "Loading the model"))
            # The old network goes first: two large ones may not fit side by side.
            self.forget()
            release_memory(device)
            self._loaded = _load(job, spec, device, key)
        return self._loaded


def _output(job: Job, spec: PredictSpec, loaded: _Loaded) -> PredictorOutput:
    job.progress(Progress(None, "Predicting"))
    if spec.box is None:
        return loaded.predictor.predict(
            job.arrays[0],
            cancelled=job.cancelled,
            progress=lambda fraction: job.progress(Progress(fraction, "Predicting")),
        )
    channel = loaded.class_ids.index(spec.box_class) if spec.box_class in loaded.class_ids else None
    return loaded.predictor.predict_box(job.arrays[0], Rect(*spec.box), channel=channel, cancelled=job.cancelled)


def _load(job: Job, spec: PredictSpec, device: torch.device, key: tuple[object, ...]) -> _Loaded:
    net, class_ids, note = _network_and_channels(job, spec)
    notes = " ".join(part for part in (note, net.loaded.note) if part)
    trained = net.loaded.head == "checkpoint"
    return _Loaded(key, Predictor(net, device=device, consume=True), class_ids, trained, notes)


def _network_and_channels(job: Job, spec: PredictSpec) -> tuple[SegmentationNet, tuple[int, ...], str]:
    """The network on the CPU, the class id of every channel, and a note."""
    count = len(spec.catalog_ids)
    path = Path(spec.card)
    card: ModelCard | None = None
    if path.suffix == ".toml":
        card = load_card(path)
    elif not path.is_file():
        card = find_card(spec.card)
    report = _download_report(job, card.title if card is not None else path.stem)
    if card is None or card.classes:
        net = load_model(spec.card, progress=report, cancelled=job.cancelled)
        names = net.class_names or net.card.classes
        by_name = channels_by_name(names, spec.catalog_ids, spec.class_names) if len(names) == net.classes else None
        if by_name is not None:
            return net, by_name, ""
        if net.classes == count:
            return net, channels_by_order(spec.catalog_ids), OTHER_NAMES if names else ""
    net = load_model(spec.card, classes=count, progress=report, cancelled=job.cancelled)
    return net, channels_by_order(spec.catalog_ids), ""


def _download_report(job: Job, name: str) -> Callable[[float], None]:
    """Tells how much of a network's weights has arrived."""
    return lambda fraction: job.progress(Progress(fraction, f"Downloading {name}"))


def _stamp(card: str) -> int:
    """Changes when the file does."""
    path = Path(card)
    return path.stat().st_mtime_ns if path.is_file() else 0
