"""Figures near borders: the boundary F score and the IoU within a few pixels of a border (trimap)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import IGNORE
from segstudio.core.metrics import AbsentClasses, ConfusionMatrix, Summary, check_sizes, plain
from segstudio.evaluation.counting import VALUES, Labels, count_pairs
from segstudio.imaging.contours import outline

DEFAULT_TOLERANCE: Final = 0.0075
DEFAULT_RADII: Final = tuple(range(1, 41))


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundaryResult:
    """Boundary figures by class and their means over classes; parts of 1, NaN where a class has no border anywhere.

    Attributes:
        images: By class, the images in which it has a border in the label or in the prediction.
        f_score: By class, the mean over those images of 2 P R / (P + R).
        precision: By class, the mean over those images of the part of the predicted border near the true one.
        recall: By class, the mean over those images of the part of the true border near the predicted one.
    """

    images: tuple[int, ...]
    f_score: tuple[float, ...]
    precision: tuple[float, ...]
    recall: tuple[float, ...]

    @property
    def mean_f_score(self) -> float:
        """The mean over classes, NaN ones left out."""
        known = [f for f in self.f_score if not math.isnan(f)]
        return sum(known) / len(known) if known else math.nan

    def to_json(self) -> dict[str, Any]:
        """Plain figures, null where undefined."""
        return {
            "mean_f_score": plain(self.mean_f_score),
            "images": list(self.images),
            "f_score": [plain(v) for v in self.f_score],
            "precision": [plain(v) for v in self.precision],
            "recall": [plain(v) for v in self.recall],
        }


class BoundaryScore:
    """Boundary F score (Csurka et al. 2013, "What is a good evaluation measure for semantic segmentation?", section 3).

    A class's border is its pixels with one of the four neighbours outside the class; the edge of the image is none.
    A border pixel is right where the other border is at most the tolerance away (Euclidean). A class with a border in
    only one of the two scores 0 in that image. Void is outside every true class, so that labels with a void band along
    all borders (PASCAL VOC) have borders; a predicted border pixel on void is right near a true border, never wrong.

    Args:
        class_ids: The value in images that stands for class k, for each k; other values are void.
        tolerance: Distance allowed, as part of the image's diagonal; the paper's 0.75 % where not given.
        tolerance_px: Distance allowed in pixels, in place of `tolerance`.
    """

    def __init__(
        self, class_ids: Sequence[int], *, tolerance: float = DEFAULT_TOLERANCE, tolerance_px: float | None = None
    ) -> None:
        self.class_ids = tuple(class_ids)
        self._tolerance = tolerance
        self._tolerance_px = tolerance_px
        self._images = np.zeros(len(self.class_ids), dtype=np.int64)
        self._sums = np.zeros((3, len(self.class_ids)))  # F, precision, recall

    def add(self, prediction: Labels, label: Labels) -> None:
        """Adds one image: (H, W) uint8 class ids.

        Raises:
            UserError: The sizes differ.
        """
        check_sizes(prediction, label)
        allowed = self._tolerance * math.hypot(*label.shape) if self._tolerance_px is None else self._tolerance_px
        label, prediction = (_voided(a, self.class_ids) for a in (label, prediction))
        borders = outline(label), outline(prediction)
        counted = label != IGNORE
        for index, class_id in enumerate(self.class_ids):
            true_border, predicted_border = borders[0] & (label == class_id), borders[1] & (prediction == class_id)
            scores = _border_scores(predicted_border, true_border, counted=counted, allowed=allowed)
            if scores is not None:
                self._images[index] += 1
                self._sums[:, index] += scores

    def merge(self, other: BoundaryScore) -> None:
        """Adds the images of another score of the same classes and tolerance."""
        if (other.class_ids, other._tolerance, other._tolerance_px) != (
            self.class_ids,
            self._tolerance,
            self._tolerance_px,
        ):
            raise ValueError("boundary scores of different classes or tolerances cannot be added")
        self._images += other._images
        self._sums += other._sums

    def result(self) -> BoundaryResult:
        """The figures over the images so far."""
        means = np.full(self._sums.shape, np.nan)
        np.divide(self._sums, self._images, out=means, where=self._images > 0)
        f_score, precision, recall = (tuple(row.tolist()) for row in means)
        images = tuple(self._images.tolist())
        return BoundaryResult(images=images, f_score=f_score, precision=precision, recall=recall)


def _border_scores(
    predicted: npt.NDArray[np.bool_], true: npt.NDArray[np.bool_], *, counted: npt.NDArray[np.bool_], allowed: float
) -> tuple[float, float, float] | None:
    """(F, precision, recall) of one class in one image, None where it has no border to judge."""
    left, top, width, height = cv2.boundingRect((predicted | true).view(np.uint8))
    part = slice(top, top + height), slice(left, left + width)
    predicted, true, counted = predicted[part], true[part], counted[part]
    right = predicted & _near(true, allowed)
    judged = right | (predicted & counted)
    if not judged.any() and not true.any():
        return None
    precision = _part(right, judged)
    recall = _part(true & _near(predicted, allowed), true)
    return (2 * precision * recall / (precision + recall) if precision + recall else 0.0), precision, recall


def _near(border: npt.NDArray[np.bool_], allowed: float) -> npt.NDArray[np.bool_]:
    """(H, W) bool, True at most `allowed` from a pixel of `border`."""
    if not border.any():
        return np.zeros(border.shape, dtype=np.bool_)
    distance = cv2.distanceTransform((~border).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance <= allowed)


def _part(of: npt.NDArray[np.bool_], whole: npt.NDArray[np.bool_]) -> float:
    total = np.count_nonzero(whole)
    return np.count_nonzero(of) / total if total else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrimapResult:
    """Figures within each of `radii` pixels of a true border; `bands[k]` belongs to ``radii[k]``."""

    radii: tuple[int, ...]
    bands: tuple[Summary, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain figures by radius."""
        return {"radii": list(self.radii), "bands": [band.to_json() for band in self.bands]}


