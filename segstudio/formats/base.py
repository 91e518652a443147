"""What every importer and exporter speaks: plain records, and the checks all formats share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import IGNORE, Catalog
from segstudio.core.errors import Cancelled, FormatError
from segstudio.core.items import Split
from segstudio.core.jobs import Progress
from segstudio.core.segmentmap import SegmentMap

ProgressCallback = Callable[[Progress], None]
CancelCallback = Callable[[], bool]

_NAMES_SHOWN: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledImage:
    """One image to export.

    Attributes:
        name: Relative to the project's image folder, with forward slashes.
        path: The image file.
        load: Gives the segment map; called once, so that one image at a time is in memory.
        width: Pixels after EXIF rotation; None where nobody has looked yet.
        height: As `width`.
        split: Which list the image goes into.
    """

    name: str
    path: Path
    load: Callable[[], SegmentMap]
    width: int | None = None
    height: int | None = None
    split: str = Split.TRAIN


@dataclass(frozen=True, slots=True)
class ImportedLabel:
    """One label found in a source.

    Attributes:
        name: Path without suffix, relative to the source's folder of labels, with forward slashes.
        load: Gives the segment map, every pixel decided. Raises FormatError or ImageError.
        source: The file it comes from.
    """

    name: str
    load: Callable[[], SegmentMap]
    source: Path


@dataclass(frozen=True, slots=True)
class ExportReport:
    """How many images were written, a sentence for each thing worth knowing, and how many images were left out."""

    images: int
    warnings: list[str] = field(default_factory=list)
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class ImportSource:
    """What a source holds: labels, the classes it declares (None where it declares none), and warnings."""

    labels: list[ImportedLabel]
    classes: Catalog | None = None
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Matches:
    """Which label belongs to which image: (position in the list of names, label), and the names of labels left over."""

    pairs: list[tuple[int, ImportedLabel]]
    unmatched: list[str]


class Exporter(Protocol):
    """Writes labelled images as another program's format."""

    def export(
        self,
        images: Sequence[LabelledImage],
        catalog: Catalog,
        out: Path,
        *,
        progress: ProgressCallback | None = None,
        cancelled: CancelCallback | None = None,
    ) -> ExportReport:
        """What was written to `out`, a folder that is there in full afterwards or not at all.

        Raises:
            Cancelled: `cancelled` said so; nothing is left behind.
            UserError: `out` is in use, the disk is full, or a label does not fit its image.
        """
        ...


class Importer(Protocol):
    """Reads labels in another program's format."""

    def read(self, source: Path, catalog: Catalog | None) -> ImportSource:
        """The labels below `source`, loaded only when asked; classes follow `catalog` unless that is None.

        Raises:
            FormatError: `source` does not look like this format.
        """
        ...


def walk(
    images: Sequence[LabelledImage], progress: ProgressCallback | None, cancelled: CancelCallback | None
) -> Iterator[tuple[int, LabelledImage]]:
    """Each image with its position, progress told and cancelling asked in between."""
    for index, image in enumerate(images):
        if cancelled is not None and cancelled():
            raise Cancelled
        if progress is not None:
            progress(Progress(index / len(images), image.name))
        yield index, image
    if progress is not None:
        progress(Progress(1.0))


def load_for_export(image: LabelledImage, catalog: Catalog) -> SegmentMap:
    """The segment map of an image, known to fit it and the catalog.

    Raises:
        FormatError: It has another size than the image, or a class the catalog lacks.
    """
    labels = image.load()
    if image.width is not None and image.height is not None:
        check_size(labels, image.name, image.width, image.height)
    check_classes(labels.semantic(), catalog, image.name)
    return labels


def load_for_image(label: ImportedLabel, name: str, width: int | None, height: int | None) -> SegmentMap:
    """The segment map of an imported label, known to fit the image `name` where its size is known.

    Raises:
        FormatError: The label has another size than the image.
    """
    labels = label.load()
    if width is not None and height is not None:
        check_size(labels, name, width, height, label.source.name)
    return labels


