"""`segstudio tune`: whether the CRF helps a model on a project's reviewed images, and with which values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from segstudio.cli.console import engine, out, settings, waiting, write_json
from segstudio.cli.model_option import model_named
from segstudio.core.errors import UserError
from segstudio.core.events import Change, ChangeSet
from segstudio.core.jobs import Progress
from segstudio.project.project import Project
from segstudio.refine.params import DEFAULT_PRESET, PRESETS, CrfParams, preset
from segstudio.refine.tuned import Tuned
from segstudio.services.gain import MAX_IMAGES
from segstudio.services.messages import Message
from segstudio.services.tasks import QueueDispatcher
from segstudio.services.tuning import verdict
from segstudio.services.workspace import Workspace


def command(
    project: Annotated[Path, typer.Argument(help="The project.")],
    *,
    model: Annotated[str | None, typer.Option(help="Card id or path; default: the project's model in use.")] = None,
    images: Annotated[int, typer.Option(min=1, help="Tune on so many reviewed images at most.")] = MAX_IMAGES,
    name: Annotated[str, typer.Option("--preset", help="Published values to compare with.")] = DEFAULT_PRESET,
    per_class: Annotated[bool, typer.Option("--per-class", help="Also the IoU of each class.")] = False,
    apply: Annotated[bool, typer.Option(help="Keep the outcome in the project, so that refining goes by it.")] = True,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    json: Annotated[Path | None, typer.Option("--json", help="Write the figures to a file; - for the screen.")] = None,
) -> int:
    """Find the CRF values that suit a model on reviewed images, and check on others what they gain.

    Images that the model learnt from are used only where no others are reviewed. From four images on, half of them are
    kept apart and give the figures.
    Example: segstudio tune street.segstudio --per-class
    """
    start = preset(name)
    dispatcher = QueueDispatcher()
    with engine() as running:
        workspace = Workspace(Project.open(project.expanduser().absolute()), running, dispatcher, settings())
        try:
            workspace.predicting.use_device_once(device)
            named = model_named(running, model)
            tuned = _tuned(
                workspace,
                dispatcher,
                lambda: workspace.tuning.start(model=named, preset=start, images=images, store=apply),
            )
        finally:
            workspace.close()
    if json is not None:
        write_json(tuned.to_json(), json)
    if json is None or str(json) != "-":
        _print(tuned, PRESETS[name].title, per_class=per_class)
    return 0


def _tuned(workspace: Workspace, dispatcher: QueueDispatcher, start: Callable[[], None]) -> Tuned:
    """What the tuning found; shows how far it is."""
    failures: list[BaseException] = []

    def hear(message: Message) -> None:
        if message.level in ("warning", "error"):
            failures.append(UserError(message.text, message.hint))

    workspace.messages.connect(hear)
    workspace.bugs.connect(failures.append)
    with waiting("Tuning the CRF") as show:

        def tell(change: ChangeSet) -> None:
            if Change.JOBS in change.what:
                for record in workspace.jobs.running:
                    show(Progress(record.fraction, record.text))

        workspace.changed.connect(tell)
        start()
        dispatcher.run_until(lambda: not workspace.tuning.busy)
    if failures:
        raise failures[0]
    assert workspace.tuning.last is not None
    return workspace.tuning.last


def _print(tuned: Tuned, title: str, *, per_class: bool) -> None:
    rows = (("without the CRF", tuned.before), (title, tuned.with_preset), ("tuned", tuned.after))
    parted = f"{tuned.searched} to search on, {tuned.checked} to check on" if tuned.held_out else "all to search on"
    count = tuned.searched + tuned.checked if tuned.held_out else tuned.checked
    out.print(f"{count} reviewed image{'' if count == 1 else 's'}: {parted}")
    for name, score in rows:
        out.print(f"  {name:<40} mean IoU {score.mean_iou:.4f}", markup=False)
    if per_class:
        columns = [score.classes for _, score in rows]
        for name, *ious in zip(tuned.class_names, *columns, strict=True):
            out.print(f"  {name:<40} " + "  ".join(map(_figure, ious)), markup=False)
    out.print(f"tuned: {_values(tuned.params)}")
    out.print(f"{tuned.trials} sets of values tried in {tuned.seconds:.0f} s")
    out.print(" ".join(part for part in verdict(tuned) if part), markup=False)


def _figure(iou: float | None) -> str:
    return "absent" if iou is None else f"{iou:.4f}"


def _values(params: CrfParams) -> str:
    return (
        f"colour weight {params.bilateral_weight:g}, reach {params.bilateral_xy:g} px, tolerance "
        f"{params.bilateral_rgb:g}; smoothing weight {params.spatial_weight:g}, reach {params.spatial_xy:g} px; "
        f"temperature {params.temperature:g}"
    )
