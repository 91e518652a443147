"""What a format owes an export: how to name, write, append and finish; everything else is the driver's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from segstudio.core.catalog import Catalog
from segstudio.core.segmentmap import SegmentMap
from segstudio.formats.base import LabelledImage, check_size
from segstudio.formats.names import renamed_warning, safe_name, unique_names
from segstudio.formats.options import ExportOptions
from segstudio.formats.output import PlacedImage, place_image
from segstudio.formats.stage import Streams


@dataclass(frozen=True, slots=True)
class ExportContext:
    """Where and how one export is written.

    Attributes:
        folder: The unfinished export.
        out: Where it will stand.
        catalog: The project's classes.
        options: What the person chose.
        streams: Texts that grow with each image; only `FormatWriter.add` and `finish` touch them.
    """

    folder: Path
    out: Path
    catalog: Catalog
    options: ExportOptions
    streams: Streams


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of an export: its position, its unique name there, and the image."""

    index: int
    name: str
    image: LabelledImage

    @property
    def split(self) -> str:
        """ "train", "validation" or "test"."""
        return str(self.image.split)


@dataclass(frozen=True, slots=True)
class Written:
    """What writing one image gave.

    Attributes:
        file: The image file in the export (see `PlacedImage.file`), "" where the format brings none.
        record: Whatever `FormatWriter.add` appends to the streams.
        warnings: Sentences for the report.
        counts: Things lost, by what to call them ("Holes filled": 3), added up over the images for the report.
    """

    file: str = ""
    record: Any = None
    warnings: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finished:
    """An image that is in the export: its unique name, its image file ("" for none), its split."""

    name: str
    file: str
    split: str


@dataclass(frozen=True, slots=True)
class Survival:
    """What reading an exported label back gives.

    Attributes:
        labels: The segment map a reader gets; regions that survive keep their ids.
        counts: See `Written.counts`.
    """

    labels: SegmentMap
    counts: Counter[str] = field(default_factory=Counter)


class FormatWriter(ABC):
    """One export under way.

    `write` is called from several threads at once, for images in any order; `begin`, `add` and `finish` from one
    thread, `add` in the order of the images. State that `add` needs lives in the streams (`Streams.count`), so that an
    interrupted export can go on.
    """

    image_formats: ClassVar[frozenset[str] | None] = None
    """Kinds of image files readers of the format take ("JPEG", "PNG"); None for any."""

    def __init__(self, context: ExportContext) -> None:
        self.context = context
        self.folder = context.folder
        self.catalog = context.catalog
        self.options = context.options
        self.streams = context.streams
        self.notes: list[str] = []
        """Sentences for the report that are about no single image."""

    def names(self, images: Sequence[LabelledImage]) -> list[str]:
        """A unique name in the export for each image: its own, folders included, unless a format says otherwise."""
        safe = [safe_name(image.name) for image in images]
        names = unique_names(safe)
        self.notes += renamed_warning(safe, names)
        return names

    def begin(self) -> None:  # noqa: B027 - many formats have nothing to do here
        """Makes folders and whatever does not depend on an image. Called again where an export goes on."""

    @abstractmethod
    def write(self, entry: Entry, labels: SegmentMap) -> Written:
        """Writes the files of one image (over those of an interrupted export, where there are any).

        Raises:
            ImageError: The image cannot be read; it is left out with a warning.
        """

    def add(self, entry: Entry, written: Written) -> None:  # noqa: B027 - nor here
        """Appends the record of an image to the streams."""

    def finish(self, images: Sequence[Finished]) -> None:  # noqa: B027 - nor here
        """Writes what needs all images: lists, one JSON file."""

    def survives(self, labels: SegmentMap) -> Survival | None:
        """What reading these labels back gives; None where every pixel and instance comes back as it was."""
        return None

    def place(self, entry: Entry, name: str, labels: SegmentMap) -> PlacedImage:
        """The image brought to `name` below the export's folder, known to have the size of its labels.

        Raises:
            ImageError: The image cannot be read.
            FormatError: The labels have another size.
        """
        placed = place_image(entry.image.path, self.folder, name, self.options.images, formats=self.image_formats)
        check_size((labels.width, labels.height), entry.image.name, placed.width, placed.height)
        return placed
