"""COCO-Stuff: one grey PNG of class numbers an image, and the same as run lengths, one for each class of an image.

COCO's rule holds for any classes: the value of a pixel is the category id less one, 255 is unlabelled. So the value is
the project's class id, and category 1 is class 0. The background is a category like others. ``labels.txt`` lists names
by category id, as COCO-Stuff's own does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np

from segstudio.core.catalog import IGNORE
from segstudio.core.segmentmap import SegmentMap
from segstudio.formats.base import CancelCallback, ImportedLabel, ImportSource, LabelledImage, LoadRequest
from segstudio.formats.classes import SourceClass
from segstudio.formats.coco_document import CocoDocument
from segstudio.formats.coco_json import ANNOTATIONS, find_documents
from segstudio.formats.coco_parts import (
    IMAGES,
    DocumentWriter,
    annotation,
    category,
    image_record,
    paired_image,
    paired_names,
)
from segstudio.formats.index_png import load_index_png, without_instances
from segstudio.formats.mat_files import read_mat
from segstudio.formats.options import SHORT_SPLITS, split_lists
from segstudio.formats.sources import find_files
from segstudio.formats.tables import declared_classes, numbered_names, write_numbered_names
from segstudio.formats.writer import Entry, Finished, Survival, Written
from segstudio.imaging import rle
from segstudio.imaging.labels import write_index_png

STUFF: Final = "stuff"
MAPS: Final = "stuffthingmaps"
LABELS_TXT: Final = "labels.txt"
_UNLABELLED: Final = "unlabeled"
_MAT_VARIABLE: Final = "S"  # COCO-Stuff 10k: category ids, 0 unlabelled
_FIRST_CATEGORY: Final = 1
_LIST_FOLDER: Final = re.compile(r"(train|val|test|trainval)(20\d\d)?")


class CocoStuffWriter(DocumentWriter):
    """Writes ``stuffthingmaps/LIST``, ``annotations/stuff_LIST.json`` and ``images/LIST``."""

    def names(self, images: Sequence[LabelledImage]) -> list[str]:
        """The PNGs."""
        return paired_names(images)

    def begin(self) -> None:
        """Makes the folders and the list of names."""
        for name in (IMAGES, ANNOTATIONS, MAPS):
            (self.folder / name).mkdir(exist_ok=True)
        names = {c.id + _FIRST_CATEGORY: c.name for c in self.catalog}
        write_numbered_names(self.folder / LABELS_TXT, {0: _UNLABELLED, **names})

    def write(self, entry: Entry, labels: SegmentMap) -> Written:
        """Writes the image and the PNG; instances become their classes."""
        part = SHORT_SPLITS[entry.split]
        placed = self.place(entry, f"{IMAGES}/{part}/{paired_image(entry)}", labels)
        classes = labels.semantic()
        target = self.folder / MAPS / part / entry.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(write_index_png(None, classes))
        image = image_record(placed.file.removeprefix(f"{IMAGES}/{part}/"), entry, labels)
        annotations = []
        for region in rle.encode_regions(classes):
            if region.value == IGNORE:
                image["void"] = region.rle
                continue
            number = region.value + _FIRST_CATEGORY
            annotations.append(annotation(number, region.rle, area=region.area, rect=region.rect))
        return Written(placed.file, (image, annotations), counts=placed.counts)

    def finish(self, images: Sequence[Finished]) -> None:
        """Writes the documents."""
        categories = [category(c, c.id + _FIRST_CATEGORY) for c in self.catalog]
        for split in split_lists([image.split for image in images]):
            self.write_document(f"{STUFF}_{SHORT_SPLITS[split]}", [split], categories)

    def survives(self, labels: SegmentMap) -> Survival | None:
        """Classes without instances."""
        return without_instances(labels)


class CocoStuffImporter:
    """Reads pixel maps (PNG, or COCO-Stuff 10k's MAT-files) where there are any, else the JSON of run lengths."""

    def read(self, source: Path, *, cancelled: CancelCallback | None = None) -> ImportSource:
        """The labels of a folder or of a JSON file: see `Importer`."""
        base, maps = _pixel_maps(source)
        if maps:
            load = {".png": load_index_png, ".mat": _load_mat}
            labels = [ImportedLabel(_name(p, base), partial(load[p.suffix.lower()], p), p) for p in maps]
            above = [folder.parent for folder in (source, *source.parents) if folder.name == MAPS]
            return ImportSource(labels, _classes(base, source, *above))
        documents = [CocoDocument(path, instances=False, cancelled=cancelled) for path in find_documents(source, STUFF)]
        classes = {c.number: c for document in documents for c in document.classes}
        return ImportSource(
            [label for document in documents for label in document.labels],
            tuple(classes.values()),
            [warning for document in documents for warning in document.warnings],
        )


def _pixel_maps(source: Path) -> tuple[Path, list[Path]]:
    """(folder, files) of the pixel maps; the folder itself counts only where no document says that it holds images."""
    documents = any(path for folder in (source, source / ANNOTATIONS) for path in folder.glob("*.json"))
    for folder in (source / MAPS, source / ANNOTATIONS, *([] if documents else [source])):
        if found := find_files(folder, {".png", ".mat"}):
            return folder, found
    return source, []


def _name(path: Path, base: Path) -> str:
    """The image of a pixel map: below the folder of its list."""
    inside = PurePosixPath(path.relative_to(base).with_suffix("").as_posix())
    if len(inside.parts) > 1 and _LIST_FOLDER.fullmatch(inside.parts[0]):
        inside = inside.relative_to(inside.parts[0])
    return inside.as_posix()


def _classes(*folders: Path) -> tuple[SourceClass, ...]:
    """Ours, or those of COCO-Stuff's ``labels.txt``, where such a file lies in one of the folders."""
    if ours := declared_classes(*folders):
        return ours
    for folder in folders:
        if (folder / LABELS_TXT).is_file():
            return _listed(folder / LABELS_TXT)
    return ()


def _listed(path: Path) -> tuple[SourceClass, ...]:
    """The classes of a list of ``id: name``, by the values of their pixels."""
    names = numbered_names(path)
    shift = _FIRST_CATEGORY if names.get(0, "").startswith(_UNLABELLED[:7]) else 0
    return tuple(SourceClass(number=number - shift, name=name) for number, name in names.items() if number >= shift)


def _load_mat(path: Path, request: LoadRequest) -> SegmentMap:
    numbers = read_mat(path, _MAT_VARIABLE, request)
    values = np.where(numbers == 0, np.uint16(IGNORE), numbers - np.uint16(_FIRST_CATEGORY))
    return SegmentMap.from_semantic(request.table.apply(values, path.name))
