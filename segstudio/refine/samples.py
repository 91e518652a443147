"""Labelled predictions to tune the CRF on: small enough to try many values, and files where another process tries."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, overload

import cv2
import numpy as np
import numpy.typing as npt

from segstudio.core.errors import UserError

UNLABELLED: Final = 255
# A trial takes about a tenth of a second for so many pixels and 21 classes; a search makes some fifty for each image.
MAX_PIXELS: Final = 400_000


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """What a network said about an image, and what a person says.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        probabilities: (C, h, w) floating point, at any scale.
        labels: (H, W) uint8 channels of `probabilities`; others (255) are not counted.
        scale: Size of these arrays relative to the image they were made of; below 1 for a large one.
    """

    image: npt.NDArray[np.uint8]
    probabilities: npt.NDArray[Any]
    labels: npt.NDArray[np.uint8]
    scale: float = 1.0

    @classmethod
    def of(cls, image: npt.NDArray[np.uint8], probabilities: npt.NDArray[Any], labels: npt.NDArray[np.uint8]) -> Self:
        """A sample of at most `MAX_PIXELS`; a larger image is reduced, and `scale` says by how much."""
        height, width = labels.shape
        scale = (MAX_PIXELS / (height * width)) ** 0.5
        if scale >= 1:
            return cls(image, probabilities, labels)
        size = (max(1, int(width * scale)), max(1, int(height * scale)))
        return cls(
            image=np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8),
            probabilities=probabilities,
            labels=np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8),
            scale=size[0] / width,
        )

    def save(self, path: Path) -> None:
        """Writes the sample to a file.

        Raises:
            OSError: The disk refused.
        """
        with path.open("wb") as stream:
            np.savez(
                stream,
                image=self.image,
                probabilities=self.probabilities,
                labels=self.labels,
                scale=np.asarray(self.scale),
            )

    @classmethod
    def load(cls, path: Path) -> Self:
        """The sample that `save` wrote.

        Raises:
            UserError: The file is gone or damaged.
        """
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as data:
                return cls(data["image"], data["probabilities"], data["labels"], float(data["scale"]))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(
                "An image that the CRF is tuned on cannot be read any more.", "Start the tuning again."
            ) from error


class SampleFiles(Sequence[Sample]):
    """Samples on disk, each read when it is asked for: a hundred of them need not fit into memory."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Iterator[Sample]:
        return (Sample.load(path) for path in self._paths)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> SampleFiles: ...
    def __getitem__(self, index: int | slice) -> Sample | SampleFiles:
        if isinstance(index, slice):
            return SampleFiles(self._paths[index])
        return Sample.load(self._paths[index])
