"""PASCAL-Context: MAT-files with a LabelMap, the list of labels, and PNGs of the 59- and 60-class protocols.

Numbers in a LabelMap are positions in ``labels.txt`` (from 1); 0 is unlabelled. In ``context60`` 0 is the background,
1 to 59 the classes; in ``context59`` classes are 0 to 58 and everything else is void (255).
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import IGNORE, Catalog, plain_name
from segstudio.core.errors import FormatError
from segstudio.core.paths import resources_dir
from segstudio.core.segmentmap import SegmentMap
from segstudio.formats.base import CancelCallback, ImportedLabel, ImportSource, LoadRequest
from segstudio.formats.classes import SourceClass
from segstudio.formats.index_png import load_index_png, without_instances
from segstudio.formats.lists import SPLITS_FOLDER, FlatJpegWriter, write_lists
from segstudio.formats.mat_files import mat_bytes, read_mat
from segstudio.formats.output import CLASSES_TOML
from segstudio.formats.sources import find_files
from segstudio.formats.tables import declared_classes, numbered_names, write_numbered_names
from segstudio.formats.writer import Entry, ExportContext, Finished, Survival, Written
from segstudio.imaging.labels import write_index_png

IMAGES: Final = "JPEGImages"
MATS: Final = "trainval"
LABELS_TXT: Final = "labels.txt"
LABEL_MAP: Final = "LabelMap"
CONTEXT60: Final = "context60"
CONTEXT59: Final = "context59"
CLASSES: Final = "classes"
_MMSEG: Final = "SegmentationClassContext"  # the 60-class protocol as mmsegmentation's converter writes it
_OUR_ORDER: Final = (CLASSES, CONTEXT60, CONTEXT59, MATS)  # MAT-files cannot tell background from void
_THEIR_ORDER: Final = (MATS, CONTEXT60, _MMSEG, CONTEXT59, CLASSES)  # but hold more classes than the protocols


@dataclass(frozen=True, slots=True)
class ContextClass:
    """A class of the 59-class protocol.

    Attributes:
        name: In the protocol.
        number: In LabelMap.
        full: Its name in the full list of labels.
    """

    name: str
    number: int
    full: str


@functools.cache
def context_classes() -> tuple[ContextClass, ...]:
    """The 59 classes, in the protocol's order: the first is 1 in ``context60``."""
    rows = tomllib.loads((resources_dir() / "pascal_context.toml").read_text(encoding="utf-8"))["class"]
    return tuple(ContextClass(row["name"], row["number"], row.get("full", row["name"])) for row in rows)


@dataclass(frozen=True, slots=True)
class _Numbers:
    """The numbers of a project's classes by class id; `protocol` (1 to 59) only where all have one."""

    label_map: dict[int, int]
    labels: dict[int, str]
    protocol: dict[int, int] | None

    @classmethod
    def of(cls, catalog: Catalog) -> _Numbers:
        known = {_key(name): place for place, c in enumerate(context_classes(), 1) for name in (c.name, c.full)}
        own = [c for c in catalog if c.id != catalog.background_id]
        places = {c.id: known[_key(c.name)] for c in own if _key(c.name) in known}
        if own and len(set(places.values())) == len(own):
            listed = {class_id: context_classes()[place - 1] for class_id, place in places.items()}
            return cls(
                {class_id: c.number for class_id, c in listed.items()},
                {c.number: c.full for c in context_classes()},
                places,
            )
        positions = {class_id: position for position, class_id in enumerate(catalog.sorted_ids, start=1)}
        return cls(positions, {position: catalog[class_id].name for class_id, position in positions.items()}, None)

    def pngs(self, catalog: Catalog) -> dict[str, dict[int, int]]:
        """The numbers of class ids in each folder of PNGs."""
        if self.protocol is None:
            return {CLASSES: {c.id: c.id for c in catalog}}
        background = {} if catalog.background_id is None else {catalog.background_id: 0}
        return {
            CONTEXT60: background | self.protocol,
            CONTEXT59: {class_id: place - 1 for class_id, place in self.protocol.items()},
        }


def _key(name: str) -> str:
    return plain_name(name).replace(" ", "")