class TrimapIou:
    """Figures on pixels near true borders, over the whole data set (Kohli et al. 2009, section 6; Chen et al. 2015).

    A pixel belongs to the band of r where a pixel with another label is at most r away (Euclidean): r pixels on either
    side of a border between two classes, r pixels outwards from a band of void drawn along the borders.

    Args:
        class_ids: The value in images that stands for class k, for each k; other values are void and never counted.
        radii: Widths of the bands in pixels, ascending.
    """

    def __init__(self, class_ids: Sequence[int], radii: Sequence[int] = DEFAULT_RADII) -> None:
        if not radii or list(radii) != sorted(set(radii)) or radii[0] < 1:
            raise ValueError(f"radii {list(radii)} are not ascending from 1")
        self.class_ids = tuple(class_ids)
        self.radii = tuple(radii)
        # Ring k holds what is in the band of radius k and in none before; bands are sums of rings.
        self._rings = [ConfusionMatrix(len(self.class_ids)) for _ in self.radii]

    def add(self, prediction: Labels, label: Labels) -> None:
        """Adds one image: (H, W) uint8 class ids.

        Raises:
            UserError: The sizes differ.
        """
        check_sizes(prediction, label)
        label = _voided(label, self.class_ids)
        distance = border_distance(label)
        near = (distance <= self.radii[-1]) & (label != IGNORE)
        ring = np.searchsorted(self.radii, distance[near]).astype(np.uint8)
        order = np.argsort(ring, kind="stable")
        ends = np.cumsum(np.bincount(ring, minlength=len(self.radii)))
        predicted, true = prediction[near][order], label[near][order]
        for matrix, start, end in zip(self._rings, [0, *ends[:-1]], ends, strict=True):
            if end > start:
                matrix.add_table(count_pairs(predicted[start:end], true[start:end]), self.class_ids)

    def merge(self, other: TrimapIou) -> None:
        """Adds the images of another one of the same classes and radii."""
        if (other.class_ids, other.radii) != (self.class_ids, self.radii):
            raise ValueError("trimaps of different classes or radii cannot be added")
        for own, more in zip(self._rings, other._rings, strict=True):
            own.merge(more)

    def result(self, absent: AbsentClasses = AbsentClasses.PREDICTED_COUNT_ZERO) -> TrimapResult:
        """The figures over the images so far."""
        return TrimapResult(radii=self.radii, bands=tuple(m.summary(absent) for m in self._bands()))

    def _bands(self) -> Iterator[ConfusionMatrix]:
        band = ConfusionMatrix(len(self.class_ids))
        for ring in self._rings:
            band.merge(ring)
            yield band


def border_distance(labels: Labels) -> npt.NDArray[np.float32]:
    """(H, W) float32 Euclidean distance in pixels to the nearest pixel of another value, inf where there is none."""
    distance = np.full(labels.shape, np.inf, dtype=np.float32)
    if labels.size == 0 or labels.min() == labels.max():
        return distance
    for value in np.flatnonzero(np.bincount(labels.ravel(), minlength=VALUES)):
        mask = (labels == value).view(np.uint8)
        left, top, width, height = cv2.boundingRect(mask)
        # One pixel more on each side holds the nearest pixel outside for every pixel inside.
        part = slice(max(0, top - 1), top + height + 1), slice(max(0, left - 1), left + width + 1)
        inside = mask[part]
        own = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        np.copyto(distance[part], own, where=inside.view(np.bool_))
    return distance


def _voided(labels: Labels, class_ids: Sequence[int]) -> Labels:
    table = np.full(VALUES, IGNORE, dtype=np.uint8)
    table[list(class_ids)] = class_ids
    return table[labels]
