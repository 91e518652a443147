"""The images in a folder, in the order a person expects."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

IMAGE_SUFFIXES: Final = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".dib", ".webp"}
)  # lower case
_PROJECT_SUFFIX: Final = ".segstudio"
_DIGITS: Final = re.compile(r"([0-9]+)")


@dataclass(frozen=True, slots=True)
class FolderScan:
    """What a folder holds: image paths in natural order, and one sentence for each folder that could not be read."""

    paths: list[Path]
    problems: list[str]


def natural_key(text: str) -> tuple[list[str | int], str]:
    """A sorting key that puts ``image 9`` before ``image 10`` and looks past capitals."""
    parts: list[str | int] = list(_DIGITS.split(text.casefold()))
    parts[1::2] = [int(digits) for digits in parts[1::2]]
    return parts, text


def find_images(folder: Path) -> FolderScan:
    """The images below a folder, files before sub-folders, judged by name alone so that 20,000 take no time.

    Hidden entries and project folders are passed over; a linked folder is entered once.
    """
    paths: list[Path] = []
    problems: list[str] = []
    seen: set[str] = set()
    pending = [os.fspath(folder)]
    while pending:
        current = pending.pop()
        try:
            files, folders = _list_folder(current, seen)
        except OSError as error:
            problems.append(unreadable(Path(current), error))
            continue
        # A Path built from folder and name skips parsing the long common part again.
        parent = Path(current)
        paths.extend(parent / name for name in sorted(files, key=natural_key))
        # The stack hands out the last first.
        pending.extend(os.path.join(current, name) for name in sorted(folders, key=natural_key, reverse=True))  # noqa: PTH118
    return FolderScan(paths, problems)


def unreadable(folder: Path, error: OSError) -> str:
    """The sentence for a folder that cannot be listed."""
    return f"The folder {folder.name} cannot be read ({error.strerror or error})."


def _list_folder(folder: str, seen: set[str]) -> tuple[list[str], list[str]]:
    files: list[str] = []
    folders: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith("."):
                continue
            # The suffix first: most entries are images, and is_dir() costs a call each.
            if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES and not _is_folder(entry):  # noqa: PTH122
                files.append(name)
            elif _is_folder(entry) and not name.endswith(_PROJECT_SUFFIX) and _is_new(entry, seen):
                folders.append(name)
    return files, folders


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """False also for a link nobody can follow: it must not take the folder it lies in with it."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_new(entry: os.DirEntry[str], seen: set[str]) -> bool:
    """False for a linked folder that was entered before; a link to a parent would otherwise never end."""
    if not entry.is_symlink():
        return True
    target = os.path.realpath(entry.path)
    here = os.path.realpath(os.path.dirname(entry.path))  # noqa: PTH120
    if target in seen or here == target or here.startswith(target + os.sep):
        return False
    seen.add(target)
    return True