class PascalContextWriter(FlatJpegWriter):
    """Writes JPEGImages, MAT-files, labels.txt, PNGs and lists."""

    def __init__(self, context: ExportContext) -> None:
        super().__init__(context)
        self._numbers = _Numbers.of(context.catalog)
        self._pngs = {part: _table(numbers) for part, numbers in self._numbers.pngs(context.catalog).items()}
        self._label_map = np.zeros(256, dtype=np.uint16)
        for class_id, number in self._numbers.label_map.items():
            self._label_map[class_id] = number

    def begin(self) -> None:
        """Makes the folders and the list of labels."""
        for part in (MATS, *self._pngs):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        write_numbered_names(self.folder / LABELS_TXT, self._numbers.labels)

    def write(self, entry: Entry, labels: SegmentMap) -> Written:
        """Writes the image, the MAT-file and the PNGs."""
        placed = self.place(entry, f"{IMAGES}/{entry.name}.jpg", labels)
        classes = labels.semantic()
        (self.folder / MATS / f"{entry.name}.mat").write_bytes(mat_bytes(LABEL_MAP, self._label_map[classes]))
        colors = self.catalog.color_table()
        for part, table in self._pngs.items():
            palette = colors.copy()
            palette[table[list(self.catalog.ids)]] = colors[list(self.catalog.ids)]
            palette[IGNORE] = colors[IGNORE]
            (self.folder / part / f"{entry.name}.png").write_bytes(write_index_png(None, table[classes], palette))
        return Written(placed.file, counts=placed.counts)

    def finish(self, images: Sequence[Finished]) -> None:
        """Writes the lists."""
        write_lists(self.folder / SPLITS_FOLDER, images)

    def survives(self, labels: SegmentMap) -> Survival | None:
        """Classes without instances."""
        return without_instances(labels)


def _table(numbers: dict[int, int]) -> npt.NDArray[np.uint8]:
    """(256,) uint8 number of each class id, 255 where it has none."""
    table = np.full(256, IGNORE, dtype=np.uint8)
    for class_id, number in numbers.items():
        table[class_id] = number
    return table


class PascalContextImporter:
    """Reads a folder with MAT-files or with PNGs of one of the protocols."""

    def read(self, source: Path, *, cancelled: CancelCallback | None = None) -> ImportSource:
        """The labels below `source`: see `Importer`. Every pixel is decided, unlabelled ones as ignore."""
        chosen = source.name in _THEIR_ORDER and not any((source / part).is_dir() for part in _THEIR_ORDER)
        base = source.parent if chosen else source
        ours = Catalog.from_file(base / CLASSES_TOML) if (base / CLASSES_TOML).is_file() else None
        order = (source.name,) if chosen else _THEIR_ORDER if ours is None else _OUR_ORDER
        part = next((part for part in order if _files(base, part)), None)
        paths = find_files(source, {".mat"}) if part is None else _files(base, part)
        if not paths:
            raise FormatError(
                f"{source.name} holds no folder {MATS} of MAT-files, nor one of PNGs such as {CONTEXT60}.",
                "Choose the folder that holds them.",
            )
        part = part or MATS
        classes = _their_classes(part, base) if ours is None else _our_classes(part, ours, base)
        load = _load_mat if part == MATS else load_index_png
        return ImportSource([ImportedLabel(path.stem, partial(load, path), path) for path in paths], classes)


def _files(base: Path, part: str) -> list[Path]:
    return find_files(base / part, {".mat"} if part == MATS else {".png"})


def _our_classes(part: str, catalog: Catalog, base: Path) -> tuple[SourceClass, ...]:
    numbers = _Numbers.of(catalog)
    shown = numbers.label_map if part == MATS else numbers.pngs(catalog).get(part)
    if shown is None:  # somebody added the folder
        return _their_classes(part, base)
    return tuple(
        SourceClass(number=shown[c.id], name=c.name, color=c.color, kind=c.kind) for c in catalog if c.id in shown
    )


def _their_classes(part: str, base: Path) -> tuple[SourceClass, ...]:
    protocol = context_classes()
    if part == MATS:
        if (base / LABELS_TXT).is_file():
            return _read_labels_txt(base / LABELS_TXT)
        return tuple(SourceClass(number=c.number, name=c.name) for c in protocol)
    if part in (CONTEXT60, _MMSEG):
        background = SourceClass(number=0, name="background")
        return (background, *(SourceClass(number=place, name=c.name) for place, c in enumerate(protocol, start=1)))
    if part == CONTEXT59:
        return tuple(SourceClass(number=place, name=c.name) for place, c in enumerate(protocol))
    return declared_classes(base)


def _read_labels_txt(path: Path) -> tuple[SourceClass, ...]:
    """The numbered names of a list, three of them by the names they have in the protocol."""
    renamed = {c.full: c.name for c in context_classes()}
    return tuple(
        SourceClass(number=number, name=renamed.get(name, name), other_name=name)
        for number, name in numbered_names(path).items()
    )


def _load_mat(path: Path, request: LoadRequest) -> SegmentMap:
    numbers = read_mat(path, LABEL_MAP, request)
    return SegmentMap.from_semantic(request.table.apply(numbers, path.name, void=0))
