"""Shapes of a source painted into a segment map, later ones over earlier ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import IGNORE, Kind
from segstudio.core.errors import FormatError
from segstudio.core.geometry import Rect
from segstudio.core.segmentmap import FIRST_SEGMENT_ID, LAST_SEGMENT_ID, Segment, SegmentMap
from segstudio.formats.base import LoadRequest


class MapPainter:
    """A segment map in the making for one label of a source."""

    def __init__(self, request: LoadRequest, where: str) -> None:
        """Starts with no shape; `where` names the label in sentences."""
        self._request = request
        self._where = where
        shape = (request.height, request.width)
        self._ids = np.full(shape, request.unlabelled, dtype=np.uint16)
        self._covered = np.zeros(shape, dtype=np.bool_) if request.unlabelled == IGNORE else None
        self._segments: dict[int, Segment] = {}
        self._numbered: set[int] = set()  # ids that no shape asked for
        self._next = FIRST_SEGMENT_ID

    def paint(
        self,
        mask: npt.NDArray[np.bool_],
        rect: Rect,
        number: int,
        *,
        instance: bool | None = None,
        crowd: bool = False,
        segment_id: int | None = None,
    ) -> None:
        """Gives the pixels of `mask` (rect.height, rect.width) at `rect` to a class of the source.

        Args:
            mask: What the shape covers inside `rect`, which lies inside the image.
            rect: Where it lies.
            number: The class in the source.
            instance: An object of its own; None: where the project's class is a thing.
            crowd: It stands for many objects.
            segment_id: The id it had in a segment map (256 or more), kept where it is free. Shapes that give the same
                id and class are one segment.

        Raises:
            FormatError: The class is unknown, or there are more instances than a segment map holds.
        """
        class_id = self._request.table.of(number, self._where)
        value = class_id
        if class_id != IGNORE:
            thing = self._request.table.catalog[class_id].kind is Kind.THING if instance is None else instance
            if thing or crowd:
                value = self._segment(class_id, segment_id, crowd=crowd)
        self._fill(mask, rect, value)

    def void(self, mask: npt.NDArray[np.bool_], rect: Rect) -> None:
        """Decides that no class may be claimed for the pixels of a mask."""
        self._fill(mask, rect, IGNORE)

    def finish(self) -> SegmentMap:
        """The map; every pixel is decided but those no shape covers where these are ignore."""
        decided = np.ones(self._ids.shape, dtype=np.bool_) if self._covered is None else self._covered
        return SegmentMap(self._ids, decided, self._segments)

    def _segment(self, class_id: int, wanted: int | None, *, crowd: bool) -> int:
        if wanted is not None and FIRST_SEGMENT_ID <= wanted <= LAST_SEGMENT_ID:
            known = self._segments.get(wanted)
            if known is None or (known.class_id == class_id and wanted not in self._numbered):
                self._segments[wanted] = Segment(wanted, class_id, crowd or (known is not None and known.crowd))
                return wanted
        while self._next in self._segments:
            self._next += 1
        if self._next > LAST_SEGMENT_ID:
            raise FormatError(
                f"The label {self._where} holds more than 65,280 instances, the most a segment map can.",
                "Cut the image into smaller ones.",
            )
        self._segments[self._next] = Segment(self._next, class_id, crowd)
        self._numbered.add(self._next)
        return self._next

    def _fill(self, mask: npt.NDArray[np.bool_], rect: Rect, value: int) -> None:
        self._ids[rect.slices][mask] = value
        if self._covered is not None:
            self._covered[rect.slices][mask] = True
