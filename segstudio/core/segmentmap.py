"""The annotation of one image: one array of ids and one of decisions, from which every other view is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import IGNORE
from segstudio.core.errors import UserError
from segstudio.core.geometry import Rect
from segstudio.core.spans import counts_in, values_in

FIRST_SEGMENT_ID: Final = 256
LAST_SEGMENT_ID: Final = 65535


@dataclass(frozen=True, slots=True)
class Segment:
    """One instance: its id (256 or more) in the segment map, its class, and whether it stands for a crowd."""

    id: int
    class_id: int
    crowd: bool = False


@dataclass(slots=True, eq=False)
class SegmentMap:
    """What a person said about each pixel of one image.

    Attributes:
        ids: (H, W) uint16. 0-254 is a class itself, 255 is ignore, 256 and above an entry of `segments`.
        decided: (H, W) bool. True where a person decided the pixel; "ignore" can be decided too.
        segments: Instances by id. Entries no pixel uses are harmless.
    """

    ids: npt.NDArray[np.uint16]
    decided: npt.NDArray[np.bool_]
    segments: dict[int, Segment] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.ids.ndim != 2 or self.ids.shape != self.decided.shape:
            raise ValueError(f"ids {self.ids.shape} and decided {self.decided.shape} must be H x W alike")

    @classmethod
    def empty(cls, height: int, width: int) -> SegmentMap:
        """A map nobody touched: all ignore, nothing decided."""
        return cls(np.full((height, width), IGNORE, dtype=np.uint16), np.zeros((height, width), dtype=np.bool_))

    @classmethod
    def from_semantic(cls, labels: npt.NDArray[np.uint8], decided: npt.NDArray[np.bool_] | None = None) -> SegmentMap:
        """A map of plain classes from (H, W) uint8 class ids, 255 = ignore; all decided unless said otherwise."""
        own = np.ones(labels.shape, dtype=np.bool_) if decided is None else decided.copy()
        return cls(labels.astype(np.uint16), own)

    @property
    def height(self) -> int:
        return int(self.ids.shape[0])

    @property
    def width(self) -> int:
        return int(self.ids.shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        return self.height, self.width

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, SegmentMap)
            and np.array_equal(self.ids, other.ids)
            and np.array_equal(self.decided, other.decided)
            and self.used_segments() == other.used_segments()
        )

    __hash__ = None  # type: ignore[assignment]

    def copy(self) -> SegmentMap:
        """A map of its own with equal content."""
        return SegmentMap(self.ids.copy(), self.decided.copy(), dict(self.segments))

    def used_segments(self) -> dict[int, Segment]:
        """The instances at least one pixel belongs to."""
        if not self.segments:
            return {}
        return {int(i): self.segments[int(i)] for i in values_in(self.ids) if i >= FIRST_SEGMENT_ID}

    def semantic(self, rect: Rect | None = None) -> npt.NDArray[np.uint8]:
        """(h, w) uint8 class ids of the map or of a part of it, 255 = ignore."""
        ids = self.ids if rect is None else self.ids[rect.slices]
        if not self.segments:
            return ids.astype(np.uint8)
        table = np.full(max(self.segments) + 1, IGNORE, dtype=np.uint8)
        table[:FIRST_SEGMENT_ID] = np.arange(FIRST_SEGMENT_ID)
        for segment in self.segments.values():
            table[segment.id] = segment.class_id
        return table.take(ids, mode="clip")

    def instance_ids(self, rect: Rect | None = None) -> npt.NDArray[np.uint16]:
        """(h, w) uint16 segment ids, 0 where a pixel belongs to no instance."""
        ids = self.ids if rect is None else self.ids[rect.slices]
        return np.where(ids >= FIRST_SEGMENT_ID, ids, 0).astype(np.uint16)

    def new_segment_id(self) -> int:
        """An id no segment of this map has had.

        Raises:
            UserError: All 65,280 ids are taken.
        """
        candidate = max(self.segments, default=FIRST_SEGMENT_ID - 1) + 1
        if candidate > LAST_SEGMENT_ID:
            raise UserError("This image holds 65,280 instances, the most a segment map can.", "Merge some of them.")
        return candidate

    def decided_fraction(self) -> float:
        """Part of the pixels a person decided, 0 to 1."""
        return float(np.count_nonzero(self.decided) / self.decided.size) if self.decided.size else 0.0

    def class_counts(self) -> dict[int, int]:
        """Decided pixels by class id (255 = decided as ignore), absent classes left out."""
        counts = counts_in(self.semantic()[self.decided], 256)
        return {int(i): int(counts[i]) for i in np.flatnonzero(counts)}
