"""How much of an image each class has, cheap enough to follow every stroke."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from segstudio.core.catalog import IGNORE

if TYPE_CHECKING:
    from segstudio.core.segmentmap import SegmentMap

_SAMPLE_PIXELS: Final = 4_000_000


def class_shares(segment_map: SegmentMap) -> dict[int, float]:
    """The part (0..1) of the decided pixels' image area of each class id, IGNORE included where decided.

    Large maps are sampled on a regular grid of about four million pixels.
    """
    height, width = segment_map.shape
    step = max(1, math.ceil(math.sqrt(height * width / _SAMPLE_PIXELS)))
    ids = segment_map.ids[::step, ::step]
    decided = segment_map.decided[::step, ::step]
    counts = np.bincount(ids[decided], minlength=IGNORE + 1)
    shares: dict[int, float] = {}
    total = ids.size
    for value in np.flatnonzero(counts):
        segment = segment_map.segments.get(int(value)) if value > IGNORE else None
        class_id = segment.class_id if segment is not None else int(value)
        shares[class_id] = shares.get(class_id, 0.0) + float(counts[value]) / total
    return shares
