"""How fast networks are on this computer: measured once on request, and remembered."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from segstudio.core.errors import UserError
from segstudio.core.jobs import ErrorReport, JobState
from segstudio.core.paths import user_cache_dir
from segstudio.engine.base import JobHandle
from segstudio.engine.protocol import EngineEvent, Failed, Finished, Measured, MeasureSpec, Progressed, WasCancelled
from segstudio.imaging.files import write_atomic
from segstudio.nets.card_model import ModelCard

if TYPE_CHECKING:
    from segstudio.services.workspace import Workspace

# Raised whenever prediction computes differently: speeds measured before say nothing any more.
_ARITHMETIC: Final = 2


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds for an image of 500 x 375 on a device, named as its maker calls it."""

    seconds: float
    device_name: str

    @property
    def sentence(self) -> str:
        """ "0.42 s for a 500 × 375 image on NAME"."""
        digits = 0 if self.seconds >= 10 else 1 if self.seconds >= 1 else 2
        return f"{self.seconds:.{digits}f} s for a 500 × 375 image on {self.device_name}"


class SpeedService:
    """One measurement at a time, done by the engine. All calls on the owner's thread."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._book = SpeedBook()
        self._handle: JobHandle | None = None
        self._job: int | None = None
        self._ticket: object = None
        self._card: ModelCard | None = None

    @property
    def measuring(self) -> str | None:
        """The id of the card being measured, or None."""
        return self._card.id if self._card is not None else None

    def known(self, card: ModelCard) -> Speed | None:
        """The speed measured earlier on the device in use; None where there is none, or no device is known yet."""
        device = self._workspace.predicting.device_info
        seconds = self._book.get(device.name, card) if device is not None else None
        return Speed(seconds, device.name) if device is not None and seconds is not None else None

    def measure(self, card: ModelCard, *, on_error: Callable[[UserError], None] | None = None) -> None:
        """Measures a card on the device in use; JOBS changes tell how it goes, and that `known` has it.

        Raises:
            UserError: Something runs that would be measured too.
        """
        workspace = self._workspace
        if self._card is not None or workspace.predicting.busy or workspace.finetuning.running:
            raise UserError("The computer is busy, so the figure would be wrong.", "Measure when nothing else runs.")
        ticket = object()
        self._ticket, self._card = ticket, card
        self._job = workspace.jobs.add(f"Measuring {card.title or card.id}", self.cancel)

        def listen(event: EngineEvent) -> None:
            workspace.dispatch(lambda: self._heard(ticket, card, on_error, event))

        spec = MeasureSpec(card=str(card.path or card.id), device=workspace.predicting.device)
        try:
            self._handle = workspace.engine.ask(spec, listen)
        except UserError:
            self._finish(JobState.FAILED)
            raise

    def cancel(self) -> None:
        """Stops measuring; harmless where nothing is measured."""
        handle, self._handle = self._handle, None
        self._ticket = None
        if handle is not None:
            handle.cancel()
        self._finish(JobState.CANCELLED)

    def _heard(
        self, ticket: object, card: ModelCard, on_error: Callable[[UserError], None] | None, event: EngineEvent
    ) -> None:
        if ticket is not self._ticket:
            return
        match event:
            case Progressed(progress=progress):
                if self._job is not None:
                    self._workspace.jobs.progress(self._job, progress.fraction, progress.text)
            case Finished(result=Measured() as measured):
                self._book.put(measured.device_name, card, measured.seconds)
                self._finish(JobState.DONE)
                self._workspace.predicting.learn_devices()
            case Failed(report=report):
                self._finish(JobState.FAILED)
                self._fail(report, on_error)
            case WasCancelled():
                self._finish(JobState.CANCELLED)

    def _fail(self, report: ErrorReport, on_error: Callable[[UserError], None] | None) -> None:
        error = report.to_exception()
        if on_error is not None and isinstance(error, UserError):
            on_error(error)
        else:
            self._workspace.report(error)

    def _finish(self, state: JobState) -> None:
        self._handle, self._card = None, None
        job, self._job = self._job, None
        if job is not None:
            self._workspace.jobs.finish(job, state)


class SpeedBook:
    """Measured seconds in a small file of the cache folder; a broken file counts as empty."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or user_cache_dir() / "speeds.json"

    def get(self, device_name: str, card: ModelCard) -> float | None:
        """Seconds measured for a card's network on a device, or None."""
        seconds = self._read().get(_key(device_name, card))
        return float(seconds) if isinstance(seconds, int | float) and seconds > 0 else None

    def put(self, device_name: str, card: ModelCard, seconds: float) -> None:
        """Remembers a figure; a disk that refuses costs no more than measuring again."""
        values = {**self._read(), _key(device_name, card): round(seconds, 4)}
        with contextlib.suppress(UserError, OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self._path, json.dumps(values, indent=1, ensure_ascii=False).encode())

    def _read(self) -> dict[str, object]:
        try:
            values = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return values if isinstance(values, dict) else {}


def _key(device_name: str, card: ModelCard) -> str:
    """What a figure belongs to: cards of one network and class count are equally fast."""
    options = json.dumps(dict(card.options), sort_keys=True)
    return f"{device_name} | {card.family} {options} | {len(card.classes)} classes | arithmetic {_ARITHMETIC}"