def check_size(labels: SegmentMap, name: str, width: int, height: int, source: str | None = None) -> None:
    """Returns where labels and image have one size.

    Raises:
        FormatError: They do not; it names both sizes.
    """
    if labels.shape != (height, width):
        what = f"The label {source}" if source else "The label"
        raise FormatError(
            f"{what} is {labels.width} x {labels.height} pixels, but its image {name} is {width} x {height}.",
            "Make both the same size.",
        )


def check_classes(labels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16], catalog: Catalog | None, name: str) -> None:
    """Returns where every value of (H, W) is a class of the catalog or 255; without a catalog, where it could be one.

    Raises:
        FormatError: It names the first value that is not.
    """
    for value in np.flatnonzero(np.bincount(labels.ravel())):
        if value > IGNORE or (value < IGNORE and catalog is not None and value not in catalog):
            raise FormatError(
                f"The label {name} holds the value {value}, which is no class of this project.",
                "Add a class with that number, or correct the file.",
            )


def class_numbers(source: Catalog | None, catalog: Catalog | None) -> tuple[npt.NDArray[np.uint8] | None, list[str]]:
    """(table, warnings): the (256,) uint8 table from a source's class numbers to the catalog's, found by name.

    None where numbers mean the same on both sides. Classes whose name the catalog lacks keep their number.
    """
    if source is None or catalog is None:
        return None, []
    table = np.arange(256, dtype=np.uint8)
    strangers = []
    for label_class in source:
        known = catalog.by_name(label_class.name)
        if known is not None:
            table[label_class.id] = known.id
        elif label_class.id in catalog:
            strangers.append(f'{label_class.id} ("{label_class.name}" there, "{catalog[label_class.id].name}" here)')
    warnings = [f"Classes matched by number, not by name: {_shortened(strangers)}."] if strangers else []
    return (None if np.array_equal(table, np.arange(256)) else table), warnings


def match_labels(labels: Sequence[ImportedLabel], names: Sequence[str]) -> Matches:
    """Labels matched to image names: by relative path without suffix, else by a file name that only one image has."""
    by_path: dict[str, int] = {}
    by_stem: dict[str, int | None] = {}
    for index, name in enumerate(names):
        path = PurePosixPath(name)
        by_path.setdefault(path.with_suffix("").as_posix(), index)
        by_path[path.as_posix()] = index  # a label called image.jpg.png belongs to image.jpg
        by_stem[path.stem] = None if path.stem in by_stem else index
    pairs: list[tuple[int, ImportedLabel]] = []
    unmatched: list[str] = []
    taken: set[int] = set()
    for label in labels:
        found = by_path.get(label.name)
        if found is None:
            found = by_stem.get(PurePosixPath(label.name).name)
        if found is None or found in taken:
            unmatched.append(label.name)
        else:
            taken.add(found)
            pairs.append((found, label))
    return Matches(pairs, unmatched)


def unique_names(names: Sequence[str]) -> list[str]:
    """The names, the second of two that differ in capitals at most called ``name-2``: some disks ignore capitals."""
    taken: set[str] = set()
    unique = []
    for name in names:
        path, candidate, number = PurePosixPath(name), name, 2
        while candidate.casefold() in taken:
            candidate = path.with_name(f"{path.stem}-{number}{path.suffix}").as_posix()
            number += 1
        taken.add(candidate.casefold())
        unique.append(candidate)
    return unique


def safe_name(name: str) -> str:
    """A relative name that stays inside the folder it is put into."""
    parts = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in ("..", "/")]
    return "/".join(part.replace(":", "_") for part in parts) or "image"


def renamed_warning(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """One sentence that says which names had to change, or none."""
    changed = [f"{old} is {new}" for old, new in zip(before, after, strict=True) if old != new]
    return [f"Names that occur twice were changed: {_shortened(changed)}."] if changed else []


def _shortened(parts: Sequence[str]) -> str:
    more = len(parts) - _NAMES_SHOWN
    return ", ".join(parts[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
