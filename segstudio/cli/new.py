"""`segstudio new`: a project on a folder of images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segstudio.cli.console import err, out
from segstudio.core.catalog import PALETTES, Catalog
from segstudio.services.importing_models import classes_of_model
from segstudio.services.opening import new_project


def command(
    project: Annotated[Path, typer.Argument(help="Where to make the project; .segstudio is added.")],
    *,
    images: Annotated[Path, typer.Option(help="Folder of images, searched recursively.")],
    classes: Annotated[Path | None, typer.Option(help="Classes: one name a line, or TOML.")] = None,
    palette: Annotated[str | None, typer.Option(help=f"A published class set: {', '.join(PALETTES)}.")] = None,
    classes_of: Annotated[str | None, typer.Option(help="The classes of a trained model: its id or path.")] = None,
) -> int:
    """Make a project on a folder of images; the images stay where they are.

    Example: segstudio new street --images photos --palette camvid
    """
    if sum(given is not None for given in (classes, palette, classes_of)) > 1:
        raise typer.BadParameter("give one of --classes, --palette and --classes-of")
    catalog = None
    if classes is not None:
        catalog = Catalog.from_file(classes)
    elif palette is not None:
        catalog = Catalog.from_palette(palette)
    elif classes_of is not None:
        catalog = classes_of_model(classes_of)
    with new_project(project, images=images.expanduser().absolute(), catalog=catalog) as made:
        items = made.images()
        out.print(f"{made.path}: {len(items)} images, {len(made.catalog)} classes", markup=False)
        for item in items:
            if item.problem is not None:
                err.print(f"{item.name}: {item.problem}", markup=False)
    return 0
