"""COCO panoptic: one PNG an image whose colours are segment numbers, and a JSON file that says what each one is.

Beside COCO's own rules (number = R + 256 G + 65536 B, 0 = void) an export follows these:

- An instance keeps its number of the segment map, 256 to 65535. A plain stuff class has its class id plus one; a plain
  thing class too where it is one connected part, and each of its parts a number from 65536 where it is several.
- The background is a stuff category of its own, numbered behind all others: as 0 it would come back as void.
- ``segment_id`` is 0 for plain classes, so that an import tells them from objects. Other programs pass over it.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import Kind
from segstudio.core.errors import FormatError
from segstudio.core.geometry import Rect
from segstudio.core.segmentmap import Segment, SegmentMap
from segstudio.core.spans import values_in
from segstudio.formats.base import CancelCallback, ImportedLabel, ImportSource, LabelledImage, LoadRequest, check_size
from segstudio.formats.coco_json import ANNOTATIONS, JsonRecord, Place, find_documents, read_records, records_at
from segstudio.formats.coco_parts import (
    ANNOTATION_LIST,
    IMAGES,
    DocumentWriter,
    category,
    category_id,
    image_record,
    number_parts,
    paired_image,
    paired_names,
)
from segstudio.formats.coco_records import (
    PLAIN,
    Categories,
    Images,
    ListedImage,
    is_crowd,
    is_id,
    own_segment,
    whole,
)
from segstudio.formats.names import safe_name
from segstudio.formats.options import SHORT_SPLITS, split_lists
from segstudio.formats.painting import MapPainter
from segstudio.formats.writer import Entry, Finished, Written
from segstudio.imaging import rle
from segstudio.imaging.decode import probe, read_image
from segstudio.imaging.labels import bgr_png

PANOPTIC: Final = "panoptic"
_FIRST_PART: Final = 1 << 16
_VOID: Final = 0

Numbers = npt.NDArray[np.uint32]


class PanopticWriter(DocumentWriter):
    """Writes ``annotations/panoptic_LIST.json`` and the folder of PNGs beside it for each list, and ``images/``."""

    def names(self, images: Sequence[LabelledImage]) -> list[str]:
        """The PNGs."""
        return paired_names(images)

    def begin(self) -> None:
        """Makes the folders."""
        for name in (IMAGES, ANNOTATIONS):
            (self.folder / name).mkdir(exist_ok=True)

    def write(self, entry: Entry, labels: SegmentMap) -> Written:
        """Writes the image and the PNG."""
        placed = self.place(entry, f"{IMAGES}/{paired_image(entry)}", labels)
        numbers, classes = self._numbered(labels)
        target = self.folder / ANNOTATIONS / _title(entry.split) / entry.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(_encoded(numbers))
        image = image_record(placed.file.removeprefix(f"{IMAGES}/"), entry, labels)
        segments = [
            {
                "id": region.value,
                "category_id": self._category_id(classes[region.value].class_id),
                "area": region.area,
                "bbox": list(region.bbox),
                "iscrowd": int(classes[region.value].crowd),
                "segment_id": classes[region.value].id,
            }
            for region in rle.encode_regions(numbers, lowest=1)
        ]
        return Written(placed.file, (image, {"file_name": entry.name, "segments_info": segments}), counts=placed.counts)

    def add(self, entry: Entry, written: Written) -> None:
        """Numbers the image, from 1 over all lists."""
        image, annotation = written.record
        record = {"image_id": self.append_image(image, entry.split), **annotation}
        self.append(ANNOTATION_LIST, entry.split, json.dumps(record, ensure_ascii=False))

    def finish(self, images: Sequence[Finished]) -> None:
        """Writes the documents."""
        categories = [category(c, self._category_id(c.id)) for c in self.catalog]
        for split in split_lists([image.split for image in images]):
            self.write_document(_title(split), [split], categories)

    def _category_id(self, class_id: int) -> int:
        behind = 1 + max(self.catalog.ids, default=0)
        return behind if class_id == self.catalog.background_id else category_id(self.catalog, class_id)

    def _numbered(self, labels: SegmentMap) -> tuple[Numbers, Mapping[int, Segment]]:
        """(numbers, segments): (H, W) what the PNG holds, and what its numbers stand for (`PLAIN` as id: a class)."""
        table = np.zeros(1 << 16, dtype=np.uint32)
        segments: dict[int, Segment] = {}
        things: set[int] = set()
        for value in values_in(labels.ids).tolist():
            segment = labels.segments.get(value, Segment(PLAIN, value))
            if segment.class_id not in self.catalog:
                continue
            table[value] = number = value if segment.id else value + 1
            segments[number] = segment
            if not segment.id and self.catalog[value].kind is Kind.THING:
                things.add(value)
        numbers = table.take(labels.ids)
        if things:
            parts, owners = number_parts(labels.ids, rle.encode_regions(labels.ids, wanted=things))
            numbers = np.where(parts > 0, parts + (_FIRST_PART - 1), numbers).astype(np.uint32)
            segments |= {_FIRST_PART + index: Segment(PLAIN, class_id) for index, class_id in enumerate(owners)}
        return numbers, segments


def _title(split: str) -> str:
    return f"{PANOPTIC}_{SHORT_SPLITS[split]}"


def _encoded(numbers: Numbers) -> bytes:
    """The PNG of (H, W) numbers below 2**24."""
    little = np.ascontiguousarray(numbers, dtype="<u4").view(np.uint8).reshape(*numbers.shape, 4)
    return bgr_png(little[:, :, 2::-1])


class PanopticImporter:
    """Reads panoptic documents, each with its folder of PNGs beside it or one folder up."""

    def read(self, source: Path, *, cancelled: CancelCallback | None = None) -> ImportSource:
        """The labels of a document, or of every ``panoptic_LIST.json`` of a folder."""
        documents = [_Document(path, cancelled) for path in find_documents(source, PANOPTIC)]
        classes = {c.number: c for document in documents for c in document.categories.classes}
        return ImportSource(
            [label for document in documents for label in document.labels()],
            tuple(classes.values()),
            [warning for document in documents for warning in document.warnings()],
        )


class _Document:
    """A panoptic document: where the record of each image stands, and the folder of PNGs."""

    def __init__(self, path: Path, cancelled: CancelCallback | None) -> None:
        self.categories = Categories(path.name)
        self._path = path
        self._images = Images()
        self._places: dict[Hashable, list[Place]] = {}
        for record in read_records(path, cancelled=cancelled):
            if record.key == "images":
                self._images.add(record)
            elif record.key == "categories":
                self.categories.add(record.value)
            elif record.key == "annotations":
                self._add(record)
        if not self._places:
            raise FormatError(
                f"{path.name} is not a panoptic file: no annotation has segments_info.", "Choose another file."
            )
        self._folder = _png_folder(path)

    def labels(self) -> Iterator[ImportedLabel]:
        """One for each image that has an annotation."""
        for image in self._images.listed.values():
            if image.id in self._places:
                yield ImportedLabel(image.name, partial(self._load, image), self._path, image.size)

    def warnings(self) -> list[str]:
        """A sentence for everything that was not as it should be."""
        counts = {
            **self._images.counts,
            "annotations belong to images the file does not list; they are left out": len(
                self._places.keys() - self._images.listed.keys()
            ),
            "images have no annotation; they are left out": len(self._images.listed.keys() - self._places.keys()),
        }
        return [f"{self._path.name}: {count:,} {what}." for what, count in counts.items() if count]

    def _add(self, record: JsonRecord) -> None:
        value = record.value if isinstance(record.value, dict) else {}
        number = value.get("image_id")
        if is_id(number) and isinstance(value.get("segments_info"), list):
            self._places.setdefault(number, []).append(record.place)

    def _load(self, image: ListedImage, request: LoadRequest) -> SegmentMap:
        self._images.check(image)
        if len(self._places[image.id]) > 1:
            raise FormatError(f"{image.name} has two annotations in {self._path.name}.", "Remove one of them.")
        (place,) = self._places[image.id]
        (annotation,) = records_at(self._path, [place])
        file_name = annotation.get("file_name")
        if not isinstance(file_name, str):
            raise FormatError(f"{self._path.name} names no PNG for {image.name}.", "Correct the file.")
        numbers = _read_numbers(self._folder / safe_name(file_name), image.name, request)
        return self._painted(numbers, _segments(annotation, image.name), image.name, request)

    def _painted(
        self, numbers: Numbers, segments: Mapping[int, Mapping[str, Any]], name: str, request: LoadRequest
    ) -> SegmentMap:
        """Paints a strip with one pixel a segment, and from it the image, so that many segments take little time."""
        seen = np.zeros(int(numbers.max(initial=0)) + 1, dtype=np.bool_)
        seen[numbers] = True
        present = np.flatnonzero(seen)
        painter = MapPainter(replace(request, width=present.size, height=1), name)
        dot = np.ones((1, 1), dtype=np.bool_)
        own_numbers = self.categories.numbers
        for column, number in enumerate(present.tolist()):
            place = Rect(0, column, 1, 1)
            if number == _VOID:
                painter.void(dot, place)
                continue
            if number not in segments:
                raise FormatError(
                    f"The PNG of {name} holds the segment {number}, which segments_info does not list.",
                    "Correct the file.",
                )
            segment = segments[number]
            own = own_segment(segment)
            painter.paint(
                dot,
                place,
                own_numbers.get(segment["category_id"], segment["category_id"]),
                instance=None if own is None else own != PLAIN,
                crowd=is_crowd(segment),
                segment_id=number if own is None else own,
            )
        strip = painter.finish()
        table = np.zeros(seen.size, dtype=np.uint16)
        table[present] = strip.ids[0]
        return SegmentMap(table[numbers], np.ones(numbers.shape, dtype=np.bool_), strip.segments)


def _segments(annotation: Mapping[str, Any], name: str) -> dict[int, Mapping[str, Any]]:
    """The segments of an image by their numbers.

    Raises:
        FormatError: One has no number or category, or shares its number.
    """
    segments: dict[int, Mapping[str, Any]] = {}
    for segment in annotation["segments_info"]:
        number = whole(segment.get("id")) if isinstance(segment, dict) else None
        category_number = whole(segment.get("category_id")) if number is not None else None
        if number is None or category_number is None:
            raise FormatError(f"A segment of {name} has no id or no category.", "Correct the file.")
        if number in segments:
            raise FormatError(f"Two segments of {name} have the id {number}.", "Give each its own.")
        segments[number] = {**segment, "category_id": category_number}
    return segments


def _png_folder(path: Path) -> Path:
    """Where the PNGs of a document are: in a folder of its name, beside it or one folder up."""
    candidates = (path.with_suffix(""), path.parent.parent / path.stem, path.parent / PANOPTIC)
    for folder in candidates:
        if folder.is_dir():
            return folder
    raise FormatError(
        f"The PNGs of {path.name} are not there.", f"Put them into a folder called {path.stem} beside it."
    )


def _read_numbers(path: Path, name: str, request: LoadRequest) -> Numbers:
    """(H, W) the numbers a PNG holds, known to fit its image before it is decoded.

    Raises:
        FormatError: It has another size, or is no RGB PNG.
        ImageError: It cannot be read.
    """
    info = probe(path)
    if info.format != "PNG" or info.mode not in ("RGB", "RGBA") or info.bits != 8:
        raise FormatError(f"{path.name} is no RGB PNG ({info.format}, {info.mode}).", "Use the panoptic PNGs.")
    check_size((info.width, info.height), name, request.width, request.height, path.name)
    padded = np.zeros((info.height, info.width, 4), dtype=np.uint8)
    padded[:, :, :3] = read_image(path).rgb
    return padded.view("<u4")[:, :, 0].astype(np.uint32, copy=False)
