"""What a source holds, before anything of it is imported: labels, matches, classes, and a picture of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import IGNORE, Catalog, LabelClass
from segstudio.core.errors import Cancelled, UserError
from segstudio.core.items import ImageItem
from segstudio.formats.base import CancelCallback, ImportedLabel, ImportSource, LoadRequest, load_for_image
from segstudio.formats.classes import ClassTable, SourceClass, usual_match
from segstudio.formats.names import match_labels
from segstudio.formats.options import MatchBy, Unknown
from segstudio.imaging.decode import probe, read_image
from segstudio.project.project import Project
from segstudio.services.importing import opened_source

_SAMPLES: Final = 8  # labels looked into; all of them would take minutes
_MOST_CLASSES: Final = 255
_LONGEST: Final = 1024  # side of a sample's picture; a dialog shows no more of it


@dataclass(frozen=True, slots=True)
class SampleLabel:
    """One label as the source has it.

    Attributes:
        image: Its image.
        ids: (H, W) uint8: position in `numbers`, 255 where the source claims no class.
        numbers: The source's class numbers by position.
    """

    image: ImageItem
    ids: npt.NDArray[np.uint8]
    numbers: tuple[int, ...]

    def pixels(self) -> dict[int, int]:
        """Pixels by class number."""
        counts = np.bincount(self.ids.ravel(), minlength=256)
        return {number: int(counts[place]) for place, number in enumerate(self.numbers) if counts[place]}


@dataclass(frozen=True, slots=True)
class ImportPreview:
    """What a source holds.

    Attributes:
        labels: How many.
        matched: How many of them belong to an image of the project.
        unmatched: Names of the others.
        classes: Those the source declares, and those only its pixels show in the samples.
        pixels: Pixels of each class in the samples, by number.
        samples: The first labels that could be read.
        problems: Sentences about labels among the first that cannot be read.
        warnings: Of the source.
        images: Ids of the matched images.
    """

    labels: int
    matched: int
    unmatched: list[str]
    classes: tuple[SourceClass, ...]
    pixels: dict[int, int] = field(default_factory=dict)
    samples: tuple[SampleLabel, ...] = ()
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    images: frozenset[int] = frozenset()

    @property
    def usual_match(self) -> MatchBy:
        """How classes are matched unless the person says otherwise."""
        return usual_match(self.classes)

    def proposal(self, catalog: Catalog, by: MatchBy | None = None) -> dict[int, int | None]:
        """What each class of the source would become: a class id, 255 for ignore, None where the project lacks it."""
        table = ClassTable(self.classes, catalog, by=by)
        return {c.number: table.match(c) for c in self.classes}


def preview(project: Project, name: str, source: Path, *, cancelled: CancelCallback | None = None) -> ImportPreview:
    """What a source holds and how much of it belongs to the project; a few labels are looked into.

    Raises:
        UserError: The source is not of that format.
        Cancelled: `cancelled` said so.
    """
    items = project.images()
    with opened_source(name, source, cancelled=cancelled) as found:
        matches = match_labels(found.labels, [i.name for i in items])
        seen: dict[int, SourceClass] = {}
        samples, problems = _look_into(found, matches.pairs_of(items)[:_SAMPLES], seen, cancelled)
        pixels: dict[int, int] = {}
        for sample in samples:
            for number, count in sample.pixels().items():
                pixels[number] = pixels.get(number, 0) + count
        declared = {c.number for c in found.classes}
        more = [seen[number] for number in sorted(pixels) if number not in declared]
        return ImportPreview(
            len(found.labels),
            len(matches.pairs),
            matches.unmatched,
            (*found.classes, *more),
            pixels,
            tuple(samples),
            tuple(problems),
            tuple(found.warnings),
            frozenset(items[index].id for index, _ in matches.pairs),
        )


def sample_picture(sample: SampleLabel) -> npt.NDArray[np.uint8]:
    """(h, w, 3) uint8 RGB of a sample's image, shrunk where a side is longer than 1024 pixels.

    Raises:
        ImageError: The image cannot be read.
    """
    rgb = read_image(sample.image.path).rgb
    height, width = rgb.shape[:2]
    scale = _LONGEST / max(height, width)
    if scale >= 1:
        return rgb
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _look_into(
    found: ImportSource,
    pairs: list[tuple[ImageItem, ImportedLabel]],
    seen: dict[int, SourceClass],
    cancelled: CancelCallback | None,
) -> tuple[list[SampleLabel], list[str]]:
    samples, problems = [], []
    for item, label in pairs:
        if cancelled is not None and cancelled():
            raise Cancelled
        try:
            samples.append(_sample(found, item, label, seen))
        except UserError as error:
            problems.append(str(error))
    return samples, problems


def _sample(found: ImportSource, item: ImageItem, label: ImportedLabel, seen: dict[int, SourceClass]) -> SampleLabel:
    """A label with a scratch class for each number it uses, whatever the project calls it; `seen` takes these in."""
    numbers: list[int] = []

    def add(source: SourceClass) -> LabelClass:
        if len(numbers) == _MOST_CLASSES:
            raise UserError(f"The label {label.source.name} holds more than 255 classes.", "Correct the file.")
        numbers.append(source.number)
        seen.setdefault(source.number, source)
        return LabelClass(id=len(numbers) - 1, name=f"number {source.number}", color=source.color or (0, 0, 0))

    info = probe(item.path)
    # Bare numbers and no catalog: every number is unknown, and each gets a scratch class.
    bare = [SourceClass(number=c.number) for c in found.classes]
    table = ClassTable(bare, Catalog(), by=MatchBy.NUMBER, unknown=Unknown.ADD, add=add)
    labels = load_for_image(label, item.name, LoadRequest(table, info.width, info.height, IGNORE))
    return SampleLabel(item, labels.semantic(), tuple(numbers))
