"""Objects out of predictions that know only classes: the connected regions of things."""

from __future__ import annotations

import numpy as np

from segstudio.core.catalog import Catalog, Kind
from segstudio.core.segmentmap import FIRST_SEGMENT_ID, LAST_SEGMENT_ID, Segment, SegmentMap
from segstudio.imaging.contours import connected_components


def with_regions(segment_map: SegmentMap, catalog: Catalog) -> SegmentMap:
    """The map with each 8-connected region of plain pixels of a thing as a segment; stuff stays as it is.

    A map holds 65,280 segments. Where noise makes more regions than that, the rest keep their plain class.
    """
    ids, segments = segment_map.ids.copy(), dict(segment_map.segments)
    following = max(segments, default=FIRST_SEGMENT_ID - 1) + 1
    for label_class in catalog:
        if label_class.kind is not Kind.THING:
            continue
        regions, count = connected_components(segment_map.ids == label_class.id)
        count = min(count, LAST_SEGMENT_ID + 1 - following)
        wanted = (regions > 0) & (regions <= count)
        ids[wanted] = (regions[wanted] + (following - 1)).astype(np.uint16)
        segments.update({i: Segment(i, label_class.id) for i in range(following, following + count)})
        following += count
    return SegmentMap(ids, segment_map.decided, segments)
