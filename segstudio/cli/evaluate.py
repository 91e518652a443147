"""`segstudio evaluate`: figures of merit of a model on a project, or of one folder against another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from segstudio.cli.console import engine, err, out, steps, write_json
from segstudio.cli.model_option import model_named
from segstudio.core.catalog import Catalog
from segstudio.core.errors import UserError
from segstudio.core.items import ImageItem, Split, Status
from segstudio.project.project import Project
from segstudio.services.batch import predict_images
from segstudio.services.evaluating import Evaluation, evaluate_folders, evaluate_pairs
from segstudio.services.manifests import teaches
from segstudio.services.models import project_card


def command(
    project: Annotated[Path | None, typer.Argument(help="A project: its model on its validation images.")] = None,
    *,
    predictions: Annotated[Path | None, typer.Option(help="Folder of predicted index PNGs.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Folder of true index PNGs.")] = None,
    classes: Annotated[Path | None, typer.Option(help="Classes file of both folders.")] = None,
    model: Annotated[str | None, typer.Option(help="Card id or path; default: the project's model in use.")] = None,
    split: Annotated[str, typer.Option(help="validation, train or all.")] = "validation",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    json: Annotated[Path | None, typer.Option("--json", help="Write the figures to a file; - for the screen.")] = None,
) -> int:
    """Score predictions: pixel accuracy, mean accuracy, mean IoU, frequency-weighted IoU, IoU per class.

    Example: segstudio evaluate street.segstudio --json figures.json
    """
    folders = (predictions, labels, classes)
    if project is not None and not any(folders):
        result = _project(project, model, split, device)
    elif project is None and predictions is not None and labels is not None and classes is not None:
        result = evaluate_folders(predictions, labels, Catalog.from_file(classes))
    else:
        raise typer.BadParameter("give a PROJECT, or --predictions, --labels and --classes together")
    if json is not None:
        write_json(result.to_json(), json)
    if json is None or str(json) != "-":
        _print(result)
    return 0


def _project(path: Path, model: str | None, split: str, device: str) -> Evaluation:
    if split not in (*Split, "all"):
        raise typer.BadParameter("--split is validation, train or all")
    with engine() as running, Project.open(path.expanduser().absolute()) as project:
        card = project_card(project, model_named(running, model))
        items = [i for i in project.images() if teaches(i) and split in ("all", i.split)]
        if not items:
            raise UserError(f"No labelled image is in the split {split}.", "Label one, or choose --split all.")
        by_path = {item.path: item for item in items}

        def pairs() -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
            with steps("Evaluating", len(items)) as shown:
                for done in predict_images(
                    running, card, project.catalog, by_path, device=device, on_progress=shown.meanwhile
                ):
                    shown.step(done.path.name)
                    if done.result is None:
                        err.print(done.problem, markup=False)
                    else:
                        yield done.result.labels, _truth(project, by_path[done.path])

        return evaluate_pairs(pairs(), project.catalog)


def _truth(project: Project, item: ImageItem) -> npt.NDArray[np.uint8]:
    segment_map = project.load_map(item.id)
    assert segment_map is not None
    labels = segment_map.semantic()
    if item.status is not Status.REVIEWED:
        labels[~segment_map.decided] = 255
    return labels


def _print(result: Evaluation) -> None:
    figures = result.to_json()
    images = f"{figures['images']} image{'' if figures['images'] == 1 else 's'}"
    out.print(f"{images}, {figures['pixels']:,} labelled pixels")
    for row in figures["classes"]:
        iou = "absent" if row["iou"] is None else f"{row['iou']:.4f}"
        out.print(f"  {row['name']:<24} IoU {iou}", markup=False)
    for key in ("mean_iou", "pixel_accuracy", "mean_accuracy", "frequency_weighted_iou"):
        value = figures[key]
        out.print(f"{key.replace('_', ' '):<24} {'none' if value is None else f'{value:.4f}'}")
