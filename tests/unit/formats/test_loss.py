"""The report of losses counts what changes, and nothing else."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from support import segment_maps

from segstudio.core.segmentmap import Segment, SegmentMap
from segstudio.formats.loss import LossReport


def two_cells() -> SegmentMap:
    """Ten rows: background, cell 256, cell 257, ignore."""
    ids = np.zeros((10, 8), dtype=np.uint16)
    ids[:, 2:4], ids[:, 4:6], ids[:, 6:] = 256, 257, 255
    return SegmentMap(ids, np.ones(ids.shape, np.bool_), {256: Segment(256, 1), 257: Segment(257, 1)})


def test_changed_pixels_and_the_iou_of_each_segment_are_counted() -> None:
    before, after = two_cells(), two_cells()
    after.ids[:5, 4:6] = 0
    report = LossReport()
    report.add("a.png", before, after, Counter({"Holes filled": 2}))
    report.add("b.png", before, None)
    assert (report.images, report.pixels, report.changed, report.images_changed) == (2, 160, 10, 1)
    assert report.segments == 6
    worst = report.worst[0]
    assert (worst.image, worst.class_id, worst.segment_id, worst.iou, worst.pixels) == ("a.png", 1, 257, 0.5, 20)
    assert report.mean_iou == (0.5 + 1 + 20 / 30 + 3) / 6
    assert report.sentences[0] == "10 of 160 pixels (6.250%) change in 1 of 2 images."
    assert report.sentences[-1] == "Holes filled: 2."
    assert report.to_json()["changed_pixels"] == 10


def test_an_instance_that_becomes_its_class_is_a_change_and_so_is_ignore_that_becomes_background() -> None:
    before, after = two_cells(), two_cells()
    after.ids[:, 4:6], after.ids[:, 6:] = 1, 0
    report = LossReport()
    report.add("a.png", before, after)
    assert report.changed == 40
    assert {loss.segment_id for loss in report.worst} == {0, 256, 257}
    assert 255 not in {loss.class_id for loss in report.worst}


@given(segment_maps())
def test_a_map_that_comes_back_as_it_was_loses_nothing(labels: SegmentMap) -> None:
    report, again = LossReport(), LossReport()
    report.add("a", labels, labels.copy())
    again.add("a", labels, None)
    assert report.lossless
    assert report.mean_iou == again.mean_iou == 1.0
    assert report.segments == again.segments
    assert report.sentences == [f"Every one of {labels.ids.size:,} pixels in 1 image survives."]
