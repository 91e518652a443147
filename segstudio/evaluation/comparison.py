"""Several evaluations of the same images, side by side."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from segstudio.core.errors import UserError
from segstudio.core.metrics import plain
from segstudio.evaluation.outcome import Evaluation

HEADLINES: Final = {
    "mean_iou": "Mean IoU",
    "pixel_accuracy": "Pixel accuracy",
    "mean_accuracy": "Mean accuracy",
    "mean_dice": "Mean Dice",
    "frequency_weighted_iou": "Frequency-weighted IoU",
}
CLASS_FIGURES: Final = {"iou": "IoU", "accuracy": "Accuracy", "dice": "Dice"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure of every evaluation, NaN where undefined.

    Attributes:
        key: Its name in files.
        title: What people call it.
        values: In the order of the evaluations.
        lower_is_better: True for errors.
    """

    key: str
    title: str
    values: tuple[float, ...]
    lower_is_better: bool = False

    @property
    def differences(self) -> tuple[float, ...]:
        """Each value less the first; 0 for the first itself."""
        return tuple(value - self.values[0] for value in self.values)

    def to_json(self) -> dict[str, Any]:
        """Plain figures, null where undefined."""
        return {
            "key": self.key,
            "title": self.title,
            "values": [plain(v) for v in self.values],
            "differences": [plain(v) for v in self.differences],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """An image whose mean IoU differs between two evaluations; `index` is its place in `per_image`."""

    index: int
    name: str
    before: float
    after: float

    @property
    def difference(self) -> float:
        """Above 0 where the later one is better."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class Comparison:
    """Evaluations of the same images by the same classes; the first is what the others are compared with.

    Raises:
        UserError: The classes or the images differ.
    """

    evaluations: tuple[Evaluation, ...]

    def __post_init__(self) -> None:
        first = self.evaluations[0]
        names = [image.name for image in first.per_image]
        for other in self.evaluations[1:]:
            if (other.class_ids, other.class_names) != (first.class_ids, first.class_names):
                raise UserError(
                    f"{first.title} and {other.title} were evaluated with different classes.", "Evaluate both again."
                )
            if [image.name for image in other.per_image] != names:
                raise UserError(
                    f"{first.title} and {other.title} were evaluated on different images.", "Evaluate both again."
                )

    @property
    def headline(self) -> tuple[Row, ...]:
        """The figures of the confusion matrix, then one of every metric that all evaluations have."""
        rows = [
            Row(key=key, title=title, values=tuple(getattr(e.summary, key) for e in self.evaluations))
            for key, title in HEADLINES.items()
        ]
        return (*rows, *self._metric_rows())

    def classes(self, figure: str = "iou") -> tuple[Row, ...]:
        """A figure ("iou", "accuracy" or "dice") by class."""
        columns = [getattr(e.summary, figure) for e in self.evaluations]
        rows = zip(self.evaluations[0].class_ids, self.evaluations[0].class_names, *columns, strict=True)
        return tuple(Row(key=str(class_id), title=name, values=tuple(values)) for class_id, name, *values in rows)

    def moved(self, index: int = 1, *, most: int = 10) -> tuple[tuple[Moved, ...], tuple[Moved, ...]]:
        """(better, worse): the images that gained or lost most from the first evaluation to the one at `index`."""
        pairs = zip(self.evaluations[0].per_image, self.evaluations[index].per_image, strict=True)
        found = [
            Moved(index=place, name=before.name, before=before.mean_iou, after=after.mean_iou)
            for place, (before, after) in enumerate(pairs)
            if not math.isnan(before.mean_iou) and not math.isnan(after.mean_iou)
        ]
        better = sorted((m for m in found if m.difference > 0), key=lambda m: -m.difference)
        worse = sorted((m for m in found if m.difference < 0), key=lambda m: m.difference)
        return tuple(better[:most]), tuple(worse[:most])

    def to_json(self) -> dict[str, Any]:
        """Plain figures, null where undefined."""
        return {
            "titles": [e.title for e in self.evaluations],
            "headline": [row.to_json() for row in self.headline],
            "classes": {key: [row.to_json() for row in self.classes(key)] for key in CLASS_FIGURES},
        }

    def _metric_rows(self) -> list[Row]:
        rows = []
        for key, title, path, lower in _METRIC_ROWS:
            found = [_followed(e, path) for e in self.evaluations]
            values = tuple(v for v in found if v is not None)
            if len(values) == len(found):
                rows.append(Row(key=key, title=title, values=values, lower_is_better=lower))
        return rows


_METRIC_ROWS: Final = (
    ("boundary_f", "Boundary F score", "boundary.mean_f_score", False),
    ("pq", "Panoptic quality", "panoptic.all.pq", False),
    ("ap", "COCO AP", "coco.ap", False),
    ("ap50", "COCO AP50", "coco.ap50", False),
    ("cityscapes_iou", "Cityscapes IoU", "cityscapes.mean_iou", False),
    ("warping_error", "Warping error", "em.warping_error", True),
    ("rand_error", "Rand error", "em.rand_error", True),
)


def _followed(evaluation: Evaluation, path: str) -> float | None:
    """The figure at a path of attributes; None where the metric is not there."""
    value: Any = evaluation
    for name in path.split("."):
        value = getattr(value, name)
        if value is None:
            return None
    return float(value)
