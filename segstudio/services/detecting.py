"""Which format a source is in, and what stands at the target of an export: cheap looks at names and first bytes."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from enum import Enum, auto
from itertools import islice
from pathlib import Path
from typing import Final

from segstudio.core.errors import UserError
from segstudio.formats.registry import FORMATS
from segstudio.formats.stage import MARKER, exported_format, is_export_archive

_HEAD_BYTES: Final = 1 << 16
_MOST_FILES: Final = 400  # of a folder; the first ones are like the rest
_MOST_FOLDERS: Final = 200
_MOST_OPENED: Final = 8
_DEPTH: Final = 2
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_PNG_DEPTH: Final = 24  # offset in the header chunk, which comes first by the standard
_PNG_COLOR_TYPE: Final = 25
_MOST_DEPTH: Final = 8  # bits; deeper ones number instances as often as classes
_PNG_KINDS: Final = {0: "grey", 2: "colours", 3: "index-png"}
_UNSURE: Final = {"grey": "index-png", "colours": "color-png"}
_MASK_FOLDERS: Final = frozenset({"labels", "instances", "masks"})
_CLASS_TABLES: Final = frozenset(
    {"classes.toml", "classes.txt", "class_dict.csv", "colormap.txt", "labelmap.txt", "class_names.txt"}
)
_YOLO_LINE: Final = re.compile(rb"\d+(\s+-?\d*\.?\d+(e-?\d+)?){6,}\s*")
_CITYSCAPES: Final = re.compile(r"_gt(Fine|Coarse)_(labelIds|labelTrainIds|instanceIds|color|polygons)\.")


class Target(Enum):
    """What stands where an export is to go."""

    FREE = auto()
    EARLIER_EXPORT = auto()
    TAKEN = auto()


def target_state(target: Path, *, as_zip: bool) -> Target:
    """What stands at the target of an export; a file that cannot be looked at counts as taken."""
    try:
        if not target.exists():
            return Target.FREE
        if as_zip:
            return Target.EARLIER_EXPORT if is_export_archive(target) else Target.TAKEN
        if not target.is_dir():
            return Target.TAKEN
        if not any(target.iterdir()):
            return Target.FREE
        return Target.EARLIER_EXPORT if (target / MARKER).is_file() else Target.TAKEN
    except OSError:
        return Target.TAKEN


def detect_format(source: Path) -> str | None:
    """The name of the format a folder or file is in; None where its names and first bytes leave it open."""
    try:
        found = _of_folder(source) if source.is_dir() else _of_file(source) if source.is_file() else None
    except OSError:  # whoever reads it in full says what is wrong with it
        return None
    return found if found in FORMATS else None


def not_recognised(source: Path) -> UserError:
    """What to tell a person whose source `detect_format` does not know."""
    if not source.exists():
        return UserError(f"There is no folder or file {source}.", "Choose what holds the labels.")
    if source.is_file() and source.suffix.lower() == ".zip":
        return UserError(f"{source.name} is a zip file.", "Unpack it, and choose the folder.")
    sentence = f"{source.name} holds no labels that were recognised."
    return UserError(sentence, "Choose another folder or file, or say which format it is in.")


def _of_folder(folder: Path) -> str | None:
    if (folder / MARKER).is_file():
        return exported_format(folder)
    files = list(_files(folder, _DEPTH))
    return _by_layout(folder, files) or _by_files(files)


def _files(folder: Path, depth: int) -> Iterator[Path]:
    """The first files of a folder and of those below it, upper ones first; hidden and linked entries left out."""
    with os.scandir(folder) as entries:
        shown = [entry for entry in entries if not entry.name.startswith(".")]
    files = [Path(entry.path) for entry in shown if entry.is_file(follow_symlinks=False)]
    yield from sorted(files[:_MOST_FILES])
    if depth:
        folders = [Path(entry.path) for entry in shown if entry.is_dir(follow_symlinks=False)]
        for path in sorted(folders[:_MOST_FOLDERS]):
            yield from _files(path, depth - 1)


def _by_layout(folder: Path, files: list[Path]) -> str | None:
    """What the names of folders and files say by themselves."""
    parents = {part for file in files for part in file.relative_to(folder).parts[:-1]}
    if folder.name == "SegmentationClass" or "SegmentationClass" in parents or (folder / "VOCdevkit").is_dir():
        return "voc"
    fine = any((folder / name).is_dir() or folder.name == name for name in ("gtFine", "gtCoarse"))
    if fine or any(_CITYSCAPES.search(file.name) for file in files):
        return "cityscapes"
    suffixes = Counter(file.suffix.lower() for file in files)
    if suffixes[".mat"]:
        return "pascal-context"
    if suffixes[".npy"] or suffixes[".npz"]:
        return "numpy"
    return None


def _by_files(files: list[Path]) -> str | None:
    """What the first bytes of a few files of each kind say, where they agree."""
    masks = [file for file in files if file.parent.name in _MASK_FOLDERS]
    tabled = bool(masks) or any(file.name in _CLASS_TABLES for file in files)
    for suffix, look in _LOOKS.items():
        chosen = [f for f in masks or files if f.suffix.lower() == suffix and f.name not in _CLASS_TABLES]
        found = {look(file) for file in islice(chosen, _MOST_OPENED)} - {None}
        if len(found) > 1:  # both files of a panoptic set say enough together
            return "panoptic" if found == {"coco", "panoptic"} else None
        if found:
            name = found.pop()
            # Grey values and colours might be photographs, unless a folder's name or a table of classes says more.
            if name in _UNSURE:
                return _UNSURE[name] if tabled else None
            return name
    return None


def _of_file(file: Path) -> str | None:
    suffix = file.suffix.lower()
    look = _LOOKS.get(suffix)
    name = look(file) if look is not None else None
    return name if name in FORMATS and suffix in FORMATS[name].file_suffixes else None


def _json(file: Path) -> str | None:
    head, tail = _ends(file)
    both = head + tail
    if b'"segments_info"' in both:
        return "panoptic"
    if b'"shapes"' in both and b'"image' in both:
        return "labelme"
    if b'"imgHeight"' in both and b'"objects"' in both:
        return "cityscapes"
    if b'"annotations"' in both or (b'"images"' in both and b'"categories"' in both):
        return "coco-stuff" if file.name.startswith("stuff_") else "coco"
    return None


def _xml(file: Path) -> str | None:
    head, _tail = _ends(file)
    return "cvat" if b"<annotations" in head else "voc" if b"<annotation>" in head else None


def _txt(file: Path) -> str | None:
    head, _tail = _ends(file)
    first = head.split(b"\n", 1)[0]
    return "yolo" if _YOLO_LINE.fullmatch(first) else None


def _yaml(file: Path) -> str | None:
    head, _tail = _ends(file)
    return "yolo" if re.search(rb"^names\s*:", head, re.MULTILINE) else None


def _png(file: Path) -> str | None:
    with file.open("rb") as stream:
        head = stream.read(_PNG_COLOR_TYPE + 1)
    if not head.startswith(_PNG) or len(head) <= _PNG_COLOR_TYPE:
        return None
    deep = head[_PNG_DEPTH] > _MOST_DEPTH and file.parent.name not in _MASK_FOLDERS
    return None if deep else _PNG_KINDS.get(head[_PNG_COLOR_TYPE])


def _ends(file: Path) -> tuple[bytes, bytes]:
    """The first and the last 64 KiB."""
    with file.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
        stream.seek(max(0, file.stat().st_size - _HEAD_BYTES))
        return head, stream.read(_HEAD_BYTES)


_LOOKS: Final[dict[str, Callable[[Path], str | None]]] = {
    ".json": _json,
    ".xml": _xml,
    ".yaml": _yaml,
    ".yml": _yaml,
    ".txt": _txt,
    ".png": _png,
}
"""By suffix, in the order in which a folder of several kinds is judged: a list of labels before its pictures."""
