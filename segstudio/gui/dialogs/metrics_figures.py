"""The further figures of an evaluation as rows of a table, for one evaluation or two side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from segstudio.services.evaluating import Metric

if TYPE_CHECKING:
    from segstudio.services.evaluating import Evaluation

Value = float | int
NOTHING: Final = "–"


@dataclass(frozen=True, slots=True)
class Figures:
    """A table of figures: `headings` without that of the names, and (name, values) rows; whole numbers are counts."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Value, ...]], ...]

    def beside(self, other: Figures) -> Figures:
        """Each figure of this table (A) with the other's (B) to its right; rows that one alone has are left out."""
        theirs = dict(other.rows)
        headings = tuple(f"{heading} {which}" for heading in self.headings for which in "AB")
        rows = tuple(
            (name, tuple(value for pair in zip(values, theirs[name], strict=True) for value in pair))
            for name, values in self.rows
            if name in theirs
        )
        return Figures(headings, rows)


def value_text(value: Value) -> str:
    """A figure as the tables show it: three decimals, counts with separators, a dash where undefined."""
    if isinstance(value, int):
        return f"{value:,}"
    return NOTHING if math.isnan(value) else f"{value:.3f}"


def difference_text(value: float) -> str:
    """A difference with its sign."""
    if math.isnan(value):
        return NOTHING
    return f"{value:+.3f}".replace("-", "\u2212") if abs(value) >= 0.0005 else "±0"


def figures_of(metric: Metric, evaluations: Sequence[Evaluation]) -> Figures | None:
    """The figures of a metric; None where an evaluation lacks them."""
    found = [_MAKERS[metric](e) for e in evaluations if getattr(e, metric.value) is not None]
    if len(found) < len(evaluations) or not found:
        return None
    return found[0] if len(found) == 1 else found[0].beside(found[1])


def _boundary(evaluation: Evaluation) -> Figures:
    result = evaluation.boundary
    assert result is not None
    columns = zip(result.f_score, result.precision, result.recall, result.images, strict=True)
    rows = tuple(zip(evaluation.class_names, columns, strict=True))
    means = (result.mean_f_score, _mean(result.precision), _mean(result.recall), evaluation.images)
    return Figures(("F score", "Precision", "Recall", "Images"), (("All classes", means), *rows))


def _trimap(evaluation: Evaluation) -> Figures:
    result = evaluation.trimap
    assert result is not None
    rows = tuple(
        (f"{radius} px", (band.mean_iou, band.pixel_accuracy, band.mean_accuracy, band.pixels))
        for radius, band in zip(result.radii, result.bands, strict=True)
    )
    return Figures(("Mean IoU", "Pixel accuracy", "Mean accuracy", "Pixels"), rows)


def _panoptic(evaluation: Evaluation) -> Figures:
    result = evaluation.panoptic
    assert result is not None
    names = dict(zip(evaluation.class_ids, evaluation.class_names, strict=True))
    groups = (
        ("All classes", result.all, result.classes),
        ("Things", result.things, [row for row in result.classes if row.thing]),
        ("Stuff", result.stuff, [row for row in result.classes if not row.thing]),
    )
    rows: list[tuple[str, tuple[Value, ...]]] = [
        (title, (mean.pq, mean.sq, mean.rq, *(sum(getattr(row, n) for row in members) for n in ("tp", "fp", "fn"))))
        for title, mean, members in groups
    ]
    rows += [(names[row.category_id], (row.pq, row.sq, row.rq, row.tp, row.fp, row.fn)) for row in result.classes]
    return Figures(("PQ", "SQ", "RQ", "Matched", "Too many", "Missed"), tuple(rows))


def _coco(evaluation: Evaluation) -> Figures:
    result = evaluation.coco
    assert result is not None
    few, some, most = result.max_detections
    titles = {
        "ap": "AP, IoU 0.50 to 0.95",
        "ap50": "AP, IoU 0.50",
        "ap75": "AP, IoU 0.75",
        "ap_small": "AP, small objects",
        "ap_medium": "AP, medium objects",
        "ap_large": "AP, large objects",
        "ar_few": f"AR, {few} an image",
        "ar_some": f"AR, {some} an image",
        "ar": f"AR, {most} an image",
        "ar_small": "AR, small objects",
        "ar_medium": "AR, medium objects",
        "ar_large": "AR, large objects",
    }
    names = dict(zip(evaluation.class_ids, evaluation.class_names, strict=True))
    rows = [(title, (float(getattr(result, name)),)) for name, title in titles.items()]
    rows += [(f"AP of {names[class_id]}", (ap,)) for class_id, ap in result.class_ap.items()]
    return Figures(("Figure",), tuple(rows))


def _cityscapes(evaluation: Evaluation) -> Figures:
    result = evaluation.cityscapes
    assert result is not None
    rows = [
        ("All classes", (result.mean_iou, result.mean_iiou)),
        *((row.name, (row.iou, row.iiou)) for row in result.classes),
        ("All categories", (result.mean_category_iou, result.mean_category_iiou)),
        *((f"Category {row.name}", (row.iou, row.iiou)) for row in result.categories),
    ]
    return Figures(("IoU", "iIoU"), tuple(rows))


def _em(evaluation: Evaluation) -> Figures:
    result = evaluation.em
    assert result is not None
    titles = {
        "warping_error": "Warping error",
        "split_merge_error": "Splits and mergers after warping",
        "rand_error": "Rand error",
        "pixel_error": "Pixel error",
        "v_rand": "Rand F score, thinned",
        "v_rand_split": "Rand split score",
        "v_rand_merge": "Rand merge score",
        "v_info": "Information F score, thinned",
    }
    return Figures(("Mean over images",), tuple((title, (getattr(result, name),)) for name, title in titles.items()))


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


_MAKERS: Final[dict[Metric, Callable[[Evaluation], Figures]]] = {
    Metric.BOUNDARY: _boundary,
    Metric.TRIMAP: _trimap,
    Metric.PANOPTIC: _panoptic,
    Metric.COCO: _coco,
    Metric.CITYSCAPES: _cityscapes,
    Metric.EM: _em,
}
