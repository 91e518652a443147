"""Imports published checkpoints for the window: in the background, with progress, one at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from segstudio.core.errors import UserError
from segstudio.core.events import Change
from segstudio.core.jobs import JobState
from segstudio.engine.base import JobHandle
from segstudio.engine.protocol import EngineEvent, Failed, Finished, Imported, Progressed, WasCancelled
from segstudio.services.importing_models import import_question

if TYPE_CHECKING:
    from segstudio.services.workspace import Workspace

_PATTERNS: Final = ("*.pth", "*.pt", "*.ckpt", "*.bin", "*.tar", "*.safetensors")


@dataclass(frozen=True, slots=True)
class ImportedCard:
    """The id of the new card, and what was recognised, left out and assumed, a sentence each."""

    card_id: str
    sentences: tuple[str, ...]


class CheckpointService:
    """One import at a time. All calls on the owner's thread."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._handle: JobHandle | None = None
        self._job: int | None = None
        self._ticket: object = None

    @property
    def patterns(self) -> tuple[str, ...]:
        """How checkpoint files are usually named, for a file dialog."""
        return _PATTERNS

    @property
    def busy(self) -> bool:
        """True while a checkpoint is being imported."""
        return self._job is not None

    def import_file(
        self, file: Path, *, on_done: Callable[[ImportedCard], None], on_error: Callable[[UserError], None]
    ) -> None:
        """Makes a card of a checkpoint; JOBS changes tell how far it is, a MODELS change that the card is there.

        Raises:
            UserError: Another import is going on, or the engine refuses.
        """
        if self.busy:
            raise UserError("Another checkpoint is being imported.", "Wait until it is done, or cancel it.")
        workspace, ticket = self._workspace, object()
        self._ticket = ticket
        self._job = workspace.jobs.add(f"Importing {file.name}", self.cancel)

        def heard(event: EngineEvent) -> None:
            if ticket is self._ticket:
                self._heard(event, on_done, on_error)

        try:
            self._handle = workspace.engine.ask(
                import_question(file), lambda event: workspace.dispatch(lambda: heard(event))
            )
        except UserError:
            self._finish(JobState.FAILED)
            raise

    def cancel(self) -> None:
        """Stops importing; harmless where nothing is imported."""
        handle, self._handle = self._handle, None
        self._ticket = None
        if handle is not None:
            handle.cancel()
        self._finish(JobState.CANCELLED)

    def _heard(
        self, event: EngineEvent, on_done: Callable[[ImportedCard], None], on_error: Callable[[UserError], None]
    ) -> None:
        workspace = self._workspace
        match event:
            case Progressed(progress=progress):
                if self._job is not None:
                    workspace.jobs.progress(self._job, progress.fraction, progress.text)
            case Finished(result=Imported() as imported):
                self._finish(JobState.DONE)
                workspace.emit(Change.MODELS)
                card = workspace.models.find(imported.card)
                on_done(ImportedCard(card.id, imported.sentences))
            case Failed(report=report):
                self._finish(JobState.FAILED)
                error = report.to_exception()
                if isinstance(error, UserError):
                    on_error(error)
                else:
                    workspace.report(error)
            case WasCancelled():
                self._finish(JobState.CANCELLED)

    def _finish(self, state: JobState) -> None:
        self._handle = None
        job, self._job = self._job, None
        if job is not None:
            self._workspace.jobs.finish(job, state)
