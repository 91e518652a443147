"""Measures whether the CRF gains anything on the images reviewed, and finds the values that gain most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segstudio.core.errors import UserError
from segstudio.core.events import Change
from segstudio.core.jobs import JobState, Progress
from segstudio.nets.card import ModelCard
from segstudio.refine.params import CrfParams
from segstudio.refine.tuned import Tuned
from segstudio.services.gain import MAX_IMAGES, images_to_tune_on, known_gain, loss_of, remember_gain
from segstudio.services.tuning_run import Plan, TuningRun

if TYPE_CHECKING:
    from segstudio.services.workspace import Workspace

_TITLE = "Tuning the CRF"


class TuningService:
    """One tuning at a time. All calls on the owner's thread.

    Attributes:
        last: What the last tuning of this session found, stored or not.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._run: TuningRun | None = None
        self._job: int | None = None
        self._known: tuple[str, Tuned | None] | None = None
        self.last: Tuned | None = None

    @property
    def busy(self) -> bool:
        """True while a tuning goes on."""
        return self._run is not None

    @property
    def result(self) -> Tuned | None:
        """What was found for the model in use, now or in an earlier session; None where nobody looked."""
        card_id = self._workspace.models.active.id
        # Panels ask at every change; the store would be asked each time.
        if self._known is None or self._known[0] != card_id:
            self._known = (card_id, known_gain(self._workspace.project, card_id))
        return self._known[1]

    def start(
        self,
        *,
        model: str | None = None,
        preset: CrfParams | None = None,
        images: int = MAX_IMAGES,
        store: bool = True,
    ) -> None:
        """Tunes on reviewed images; PROPOSAL and SETTINGS changes say that `result` is there, JOBS how far it is.

        Args:
            model: Card id or path; the model in use if left out.
            preset: Where to start and what to compare with; DeepLab v2's published values if left out.
            images: How many images at most.
            store: Keep the result in the project, so that later refinements go by it.

        Raises:
            UserError: A tuning goes on already, the model does not know the classes, or no image is reviewed.
        """
        if self._run is not None:
            raise UserError("The CRF is being tuned already.", "Wait for it, or stop it first.")
        workspace = self._workspace
        workspace.saver.save_now()
        plan = self._plan(model, preset or CrfParams(), images)
        self._job = workspace.jobs.add(_TITLE, self.cancel)
        run = self._run = TuningRun(plan, lambda progress: workspace.dispatch(lambda: self._tell(run, progress)))
        workspace.tasks.run(
            lambda _token: run.work(),
            lambda tuned: self._finished(run, plan.card, tuned, store=store),
            lambda error: self._failed(run, error),
        )
        workspace.emit(Change.SETTINGS)

    def cancel(self) -> None:
        """Stops; what was known before stays. Harmless where nothing runs."""
        run = self._run
        if run is not None:
            run.cancel()
            self._over(JobState.CANCELLED)

    def _plan(self, model: str | None, preset: CrfParams, images: int) -> Plan:
        workspace = self._workspace
        card = workspace.models.find(model) if model is not None else workspace.models.active
        if not workspace.models.can_propose(card):
            raise UserError(
                f"{card.title or card.id} is not trained on the project's classes, so there is nothing to refine.",
                "Train it first, or choose another model.",
            )
        items, learnt = images_to_tune_on(workspace.project, card, workspace.images, images)
        if not items:
            raise UserError(
                "No image is reviewed yet, so nobody can tell what the CRF gains.",
                "Review a few images first; from four on the figures come from images kept apart.",
            )
        return Plan(
            project=workspace.project,
            engine=workspace.engine,
            catalog=workspace.catalog,
            card=card,
            device=workspace.predicting.device,
            items=tuple(items),
            learnt=learnt,
            preset=preset,
        )

    def _tell(self, run: TuningRun, progress: Progress) -> None:
        if run is self._run and self._job is not None:
            self._workspace.jobs.progress(self._job, progress.fraction, progress.text)

    def _finished(self, run: TuningRun, card: ModelCard, tuned: Tuned, *, store: bool) -> None:
        if run is not self._run:
            return
        workspace = self._workspace
        self.last = tuned
        try:
            if store:
                remember_gain(workspace.project, card.id, tuned)
                self._known = None
        except UserError as error:
            self._failed(run, error)
            return
        self._over(JobState.DONE)
        text, hint = verdict(tuned)
        workspace.say("success" if tuned.helps else "info", text, hint)
        workspace.emit(Change.PROPOSAL)

    def _failed(self, run: TuningRun, error: BaseException) -> None:
        if run is self._run:
            self._over(JobState.FAILED)
            self._workspace.report(error)

    def _over(self, state: JobState) -> None:
        self._run = None
        job, self._job = self._job, None
        if job is not None:
            self._workspace.jobs.finish(job, state)
        self._workspace.emit(Change.SETTINGS)


def verdict(tuned: Tuned) -> tuple[str, str]:
    """Whether the CRF helps, with the figures, and what to know about them."""
    values = "tuned" if tuned.best == tuned.params else "preset's"
    text = loss_of(tuned, tuned.best) or (
        f"The CRF helps this model: mean IoU rises from {tuned.before.mean_iou:.4f} to "
        f"{tuned.best_score.mean_iou:.4f} with the {values} values."
    )
    hints = []
    if not tuned.held_out:
        hints.append("With fewer than four images the figures come from those searched on, and flatter.")
    if tuned.learnt:
        hints.append("The model learnt from these images, as no others are reviewed, so the figures flatter.")
    if not tuned.helps:
        hints.append("Refining asks before it goes on with this model.")
    return text, " ".join(hints)
