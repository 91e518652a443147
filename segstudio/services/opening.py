"""From a path a person gave to an open project."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from segstudio.core.catalog import Catalog
from segstudio.core.errors import ProjectError
from segstudio.core.paths import projects_dir
from segstudio.imaging.decode import IMAGE_SUFFIXES
from segstudio.project.project import Project
from segstudio.project.schema import DATABASE_NAME, SUFFIX

PROJECT_SUFFIX: Final = SUFFIX
DEFAULT_CLASSES: Final = ("background", "object")


@dataclass(frozen=True, slots=True)
class Opened:
    """An open project, and the image to show first where the person named one."""

    project: Project
    first_image: Path | None = None


def is_project(path: Path) -> bool:
    """True for a folder that holds a project.

    Raises:
        OSError: Nobody may look into it.
    """
    return path.is_dir() and (path.suffix == PROJECT_SUFFIX or (path / DATABASE_NAME).is_file())


def open_path(path: Path) -> Opened:
    """Opens a project, a folder of images or one image.

    A folder that was opened before gives the same project again. Projects of folders live in the person's own
    projects folder, never among the images.

    Raises:
        UserError: The path is none of these, or the project cannot be opened.
    """
    path = path.expanduser().absolute()
    try:
        project, folder, file = is_project(path), path.is_dir(), path.is_file()
    except OSError as error:
        raise ProjectError(f"{path} cannot be read ({error.strerror or error}).", "Change its permissions.") from error
    if project:
        return Opened(Project.open(path))
    if folder:
        return Opened(_project_of_folder(path))
    if file and path.suffix.lower() in IMAGE_SUFFIXES:
        return Opened(_project_of_folder(path.parent), path)
    if not path.exists():
        raise ProjectError(f"There is nothing at {path}.", "Check the path.")
    raise ProjectError(f"{path.name} is not an image, a folder of images or a project.", "Open one of these.")


def new_project(path: Path, *, images: Path | None, catalog: Catalog | None = None) -> Project:
    """A new project at `path` (the suffix is added where missing) on a folder of images."""
    path = path.expanduser().absolute()
    if path.suffix != PROJECT_SUFFIX:
        path = path.with_name(path.name + PROJECT_SUFFIX)
    path.parent.mkdir(parents=True, exist_ok=True)
    return Project.create(path, images=images, catalog=catalog or Catalog.from_names(DEFAULT_CLASSES))


def _project_of_folder(folder: Path) -> Project:
    home = projects_dir()
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ProjectError(
            f"The projects folder {home} cannot be made ({error.strerror}).",
            "Choose File > New project and save it elsewhere.",
        ) from error
    candidate = home / f"{_project_name(folder)}{PROJECT_SUFFIX}"
    if not candidate.exists():
        return new_project(candidate, images=folder)
    project = Project.open(candidate)
    try:
        project.rescan()
    except BaseException:
        project.close(discard=True)
        raise
    return project


def _project_name(folder: Path) -> str:
    """The folder's own name and a mark of its path: two folders called "images" are two projects."""
    stem = re.sub(r"[^\w.-]+", "_", folder.name) or "images"
    mark = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:6]
    return f"{stem}-{mark}"
