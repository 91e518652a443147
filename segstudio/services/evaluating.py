"""Scores predictions against labels with a matrix accumulated over the whole data set."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import Catalog
from segstudio.core.errors import FormatError
from segstudio.core.metrics import ConfusionMatrix
from segstudio.imaging.labels import read_labels
from segstudio.imaging.scan import find_images


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures of merit of `images` images; class figures follow `class_names`."""

    images: int
    class_names: tuple[str, ...]
    matrix: ConfusionMatrix

    def to_json(self) -> dict[str, Any]:
        """Plain figures; classes that occur nowhere are null. Means leave those out (FCN's convention)."""
        m = self.matrix
        return {
            "images": self.images,
            "pixels": m.total,
            "mean_iou": _plain(m.mean_iou),
            "pixel_accuracy": _plain(m.pixel_accuracy),
            "mean_accuracy": _plain(m.mean_accuracy),
            "frequency_weighted_iou": _plain(m.frequency_weighted_iou),
            "absent_classes": "left out of means; predicted-only classes count as 0",
            "classes": [
                {"name": name, "iou": _plain(iou), "accuracy": _plain(accuracy), "dice": _plain(dice)}
                for name, iou, accuracy, dice in zip(self.class_names, m.iou, m.accuracy, m.dice, strict=True)
            ],
            "confusion": m.matrix.tolist(),
        }


def evaluate_pairs(
    pairs: Iterable[tuple[npt.NDArray[np.integer[Any]], npt.NDArray[np.integer[Any]]]], catalog: Catalog
) -> Evaluation:
    """Figures over (prediction, label) pairs of (H, W) class ids; labels of no class are left out."""
    table = np.full(65536, 255, dtype=np.uint8)
    for channel, class_id in enumerate(catalog.sorted_ids):
        table[class_id] = channel
    matrix, images = ConfusionMatrix(len(catalog)), 0
    for prediction, label in pairs:
        matrix.update(table[prediction], table[label])
        images += 1
    return Evaluation(images, catalog.sorted_names, matrix)


def evaluate_folders(
    predictions: Path, labels: Path, catalog: Catalog, progress: Callable[[float], None] | None = None
) -> Evaluation:
    """Figures over index PNGs of the same names in two folders; every label needs a prediction.

    Raises:
        FormatError: A prediction is missing or of another size.
    """
    truth = {p.relative_to(labels).with_suffix("").as_posix(): p for p in find_images(labels).paths}
    guess = {p.relative_to(predictions).with_suffix("").as_posix(): p for p in find_images(predictions).paths}
    if not truth:
        raise FormatError(f"There are no label images in {labels}.", "Give the folder of index PNG files.")
    missing = [name for name in truth if name not in guess]
    if missing:
        raise FormatError(
            f"{len(missing)} of {len(truth)} labels have no prediction ({missing[0]} is the first).",
            "Predict every image; both folders must use the same file names.",
        )

    def pairs() -> Iterable[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
        for done, (name, path) in enumerate(truth.items()):
            label, prediction = read_labels(path), read_labels(guess[name])
            if label.shape != prediction.shape:
                raise FormatError(
                    f"The prediction {guess[name].name} is {prediction.shape[1]} x {prediction.shape[0]} pixels, "
                    f"its label {label.shape[1]} x {label.shape[0]}.",
                    "Predict at the size of the image.",
                )
            yield prediction, label
            if progress is not None:
                progress((done + 1) / len(truth))

    return evaluate_pairs(pairs(), catalog)


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
