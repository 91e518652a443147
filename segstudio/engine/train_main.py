"""The worker of one training run: reads the run folder, streams what happens, and ends."""

from __future__ import annotations

from pathlib import Path

from segstudio.core.runs import RunResult
from segstudio.engine.protocol import TrainSpec
from segstudio.engine.worker import Job, Server
from segstudio.training.loop import run_training


def main(server: Server) -> None:
    """Serves training runs."""
    server.serve({TrainSpec: train_job})


def train_job(job: Job) -> RunResult:
    """How the run ended; a request to stop keeps the best model so far."""
    spec: TrainSpec = job.spec
    return run_training(Path(spec.folder), report=job.report, cancelled=job.cancelled, paused=job.paused)
