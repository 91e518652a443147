"""The worker that refines proposals with a dense CRF; it never loads torch."""

from __future__ import annotations

from segstudio.core.errors import UserError
from segstudio.core.jobs import Progress
from segstudio.engine.protocol import PredictionArrays, RefineSpec
from segstudio.engine.results import proposal_from
from segstudio.engine.worker import Job, Server
from segstudio.refine.api import refine


def main(server: Server) -> None:
    """Serves refinements."""
    server.serve({RefineSpec: refine_job})


def refine_job(job: Job) -> PredictionArrays:
    """The refined proposal: labels, confidence and probabilities.

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
    refined = refine(
        image, probabilities, spec.params, backend=spec.backend, progress=job.progress, cancelled=job.cancelled
    )
    return proposal_from(refined, spec.class_ids, "")
