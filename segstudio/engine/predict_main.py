"""The worker that predicts: one network stays on its device until another card is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from segstudio.core.errors import Cancelled, ModelError
from segstudio.core.jobs import Progress
from segstudio.engine.channels import OTHER_NAMES, channels_by_name, channels_by_order
from segstudio.engine.devices import DeviceInfo, DeviceState
from segstudio.engine.devices_probe import device_state, list_devices
from segstudio.engine.protocol import DevicesSpec, PredictionArrays, PredictSpec
from segstudio.engine.worker import Job, Server
from segstudio.nets.base import SegmentationNet
from segstudio.nets.card import ModelCard, find_card, load_card
from segstudio.nets.checkpoint import load_model
from segstudio.nets.devices import is_out_of_memory, release_memory, resolve_device
from segstudio.nets.predictor import Predictor


def main(server: Server) -> None:
    """Serves predictions and the list of devices."""
    resident = Resident()
    server.serve({PredictSpec: resident.predict, DevicesSpec: _devices}, device=resident.device_state)


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
        """Labels, confidence and probabilities of the job's image.

        Raises:
            ModelError: the card, the device or the memory does not allow it.
            Cancelled: on request, between two tiles.
        """
        spec: PredictSpec = job.spec
        try:
            loaded = self._network(job, spec)
            if job.cancelled():
                raise Cancelled
            job.progress(Progress(None, "Predicting"))
            output = loaded.predictor.predict(
                job.arrays[0],
                cancelled=job.cancelled,
                progress=lambda fraction: job.progress(Progress(fraction, "Predicting")),
            )
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self._loaded = None
            release_memory(resolve_device(spec.device))
            raise ModelError(
                f"The memory of {spec.device} does not suffice for the model {Path(spec.card).stem}.",
                "Close other programs, or choose a smaller model or the CPU.",
            ) from error
        return PredictionArrays(
            labels=np.asarray(loaded.class_ids, dtype=np.uint8)[output.labels],
            confidence=output.confidence,
            probabilities=output.probabilities if spec.want_probabilities else None,
            class_ids=loaded.class_ids,
            trained=loaded.trained,
            note=loaded.note,
        )

    def device_state(self) -> DeviceState | None:
        """The device of the network in use, None before the first."""
        loaded = self._loaded
        return device_state(loaded.predictor.device) if loaded is not None else None

    def _network(self, job: Job, spec: PredictSpec) -> _Loaded:
        device = resolve_device(spec.device)
        key = (spec.card, _stamp(spec.card), spec.catalog_ids, spec.class_names, str(device))
        if self._loaded is None or self._loaded.key != key:
            job.progress(Progress(None, "Loading the model"))
            # The old network goes first: two large ones may not fit side by side.
            self._loaded = None
            release_memory(device)
            self._loaded = _load(spec, device, key)
        return self._loaded


def _load(spec: PredictSpec, device: torch.device, key: tuple[object, ...]) -> _Loaded:
    net, class_ids, note = _network_and_channels(spec)
    notes = " ".join(part for part in (note, net.loaded.note) if part)
    trained = net.loaded.head == "checkpoint"
    return _Loaded(key, Predictor(net, device=device), class_ids, trained, notes)


def _network_and_channels(spec: PredictSpec) -> tuple[SegmentationNet, tuple[int, ...], str]:
    """The network on the CPU, the class id of every channel, and a note."""
    count = len(spec.catalog_ids)
    path = Path(spec.card)
    card: ModelCard | None = None
    if path.suffix == ".toml":
        card = load_card(path)
    elif not path.is_file():
        card = find_card(spec.card)
    if card is None or card.classes:
        net = load_model(spec.card)
        names = net.class_names or net.card.classes
        by_name = channels_by_name(names, spec.catalog_ids, spec.class_names) if len(names) == net.classes else None
        if by_name is not None:
            return net, by_name, ""
        if net.classes == count:
            return net, channels_by_order(spec.catalog_ids), OTHER_NAMES if names else ""
    return load_model(spec.card, classes=count), channels_by_order(spec.catalog_ids), ""


def _stamp(card: str) -> int:
    """Changes when the file does."""
    path = Path(card)
    return path.stat().st_mtime_ns if path.is_file() else 0
