"""Cityscapes' figures, counted as its evalPixelLevelSemanticLabeling counts them (Cordts et al. 2016, section 4)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from segstudio.core.errors import UserError
from segstudio.core.metrics import check_sizes, plain
from segstudio.evaluation.counting import Labels, count_pairs
from segstudio.imaging.cityscapes_labels import INSTANCES_EACH, CityscapesLabel, cityscapes_labels


@dataclass(frozen=True, slots=True, kw_only=True)
class CityscapesRow:
    """IoU and instance-weighted IoU of one class or category; NaN where undefined."""

    name: str
    iou: float
    iiou: float

    def to_json(self) -> dict[str, Any]:
        """Plain figures, null where undefined."""
        return {"name": self.name, "iou": plain(self.iou), "iiou": plain(self.iiou)}


@dataclass(frozen=True, slots=True, kw_only=True)
class CityscapesResult:
    """The 19 evaluated classes, the 7 evaluated categories, and their means with NaN left out."""

    classes: tuple[CityscapesRow, ...]
    categories: tuple[CityscapesRow, ...]

    @property
    def mean_iou(self) -> float:
        return _mean(row.iou for row in self.classes)

    @property
    def mean_iiou(self) -> float:
        return _mean(row.iiou for row in self.classes)

    @property
    def mean_category_iou(self) -> float:
        return _mean(row.iou for row in self.categories)

    @property
    def mean_category_iiou(self) -> float:
        return _mean(row.iiou for row in self.categories)

    def to_json(self) -> dict[str, Any]:
        """Plain figures, null where undefined."""
        return {
            "mean_iou": plain(self.mean_iou),
            "mean_iiou": plain(self.mean_iiou),
            "mean_category_iou": plain(self.mean_category_iou),
            "mean_category_iiou": plain(self.mean_category_iiou),
            "classes": [row.to_json() for row in self.classes],
            "categories": [row.to_json() for row in self.categories],
        }


class CityscapesScore:
    """Counts label ids (not train ids) and instances over a data set.

    A pixel whose true label is ignored in evaluation costs nothing; a prediction of an ignored label on an evaluated
    pixel is a miss. In the iIoU, hits and misses on an instance weigh the class's mean size over the instance's size.
    """

    def __init__(self) -> None:
        self._labels = {label.id: label for label in cityscapes_labels() if label.id >= 0}
        self._counts = np.zeros((len(self._labels), len(self._labels)), dtype=np.int64)
        self._by_category: dict[str, list[CityscapesLabel]] = {}
        for label in self._labels.values():
            self._by_category.setdefault(label.category, []).append(label)
        # Weighted pixels of instances: found (column 0) and missed (column 1), by class and by category.
        self._class_weights = {
            la.id: np.zeros(2) for la in self._labels.values() if la.has_instances and not la.ignore_in_eval
        }
        self._category_weights = {
            name: np.zeros(2) for name, labels in self._by_category.items() if all(la.has_instances for la in labels)
        }
        categories = np.array([la.category_id for la in self._labels.values()])
        self._kin = categories[:, None] == categories
        self._without_instances = False

    def add(self, prediction: Labels, label: Labels, instances: npt.NDArray[np.integer[Any]] | None = None) -> None:
        """Adds one image.

        Args:
            prediction: (H, W) uint8 label ids.
            label: (H, W) uint8 label ids.
            instances: (H, W) ids of an instanceIds image: label id * 1000 + number for an instance, else the label id.
                One image without leaves every iIoU undefined.

        Raises:
            UserError: The sizes differ, or a value is no label of Cityscapes.
        """
        table = count_pairs(prediction, label)
        for side, axis in (("prediction", 0), ("label", 1)):
            stray = np.flatnonzero(table.sum(axis=axis)[len(self._labels) :])
            if stray.size:
                raise UserError(
                    f"A Cityscapes {side} holds the value {len(self._labels) + stray[0]}, which is no label id.",
                    "Give labelIds images (0 to 33), not trainIds.",
                )
        if instances is None:
            self._without_instances = True
        else:
            check_sizes(instances, label)
            self._add_instances(prediction, instances)
        self._counts += table[: len(self._labels), : len(self._labels)]

    def merge(self, other: CityscapesScore) -> None:
        """Adds the images of another score."""
        self._counts += other._counts
        self._without_instances |= other._without_instances
        for label_id, weights in other._class_weights.items():
            self._class_weights[label_id] += weights
        for name, weights in other._category_weights.items():
            self._category_weights[name] += weights

    @property
    def confusion(self) -> npt.NDArray[np.int64]:
        """(34, 34) int64 pixels by true (row) and predicted (column) label id."""
        return self._counts.copy()

    def result(self) -> CityscapesResult:
        """The figures over the images so far."""
        return CityscapesResult(
            classes=tuple(self._class_row(la) for la in self._labels.values() if not la.ignore_in_eval),
            categories=tuple(
                self._category_row(name)
                for name, labels in self._by_category.items()
                if any(not la.ignore_in_eval for la in labels)
            ),
        )

    def _add_instances(self, prediction: Labels, instances: npt.NDArray[np.integer[Any]]) -> None:
        inside = instances > INSTANCES_EACH
        values, number, sizes = np.unique(instances[inside], return_inverse=True, return_counts=True)
        if values.size and values[-1] // INSTANCES_EACH >= len(self._labels):
            raise UserError(f"A Cityscapes instance has the id {values[-1]}, which is of no label.", "Check its image.")
        predicted = prediction[inside]
        own = values // INSTANCES_EACH
        hits = np.bincount(number[predicted == own[number]], minlength=values.size)
        near_hits = np.bincount(number[self._kin[own[number], predicted]], minlength=values.size)
        for label_id, size, hit, near_hit in zip(own.tolist(), sizes.tolist(), hits, near_hits, strict=True):
            label = self._labels[label_id]
            if label.ignore_in_eval:
                continue
            if label.mean_size is None:
                raise UserError(f'Cityscapes knows no instances of "{label.name}".', "Check the instanceIds image.")
            weight = label.mean_size / size
            self._class_weights[label_id] += weight * hit, weight * (size - hit)
            if label.category in self._category_weights:
                self._category_weights[label.category] += weight * near_hit, weight * (size - near_hit)

    def _class_row(self, label: CityscapesLabel) -> CityscapesRow:
        hits = int(self._counts[label.id, label.id])
        missed = int(self._counts[label.id].sum()) - hits
        others = [la.id for la in self._labels.values() if not la.ignore_in_eval and la.id != label.id]
        wrong = int(self._counts[others, label.id].sum())
        weights = self._class_weights.get(label.id)
        return CityscapesRow(name=label.name, iou=_iou(hits, missed, wrong), iiou=self._weighted(weights, wrong))

    def _category_row(self, name: str) -> CityscapesRow:
        ids = [la.id for la in self._by_category[name] if not la.ignore_in_eval]
        others = [la.id for la in self._labels.values() if not la.ignore_in_eval and la.category != name]
        hits = int(self._counts[np.ix_(ids, ids)].sum())
        missed = int(self._counts[ids].sum()) - hits
        wrong = int(self._counts[np.ix_(others, ids)].sum())
        # Here, unlike above, predictions of the category's ignored labels (caravan, trailer) count as wrong too.
        any_wrong = int(self._counts[np.ix_(others, [la.id for la in self._by_category[name]])].sum())
        weights = self._category_weights.get(name)
        return CityscapesRow(name=name, iou=_iou(hits, missed, wrong), iiou=self._weighted(weights, any_wrong))

    def _weighted(self, weights: npt.NDArray[np.float64] | None, wrong: int) -> float:
        if weights is None or self._without_instances:
            return math.nan
        return _iou(float(weights[0]), float(weights[1]), wrong)


def _iou(hits: float, missed: float, wrong: float) -> float:
    whole = hits + wrong + missed
    return hits / whole if whole else math.nan


def _mean(values: Iterable[float]) -> float:
    known = [v for v in values if not math.isnan(v)]
    return sum(known) / len(known) if known else math.nan
