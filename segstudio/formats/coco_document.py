"""COCO's instances and stuff read: what a document lists, and the annotations of one image painted.

Stock files overlap a little and order nothing, so that what lies on top is a matter of choice: crowds first, then the
larger before the smaller by their ``area``, in the order of the file where they are equal. A small thing on a large one
stays whole that way. Boxes without a mask are void: something is there, and nobody said where.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from segstudio.core.errors import FormatError
from segstudio.core.geometry import Rect
from segstudio.core.segmentmap import SegmentMap
from segstudio.formats.base import CancelCallback, ImportedLabel, LoadRequest
from segstudio.formats.classes import SourceClass
from segstudio.formats.coco_json import JsonRecord, Place, read_records, records_at
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
from segstudio.formats.painting import MapPainter
from segstudio.imaging import rle
from segstudio.imaging.fills import Mask, fill_coco
from segstudio.imaging.polygons import sanitised

CROWD_RANK: Final = 1e300
_BOX_RANK: Final = math.inf
_FEWEST_NUMBERS: Final = 6  # of a polygon; less has no inside


class CocoDocument:
    """A document of instances or stuff: its images with the places of their annotations, read once from end to end.

    Takes some 30 bytes an annotation, however large the masks are.
    """

    def __init__(self, path: Path, *, instances: bool | None = None, cancelled: CancelCallback | None = None) -> None:
        """Reads the document.

        Args:
            path: The JSON file.
            instances: Whether annotations are objects of their own; None: where the project's class is a thing.
            cancelled: See `Importer.read`.

        Raises:
            FormatError: It is none, or holds no mask.
        """
        self._path = path
        self._instances = instances
        self._images = Images()
        self._categories = Categories(path.name)
        self._owners: dict[Hashable, int] = {}
        self._of = array("q")
        self._offsets, self._lengths, self._ranks = array("q"), array("q"), array("d")
        self._counts: Counter[str] = Counter()
        readers: dict[str, Callable[[JsonRecord], None]] = {
            "images": self._images.add,
            "annotations": self._add,
            "categories": lambda record: self._categories.add(record.value),
        }
        for record in read_records(path, cancelled=cancelled):
            if record.key in readers:
                readers[record.key](record)
        if not self._images.listed:
            raise FormatError(f"{path.name} is not a COCO file: it lists no images.", "Choose another file.")
        if self._counts and not self._of:
            raise FormatError(f"{path.name} holds neither masks nor boxes.", "Choose the file of instances.")
        self._numbers = self._categories.numbers
        self._sort()

    @property
    def labels(self) -> list[ImportedLabel]:
        """One for each image."""
        return [
            ImportedLabel(image.name, partial(self._load, image), self._path, image.size)
            for image in self._images.listed.values()
        ]

    @property
    def classes(self) -> tuple[SourceClass, ...]:
        """Its categories."""
        return self._categories.classes

    @property
    def warnings(self) -> list[str]:
        """A sentence for everything that was not as it should be."""
        unknown = sum(
            int(self._bounds[owner + 1] - self._bounds[owner])
            for number, owner in self._owners.items()
            if number not in self._images.listed
        )
        counts = self._counts + self._images.counts
        if not self._of:
            counts["images have no annotation, nor has any other"] = len(self._images.listed)
        counts["annotations belong to images the file does not list; they are left out"] = unknown
        return [f"{self._path.name}: {count:,} {what}." for what, count in counts.items() if count]

    def _add(self, record: JsonRecord) -> None:
        """Takes in the place of one annotation."""
        value = record.value
        number = value.get("image_id") if isinstance(value, dict) else None
        if not is_id(number):
            self._counts["annotations name no image; they are left out"] += 1
            return
        if value.get("segmentation"):
            rank = CROWD_RANK if is_crowd(value) else _area(value)
        elif _box(value) is not None:
            self._counts["annotations have a box but no mask; their boxes are void where nothing else lies"] += 1
            rank = _BOX_RANK
        else:
            self._counts["annotations have neither mask nor box; they are left out"] += 1
            return
        self._of.append(self._owners.setdefault(number, len(self._owners)))
        self._offsets.append(record.place.offset)
        self._lengths.append(record.place.length)
        self._ranks.append(rank)

    def _sort(self) -> None:
        """Annotations by image, in the order they are painted."""
        of = np.frombuffer(self._of, dtype=np.int64)
        order = np.lexsort((-np.frombuffer(self._ranks), of))
        self._places = np.stack((np.frombuffer(self._offsets, np.int64), np.frombuffer(self._lengths, np.int64)))[
            :, order
        ]
        self._bounds = np.searchsorted(of[order], np.arange(len(self._owners) + 1))

    def _load(self, image: ListedImage, request: LoadRequest) -> SegmentMap:
        self._images.check(image)
        painter = MapPainter(request, image.name)
        seen: set[Hashable] = set()
        for annotation in records_at(self._path, self._places_of(image)):
            if is_id(number := annotation.get("id")):
                if number in seen:
                    raise FormatError(f"{image.name} has two annotations {number}.", "Remove one of them.")
                seen.add(number)
            self._paint(painter, annotation, image, request)
        (record,) = records_at(self._path, [image.place])
        if (void := record.get("void")) is not None:
            painter.void(*_drawn(void, request, f"The void of {image.name}"))
        return painter.finish()

    def _places_of(self, image: ListedImage) -> list[Place]:
        owner = self._owners.get(image.id)
        if owner is None:
            return []
        own = self._places[:, self._bounds[owner] : self._bounds[owner + 1]]
        return [Place(offset, length) for offset, length in own.T.tolist()]

    def _paint(
        self, painter: MapPainter, annotation: Mapping[str, Any], image: ListedImage, request: LoadRequest
    ) -> None:
        where = f"Annotation {annotation.get('id', '?')!s:.40} of {image.name}"
        if not annotation.get("segmentation"):
            rect = _box_rect(_box(annotation), request)
            painter.void(np.ones((rect.height, rect.width), dtype=np.bool_), rect)
            return
        category = whole(annotation.get("category_id"))
        if category is None:
            raise FormatError(f"{where} has no category.", "Give it the id of one.")
        mask, rect = _drawn(annotation["segmentation"], request, where)
        if rect.is_empty:
            return
        own = own_segment(annotation)
        painter.paint(
            mask,
            rect,
            self._numbers.get(category, category),
            instance=self._instances if own is None else own != PLAIN,
            crowd=is_crowd(annotation),
            segment_id=own,
        )


def _drawn(segmentation: object, request: LoadRequest, where: str) -> tuple[Mask, Rect]:
    """(mask, box) of run lengths or polygons, as pycocotools draws them.

    Raises:
        FormatError: They are neither.
    """
    try:
        if isinstance(segmentation, dict):
            return rle.decode_part(_with_whole_size(segmentation), shape=(request.height, request.width))
        if not isinstance(segmentation, list):
            raise ValueError(f"a mask is run lengths or polygons, not {type(segmentation).__name__}")
        polygons = segmentation if segmentation and isinstance(segmentation[0], list) else [segmentation]
        sane = [sanitised(p, request.width, request.height) for p in polygons if not _is_flat(p)]
        return fill_coco(sane, request.height, request.width)
    except ValueError as error:
        raise FormatError(f"{where} cannot be drawn: {error}.", "Correct or remove it.") from error


def _is_flat(polygon: object) -> bool:
    """True for a point or a line, which some programs write among polygons."""
    if not isinstance(polygon, list) or len(polygon) >= _FEWEST_NUMBERS:
        return False
    return all(isinstance(number, int | float) for number in polygon)


def _with_whole_size(segmentation: Mapping[str, Any]) -> Mapping[str, Any]:
    """Run lengths whose size is written as 480.0 x 640.0 mean what they say."""
    size = segmentation.get("size")
    if not isinstance(size, list):
        return segmentation
    return {**segmentation, "size": [int(s) if isinstance(s, float) and s.is_integer() else s for s in size]}


def _area(annotation: Mapping[str, Any]) -> float:
    """How large an annotation is by its own account; 0 where it gives none, so that it is painted last."""
    value = annotation.get("area")
    if isinstance(value, int | float) and 0 <= value < CROWD_RANK:
        return float(value)
    box = _box(annotation)
    return box[2] * box[3] if box else 0.0


def _box(annotation: Mapping[str, Any]) -> Sequence[float] | None:
    """(x, y, width, height), finite numbers, or None."""
    box = annotation.get("bbox")
    if not isinstance(box, list) or len(box) != 4:
        return None
    if not all(isinstance(v, int | float) and not isinstance(v, bool) and abs(v) < 1e9 for v in box):
        return None
    return box if box[2] > 0 and box[3] > 0 else None


def _box_rect(box: Sequence[float] | None, request: LoadRequest) -> Rect:
    """The pixels a box touches."""
    if box is None:
        return Rect.EMPTY
    left, top = math.floor(box[0]), math.floor(box[1])
    right, bottom = math.ceil(box[0] + box[2]), math.ceil(box[1] + box[3])
    return Rect(top, left, bottom - top, right - left).clipped(request.height, request.width)
