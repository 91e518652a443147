"""Panoptic quality: things and stuff in one figure (Kirillov et al. 2019), counted as panopticapi counts it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import Catalog, Kind
from segstudio.core.errors import UserError
from segstudio.core.metrics import check_sizes, plain
from segstudio.core.segmentmap import SegmentMap

VOID: Final = 0
_MATCH_IOU: Final = 0.5
_TABLE_IDS: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PanopticSegment:
    """One thing, or all of one kind of stuff, in an image.

    Attributes:
        category_id: Its class.
        crowd: A true region of many objects: matches nothing, costs a prediction inside nothing.
        area: Pixels, counted in the map where not given.
    """

    category_id: int
    crowd: bool = False
    area: int | None = None


@dataclass(frozen=True, slots=True)
class PanopticMap:
    """One image in COCO's panoptic form: (H, W) ids below 2**24, 0 = void, and what each other id stands for."""

    ids: npt.NDArray[np.integer[Any]]
    segments: Mapping[int, PanopticSegment]

    @classmethod
    def of(cls, segment_map: SegmentMap, catalog: Catalog) -> PanopticMap:
        """A segment map's segments under their own ids, and its plain pixels as one segment per class under id + 1.

        Ignored pixels and those of classes the catalog does not hold become void.
        """
        segments: dict[int, PanopticSegment] = {}
        table = np.zeros(1 << 16, dtype=np.uint16)
        present = np.bincount(segment_map.ids.ravel(), minlength=table.size)
        for class_id in catalog.sorted_ids:
            if present[class_id]:
                table[class_id] = class_id + 1
                segments[class_id + 1] = PanopticSegment(category_id=class_id)
        for segment in segment_map.segments.values():
            if present[segment.id] and segment.class_id in catalog:
                table[segment.id] = segment.id
                segments[segment.id] = PanopticSegment(category_id=segment.class_id, crowd=segment.crowd)
        return cls(table[segment_map.ids], segments)


@dataclass(slots=True)
class _Tally:
    iou: float = 0.0
    tp: int = 0
    fp: int = 0
    fn: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PanopticClass:
    """Figures of one class; NaN where it neither occurs nor is predicted, and then left out of means."""

    category_id: int
    thing: bool
    iou_sum: float
    tp: int
    fp: int
    fn: int

    @property
    def pq(self) -> float:
        """Panoptic quality: the sum of the matches' IoU over TP + FP / 2 + FN / 2."""
        return self.iou_sum / self._weight if self._weight else math.nan

    @property
    def sq(self) -> float:
        """Segmentation quality: the matches' mean IoU, 0 without matches."""
        if not self._weight:
            return math.nan
        return self.iou_sum / self.tp if self.tp else 0.0

    @property
    def rq(self) -> float:
        """Recognition quality: the F score of finding segments."""
        return self.tp / self._weight if self._weight else math.nan

    @property
    def _weight(self) -> float:
        return self.tp + 0.5 * self.fp + 0.5 * self.fn

    def to_json(self) -> dict[str, Any]:
        """Plain figures, null where undefined."""
        counts = {"category_id": self.category_id, "thing": self.thing, "tp": self.tp, "fp": self.fp, "fn": self.fn}
        return {**counts, "pq": plain(self.pq), "sq": plain(self.sq), "rq": plain(self.rq)}


@dataclass(frozen=True, slots=True, kw_only=True)
class PanopticMeans:
    """Means over the `classes` classes that occur or are predicted; NaN where there are none."""

    pq: float
    sq: float
    rq: float
    classes: int

    @classmethod
    def over(cls, rows: list[PanopticClass]) -> PanopticMeans:
        """The means over those rows that count."""
        known = [row for row in rows if row.tp + row.fp + row.fn]
        n = len(known)
        if not n:
            return cls(pq=math.nan, sq=math.nan, rq=math.nan, classes=0)
        pq, sq, rq = (sum(values) / n for values in zip(*((r.pq, r.sq, r.rq) for r in known), strict=True))
        return cls(pq=pq, sq=sq, rq=rq, classes=n)

    def to_json(self) -> dict[str, Any]:
        """Plain figures, null where undefined."""
        return {"pq": plain(self.pq), "sq": plain(self.sq), "rq": plain(self.rq), "classes": self.classes}


