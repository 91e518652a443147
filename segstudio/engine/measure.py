"""How long a network takes for one photograph on this device; needs none of its weights."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from segstudio.core.jobs import Progress
from segstudio.engine.devices_probe import device_state
from segstudio.engine.needs import predict_bytes
from segstudio.engine.protocol import Measured, MeasureSpec
from segstudio.engine.shortage import shortage_as_sentence
from segstudio.engine.worker import Job
from segstudio.nets.card import ModelCard, find_card
from segstudio.nets.devices import free_memory, release_memory, resolve_device
from segstudio.nets.predictor import Predictor
from segstudio.nets.registry import build

_SIZE: Final = (375, 500)
_CLASSES: Final = 21
_RUNS: Final = 3
# From here on what a first run costs more than the next ones is lost in it.
_LONG_S: Final = 10.0
# The other network stays beside the measured one only where there is room to spare.
_ROOM: Final = 2


def measure(job: Job, forget: Callable[[], None]) -> Measured:
    """The best of two runs after a first one, with random numbers in place of the card's weights.

    `forget` drops the network that is loaded; called where memory is short. What was built here is gone afterwards.

    Raises:
        ModelError: The card, the device or the memory does not allow it.
        Cancelled: On request, between two tiles.
    """
    spec: MeasureSpec = job.spec
    card, device = find_card(spec.card), resolve_device(spec.device)
    if free_memory(device) < _ROOM * predict_bytes(card):
        forget()
        release_memory(device)
    with shortage_as_sentence(device, card.title or card.id, forget):
        seconds = _seconds(job, card, device)
    release_memory(device)
    state = device_state(device)
    return Measured(seconds, state.id, state.name)


def _seconds(job: Job, card: ModelCard, device: torch.device) -> float:
    job.progress(Progress(None, "Building the network"))
    net = build(card.family, classes=max(2, len(card.classes)) if card.classes else _CLASSES, options=card.options)
    predictor = Predictor(net, device=device, consume=True)
    image = np.random.default_rng(0).integers(0, 256, (*_SIZE, 3), dtype=np.uint8)
    first = _one_run(predictor, image, job, 0)
    if first > _LONG_S:
        return first
    return min(_one_run(predictor, image, job, done) for done in range(1, _RUNS))


def _one_run(predictor: Predictor, image: npt.NDArray[np.uint8], job: Job, done: int) -> float:
    """Seconds of one prediction; `done` runs came before it."""

    def report(part: float) -> None:
        job.progress(Progress((done + part) / _RUNS, "Measuring"))

    start = time.perf_counter()
    predictor.predict(image, cancelled=job.cancelled, progress=report)
    return time.perf_counter() - start
