"""PASCAL VOC: palette PNGs of classes and objects, JPEG images, boxes of objects, and lists of who is in which set.

The folder is laid out flat, as VOC's own year folders are. Readers that insist on ``VOCdevkit/VOC2012`` (torchvision)
find that path inside as a folder of links, unless the export goes to a folder of that name to begin with.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import IGNORE, Catalog, voc_color
from segstudio.core.errors import FormatError, ImageError
from segstudio.core.segmentmap import FIRST_SEGMENT_ID, SegmentMap
from segstudio.formats.base import CancelCallback, ImportedLabel, ImportSource, LoadRequest, check_size
from segstudio.formats.classes import source_classes
from segstudio.formats.index_png import read_fitting
from segstudio.formats.lists import FlatJpegWriter, write_lists
from segstudio.formats.objects import FIRST_OBJECT, add_objects
from segstudio.formats.tables import declared_classes, write_labelmap
from segstudio.formats.voc_xml import Annotation, annotation_xml, read_annotation
from segstudio.formats.writer import Entry, Finished, Written
from segstudio.imaging.contours import bounding_rects
from segstudio.imaging.decode import find_images, probe, read_labels, write_index_png
from segstudio.imaging.labels import LabelArray, look_up

IMAGES: Final = "JPEGImages"
CLASSES: Final = "SegmentationClass"
OBJECTS: Final = "SegmentationObject"
ANNOTATIONS: Final = "Annotations"
SETS: Final = ("ImageSets/Segmentation", "ImageSets/Main")  # for readers of masks, and of boxes
_DEVKIT: Final = "VOCdevkit"
_YEAR: Final = "VOC2012"
_YEAR_PATTERN: Final = re.compile(r"VOC20\d\d")
_OFFICIAL_ID: Final = re.compile(r"(20\d\d_)?\d{6}")
_MOST_OBJECTS: Final = 254  # of an 8-bit object PNG: 0 is no object, 255 void
_VOID_16: Final = 65535


class VocWriter(FlatJpegWriter):
    """Writes VOC folders.

    An image with more than 254 objects gets a 16-bit greyscale object PNG (void = 65535) instead of a palette PNG:
    VOC has no better answer, and dropping objects would be worse. What VOC has no place for (crowds, segment ids) is in
    elements of the annotations that other programs pass over.
    """

    def begin(self) -> None:
        """Makes the folders."""
        for part in (IMAGES, CLASSES, OBJECTS, ANNOTATIONS):
            (self.folder / part).mkdir(parents=True, exist_ok=True)

    def write(self, entry: Entry, labels: SegmentMap) -> Written:
        """Writes the image, both PNGs and the annotation."""
        placed = self.place(entry, f"{IMAGES}/{entry.name}.jpg", labels)
        classes = labels.semantic()
        target = f"{entry.name}.png"
        (self.folder / CLASSES / target).write_bytes(write_index_png(None, classes, self.catalog.color_table()))
        boxes = bounding_rects(labels.ids, FIRST_SEGMENT_ID)
        numbers = _object_numbers(list(boxes))
        objects = _object_array(labels, numbers)
        palette = _object_palette() if objects.dtype == np.uint8 else None
        (self.folder / OBJECTS / target).write_bytes(write_index_png(None, objects, palette))
        marked = {number: (labels.segments[i], boxes[i]) for i, number in numbers.items()}
        xml = annotation_xml(placed.file, (labels.width, labels.height), marked, self.catalog)
        (self.folder / ANNOTATIONS / f"{entry.name}.xml").write_text(xml, encoding="utf-8")
        warnings = []
        if objects.dtype != np.uint8:
            warnings.append(f"{entry.image.name} has more than {_MOST_OBJECTS} objects; its object PNG has 16 bits.")
        crowds = sum(labels.segments[i].crowd for i in numbers)
        counts = placed.counts | {"Crowds that are plain objects to other programs": crowds}
        return Written(placed.file, warnings=tuple(warnings), counts=counts)

    def finish(self, images: Sequence[Finished]) -> None:
        """Writes the lists, and the second layout that some readers insist on."""
        for part in SETS:
            write_lists(self.folder / part, images)
        write_labelmap(self.folder, self.catalog)
        if not _is_year_folder(self.context.out):
            self.notes += _link_devkit(self.folder)


def _object_numbers(used: list[int]) -> dict[int, int]:
    """Segment id (ascending) -> object number from 1; it keeps its own (256 is object 1) where 8 bits allow."""
    if used and len(used) <= _MOST_OBJECTS < used[-1] - FIRST_SEGMENT_ID + FIRST_OBJECT:
        return {segment_id: number for number, segment_id in enumerate(used, start=FIRST_OBJECT)}
    return {segment_id: segment_id - FIRST_SEGMENT_ID + FIRST_OBJECT for segment_id in used}


def _object_array(labels: SegmentMap, numbers: dict[int, int]) -> LabelArray:
    """(H, W) object numbers, 0 = none; 8 bits with void = 255 where they fit, else 16 with void = 65535."""
    deep = len(numbers) > _MOST_OBJECTS
    table: LabelArray = np.zeros(1 << 16, dtype=np.uint16) if deep else np.zeros(1 << 16, dtype=np.uint8)
    table[IGNORE] = _VOID_16 if deep else IGNORE
    for segment_id, number in numbers.items():
        table[segment_id] = number
    return look_up(table, labels.ids)


@cache
def _object_palette() -> npt.NDArray[np.uint8]:
    table = np.array([voc_color(i) for i in range(256)], dtype=np.uint8)
    table[IGNORE] = Catalog().color_table()[IGNORE]
    return table


def _is_year_folder(folder: Path) -> bool:
    return folder.parent.name == _DEVKIT and _YEAR_PATTERN.fullmatch(folder.name) is not None


def _link_devkit(folder: Path) -> list[str]:
    """Links rather than a second layout: the data lie once, and both kinds of readers find them."""
    year = folder / _DEVKIT / _YEAR
    if year.exists():  # of an export that was interrupted
        shutil.rmtree(year)
    year.mkdir(parents=True)
    try:
        for part in (IMAGES, CLASSES, OBJECTS, ANNOTATIONS, "ImageSets"):
            (year / part).symlink_to(Path("..", "..", part), target_is_directory=True)
    except OSError:  # Windows allows links only to some people
        for link in year.iterdir():
            link.unlink()
        year.rmdir()
        year.parent.rmdir()
        return [f"For torchvision, export to a folder called {_DEVKIT}/{_YEAR}."]
    return []


class VocImporter:
    """Reads VOC folders: SegmentationClass, and SegmentationObject and Annotations where they exist."""

    def read(self, source: Path, *, cancelled: CancelCallback | None = None) -> ImportSource:
        """The labels below `source`: see `Importer`. Every pixel is decided, void as ignore."""
        base = _find_base(source)
        scan = find_images(base / CLASSES)
        labels = [
            ImportedLabel(path.stem, partial(_load, path, base), path)
            for path in scan.paths
            if path.suffix.lower() == ".png"
        ]
        if not labels:
            raise FormatError(f"{base.name}/{CLASSES} holds no PNG.", "Choose another folder.")
        classes = declared_classes(base, source)
        if not classes and _is_official(base, labels):
            classes = source_classes(Catalog.from_palette("voc"))
        return ImportSource(labels, classes, [*scan.problems])


def _find_base(source: Path) -> Path:
    candidates = [source, source.parent, *sorted(source.glob("VOC20??")), *sorted(source.glob(f"{_DEVKIT}/VOC20??"))]
    for folder in candidates:
        # The parent counts only for somebody who chose the folder of PNGs itself.
        if (folder / CLASSES).is_dir() and (folder != source.parent or source.name == CLASSES):
            return folder
    if any((folder / ANNOTATIONS).is_dir() for folder in candidates if folder != source.parent):
        raise FormatError(
            f"{source.name} holds {ANNOTATIONS} but no {CLASSES}: boxes alone are no labels of pixels.",
            f"Choose a VOC folder with {CLASSES}.",
        )
    raise FormatError(
        f"{source.name} is not a VOC folder: it has no {CLASSES}.", f"Choose the folder that holds {CLASSES}."
    )


def _is_official(base: Path, labels: Sequence[ImportedLabel]) -> bool:
    """True for the data as published, whose numbers stand for VOC's own classes."""
    published = (base / SETS[0]).is_dir() and (base / IMAGES).is_dir()
    return published and all(_OFFICIAL_ID.fullmatch(label.name) for label in labels)