@dataclass(frozen=True, slots=True, kw_only=True)
class PanopticResult:
    """Panoptic figures: means over all classes, things, stuff, and each class."""

    all: PanopticMeans
    things: PanopticMeans
    stuff: PanopticMeans
    classes: tuple[PanopticClass, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain figures, null where undefined."""
        means = {"all": self.all.to_json(), "things": self.things.to_json(), "stuff": self.stuff.to_json()}
        return {**means, "classes": [row.to_json() for row in self.classes]}


@dataclass(slots=True)
class PanopticQuality:
    """Counts matches between predicted and true segments over a data set, by the rules of panopticapi's `pq_compute`.

    Segments of one class match where their IoU is above one half; predicted pixels on void are outside the union.
    An unmatched prediction costs nothing where more than half of it lies on void or on a crowd of its class.

    Attributes:
        things: By category id, whether it is a thing. `for_catalog` makes it from a project's classes.
    """

    things: Mapping[int, bool]
    _tallies: dict[int, _Tally] = field(init=False)

    def __post_init__(self) -> None:
        self._tallies = {category_id: _Tally() for category_id in self.things}

    @classmethod
    def for_catalog(cls, catalog: Catalog) -> PanopticQuality:
        """A count over a project's classes."""
        return cls({c.id: c.kind is Kind.THING for c in catalog})

    def add(self, prediction: PanopticMap, label: PanopticMap) -> None:
        """Adds one image.

        Raises:
            UserError: The sizes differ, a category is unknown, or the prediction's ids and segments do not agree.
        """
        check_sizes(prediction.ids, label.ids)
        shared = _overlaps(label.ids, prediction.ids)
        areas: dict[int, int] = {}
        true_areas: dict[int, int] = {}
        for (true_id, predicted_id), pixels in shared.items():
            areas[predicted_id] = areas.get(predicted_id, 0) + pixels
            true_areas[true_id] = true_areas.get(true_id, 0) + pixels
        areas.pop(VOID, None)
        self._check(prediction, set(areas))
        for side, panoptic_map in (("prediction", prediction), ("label", label)):
            unknown = {s.category_id for s in panoptic_map.segments.values()} - set(self.things)
            if unknown:
                raise UserError(
                    f"A {side} holds category {min(unknown)}, which is not known.", "Map its classes first."
                )
        matched = self._count_matches(prediction, label, shared=shared, areas=areas, true_areas=true_areas)
        crowds = self._count_missed(label, {true_id for true_id, _ in matched})
        found = {predicted_id for _, predicted_id in matched}
        for predicted_id, segment in prediction.segments.items():
            if predicted_id in found:
                continue
            excused = shared.get((VOID, predicted_id), 0)
            if segment.category_id in crowds:
                excused += shared.get((crowds[segment.category_id], predicted_id), 0)
            if excused / areas[predicted_id] <= _MATCH_IOU:
                self._tallies[segment.category_id].fp += 1

    def merge(self, other: PanopticQuality) -> None:
        """Adds the images of another count of the same categories."""
        if other.things != self.things:
            raise ValueError("panoptic counts of different categories cannot be added")
        for category_id, more in other._tallies.items():
            own = self._tallies[category_id]
            own.iou, own.tp, own.fp, own.fn = own.iou + more.iou, own.tp + more.tp, own.fp + more.fp, own.fn + more.fn

    def result(self) -> PanopticResult:
        """The figures over the images so far."""
        rows = [
            PanopticClass(category_id=c, thing=self.things[c], iou_sum=t.iou, tp=t.tp, fp=t.fp, fn=t.fn)
            for c, t in self._tallies.items()
        ]
        return PanopticResult(
            all=PanopticMeans.over(rows),
            things=PanopticMeans.over([row for row in rows if row.thing]),
            stuff=PanopticMeans.over([row for row in rows if not row.thing]),
            classes=tuple(rows),
        )

    def _check(self, prediction: PanopticMap, drawn: set[int]) -> None:
        stray = drawn.symmetric_difference(prediction.segments)
        if stray:
            what = "drawn but not listed" if min(stray) in drawn else "listed but not drawn"
            raise UserError(
                f"Segment {min(stray)} of a prediction is {what}.", "Its image and its list must come from one run."
            )

    def _count_matches(
        self,
        prediction: PanopticMap,
        label: PanopticMap,
        *,
        shared: Mapping[tuple[int, int], int],
        areas: Mapping[int, int],
        true_areas: Mapping[int, int],
    ) -> list[tuple[int, int]]:
        matched = []
        for (true_id, predicted_id), pixels in shared.items():
            true, predicted = label.segments.get(true_id), prediction.segments.get(predicted_id)
            if true is None or predicted is None or true.crowd or true.category_id != predicted.category_id:
                continue
            true_area = true_areas[true_id] if true.area is None else true.area
            union = areas[predicted_id] + true_area - pixels - shared.get((VOID, predicted_id), 0)
            if pixels / union > _MATCH_IOU:
                tally = self._tallies[true.category_id]
                tally.tp += 1
                tally.iou += pixels / union
                matched.append((true_id, predicted_id))
        return matched

    def _count_missed(self, label: PanopticMap, found: set[int]) -> dict[int, int]:
        """Counts true segments nobody found; gives the crowd of each category (the last one, as panopticapi does)."""
        crowds: dict[int, int] = {}
        for true_id, segment in label.segments.items():
            if segment.crowd:
                crowds[segment.category_id] = true_id
            elif true_id not in found:
                self._tallies[segment.category_id].fn += 1
        return crowds


def _overlaps(label: npt.NDArray[Any], prediction: npt.NDArray[Any]) -> dict[tuple[int, int], int]:
    """Pixels by (true id, predicted id), in ascending order."""
    true_ids, true = _numbered(label)
    predicted_ids, predicted = _numbered(prediction)
    codes = true * np.int64(predicted_ids.size) + predicted
    if true_ids.size * predicted_ids.size <= _TABLE_IDS:
        counts = np.bincount(codes)
        pairs = np.flatnonzero(counts)
        counts = counts[pairs]
    else:
        pairs, counts = np.unique(codes, return_counts=True)
    rows, columns = np.divmod(pairs, predicted_ids.size)
    return {(int(t), int(p)): int(n) for t, p, n in zip(true_ids[rows], predicted_ids[columns], counts, strict=True)}


def _numbered(ids: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """(values, numbers): the ids that occur, ascending, and each pixel's place among them, flat."""
    flat = ids.ravel()
    if flat.size == 0 or flat.max() >= _TABLE_IDS:
        values, numbers = np.unique(flat, return_inverse=True)
        return values, numbers.astype(np.int64, copy=False)
    present = np.zeros(int(flat.max()) + 1, dtype=np.bool_)
    present[flat] = True
    return np.flatnonzero(present), (np.cumsum(present) - 1)[flat]
