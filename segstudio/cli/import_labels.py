"""`segstudio import`: labels into a project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segstudio.cli.console import err, out
from segstudio.project.project import Project
from segstudio.services.importing import import_project


def command(
    project: Annotated[Path, typer.Argument(help="The project.")],
    source: Annotated[Path, typer.Argument(help="Folder of labels.")],
    *,
    format: Annotated[str, typer.Option("--format", "-f", help="voc or index-png.")],  # noqa: A002
) -> int:
    """Read labels into a project; the images they match by name are reviewed afterwards.

    Example: segstudio import street.segstudio labels --format index-png
    """
    with Project.open(project.expanduser().absolute()) as opened:
        report = import_project(opened, opened.catalog, format, source.expanduser().absolute())
    for name in report.unmatched:
        err.print(f"{name} was left out: it matches no image.", markup=False)
    for sentence in (*report.refused, *report.warnings):
        err.print(sentence, markup=False)
    out.print(report.headline, markup=False)
    return 1 if report.unmatched or report.refused else 0
