"""Instances from an array of object numbers beside an array of classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import IGNORE
from segstudio.core.errors import FormatError
from segstudio.core.segmentmap import FIRST_SEGMENT_ID, LAST_SEGMENT_ID, Segment, SegmentMap
from segstudio.core.spans import common_starts
from segstudio.imaging.labels import LabelArray

FIRST_OBJECT: Final = 1

Marks = Mapping[int, tuple[int, bool]]
"""Object number -> (segment id, crowd)."""


def add_objects(
    labels: SegmentMap, objects: LabelArray, *, void: int | None, background: int | None, marks: Marks | None = None
) -> None:
    """Makes instances of a map of plain classes; where a class and an object disagree, the class is right.

    An object has the class of most of its pixels; its pixels of other classes stay plain.

    Args:
        labels: The map; changed.
        objects: (H, W) object numbers, 0 where there is none.
        void: A number that stands for no object either.
        background: A class id whose pixels never belong to an object.
        marks: What is known of the objects. Used where it tells of all of them with segment ids of their own; otherwise
            object n becomes segment 255 + n, and none a crowd.

    Raises:
        FormatError: A number is beyond the ids a segment map holds.
    """
    flat_objects, flat_classes = objects.reshape(-1), labels.ids.astype(np.uint8).reshape(-1)
    starts = common_starts(flat_objects, flat_classes)
    lengths = np.diff(starts, append=flat_objects.size)
    numbers, classes = flat_objects[starts].astype(np.intp), flat_classes[starts]
    claimed = (numbers > 0) & (classes != IGNORE)
    if void is not None:
        claimed &= numbers != void
    if background is not None:
        claimed &= classes != background
    class_of = _classes_of(numbers[claimed] << 8 | classes[claimed], lengths[claimed])
    known = _usable(marks or {}, class_of) or {n: (n - FIRST_OBJECT + FIRST_SEGMENT_ID, False) for n in class_of}
    id_table = np.zeros(1 << 16, dtype=np.uint16)
    class_table = np.full(1 << 16, IGNORE, dtype=np.uint16)
    for number, class_id in class_of.items():
        segment_id, crowd = known[number]
        if segment_id > LAST_SEGMENT_ID:
            raise FormatError(
                f"Object {number} is beyond the {LAST_SEGMENT_ID - IGNORE:,} that an image may hold.", "Renumber it."
            )
        id_table[number], class_table[number] = segment_id, class_id
        labels.segments[segment_id] = Segment(segment_id, class_id, crowd)
    claimed &= class_table[numbers] == classes
    values = np.where(claimed, id_table[numbers], classes).astype(np.uint16)
    labels.ids[:] = np.repeat(values, lengths).reshape(labels.ids.shape)


def _classes_of(pairs: npt.NDArray[np.intp], pixels: npt.NDArray[np.intp]) -> dict[int, int]:
    """The class that most pixels of each object have, the smallest where several have as many.

    Args:
        pairs: Of spans: 256 times the object's number, and the class.
        pixels: Of the same spans.
    """
    found, where = np.unique(pairs, return_inverse=True)
    counts = np.bincount(where, weights=pixels, minlength=found.size)
    winners: dict[int, tuple[int, int]] = {}
    for pair, count in zip(found.tolist(), counts.astype(np.int64).tolist(), strict=True):
        number, class_id = divmod(pair, 256)
        if count > winners.get(number, (0, 0))[0]:
            winners[number] = (count, class_id)
    return {number: class_id for number, (_, class_id) in winners.items()}


def _usable(marks: Marks, objects: Mapping[int, int]) -> Marks | None:
    ids = [marks[number][0] for number in objects if number in marks]
    distinct = len(ids) == len(set(ids)) == len(objects)
    return marks if distinct and all(FIRST_SEGMENT_ID <= i <= LAST_SEGMENT_ID for i in ids) else None
