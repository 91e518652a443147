"""Predictions against labels, image by image on two threads, into every figure that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import Catalog
from segstudio.core.errors import UserError
from segstudio.core.jobs import Progress
from segstudio.core.metrics import AbsentClasses, ConfusionMatrix
from segstudio.core.ordered import in_order
from segstudio.core.segmentmap import SegmentMap
from segstudio.evaluation.comparison import Comparison as Comparison
from segstudio.evaluation.counting import VALUES, Labels, Table, count_pairs
from segstudio.evaluation.outcome import Evaluation as Evaluation
from segstudio.evaluation.outcome import ImageResult as ImageResult
from segstudio.evaluation.outcome import Metric as Metric
from segstudio.evaluation.tallies import Pair, Plan, Tally

ProgressCallback = Callable[[Progress], None]
THREADS: Final = 2
_CELLS_KEPT: Final = 1024  # of an image's confusion: all of them, but where dozens of classes lie about as noise


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One image to evaluate. Its functions are called from any thread, and again later for pictures.

    Attributes:
        name: What to call it.
        image: The picture's file, where there is one.
        load: Gives (prediction, label); pixels of the label that nobody decided are ignore.
        load_semantic: Gives the same as (H, W) uint8 class ids, where that is cheaper than by way of segment maps.
    """

    name: str
    image: Path | None
    load: Callable[[], tuple[SegmentMap, SegmentMap]]
    load_semantic: Callable[[], tuple[Labels, Labels]] | None = None

    @classmethod
    def of_labels(cls, name: str, image: Path | None, load_semantic: Callable[[], tuple[Labels, Labels]]) -> Sample:
        """A sample without instances, from a function that gives (prediction, label) as (H, W) uint8 class ids."""

        def load() -> tuple[SegmentMap, SegmentMap]:
            prediction, label = load_semantic()
            return SegmentMap.from_semantic(prediction), SegmentMap.from_semantic(label)

        return cls(name=name, image=image, load=load, load_semantic=load_semantic)

    def semantic(self) -> tuple[Labels, Labels]:
        """(prediction, label), (H, W) uint8 class ids, 255 = none."""
        if self.load_semantic is not None:
            return self.load_semantic()
        prediction, label = self.load()
        return prediction.semantic(), label.semantic()

    def pair(self, *, segments: bool) -> Pair:
        """Prediction and label, with their instances where wanted."""
        if not segments:
            return Pair(*self.semantic())
        prediction, label = self.load()
        return Pair(prediction.semantic(), label.semantic(), (prediction, label))


def evaluate(
    samples: Sequence[Sample],
    catalog: Catalog,
    *,
    title: str,
    metrics: Iterable[Metric] = (),
    absent: AbsentClasses = AbsentClasses.PREDICTED_COUNT_ZERO,
    tolerance_px: float | None = None,
    warnings: Sequence[str] = (),
    progress: ProgressCallback | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Evaluation:
    """Every figure over the samples; the same to the last bit whatever the threads do.

    Labels of no class of the catalog (255 among them) count nowhere; predictions of none count as misses. Few images
    are in memory at a time, and of each a few kilobytes stay (with COCO's figures, its outlines).

    Args:
        samples: What to compare.
        catalog: The classes.
        title: What is evaluated.
        metrics: Figures besides those of the confusion matrix.
        absent: How classes without true pixels enter means.
        tolerance_px: Of the boundary score, in pixels; None takes its usual part of the image's diagonal.
        warnings: Sentences to pass on with the result.
        progress: Told after each image.
        cancelled: Asked between images.

    Raises:
        UserError: There is nothing to compare, or the sizes of a prediction and its label differ.
        Cancelled: `cancelled` said so.
        Exception: What a sample's function raised.
    """
    if not samples:
        raise UserError("There is nothing to evaluate.", "Label an image, or choose another folder.")
    plan = Plan.of(catalog, metrics, tolerance_px=tolerance_px)
    ids = np.array(catalog.sorted_ids, dtype=np.intp)
    total = np.zeros((VALUES, VALUES), dtype=np.int64)
    sums, images = plan.tally(), []
    work = partial(_measure, plan, ids)
    for sample, (table, tally, image) in in_order(work, samples, threads=THREADS, cancelled=cancelled):
        total += table
        sums.merge(tally)
        images.append(image)
        if progress is not None:
            progress(Progress(len(images) / len(samples), sample.name))
    notes = {**plan.reasons, **sums.finish()}
    matrix = ConfusionMatrix(len(catalog))
    matrix.add_table(total, catalog.sorted_ids)
    return Evaluation(
        title=title,
        class_ids=catalog.sorted_ids,
        class_names=catalog.sorted_names,
        colors=tuple(catalog[class_id].color for class_id in catalog.sorted_ids),
        matrix=matrix,
        summary=matrix.summary(absent),
        per_image=tuple(images),
        boundary=None if sums.boundary is None else sums.boundary.result(),
        trimap=None if sums.trimap is None else sums.trimap.result(absent),
        panoptic=None if sums.panoptic is None else sums.panoptic.result(),
        coco=None if sums.coco is None else sums.coco.result(),
        cityscapes=None if sums.cityscapes is None else sums.cityscapes.result(),
        em=None if sums.em is None else sums.em.result(),
        notes={metric: notes[metric] for metric in Metric if metric in notes},
        warnings=tuple(warnings),
        tolerance_px=tolerance_px,
        trimap_counts=sums.trimap,
    )


def confused_pixels(sample: Sample, true_id: int, predicted_id: int) -> npt.NDArray[np.bool_]:
    """(H, W) bool, True where one class was predicted as another: the pixels of a cell of the confusion matrix."""
    prediction, label = sample.semantic()
    return np.asarray((label == true_id) & (prediction == predicted_id))


def _measure(plan: Plan, ids: npt.NDArray[np.intp], sample: Sample) -> tuple[Table, Tally, ImageResult]:
    pair = sample.pair(segments=plan.needs_segments)
    table = count_pairs(pair.prediction, pair.label)
    return table, plan.tally(pair), _image_result(sample, table, ids)


def _image_result(sample: Sample, table: Table, ids: npt.NDArray[np.intp]) -> ImageResult:
    rows = table[ids]
    truth, predicted, hits = rows.sum(axis=1), rows[:, ids].sum(axis=0), table[ids, ids]
    pixels, union = int(truth.sum()), truth + predicted - hits
    present = union > 0
    cells = np.flatnonzero(rows)
    counts = rows.ravel()[cells]
    largest = np.argsort(-counts, kind="stable")[:_CELLS_KEPT]
    cells, counts = cells[largest], counts[largest]
    return ImageResult(
        name=sample.name,
        image=sample.image,
        pixels=pixels,
        pixel_accuracy=int(hits.sum()) / pixels if pixels else float("nan"),
        mean_iou=float(np.mean(hits[present] / union[present])) if pixels else float("nan"),
        cells=(ids[cells // VALUES] * VALUES + cells % VALUES).astype(np.uint16),
        counts=counts.astype(np.uint32),
    )
