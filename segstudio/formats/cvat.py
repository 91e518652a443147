"""CVAT for images 1.1: one XML file with masks as run lengths or with polygons, and the images beside it.

The extra attribute ``segstudio`` of a shape says whether it is a plain class, an instance (``group_id``) or a crowd;
CVAT passes over it. Void has a label of its own, ``__ignore__``. Background is what no shape covers; only polygons,
which have no holes, name it, as ``_background_``, where it lies inside another region: there it is drawn later, with a
higher ``z_order``. There is no ``subset``, which makes some readers look in other folders: the lists lie in ``splits``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from segstudio.core.catalog import IGNORE, VOID_COLOR
from segstudio.core.errors import FormatError
from segstudio.core.segmentmap import SegmentMap
from segstudio.formats.base import CancelCallback, ImportedLabel, ImportSource, LabelledImage
from segstudio.formats.classes import SourceClass, named_classes, source_classes
from segstudio.formats.cvat_shapes import cvat_map, run_lengths
from segstudio.formats.cvat_xml import CvatIndex, index_file
from segstudio.formats.lists import SPLITS_FOLDER, write_lists
from segstudio.formats.names import renamed_warning, safe_name, unique_names
from segstudio.formats.options import ImageFiles, Shapes
from segstudio.formats.output import read_classes
from segstudio.formats.regions import Region, fill_layers, label_of, layers, numbered, objects, painted
from segstudio.formats.sources import NOT_XML
from segstudio.formats.stage import MARKER
from segstudio.formats.writer import Entry, Finished, FormatWriter, Survival, Written
from segstudio.imaging.fills import fill_coco
from segstudio.imaging.polygons import rings

ANNOTATIONS: Final = "annotations.xml"
IMAGES: Final = "images"
_STREAM: Final = "images"
_COLOR: Final = re.compile(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})")


class CvatWriter(FormatWriter):
    """Writes ``annotations.xml``, ``images/`` and ``splits/``."""

    def names(self, images: Sequence[LabelledImage]) -> list[str]:
        """Unique names of characters that XML can hold."""
        safe = [safe_name(image.name) for image in images]
        names = unique_names([NOT_XML.sub("_", name) for name in safe])
        self.notes += renamed_warning(safe, names)
        return names

    def write(self, entry: Entry, labels: SegmentMap) -> Written:
        """Writes the image; the record is its element, but for its number."""
        placed = self.place(entry, f"{IMAGES}/{entry.name}", labels)
        reference = self.options.images is ImageFiles.REFERENCE
        name = entry.name if reference else placed.file.removeprefix(f"{IMAGES}/")
        shapes = "".join(f"    {shape}\n" for shape in self._shapes(labels))
        head = f'name={quoteattr(name)} width="{labels.width}" height="{labels.height}"'
        return Written(placed.file, f"{head}>\n{shapes}  </image>", counts=placed.counts)

    def add(self, entry: Entry, written: Written) -> None:
        """Numbers the image."""
        record = f'  <image id="{self.streams.count(_STREAM)}" {written.record}'
        self.streams.append(_STREAM, record, separator="")

    def finish(self, images: Sequence[Finished]) -> None:
        """Writes the XML file and the lists."""
        with (self.folder / ANNOTATIONS).open("wb") as file:
            file.write(f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n{self._meta(len(images))}'.encode())
            self.streams.copy(_STREAM, file)
            file.write(b"\n</annotations>\n")
        write_lists(self.folder / SPLITS_FOLDER, images)

    def survives(self, labels: SegmentMap) -> Survival | None:
        """Masks survive; polygons as COCO's tools fill them, which CVAT's exports to other formats use."""
        if self.options.shapes is Shapes.MASKS:
            return None
        drawn = layers(labels, self.catalog, rings, self.options.tolerance)
        filled = fill_layers(drawn, lambda ring: fill_coco([ring], *labels.shape))
        return Survival(painted(labels, self.catalog, filled))

    def _shapes(self, labels: SegmentMap) -> Iterator[str]:
        if self.options.shapes is Shapes.MASKS:
            for region in objects(labels, self.catalog):
                rect = region.rect
                place = f'left="{rect.left}" top="{rect.top}" width="{rect.width}" height="{rect.height}"'
                yield self._shape(region, "mask", f'rle="{run_lengths(region.mask)}" {place} z_order="0"')
        else:
            drawn = layers(labels, self.catalog, rings, self.options.tolerance)
            for z_order, layer in enumerate(drawn):
                points = ";".join(f"{x},{y}" for x, y in layer.ring.tolist())
                yield self._shape(layer.region, "polygon", f'points="{points}" z_order="{z_order}"')

    def _shape(self, region: Region, kind: str, attributes: str) -> str:
        label = quoteattr(NOT_XML.sub(" ", label_of(region.class_id, self.catalog)))
        group = "" if region.group is None else f' group_id="{region.group}"'
        role = f'segstudio="{region.role}"'
        return f'<{kind} label={label} source="manual" occluded="0" {attributes}{group} {role}></{kind}>'

    def _meta(self, images: int) -> str:
        labels = [(label_of(c.id, self.catalog), c.color) for c in self.catalog]
        labels.append((label_of(IGNORE, self.catalog), VOID_COLOR))
        lines = [
            f"<label><name>{escape(NOT_XML.sub(' ', name))}</name><color>#{bytes(color).hex()}</color>"
            "<type>any</type><attributes></attributes></label>"
            for name, color in labels
        ]
        name = escape(NOT_XML.sub(" ", self.context.out.name))
        return (
            f"  <version>1.1</version>\n  <meta>\n    <task>\n      <id>0</id>\n      <name>{name}</name>\n"
            f"      <size>{images}</size>\n      <mode>annotation</mode>\n      <overlap>0</overlap>\n      <labels>\n"
            + "".join(f"        {line}\n" for line in lines)
            + "      </labels>\n    </task>\n  </meta>"
        )


class CvatImporter:
    """Reads an XML file of CVAT for images, or the folder it lies in."""

    def read(self, source: Path, *, cancelled: CancelCallback | None = None) -> ImportSource:
        """The labels of each image of the file: see `Importer`. The file is parsed once for its images and labels."""
        path = source / ANNOTATIONS if source.is_dir() else source
        if not path.is_file():
            raise FormatError(f"{source.name} holds no {ANNOTATIONS}.", "Choose CVAT's XML file or its folder.")
        index = index_file(path, cancelled=cancelled)
        classes, numbers = numbered(_declared(path.parent, index), index.used)
        labels = [
            ImportedLabel(image.name, partial(cvat_map, path, image, index.encoding, numbers), path, image.size)
            for image in index.images
        ]
        if not labels:
            raise FormatError(f"{path.name} lists no image.", "Choose another file.")
        left_out = sorted(index.left_out.items())
        return ImportSource(
            labels, classes, [f"{count:,} {what} mean no pixels and are left out." for what, count in left_out]
        )


def _declared(folder: Path, index: CvatIndex) -> tuple[SourceClass, ...]:
    """The labels in their order; those of our own exports with the project's ids."""
    catalog = read_classes(folder) if (folder / MARKER).is_file() else None
    if catalog is not None:
        return source_classes(catalog)
    colors = [_COLOR.fullmatch(text.strip()) for text in index.labels.values()]
    return tuple(
        known if color is None else replace(known, color=(int(color[1], 16), int(color[2], 16), int(color[3], 16)))
        for known, color in zip(named_classes(list(index.labels)), colors, strict=True)
    )
