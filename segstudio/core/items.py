"""Rows of the image list."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final


class Status(StrEnum):
    """How far a person got with an image."""

    NEW = "new"
    IN_PROGRESS = "in_progress"
    REVIEWED = "reviewed"


class Split(StrEnum):
    """What an image is for; an image keeps its side for life."""

    TRAIN = "train"
    VALIDATION = "validation"


_SPLIT_PERIOD: Final = 6
_SPLIT_PHASE: Final = 2


def assign_split(index: int) -> Split:
    """The side of the `index`-th image (0-based, in the order of the list): one in six validates.

    The third image is the first that validates, so a person who labels from the top has a validation image early.
    """
    return Split.VALIDATION if index % _SPLIT_PERIOD == _SPLIT_PHASE else Split.TRAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageItem:
    """One image of a project.

    Attributes:
        id: Stable within the project.
        path: Absolute path of the file.
        name: Path relative to the project's image folder, with forward slashes; shown in the list.
        width: Pixels after EXIF rotation; None until the image was first read.
        height: As `width`.
        revision: Grows with every saved change of the segment map; 0 = never labelled.
        problem: A sentence where the image cannot be used, else None.
        note: A sentence on how the image was read (16 bits stretched, turned upright, ...), else None.
        decided: Part of the pixels a person decided, 0 to 1.
    """

    id: int
    path: Path
    name: str
    width: int | None = None
    height: int | None = None
    status: Status = Status.NEW
    split: Split = Split.TRAIN
    revision: int = 0
    problem: str | None = None
    note: str | None = None
    decided: float = 0.0
