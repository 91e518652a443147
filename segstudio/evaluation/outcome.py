"""What an evaluation found: figures over a data set, and of each image enough to find its mistakes again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segstudio.core.metrics import AbsentClasses, ConfusionMatrix, Summary, plain
from segstudio.evaluation.boundary import BoundaryResult, TrimapIou, TrimapResult
from segstudio.evaluation.cityscapes import CityscapesResult
from segstudio.evaluation.coco import CocoResult
from segstudio.evaluation.counting import VALUES
from segstudio.evaluation.em import EmResult
from segstudio.evaluation.panoptic import PanopticResult


class Metric(StrEnum):
    """What can be asked for besides the confusion matrix and its figures, which cost next to nothing."""

    BOUNDARY = "boundary"
    TRIMAP = "trimap"
    PANOPTIC = "panoptic"
    COCO = "coco"
    CITYSCAPES = "cityscapes"
    EM = "em"

    @property
    def heading(self) -> str:
        """What people call it."""
        return _HEADINGS[self]

    @property
    def needs_segments(self) -> bool:
        """True where instances matter, not classes alone."""
        return self in (Metric.PANOPTIC, Metric.COCO, Metric.CITYSCAPES)


_HEADINGS = {
    Metric.BOUNDARY: "Boundary F score",
    Metric.TRIMAP: "Trimap IoU",
    Metric.PANOPTIC: "Panoptic quality",
    Metric.COCO: "COCO average precision",
    Metric.CITYSCAPES: "Cityscapes IoU",
    Metric.EM: "Warping and Rand error",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageResult:
    """One image's figures, over its own pixels.

    Attributes:
        name: As its sample is called.
        image: The picture's file, where there is one.
        pixels: Labelled pixels.
        pixel_accuracy: Part of them whose class was found; NaN without labelled pixels.
        mean_iou: Mean IoU over the classes that occur or are predicted here; NaN without labelled pixels.
        cells: (n,) uint16, true class id * 256 + predicted class id, the largest first.
        counts: (n,) uint32, pixels of each cell.
    """

    name: str
    image: Path | None
    pixels: int
    pixel_accuracy: float
    mean_iou: float
    cells: npt.NDArray[np.uint16]
    counts: npt.NDArray[np.uint32]

    def pixels_of(self, true_id: int, predicted_id: int) -> int:
        """Pixels of one class that were predicted as another."""
        found = self.counts[self.cells == true_id * VALUES + predicted_id]
        return int(found[0]) if found.size else 0

    def to_json(self) -> dict[str, Any]:
        """Plain figures, null where undefined."""
        return {
            "name": self.name,
            "pixels": self.pixels,
            "pixel_accuracy": plain(self.pixel_accuracy),
            "mean_iou": plain(self.mean_iou),
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluation:
    """Figures of predictions against labels over a data set; lists of classes follow ascending class ids.

    Attributes:
        title: What was evaluated: a model, a folder.
        class_ids: Ascending.
        class_names: Their names.
        colors: Their colours, RGB 0-255.
        matrix: Pixels by true and predicted class.
        summary: The matrix's figures, under the chosen convention.
        per_image: In the order of the samples.
        boundary: None where it was not asked for or does not apply, like the following; `notes` says why.
        notes: A sentence for a figure: why it is missing, or how to read it.
        warnings: Sentences on what was left out altogether.
        tolerance_px: Distance of the boundary score in pixels; None for a part of the diagonal.
        trimap_counts: What `trimap` is made of.
    """

    title: str
    class_ids: tuple[int, ...]
    class_names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    matrix: ConfusionMatrix
    summary: Summary
    per_image: tuple[ImageResult, ...]
    boundary: BoundaryResult | None = None
    trimap: TrimapResult | None = None
    panoptic: PanopticResult | None = None
    coco: CocoResult | None = None
    cityscapes: CityscapesResult | None = None
    em: EmResult | None = None
    notes: Mapping[Metric, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    tolerance_px: float | None = None
    trimap_counts: TrimapIou | None = None

    @property
    def images(self) -> int:
        """How many images were compared."""
        return len(self.per_image)

    @property
    def pixels(self) -> int:
        """Labelled pixels compared."""
        return self.matrix.total

    def summary_for(self, absent: AbsentClasses) -> Summary:
        """The matrix's figures under another convention, without another run."""
        return self.matrix.summary(absent)

    def with_absent(self, absent: AbsentClasses) -> Evaluation:
        """This evaluation with every figure that depends on it under another convention."""
        trimap = None if self.trimap_counts is None else self.trimap_counts.result(absent)
        return replace(self, summary=self.summary_for(absent), trimap=trimap)

    def images_with(self, true_id: int, predicted_id: int, *, most: int = 50) -> list[tuple[int, int]]:
        """(index in `per_image`, pixels) of the images where most pixels of one class were predicted as another."""
        found = [(i, n) for i, image in enumerate(self.per_image) if (n := image.pixels_of(true_id, predicted_id))]
        return sorted(found, key=lambda entry: (-entry[1], entry[0]))[:most]

    def confusions(self, *, most: int = 12) -> list[tuple[int, int, int]]:
        """(true id, predicted id, pixels) of the largest mistakes between two classes, the largest first."""
        counts = self.matrix.matrix.copy()
        np.fill_diagonal(counts, 0)
        order = np.argsort(counts, axis=None, kind="stable")[::-1][:most]
        rows, columns = np.unravel_index(order, counts.shape)
        return [
            (self.class_ids[row], self.class_ids[column], int(counts[row, column]))
            for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
            if counts[row, column]
        ]

    def to_json(self) -> dict[str, Any]:
        """Plain figures, null where undefined; figures that were not asked for are left out."""
        s = self.summary
        rows = zip(
            self.class_ids, self.class_names, s.iou, s.accuracy, s.dice, s.true_pixels, s.predicted_pixels, strict=True
        )
        figures: dict[str, Any] = {
            "title": self.title,
            "images": self.images,
            "pixels": self.pixels,
            "mean_iou": plain(s.mean_iou),
            "pixel_accuracy": plain(s.pixel_accuracy),
            "mean_accuracy": plain(s.mean_accuracy),
            "mean_dice": plain(s.mean_dice),
            "frequency_weighted_iou": plain(s.frequency_weighted_iou),
            "absent_classes": s.absent.sentence,
            "absent_classes_convention": str(s.absent),
            "classes": [
                {
                    "id": class_id,
                    "name": name,
                    "iou": plain(iou),
                    "accuracy": plain(accuracy),
                    "dice": plain(dice),
                    "true_pixels": true,
                    "predicted_pixels": predicted,
                }
                for class_id, name, iou, accuracy, dice, true, predicted in rows
            ],
            "confusion": self.matrix.matrix.tolist(),
        }
        for metric in Metric:
            result = getattr(self, metric.value)
            if result is not None:
                figures[metric.value] = result.to_json()
        if self.boundary is not None:
            figures["boundary"]["tolerance_px"] = self.tolerance_px
        figures["notes"] = {str(metric): sentence for metric, sentence in self.notes.items()}
        figures["warnings"] = list(self.warnings)
        figures["per_image"] = [image.to_json() for image in self.per_image]
        return figures
