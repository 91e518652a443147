"""`segstudio new`: a project on a folder of images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segstudio.cli.console import err, out
from segstudio.core.catalog import PALETTES, Catalog
from segstudio.services.opening import new_project


def command(
    project: Annotated[Path, typer.Argument(help="Where to make the project; .segstudio is added.")],
    *,
    images: Annotated[Path, typer.Option(help="Folder of images, searched recursively.")],
    classes: Annotated[Path | None, typer.Option(help="Classes: one name a line, or TOML.")] = None,
    palette: Annotated[str | None, typer.Option(help=f"A published class set: {', '.join(PALETTES)}.")] = None,
) -> int:
    """Make a project on a folder of images; the images stay where they are.

    Example: segstudio new street --images photos --palette camvid
    """
    if classes is not None and palette is not None:
        raise typer.BadParameter("give --classes or --palette, not both")
    catalog = None
    if classes is not None:
        catalog = Catalog.from_file(classes)
    elif palette is not None:
        catalog = Catalog.from_palette(palette)
    with new_project(project, images=images.expanduser().absolute(), catalog=catalog) as made:
        items = made.images()
        out.print(f"{made.path}: {len(items)} images, {len(made.catalog)} classes", markup=False)
        for item in items:
            if item.problem is not None:
                err.print(f"{item.name}: {item.problem}", markup=False)
    return 0
