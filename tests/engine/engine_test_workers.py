"""Workers that do tiny, controllable work; what they do is named by the spec."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from segstudio.core.errors import Cancelled, UserError
from segstudio.core.jobs import Progress
from segstudio.core.runs import RunResult, TrainStep
from segstudio.engine.devices import DeviceInfo, DeviceState
from segstudio.engine.protocol import DevicesSpec, PredictionArrays, PredictSpec, RefineSpec, TrainSpec


def main(server):
    server.serve(
        {PredictSpec: predict, RefineSpec: refine, TrainSpec: train, DevicesSpec: devices},
        device=lambda: DeviceState("cpu", "Test processor"),
    )


def cannot_start(server):
    raise UserError("The worker's library is missing.", "Install it.")


def predict(job):
    action = job.spec.card
    if action == "user-error":
        raise UserError("The card is not there.", "Choose another.")
    if action == "bug":
        values: list[int] = []
        return values[3]
    if action == "die":
        os._exit(7)
    if action == "environment":
        return arrays_of(job.arrays[0], len(job.spec.catalog_ids), note=os.environ.get("OMP_WAIT_POLICY", ""))
    if action == "holds-views":
        _HELD.append(job.arrays[0])
    if action == "wait":
        wait_until_cancelled(job)
    return arrays_of(job.arrays[0], len(job.spec.catalog_ids))


_HELD: list[object] = []


def refine(job):
    if job.spec.backend == "stubborn":
        job.progress(Progress(0.5, "not listening"))
        time.sleep(600)
    if job.spec.backend == "wait":
        wait_until_cancelled(job)
    return arrays_of(job.arrays[0], job.arrays[1].shape[0])


def train(job):
    step = 0
    while not job.cancelled():
        if not job.paused():
            step += 1
            job.report(TrainStep(step=step, loss=1.0 / step, learning_rate=0.1, seconds=0.0))
        time.sleep(0.005)
        if step >= 5 and Path(job.spec.folder).name == "five-steps":
            break
    return RunResult(
        best_miou=0.5,
        parent_miou=None,
        accepted=True,
        reason="",
        steps=step,
        seconds=0.0,
        card=Path(job.spec.folder) / "card.toml",
        stopped=job.cancelled(),
    )


def devices(job):
    return (DeviceInfo("cpu", "Test processor", "cpu", 1),)


def wait_until_cancelled(job):
    job.progress(Progress(0.25, "waiting"))
    while not job.cancelled():
        time.sleep(0.005)
    raise Cancelled


def arrays_of(image, channels, note=""):
    height, width = image.shape[:2]
    return PredictionArrays(
        labels=image[..., 0].copy(),
        confidence=image[..., 1].copy(),
        probabilities=np.full((channels, height, width), 1 / channels, np.float16),
        class_ids=tuple(range(channels)),
        note=note,
    )
