"""`segstudio export`: labels out of a project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segstudio.cli.console import err, out
from segstudio.project.project import Project
from segstudio.services.exporting import export_project


def command(
    project: Annotated[Path, typer.Argument(help="The project.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to make; must not hold anything yet.")],
    *,
    format: Annotated[str, typer.Option("--format", "-f", help="voc, coco or index-png.")],  # noqa: A002
    reviewed_only: Annotated[bool, typer.Option("--reviewed-only", help="Leave out images in progress.")] = False,
) -> int:
    """Write the labels of a project to a new folder.

    Example: segstudio export street.segstudio street-voc --format voc
    """
    with Project.open(project.expanduser().absolute()) as opened:
        report = export_project(
            opened, opened.catalog, format, target.expanduser().absolute(), reviewed_only=reviewed_only
        )
    for warning in report.warnings:
        err.print(warning, markup=False)
    images = f"{report.images} image{'s' if report.images != 1 else ''}"
    out.print(f"{images} written to {target}", markup=False)
    return 1 if report.left_out else 0
