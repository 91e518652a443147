"""What the lists of COCO's documents say of images, categories and segments, with nothing taken on trust."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final, TypeGuard

from segstudio.core.catalog import Kind
from segstudio.core.errors import FormatError
from segstudio.core.segmentmap import FIRST_SEGMENT_ID
from segstudio.formats.classes import SourceClass
from segstudio.formats.coco_json import JsonRecord, Place
from segstudio.formats.names import safe_name

PLAIN: Final = 0
"""``segment_id`` of a region that was painted without instances."""
_LARGEST_SIDE: Final = 1 << 20
_QUERY: Final = re.compile("[?#]")  # where the path of an address ends


@dataclass(frozen=True, slots=True)
class ListedImage:
    """An image of a document: its id there, its name, its (width, height) where that makes sense, its record."""

    id: Hashable
    name: str
    size: tuple[int, int] | None
    place: Place


class Categories:
    """The categories of a document, by their numbers.

    A class is known by the project's own id where each category says so (``class_id``), as our exports do, which count
    from 1 where the project has a class 0.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._records: dict[int, dict[str, Any]] = {}

    def add(self, record: Any) -> None:
        """Takes in one record.

        Raises:
            FormatError: It has no number, or another category has the same.
        """
        number = whole(record.get("id")) if isinstance(record, dict) else None
        if number is None:
            raise FormatError(f"{self._name} has a category without a number.", "Give each a whole number as id.")
        known = self._records.setdefault(number, record)
        if known.get("name") != record.get("name"):
            raise FormatError(
                f'{self._name} has two categories {number}, "{known.get("name")}" and "{record.get("name")}".',
                "Give each its own id.",
            )

    @property
    def classes(self) -> tuple[SourceClass, ...]:
        """What the document declares."""
        return tuple(
            SourceClass(number=own, name=_text(record.get("name")), color=_color(record), kind=_kind(record))
            for own, record in zip(self.numbers.values(), self._records.values(), strict=True)
        )

    @property
    def numbers(self) -> dict[int, int]:
        """Category id -> number of the class in `classes`."""
        own = {number: whole(record.get("class_id")) for number, record in self._records.items()}
        ours = [class_id for class_id in own.values() if class_id is not None]
        return dict(zip(own, ours, strict=True)) if len(set(ours)) == len(own) else {number: number for number in own}


def whole(value: object) -> int | None:
    """A whole number of a sensible size, also written as 18.0; None for anything else, truth values included."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 31 else None


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _color(record: Mapping[str, Any]) -> tuple[int, int, int] | None:
    color = record.get("color")
    if not isinstance(color, list) or len(color) != 3 or not all(isinstance(v, int) and 0 <= v <= 255 for v in color):
        return None
    return color[0], color[1], color[2]


def _kind(record: Mapping[str, Any]) -> Kind | None:
    if "isthing" not in record:
        return None
    return Kind.THING if record["isthing"] in (1, True) else Kind.STUFF


class Images:
    """The images of a document, and which of their ids are given twice."""

    def __init__(self) -> None:
        self.listed: dict[Hashable, ListedImage] = {}
        self.twice: dict[Hashable, str] = {}
        self.counts: Counter[str] = Counter()

    def add(self, record: JsonRecord) -> None:
        """Takes in one record; one without id or name is only counted."""
        value = record.value if isinstance(record.value, dict) else {}
        name, number = image_name(value), value.get("id")
        if name is None or not is_id(number):
            self.counts["images without an id or a file name are left out"] += 1
            return
        image = ListedImage(number, name, declared_size(value), record.place)
        known = self.listed.setdefault(number, image)
        if known.name != name:
            self.twice[number] = name

    def check(self, image: ListedImage) -> None:
        """Returns where the id of an image is its own.

        Raises:
            FormatError: It is not.
        """
        if image.id in self.twice:
            raise FormatError(
                f"{image.name} and {self.twice[image.id]} have the same id ({image.id}): whose annotations are whose?",
                "Give each image its own id.",
            )


def is_id(value: object) -> TypeGuard[Hashable]:
    """True for what may be an id of an image or an annotation: a number or a text."""
    return isinstance(value, int | float | str) and not isinstance(value, bool)


def image_name(record: Mapping[str, Any]) -> str | None:
    """What an image is called: our own exports say so, else its file, else the end of its address; None for nothing."""
    for key in ("name", "file_name", "coco_url"):
        text = record.get(key)
        if isinstance(text, str) and text.strip():
            if "://" in text:
                text = PurePosixPath(_QUERY.split(text, maxsplit=1)[0]).name
            return safe_name(text.removeprefix("./"))
    return None


def declared_size(record: Mapping[str, Any]) -> tuple[int, int] | None:
    """(width, height) of an image record, also as 640.0; None where there is nothing of the kind."""
    sides = record.get("width"), record.get("height")
    if not all(isinstance(s, int | float) and not isinstance(s, bool) and 0 < s < _LARGEST_SIDE for s in sides):
        return None
    width, height = (float(side) for side in sides if side is not None)
    return (int(width), int(height)) if width.is_integer() and height.is_integer() else None


def is_crowd(annotation: Mapping[str, Any]) -> bool:
    """Whether an annotation stands for many objects; programs write 0 and 1, or false and true, or nothing."""
    return annotation.get("iscrowd") in (1, True, "1")


def own_segment(record: Mapping[str, Any]) -> int | None:
    """The segment our own exports say it was, `PLAIN` for none; None in files of other programs."""
    number = whole(record.get("segment_id"))
    return number if number is not None and (number == PLAIN or number >= FIRST_SEGMENT_ID) else None
