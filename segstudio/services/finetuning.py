"""Training beside the person: starts a run, follows it, and puts its model to use if the gate says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segstudio.core.errors import UserError
from segstudio.core.events import Change
from segstudio.core.items import Split
from segstudio.core.jobs import ErrorReport, JobState
from segstudio.core.runs import RunResult, TrainEvent, TrainNote, TrainStarted, TrainStep, TrainValidation
from segstudio.engine.base import JobHandle
from segstudio.engine.protocol import EngineEvent, Failed, Finished, Trained, TrainSpec, WasCancelled
from segstudio.nets.card import ModelCard
from segstudio.nets.registry_names import stage_before
from segstudio.project.runs import RunRecord
from segstudio.services.manifests import freeze, teaches
from segstudio.training.config import TrainConfig
from segstudio.training.recipes import for_card

if TYPE_CHECKING:
    from segstudio.services.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """Whether training makes sense now, and a sentence on why (not)."""

    ready: bool
    reason: str
    train_images: int
    validation_images: int


@dataclass(slots=True)
class RunView:
    """The run that is going on, or the last one, as the panel shows it.

    `losses` and `validations` are (step, value) pairs; mean IoU is 0..1.
    """

    run_id: int | None = None
    state: JobState | None = None
    device: str = ""
    text: str = ""
    total_steps: int | None = None
    minutes: float | None = None
    step: int = 0
    seconds: float = 0.0
    losses: list[tuple[int, float]] = field(default_factory=list)
    validations: list[tuple[int, float]] = field(default_factory=list)
    parent_miou: float | None = None
    best_miou: float | None = None
    notes: list[str] = field(default_factory=list)
    result: RunResult | None = None

    @property
    def running(self) -> bool:
        return self.state in (JobState.QUEUED, JobState.RUNNING)


class FinetuningService:
    """One run at a time. All calls on the owner's thread."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._handle: JobHandle | None = None
        self._job: int | None = None
        self._stopping = False
        self.state = RunView()
        for run in workspace.project.runs():
            if run.state in (JobState.QUEUED, JobState.RUNNING):
                # Only one process opens a project, so this run's process is gone.
                reason = {"reason": "The program ended during this run."}
                workspace.project.update_run(run.id, state=JobState.FAILED, metrics=reason)

    @property
    def running(self) -> bool:
        """True while a run is being prepared or learns."""
        return self.state.running

    def readiness(self) -> Readiness:
        """Whether there is something to learn from."""
        teaching = [i for i in self._workspace.images if teaches(i)]
        validation = sum(i.split is Split.VALIDATION for i in teaching)
        train = len(teaching) - validation
        if len(self._workspace.catalog) < 2:
            problem = "Training needs at least two classes."
        elif not train and validation:
            problem = "Label an image that is used for training (the list marks validation images)."
        elif not train:
            problem = "Label some pixels of at least one image first."
        else:
            problem = ""
        if problem:
            reason = problem
        elif validation:
            reason = f"{_images(train)} to learn from, {_images(validation)} to validate on."
        else:
            reason = (
                f"{_images(train)} to learn from. No validation image is labelled yet, so the new model is judged on "
                "what it learnt from; label one marked “validation” for an honest score."
            )
        return Readiness(ready=not problem, reason=reason, train_images=train, validation_images=validation)

    def runs(self) -> list[RunRecord]:
        """All runs of the project, oldest first."""
        return self._workspace.project.runs()

    def start(
        self,
        *,
        minutes: float | None = None,
        steps: int | None = None,
        recipe: str = "few-images",
        overrides: dict[str, Any] | None = None,
    ) -> None:
        """Starts a run on what is decided now. A RUNS change tells of every step.

        `recipe` is "few-images" or "published"; the latter brings its number of steps where none and no time is given.

        Raises:
            UserError: A run is going on already, there is nothing to learn from, or no such recipe.
        """
        if self.running:
            raise UserError("A training run is going on already.", "Stop it first.")
        ready = self.readiness()
        if not ready.ready:
            raise UserError("There is nothing to train on yet.", ready.reason)
        workspace = self._workspace
        workspace.saver.save_now()
        card = workspace.models.active
        config = self._config(card, recipe, minutes, steps, overrides or {})
        run = workspace.project.create_run(card.id, config.to_json())
        self.state = RunView(run_id=run.id, state=JobState.QUEUED, minutes=config.minutes, total_steps=config.steps)
        self.state.text = "Preparing the images ..."
        self._stopping = False
        self._job = workspace.jobs.add("Training", self.stop)
        prepare = self._freezing(card, config, run.folder)
        workspace.tasks.run(prepare, self._launch, lambda error: self._failed(ErrorReport.from_exception(error)))
        workspace.emit(Change.RUNS)

    def _freezing(self, card: ModelCard, config: TrainConfig, folder: Path) -> Callable[[Any], Path]:
        """What writes the run folder, away from the owner's thread."""
        workspace = self._workspace
        parent = card.path if workspace.models.knows_classes(card) else None
        former = self._stage_before(card)
        catalog, project = workspace.catalog, workspace.project

        def prepare(token: Any) -> Path:
            config.save(folder)
            freeze(
                project,
                catalog,
                folder,
                model_card=card.path or Path(card.id),
                parent_card=parent,
                start_card=None if former is None else former.path,
                instances=config.border_weight > 0,
                cancelled=token.raise_if_cancelled,
            )
            return folder

        return prepare

    def _config(
        self, card: ModelCard, recipe: str, minutes: float | None, steps: int | None, overrides: dict[str, Any]
    ) -> TrainConfig:
        predicting = self._workspace.predicting
        config = for_card(card.family, card.options, predicting.device_kind, recipe=recipe)
        if minutes is None and steps is None:
            steps = config.steps
        return replace(config, model=card.id, minutes=minutes, steps=steps, device=predicting.device, **overrides)

    def _stage_before(self, card: ModelCard) -> ModelCard | None:
        """The newest model of this project that an untrained network goes on from in staged training."""
        wanted = None if card.trained else stage_before(card.family, card.options)
        if wanted is None:
            return None
        for info in self._workspace.models.cards():
            made = info.card
            fits = made.run is not None and made.family == card.family and wanted.items() <= made.options.items()
            if fits and info.knows_classes:
                return made
        return None

    def stop(self) -> None:
        """Ends the run after the step it is at; the best model so far goes through the gate."""
        if not self.running:
            return
        self._stopping = True
        self.state.text = "Stopping ..."
        if self._handle is not None:
            self._handle.cancel()
        if self._workspace.closed:
            # Nobody will hear how it ends: the store closes next.
            self._end(JobState.CANCELLED, "Stopped when the project was closed.")
        self._workspace.emit(Change.RUNS)

    def _launch(self, folder: Path) -> None:
        if self._stopping:
            self._end(JobState.CANCELLED, "Stopped before the first step.")
            return
        workspace = self._workspace
        run_id = self.state.run_id

        def listen(event: EngineEvent) -> None:
            workspace.dispatch(lambda: self._heard(run_id, event))

        self.state.state = JobState.RUNNING
        if run_id is not None:
            workspace.project.update_run(run_id, state=JobState.RUNNING)
        self.state.text = "Starting the trainer ..."
        try:
            self._handle = workspace.engine.train(TrainSpec(folder=str(folder)), listen)
        except UserError as error:
            self._failed(ErrorReport.from_exception(error))
        workspace.emit(Change.RUNS)

    def _heard(self, run_id: int | None, event: EngineEvent) -> None:
        if run_id != self.state.run_id or not self.running:
            return
        match event:
            case Trained(event=train_event):
                self._learnt(train_event)
            case Finished(result=RunResult() as result):
                self._finished(result)
            case Failed(report=report):
                self._failed(report)
            case WasCancelled():
                self._end(JobState.CANCELLED, "Stopped before a first validation; the model in use stays.")
        self._workspace.emit(Change.RUNS)

    def _learnt(self, event: TrainEvent) -> None:
        view = self.state
        match event:
            case TrainStarted():
                view.device, view.total_steps, view.parent_miou = event.device, event.total_steps, event.parent_miou
                view.text = "Learning ..."
                if event.note:
                    view.notes.append(event.note)
            case TrainStep():
                view.step, view.seconds = event.step, event.seconds
                view.losses.append((event.step, event.loss))
                self._report_progress()
            case TrainValidation():
                view.validations.append((event.step, event.miou))
                if event.best:
                    view.best_miou = event.miou
            case TrainNote():
                view.notes.append(event.text)

    def _report_progress(self) -> None:
        view = self.state
        fraction = None
        if view.total_steps:
            fraction = view.step / view.total_steps
        if view.minutes:
            fraction = max(fraction or 0.0, view.seconds / (60 * view.minutes))
        text = f"Step {view.step}, loss {view.losses[-1][1]:.3f}"
        if not self._stopping:
            view.text = text
        if self._job is not None:
            self._workspace.jobs.progress(self._job, None if fraction is None else min(1.0, fraction), text)

    def _finished(self, result: RunResult) -> None:
        view, workspace = self.state, self._workspace
        view.result = result
        if result.parent_miou is not None:
            view.parent_miou = result.parent_miou
        if result.best_miou is not None:
            view.best_miou = result.best_miou
        metrics = {"miou": result.best_miou, "parent_miou": result.parent_miou, "reason": result.reason,
                   "steps": result.steps, "seconds": result.seconds}  # fmt: skip
        assert view.run_id is not None
        workspace.project.update_run(
            view.run_id,
            state=JobState.DONE,
            metrics=metrics,
            card=str(result.card) if result.card is not None else None,
            accepted=result.accepted,
        )
        self._end(JobState.DONE, result.reason, stored=True)
        if result.accepted:
            workspace.models.adopt(view.run_id)
            workspace.say("success", result.reason, "", ("Go back", self._go_back))
        else:
            workspace.say("info", result.reason)

    def adopt(self, run_id: int) -> None:
        """Puts the model of a run to use, whatever the gate said."""
        self._workspace.models.adopt(run_id)

    def _go_back(self) -> None:
        self._workspace.models.go_back()

    def _failed(self, report: ErrorReport) -> None:
        self._end(JobState.FAILED, report.message)
        self._workspace.report(report.to_exception())

    def _end(self, state: JobState, text: str, *, stored: bool = False) -> None:
        view = self.state
        view.state, view.text = state, text
        self._handle = None
        if not stored and view.run_id is not None:
            self._workspace.project.update_run(view.run_id, state=state, metrics={"reason": text})
        job, self._job = self._job, None
        if job is not None:
            self._workspace.jobs.finish(job, state, text)
        self._workspace.emit(Change.RUNS)


def _images(count: int) -> str:
    return f"{count} image{'s' if count != 1 else ''}"
