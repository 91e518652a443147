"""Sharpens the proposal shown with the fully connected CRF."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from segstudio.core.errors import UserError
from segstudio.core.events import Change
from segstudio.core.jobs import ErrorReport, JobState
from segstudio.core.prediction import Prediction
from segstudio.engine.base import JobHandle
from segstudio.engine.protocol import (
    EngineEvent,
    Failed,
    Finished,
    PredictionArrays,
    Progressed,
    RefineSpec,
    WasCancelled,
)
from segstudio.refine.api import available_backends
from segstudio.refine.params import DEFAULT_PRESET, PRESETS, CrfParams

if TYPE_CHECKING:
    from segstudio.services.workspace import Workspace

DEFAULT_BACKEND: Final = "pydensecrf"


class RefiningService:
    """One refinement at a time. Its result is a proposal like the network's own."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._handle: JobHandle | None = None
        self._job: int | None = None
        self._ticket: object = None

    @property
    def busy(self) -> bool:
        """True while a refinement runs."""
        return self._handle is not None

    @staticmethod
    def backends() -> dict[str, str | None]:
        """CRF engines by name: None where usable, else why not and how to add it."""
        return available_backends()

    @staticmethod
    def presets() -> list[tuple[str, str, str, CrfParams]]:
        """Published parameter sets: key, title, source, values; the default comes first."""
        keys = [DEFAULT_PRESET, *(k for k in PRESETS if k != DEFAULT_PRESET)]
        return [(k, PRESETS[k].title, PRESETS[k].source, PRESETS[k].params) for k in keys]

    def refine_current(self, params: CrfParams | None = None, backend: str = DEFAULT_BACKEND) -> None:
        """Refines the proposal of the image shown; a PROPOSAL change says when it is there."""
        workspace = self._workspace
        annotator = workspace.current
        if annotator is None:
            return
        prediction = annotator.prediction
        if prediction is None or prediction.probabilities is None:
            workspace.say("info", "There is no proposal to sharpen yet.", "Press R to let the network propose first.")
            return
        self.cancel()
        image_id, ticket = annotator.item.id, object()
        self._ticket = ticket
        original = prediction

        def listen(event: EngineEvent) -> None:
            workspace.dispatch(lambda: self._heard(ticket, image_id, original, event))

        self._job = workspace.jobs.add(f"Sharpening {annotator.item.name}", self.cancel)
        spec = RefineSpec(params=params or CrfParams(), class_ids=prediction.class_ids, backend=backend)
        try:
            self._handle = workspace.engine.refine(spec, annotator.rgb, prediction.probabilities, listen)
        except UserError as error:
            self._over(JobState.FAILED)
            workspace.report(error)
        workspace.emit(Change.JOBS)

    def cancel(self) -> None:
        """Stops the refinement; the proposal stays as it was."""
        handle, self._handle = self._handle, None
        self._ticket = None
        if handle is not None:
            handle.cancel()
        self._over(JobState.CANCELLED)

    def _heard(self, ticket: object, image_id: int, original: Prediction, event: EngineEvent) -> None:
        if ticket is not self._ticket:
            return
        match event:
            case Progressed(progress=progress):
                if self._job is not None:
                    self._workspace.jobs.progress(self._job, progress.fraction, progress.text)
            case Finished(result=PredictionArrays() as result):
                self._over(JobState.DONE)
                refined = replace(
                    original,
                    labels=result.labels,
                    confidence=result.confidence,
                    # The network's own probabilities stay: refining twice starts from the network both times.
                    refined=True,
                )
                self._workspace.predicting.remember(image_id, refined)
                annotator = self._workspace.current
                if annotator is not None and annotator.item.id == image_id:
                    annotator.set_prediction(refined)
            case Failed(report=report):
                self._over(JobState.FAILED)
                self._fail(report)
            case WasCancelled():
                self._over(JobState.CANCELLED)

    def _fail(self, report: ErrorReport) -> None:
        self._workspace.report(report.to_exception())

    def _over(self, state: JobState) -> None:
        self._handle = None
        job, self._job = self._job, None
        if job is not None:
            self._workspace.jobs.finish(job, state)
