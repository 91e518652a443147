"""Where projects may be made and found, and what is read from folders on the way."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from segstudio.core.errors import ProjectError
from segstudio.imaging.scan import find_images, unreadable
from segstudio.project.schema import DATABASE_NAME, SUFFIX


@dataclass(frozen=True, slots=True)
class Scan:
    """What a folder holds: absolute image paths, and sentences about sub-folders that could not be read."""

    folder: str
    paths: list[str]
    problems: tuple[str, ...]


def scan_folder(folder: Path, *, must_hold: bool = False) -> Scan:
    """The images below a folder; none where it is gone.

    Raises:
        ProjectError: With `must_hold`, where there is no such folder, none that can be read, or no image in it.
    """
    place = Path(os.path.abspath(folder))  # noqa: PTH100 - keeps links as the person wrote them
    try:
        there = place.is_dir()
    except OSError as error:
        return _unreadable(place, unreadable(place, error), error, must_hold=must_hold)
    if not there:
        return _unreadable(place, f"The folder {place} is gone.", None, must_hold=must_hold)
    found = find_images(place)
    if must_hold and not found.paths:
        if found.problems:
            raise ProjectError(found.problems[0], "Change its permissions, or choose another folder.")
        raise ProjectError(
            f"There is no image in the folder {place}.", "Choose a folder of PNG, JPEG, TIFF, BMP or WebP files."
        )
    return Scan(str(place), [os.fspath(path) for path in found.paths], tuple(found.problems))


def _unreadable(place: Path, sentence: str, error: OSError | None, *, must_hold: bool) -> Scan:
    if not must_hold:
        return Scan(str(place), [], (sentence,))
    if error is None:
        raise ProjectError(f"There is no folder {place}.", "Check the path.")
    raise ProjectError(sentence, "Change its permissions, or choose another folder.") from error


def project_folder(path: Path) -> Path:
    """The absolute folder a project of that path lives in; ".segstudio" is added where missing."""
    place = Path(os.path.abspath(path))  # noqa: PTH100 - keeps links as the person wrote them
    return place if place.suffix.lower() == SUFFIX else place.with_name(place.name + SUFFIX)


def existing_project(path: Path) -> Path:
    """The folder of the project a person means by its folder, its database, or its name without ".segstudio".

    Raises:
        ProjectError: There is none.
    """
    place = Path(os.path.abspath(path))  # noqa: PTH100 - keeps links as the person wrote them
    for folder in (place, place.parent if place.name == DATABASE_NAME else place, project_folder(path)):
        if _holds_database(folder):
            return folder
    if place.is_dir():
        raise ProjectError(
            f"The folder {place} is not a SegStudio project.", "Make one from it, or open another folder."
        )
    raise ProjectError(f"There is no project {place}.", "Check the path.")


def is_project(path: Path) -> bool:
    """True where a folder holds a project; its version is not looked at."""
    return _holds_database(path)


def make_folder(folder: Path) -> bool:
    """Makes the folder of a new project; True where an empty one stood there already.

    Raises:
        ProjectError: The place is taken or cannot be written.
    """
    try:
        if _holds_database(folder):
            raise ProjectError(f"The project {folder} exists already.", "Open it, or choose another name.")
        if folder.exists():
            if not folder.is_dir() or any(folder.iterdir()):
                raise ProjectError(f"{folder} exists already and is not empty.", "Choose another name.")
            return True
        folder.mkdir(parents=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    return False


def discard(folder: Path, *, keep_folder: bool) -> None:
    """Takes away what a failed creation left."""
    shutil.rmtree(folder, ignore_errors=True)
    if keep_folder:
        folder.mkdir(exist_ok=True)


def cannot_write(folder: Path, error: OSError) -> ProjectError:
    """The sentence for a project folder that refuses."""
    reason = (error.strerror or str(error)).lower()
    return ProjectError(f"The project {folder} cannot be written: {reason}.", "Check its rights and the free space.")


def _holds_database(folder: Path) -> bool:
    try:
        return (folder / DATABASE_NAME).is_file()
    except OSError:
        return False
