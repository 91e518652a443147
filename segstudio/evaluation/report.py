"""Evaluations as one HTML file that needs no other: figures, the confusion matrix, and pictures of the mistakes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from segstudio.core.jobs import Progress
from segstudio.core.ordered import in_order
from segstudio.evaluation.comparison import Comparison
from segstudio.evaluation.evaluate import ProgressCallback, Sample
from segstudio.evaluation.outcome import Evaluation, ImageResult
from segstudio.evaluation.report_charts import heat_map
from segstudio.evaluation.report_html import (
    MIDDLE,
    NARROW,
    counted,
    page,
    percent,
    safe,
    section,
    signed,
    table,
    whole,
)
from segstudio.evaluation.report_pictures import Tile, Wish, color_table, strips_of
from segstudio.evaluation.report_sections import class_section, headline, metric_sections
from segstudio.imaging.files import write_atomic

MAX_PICTURES: Final = 200
_TILES: Final = 4
_PAIRS: Final = 10
_IMAGES_EACH: Final = 3
_WORST: Final = 8
_WARNINGS: Final = 10

Strips = dict[Wish, list[Tile]]


def write_report(
    path: Path,
    comparison: Comparison,
    samples: Sequence[Sequence[Sample]],
    *,
    pictures: int = MAX_PICTURES,
    progress: ProgressCallback | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> None:
    """Writes the report of one evaluation, or of several side by side.

    Args:
        path: The file; it is there in full or as it was before.
        comparison: The evaluations.
        samples: Of each evaluation, in its order; they are read again for the pictures.
        pictures: At most so many.
        progress: Told after each image that is read.
        cancelled: Asked between images.

    Raises:
        UserError: The file cannot be written, or a prediction or label cannot be read any more.
        Cancelled: `cancelled` said so.
    """
    text = report_html(comparison, samples, pictures=pictures, progress=progress, cancelled=cancelled)
    write_atomic(path, text.encode("utf-8"))


def report_html(
    comparison: Comparison,
    samples: Sequence[Sequence[Sample]],
    *,
    pictures: int = MAX_PICTURES,
    progress: ProgressCallback | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> str:
    """The report's text: see `write_report`."""
    evaluations = comparison.evaluations
    share = pictures // _TILES // len(evaluations)
    wishes = [_wishes(evaluation, share) for evaluation in evaluations]
    total = sum(len({wish.sample for wish in own}) for own in wishes)
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(Progress(done / total))

    body = [_top(comparison), headline(comparison), class_section(comparison)]
    if len(evaluations) > 1:
        body.append(_moved_section(comparison))
    after = [f" ({e.title})" if len(evaluations) > 1 else "" for e in evaluations]
    body += [_matrix_section(e, name) for e, name in zip(evaluations, after, strict=True) if e.images]
    body += metric_sections(comparison)
    for evaluation, own, wanted, name in zip(evaluations, samples, wishes, after, strict=True):
        if evaluation.images:
            body += _picture_sections(evaluation, _strips(evaluation, own, wanted, step, cancelled), name)
    return page(" against ".join(e.title for e in evaluations), "".join(body))


def _top(comparison: Comparison) -> str:
    first = comparison.evaluations[0]
    title = " against ".join(safe(e.title) for e in comparison.evaluations)
    parts = [f"<h1>{title}</h1>"]
    if first.images:
        size = f"{counted(first.images, 'image')}, {counted(first.pixels, 'labelled pixel')}, "
        parts.append(f'<p class="lead">{size}{counted(len(first.class_ids), "class", "classes")}.</p>')
        parts.append(f'<p class="lead">{safe(first.summary.absent.sentence, longest=300)}</p>')
    warnings = list(dict.fromkeys(sentence for e in comparison.evaluations for sentence in e.warnings))
    parts += [f'<p class="warning">{safe(sentence, longest=400)}</p>' for sentence in warnings[:_WARNINGS]]
    if len(warnings) > _WARNINGS:
        parts.append(f'<p class="warning">And {counted(len(warnings) - _WARNINGS, "more warning")}.</p>')
    return f"<header>{''.join(parts)}</header>"


# -------------------------------------------------------------------------------------------------- mistakes


