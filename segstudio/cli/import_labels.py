"""`segstudio import`: labels into a project."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from segstudio.cli.console import err, out, transferring
from segstudio.core.catalog import IGNORE, Catalog, plain_name
from segstudio.core.errors import UserError
from segstudio.core.items import Status
from segstudio.core.memory import keep_freed_pages
from segstudio.formats.base import shortened
from segstudio.formats.classes import SourceClass
from segstudio.formats.options import ImportOptions, MatchBy, Unknown
from segstudio.formats.registry import FORMATS
from segstudio.project.project import Project
from segstudio.services.detecting import detect_format, not_recognised
from segstudio.services.importing import import_project, opened_source

_IGNORE: Final = "ignore"
_NUMBER: Final = re.compile(r"\s*-?[0-9]{1,9}\s*")


def command(
    project: Annotated[Path, typer.Argument(help="The project.")],
    source: Annotated[Path, typer.Argument(help="Folder of labels, or the file where the format is one.")],
    *,
    format: Annotated[  # noqa: A002
        str | None, typer.Option("--format", "-f", help=f"{', '.join(FORMATS)}; default: what the source looks like.")
    ] = None,
    by: Annotated[
        MatchBy | None,
        typer.Option(help="How classes are matched; default: by name where there are names, else by id."),
    ] = None,
    unknown: Annotated[Unknown, typer.Option(help="Classes the project lacks.")] = Unknown.REFUSE,
    map: Annotated[  # noqa: A002
        list[str] | None, typer.Option("--map", help="SOURCE=CLASS, by name or id; CLASS may be ignore. Repeatable.")
    ] = None,
    unlabelled: Annotated[
        str | None, typer.Option(help="Class of pixels no shape covers; default: background, else undecided.")
    ] = None,
    in_progress: Annotated[
        bool, typer.Option("--in-progress", help="Leave the images in progress instead of reviewed.")
    ] = False,
) -> int:
    """Read labels into a project; the images they match by name are reviewed afterwards.

    Example: segstudio import street.segstudio labels --unknown add
    """
    place = source.expanduser().absolute()
    name = format or _recognised(place)
    keep_freed_pages()
    with Project.open(project.expanduser().absolute()) as opened:
        classes: dict[int, int] = {}
        if map:
            with opened_source(name, place) as found:
                classes = dict(_pair(text, found.classes, opened.catalog) for text in map)
        options = ImportOptions(
            by=by,
            unknown=unknown,
            classes=classes,
            unlabelled=None if unlabelled is None else _target(unlabelled, opened.catalog),
            status=Status.IN_PROGRESS if in_progress else Status.REVIEWED,
        )
        with transferring("Importing") as show:
            report = import_project(opened, opened.catalog, name, place, options=options, progress=show)
    for label in report.unmatched:
        err.print(f"{label} was left out: it matches no image.", markup=False)
    for sentence in (*report.refused, *report.warnings):
        err.print(sentence, markup=False)
    if report.unknown:
        names = shortened(report.unknown)
        err.print(f"Give {names} a class with --map, or --unknown add or --unknown ignore for all.", markup=False)
    out.print(report.headline, markup=False)
    return 1 if report.unmatched or report.refused else 0


def _recognised(source: Path) -> str:
    name = detect_format(source)
    if name is None:
        raise not_recognised(source)
    err.print(f"Recognised as {FORMATS[name].title}.", markup=False)
    return name


def _pair(text: str, classes: Sequence[SourceClass], catalog: Catalog) -> tuple[int, int]:
    source, separator, target = text.rpartition("=")
    if not separator or not source.strip():
        raise UserError(f'"{text}" maps nothing.', "Write --map SOURCE=CLASS.")
    wanted = plain_name(source)
    number = next((c.number for c in classes if c.name and plain_name(c.name) == wanted), None)
    if number is None:
        number = _whole(source)
    if number is None:
        raise UserError(f'The source has no class "{source}".', "Give a name it declares, or a number.")
    return number, _target(target, catalog)


def _target(text: str, catalog: Catalog) -> int:
    known = catalog.by_name(text)
    if known is not None:
        return known.id
    if text.strip().casefold() == _IGNORE:
        return IGNORE
    number = _whole(text)
    if number is not None and number in catalog:
        return number
    raise UserError(f'The project has no class "{text}".', "Give the name or id of one of its classes, or ignore.")


def _whole(text: str) -> int | None:
    return int(text) if _NUMBER.fullmatch(text) else None
