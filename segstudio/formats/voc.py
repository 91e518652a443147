"""PASCAL VOC: palette PNGs of classes and objects, JPEG images, and lists of who is in which set.

The folder is laid out flat, as VOC's own year folders are. Readers that insist on ``VOCdevkit/VOC2012`` (torchvision)
find that path inside as a folder of links, unless the export goes to a folder of that name to begin with.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import IGNORE, Catalog, voc_color
from segstudio.core.errors import FormatError, ImageError
from segstudio.core.items import Split
from segstudio.core.segmentmap import FIRST_SEGMENT_ID, Segment, SegmentMap
from segstudio.formats.base import (
    CancelCallback,
    ExportReport,
    ImportedLabel,
    ImportSource,
    LabelledImage,
    ProgressCallback,
    check_classes,
    check_size,
    class_numbers,
    load_for_export,
    renamed_warning,
    unique_names,
    walk,
)
from segstudio.formats.output import read_classes, staged_output, write_classes, write_jpeg
from segstudio.imaging.decode import find_images, read_labels, write_index_png

IMAGES: Final = "JPEGImages"
CLASSES: Final = "SegmentationClass"
OBJECTS: Final = "SegmentationObject"
SETS: Final = "ImageSets/Segmentation"
_DEVKIT: Final = "VOCdevkit"
_YEAR: Final = "VOC2012"
_YEAR_PATTERN: Final = re.compile(r"VOC20\d\d")
_MOST_OBJECTS: Final = 254  # of an 8-bit object PNG: 0 is no object, 255 void
_VOID_16: Final = 65535
_FIRST_OBJECT: Final = 1


class VocExporter:
    """Writes VOC folders.

    An image with more than 254 objects gets a 16-bit greyscale object PNG (void = 65535) instead of a palette PNG:
    VOC has no better answer, and dropping objects would be worse.
    """

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
        names = _image_ids(images)
        warnings = renamed_warning([PurePosixPath(i.name).stem for i in images], names)
        written: list[tuple[str, str]] = []
        with staged_output(out) as folder:
            for part in (IMAGES, CLASSES, OBJECTS, SETS):
                (folder / part).mkdir(parents=True)
            for index, image in walk(images, progress, cancelled):
                try:
                    warnings += _write_image(folder, names[index], image, catalog)
                except ImageError as error:
                    warnings.append(f"{image.name} was left out: {error.message}")
                else:
                    written.append((names[index], image.split))
            _write_sets(folder / SETS, written)
            write_classes(folder, catalog)
            if not _is_year_folder(out.absolute()):
                warnings += _link_devkit(folder)
        return ExportReport(len(written), warnings, len(images) - len(written))


def _write_image(folder: Path, name: str, image: LabelledImage, catalog: Catalog) -> list[str]:
    labels = load_for_export(image, catalog)
    info = write_jpeg(image.path, folder / IMAGES / f"{name}.jpg")
    check_size(labels, image.name, info.width, info.height)
    classes = labels.semantic()
    (folder / CLASSES / f"{name}.png").write_bytes(write_index_png(None, classes, catalog.color_table()))
    objects = _object_numbers(labels, classes == IGNORE)
    palette = _object_palette() if objects.dtype == np.uint8 else None
    (folder / OBJECTS / f"{name}.png").write_bytes(write_index_png(None, objects, palette))
    warnings = []
    if objects.dtype != np.uint8:
        warnings.append(f"{image.name} has more than {_MOST_OBJECTS} objects; its object PNG has 16 bits.")
    if any(segment.crowd for segment in labels.used_segments().values()):
        warnings.append(f"{image.name} has crowds, which VOC cannot mark.")
    return warnings


def _object_numbers(labels: SegmentMap, void: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """(H, W) object numbers from 1, 0 = none; a segment keeps its number (256 is object 1) where 8 bits allow."""
    used = np.array(sorted(labels.used_segments()), dtype=np.intp)
    numbers = used - FIRST_SEGMENT_ID + _FIRST_OBJECT
    deep = used.size > _MOST_OBJECTS
    if used.size and not deep and numbers[-1] > _MOST_OBJECTS:
        numbers = np.arange(_FIRST_OBJECT, used.size + _FIRST_OBJECT)
    table = np.zeros(1 << 16, dtype=np.uint16)
    table[used] = numbers
    objects = table[labels.ids]
    objects[void] = _VOID_16 if deep else IGNORE
    return objects if deep else objects.astype(np.uint8)


def _object_palette() -> npt.NDArray[np.uint8]:
    table = np.array([voc_color(i) for i in range(256)], dtype=np.uint8)
    table[IGNORE] = Catalog().color_table()[IGNORE]
    return table


def _image_ids(images: Sequence[LabelledImage]) -> list[str]:
    """File names without folders, made unique: by folder where two images share one, else by number."""
    paths = [PurePosixPath(image.name) for image in images]
    stems = [path.stem.casefold() for path in paths]
    uses = Counter(stems)
    names = [
        "_".join((*(p for p in path.parts[:-1] if p not in ("..", "/")), path.stem)) if uses[stem] > 1 else path.stem
        for path, stem in zip(paths, stems, strict=True)
    ]
    # One a line in the lists, so no line breaks and nothing that stripping would change. The dot hides no suffix.
    return [n.removesuffix(".jpg") for n in unique_names([f"{' '.join(n.split())}.jpg" for n in names])]


def _write_sets(folder: Path, written: Sequence[tuple[str, str]]) -> None:
    validation = [name for name, split in written if split == Split.VALIDATION]
    train = [name for name, split in written if split != Split.VALIDATION]
    sets = {"train": train, "val": validation, "trainval": [name for name, _ in written]}
    for title, names in sets.items():
        (folder / f"{title}.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


def _is_year_folder(folder: Path) -> bool:
    return folder.parent.name == _DEVKIT and _YEAR_PATTERN.fullmatch(folder.name) is not None


def _link_devkit(folder: Path) -> list[str]:
    """Links rather than a second layout: the data lie once, and both kinds of readers find them."""
    year = folder / _DEVKIT / _YEAR
    year.mkdir(parents=True)
    try:
        for part in (IMAGES, CLASSES, OBJECTS, "ImageSets"):
            (year / part).symlink_to(Path("..", "..", part), target_is_directory=True)
    except OSError:  # Windows allows links only to some people
        for link in year.iterdir():
            link.unlink()
        year.rmdir()
        year.parent.rmdir()
        return [f"For torchvision, export to a folder called {_DEVKIT}/{_YEAR}."]
    return []


class VocImporter:
    """Reads VOC folders: SegmentationClass, and SegmentationObject where it exists."""

    def read(self, source: Path, catalog: Catalog | None) -> ImportSource:
        """The labels below `source`: see `Importer`. Every pixel is decided, void as ignore."""
        base = _find_base(source)
        classes = read_classes(base, source)
        table, warnings = class_numbers(classes, catalog)
        scan = find_images(base / CLASSES)
        labels = [
            ImportedLabel(path.stem, partial(_load, path, base / OBJECTS / path.name, table, catalog or classes), path)
            for path in scan.paths
            if path.suffix.lower() == ".png"
        ]
        if not labels:
            raise FormatError(f"{base.name}/{CLASSES} holds no PNG.", "Choose another folder.")
        return ImportSource(labels, classes, [*warnings, *scan.problems])


def _find_base(source: Path) -> Path:
    candidates = [source, source.parent, *sorted(source.glob("VOC20??")), *sorted(source.glob(f"{_DEVKIT}/VOC20??"))]
    for folder in candidates:
        # The parent counts only for somebody who chose the folder of PNGs itself.
        if (folder / CLASSES).is_dir() and (folder != source.parent or source.name == CLASSES):
            return folder
    raise FormatError(
        f"{source.name} is not a VOC folder: it has no {CLASSES}.", f"Choose the folder that holds {CLASSES}."
    )


def _load(
    class_path: Path, object_path: Path, table: npt.NDArray[np.uint8] | None, catalog: Catalog | None
) -> SegmentMap:
    stored = read_labels(class_path)
    check_classes(stored, None, class_path.name)
    classes = stored.astype(np.uint8) if table is None else table[stored]
    check_classes(classes, catalog, class_path.name)
    labels = SegmentMap.from_semantic(classes)
    if object_path.is_file():
        objects = read_labels(object_path)
        if objects.shape != classes.shape:
            raise FormatError(
                f"{OBJECTS}/{object_path.name} is {objects.shape[1]} x {objects.shape[0]} pixels,"
                f" but {CLASSES}/{class_path.name} is {classes.shape[1]} x {classes.shape[0]}.",
                "Make both the same size.",
            )
        background = catalog.background_id if catalog is not None else 0
        _add_segments(labels, classes, objects, background)
    return labels


def _add_segments(
    labels: SegmentMap,
    classes: npt.NDArray[np.uint8],
    objects: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
    background: int | None,
) -> None:
    """Makes object n segment 255 + n; where class and object PNG disagree, the class PNG is right."""
    void = IGNORE if objects.dtype == np.uint8 else _VOID_16
    claimed = (objects > 0) & (objects != void) & (classes != IGNORE)
    if background is not None:
        claimed &= classes != background
    pairs = objects[claimed].astype(np.int64) * 256 + classes[claimed]
    found, counts = np.unique(pairs, return_counts=True)
    winners: dict[int, tuple[int, int]] = {}
    for pair, count in zip(found.tolist(), counts.tolist(), strict=True):
        number, class_id = divmod(pair, 256)
        if count > winners.get(number, (0, 0))[0]:
            winners[number] = (count, class_id)
    class_of = np.full(1 << 16, IGNORE, dtype=np.uint8)
    for number, (_, class_id) in winners.items():
        segment_id = number - _FIRST_OBJECT + FIRST_SEGMENT_ID
        if segment_id >= 1 << 16:
            raise FormatError(f"Object {number} is beyond the {_VOID_16 - IGNORE} a segment map holds.", "Renumber it.")
        class_of[number] = class_id
        labels.segments[segment_id] = Segment(segment_id, class_id)
    claimed &= class_of[objects] == classes
    labels.ids[claimed] = objects[claimed].astype(np.uint16) + np.uint16(FIRST_SEGMENT_ID - _FIRST_OBJECT)
