"""The worker that refines proposals with a dense CRF; it loads torch only for the CRF engine that computes with it."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

from segstudio.core.errors import UserError
from segstudio.core.jobs import Progress
from segstudio.engine.protocol import PredictionArrays, RefineSpec, SettleSpec, StrokeSpec, TuneSpec
from segstudio.engine.results import proposal_from
from segstudio.engine.stroke_jobs import StrokeDesk
from segstudio.engine.worker import Job, Server
from segstudio.refine.api import refined
from segstudio.refine.native_backend import warm_up
from segstudio.refine.samples import SampleFiles
from segstudio.refine.tune import tune
from segstudio.refine.tuned import Tuned


def main(server: Server) -> None:
    """Serves refinements, and searches for the values to refine with."""
    desk = StrokeDesk()
    threading.Thread(target=warm_up, name="crf-kernels", daemon=True).start()
    server.serve({RefineSpec: refine_job, TuneSpec: tune_job, SettleSpec: desk.settle, StrokeSpec: desk.draw})


def refine_job(job: Job) -> PredictionArrays:
    """The refined proposal: labels, confidence and probabilities, the classes in play and the pixels without a say.

    Raises:
        UserError: input, parameters or backend cannot be used.
        Cancelled: on request, between two iterations.
    """
    spec: RefineSpec = job.spec
    image, probabilities = job.arrays
    if len(spec.class_ids) != probabilities.shape[0]:
        raise UserError(
            f"The prediction has {probabilities.shape[0]} classes, the request names {len(spec.class_ids)}.",
            "Predict the image again.",
        )
    job.progress(Progress(0.0, "Preparing the CRF"))
    result = refined(
        image,
        probabilities,
        spec.params,
        backend=spec.backend,
        exact=spec.exact,
        progress=job.progress,
        cancelled=job.cancelled,
    )
    live = tuple(spec.class_ids[channel] for channel in result.live)
    return replace(proposal_from(result.probabilities, spec.class_ids, ""), live=live, uniform=result.uniform)


def tune_job(job: Job) -> Tuned:
    """The values that refine best, and what they gain.

    Raises:
        UserError: the samples cannot be read, or nothing in them is labelled.
        Cancelled: on request, between two iterations.
    """
    spec: TuneSpec = job.spec
    return tune(
        SampleFiles([Path(file) for file in spec.files]),
        spec.preset,
        class_names=spec.class_names,
        progress=job.progress,
        cancelled=job.cancelled,
    )
