"""Sharpens the proposal shown with the fully connected CRF."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from segstudio.core.errors import UserError
from segstudio.core.events import Change
from segstudio.core.jobs import ErrorReport, JobState
from segstudio.core.prediction import Prediction, Refinement
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
from segstudio.refine.api import DEFAULT_BACKEND, available_backends
from segstudio.refine.params import DEFAULT_PRESET, PRESETS, CrfParams
from segstudio.services.gain import crf_to_use, loss_of

if TYPE_CHECKING:
    from segstudio.services.workspace import Workspace


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

    @property
    def default_params(self) -> CrfParams:
        """The values that did best for the model in use, where it was tuned; else the default preset's."""
        return crf_to_use(self._workspace.tuning.result)

    def refine_current(
        self,
        params: CrfParams | None = None,
        backend: str = DEFAULT_BACKEND,
        *,
        exact: bool = False,
        anyway: bool = False,
    ) -> None:
        """Refines the proposal of the image shown; a PROPOSAL change says when it is there.

        Where the gain check of the model in use found that it loses, that is said instead, with a way to go on.

        Args:
            params: The kernels; `default_params` if left out.
            backend: The CRF engine.
            exact: Keep every class to the end; otherwise those that no pixel wants are dropped on the way.
            anyway: Refine also where it is known to lose.
        """
        workspace = self._workspace
        annotator = workspace.current
        if annotator is None:
            return
        prediction = annotator.prediction
        if prediction is None or prediction.probabilities is None:
            workspace.say("info", "There is no proposal to sharpen yet.", "Press R to let the network propose first.")
            return
        params = params or self.default_params
        if not anyway and self._loses(params, backend, exact=exact):
            return
        self.cancel()
        image_id, ticket = annotator.item.id, object()
        self._ticket = ticket
        original = prediction

        def listen(event: EngineEvent) -> None:
            workspace.dispatch(lambda: self._heard(ticket, image_id, original, event))

        self._job = workspace.jobs.add(f"Sharpening {annotator.item.name}", self.cancel)
        spec = RefineSpec(params, prediction.class_ids, backend, exact)
        try:
            self._handle = workspace.engine.refine(spec, annotator.rgb, prediction.probabilities, listen)
        except UserError as error:
            self._over(JobState.FAILED)
            workspace.report(error)
        workspace.emit(Change.JOBS)

    def _loses(self, params: CrfParams, backend: str, *, exact: bool) -> bool:
        """Whether these values are known to lose for the model in use; says so, and offers to refine all the same."""
        tuned = self._workspace.tuning.result
        sentence = loss_of(tuned, params)
        if tuned is None or sentence is None:
            return False
        hint = "Refine with the tuned values, or anyway." if tuned.helps else "The proposal stays as it is."
        action = ("Refine anyway", lambda: self.refine_current(params, backend, exact=exact, anyway=True))
        self._workspace.say("warning", sentence, hint, action)
        return True

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
                self._show(image_id, _refined(original, result))
            case Failed(report=report):
                self._over(JobState.FAILED)
                self._fail(report)
            case WasCancelled():
                self._over(JobState.CANCELLED)

    def take_back(self) -> None:
        """Shows the proposal of the image shown as it was before the refinement."""
        annotator = self._workspace.current
        prediction = annotator.prediction if annotator is not None else None
        if annotator is not None and prediction is not None and prediction.refinement is not None:
            self._show(annotator.item.id, prediction.refinement.before)

    def _show(self, image_id: int, prediction: Prediction) -> None:
        """Keeps a proposal and puts it before the person where its image is still on show."""
        self._workspace.predicting.remember(image_id, prediction)
        annotator = self._workspace.current
        if annotator is not None and annotator.item.id == image_id:
            annotator.set_prediction(prediction)

    def _fail(self, report: ErrorReport) -> None:
        self._workspace.report(report.to_exception())

    def _over(self, state: JobState) -> None:
        self._handle = None
        job, self._job = self._job, None
        if job is not None:
            self._workspace.jobs.finish(job, state)


def _refined(original: Prediction, result: PredictionArrays) -> Prediction:
    """A refined proposal. The network's own probabilities stay: refining twice starts from the network both times."""
    before = original.refinement.before if original.refinement is not None else original
    return replace(
        original,
        labels=result.labels,
        confidence=result.confidence,
        refined=True,
        refinement=Refinement(before=before, live=result.live, uniform=result.uniform),
    )
