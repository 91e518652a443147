"""`segstudio train`: a training run on what is decided in a project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from segstudio.cli.console import engine, err, out, settings, write_json
from segstudio.cli.model_option import model_named
from segstudio.core.errors import UserError
from segstudio.core.events import Change, ChangeSet
from segstudio.core.jobs import JobState
from segstudio.project.project import Project
from segstudio.services.finetuning import RunView
from segstudio.services.messages import Message
from segstudio.services.tasks import QueueDispatcher
from segstudio.services.workspace import Workspace
from segstudio.training.config import RECIPES

_DEFAULT_MINUTES: Final = 10.0
_Recipe = Annotated[str, typer.Option(help="few-images, or published: the authors' settings, for large data sets.")]


def command(
    project: Annotated[Path, typer.Argument(help="The project.")],
    *,
    model: Annotated[str | None, typer.Option(help="Card id or path to start from; default: the one in use.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.05, help="Stop after so many minutes.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Stop after so many steps.")] = None,
    recipe: _Recipe = "few-images",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    json: Annotated[Path | None, typer.Option("--json", help="Write the figures to a file; - for the screen.")] = None,
) -> int:
    """Train on what is decided so far; the model is put to use only if it beats the one in use.

    Ctrl+C ends the run and keeps the best so far. Without --minutes and --steps it lasts ten minutes; with --recipe
    published as many steps as its authors made, or until Ctrl+C where they do not tell.
    Example: segstudio train street.segstudio --model unet --minutes 10
    """
    minutes = _minutes(minutes, steps, recipe)
    dispatcher = QueueDispatcher()
    with engine() as running:
        opened = Project.open(project.expanduser().absolute())
        workspace = Workspace(opened, running, dispatcher, settings())
        failures: list[BaseException] = []
        try:
            workspace.predicting.use_device_once(device)
            if (name := model_named(running, model)) is not None:
                workspace.models.use(name)
            workspace.bugs.connect(failures.append)
            workspace.messages.connect(lambda message: _heard(message, failures))
            workspace.changed.connect(_Printer(workspace.finetuning).on_change)
            workspace.finetuning.start(minutes=minutes, steps=steps, recipe=recipe)
            _wait(dispatcher, workspace)
            view = workspace.finetuning.state
        finally:
            workspace.close()
    if failures:
        raise failures[0]
    if json is not None:
        write_json(_figures(view), json)
    return 0 if view.state is JobState.DONE else 1


def _minutes(minutes: float | None, steps: int | None, recipe: str) -> float | None:
    """How long the run lasts at most; published recipes have an end of their own."""
    if recipe not in RECIPES:
        raise typer.BadParameter(f"--recipe is {' or '.join(RECIPES)}")
    if minutes is None and steps is None and recipe == "few-images":
        return _DEFAULT_MINUTES
    return minutes


def _heard(message: Message, failures: list[BaseException]) -> None:
    if message.level == "error":
        failures.append(UserError(message.text, message.hint))
    else:
        stream = err if message.level == "warning" else out
        stream.print(f"{message.text} {message.hint}".strip(), markup=False)


def _wait(dispatcher: QueueDispatcher, workspace: Workspace) -> None:
    while True:
        try:
            dispatcher.run_until(lambda: not workspace.finetuning.running)
            return
        except KeyboardInterrupt:
            err.print("Stopping; the best model so far goes through the gate.")
            workspace.finetuning.stop()


class _Printer:
    """Prints validations as they come, and notes once."""

    def __init__(self, service: Any) -> None:
        self._service = service
        self._validations = self._notes = 0

    def on_change(self, change: ChangeSet) -> None:
        if Change.RUNS not in change.what:
            return
        view: RunView = self._service.state
        for note in view.notes[self._notes :]:
            err.print(note, markup=False)
        self._notes = len(view.notes)
        for step, miou in view.validations[self._validations :]:
            loss = view.losses[-1][1] if view.losses else float("nan")
            out.print(f"step {step}: loss {loss:.4f}, validation mean IoU {miou:.4f}")
        self._validations = len(view.validations)


def _figures(view: RunView) -> dict[str, object]:
    result = view.result
    return {
        "run": view.run_id,
        "device": view.device,
        "steps": view.step,
        "seconds": view.seconds,
        "best_miou": result.best_miou if result else None,
        "parent_miou": result.parent_miou if result else None,
        "accepted": result.accepted if result else False,
        "reason": result.reason if result else view.text,
        "validations": view.validations,
    }
