"""What readers of an export should find, worked out from the labels by other means than the exporters'."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from segstudio.core.catalog import IGNORE, Catalog, Kind
from segstudio.core.segmentmap import SegmentMap
from segstudio.formats.base import LoadRequest, load_for_image
from segstudio.formats.classes import ClassTable
from segstudio.formats.exporting import prepared
from segstudio.formats.names import match_labels
from segstudio.formats.options import ExportOptions
from segstudio.formats.registry import format_named
from segstudio.formats.stage import Stage
from segstudio.formats.writer import ExportContext

from .made_up import LabelledData

VOID = "ignored"

Named = tuple[str, str]
"""The name of a class, and the fingerprint of a mask."""


def exported(name: str, project: LabelledData, out: Path, *, options: ExportOptions | None = None) -> Path:
    """A folder with the project in the format of that name."""
    format_named(name).export(project.images, project.catalog, out, options=options)
    return out


def survivors(name: str, project: LabelledData, *, options: ExportOptions | None = None) -> LabelledData:
    """The project as the format's own forecast says it comes back."""
    options = options or ExportOptions()
    stage = Stage(Path(os.devnull))
    writer = format_named(name).writer(
        ExportContext(stage.data, stage.out, project.catalog, options, stage.streams),
    )
    images = []
    for image in project.images:
        labels = prepared(image, project.catalog, options)
        survival = writer.survives(labels)
        images.append(replace(image, load=(labels if survival is None else survival.labels).copy))
    return replace(project, images=images)


def imported(name: str, source: Path, project: LabelledData) -> dict[str, SegmentMap]:
    """The labels of an export as our own importer reads them, by the names of the images."""
    found = format_named(name).importer.read(source)
    table = ClassTable(found.classes, project.catalog)
    unlabelled = IGNORE if project.catalog.background_id is None else project.catalog.background_id
    try:
        matches = match_labels(found.labels, [image.name for image in project.images])
        assert not matches.unmatched
        labels = {}
        for image, label in matches.pairs_of(project.images):
            assert image.width is not None and image.height is not None
            request = LoadRequest(table, image.width, image.height, unlabelled)
            labels[image.name] = load_for_image(label, image.name, request)
    finally:
        found.close()
    return labels


def fingerprint(mask: npt.NDArray[np.bool_]) -> str:
    """What tells a mask (H, W) from every other one of that size; short, since a failing test shows it."""
    return fingerprint_of_bits(np.packbits(mask))


def fingerprint_of_bits(bits: npt.NDArray[np.uint8]) -> str:
    """The same for a mask with eight pixels to a byte, as scripts answer it."""
    return hashlib.blake2b(bits.tobytes(), digest_size=12).hexdigest()


def instances(labels: SegmentMap, catalog: Catalog) -> list[Named]:
    """Class and mask of each instance, sorted."""
    segments = labels.used_segments().values()
    return sorted((catalog[s.class_id].name, fingerprint(labels.ids == s.id)) for s in segments)


def parts(labels: SegmentMap, catalog: Catalog) -> list[Named]:
    """What annotation files list, sorted: instances, stuff, and each connected part of things nobody told apart."""
    found = instances(labels, catalog)
    for label_class in catalog:
        mask = labels.ids == label_class.id
        if label_class.kind is Kind.THING:
            numbered, count = ndimage.label(mask, structure=np.ones((3, 3)))
            found += [(label_class.name, fingerprint(numbered == number)) for number in range(1, count + 1)]
        elif label_class.id != catalog.background_id and mask.any():
            found.append((label_class.name, fingerprint(mask)))
    return sorted(found)


def background(labels: SegmentMap, catalog: Catalog) -> list[Named]:
    """The background, where there is one: formats of whole scenes list it too."""
    number = catalog.background_id
    if number is None or not (labels.ids == number).any():
        return []
    return [(catalog[number].name, fingerprint(labels.ids == number))]


def classes(values: npt.NDArray[np.uint8], catalog: Catalog) -> list[Named]:
    """Class and mask of each class id (H, W), void among them, sorted."""
    return sorted(
        (VOID if value == IGNORE else catalog[value].name, fingerprint(values == value))
        for value in np.unique(values).tolist()
    )


def boxes(labels: SegmentMap, catalog: Catalog) -> list[tuple[str, int, int, int, int]]:
    """Class and (left, top, right, bottom) of each instance, sorted; right and bottom lie outside."""
    found = []
    for segment in labels.used_segments().values():
        rows, columns = np.nonzero(labels.ids == segment.id)
        corners = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        found.append((catalog[segment.class_id].name, *map(int, corners)))
    return sorted(found)


def same_regions(first: SegmentMap, second: SegmentMap, catalog: Catalog) -> bool:
    """True where two maps hold the same classes and instances, whatever numbers the instances have."""
    same_classes = np.array_equal(first.semantic(), second.semantic())
    return same_classes and instances(first, catalog) == instances(second, catalog)
