"""Reads Cityscapes' label files, as published, as others imitate them, and as we write them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from segstudio.core.catalog import IGNORE, Catalog
from segstudio.core.errors import FormatError
from segstudio.core.segmentmap import FIRST_SEGMENT_ID, LAST_SEGMENT_ID, Segment, SegmentMap
from segstudio.core.spans import values_in
from segstudio.formats.base import CancelCallback, ImportedLabel, ImportSource, LoadRequest
from segstudio.formats.cityscapes import FINE, IMAGES, NAMES, NAMES_HEADER, SEGMENTS
from segstudio.formats.cityscapes_numbers import (
    UNLABELED,
    Numbering,
    is_instance,
    number_of_value,
    official_numbering,
    project_numbering,
)
from segstudio.formats.color_png import read_color_classes, unpacked
from segstudio.formats.index_png import read_fitting
from segstudio.formats.output import CLASSES_TOML
from segstudio.formats.painting import MapPainter
from segstudio.formats.sources import MAX_JSON_BYTES, find_files, read_limited, read_object
from segstudio.formats.stage import MARKER
from segstudio.imaging import rle
from segstudio.imaging.fills import fill_pillow
from segstudio.imaging.labels import LabelArray
from segstudio.imaging.polygons import sanitised

_COARSE: Final = "gtCoarse"
_FOLDERS: Final = (FINE, _COARSE)  # of two labels of an image, the fine one counts
_KINDS: Final = ("instanceIds", "labelIds", "polygons", "labelTrainIds", "color")  # the first says most
_FILE: Final = re.compile(rf"(.+)_({'|'.join(_FOLDERS)})_({'|'.join(_KINDS)})\.(png|json)")
_MOST_OBJECTS: Final = 100_000


class CityscapesImporter:
    """Reads a folder with gtFine or gtCoarse, or a folder below these."""

    def read(self, source: Path, *, cancelled: CancelCallback | None = None) -> ImportSource:
        """The best label of each image below `source`: see `Importer`. Every pixel is decided, void as ignore."""
        best: dict[str, tuple[tuple[int, int], Path]] = {}
        for folder in [source / name for name in _FOLDERS if (source / name).is_dir()] or [source]:
            for path in find_files(folder, {".png", ".json"}):
                match = _FILE.fullmatch(path.name)
                if match is None:
                    continue
                rank = (_FOLDERS.index(match[2]), _KINDS.index(match[3]))
                if match[1] not in best or rank < best[match[1]][0]:
                    best[match[1]] = (rank, path)
        if not best:
            raise FormatError(
                f"{source.name} holds no file such as ..._{FINE}_labelIds.png.",
                f"Choose the folder that holds {IMAGES} and {FINE}.",
            )
        root = next((path.parent for path in (source, *source.parents)[:3] if path.name in _FOLDERS), source)
        reader = _Reader.of(root)
        images = _read_names(root / NAMES)
        labels = [
            ImportedLabel(
                images.get(stem, f"{path.parent.name}/{stem}_{IMAGES}"),
                partial(reader.load, path, _KINDS[kind]),
                path,
                other_name=f"{path.parent.name}/{stem}_{IMAGES}",
            )
            for stem, ((_, kind), path) in best.items()
        ]
        return ImportSource(labels, reader.numbering.classes)


def _read_names(path: Path) -> dict[str, str]:
    """Cityscapes' name -> the image's own, as our exports say."""
    if not path.is_file():
        return {}
    text = read_limited(path, MAX_JSON_BYTES).decode("utf-8", errors="surrogateescape")
    try:
        rows = list(csv.reader(io.StringIO(text, newline="")))
    except csv.Error as error:
        raise FormatError(f"{path.name} cannot be understood ({error}).", "Correct or remove it.") from error
    if not rows or tuple(rows[0]) != NAMES_HEADER:
        return {}
    return {row[1]: row[0] for row in rows[1:] if len(row) == len(NAMES_HEADER)}


@dataclass(frozen=True, slots=True)
class _Known:
    """What our polygons' JSON adds to the PNGs: the id of the segment with a value there, or all of what has none."""

    id: int
    value: int = 0
    label: str = ""
    crowd: bool = False
    rle: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class _Reader:
    """Loads labels of one data set; `ours` where we wrote it, and objects without a number are no groups."""

    numbering: Numbering
    ours: bool

    @classmethod
    def of(cls, root: Path) -> _Reader:
        """The reader of the data set in `root`, whose classes are Cityscapes' own unless it declares others."""
        if not (root / CLASSES_TOML).is_file():
            return cls(official_numbering(), ours=False)
        numbering, _ = project_numbering(Catalog.from_file(root / CLASSES_TOML))
        return cls(numbering, ours=(root / MARKER).is_file() or not numbering.official)

    def load(self, path: Path, kind: str, request: LoadRequest) -> SegmentMap:
        """The segment map of a file of one of `_KINDS`."""
        if kind == "polygons":
            return self._from_polygons(path, request)
        if kind == "color":
            return self._from_colors(path, request)
        array = read_fitting(path, request)
        if kind == "instanceIds":
            known = _read_segments(path) if self.ours else []
            labels = self._from_values(array, known, path, request)
            for segment in known:
                if segment.rle is not None:
                    self._paint(labels, segment, segment.rle, path, request)
            return labels
        if kind == "labelTrainIds":
            array = self.numbering.by_train_id()[np.minimum(array, IGNORE)]
        return SegmentMap.from_semantic(request.table.apply(array, path.name))

    def _from_values(self, values: LabelArray, known: Sequence[_Known], path: Path, request: LoadRequest) -> SegmentMap:
        """The map of an instanceIds image; what is known of segments gives them their ids."""
        ids = {segment.value: segment.id for segment in known if segment.value}
        taken = {segment.id for segment in known}
        table = np.full(1 << 16, IGNORE, dtype=np.uint16)
        segments: dict[int, Segment] = {}
        free = (i for i in range(FIRST_SEGMENT_ID, LAST_SEGMENT_ID + 1) if i not in taken)
        for value in values_in(values).tolist():
            number = number_of_value(value)
            class_id = IGNORE if number == IGNORE else request.table.of(number, path.name)
            table[value] = class_id
            # Objects nobody told apart from their neighbours keep the plain number: a "group" in the polygons.
            group = not self.ours and number in self.numbering.with_instances
            if class_id != IGNORE and (is_instance(value) or group):
                segment_id = ids.get(value) or next(free, None)
                if segment_id is None:
                    raise _damaged(path)
                segments[segment_id] = Segment(segment_id, class_id, crowd=not is_instance(value))
                table[value] = segment_id
        return SegmentMap(table[values], np.ones(values.shape, dtype=np.bool_), segments)

    def _paint(
        self, labels: SegmentMap, known: _Known, runs: Mapping[str, object], path: Path, request: LoadRequest
    ) -> None:
        """Gives the pixels of a mask to the segment or class that no value of the PNG stands for."""
        class_id = request.table.of(self._number(known.label, path)[0], path.name)
        try:
            mask, rect = rle.decode_part(runs, shape=labels.shape)
        except (ValueError, TypeError) as error:
            raise _damaged(path) from error
        value = class_id
        if known.id >= FIRST_SEGMENT_ID and class_id != IGNORE:
            value = known.id
            labels.segments[value] = Segment(value, class_id, known.crowd)
        labels.ids[rect.slices][mask] = value

    def _from_polygons(self, path: Path, request: LoadRequest) -> SegmentMap:
        content = read_object(path)
        width, height, objects = (content.get(key) for key in ("imgWidth", "imgHeight", "objects"))
        if not isinstance(width, int) or not isinstance(height, int) or not isinstance(objects, list):
            raise FormatError(f"{path.name} says no imgWidth, imgHeight and objects.", "Check the file.")
        request.check_size(width, height, path)
        if len(objects) > _MOST_OBJECTS:
            raise FormatError(f"{path.name} holds {len(objects):,} objects.", f"Up to {_MOST_OBJECTS:,} can be read.")
        painter = MapPainter(request, path.name)
        for shape in objects:
            if not isinstance(shape, dict) or not isinstance(shape.get("label"), str):
                raise FormatError(f"{path.name} holds an object without a label.", "Correct the file.")
            if shape.get("deleted"):
                continue
            number, crowd = self._number(shape["label"], path)
            if number >= 0:  # as Cityscapes' own tools, which draw no license plates
                self._draw(painter, shape, number, crowd=crowd, path=path, request=request)
        return painter.finish()

    def _draw(
        self, painter: MapPainter, shape: dict[str, Any], number: int, *, crowd: bool, path: Path, request: LoadRequest
    ) -> None:
        points = shape.get("polygon")
        if isinstance(points, list) and 0 < len(points) < 3:  # a dot or a line is drawn too
            points = (points * 3)[:3]
        try:
            mask, rect = fill_pillow(sanitised(points, request.width, request.height), request.height, request.width)
        except ValueError as error:
            raise FormatError(
                f'The polygon of "{shape["label"]}" in {path.name} is broken ({error}).', "Correct the file."
            ) from error
        instance = number in self.numbering.with_instances if self.numbering.official else None
        painter.paint(mask, rect, number, instance=instance, crowd=crowd)

    def _from_colors(self, path: Path, request: LoadRequest) -> SegmentMap:
        numbers: dict[tuple[int, ...], int] = {}
        for number in (self.numbering.void, *sorted(n for n in self.numbering.names if n >= 0)):
            numbers.setdefault(tuple(self.numbering.colors[number].tolist()), number)

        def class_of(color: int) -> int:
            number = numbers.get(unpacked(color))
            if number is None:
                raise FormatError(
                    f"The label {path.name} holds the colour {unpacked(color)}, which is no class's.",
                    "Correct the file.",
                )
            return IGNORE if number == IGNORE else request.table.of(number, path.name)

        return SegmentMap.from_semantic(read_color_classes(path, class_of, request))

    def _number(self, label: str, path: Path) -> tuple[int, bool]:
        if label == UNLABELED and UNLABELED not in self.numbering.names.values():
            return self.numbering.void, False
        known = self.numbering.number_of(label)
        if known is None:
            raise FormatError(
                f'{path.name} holds the label "{label}", which Cityscapes does not have.',
                "Rename it, or correct the file.",
            )
        return known


def _read_segments(path: Path) -> list[_Known]:
    """What our own polygons' JSON adds to an instanceIds image."""
    json_path = path.with_name(path.name.replace("_instanceIds.png", "_polygons.json"))
    if not json_path.is_file():
        return []
    rows = read_object(json_path).get(SEGMENTS, [])
    known: dict[int, _Known] = {}
    for row in rows if isinstance(rows, list) else [rows]:
        if not isinstance(row, dict):
            raise _damaged(json_path)
        key, value, runs = row.get("id"), row.get("value", 0), row.get("rle")
        if not isinstance(key, int) or not isinstance(value, int) or not isinstance(runs, dict | None):
            raise _damaged(json_path)
        lowest = FIRST_SEGMENT_ID if runs is None else 0
        if not lowest <= key <= LAST_SEGMENT_ID or key in known:
            raise _damaged(json_path)
        known[key] = _Known(key, value, str(row.get("label")), bool(row.get("crowd")), runs)
    return list(known.values())


def _damaged(path: Path) -> FormatError:
    return FormatError(f'What "{SEGMENTS}" in {path.name} says makes no sense.', "Export the labels again.")
