"""COCO's average precision and recall, computed by pycocotools itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from segstudio.core.errors import UserError
from segstudio.core.metrics import plain
from segstudio.core.segmentmap import FIRST_SEGMENT_ID, SegmentMap
from segstudio.imaging.rle import Rle, encode_regions

COCO_DETECTIONS: Final = (1, 10, 100)
_AREAS: Final = ("all", "small", "medium", "large")
_FIGURES: Final = (
    *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    *("ar_few", "ar_some", "ar", "ar_small", "ar_medium", "ar_large"),
)


class CocoMode(StrEnum):
    """What overlaps are taken of: masks or bounding boxes. The values are pycocotools'."""

    MASKS = "segm"
    BOXES = "bbox"


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoInstance:
    """One true or predicted instance.

    Attributes:
        class_id: Its category.
        bbox: (x, y, width, height) in pixels.
        area: In pixels; decides whether it is small (up to 32²), medium (up to 96²) or large.
        rle: Its mask; None where only boxes are compared.
        crowd: A true region of many objects: may match any number of predictions, which then do not count.
        score: How sure a prediction is, any scale.
        box_area: Takes the place of `area` for predictions where boxes are compared; width * height where None.
    """

    class_id: int
    bbox: tuple[float, float, float, float]
    area: float
    rle: Rle | None = None
    crowd: bool = False
    score: float = 1.0
    box_area: float | None = None


def instances_of(segment_map: SegmentMap, scores: Mapping[int, float] | None = None) -> list[CocoInstance]:
    """The segments of a map as instances, lowest id first; plain pixels of a class are none.

    Args:
        scores: By segment id, how sure a prediction is; 1 where not given.
    """
    scores = scores or {}
    regions = encode_regions(segment_map.ids, lowest=FIRST_SEGMENT_ID, wanted=list(segment_map.segments))
    found = []
    for region in regions:
        segment = segment_map.segments[region.value]
        found.append(
            CocoInstance(
                class_id=segment.class_id,
                bbox=region.bbox,
                area=region.area,
                rle=region.rle,
                crowd=segment.crowd,
                score=scores.get(segment.id, 1.0),
            )
        )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoResult:
    """COCO's twelve figures and the precision of each class; parts of 1, NaN where there is nothing to find.

    AP is the mean precision over 101 recalls, ten IoU thresholds (0.50 to 0.95) and classes; AR the mean recall reached
    over thresholds and classes. Where pycocotools says -1, this says NaN.

    Attributes:
        mode: What overlaps were taken of.
        max_detections: The predictions per image and class that count for `ar_few`, `ar_some`, and everything else.
        class_ap: AP by class id.
    """

    mode: CocoMode
    max_detections: tuple[int, int, int]
    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    ar_few: float
    ar_some: float
    ar: float
    ar_small: float
    ar_medium: float
    ar_large: float
    class_ap: dict[int, float]

    @property
    def figures(self) -> dict[str, float]:
        """The twelve figures by name, in pycocotools' order."""
        return {name: getattr(self, name) for name in _FIGURES}

    def to_json(self) -> dict[str, Any]:
        """Plain figures, null where undefined."""
        return {
            "mode": str(self.mode),
            "max_detections": list(self.max_detections),
            **{name: plain(value) for name, value in self.figures.items()},
            "class_ap": {str(class_id): plain(value) for class_id, value in self.class_ap.items()},
        }


