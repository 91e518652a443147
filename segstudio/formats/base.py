"""What every importer and exporter speaks: plain records, and the checks all formats share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from segstudio.core.catalog import IGNORE, Catalog
from segstudio.core.errors import FormatError
from segstudio.core.items import Split
from segstudio.core.jobs import Progress
from segstudio.core.segmentmap import SegmentMap
from segstudio.core.spans import values_in
from segstudio.formats.classes import ClassTable, SourceClass

ProgressCallback = Callable[[Progress], None]
CancelCallback = Callable[[], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledImage:
    """One image to export.

    Attributes:
        name: Relative to the project's image folder, with forward slashes.
        path: The image file.
        load: Gives the segment map; called once from any thread, so that few images at a time are in memory.
        width: Pixels after EXIF rotation; None where nobody has looked yet.
        height: As `width`.
        split: Which list the image goes into: "train", "validation" or "test".
        reviewed: A person is done with it: what it says counts, decided pixel by pixel or not.
        revision: Differs where the labels differ, so that an interrupted export knows what it has already.
    """

    name: str
    path: Path
    load: Callable[[], SegmentMap]
    width: int | None = None
    height: int | None = None
    split: str = Split.TRAIN
    reviewed: bool = True
    revision: int = 0


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """What a label needs to become a segment map of its image.

    Attributes:
        table: From the source's classes to the project's.
        width: The image's pixels after EXIF rotation.
        height: As `width`.
        unlabelled: Class id of pixels that no shape covers, 255 for ignore and undecided.
        image: What to call the image in sentences; `load_for_image` says it.
    """

    table: ClassTable
    width: int
    height: int
    unlabelled: int = IGNORE
    image: str = ""

    def check_size(self, width: int, height: int, source: Path) -> None:
        """Returns where a label of that size, in the file `source`, fits the image.

        Raises:
            FormatError: It does not; it names both sizes.
        """
        check_size((width, height), self.image or source.stem, self.width, self.height, source.name)


@dataclass(frozen=True, slots=True)
class ImportedLabel:
    """One label found in a source.

    Attributes:
        name: Path of its image, with or without suffix, relative to the source's folder, with forward slashes.
        load: Gives the segment map, every pixel decided but those no shape covers (see `LoadRequest.unlabelled`);
            called from any thread. Raises FormatError or ImageError.
        source: The file it comes from.
        size: (width, height) of the image by what the source declares; None where it declares none.
        other_name: Another path the image may go by, as where an export renamed it.
    """

    name: str
    load: Callable[[LoadRequest], SegmentMap]
    source: Path
    size: tuple[int, int] | None = None
    other_name: str | None = None


@dataclass(frozen=True, slots=True)
class ImportSource:
    """What a source holds: labels, the classes it declares (none where it declares none), and warnings.

    `close` lets go of files that lazily loaded labels need.
    """

    labels: list[ImportedLabel]
    classes: tuple[SourceClass, ...] = ()
    warnings: list[str] = field(default_factory=list)
    close: Callable[[], None] = lambda: None


class Importer(Protocol):
    """Reads labels in another program's format."""

    def read(self, source: Path, *, cancelled: CancelCallback | None = None) -> ImportSource:
        """The labels in `source` (a folder, or a file where the format is one), loaded only when asked.

        Args:
            source: Where they are.
            cancelled: Asked now and then where files of any size have to be read from end to end.

        Raises:
            FormatError: `source` does not look like this format.
            Cancelled: `cancelled` said so.
        """
        ...


@dataclass(frozen=True, slots=True)
class ExportReport:
    """How many images were written, a sentence for each thing worth knowing, and how many images were left out."""

    images: int
    warnings: list[str] = field(default_factory=list)
    left_out: int = 0
    resumed: int = 0


def load_for_image(label: ImportedLabel, name: str, request: LoadRequest) -> SegmentMap:
    """The segment map of an imported label, known to fit the image `name`.

    Raises:
        FormatError: The label has another size than the image.
    """
    if label.size is not None:
        check_size(label.size, name, request.width, request.height, label.source.name)
    labels = label.load(replace(request, image=name))
    check_size((labels.width, labels.height), name, request.width, request.height, label.source.name)
    return labels


def check_size(size: tuple[int, int], name: str, width: int, height: int, source: str | None = None) -> None:
    """Returns where labels of `size` (width, height) fit their image.

    Raises:
        FormatError: They do not; it names both sizes.
    """
    if size != (width, height):
        what = f"The label {source}" if source else "The label"
        raise FormatError(
            f"{what} is {size[0]} x {size[1]} pixels, but its image {name} is {width} x {height}.",
            "Make both the same size.",
        )


def check_classes(labels: SegmentMap, catalog: Catalog, name: str) -> None:
    """Returns where every pixel is of a class of the catalog, by itself or by its instance, or ignored.

    Raises:
        FormatError: It names the first class that is not.
    """
    present = [value for value in values_in(labels.ids).tolist() if value != IGNORE]
    segments = labels.segments
    for value in sorted({segments[i].class_id if i in segments else i for i in present}):
        if value not in catalog:
            raise FormatError(
                f"The label {name} holds the value {value}, which is no class of this project.",
                "Add a class with that number, or correct the file.",
            )


def counted(counts: Mapping[str, int]) -> list[str]:
    """A sentence for each thing that occurs: "Holes filled: 3."."""
    return [f"{what}: {number:,}." for what, number in sorted(counts.items()) if number]


def shortened(parts: Sequence[str], shown: int = 3) -> str:
    """The first parts, and how many more there are."""
    more = len(parts) - shown
    return ", ".join(parts[:shown]) + (f" and {more} more" if more > 0 else "")
