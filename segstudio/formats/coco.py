"""COCO instances: one JSON file with compressed run lengths, holes kept, and the images beside it.

Everything a segment map says survives: the extra key ``void`` of an image holds its ignored and undecided pixels, and
``segment_id`` of an annotation the instance it was. Other programs pass over both.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import IGNORE, Catalog, Kind
from segstudio.core.errors import ImageError
from segstudio.core.geometry import Rect
from segstudio.core.segmentmap import FIRST_SEGMENT_ID, SegmentMap
from segstudio.formats.base import (
    CancelCallback,
    ExportReport,
    LabelledImage,
    ProgressCallback,
    check_size,
    load_for_export,
    renamed_warning,
    safe_name,
    unique_names,
    walk,
)
from segstudio.formats.output import staged_output, write_classes, write_upright
from segstudio.imaging import rle
from segstudio.imaging.contours import bounding_rects, components_with_rects

IMAGES: Final = "images"
ANNOTATIONS: Final = "annotations"
INSTANCES: Final = "instances.json"


class CocoExporter:
    """Writes ``annotations/instances.json`` and ``images/``; file names are relative to ``images/``."""

    def export(
        self,
        images: Sequence[LabelledImage],
        catalog: Catalog,
        out: Path,
        *,
        progress: ProgressCallback | None = None,
        cancelled: CancelCallback | None = None,
    ) -> ExportReport:
        """What was written to `out`: see `Exporter`."""
        safe = [safe_name(image.name) for image in images]
        names = unique_names(safe)
        warnings = renamed_warning(safe, names)
        with staged_output(out) as folder:
            (folder / IMAGES).mkdir()
            (folder / ANNOTATIONS).mkdir()
            with _JsonWriter(folder / ANNOTATIONS / INSTANCES, catalog) as writer:
                for index, image in walk(images, progress, cancelled):
                    try:
                        labels = load_for_export(image, catalog)
                        file_name = _copy(folder / IMAGES, names[index], image, labels)
                    except ImageError as error:
                        warnings.append(f"{image.name} was left out: {error.message}")
                    else:
                        writer.add(file_name, image.split, labels)
            write_classes(folder, catalog)
        return ExportReport(writer.images, warnings, len(images) - writer.images)


def _copy(folder: Path, name: str, image: LabelledImage, labels: SegmentMap) -> str:
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    info, written = write_upright(image.path, target)
    check_size(labels, image.name, info.width, info.height)
    return written.relative_to(folder).as_posix()


class _JsonWriter:
    """The JSON file, written image by image: annotations go to a second file that is appended at the end."""

    def __init__(self, path: Path, catalog: Catalog) -> None:
        self.images = 0
        self._path = path
        self._annotations_path = path.with_suffix(".part")
        self._catalog = catalog
        self._annotations = 0

    def __enter__(self) -> _JsonWriter:
        self._main: IO[str] = self._path.open("w", encoding="utf-8")
        self._part: IO[str] = self._annotations_path.open("w", encoding="utf-8")
        info = {"description": "Exported by SegStudio", "version": "1.0"}
        self._main.write(f'{{"info": {json.dumps(info)}, "licenses": [],\n')
        self._main.write(f'"categories": {json.dumps(_categories(self._catalog), ensure_ascii=False)},\n"images": [')
        return self

    def __exit__(self, kind: object, value: object, traceback: object) -> None:
        try:
            self._part.close()
            if kind is None:
                self._main.write('],\n"annotations": [')
                with self._annotations_path.open(encoding="utf-8") as part:
                    shutil.copyfileobj(part, self._main)
                self._main.write("]}\n")
        finally:
            self._main.close()
        self._annotations_path.unlink()

    def add(self, file_name: str, split: str, labels: SegmentMap) -> None:
        """Writes the records of one image."""
        self.images += 1
        record: dict[str, Any] = {
            "id": self.images,
            "width": labels.width,
            "height": labels.height,
            "file_name": file_name,
            "split": str(split),
        }
        void = labels.semantic() == IGNORE
        if void.any():
            record["void"] = rle.encode(void)
        self._write(self._main, record, first=self.images == 1)
        for annotation in _annotations(labels, self._catalog):
            self._annotations += 1
            head = {"id": self._annotations, "image_id": self.images}
            self._write(self._part, head | annotation, first=self._annotations == 1)

    @staticmethod
    def _write(stream: IO[str], record: dict[str, Any], *, first: bool) -> None:
        stream.write(("\n" if first else ",\n") + json.dumps(record, ensure_ascii=False))


def _categories(catalog: Catalog) -> list[dict[str, Any]]:
    return [
        {
            "id": category_id(catalog, c.id),
            "name": c.name,
            "supercategory": "",
            "class_id": c.id,
            "color": list(c.color),
            "isthing": int(c.kind is Kind.THING),
        }
        for c in catalog
        if c.id != catalog.background_id
    ]


def category_id(catalog: Catalog, class_id: int) -> int:
    """COCO's number of a class: its id, or one more where 0 is a real class, since COCO counts from 1."""
    shift = 1 if 0 in catalog and catalog.background_id is None else 0
    return class_id + shift


def _annotations(labels: SegmentMap, catalog: Catalog) -> Iterator[dict[str, Any]]:
    """One annotation a segment; for plain classes, one a connected part (thing) or one in all (stuff)."""
    for segment_id, rect in bounding_rects(labels.ids, FIRST_SEGMENT_ID).items():
        segment = labels.segments[segment_id]
        part = labels.ids[rect.slices] == segment_id
        yield _annotation(part, rect, labels, catalog, segment.class_id, crowd=segment.crowd) | {
            "segment_id": segment_id
        }
    for class_id, rect in bounding_rects(labels.ids).items():
        if class_id not in catalog or class_id == catalog.background_id:
            continue
        mask = labels.ids[rect.slices] == class_id
        if catalog[class_id].kind is Kind.STUFF:
            yield _annotation(mask, rect, labels, catalog, class_id)
            continue
        parts, rects = components_with_rects(mask)
        for number, inner in enumerate(rects, start=1):
            place = Rect(rect.top + inner.top, rect.left + inner.left, inner.height, inner.width)
            yield _annotation(parts[inner.slices] == number, place, labels, catalog, class_id)


def _annotation(
    part: npt.NDArray[np.bool_],
    rect: Rect,
    labels: SegmentMap,
    catalog: Catalog,
    class_id: int,
    *,
    crowd: bool = False,
) -> dict[str, Any]:
    return {
        "category_id": category_id(catalog, class_id),
        "segmentation": rle.encode_part(part, rect, labels.height, labels.width),
        "area": int(np.count_nonzero(part)),
        "bbox": [rect.left, rect.top, rect.width, rect.height],
        "iscrowd": int(crowd),
    }
