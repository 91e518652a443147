"""YOLO segmentation: a text file of polygons for each image, as ultralytics reads it.

A polygon has no holes and is an object of its own, and there is no word for void: the report says how much is lost.
Readers multiply the fractions with the size of the image, cut off what lies behind the point (ultralytics'
``polygon2mask``) or round (supervision), and draw outline and inside; where objects overlap, the smaller lies over the
larger (``polygons2masks_overlap``). So a polygon goes from pixel to pixel a quarter into each: both give that pixel,
and unless polygons are simplified, a region without holes comes back exactly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np

from segstudio.core.catalog import IGNORE, Kind
from segstudio.core.errors import FormatError
from segstudio.core.segmentmap import FIRST_SEGMENT_ID, LAST_SEGMENT_ID, Segment, SegmentMap
from segstudio.formats.base import CancelCallback, ImportedLabel, ImportSource, LabelledImage, LoadRequest
from segstudio.formats.classes import SourceClass
from segstudio.formats.names import renamed_warning, safe_name
from segstudio.formats.options import SHORT_SPLITS, TEST, ImageFiles, Shapes, split_lists
from segstudio.formats.output import read_classes
from segstudio.formats.painting import MapPainter
from segstudio.formats.regions import Region, connected, enclosed, names_with_own_stems, painted, regions
from segstudio.formats.sources import find_files, read_limited, read_text
from segstudio.formats.stage import MARKER
from segstudio.formats.writer import Entry, Finished, FormatWriter, Survival, Written
from segstudio.formats.yolo_yaml import read_names, write_yaml
from segstudio.imaging.contours import connected_components
from segstudio.imaging.fills import fill_yolo
from segstudio.imaging.polygons import Ring, centre_rings, sanitised, simplified

IMAGES: Final = "images"
LABELS: Final = "labels"
DATA: Final = "data.yaml"
_SUFFIXES: Final = {".jfif": ".jpg", ".jpe": ".jpg", ".dib": ".bmp"}  # those ultralytics passes over, and a second one
_NO_LABELS: Final = frozenset(
    {"classes.txt", "class_names.txt", "labels.txt", "train.txt", "val.txt", "test.txt", "trainval.txt", "readme.txt"}
)
_MAX_BYTES: Final = 64 << 20
_MAX_LINES: Final = 100_000
_MAX_POINTS: Final = 1_000_000
_BOX_NUMBERS: Final = 5
_LARGEST_FRACTION: Final = 2.0  # beyond lie pixels that somebody forgot to divide


@dataclass(frozen=True, slots=True, eq=False)
class _Object:
    """A line of a label file: a connected part, the ring around it, whether it is its region's largest, has holes."""

    region: Region
    ring: Ring
    largest: bool
    hollow: bool


