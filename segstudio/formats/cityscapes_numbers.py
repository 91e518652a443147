"""Which number a class has in Cityscapes' files: the official one, or the project's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import IGNORE, Catalog, Kind, plain_name
from segstudio.formats.classes import SourceClass, source_classes
from segstudio.imaging.cityscapes_labels import INSTANCES_EACH, VOID_TRAIN_ID, cityscapes_labels, train_ids_by_id

UNLABELED: Final = "unlabeled"
_BACKGROUND: Final = "static"  # "what belongs to no other label", as Cityscapes describes it
_VOIDS: Final = (0, 3, 2, 1)  # for ignore: "unlabeled", or another one where the project has that as a class
_GROUP: Final = "group"
_LAST_VALUE: Final = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbering:
    """How classes are numbered in one data set.

    Attributes:
        classes: What the data set declares; number -1 is drawn nowhere.
        names: What each number is called in the polygons' JSON.
        void: The number of pixels for which no class may be claimed.
        with_instances: Numbers whose objects are told apart in instanceIds.
        train_ids: (256,) uint8 train id of each number, 255 = void.
        colors: (256, 3) uint8 RGB of each number.
        official: Numbers are Cityscapes' own.
    """

    classes: tuple[SourceClass, ...]
    names: Mapping[int, str]
    void: int
    with_instances: frozenset[int]
    train_ids: npt.NDArray[np.uint8]
    colors: npt.NDArray[np.uint8]
    official: bool

    def number_of(self, label: str) -> tuple[int, bool] | None:
        """(number, crowd) of a label in the polygons' JSON; None where it is none of these."""
        numbers = {name: number for number, name in self.names.items()}
        if label in numbers:
            return numbers[label], False
        if label.endswith(_GROUP) and label.removesuffix(_GROUP) in numbers:
            return numbers[label.removesuffix(_GROUP)], True
        return None

    def by_train_id(self) -> npt.NDArray[np.uint8]:
        """(256,) uint8 number of each train id."""
        table = np.full(256, self.void, dtype=np.uint8)
        for number in sorted(self.names, reverse=True):
            if number >= 0 and self.train_ids[number] != VOID_TRAIN_ID:
                table[self.train_ids[number]] = number
        return table


def label_of(name: str, *, crowd: bool) -> str:
    """What a shape of a class is called in the polygons' JSON."""
    return f"{name}{_GROUP}" if crowd else name


def instance_value(number: int, count: int) -> int | None:
    """The value in instanceIds of the object with that count (from 1) among those of a number; None where none fits."""
    value = number * INSTANCES_EACH + count
    return value if number > 0 and count < INSTANCES_EACH and value <= _LAST_VALUE else None


def number_of_value(value: int) -> int:
    """The number of the class of a value in instanceIds."""
    return value // INSTANCES_EACH if value >= INSTANCES_EACH else value


def is_instance(value: int) -> bool:
    """True for values in instanceIds that stand for one object."""
    return value >= INSTANCES_EACH


def official_numbering() -> Numbering:
    """Cityscapes' own numbers and names."""
    labels = cityscapes_labels()
    drawn = {label.id: label for label in labels if label.id >= 0}
    return Numbering(
        classes=tuple(
            SourceClass(
                number=label.id,
                name=label.name,
                color=label.color,
                kind=Kind.THING if label.has_instances else Kind.STUFF,
                void=label.category == "void",
            )
            for label in labels
        ),
        names={label.id: label.name for label in labels},
        void=0,
        with_instances=frozenset(number for number, label in drawn.items() if label.has_instances),
        train_ids=train_ids_by_id(),
        colors=_colors({number: label.color for number, label in drawn.items()}),
        official=True,
    )


def project_numbering(catalog: Catalog) -> tuple[Numbering, dict[int, int]]:
    """How a project is written: (numbering, number of each class id).

    Numbers are official where every class is called as one of Cityscapes' (a background is its "static"); otherwise
    they are the class ids, the train ids are the classes' positions, and 255 is void.
    """
    numbers = _official_numbers(catalog)
    official = official_numbering()
    void = next((n for n in _VOIDS if numbers is not None and n not in numbers.values()), None)
    if numbers is None or void is None:
        return _own_numbering(catalog), {c.id: c.id for c in catalog}
    declared = [SourceClass(number=numbers[c.id], name=c.name, color=c.color, kind=c.kind) for c in catalog]
    return replace(official, classes=(*declared, SourceClass(number=void, void=True)), void=void), numbers


def _official_numbers(catalog: Catalog) -> dict[int, int] | None:
    official = {plain_name(label.name): label.id for label in cityscapes_labels()}
    found = {}
    for c in catalog:
        name = _BACKGROUND if c.id == catalog.background_id else plain_name(c.name)
        if name not in official:
            return None
        found[c.id] = official[name]
    distinct = len(set(found.values())) == len(found)
    return found if found and distinct else None


def _own_numbering(catalog: Catalog) -> Numbering:
    train_ids = np.full(256, VOID_TRAIN_ID, dtype=np.uint8)
    for position, class_id in enumerate(catalog.sorted_ids):
        train_ids[class_id] = position
    return Numbering(
        classes=(*source_classes(catalog), SourceClass(number=IGNORE, void=True)),
        names={c.id: c.name for c in catalog},
        void=IGNORE,
        with_instances=frozenset(catalog.ids),
        train_ids=train_ids,
        colors=catalog.color_table(),
        official=False,
    )


def _colors(known: Mapping[int, tuple[int, int, int]]) -> npt.NDArray[np.uint8]:
    """(256, 3) uint8 RGB of each number, black where it has none."""
    table = np.zeros((256, 3), dtype=np.uint8)
    for number, color in known.items():
        table[number] = color
    return table
