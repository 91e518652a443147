"""What a person may choose about an export or an import; the same words in the window, the commands and the API."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

from segstudio.core.errors import FormatError
from segstudio.core.items import Split, Status

T = TypeVar("T")
TEST: Final = "test"
SPLITS: Final = (str(Split.TRAIN), str(Split.VALIDATION), TEST)
SHORT_SPLITS: Final = {str(Split.TRAIN): "train", str(Split.VALIDATION): "val", TEST: "test"}
"""What readers call the lists."""


class ImageFiles(StrEnum):
    """What becomes of the image files: bytes of their own, a second name for the same bytes, or only their path."""

    COPY = "copy"
    LINK = "link"
    REFERENCE = "reference"


class Undecided(StrEnum):
    """What pixels nobody decided are written as."""

    VOID = "void"
    BACKGROUND = "background"


class Shapes(StrEnum):
    """How a format that has both writes regions: exact masks, or polygons that people can edit."""

    MASKS = "masks"
    POLYGONS = "polygons"


class MatchBy(StrEnum):
    """How classes of a source find those of the project."""

    NAME = "name"
    NUMBER = "id"
    COLOR = "color"


class Unknown(StrEnum):
    """What happens to a class of the source that the project lacks, once a pixel uses it."""

    REFUSE = "refuse"
    ADD = "add"
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeededSplit:
    """New lists drawn at random: parts that add up to 1; the same seed and images give the same lists."""

    train: float = 0.8
    validation: float = 0.1
    test: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        parts = (self.train, self.validation, self.test)
        if not all(part >= 0 for part in parts) or not math.isclose(sum(parts), 1.0, abs_tol=1e-6):
            raise FormatError(
                f"The parts {', '.join(f'{part:g}' for part in parts)} of a split do not add up to 1.",
                "Give three parts such as 0.8, 0.1 and 0.1.",
            )

    def assign(self, count: int) -> list[str]:
        """The list of each of `count` images; sizes are the parts rounded so that none is lost."""
        first = round(self.train * count)
        second = round((self.train + self.validation) * count)
        order = list(range(count))
        random.Random(self.seed).shuffle(order)
        lists = [TEST] * count
        for place, index in enumerate(order[:second]):
            lists[index] = str(Split.TRAIN if place < first else Split.VALIDATION)
        return lists


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """How to export; a format passes over what it has no use for.

    Attributes:
        images: What becomes of the image files.
        undecided: What pixels nobody decided are written as.
        shapes: Masks keep every pixel; polygons can be edited elsewhere.
        tolerance: How far, in pixels, a polygon may stray from its region's edge (Douglas-Peucker); 0 follows each one.
        border: Pixels on each side of an edge between two regions that are written as void, as VOC does.
        split: New lists; None takes the project's.
        zip: One zip file instead of a folder.
        replace: Takes the place of an earlier export; of nothing else.
    """

    images: ImageFiles = ImageFiles.COPY
    undecided: Undecided = Undecided.VOID
    shapes: Shapes = Shapes.MASKS
    tolerance: float = 1.0
    border: int = 0
    split: SeededSplit | None = None
    zip: bool = False
    replace: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance <= 100:
            raise FormatError(f"A tolerance of {self.tolerance:g} pixels is not possible.", "Give 0 to 100.")
        if not 0 <= self.border <= 100:
            raise FormatError(f"A border of {self.border} pixels is not possible.", "Give 0 to 100.")

    @classmethod
    def of(cls, **options: Any) -> ExportOptions:
        """The options given as plain words: ``of(shapes="polygons")``.

        Raises:
            FormatError: There is no such option or word.
        """
        kinds = {"images": ImageFiles, "undecided": Undecided, "shapes": Shapes}
        return _of(cls, kinds, options)

    def target(self, out: Path) -> Path:
        """Where an export to `out` will stand: a zip file is called so."""
        return out.with_name(f"{out.name}.zip") if self.zip and out.suffix.lower() != ".zip" else out

    def to_json(self) -> dict[str, Any]:
        """Plain values that tell two kinds of export apart; what only concerns the target is left out."""
        split = self.split
        parts = None if split is None else [split.train, split.validation, split.test, split.seed]
        return {
            "images": str(self.images),
            "undecided": str(self.undecided),
            "shapes": str(self.shapes),
            "tolerance": self.tolerance,
            "border": self.border,
            "split": parts,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """How to import.

    Attributes:
        by: How classes are matched; None takes names where the source has them, else colours, else numbers.
        unknown: What happens to classes the project lacks.
        classes: The person's own choice: number in the source -> class id of the project, or 255 for ignore.
        unlabelled: Class id of pixels that no shape covers; None takes the background class, else ignore, undecided.
        status: Of the images afterwards.
    """

    by: MatchBy | None = None
    unknown: Unknown = Unknown.REFUSE
    classes: Mapping[int, int] = field(default_factory=dict)
    unlabelled: int | None = None
    status: Status = Status.REVIEWED

    @classmethod
    def of(cls, **options: Any) -> ImportOptions:
        """The options given as plain words: ``of(unknown="add")``.

        Raises:
            FormatError: There is no such option or word.
        """
        return _of(cls, {"by": MatchBy, "unknown": Unknown, "status": Status}, options)


def _of(cls: type[T], kinds: Mapping[str, type[StrEnum]], options: Mapping[str, Any]) -> T:
    try:
        words = {
            name: kinds[name](value) if name in kinds and value is not None else value
            for name, value in options.items()
        }
        return cls(**words)
    except (TypeError, ValueError) as error:
        raise FormatError(f"These options are not possible: {error}.", "See the documentation of formats.") from error


def split_lists(splits: Sequence[str]) -> tuple[str, ...]:
    """The lists that hold something, in their usual order."""
    return tuple(split for split in SPLITS if split in splits)