class YoloWriter(FormatWriter):
    """Writes ``images/``, ``labels/`` and ``data.yaml``; classes are numbered from 0 in the order of their ids,
    without the background.
    """

    def names(self, images: Sequence[LabelledImage]) -> list[str]:
        """Unique with and without suffix, and in no folder that a reader would take for the one of all images."""
        safe = [safe_name(image.name) for image in images]
        unique = names_with_own_stems([_readable(name) for name in safe])
        self.notes += renamed_warning(safe, unique)
        if self.options.images is ImageFiles.REFERENCE:
            self.notes.append("Readers of YOLO look for images beside the labels: copy or link them.")
        return unique

    def write(self, entry: Entry, labels: SegmentMap) -> Written:
        """Writes the image and its label file, an empty one where there is no object."""
        split = SHORT_SPLITS[entry.split]
        placed = self.place(entry, f"{IMAGES}/{split}/{entry.name}", labels)
        reference = self.options.images is ImageFiles.REFERENCE
        name = entry.name if reference else placed.file.removeprefix(f"{IMAGES}/{split}/")
        target = self.folder / LABELS / split / PurePosixPath(name).with_suffix(".txt")
        objects = self._objects(labels)
        size = np.array([labels.width, labels.height])
        numbers = {class_id: number for number, class_id in enumerate(self._class_ids())}
        lines = []
        for found in objects:
            fractions = (found.ring + 0.25) / size
            text = " ".join(f"{fraction:.6f}" for fraction in fractions.ravel().tolist())
            lines.append(f"{numbers[found.region.class_id]} {text}\n")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("".join(lines), encoding="ascii")
        return Written(placed.file, counts=placed.counts | self._counts(labels, objects))

    def finish(self, images: Sequence[Finished]) -> None:
        """Writes ``data.yaml``, which has to name images for training and for validation."""
        used = [SHORT_SPLITS[split] for split in split_lists([image.split for image in images])]
        folders = {}
        for title in SHORT_SPLITS.values():
            if title in used:
                folders[title] = f"{IMAGES}/{title}"
            elif title != SHORT_SPLITS[TEST] and used:
                folders[title] = f"{IMAGES}/{used[0]}"
                self.notes.append(f"No image is in the list {title}: {DATA} names {folders[title]} for it.")
        write_yaml(self.folder / DATA, folders, [self.catalog[class_id].name for class_id in self._class_ids()])

    def survives(self, labels: SegmentMap) -> Survival | None:
        """The larger objects under the smaller, each as ultralytics fills it."""
        objects = self._objects(labels)
        segments = {i: replace(segment, crowd=False) for i, segment in labels.segments.items()}
        fresh = count(max(segments, default=FIRST_SEGMENT_ID - 1) + 1)
        shapes = []
        for found in objects:
            value, class_id = found.region.value, found.region.class_id
            if found.region.group is not None and self.catalog[class_id].kind is Kind.STUFF:
                value = class_id
            elif found.region.group is not None and not found.largest and (number := next(fresh)) <= LAST_SEGMENT_ID:
                value = number
                segments[number] = Segment(number, class_id)
            shapes.append((*fill_yolo(found.ring, *labels.shape), value))
        shapes.sort(key=lambda shape: -np.count_nonzero(shape[0]))
        after = painted(SegmentMap(labels.ids, labels.decided, segments), self.catalog, shapes)
        return Survival(after, Counter(self._counts(labels, objects)))

    def _class_ids(self) -> list[int]:
        return [class_id for class_id in self.catalog.sorted_ids if class_id != self.catalog.background_id]

    def _objects(self, labels: SegmentMap) -> list[_Object]:
        tolerance = self.options.tolerance if self.options.shapes is Shapes.POLYGONS else 0.0
        objects = []
        for region in regions(labels, self.catalog):
            if region.is_void or region.class_id == self.catalog.background_id:
                continue
            parts = list(connected(region))
            largest = max(parts, key=lambda part: np.count_nonzero(part.mask))
            for part in parts:
                (outline,) = centre_rings(part.mask, offset=(part.rect.left, part.rect.top))
                ring = simplified(outline.outer, tolerance)
                objects.append(_Object(part, ring, largest=part is largest, hollow=bool(outline.holes)))
        return objects

    def _counts(self, labels: SegmentMap, objects: Sequence[_Object]) -> dict[str, int]:
        unsaid = np.isin(labels.ids, [value for value in (IGNORE, self.catalog.background_id) if value is not None])
        holes = np.zeros(labels.shape, dtype=np.bool_)
        for found in (found for found in objects if found.hollow):
            holes[found.region.rect.slices] |= enclosed(found.region.mask)
        _, filled = connected_components(holes & unsaid, 4)
        ignored = int(np.count_nonzero(labels.semantic() == IGNORE))
        used = labels.used_segments().values()
        stuff = {c.id for c in self.catalog if c.kind is Kind.STUFF}
        parts = [o for o in objects if not o.largest and (o.region.group is not None or o.region.class_id in stuff)]
        return {
            "Holes filled": filled,
            "Parts that become objects of their own": len(parts),
            "Crowds that become plain objects": sum(segment.crowd for segment in used),
            "Instances of stuff that become their class": sum(segment.class_id in stuff for segment in used),
            "Pixels of ignore that become background": ignored if self.catalog.background_id is not None else 0,
        }


def _readable(name: str) -> str:
    path = PurePosixPath(name)
    folders = [f"{part}_" if part == IMAGES else part for part in path.parts[:-1]]
    return "/".join((*folders, f"{path.name}{_SUFFIXES.get(path.suffix.lower(), '')}"))


