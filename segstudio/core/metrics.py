"""Figures of merit from a confusion matrix accumulated over a whole data set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from segstudio.core.errors import UserError

_BYTE: Final = 256


class AbsentClasses(StrEnum):
    """What a class without true pixels does to a mean. Published tools differ, so every figure names its convention."""

    PREDICTED_COUNT_ZERO = "predicted_count_zero"
    COUNT_ZERO = "count_zero"
    LEFT_OUT = "left_out"

    @property
    def sentence(self) -> str:
        """The convention in words, with a tool that follows it."""
        return _SENTENCES[self]


_SENTENCES: Final = {
    AbsentClasses.PREDICTED_COUNT_ZERO: (
        "Classes that neither occur nor are predicted are left out of means; "
        "a class that is only predicted counts with IoU 0 (FCN's score.py)."
    ),
    AbsentClasses.COUNT_ZERO: (
        "Every class counts in means; one that does not occur counts as 0, predicted or not (DeepLab's MyVOCevalseg)."
    ),
    AbsentClasses.LEFT_OUT: (
        "Only classes that occur in the labels count in means, whatever is predicted (kazuto1011's deeplab-pytorch)."
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All figures of a confusion matrix under one convention; parts of 1, NaN where undefined.

    Attributes:
        absent: How classes without true pixels enter the three means.
        pixels: Labelled pixels counted.
        pixel_accuracy: Part of them whose class was found.
        mean_accuracy: Mean over classes of the part of each class's pixels found.
        mean_iou: Mean over classes of the intersection over union.
        mean_dice: Mean over classes of 2 TP / (2 TP + FP + FN).
        frequency_weighted_iou: Mean of the IoU weighted by true pixels; the same under every convention.
        iou: By class, NaN where it neither occurs nor is predicted.
        accuracy: By class, NaN where it does not occur.
        dice: By class, NaN where it neither occurs nor is predicted.
        counted: By class, whether it enters `mean_iou` and `mean_dice`.
        true_pixels: By class.
        predicted_pixels: By class, on labelled pixels.
    """

    absent: AbsentClasses
    pixels: int
    pixel_accuracy: float
    mean_accuracy: float
    mean_iou: float
    mean_dice: float
    frequency_weighted_iou: float
    iou: tuple[float, ...]
    accuracy: tuple[float, ...]
    dice: tuple[float, ...]
    counted: tuple[bool, ...]
    true_pixels: tuple[int, ...]
    predicted_pixels: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain figures, null where undefined; lists follow the order of the classes."""
        return {
            "absent_classes": str(self.absent),
            "absent_classes_sentence": self.absent.sentence,
            "pixels": self.pixels,
            "pixel_accuracy": plain(self.pixel_accuracy),
            "mean_accuracy": plain(self.mean_accuracy),
            "mean_iou": plain(self.mean_iou),
            "mean_dice": plain(self.mean_dice),
            "frequency_weighted_iou": plain(self.frequency_weighted_iou),
            "iou": [plain(v) for v in self.iou],
            "accuracy": [plain(v) for v in self.accuracy],
            "dice": [plain(v) for v in self.dice],
            "counted": list(self.counted),
            "true_pixels": list(self.true_pixels),
            "predicted_pixels": list(self.predicted_pixels),
        }


def check_sizes(prediction: npt.NDArray[Any], label: npt.NDArray[Any]) -> None:
    """Nothing where a prediction and a label cover the same pixels.

    Raises:
        UserError: They do not; both sizes are named.
    """
    if prediction.shape != label.shape:
        sizes = [" x ".join(str(n) for n in reversed(a.shape)) for a in (prediction, label)]
        raise UserError(
            f"A prediction of {sizes[0]} cannot be compared with a label of {sizes[1]}.",
            "Both must have the size of the image.",
        )


def plain(value: float) -> float | None:
    """A figure as JSON can hold it: None for NaN."""
    return None if math.isnan(value) else float(value)


class ConfusionMatrix:
    """Counts n_ij: pixels of true class i predicted as j (Long et al. 2015, section 5).

    Labels outside 0 .. classes-1 (255 among them) are dropped, whatever was predicted there; a prediction outside
    the range on a labelled pixel counts as missed. The means here are those of FCN's score.py
    (`AbsentClasses.PREDICTED_COUNT_ZERO`); `summary` gives them under any convention.
    """

    def __init__(self, classes: int) -> None:
        if not 1 <= classes <= 255:
            raise UserError(f"A confusion matrix of {classes} classes is not possible.", "Use 1 to 255 classes.")
        self.classes = classes
        # One extra column catches predictions outside the classes: they are misses, never hits.
        self._counts = np.zeros((classes, classes + 1), dtype=np.int64)

    @property
    def matrix(self) -> npt.NDArray[np.int64]:
        """(classes, classes) int64 counts, rows = truth, columns = prediction."""
        return self._counts[:, : self.classes]

    def update(self, prediction: npt.NDArray[np.integer], label: npt.NDArray[np.integer]) -> None:
        """Adds one image: integer arrays of one shape, any shape."""
        check_sizes(prediction, label)
        if prediction.dtype == label.dtype == np.uint8:  # seven times as fast as what follows
            codes = label.ravel().astype(np.uint16) << 8 | prediction.ravel()
            self.add_table(np.bincount(codes, minlength=_BYTE * _BYTE).reshape(_BYTE, _BYTE))
            return
        truth = label.ravel().astype(np.int64)
        keep = (truth >= 0) & (truth < self.classes)
        guess = prediction.ravel()[keep].astype(np.int64)
        guess = np.where((guess >= 0) & (guess < self.classes), guess, self.classes)
        width = self.classes + 1
        counts = np.bincount(truth[keep] * width + guess, minlength=self.classes * width)
        self._counts += counts.reshape(self.classes, width)

    def add_table(self, table: npt.NDArray[np.integer], class_ids: Sequence[int] | None = None) -> None:
        """Adds a (256, 256) count of pairs of bytes, rows = truth, columns = prediction.

        Args:
            table: Pixels by true and predicted value.
            class_ids: The value that stands for class k of this matrix, for each k; k itself where not given.
        """
        ids = np.arange(self.classes) if class_ids is None else np.asarray(class_ids, dtype=np.intp)
        distinct = np.unique(ids)
        if table.shape != (_BYTE, _BYTE) or ids.shape != (self.classes,) or distinct.size < ids.size or distinct[0] < 0:
            raise ValueError(f"a table of {table.shape} with {ids.size} values for {self.classes} classes")
        rows = table[ids].astype(np.int64)
        self._counts[:, : self.classes] += rows[:, ids]
        self._counts[:, self.classes] += rows.sum(axis=1) - rows[:, ids].sum(axis=1)

    def summary(self, absent: AbsentClasses = AbsentClasses.PREDICTED_COUNT_ZERO) -> Summary:
        """Every figure, with means under one convention for classes without true pixels."""
        counted = {
            AbsentClasses.PREDICTED_COUNT_ZERO: self._truth + self._predicted > 0,
            AbsentClasses.COUNT_ZERO: np.ones(self.classes, dtype=np.bool_),
            AbsentClasses.LEFT_OUT: self._truth > 0,
        }[absent]

        def mean(values: npt.NDArray[np.float64]) -> float:
            return _mean(np.nan_to_num(values) if absent is AbsentClasses.COUNT_ZERO else values[counted])

        return Summary(
            absent=absent,
            pixels=self.total,
            pixel_accuracy=self.pixel_accuracy,
            mean_accuracy=mean(self.accuracy),
            mean_iou=mean(self.iou),
            mean_dice=mean(self.dice),
            frequency_weighted_iou=self.frequency_weighted_iou,
            iou=tuple(self.iou.tolist()),
            accuracy=tuple(self.accuracy.tolist()),
            dice=tuple(self.dice.tolist()),
            counted=tuple(counted.tolist()),
            true_pixels=tuple(self._truth.tolist()),
            predicted_pixels=tuple(self._predicted.tolist()),
        )

    def merge(self, other: ConfusionMatrix) -> None:
        """Adds another matrix of as many classes."""
        if other.classes != self.classes:
            raise UserError(f"Matrices of {self.classes} and {other.classes} classes cannot be added.")
        self._counts += other._counts

    @property
    def total(self) -> int:
        """Labelled pixels counted."""
        return int(self._counts.sum())

    @property
    def iou(self) -> npt.NDArray[np.float64]:
        """(classes,) intersection over union, NaN where the class is absent everywhere."""
        return _divide(self._hits, self._truth + self._predicted - self._hits)

    @property
    def dice(self) -> npt.NDArray[np.float64]:
        """(classes,) 2 TP / (2 TP + FP + FN)."""
        return _divide(2 * self._hits, self._truth + self._predicted)

    @property
    def accuracy(self) -> npt.NDArray[np.float64]:
        """(classes,) part of each class's pixels found."""
        return _divide(self._hits, self._truth)

    @property
    def mean_iou(self) -> float:
        return _mean(self.iou)

    @property
    def mean_accuracy(self) -> float:
        return _mean(self.accuracy)

    @property
    def pixel_accuracy(self) -> float:
        return float(self._hits.sum() / self.total) if self.total else float("nan")

    @property
    def frequency_weighted_iou(self) -> float:
        if not self.total:
            return float("nan")
        present = self._truth > 0
        return float((self._truth[present] * self.iou[present]).sum() / self.total)

    @property
    def _hits(self) -> npt.NDArray[np.int64]:
        return np.diagonal(self.matrix)

    @property
    def _truth(self) -> npt.NDArray[np.int64]:
        return np.asarray(self._counts.sum(axis=1))

    @property
    def _predicted(self) -> npt.NDArray[np.int64]:
        return np.asarray(self.matrix.sum(axis=0))


def _divide(numerator: npt.NDArray[np.int64], denominator: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    result = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result


def _mean(values: npt.NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
