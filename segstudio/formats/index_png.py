"""Index PNGs: one PNG an image whose values are class ids, 255 = ignore; the bare masks, without images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from segstudio.core.errors import FormatError
from segstudio.core.segmentmap import SegmentMap
from segstudio.formats.base import CancelCallback, ImportedLabel, ImportSource, LabelledImage, LoadRequest
from segstudio.formats.classes import named_classes
from segstudio.formats.names import label_names
from segstudio.formats.objects import add_objects
from segstudio.formats.stage import exported_format
from segstudio.formats.tables import declared_classes
from segstudio.formats.writer import Entry, FormatWriter, Survival, Written
from segstudio.imaging.decode import find_images, probe, read_labels, write_index_png
from segstudio.imaging.labels import LabelArray

_LABELS: Final = "labels"
_INSTANCES: Final = "instances"
_OBJECTS: Final = named_classes(["background", "object"])
_SUFFIXES: Final = frozenset({".png", ".tif", ".tiff", ".bmp"})


class IndexPngWriter(FormatWriter):
    """Writes a palette PNG for each image, in the folders the images lie in, with the catalog's colours."""

    def names(self, images: Sequence[LabelledImage]) -> list[str]:
        """The label files."""
        return label_names([image.name for image in images], ".png")

    def write(self, entry: Entry, labels: SegmentMap) -> Written:
        """Writes the PNG; instances become their classes."""
        target = self.folder / entry.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(write_index_png(None, labels.semantic(), self.catalog.color_table()))
        return Written()

    def survives(self, labels: SegmentMap) -> Survival | None:
        """Classes without instances."""
        return without_instances(labels)


def without_instances(labels: SegmentMap) -> Survival | None:
    """What a format that knows only classes gives back."""
    instances = len(labels.used_segments())
    if not instances:
        return None
    semantic = SegmentMap.from_semantic(labels.semantic(), labels.decided)
    return Survival(semantic, Counter({"Instances that become their class": instances}))


class IndexPngImporter:
    """Reads a folder of index PNGs, or its sub-folder ``labels`` where there is one.

    A folder called ``instances`` (or one that holds such a folder and no ``labels``) is read as instance PNGs instead:
    0 is background, every other number an object of its own, all of one class called "object".
    """

    def read(self, source: Path, *, cancelled: CancelCallback | None = None) -> ImportSource:
        """The labels below `source`: see `Importer`. Every pixel is decided, 255 as ignore."""
        if not source.is_dir():
            raise FormatError(f"{source.name} is not a folder.", "Choose the folder that holds the label PNGs.")
        if exported_format(source) == "index-png":  # its folders are those of the images, whatever they are called
            folder, load = source, load_index_png
        else:
            folder = next((source / part for part in (_LABELS, _INSTANCES) if (source / part).is_dir()), source)
            load = _load_instances if folder.name == _INSTANCES else load_index_png
        scan = find_images(folder)
        labels = [
            ImportedLabel(path.relative_to(folder).with_suffix("").as_posix(), partial(load, path), path)
            for path in scan.paths
            if path.suffix.lower() in _SUFFIXES
        ]
        if not labels:
            raise FormatError(f"{folder.name} holds no label PNG.", "Choose the folder that holds the label PNGs.")
        if load is _load_instances:
            return ImportSource(labels, _OBJECTS, [*scan.problems])
        return ImportSource(labels, declared_classes(folder, source), [*scan.problems])


def load_index_png(path: Path, request: LoadRequest) -> SegmentMap:
    """The segment map of an index PNG, every pixel decided.

    Raises:
        ImageError: It cannot be read, or holds colours.
        FormatError: It has another size than its image, or holds a number that no class has.
    """
    return SegmentMap.from_semantic(request.table.apply(read_fitting(path, request), path.name))


def read_fitting(path: Path, request: LoadRequest) -> LabelArray:
    """(H, W) uint8 or uint16, the numbers in a label image that is known to fit its image before it is decoded.

    Raises:
        ImageError: It cannot be read, or holds colours.
        FormatError: It has another size than its image.
    """
    info = probe(path)
    request.check_size(info.width, info.height, path)
    return read_labels(path)


def _load_instances(path: Path, request: LoadRequest) -> SegmentMap:
    numbers = read_fitting(path, request)
    labels = SegmentMap.from_semantic(request.table.apply((numbers > 0).astype(np.uint8), path.name))
    add_objects(labels, numbers, void=None, background=request.table.catalog.background_id)
    return labels
