"""What COCO's formats are written from: the parts of a segment map, its categories, the records of its images."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import Catalog, Kind, LabelClass
from segstudio.core.geometry import Rect
from segstudio.core.segmentmap import SegmentMap
from segstudio.formats.base import LabelledImage
from segstudio.formats.coco_json import ANNOTATIONS, write_document
from segstudio.formats.coco_records import PLAIN
from segstudio.formats.names import label_names
from segstudio.formats.options import SHORT_SPLITS
from segstudio.formats.writer import Entry, FormatWriter, Written
from segstudio.imaging import rle
from segstudio.imaging.contours import connected_components

IMAGES: Final = "images"
ANNOTATION_LIST: Final = "annotations"


class DocumentWriter(FormatWriter):
    """What COCO's writers share: records numbered over all lists, and documents of one list or of all."""

    def number(self, key: str) -> int:
        """The id of the next record of that kind, from 1."""
        return 1 + sum(self.streams.count(_stream(key, split)) for split in SHORT_SPLITS)

    def append(self, key: str, split: str, record: str) -> None:
        """Adds a record, JSON, of an image in a list."""
        self.streams.append(_stream(key, split), record)

    def append_image(self, written: Mapping[str, Any], split: str) -> int:
        """Adds the record of an image; gives its id."""
        number = self.number(IMAGES)
        self.append(IMAGES, split, json.dumps({"id": number, **written}, ensure_ascii=False))
        return number

    def add(self, entry: Entry, written: Written) -> None:
        """Numbers an image and its annotations (see `annotation`), from 1 over all lists."""
        image, annotations = written.record
        image_id = self.append_image(image, entry.split)
        for number, record in enumerate(annotations, start=self.number(ANNOTATION_LIST)):
            self.append(ANNOTATION_LIST, entry.split, f'{{"id": {number}, "image_id": {image_id}, {record}')

    def write_document(self, title: str, splits: Sequence[str], categories: Sequence[Mapping[str, Any]]) -> None:
        """Leaves a document of some lists in ``annotations``."""
        lists = {key: [_stream(key, split) for split in splits] for key in (IMAGES, ANNOTATION_LIST)}
        write_document(self.folder / ANNOTATIONS / f"{title}.json", categories, lists, self.streams)


def _stream(key: str, split: str) -> str:
    return f"{key}-{split}"


def paired_names(images: Sequence[LabelledImage]) -> list[str]:
    """A PNG for each image, so that label and image differ in their suffix only: readers find one by the other."""
    return label_names([image.name for image in images], ".png")


def paired_image(entry: Entry) -> str:
    """The name of an image beside its PNG (see `paired_names`)."""
    return PurePosixPath(entry.name).with_suffix(PurePosixPath(entry.image.name).suffix).as_posix()


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What becomes one annotation: an instance, or a connected part of a plain class.

    Attributes:
        class_id: Of the project.
        segment_id: The instance, `PLAIN` for none.
        crowd: It stands for many objects.
        region: Its pixels.
    """

    class_id: int
    segment_id: int = PLAIN
    crowd: bool = False
    region: rle.Region


@dataclass(frozen=True, slots=True)
class Labelled:
    """The parts of a segment map, and where no class may be claimed (None for nowhere)."""

    parts: list[Part]
    void: rle.Rle | None


def category_id(catalog: Catalog, class_id: int) -> int:
    """COCO's number of a class: its id, or one more where 0 is a real class, since COCO counts from 1."""
    return class_id + int(0 in catalog and catalog.background_id is None)


def category(label_class: LabelClass, number: int) -> dict[str, Any]:
    """The record of a class under COCO's number; `class_id` is the project's own."""
    return {
        "id": number,
        "name": label_class.name,
        "supercategory": "",
        "class_id": label_class.id,
        "color": list(label_class.color),
        "isthing": int(label_class.kind is Kind.THING),
    }


def annotation(
    number: int, segmentation: object, *, area: int, rect: Rect, segment_id: int = PLAIN, crowd: bool = False
) -> str:
    """The JSON of an annotation of category `number`, less its opening brace, ids and image, which come later."""
    record = {
        "category_id": number,
        "segmentation": segmentation,
        "area": area,
        "bbox": [rect.left, rect.top, rect.width, rect.height],
        "iscrowd": int(crowd),
        "segment_id": segment_id,
    }
    return json.dumps(record).removeprefix("{")


def image_record(file_name: str, entry: Entry, labels: SegmentMap) -> dict[str, Any]:
    """The record of an image but for its id; `name` is the project's, where the file has another."""
    record = {"width": labels.width, "height": labels.height, "file_name": file_name, "split": entry.split}
    return record if file_name == entry.image.name else {**record, "name": entry.image.name}


def labelled_parts(labels: SegmentMap, catalog: Catalog) -> Labelled:
    """One part for each instance and each plain stuff class, and one for each connected part of a plain thing class.

    The background is no part, it is what remains; nor are instances of it.
    """
    parts: list[Part] = []
    void: list[rle.Region] = []
    things: list[rle.Region] = []
    for region in rle.encode_regions(labels.ids):
        segment = labels.segments.get(region.value)
        class_id = segment.class_id if segment else region.value
        if class_id == catalog.background_id:
            continue
        if class_id not in catalog:
            void.append(region)
        elif segment is not None:
            parts.append(Part(class_id=class_id, segment_id=segment.id, crowd=segment.crowd, region=region))
        elif catalog[class_id].kind is Kind.STUFF:
            parts.append(Part(class_id=class_id, region=region))
        else:
            things.append(region)
    connected = connected_parts(labels.ids, things)
    return Labelled([*connected, *parts], _union(labels, void))


def connected_parts(ids: npt.NDArray[np.uint16], regions: Sequence[rle.Region]) -> Iterator[Part]:
    """The 8-connected parts of regions of plain classes."""
    numbered, owners = number_parts(ids, regions)
    several = set(owners)
    yield from (Part(class_id=r.value, region=r) for r in regions if r.value not in several)
    for region in rle.encode_regions(numbered, lowest=1) if owners else ():
        yield Part(class_id=owners[region.value - 1], region=region)


def number_parts(ids: npt.NDArray[np.uint16], regions: Iterable[rle.Region]) -> tuple[npt.NDArray[np.int32], list[int]]:
    """(numbered, owners): (H, W) parts numbered from 1 of the regions that have several, 0 elsewhere; part k belongs to
    the region of the value ``owners[k - 1]``.
    """
    numbered = np.zeros(ids.shape, dtype=np.int32)
    owners: list[int] = []
    for region in regions:
        mask = ids[region.rect.slices] == region.value
        components, count = connected_components(mask)
        if count > 1:
            inside = numbered[region.rect.slices]
            inside += components
            inside += mask * np.int32(len(owners))
            owners += [region.value] * count
    return numbered, owners


def _union(labels: SegmentMap, regions: Sequence[rle.Region]) -> rle.Rle | None:
    if len(regions) < 2:
        return regions[0].rle if regions else None
    return rle.encode(np.isin(labels.ids, [region.value for region in regions]))