class CocoScore:
    """Collects true and predicted instances, image by image, for COCO's figures.

    Args:
        class_ids: The categories that count; instances of others are left out.
        max_detections: Of an image's predictions of a class only so many, the surest, count: COCO's 1, 10 and 100.
            Images with more objects than that need more.
    """

    def __init__(self, class_ids: Iterable[int], *, max_detections: tuple[int, int, int] = COCO_DETECTIONS) -> None:
        self.class_ids = tuple(sorted(set(class_ids)))
        self.max_detections = max_detections
        self._images: list[tuple[list[CocoInstance], list[CocoInstance]]] = []

    def add(self, predictions: Iterable[CocoInstance], truth: Iterable[CocoInstance]) -> None:
        """Adds one image; predictions of one score are ranked in the order of images and of their list."""
        self._images.append((list(predictions), list(truth)))

    def merge(self, other: CocoScore) -> None:
        """Adds the images of another score of the same classes."""
        if (other.class_ids, other.max_detections) != (self.class_ids, self.max_detections):
            raise ValueError("COCO scores of different classes or numbers of detections cannot be added")
        self._images.extend(other._images)

    def result(self, mode: CocoMode = CocoMode.MASKS) -> CocoResult:
        """The figures over the images so far.

        Raises:
            UserError: Masks are to be compared, but an instance has only a box.
        """
        true, predicted = _Annotations(self.class_ids, len(self._images)), _Annotations(self.class_ids, 0)
        for image_id, (predictions, truth) in enumerate(self._images):
            for instance in truth:
                true.add(image_id, instance, mode=mode, area=instance.area)
            for instance in predictions:
                predicted.add(image_id, instance, mode=mode, area=_predicted_area(instance, mode))
        if not self._images or not self.class_ids:
            empty = np.zeros((0,) * 5)
            return self._summed(mode, empty, empty)
        evaluation = _cocoeval().COCOeval(true, predicted, str(mode))
        evaluation.params.maxDets = list(self.max_detections)
        evaluation.evaluate()
        evaluation.accumulate()
        return self._summed(mode, evaluation.eval["precision"], evaluation.eval["recall"])

    def _summed(self, mode: CocoMode, precision: npt.NDArray[Any], recall: npt.NDArray[Any]) -> CocoResult:
        """pycocotools' `summarize`, which knows only 100 detections.

        Args:
            mode: What overlaps were taken of.
            precision: (10 IoU thresholds, 101 recalls, classes, 4 areas, 3 numbers of detections), -1 = undefined.
            recall: (10, classes, 4, 3), likewise.
        """
        if not precision.size:
            precision, recall = np.full((10, 101, 0, 4, 3), -1.0), np.full((10, 0, 4, 3), -1.0)
        sized = zip(_AREAS[1:], range(1, 4), strict=True)
        by_area = {f"ap_{name}": _mean(precision[:, :, :, area, 2]) for name, area in sized}
        by_area |= {f"ar_{name}": _mean(recall[:, :, area, 2]) for area, name in enumerate(_AREAS) if area}
        return CocoResult(
            mode=mode,
            max_detections=self.max_detections,
            ap=_mean(precision[:, :, :, 0, 2]),
            ap50=_mean(precision[0, :, :, 0, 2]),
            ap75=_mean(precision[5, :, :, 0, 2]),
            ar_few=_mean(recall[:, :, 0, 0]),
            ar_some=_mean(recall[:, :, 0, 1]),
            ar=_mean(recall[:, :, 0, 2]),
            class_ap={c: _mean(precision[:, :, k, 0, 2]) for k, c in enumerate(self.class_ids) if precision.shape[2]},
            **by_area,
        )


def _predicted_area(instance: CocoInstance, mode: CocoMode) -> float:
    if mode is CocoMode.MASKS:
        return instance.area
    return instance.bbox[2] * instance.bbox[3] if instance.box_area is None else instance.box_area


def _mean(values: npt.NDArray[Any]) -> float:
    known = values[values > -1]
    return float(known.mean()) if known.size else math.nan


class _Annotations:
    """As much of pycocotools' `COCO` as its evaluation asks for, without its copies and its printed lines."""

    def __init__(self, class_ids: Sequence[int], images: int) -> None:
        self._class_ids = list(class_ids)
        self._images = images
        self._rows: list[dict[str, Any]] = []

    def add(self, image_id: int, instance: CocoInstance, *, mode: CocoMode, area: float) -> None:
        if mode is CocoMode.MASKS and instance.rle is None:
            raise UserError("Instances with boxes but no masks cannot be compared by mask.", "Compare their boxes.")
        if instance.class_id not in self._class_ids:
            return
        self._rows.append(
            {
                "id": len(self._rows) + 1,  # 0 means "unmatched" to pycocotools
                "image_id": image_id,
                "category_id": instance.class_id,
                "segmentation": instance.rle,
                "bbox": list(instance.bbox),
                "area": area,
                "iscrowd": int(instance.crowd),
                "score": instance.score,
            }
        )

    def getImgIds(self) -> list[int]:  # noqa: N802
        return list(range(self._images))

    def getCatIds(self) -> list[int]:  # noqa: N802
        return self._class_ids

    def getAnnIds(self, **_: object) -> range:  # noqa: N802
        return range(len(self._rows))

    def loadAnns(self, ids: range) -> list[dict[str, Any]]:  # noqa: N802
        return [self._rows[i] for i in ids]

    def annToRLE(self, annotation: dict[str, Any]) -> Rle:  # noqa: N802
        rle: Rle = annotation["segmentation"]
        return rle


def _cocoeval() -> Any:
    from pycocotools import cocoeval

    # It prints its progress. Standard output belongs to all threads, so only this module's own `print` is muted.
    cocoeval.print = _muted
    return cocoeval


def _muted(*_: object) -> None:
    return None