def _load(class_path: Path, base: Path, request: LoadRequest) -> SegmentMap:
    classes = request.table.apply(_read_classes(class_path, request), class_path.name)
    labels = SegmentMap.from_semantic(classes)
    xml_path = base / ANNOTATIONS / f"{class_path.stem}.xml"
    annotation = read_annotation(xml_path) if xml_path.is_file() else Annotation(None, {})
    if annotation.size is not None:
        check_size(annotation.size, class_path.name, labels.width, labels.height, f"{ANNOTATIONS}/{xml_path.name}")
    object_path = base / OBJECTS / class_path.name
    if object_path.is_file():
        objects = read_labels(object_path)
        if objects.shape != classes.shape:
            raise FormatError(
                f"{OBJECTS}/{object_path.name} is {objects.shape[1]} x {objects.shape[0]} pixels,"
                f" but {CLASSES}/{class_path.name} is {classes.shape[1]} x {classes.shape[0]}.",
                "Make both the same size.",
            )
        void = IGNORE if objects.dtype == np.uint8 else _VOID_16
        background = None if annotation.marks else request.table.catalog.background_id
        add_objects(labels, objects, void=void, background=background, marks=annotation.marks)
    return labels


def _read_classes(path: Path, request: LoadRequest) -> LabelArray:
    try:
        return read_fitting(path, request)
    except ImageError as error:
        if probe(path).mode not in ("RGB", "RGBA"):
            raise
        raise ImageError(error.message, 'Import the folder as "color-png", which reads colours.') from error
