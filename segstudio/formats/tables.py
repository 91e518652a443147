"""Class tables that lie beside labels: ours, lists of names, and tables of colours."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from segstudio.core.catalog import VOID_COLOR, Catalog
from segstudio.core.errors import FormatError
from segstudio.formats.classes import SourceClass, named_classes, source_classes
from segstudio.formats.output import CLASS_NAMES, CLASSES_TOML
from segstudio.formats.sources import read_text

COLORMAP: Final = "colormap.txt"
LABELMAP: Final = "labelmap.txt"
_LABELME_IGNORE: Final = "__ignore__"  # labelme's lists may begin with it; it counts from there as -1
_MAX_CLASSES: Final = 65_536
_MAX_LINE: Final = 1_000

_NAME_FIRST: Final = re.compile(r"(?P<name>.*\S)[\s,]+(?P<r>\d{1,3})[\s,]+(?P<g>\d{1,3})[\s,]+(?P<b>\d{1,3})")
_COLOR_FIRST: Final = re.compile(r"(?P<r>\d{1,3})[\s,]+(?P<g>\d{1,3})[\s,]+(?P<b>\d{1,3})[\s,]+(?P<name>\S.*)")
_NUMBERED: Final = re.compile(r"([0-9]{1,5})\s*:\s*(.*\S)")
_CVAT: Final = re.compile(r"(?P<name>.*?):(?P<r>\d{1,3}),(?P<g>\d{1,3}),(?P<b>\d{1,3})(:[^:]*){0,2}")

Row = tuple[str, tuple[int, int, int]]


def declared_classes(*folders: Path) -> tuple[SourceClass, ...]:
    """The classes of the first folder that declares any; none where no folder does.

    Names are numbered in their order from 0, or from -1 where the first is labelme's ``__ignore__``.

    Raises:
        UserError: The file that declares them cannot be read or makes no sense.
    """
    for folder in folders:
        for name, read in _READERS.items():
            if (folder / name).is_file():
                return read(folder / name)
    return ()


def numbered_names(path: Path) -> dict[int, str]:
    """The names in a list with a line such as ``1: person`` for each class, by number.

    Raises:
        FormatError: There is another line, a number twice, or no line.
    """
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    rows = [_NUMBERED.fullmatch(line) for line in lines if len(line) < _MAX_LINE]
    names = {int(row[1]): row[2] for row in rows if row is not None}
    if len(names) != len(lines) or not names:
        raise FormatError(f"{path.name} cannot be understood.", "Write a line such as `1: person` for each class.")
    return names


def write_numbered_names(path: Path, names: Mapping[int, str]) -> None:
    """Leaves such a list, in the order of the numbers."""
    lines = [f"{number}: {' '.join(name.split())}\n" for number, name in sorted(names.items())]
    path.write_text("".join(lines), encoding="utf-8")


def write_labelmap(folder: Path, catalog: Catalog) -> None:
    """Leaves ``labelmap.txt``, by which CVAT and datumaro know classes that are not VOC's: by their colours."""
    lines = [_labelmap_line(c.name, c.color) for c in catalog]
    (folder / LABELMAP).write_text("".join([*lines, _labelmap_line("ignored", VOID_COLOR)]), encoding="utf-8")


def _labelmap_line(name: str, color: tuple[int, int, int]) -> str:
    red, green, blue = color
    return f"{' '.join(name.split())}:{red},{green},{blue}::\n"


def write_colormap(folder: Path, catalog: Catalog) -> None:
    """Leaves ``colormap.txt``: ``name r g b`` for each class and for void."""
    rows = [*((" ".join(c.name.split()), c.color) for c in catalog), ("void", VOID_COLOR)]
    lines = [f"{name} {red} {green} {blue}\n" for name, (red, green, blue) in rows]
    (folder / COLORMAP).write_text("".join(lines), encoding="utf-8")


def _read_catalog(path: Path) -> tuple[SourceClass, ...]:
    return source_classes(Catalog.from_file(path))


def _read_names(path: Path) -> tuple[SourceClass, ...]:
    names = [line for line in _lines(path) if not line.startswith("#")]
    _check_count(names, path)
    return named_classes(names, first=-1 if names[0] == _LABELME_IGNORE else 0)


def _read_colormap(path: Path) -> tuple[SourceClass, ...]:
    lines = [line for line in _lines(path) if not line.startswith("#")]
    for pattern in (_CVAT, _NAME_FIRST, _COLOR_FIRST):
        matches = [pattern.fullmatch(line) for line in lines]
        rows = [(m["name"].strip(), (int(m["r"]), int(m["g"]), int(m["b"]))) for m in matches if m is not None]
        if len(rows) == len(lines):
            return _colored(rows, path)
    raise _no_table(path)


def _read_csv(path: Path) -> tuple[SourceClass, ...]:
    try:
        table = [[cell.strip() for cell in row] for row in csv.reader(_lines(path))]
    except csv.Error as error:
        raise _no_table(path) from error
    if table and not all(cell.isdecimal() for cell in table[0][1:4]):
        table = table[1:]  # name,r,g,b
    if not all(len(row) >= 4 and all(c.isdecimal() and len(c) <= 3 for c in row[1:4]) for row in table):
        raise _no_table(path)
    return _colored([(row[0], (int(row[1]), int(row[2]), int(row[3]))) for row in table], path)


_READERS: Final[dict[str, Callable[[Path], tuple[SourceClass, ...]]]] = {
    CLASSES_TOML: _read_catalog,
    COLORMAP: _read_colormap,
    LABELMAP: _read_colormap,  # CVAT and datumaro
    "label_colors.txt": _read_colormap,  # CamVid
    "class_dict.csv": _read_csv,  # CamVid, by other hands
    CLASS_NAMES: _read_names,
    "classes.txt": _read_names,
}


def _colored(rows: Sequence[Row], path: Path) -> tuple[SourceClass, ...]:
    _check_count(rows, path)
    wrong = next((name for name, color in rows if max(color) > 255), None)
    if wrong is not None:
        raise FormatError(f'The colour of "{wrong}" in {path.name} is not between 0 and 255.', "Correct the table.")
    named = named_classes([name for name, _ in rows])
    return tuple(replace(c, color=color) for c, (_, color) in zip(named, rows, strict=True))


def _lines(path: Path) -> list[str]:
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    if any(len(line) > _MAX_LINE for line in lines):  # the patterns above take their time with long ones
        raise _no_table(path)
    return lines


def _check_count(rows: Sequence[object], path: Path) -> None:
    if not 0 < len(rows) <= _MAX_CLASSES:
        raise FormatError(f"The class table {path.name} holds {len(rows):,} classes.", "Give one a line.")


def _no_table(path: Path) -> FormatError:
    return FormatError(
        f"The class table {path.name} cannot be understood.", "Write a line such as `tree 0 128 0` for each class."
    )
