"""Edits, undo and redo restore every pixel; views of a segment map agree."""

from __future__ import annotations

import numpy as np
import pytest

from segstudio.core.edits import Edit, EditBuilder
from segstudio.core.errors import ProjectError
from segstudio.core.geometry import Rect
from segstudio.core.history import History
from segstudio.core.segmentmap import Segment, SegmentMap


def _painted(target: SegmentMap, rect: Rect, value: int, name: str = "Brush") -> Edit:
    builder = EditBuilder(target, name)
    builder.touch(rect)
    target.ids[rect.slices] = value
    target.decided[rect.slices] = True
    edit = builder.commit()
    assert edit is not None
    return edit


def test_a_new_map_is_all_ignore_and_undecided() -> None:
    segment_map = SegmentMap.empty(5, 7)
    assert (segment_map.ids == 255).all()
    assert not segment_map.decided.any()
    assert segment_map.decided_fraction() == 0.0


def test_undo_restores_every_pixel_and_redo_paints_it_again() -> None:
    segment_map = SegmentMap.empty(600, 700)
    before = segment_map.copy()
    history = History()
    history.push(_painted(segment_map, Rect(250, 250, 20, 300), 3))
    after = segment_map.copy()
    assert history.undo(segment_map) is not None
    assert segment_map == before
    assert history.redo(segment_map) is not None
    assert segment_map == after


def test_an_edit_survives_its_binary_form() -> None:
    segment_map = SegmentMap.empty(300, 300)
    clean = segment_map.copy()
    edit = _painted(segment_map, Rect(10, 10, 280, 5), 7, "Brush: Straße")
    again = Edit.from_bytes(edit.to_bytes())
    assert again.name == "Brush: Straße"
    again.apply(clean)
    assert clean == segment_map


@pytest.mark.parametrize("cut", [0, 3, 9, 40])
def test_a_damaged_edit_is_refused_with_a_sentence(cut: int) -> None:
    segment_map = SegmentMap.empty(64, 64)
    data = _painted(segment_map, Rect(0, 0, 9, 9), 1).to_bytes()
    with pytest.raises(ProjectError, match="journal"):
        Edit.from_bytes(data[:cut])


def test_an_edit_of_another_image_is_refused() -> None:
    edit = _painted(SegmentMap.empty(900, 900), Rect(800, 800, 10, 10), 1)
    with pytest.raises(ProjectError, match="outside"):
        edit.apply(SegmentMap.empty(64, 64))


def test_abort_restores_pixels_and_segments() -> None:
    segment_map = SegmentMap.empty(40, 40)
    before = segment_map.copy()
    builder = EditBuilder(segment_map, "Polygon")
    builder.add_segment(Segment(256, 2))
    builder.touch(Rect(0, 0, 10, 10))
    segment_map.ids[:10, :10] = 256
    assert builder.abort() == Rect(0, 0, 40, 40)
    assert segment_map == before
    assert segment_map.segments == {}


def test_a_gesture_that_changed_nothing_is_no_edit() -> None:
    segment_map = SegmentMap.empty(40, 40)
    builder = EditBuilder(segment_map, "Brush")
    builder.touch(Rect(0, 0, 40, 40))
    assert builder.commit() is None


def test_history_forgets_the_oldest_edits_beyond_its_budget() -> None:
    segment_map = SegmentMap.empty(256, 256)
    first = _painted(segment_map, Rect(0, 0, 256, 256), 1, "first")
    history = History(budget_bytes=first.nbytes + 10)
    history.push(first)
    history.push(_painted(segment_map, Rect(0, 0, 256, 256), 2, "second"))
    assert history.undo_name == "second"
    history.undo(segment_map)
    assert not history.can_undo


def test_a_new_edit_ends_redo() -> None:
    segment_map = SegmentMap.empty(16, 16)
    history = History()
    history.push(_painted(segment_map, Rect(0, 0, 4, 4), 1))
    history.undo(segment_map)
    assert history.can_redo
    history.push(_painted(segment_map, Rect(4, 4, 4, 4), 2))
    assert not history.can_redo


def test_semantic_and_instance_views_come_from_the_same_ids() -> None:
    segment_map = SegmentMap.empty(4, 4)
    segment_map.segments[300] = Segment(300, 5)
    segment_map.ids[0, :] = 300
    segment_map.ids[1, :] = 2
    assert segment_map.semantic().tolist() == [[5] * 4, [2] * 4, [255] * 4, [255] * 4]
    assert segment_map.instance_ids().tolist() == [[300] * 4, [0] * 4, [0] * 4, [0] * 4]
    assert segment_map.semantic(Rect(0, 1, 2, 2)).tolist() == [[5, 5], [2, 2]]
    assert segment_map.new_segment_id() == 301


def test_class_counts_count_decided_pixels_only() -> None:
    labels = np.array([[0, 0, 1], [255, 1, 1]], dtype=np.uint8)
    decided = np.array([[True, True, True], [True, False, False]])
    assert SegmentMap.from_semantic(labels, decided).class_counts() == {0: 2, 1: 1, 255: 1}
