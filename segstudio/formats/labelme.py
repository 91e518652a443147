"""labelme: one JSON file beside each image, with exact masks or with polygons that people go on editing.

Shapes are drawn one over the other, as labelme's own ``shapes_to_label`` does, so that holes survive in polygons too:
what lies inside is drawn later. The extra key ``segstudio`` of a shape says whether it is a plain class, an instance or
a crowd; labelme keeps such keys and passes over them. Void is labelled ``__ignore__`` and background ``_background_``,
as labelme's scripts call them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np

from segstudio.core.errors import FormatError
from segstudio.core.ordered import in_order
from segstudio.core.segmentmap import SegmentMap
from segstudio.formats.base import CancelCallback, ImportedLabel, ImportSource, LabelledImage, LoadRequest
from segstudio.formats.classes import SourceClass, named_classes
from segstudio.formats.labelme_shapes import LabelmeFile, labelme_map, read_file
from segstudio.formats.names import renamed_warning, safe_name
from segstudio.formats.options import ImageFiles, Shapes
from segstudio.formats.regions import (
    VOID_LABEL,
    Region,
    fill_layers,
    label_of,
    layers,
    names_with_own_stems,
    numbered,
    objects,
    painted,
)
from segstudio.formats.sources import find_files, read_text
from segstudio.formats.tables import declared_classes
from segstudio.formats.writer import Entry, Finished, FormatWriter, Survival, Written
from segstudio.imaging.fills import fill_pillow
from segstudio.imaging.labels import write_index_png
from segstudio.imaging.polygons import centre_rings

LABELS: Final = "labels.txt"
_VERSION: Final = "5.5.0"  # the first major version with masks; later ones do not ask


class LabelmeWriter(FormatWriter):
    """Writes a JSON file beside each image, and ``labels.txt`` for labelme and its scripts."""

    def names(self, images: Sequence[LabelledImage]) -> list[str]:
        """Unique with and without suffix: labelme looks for ``photo.json`` whatever the image's suffix is."""
        safe = [safe_name(image.name) for image in images]
        names = names_with_own_stems(safe)
        self.notes += renamed_warning(safe, names)
        return names

    def write(self, entry: Entry, labels: SegmentMap) -> Written:
        """Writes the image and its JSON."""
        placed = self.place(entry, entry.name, labels)
        reference = self.options.images is ImageFiles.REFERENCE
        target = PurePosixPath(entry.name if reference else placed.file).with_suffix(".json")
        document: dict[str, Any] = {
            "version": _VERSION,
            "flags": {},
            "shapes": list(self._shapes(labels)),
            "imagePath": placed.file if reference else PurePosixPath(placed.file).name,
            "imageData": None,
            "imageHeight": labels.height,
            "imageWidth": labels.width,
        }
        path = self.folder / target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, separators=(",", ":")), encoding="utf-8")
        return Written(placed.file, counts=placed.counts)

    def finish(self, images: Sequence[Finished]) -> None:
        """Writes the names in the order of their ids: ``labelme2voc`` numbers the lines from -1."""
        last = max(self.catalog.ids, default=-1)
        names = [label_of(i, self.catalog) if i in self.catalog else f"unused-{i}" for i in range(last + 1)]
        lines = [" ".join(name.split()) for name in (VOID_LABEL, *names)]
        (self.folder / LABELS).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def survives(self, labels: SegmentMap) -> Survival | None:
        """Masks survive; polygons as labelme fills them."""
        if self.options.shapes is Shapes.MASKS:
            return None
        drawn = layers(labels, self.catalog, centre_rings, self.options.tolerance)
        filled = fill_layers(drawn, lambda ring: fill_pillow(ring, *labels.shape))
        return Survival(painted(labels, self.catalog, filled))

    def _shapes(self, labels: SegmentMap) -> Iterator[dict[str, Any]]:
        if self.options.shapes is Shapes.MASKS:
            for region in objects(labels, self.catalog):
                rect = region.rect
                corners = [[rect.left, rect.top], [rect.right - 1, rect.bottom - 1]]  # both inside
                png = write_index_png(None, region.mask.astype(np.uint8))
                yield self._shape(region, "mask", corners) | {"mask": base64.b64encode(png).decode("ascii")}
        else:
            for layer in layers(labels, self.catalog, centre_rings, self.options.tolerance):
                yield self._shape(layer.region, "polygon", layer.ring.tolist())

    def _shape(self, region: Region, kind: str, points: list[list[int]]) -> dict[str, Any]:
        return {
            "label": label_of(region.class_id, self.catalog),
            "points": points,
            "group_id": region.group,
            "description": "",
            "shape_type": kind,
            "flags": {},
            "mask": None,
            "segstudio": str(region.role),
        }


class LabelmeImporter:
    """Reads a folder of labelme's JSON files, or a single one.

    Classes are known by name. Their numbers follow ``classes.toml`` or ``labels.txt`` where the folder has one, and the
    alphabet otherwise, never the order in which shapes come up.
    """

    def read(self, source: Path, *, cancelled: CancelCallback | None = None) -> ImportSource:
        """The labels below `source`: see `Importer`. Every file is looked at once for the names of its labels."""
        folder, paths = (source, find_files(source, (".json",))) if source.is_dir() else (source.parent, [source])
        labels: list[ImportedLabel] = []
        names: set[str] = set()
        numbers: dict[str, int] = {}  # filled in once all names are known
        others = 0
        for path, found in in_order(_look, paths, cancelled=cancelled):
            place = PurePosixPath(path.relative_to(folder).as_posix())
            if found is None:
                others += 1
            elif isinstance(found, FormatError):
                labels.append(ImportedLabel(place.with_suffix("").as_posix(), partial(_refuse, found), path))
            else:
                names |= found.labels
                name = place.with_name(found.image) if found.image else place.with_suffix("")
                labels.append(ImportedLabel(name.as_posix(), partial(labelme_map, path, numbers), path, found.size))
        if not labels:
            raise FormatError(f"{source.name} holds no JSON of labelme.", "Choose the folder of labelme's files.")
        classes, of_names = numbered(_declared(folder), names)
        numbers |= of_names
        warnings = [f"{others:,} JSON files are not labelme's and were passed over."] if others else []
        return ImportSource(labels, classes, warnings)


def _look(path: Path) -> LabelmeFile | FormatError | None:
    try:
        return read_file(path, shapes=False)
    except FormatError as error:  # refuses this label, not the whole import
        return error


def _refuse(error: FormatError, request: LoadRequest) -> SegmentMap:
    raise error


def _declared(folder: Path) -> tuple[SourceClass, ...]:
    declared = declared_classes(folder)
    if declared or not (folder / LABELS).is_file():
        return declared
    lines = [line.strip() for line in read_text(folder / LABELS).splitlines() if line.strip()]
    return named_classes(lines, first=-1 if lines[:1] == [VOID_LABEL] else 0)
