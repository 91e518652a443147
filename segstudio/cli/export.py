"""`segstudio export`: labels out of a project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segstudio.cli.console import err, out, transferring, write_json
from segstudio.core.errors import UserError
from segstudio.core.memory import keep_freed_pages
from segstudio.formats.options import ExportOptions, ImageFiles, SeededSplit, Shapes, Undecided
from segstudio.formats.registry import FORMATS, Choice, format_named
from segstudio.project.project import Project
from segstudio.services.detecting import Target, target_state
from segstudio.services.exporting import export_project, project_losses


def command(
    project: Annotated[Path, typer.Argument(help="The project.")],
    target: Annotated[
        Path | None, typer.Argument(metavar="OUT", help="Folder to make; must not hold anything yet.")
    ] = None,
    *,
    format: Annotated[str, typer.Option("--format", "-f", help=f"{', '.join(FORMATS)}.")],  # noqa: A002
    reviewed_only: Annotated[bool, typer.Option("--reviewed-only", help="Leave out images in progress.")] = False,
    images: Annotated[ImageFiles, typer.Option(help="Image files: copies, hard links, or only their paths.")] = (
        ImageFiles.COPY
    ),
    undecided: Annotated[Undecided, typer.Option(help="What pixels nobody decided become.")] = Undecided.VOID,
    polygons: Annotated[bool, typer.Option("--polygons", help="Polygons instead of exact masks, where both exist.")] = (
        False
    ),
    tolerance: Annotated[
        float | None,
        typer.Option(help="With --polygons: how far one may stray from an edge, in pixels; default: 1."),
    ] = None,
    border: Annotated[int, typer.Option(help="Pixels of void on each side of every edge (VOC).")] = 0,
    split: Annotated[
        str | None,
        typer.Option(help="New lists by parts of train, val and test, such as 80/10/10; else the project's."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the lists that --split draws.")] = 0,
    zip: Annotated[bool, typer.Option("--zip", help="One zip file instead of a folder.")] = False,  # noqa: A002
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of an earlier export.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only say what the format would lose.")] = False,
    json: Annotated[
        Path | None, typer.Option("--json", help="With --check: the figures to a file, - for here.")
    ] = None,
) -> int:
    """Write the labels of a project to a new folder.

    Where a format loses something, what it loses is said before anything is written. An export that was interrupted
    goes on where it stopped when it is asked for again.

    Example: segstudio export street.segstudio street-voc --format voc
    """
    if target is None and not check:
        raise typer.BadParameter("give OUT, the folder to make")
    chosen = format_named(format)
    if tolerance is not None and not polygons:
        raise typer.BadParameter("--tolerance needs --polygons")
    if polygons and Choice.SHAPES not in chosen.choices:
        raise typer.BadParameter(f"{chosen.title} has no polygons: leave --polygons out")
    if border and Choice.BORDER not in chosen.choices:
        raise typer.BadParameter(f"{chosen.title} has no borders: leave --border out")
    if json is not None and not check:
        raise typer.BadParameter("--json needs --check")
    options = ExportOptions(
        images=images,
        undecided=undecided,
        shapes=Shapes.POLYGONS if polygons else Shapes.MASKS,
        tolerance=ExportOptions().tolerance if tolerance is None else tolerance,
        border=border,
        split=None if split is None else _split(split, seed),
        zip=zip,
        replace=replace,
    )
    keep_freed_pages()
    with Project.open(project.expanduser().absolute()) as opened:
        # A target that the export will refuse is not worth the wait.
        if check or (not chosen.keeps_all(options) and _is_free(target, options)):
            with transferring("Checking") as show:
                losses = project_losses(
                    opened, opened.catalog, format, reviewed_only=reviewed_only, options=options, progress=show
                )
            if check and json is not None:
                write_json(losses.to_json(), json)
            if str(json) != "-":
                for line in losses.sentences:
                    out.print(line, markup=False)
        if check or target is None:
            return 0
        with transferring("Exporting") as show:
            report = export_project(
                opened,
                opened.catalog,
                format,
                target.expanduser().absolute(),
                reviewed_only=reviewed_only,
                options=options,
                progress=show,
            )
    for warning in report.warnings:
        err.print(warning, markup=False)
    count = f"{report.images} image{'s' if report.images != 1 else ''}"
    out.print(f"{count} written to {options.target(target)}", markup=False)
    if report.resumed:
        out.print(f"{report.resumed} of them were there already, from an export that was interrupted.", markup=False)
    return 1 if report.left_out else 0


def _is_free(target: Path | None, options: ExportOptions) -> bool:
    if target is None:
        return True
    state = target_state(options.target(target.expanduser().absolute()), as_zip=options.zip)
    return state is Target.FREE or (state is Target.EARLIER_EXPORT and options.replace)


def _split(text: str, seed: int) -> SeededSplit:
    try:
        train, validation, test = (float(part) for part in text.replace(",", "/").split("/"))
    except ValueError as error:
        raise UserError(f'"{text}" is no split.', "Give three parts such as 80/10/10.") from error
    total = train + validation + test
    if not total > 0:
        raise UserError(f'"{text}" is no split.', "Give three parts such as 80/10/10.")
    return SeededSplit(train=train / total, validation=validation / total, test=test / total, seed=seed)