class YoloImporter:
    """Reads label files of polygons below a folder, with the names in ``data.yaml`` or ``classes.txt`` if any."""

    def read(self, source: Path, *, cancelled: CancelCallback | None = None) -> ImportSource:
        """The labels below `source`, the data set's folder, one of its label folders, or its ``data.yaml``."""
        folder = source if source.is_dir() else source.parent
        base = next((place.parent for place in (folder, folder.parent) if place.name == LABELS), folder)
        own = (base / MARKER).is_file()
        labels = []
        for path in find_files(folder, (".txt",)):
            name = _image_name(path.relative_to(base), own=own)
            if name is not None:
                labels.append(ImportedLabel(name, partial(_load, path), path))
        if not labels:
            raise FormatError(
                f"{source.name} holds no label file of YOLO.", f"Choose the folder that holds {LABELS} or {DATA}."
            )
        return ImportSource(labels, _classes(source, base))


def _image_name(path: Path, *, own: bool) -> str | None:
    """The image of a label file by its path below the data set; None where it is no label file."""
    *folders, file = path.with_suffix("").parts
    if LABELS in folders:
        place = folders.index(LABELS) if own else len(folders) - 1 - folders[::-1].index(LABELS)
        return "/".join((*folders[place + (2 if own else 1) :], file))  # ours lie in a folder of their list
    return None if path.name.lower() in _NO_LABELS else "/".join((*folders, file))


def _classes(source: Path, base: Path) -> tuple[SourceClass, ...]:
    """What a data set declares; colours and kinds where it is one of ours."""
    catalog = read_classes(base) if (base / MARKER).is_file() else None
    names: dict[int, str] = {}
    for path in [source] if source.is_file() else [base / DATA, *sorted(base.glob("*.y*ml"))]:
        if not names and path.is_file():
            names = read_names(path)
    for path in (base / "classes.txt", base / LABELS / "classes.txt"):
        if not names and path.is_file():
            names = dict(enumerate(line.strip() for line in read_text(path).splitlines()))
    classes = []
    for number, name in names.items():
        known = None if catalog is None else catalog.by_name(name)
        color, kind = (None, None) if known is None else (known.color, known.kind)
        classes.append(SourceClass(number=number, name=name, color=color, kind=kind))
    return tuple(classes)


def _load(path: Path, request: LoadRequest) -> SegmentMap:
    """The segment map of a label file. Each polygon is filled twice, so that only one mask at a time is in memory."""
    objects = list(_polygons(path, request))
    areas = [np.count_nonzero(fill_yolo(points, request.height, request.width)[0]) for _, points in objects]
    painter = MapPainter(request, path.name)
    for index in sorted(range(len(objects)), key=lambda index: -areas[index]):
        number, points = objects[index]
        painter.paint(*fill_yolo(points, request.height, request.width), number)
    return painter.finish()


def _polygons(path: Path, request: LoadRequest) -> Iterable[tuple[int, Ring]]:
    """(class number, points in pixels) of each line."""
    try:
        lines = read_limited(path, _MAX_BYTES).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise FormatError(f"{path.name} is no text.", "Check the file.") from error
    if len(lines) > _MAX_LINES:
        raise FormatError(f"{path.name} holds more than {_MAX_LINES:,} lines.", "Check that it is the right file.")
    for row, line in enumerate(lines, start=1):
        if line.strip():
            try:
                yield _polygon(line, request.width, request.height)
            except ValueError as error:
                what = f"Line {row} of {path.name} cannot be used: {error}."
                raise FormatError(what, "Write a class and then x and y of each point, as fractions.") from error


def _polygon(line: str, width: int, height: int) -> tuple[int, Ring]:
    """(class number, points in pixels) of one line.

    Raises:
        ValueError: It is no polygon.
    """
    first, *rest = line.split(None, 2 * _MAX_POINTS + 1)
    if len(rest) > 2 * _MAX_POINTS:
        raise ValueError(f"more than {_MAX_POINTS:,} points")
    try:
        number, fractions = float(first), np.fromiter(map(float, rest), dtype=np.float64, count=len(rest))
    except ValueError:
        raise ValueError("not all of it are numbers") from None
    if not 0 <= number < 1 << 20 or number != int(number):
        raise ValueError(f"{first:.20} is no class number")
    if len(rest) + 1 == _BOX_NUMBERS:
        raise ValueError("it is a box, whose pixels nobody knows")
    if np.abs(fractions).max(initial=0) > _LARGEST_FRACTION:
        raise ValueError("its coordinates are no fractions of the image's size")
    if fractions.size % 2:
        raise ValueError(f"{fractions.size} coordinates, which are no pairs")
    points = fractions.astype(np.float32).reshape(-1, 2) * np.array([width, height], dtype=np.float32)  # as ultralytics
    return int(number), sanitised(points, width, height)
