"""COCO instances: one JSON file with compressed run lengths, holes kept, and the images beside it.

With masks, everything a segment map says survives: the extra key ``void`` of an image holds its ignored pixels, and
``segment_id`` of an annotation the instance it was (0 for a region painted without instances). Other programs pass over
both. Only instances of the background become plain background, which is what no annotation covers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import IGNORE
from segstudio.core.geometry import Rect
from segstudio.core.segmentmap import SegmentMap
from segstudio.formats.base import CancelCallback, ImportSource
from segstudio.formats.coco_document import CROWD_RANK, CocoDocument
from segstudio.formats.coco_json import ANNOTATIONS, find_document
from segstudio.formats.coco_parts import (
    IMAGES,
    DocumentWriter,
    Part,
    annotation,
    category,
    category_id,
    image_record,
    labelled_parts,
)
from segstudio.formats.options import SHORT_SPLITS, Shapes, split_lists
from segstudio.formats.regions import painted
from segstudio.formats.writer import Entry, Finished, Survival, Written
from segstudio.imaging import rle
from segstudio.imaging.fills import Mask, fill_coco
from segstudio.imaging.polygons import Outline, keyholed, rings, simplified

INSTANCES: Final = "instances"
_NO_CATEGORY: Final = "Instances of the background, which has no category"


class CocoWriter(DocumentWriter):
    """Writes ``annotations/instances.json``, one more for each list where there are several, and ``images/``."""

    def begin(self) -> None:
        """Makes the folders."""
        for name in (IMAGES, ANNOTATIONS):
            (self.folder / name).mkdir(exist_ok=True)

    def write(self, entry: Entry, labels: SegmentMap) -> Written:
        """Writes the image."""
        placed = self.place(entry, f"{IMAGES}/{entry.name}", labels)
        labelled = labelled_parts(labels, self.catalog)
        annotations = []
        for part in labelled.parts:
            shape = self._shape(part, labels)
            annotations.append(
                annotation(
                    category_id(self.catalog, part.class_id),
                    shape.segmentation,
                    area=shape.area,
                    rect=shape.rect,
                    segment_id=part.segment_id,
                    crowd=part.crowd,
                )
            )
        image = image_record(placed.file.removeprefix(f"{IMAGES}/"), entry, labels)
        if labelled.void is not None:
            image["void"] = labelled.void
        counts = placed.counts | {_NO_CATEGORY: len(self._instances_of_background(labels))}
        return Written(placed.file, (image, annotations), counts=counts)

    def finish(self, images: Sequence[Finished]) -> None:
        """Writes the documents."""
        categories = [
            category(c, category_id(self.catalog, c.id)) for c in self.catalog if c.id != self.catalog.background_id
        ]
        splits = split_lists([image.split for image in images])
        self.write_document(INSTANCES, splits, categories)
        for split in splits:  # even a single one: some readers look for files of lists only
            self.write_document(f"{INSTANCES}_{SHORT_SPLITS[split]}", [split], categories)

    def survives(self, labels: SegmentMap) -> Survival | None:
        """Masks survive; polygons as pycocotools fills them, the larger ones under the smaller."""
        hidden = self._instances_of_background(labels)
        if self.options.shapes is not Shapes.POLYGONS and not hidden:
            return None
        labelled = labelled_parts(labels, self.catalog)
        shapes = [self._shape(part, labels) for part in labelled.parts]
        drawn = [
            (*shape.filled(), shape.part.segment_id or shape.part.class_id)
            for shape in sorted(shapes, key=lambda shape: -shape.rank)
        ]
        void = [] if labelled.void is None else [(*rle.decode_part(labelled.void), IGNORE)]
        return Survival(painted(labels, self.catalog, [*drawn, *void]), Counter({_NO_CATEGORY: len(hidden)}))

    def _instances_of_background(self, labels: SegmentMap) -> list[int]:
        background = self.catalog.background_id
        return [i for i, segment in labels.used_segments().items() if segment.class_id == background]

    def _shape(self, part: Part, labels: SegmentMap) -> _Shape:
        if self.options.shapes is Shapes.MASKS or part.crowd:
            return _Shape(part, part.region.rle, part.region.area, part.region.rect)
        return _polygons(part, labels, self.options.tolerance)


@dataclass(frozen=True, slots=True)
class _Shape:
    """A part as it is written: its run lengths or polygons, and what pycocotools makes of them."""

    part: Part
    segmentation: rle.Rle | list[list[float]]
    area: int
    rect: Rect
    mask: Mask | None = None

    @property
    def rank(self) -> float:
        """By which the importer orders what it paints."""
        return CROWD_RANK if self.part.crowd else self.area

    def filled(self) -> tuple[Mask, Rect]:
        """(mask, box): see `fill_coco`."""
        return (self.mask, self.rect) if self.mask is not None else rle.decode_part(self.part.region.rle)


def _polygons(part: Part, labels: SegmentMap, tolerance: float) -> _Shape:
    """A part as polygons; what would vanish keeps its exact outline."""
    rect = part.region.rect
    mask, _ = rle.decode_part(part.region.rle)
    exact = rings(mask, offset=(rect.left, rect.top))
    for allowed in (tolerance, 0.0):
        polygons = [_polygon(outline, allowed) for outline in exact]
        filled, box = fill_coco(polygons, *labels.shape)
        if not box.is_empty:
            break
    flat = [[int(v) if v.is_integer() else v for v in polygon.ravel().tolist()] for polygon in polygons]
    return _Shape(part, flat, int(np.count_nonzero(filled)), box, filled)


def _polygon(outline: Outline, tolerance: float) -> npt.NDArray[np.float64]:
    """(n, 2) one ring, with the figures that are written: a bridge to a hole may begin between whole numbers."""
    holes = [simplified(hole, tolerance) for hole in outline.holes]
    return np.round(keyholed(simplified(outline.outer, tolerance), holes), 2)


class CocoImporter:
    """Reads instances of any program: polygons and run lengths of both kinds, crowds, and our own extra keys."""

    def read(self, source: Path, *, cancelled: CancelCallback | None = None) -> ImportSource:
        """The labels of a file, or of ``annotations/instances.json`` (or the one other JSON file) of a folder."""
        document = CocoDocument(find_document(source, INSTANCES), cancelled=cancelled)
        return ImportSource(document.labels, document.classes, document.warnings)