def _wishes(evaluation: Evaluation, strips: int) -> list[Wish]:
    """What to show: the largest confusions in the images where they are largest, then the worst images."""
    worst = [Wish(sample=index) for index, _ in _worst(evaluation)][: max(0, strips // 4)]
    wishes = [
        Wish(sample=index, cell=(true_id, predicted_id))
        for true_id, predicted_id, _ in evaluation.confusions(most=_PAIRS)
        for index, _ in evaluation.images_with(true_id, predicted_id, most=_IMAGES_EACH)
    ]
    return wishes[: strips - len(worst)] + worst


def _worst(evaluation: Evaluation) -> list[tuple[int, ImageResult]]:
    found = [(i, image) for i, image in enumerate(evaluation.per_image) if not math.isnan(image.mean_iou)]
    return sorted(found, key=lambda entry: (entry[1].mean_iou, entry[0]))[:_WORST]


def _strips(
    evaluation: Evaluation,
    samples: Sequence[Sample],
    wishes: Sequence[Wish],
    step: Callable[[], None],
    cancelled: Callable[[], bool] | None,
) -> Strips:
    by_sample: dict[int, list[Wish]] = {}
    for wish in wishes:
        by_sample.setdefault(wish.sample, []).append(wish)
    draw = partial(_drawn, samples, by_sample, evaluation)
    strips: Strips = {}
    for index, drawn in in_order(draw, by_sample, threads=2, cancelled=cancelled):
        strips.update(zip(by_sample[index], drawn, strict=True))
        step()
    return strips


def _drawn(
    samples: Sequence[Sample], by_sample: dict[int, list[Wish]], evaluation: Evaluation, index: int
) -> list[list[Tile]]:
    return strips_of(samples[index], by_sample[index], color_table(evaluation), evaluation.class_ids)


def _matrix_section(evaluation: Evaluation, after: str) -> str:
    return section(
        f"Confusion matrix{after}",
        heat_map(evaluation),
        note="Rows are true classes, columns predicted ones, in percent of a row and coloured on a square-root scale: "
        "the diagonal is right, the rest are mistakes. Point at a cell for its pixels.",
    )


def _picture_sections(evaluation: Evaluation, strips: Strips, after: str) -> Iterator[str]:
    confusions = evaluation.confusions(most=_PAIRS)
    if confusions:
        parts = [_confusion(evaluation, strips, *entry) for entry in confusions]
        yield section(f"Largest confusions{after}", *parts)
    rows = _worst(evaluation)
    parts = [_image_strip(evaluation, image, strips.get(Wish(sample=index))) for index, image in rows]
    yield section(f"Images with the lowest mean IoU{after}", *parts, note="Over the classes of each image.")


def _confusion(evaluation: Evaluation, strips: Strips, true_id: int, predicted_id: int, pixels: int) -> str:
    true, predicted = (evaluation.class_ids.index(class_id) for class_id in (true_id, predicted_id))
    part = pixels / evaluation.summary.true_pixels[true]
    names = evaluation.class_names
    share = f"{percent(part)}{NARROW}% of {safe(names[true])}"
    parts = [f"<h3>{safe(names[true])} taken for {safe(names[predicted])}: {whole(pixels)} pixels, {share}</h3>"]
    for index, found in evaluation.images_with(true_id, predicted_id, most=_IMAGES_EACH):
        tiles = strips.get(Wish(sample=index, cell=(true_id, predicted_id)))
        if tiles is not None:
            image = evaluation.per_image[index]
            parts.append(f'<p class="source">{safe(image.name)} {MIDDLE} {whole(found)} pixels</p>{_strip(tiles)}')
    return "".join(parts)


def _image_strip(evaluation: Evaluation, image: ImageResult, tiles: list[Tile] | None) -> str:
    figures = f"mean IoU {percent(image.mean_iou)}, pixel accuracy {percent(image.pixel_accuracy)}"
    return f'<p class="source">{safe(image.name)} {MIDDLE} {figures}</p>{"" if tiles is None else _strip(tiles)}'


def _strip(tiles: Sequence[Tile]) -> str:
    figures = "".join(
        f'<figure><img src="{tile.uri}" width="{tile.width}" height="{tile.height}" alt="{safe(tile.caption)}">'
        f"<figcaption>{safe(tile.caption)}</figcaption></figure>"
        for tile in tiles
    )
    return f'<div class="strip of{len(tiles)}">{figures}</div>'


def _moved_section(comparison: Comparison) -> str:
    parts = []
    for place in range(1, len(comparison.evaluations)):
        name = safe(comparison.evaluations[place].title)
        for heading, found in zip(("better", "worse"), comparison.moved(place), strict=True):
            rows = [(safe(m.name), percent(m.before), percent(m.after), signed(m.difference)) for m in found]
            empty = '<p class="note">None.</p>'
            head = ("Image", "Before", "After", "Difference")
            parts.append(f"<div><h3>{name}: {heading}</h3>{table(head, rows) if rows else empty}</div>")
    note = f"Mean IoU of each image, against {comparison.evaluations[0].title}; in percent."
    return section("Images that changed most", f'<div class="columns">{"".join(parts)}</div>', note=note)
