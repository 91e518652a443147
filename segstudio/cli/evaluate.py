"""`segstudio evaluate`: figures of models on a project, or of folders of predictions against labels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.cells import cell_len

from segstudio.cli.console import engine, err, out, waiting, write_json
from segstudio.cli.model_option import model_named
from segstudio.core.catalog import Catalog
from segstudio.core.errors import UserError
from segstudio.core.memory import keep_freed_pages
from segstudio.evaluation.comparison import CLASS_FIGURES, Comparison, Row
from segstudio.evaluation.outcome import Metric
from segstudio.formats.registry import FORMATS
from segstudio.project.project import Project
from segstudio.services.evaluating import (
    AbsentClasses,
    EvaluationOptions,
    Scored,
    evaluate_models,
    evaluated_folders,
    write_html,
)
from segstudio.services.figures import figures_of
from segstudio.services.models import project_card
from segstudio.services.scoring import SPLITS, coco_evaluation

_ALL: Final = "all"


def command(
    project: Annotated[Path | None, typer.Argument(help="A project: its model on its validation images.")] = None,
    *,
    predictions: Annotated[
        Path | None, typer.Option(help="Folder of predicted index PNGs; with --format, any.")
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="Folder of true index PNGs; with --format, any.")] = None,
    classes: Annotated[Path | None, typer.Option(help="Classes file of both.")] = None,
    format: Annotated[  # noqa: A002
        str | None, typer.Option("--format", "-f", help=f"Of both: {', '.join(FORMATS)}.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of the images, for pictures in the report.")] = None,
    model: Annotated[str | None, typer.Option(help="Card id or path; default: the project's model in use.")] = None,
    against: Annotated[
        list[str] | None, typer.Option(help="Another model, or folder of predictions, to compare with; repeatable.")
    ] = None,
    split: Annotated[str, typer.Option(help=f"{', '.join(SPLITS[:-1])} or {SPLITS[-1]}.")] = "validation",
    metrics: Annotated[str, typer.Option(help=f"More figures: {', '.join(Metric)} or {_ALL}; by commas.")] = "",
    absent: Annotated[
        AbsentClasses, typer.Option(help="How a class without true pixels enters means.")
    ] = AbsentClasses.PREDICTED_COUNT_ZERO,
    tolerance: Annotated[
        float | None, typer.Option(help="Of the boundary score, in pixels; default: 0.75 % of the diagonal.", min=0)
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    json: Annotated[Path | None, typer.Option("--json", help="Write the figures to a file; - for the screen.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a report with pictures to a file.")] = None,
) -> int:
    """Score predictions: confusion matrix, IoU, accuracy and Dice by class, their means, and more with --metrics.

    With --metrics coco, --predictions may be a JSON file of scored results and --labels one of instances.

    Example: segstudio evaluate street.segstudio --json figures.json

    segstudio evaluate --predictions a --against b --labels true --classes classes.txt --html report.html
    """
    keep_freed_pages()
    options = EvaluationOptions(metrics=_metrics(metrics), absent=absent, tolerance_px=tolerance)
    _check_folders(json, html)
    others = against or []
    if project is None and model is not None:
        raise typer.BadParameter("--model needs a PROJECT; folders of predictions go with --predictions and --against")
    if project is not None and not any((predictions, labels, classes, format, images)):
        run = _project(project, [model, *others], split=split, options=options, device=device)
    elif (
        project is None
        and predictions is not None
        and labels is not None
        and _are_coco_files(predictions, labels, format)
    ):
        run = _coco_files([predictions, *map(Path, others)], labels, options)
    elif project is None and predictions is not None and labels is not None and classes is not None:
        folders = [predictions, *map(Path, others)]
        run = _folders(folders, labels, Catalog.from_file(classes), name=format, images=images, options=options)
    else:
        raise typer.BadParameter("give a PROJECT, or --predictions, --labels and --classes together")
    with run as scored:
        comparison = Comparison(tuple(s.evaluation for s in scored))
        if json is not None:
            write_json(figures_of(comparison), json)
        if str(json) != "-":
            _print(comparison)
        if html is not None:
            with waiting("Drawing the report") as show:
                write_html(html.expanduser().absolute(), scored, progress=show)
            err.print(f"The report is in {html}.", markup=False)
    return 0


# -------------------------------------------------------------------------------------------------- what to score


@contextmanager
def _project(
    path: Path, models: Sequence[str | None], *, split: str, options: EvaluationOptions, device: str
) -> Iterator[list[Scored]]:
    if split not in SPLITS:
        raise typer.BadParameter(f"--split is {', '.join(SPLITS[:-1])} or {SPLITS[-1]}")
    with engine() as running, Project.open(path.expanduser().absolute()) as project:
        cards = [project_card(project, model_named(running, name)) for name in models]
        with waiting("Evaluating") as show:
            scored = evaluate_models(
                running, project, project.catalog, cards, split=split, options=options, device=device, progress=show
            )
        yield scored


@contextmanager
def _folders(
    predictions: Sequence[Path],
    labels: Path,
    catalog: Catalog,
    *,
    name: str | None,
    images: Path | None,
    options: EvaluationOptions,
) -> Iterator[list[Scored]]:
    with ExitStack() as sources:
        with waiting("Evaluating") as show:
            scored = sources.enter_context(
                evaluated_folders(
                    predictions, labels, catalog, format_name=name, images=images, options=options, progress=show
                )
            )
        yield scored


@contextmanager
def _coco_files(predictions: Sequence[Path], labels: Path, options: EvaluationOptions) -> Iterator[list[Scored]]:
    if options.metrics != {Metric.COCO}:
        raise UserError(
            "Two JSON files without --format are scored with COCO's figures only.",
            "Add --metrics coco, or --format and --classes.",
        )
    yield [Scored(evaluation=coco_evaluation(path, labels), samples=()) for path in predictions]


def _check_folders(*targets: Path | None) -> None:
    """Refuses a file that cannot be written before hours went into it."""
    for path in targets:
        if path is not None and str(path) != "-" and not path.expanduser().absolute().parent.is_dir():
            raise UserError(f"{path} cannot be written: its folder is not there.", "Make the folder first.")


def _are_coco_files(predictions: Path, labels: Path, name: str | None) -> bool:
    return name is None and all(path.suffix.lower() == ".json" and path.is_file() for path in (predictions, labels))


def _metrics(text: str) -> frozenset[Metric]:
    words = [word.strip().lower() for word in text.split(",") if word.strip()]
    if _ALL in words:
        return frozenset(Metric)
    unknown = [word for word in words if word not in tuple(Metric)]
    if unknown:
        raise typer.BadParameter(f'there is no metric "{unknown[0]}"; use {", ".join(Metric)} or {_ALL}')
    return frozenset(Metric(word) for word in words)


# ---------------------------------------------------------------------------------------------------- what to say


def _print(comparison: Comparison) -> None:
    first = comparison.evaluations[0]
    if first.images:
        out.print(f"{first.images} image{'' if first.images == 1 else 's'}, {first.pixels:,} labelled pixels")
        _print_classes(comparison)
    rows = [row for row in comparison.headline if not all(math.isnan(value) for value in row.values)]
    _print_table(["figure", *_heads(comparison)], [[row.title, *_compared(row)] for row in rows])
    if first.images:
        out.print(first.summary.absent.sentence, markup=False)
    for evaluation in comparison.evaluations:
        for metric, sentence in evaluation.notes.items():
            err.print(f"{evaluation.title}, {metric.heading}: {sentence}", markup=False)
    for sentence in dict.fromkeys(s for evaluation in comparison.evaluations for s in evaluation.warnings):
        err.print(sentence, markup=False)


def _print_classes(comparison: Comparison) -> None:
    if len(comparison.evaluations) > 1:
        rows = [[row.title, *_compared(row)] for row in comparison.classes("iou")]
        _print_table(["IoU of class", *_heads(comparison)], rows)
        return
    columns = [comparison.classes(figure) for figure in CLASS_FIGURES]
    rows = [[cells[0].title, *(_figure(cell.values[0]) for cell in cells)] for cells in zip(*columns, strict=True)]
    _print_table(["class", *CLASS_FIGURES.values()], rows)


def _heads(comparison: Comparison) -> list[str]:
    if len(comparison.evaluations) == 1:
        return [""]
    first, *others = (evaluation.title for evaluation in comparison.evaluations)
    return [first, *(head for title in others for head in (title, "difference"))]


def _compared(row: Row) -> list[str]:
    cells = [_figure(row.values[0])]
    for value, difference in zip(row.values[1:], row.differences[1:], strict=True):
        cells += [_figure(value), "" if math.isnan(difference) else f"{difference:+.4f}"]
    return cells


def _figure(value: float) -> str:
    return "absent" if math.isnan(value) else f"{value:.4f}"


def _print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints names to the left and figures to the right of their columns; nothing is cut, however narrow the screen."""
    lines = [list(head), *map(list, rows)]
    widths = [max(cell_len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        gaps = [" " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True)]
        cells = [
            f"{gap}{cell}" if place else f"{cell}{gap}"
            for place, (cell, gap) in enumerate(zip(line, gaps, strict=True))
        ]
        out.print("  ".join(cells).rstrip(), markup=False)
