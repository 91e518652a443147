"""Cityscapes: its folders, file names, ids, instances and polygons (Cordts et al. 2016; cityscapesScripts).

What it has no place for (segment ids, crowds side by side, objects beyond its numbers) is under ``segments`` in the
polygons' JSON, which other programs pass over.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import IGNORE
from segstudio.core.segmentmap import FIRST_SEGMENT_ID, SegmentMap
from segstudio.formats import regions
from segstudio.formats.base import LabelledImage
from segstudio.formats.cityscapes_numbers import UNLABELED, instance_value, label_of, project_numbering
from segstudio.formats.color_png import color_png
from segstudio.formats.names import safe_name
from segstudio.formats.options import SHORT_SPLITS
from segstudio.formats.writer import Entry, ExportContext, Finished, FormatWriter, Written
from segstudio.imaging import rle
from segstudio.imaging.labels import write_index_png
from segstudio.imaging.polygons import centre_rings

IMAGES: Final = "leftImg8bit"
FINE: Final = "gtFine"
NAMES: Final = "names.csv"
NAMES_HEADER: Final = ("image", "cityscapes")
SEGMENTS: Final = "segments"
_OFFICIAL: Final = re.compile(r"([A-Za-z0-9-]+_[0-9]{6}_[0-9]{6})(_leftImg8bit)?")
_NO_CITY: Final = re.compile(r"[^A-Za-z0-9-]+")
_MILLION: Final = 1_000_000


class CityscapesWriter(FormatWriter):
    """Writes leftImg8bit and gtFine with all five kinds of files."""

    image_formats = frozenset({"PNG"})

    def __init__(self, context: ExportContext) -> None:
        super().__init__(context)
        self._numbering, self._numbers = project_numbering(context.catalog)
        self._images: dict[str, str] = {}
        self._table = np.full(256, self._numbering.void, dtype=np.uint8)
        for class_id, number in self._numbers.items():
            if number >= 0:
                self._table[class_id] = number

    def names(self, images: Sequence[LabelledImage]) -> list[str]:
        """City, sequence and frame: those an image is named by, else its folder and running numbers."""
        names = cityscapes_names([image.name for image in images])
        self._images = dict(zip(names, (image.name for image in images), strict=True))
        return names

    def begin(self) -> None:
        """Says so where the ids are not Cityscapes' own."""
        if not self._numbering.official:
            self.notes.append(
                "The classes are not all Cityscapes' own, so the ids are the project's;"
                " the scores of cityscapesscripts need its own classes."
            )

    def write(self, entry: Entry, labels: SegmentMap) -> Written:
        """Writes the image and its five label files."""
        part = f"{SHORT_SPLITS[entry.split]}/{entry.name.split('_')[0]}/{entry.name}"
        placed = self.place(entry, f"{IMAGES}/{part}_{IMAGES}.png", labels)
        numbers = self._table.take(labels.semantic())
        values = self._values(labels)
        instances = np.arange(1 << 16, dtype=np.uint16)
        instances[:FIRST_SEGMENT_ID] = self._table
        for segment_id, segment in labels.segments.items():
            instances[segment_id] = values.get(segment_id, self._table[segment.class_id])
        target = self.folder / FINE / f"{part}_{FINE}_"
        target.parent.mkdir(parents=True, exist_ok=True)
        files = {
            "labelIds.png": write_index_png(None, numbers),
            "labelTrainIds.png": write_index_png(None, self._numbering.train_ids[numbers]),
            "instanceIds.png": write_index_png(None, instances[labels.ids]),
            "color.png": color_png(numbers, self._numbering.colors),
            "polygons.json": self._polygons(labels, values).encode(),
        }
        for kind, data in files.items():
            target.with_name(f"{target.name}{kind}").write_bytes(data)
        lost = sum(not s.crowd for i, s in labels.used_segments().items() if i not in values)
        counts = {"Instances that Cityscapes has no number for: their class to other programs": lost}
        return Written(placed.file, counts=placed.counts | counts)

    def finish(self, images: Sequence[Finished]) -> None:
        """Writes which image is which."""
        with (self.folder / NAMES).open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(NAMES_HEADER)
            rows.writerows((self._images[image.name], image.name) for image in images)

    def _values(self, labels: SegmentMap) -> dict[int, int]:
        """Segment id -> value in instanceIds, of those that have one of their own."""
        values = {}
        used: Counter[int] = Counter()
        for segment_id, segment in sorted(labels.used_segments().items()):
            number = self._numbers[segment.class_id]
            if segment.crowd or number not in self._numbering.with_instances:
                continue
            value = instance_value(number, used[number] + 1)
            if value is not None:
                used[number] += 1
                values[segment_id] = value
        return values

    def _polygons(self, labels: SegmentMap, values: dict[int, int]) -> str:
        """The JSON of an image: shapes in drawing order, and what they cannot say."""
        width, height = labels.width, labels.height
        objects: list[dict[str, Any]] = []
        background = self.catalog.background_id
        if background is not None:  # beneath everything
            frame = [[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]]
            objects.append({"label": self._label(background), "polygon": frame})
        for drawn in regions.layers(labels, self.catalog, centre_rings, 0):
            region = drawn.region
            crowd = region.role is regions.Role.CROWD
            objects.append({"label": self._label(region.class_id, crowd=crowd), "polygon": _closed(drawn.ring)})
        head = {"imgHeight": height, "imgWidth": width, "objects": objects}
        return json.dumps(head | {SEGMENTS: self._segments(labels, values)}, ensure_ascii=False)

    def _segments(self, labels: SegmentMap, values: dict[int, int]) -> list[dict[str, Any]]:
        """What the PNGs cannot say: ids of segments, and the pixels of whatever has no value of its own there."""
        known: list[dict[str, Any]] = [{"id": segment_id, "value": value} for segment_id, value in values.items()]
        hidden = {class_id for class_id, number in self._numbers.items() if number < 0}
        hidden |= {segment_id for segment_id in labels.used_segments() if segment_id not in values}
        for region in rle.encode_regions(labels.ids, wanted=hidden) if hidden else ():
            segment = labels.segments.get(region.value)
            label = self._label(region.value if segment is None else segment.class_id)
            crowd = segment is not None and segment.crowd
            known.append({"id": region.value, "label": label, "crowd": crowd, "rle": region.rle})
        return known

    def _label(self, class_id: int, *, crowd: bool = False) -> str:
        if class_id == IGNORE:
            return self._numbering.names.get(self._numbering.void, UNLABELED)
        return label_of(self._numbering.names[self._numbers[class_id]], crowd=crowd)


def _closed(ring: npt.NDArray[Any]) -> list[list[int]]:
    """A ring as points; one of a pixel or two is walked back and forth, since readers want three points."""
    points: list[list[int]] = ring.tolist()
    return points if len(points) >= 3 else (points * 3)[:3]


def cityscapes_names(names: Sequence[str]) -> list[str]:
    """``city_000000_000019`` for each image: its own where it is named so, else from its folder and running numbers."""
    paths = [PurePosixPath(safe_name(name)) for name in names]
    given: list[str | None] = []
    taken: set[str] = set()
    for path in paths:
        match = _OFFICIAL.fullmatch(path.stem)
        name = match[1] if match and match[1].casefold() not in taken else None
        given.append(name)
        taken |= {name.casefold()} if name else set()
    running: Counter[str] = Counter()
    unique = []
    for path, name in zip(paths, given, strict=True):
        city = _NO_CITY.sub("-", path.parent.name).strip("-") or "images"
        while name is None:
            number = running[city.casefold()]
            running[city.casefold()] += 1
            candidate = f"{city}_{number // _MILLION:06d}_{number % _MILLION:06d}"
            if candidate.casefold() not in taken:
                name = candidate
        unique.append(name)
    return unique
