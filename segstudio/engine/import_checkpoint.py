"""The worker's answer to `ImportSpec`: another project's checkpoint becomes a card with weights."""

from __future__ import annotations

from pathlib import Path

from segstudio.core.jobs import Progress
from segstudio.engine.protocol import Imported, ImportSpec
from segstudio.engine.worker import Job
from segstudio.nets.card_import import import_checkpoint


def import_model(job: Job) -> Imported:
    """Where the new card is, and what was recognised and left out.

    Raises:
        ModelError: The file is no checkpoint that can be read, or the folder cannot be written to.
        Cancelled: On request, before anything is written.
    """
    spec: ImportSpec = job.spec
    card, sentences = import_checkpoint(
        Path(spec.file),
        Path(spec.folder),
        said=spec.model,
        stage=lambda text: job.progress(Progress(None, text)),
        cancelled=job.cancelled,
    )
    return Imported(str(card.path), sentences)
