"""The classes of a project, in order; ids are frozen once given."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from segstudio.core.errors import UserError
from segstudio.core.paths import resources_dir

IGNORE: Final = 255
MAX_CLASSES: Final = 255
_MAX_BYTES: Final = 4 << 20
VOID_COLOR: Final = (224, 224, 192)
_BACKGROUND_NAMES: Final = frozenset({"background", "_background_", "__background__", "bg"})
PALETTES: Final = ("voc", "camvid", "cityscapes")
_SEPARATORS: Final = re.compile(r"[\s_-]+")


class Kind(StrEnum):
    """Whether single objects can be counted (thing) or not (stuff)."""

    THING = "thing"
    STUFF = "stuff"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelClass:
    """One class: id 0-254, a name, an RGB colour (0-255), and how the canvas treats it."""

    id: int
    name: str
    color: tuple[int, int, int]
    kind: Kind = Kind.THING
    hidden: bool = False
    locked: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.id < IGNORE:
            raise UserError(f"Class id {self.id} is out of range.", "Ids run from 0 to 254; 255 means ignore.")
        if not self.name.strip():
            raise UserError(f"Class {self.id} has no name.", "Give every class a name.")


def plain_name(name: str) -> str:
    """A class name without what programs spell differently: capitals, and underscores, hyphens or spaces."""
    return _SEPARATORS.sub(" ", name.casefold()).strip()


def voc_color(index: int) -> tuple[int, int, int]:
    """The PASCAL VOC colour of an index: its bits dealt to R, G, B from the highest bit down."""
    red = green = blue = 0
    for shift in range(7, -1, -1):
        red |= (index & 1) << shift
        green |= (index >> 1 & 1) << shift
        blue |= (index >> 2 & 1) << shift
        index >>= 3
    return red, green, blue


@functools.cache
def _voc_table() -> npt.NDArray[np.uint8]:
    table = np.array([voc_color(i) for i in range(256)], dtype=np.uint8)
    table[IGNORE] = VOID_COLOR
    return table


class Catalog:
    """An ordered, immutable set of classes.

    Order is for display only; an id never changes. A network's channel k is the k-th smallest id (`sorted_ids`).
    """

    __slots__ = ("_by_id", "_classes")

    def __init__(self, classes: Iterable[LabelClass] = ()) -> None:
        self._classes = tuple(classes)
        self._by_id = {c.id: c for c in self._classes}
        if len(self._by_id) != len(self._classes):
            raise UserError("Two classes share one id.", "Give every class an id of its own.")
        names = [c.name.casefold() for c in self._classes]
        twice = next((n for n in names if names.count(n) > 1), None)
        if twice is not None:
            raise UserError(f'Two classes are called "{twice}".', "Give every class a name of its own.")

    def __iter__(self) -> Iterator[LabelClass]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)

    def __getitem__(self, class_id: int) -> LabelClass:
        return self._by_id[class_id]

    def __contains__(self, class_id: object) -> bool:
        return class_id in self._by_id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Catalog) and self._classes == other._classes

    def __hash__(self) -> int:
        return hash(self._classes)

    def __repr__(self) -> str:
        return f"Catalog({', '.join(f'{c.id}={c.name}' for c in self._classes)})"

    @classmethod
    def from_names(cls, names: Iterable[str]) -> Catalog:
        """Classes 0, 1, 2, ... with VOC's colours; a background class is stuff, the others things."""
        return cls(_new_class(index, name) for index, name in enumerate(names))

    @classmethod
    def from_file(cls, path: Path) -> Catalog:
        """Classes from a file: TOML with ``[[classes]]`` tables, or plain text with one name a line.

        Raises:
            UserError: The file cannot be read or says something that is not a class.
        """
        try:
            with path.open("rb") as file:
                data = file.read(_MAX_BYTES + 1)
            text = data.decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"The classes file {path.name} cannot be read ({error}).", "Check the path.") from error
        if len(data) > _MAX_BYTES:
            raise UserError(f"The classes file {path.name} is larger than any list of 255 classes.", "Check the path.")
        if path.suffix.lower() == ".toml":
            try:
                return cls.from_json(tomllib.loads(text).get("classes", []))
            except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
                raise UserError(
                    f"The classes file {path.name} is not valid ({error}).",
                    "Each [[classes]] table needs a name; id, color and kind are optional.",
                ) from error
        names = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        if not 0 < len(names) <= MAX_CLASSES:
            raise UserError(f"The classes file {path.name} holds {len(names)} names.", "Give 1 to 255, one a line.")
        return cls.from_names(names)

    @classmethod
    def from_palette(cls, name: str) -> Catalog:
        """One of the published class sets in `PALETTES`."""
        if name not in PALETTES:
            raise UserError(f'There is no palette "{name}".', f"Choose one of: {', '.join(PALETTES)}.")
        return cls.from_file(resources_dir() / "palettes" / f"{name}.toml")

    @classmethod
    def from_json(cls, rows: Iterable[Mapping[str, Any]]) -> Catalog:
        """The catalog `to_json` wrote; missing ids, colours and kinds are filled in by position."""
        return cls(
            replace(
                _new_class(int(row.get("id", index)), str(row["name"])),
                **_given(row),
            )
            for index, row in enumerate(rows)
        )

    def to_json(self) -> list[dict[str, Any]]:
        """Plain lists and dicts that `from_json` reads back."""
        return [
            {
                "id": c.id,
                "name": c.name,
                "color": list(c.color),
                "kind": str(c.kind),
                "hidden": c.hidden,
                "locked": c.locked,
            }
            for c in self._classes
        ]

    @property
    def ids(self) -> tuple[int, ...]:
        """Ids in display order."""
        return tuple(c.id for c in self._classes)

    @property
    def sorted_ids(self) -> tuple[int, ...]:
        """Ids in ascending order: entry k is what a network's channel k stands for."""
        return tuple(sorted(self._by_id))

    @property
    def names(self) -> tuple[str, ...]:
        """Names in display order."""
        return tuple(c.name for c in self._classes)

    @property
    def sorted_names(self) -> tuple[str, ...]:
        """Names in the order of `sorted_ids`."""
        return tuple(self._by_id[i].name for i in self.sorted_ids)

    @property
    def contiguous(self) -> bool:
        """True where ids are exactly 0 .. n-1."""
        return self.sorted_ids == tuple(range(len(self)))

    @property
    def background_id(self) -> int | None:
        """0 where class 0 is a background by name, else None."""
        first = self._by_id.get(0)
        return 0 if first is not None and first.name.strip().casefold() in _BACKGROUND_NAMES else None

    def index_of(self, class_id: int) -> int:
        """The network channel of a class."""
        return self.sorted_ids.index(class_id)

    def by_name(self, name: str) -> LabelClass | None:
        """The class of that name, capitals aside."""
        wanted = name.strip().casefold()
        return next((c for c in self._classes if c.name.strip().casefold() == wanted), None)

    def next_id(self) -> int:
        """The smallest id that is free."""
        for candidate in range(MAX_CLASSES):
            if candidate not in self._by_id:
                return candidate
        raise UserError("A project holds at most 255 classes.", "Delete a class first.")

    def with_class(self, label_class: LabelClass) -> Catalog:
        """This catalog with a class added, or replaced where its id exists."""
        if label_class.id in self._by_id:
            return Catalog(label_class if c.id == label_class.id else c for c in self._classes)
        return Catalog((*self._classes, label_class))

    def with_new(self, name: str) -> Catalog:
        """This catalog with a class of that name, the next free id and its VOC colour."""
        return self.with_class(_new_class(self.next_id(), name))

    def without(self, class_id: int) -> Catalog:
        """This catalog less one class; the others keep their ids."""
        return Catalog(c for c in self._classes if c.id != class_id)

    def moved(self, class_id: int, index: int) -> Catalog:
        """This catalog with one class shown at another place; ids stay."""
        rest = [c for c in self._classes if c.id != class_id]
        rest.insert(index, self._by_id[class_id])
        return Catalog(rest)

    def color_table(self) -> npt.NDArray[np.uint8]:
        """(256, 3) uint8 RGB by class id; row 255 is VOC's void colour, free ids keep VOC's colours."""
        table = _voc_table().copy()
        for c in self._classes:
            table[c.id] = c.color
        return table


def _new_class(class_id: int, name: str) -> LabelClass:
    background = class_id == 0 and name.strip().casefold() in _BACKGROUND_NAMES
    color = (96, 96, 96) if background else voc_color(class_id if class_id else 20)
    return LabelClass(id=class_id, name=name.strip(), color=color, kind=Kind.STUFF if background else Kind.THING)


def _given(row: Mapping[str, Any]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    if "color" in row:
        red, green, blue = (int(v) for v in row["color"])
        if not all(0 <= v <= 255 for v in (red, green, blue)):
            raise ValueError(f"colour {row['color']} of class {row['name']}")
        given["color"] = (red, green, blue)
    if "kind" in row:
        given["kind"] = Kind(row["kind"])
    for flag in ("hidden", "locked"):
        if flag in row:
            given[flag] = bool(row[flag])
    return given
