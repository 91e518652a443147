"""Sections of a report that hold figures: headlines, classes, and one for each metric."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from segstudio.evaluation.coco import CocoResult
from segstudio.evaluation.comparison import CLASS_FIGURES, Comparison, Row
from segstudio.evaluation.outcome import Evaluation, Metric
from segstudio.evaluation.panoptic import PanopticClass, PanopticResult
from segstudio.evaluation.report_charts import series_color, trimap_chart
from segstudio.evaluation.report_html import (
    DASH,
    bar,
    change,
    digits_of,
    percent,
    safe,
    section,
    swatch,
    table,
    whole,
)

_COCO_ROWS = (
    ("ap", "AP", "0.50:0.95", "all", 2),
    ("ap50", "AP", "0.50", "all", 2),
    ("ap75", "AP", "0.75", "all", 2),
    ("ap_small", "AP", "0.50:0.95", "small", 2),
    ("ap_medium", "AP", "0.50:0.95", "medium", 2),
    ("ap_large", "AP", "0.50:0.95", "large", 2),
    ("ar_few", "AR", "0.50:0.95", "all", 0),
    ("ar_some", "AR", "0.50:0.95", "all", 1),
    ("ar", "AR", "0.50:0.95", "all", 2),
    ("ar_small", "AR", "0.50:0.95", "small", 2),
    ("ar_medium", "AR", "0.50:0.95", "medium", 2),
    ("ar_large", "AR", "0.50:0.95", "large", 2),
)
_EM_ROWS = (
    ("pixel_error", "Pixel error"),
    ("warping_error", "Warping error"),
    ("split_merge_error", "Warping error, splits and mergers only"),
    ("rand_error", "Rand error"),
    ("v_rand", "Rand score after thinning"),
    ("v_rand_split", "Rand score after thinning, split"),
    ("v_rand_merge", "Rand score after thinning, merge"),
    ("v_info", "Information score after thinning"),
)


def headline(comparison: Comparison) -> str:
    """The figures of the whole data set: large ones for one evaluation, a table for several."""
    rows = [row for row in comparison.headline if not all(math.isnan(value) for value in row.values)]
    if len(comparison.evaluations) == 1:
        cards = "".join(
            f'<div class="card"><b>{_value(row, 0)}<small>%</small></b><span>{safe(row.title)}</span></div>'
            for row in rows
        )
        return f'<div class="cards">{cards}</div>'
    return section("Figures", _compared(comparison, "Figure", rows), note="In percent, with the difference in points.")


def class_section(comparison: Comparison) -> str:
    """The figures of each class."""
    if not comparison.evaluations[0].images:
        return ""
    note = "In percent. A class that neither occurs nor is predicted has no figures; classes in grey enter no mean."
    if len(comparison.evaluations) == 1:
        return section("Classes", _class_table(comparison.evaluations[0]), note=note)
    first = comparison.evaluations[0]
    parts = []
    for figure, title in CLASS_FIGURES.items():
        rows = comparison.classes(figure)
        marks = [swatch(color) for color in first.colors]
        parts.append(f"<div><h3>{title}</h3>{_compared(comparison, 'Class', rows, marks)}</div>")
    kind = "thirds" if len(comparison.evaluations) == 2 else ""
    note = "In percent, with the difference in points."
    return section("Classes", f'<div class="{kind}">{"".join(parts)}</div>', note=note)


def metric_sections(comparison: Comparison) -> Iterator[str]:
    """A section for each metric that was asked for, and one with the reasons why some do not apply."""
    reasons = []
    for metric in Metric:
        notes = list(dict.fromkeys(e.notes[metric] for e in comparison.evaluations if metric in e.notes))
        if all(getattr(e, metric.value) is not None for e in comparison.evaluations):
            note = " ".join([_HOW.get(metric, ""), *notes]).strip()
            yield section(metric.heading, _SECTIONS[metric](comparison), note=note)
        elif notes:
            reasons.append(f"<li><b>{metric.heading}.</b> {safe(' '.join(notes), longest=400)}</li>")
    if reasons:
        yield section("Figures that do not apply", f"<ul>{''.join(reasons)}</ul>")


def _compared(comparison: Comparison, first: str, rows: Sequence[Row], marks: Sequence[str] = ()) -> str:
    """A table with a column for each evaluation and one for each difference from the first."""
    head = [first]
    for place, evaluation in enumerate(comparison.evaluations):
        key = f'<span class="key" style="background:{series_color(place)}"></span>'
        head += [f"{key}{safe(evaluation.title)}", *(["Change"] if place else [])]
    body = []
    for number, row in enumerate(rows):
        cells = [(marks[number] if marks else "") + safe(row.title)]
        for place, difference in enumerate(row.differences):
            cells.append(_value(row, place))
            if place:
                cells.append(change(difference, lower_is_better=row.lower_is_better))
        body.append(cells)
    return table(head, body)


def _value(row: Row, place: int) -> str:
    return percent(row.values[place], digits=digits_of(lower_is_better=row.lower_is_better))


def _class_table(evaluation: Evaluation) -> str:
    s = evaluation.summary
    boundary, panoptic = evaluation.boundary, evaluation.panoptic
    head = ["Class", "IoU", "Accuracy", "Dice"]
    head += ["Boundary F"] if boundary is not None else []
    head += ["PQ"] if panoptic is not None else []
    head += ["True pixels", "Predicted"]
    rows = []
    for place, (name, color) in enumerate(zip(evaluation.class_names, evaluation.colors, strict=True)):
        grey = "" if s.counted[place] else ' class="lead"'
        iou = f"{bar(s.iou[place])}{percent(s.iou[place])}"
        cells = [f"{swatch(color)}<span{grey}>{safe(name)}</span>", iou]
        cells += [percent(s.accuracy[place]), percent(s.dice[place])]
        cells += [percent(boundary.f_score[place])] if boundary is not None else []
        cells += [percent(_panoptic_row(panoptic, evaluation.class_ids[place]).pq)] if panoptic is not None else []
        cells += [_share(s.true_pixels[place], s.pixels), _share(s.predicted_pixels[place], s.pixels)]
        rows.append(cells)
    return table(head, rows)


def _share(pixels: int, total: int) -> str:
    return f'<span title="{whole(pixels)} pixels">{percent(pixels / total) if total else DASH}</span>'


def _panoptic_row(result: PanopticResult, class_id: int) -> PanopticClass:
    return next(row for row in result.classes if row.category_id == class_id)


# --------------------------------------------------------------------------------------------------- metrics


def _boundary(comparison: Comparison) -> str:
    first = comparison.evaluations[0]
    rows = []
    for place, name in enumerate(first.class_names):
        cells = [f"{swatch(first.colors[place])}{safe(name)}"]
        for e in comparison.evaluations:
            assert e.boundary is not None
            cells += [percent(v[place]) for v in (e.boundary.f_score, e.boundary.precision, e.boundary.recall)]
        rows.append(cells)
    tolerance = "0.75 % of the image's diagonal" if first.tolerance_px is None else f"{first.tolerance_px:g} pixels"
    text = f'<p class="note">A border is right where the other one is at most {tolerance} away; in percent.</p>'
    return text + table(["Class", *_repeated(comparison, ("F", "Precision", "Recall"))], rows)


def _trimap(comparison: Comparison) -> str:
    keys = "".join(
        f'<span class="key" style="background:{series_color(place)}"></span>{safe(e.title)} &nbsp; '
        for place, e in enumerate(comparison.evaluations)
    )
    return f'{trimap_chart(comparison.evaluations)}<p class="source">{keys}</p>'


def _panoptic(comparison: Comparison) -> str:
    first = comparison.evaluations[0]
    rows = []
    for title, part in (("All", "all"), ("Things", "things"), ("Stuff", "stuff")):
        cells = [f"<b>{title}</b>"]
        for e in comparison.evaluations:
            means = getattr(e.panoptic, part)
            cells += [percent(means.pq), percent(means.sq), percent(means.rq), "", "", ""]
        rows.append(cells)
    for place, (class_id, name) in enumerate(zip(first.class_ids, first.class_names, strict=True)):
        cells = [f"{swatch(first.colors[place])}{safe(name)}"]
        for e in comparison.evaluations:
            assert e.panoptic is not None
            row = _panoptic_row(e.panoptic, class_id)
            cells += [percent(v) for v in (row.pq, row.sq, row.rq)]
            cells += [whole(n) for n in (row.tp, row.fp, row.fn)]
        rows.append(cells)
    return table(["Class", *_repeated(comparison, ("PQ", "SQ", "RQ", "Found", "Wrong", "Missed"))], rows)


def _coco(comparison: Comparison) -> str:
    results: list[CocoResult] = [e.coco for e in comparison.evaluations if e.coco is not None]
    rows = [
        [
            f"{title}, IoU {iou}, {area}, {results[0].max_detections[most]}",
            *(percent(result.figures[key]) for result in results),
        ]
        for key, title, iou, area, most in _COCO_ROWS
    ]
    head = ["Figure", *_titles(comparison)]
    first = comparison.evaluations[0]
    classes = [
        [f"{swatch(first.colors[place])}{safe(name)}", *(percent(r.class_ap.get(class_id, math.nan)) for r in results)]
        for place, (class_id, name) in enumerate(zip(first.class_ids, first.class_names, strict=True))
    ]
    by_class = table(["Class", *(f"AP {title}" for title in _titles(comparison))], classes)
    return f'<div class="columns"><div>{table(head, rows)}</div><div>{by_class}</div></div>'


def _cityscapes(comparison: Comparison) -> str:
    results = [e.cityscapes for e in comparison.evaluations if e.cityscapes is not None]
    tables = []
    for what, mean, mean_weighted in (
        ("classes", "mean_iou", "mean_iiou"),
        ("categories", "mean_category_iou", "mean_category_iiou"),
    ):
        rows = [["<b>Mean</b>", *(percent(getattr(r, key)) for r in results for key in (mean, mean_weighted))]]
        rows += [
            [safe(entries[0].name), *(percent(v) for entry in entries for v in (entry.iou, entry.iiou))]
            for entries in zip(*(getattr(r, what) for r in results), strict=True)
        ]
        head = ["Class" if what == "classes" else "Category", *_repeated(comparison, ("IoU", "iIoU"))]
        tables.append(f"<div>{table(head, rows)}</div>")
    return f'<div class="columns">{"".join(tables)}</div>'


def _em(comparison: Comparison) -> str:
    results = [e.em for e in comparison.evaluations]
    rows = [
        [title, *(DASH if math.isnan(value := getattr(r, key)) else f"{value:.6f}" for r in results)]
        for key, title in _EM_ROWS
    ]
    return table(["Figure", *_titles(comparison)], rows)


def _titles(comparison: Comparison) -> list[str]:
    if len(comparison.evaluations) == 1:
        return [""]
    return [safe(e.title) for e in comparison.evaluations]


def _repeated(comparison: Comparison, columns: Sequence[str]) -> list[str]:
    """The columns for each evaluation, with its title where there are several."""
    return [f"{title}<br>{column}" if title else column for title in _titles(comparison) for column in columns]


_SECTIONS = {
    Metric.BOUNDARY: _boundary,
    Metric.TRIMAP: _trimap,
    Metric.PANOPTIC: _panoptic,
    Metric.COCO: _coco,
    Metric.CITYSCAPES: _cityscapes,
    Metric.EM: _em,
}
_HOW = {
    Metric.TRIMAP: "Mean IoU (percent) of the pixels near a border; dashed: of all pixels.",
    Metric.PANOPTIC: "In percent, and segments found, wrong and missed.",
    Metric.COCO: (
        "In percent: average precision and recall over IoU thresholds, for instances of all sizes, up to 32² pixels "
        "(small), up to 96² (medium) and above, with so many predictions an image and class."
    ),
    Metric.CITYSCAPES: "In percent; iIoU weighs instances by the mean size of their class.",
    Metric.EM: "Means over images; errors are parts of 1 and best at 0, scores best at 1.",
}
