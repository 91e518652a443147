"""Figures of merit from a confusion matrix accumulated over a whole data set."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from segstudio.core.errors import UserError


class ConfusionMatrix:
    """Counts n_ij: pixels of true class i predicted as j (Long et al. 2015, section 5).

    Labels outside 0 .. classes-1 (255 among them) are dropped, whatever was predicted there; a prediction outside
    the range on a labelled pixel counts as missed. Classes that neither occur nor are predicted are NaN and left
    out of means; a class that is only predicted counts with IoU 0 (the convention of FCN's score.py).
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
        if prediction.shape != label.shape:
            raise UserError(
                f"A prediction of {_size(prediction)} cannot be compared with a label of {_size(label)}.",
                "Both must have the size of the image.",
            )
        truth = label.ravel().astype(np.int64)
        keep = (truth >= 0) & (truth < self.classes)
        guess = prediction.ravel()[keep].astype(np.int64)
        guess = np.where((guess >= 0) & (guess < self.classes), guess, self.classes)
        width = self.classes + 1
        counts = np.bincount(truth[keep] * width + guess, minlength=self.classes * width)
        self._counts += counts.reshape(self.classes, width)

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


def _size(array: npt.NDArray[np.integer]) -> str:
    return " x ".join(str(n) for n in reversed(array.shape))
