"""What an export would lose, pixel by pixel, said before anything is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import IGNORE
from segstudio.core.segmentmap import SegmentMap
from segstudio.core.spans import counts_in, values_in
from segstudio.formats.base import counted

_WORST_KEPT: Final = 20


@dataclass(frozen=True, slots=True)
class SegmentLoss:
    """How well one region survives: its image, its class id, its instance (0 for a plain class), IoU 0 to 1, pixels."""

    image: str
    class_id: int
    segment_id: int
    iou: float
    pixels: int


@dataclass(slots=True)
class LossReport:
    """What reading an export back would give, against what is in the project.

    Attributes:
        images: Images looked at.
        pixels: Their pixels.
        changed: Pixels whose class or instance would come back as another one.
        images_changed: Images with such a pixel.
        segments: Regions looked at: instances, and each plain class of an image.
        iou_sum: Of those regions; `mean_iou` is made of it.
        worst: Regions that suffer most, worst first.
        counts: Things lost by name, such as holes.
    """

    images: int = 0
    pixels: int = 0
    changed: int = 0
    images_changed: int = 0
    segments: int = 0
    iou_sum: float = 0.0
    worst: list[SegmentLoss] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def mean_iou(self) -> float:
        """Mean IoU of the regions, 1 where there are none."""
        return self.iou_sum / self.segments if self.segments else 1.0

    @property
    def lossless(self) -> bool:
        """True where every pixel and instance comes back."""
        return self.changed == 0

    def add(self, name: str, before: SegmentMap, after: SegmentMap | None, counts: Counter[str] | None = None) -> None:
        """Takes in one image; `after` is None where nothing changes."""
        self.images += 1
        self.pixels += before.ids.size
        if after is None:
            regions = int(np.count_nonzero(values_in(before.ids) != IGNORE))
            self.segments += regions
            self.iou_sum += regions
            return
        self.counts += counts or Counter()
        changed = int(np.count_nonzero(_differs(before, after)))
        self.changed += changed
        self.images_changed += changed > 0
        for loss in _segment_losses(name, before, after):
            self.segments += 1
            self.iou_sum += loss.iou
            self.worst.append(loss)
        self.worst.sort(key=lambda loss: loss.iou)
        del self.worst[_WORST_KEPT:]

    @property
    def sentences(self) -> list[str]:
        """The report in a few lines."""
        if self.lossless:
            return [f"Every one of {self.pixels:,} pixels in {_images(self.images)} survives.", *counted(self.counts)]
        lines = [
            (
                f"{self.changed:,} of {self.pixels:,} pixels ({self.changed / self.pixels:.3%}) change"
                f" in {self.images_changed:,} of {_images(self.images)}."
            ),
            f"Mean IoU of {self.segments:,} segments with what they were: {self.mean_iou:.4f}.",
        ]
        if self.worst and self.worst[0].iou < 1:
            worst = self.worst[0]
            lines.append(f"Worst: a segment of {worst.pixels:,} pixels in {worst.image}, IoU {worst.iou:.3f}.")
        return [*lines, *counted(self.counts)]

    def to_json(self) -> dict[str, Any]:
        """Plain figures."""
        return {
            "images": self.images,
            "pixels": self.pixels,
            "changed_pixels": self.changed,
            "changed_images": self.images_changed,
            "segments": self.segments,
            "mean_iou": self.mean_iou,
            "worst": [
                {"image": w.image, "class": w.class_id, "segment": w.segment_id, "iou": w.iou, "pixels": w.pixels}
                for w in self.worst
            ],
            "lost": dict(self.counts),
        }


def _images(count: int) -> str:
    return f"{count:,} image{'' if count == 1 else 's'}"


def _differs(before: SegmentMap, after: SegmentMap) -> npt.NDArray[np.bool_]:
    return np.asarray((before.ids != after.ids) | (before.semantic() != after.semantic()))


def _segment_losses(name: str, before: SegmentMap, after: SegmentMap) -> Iterator[SegmentLoss]:
    """IoU of each region of `before` with the region of the same id in `after`."""
    size = max(int(before.ids.max(initial=0)), int(after.ids.max(initial=0))) + 1
    old, new = counts_in(before.ids, size), counts_in(after.ids, size)
    both = counts_in(before.ids[before.ids == after.ids], size)
    for value in np.flatnonzero(old).tolist():
        if value == IGNORE:  # no segment: what is lost of it is in the pixels that change
            continue
        segment = before.segments.get(value)
        iou = both[value] / (old[value] + new[value] - both[value])
        yield SegmentLoss(
            name, segment.class_id if segment else value, value if segment else 0, float(iou), int(old[value])
        )
