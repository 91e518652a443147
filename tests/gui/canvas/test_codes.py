"""What pixels show, their borders, and the tables that colour them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from segstudio.core.catalog import IGNORE, Catalog
from segstudio.core.geometry import Rect
from segstudio.core.segmentmap import Segment, SegmentMap
from segstudio.gui.canvas.codes import (
    NOTHING,
    PROPOSED,
    border_edges,
    fill_table,
    inner_border,
    label_of,
    line_table,
    shown,
    shown_labels,
)

WHOLE = Rect(0, 0, 4, 6)


@pytest.fixture
def segment_map() -> SegmentMap:
    result = SegmentMap.empty(4, 6)
    result.ids[0] = 2
    result.decided[0] = True
    result.decided[1] = True
    return result


def test_decided_ignored_and_open_pixels_show_different_codes(segment_map: SegmentMap) -> None:
    codes = shown(segment_map, None, WHOLE).codes
    assert codes[:, 0].tolist() == [2, IGNORE, NOTHING, NOTHING]


def test_a_proposal_shows_only_where_nothing_is_decided(segment_map: SegmentMap) -> None:
    proposal = np.full((4, 6), 1, dtype=np.uint8)
    proposal[3] = IGNORE
    codes = shown(segment_map, proposal, WHOLE).codes
    assert codes[:, 0].tolist() == [2, IGNORE, PROPOSED + 1, NOTHING]
    assert shown_labels(segment_map, proposal, WHOLE)[:, 0].tolist() == [2, IGNORE, 1, NOTHING]
    assert [label_of(int(code)) for code in codes[:, 0]] == [2, IGNORE, 1, None]


def test_a_step_samples_every_other_pixel() -> None:
    segment_map = SegmentMap.from_semantic(np.arange(48, dtype=np.uint8).reshape(6, 8))
    codes = shown(segment_map, None, Rect(2, 2, 4, 5), 2).codes
    assert codes.tolist() == [[18, 20, 22], [34, 36, 38]]


def test_instances_show_their_class_with_a_border_between_them(segment_map: SegmentMap) -> None:
    segment_map.segments = {300: Segment(300, 2), 301: Segment(301, 2)}
    segment_map.ids[0, :3], segment_map.ids[0, 3:] = 300, 301
    codes, keys = shown(segment_map, None, WHOLE)
    assert (codes[0] == 2).all()
    assert keys[0, 2] != keys[0, 3]
    assert len(np.unique(keys)) == 4


def test_background_is_faint_hidden_classes_and_ignore_are_transparent() -> None:
    catalog = Catalog.from_names(["background", "road", "car"])
    catalog = catalog.with_class(replace(catalog[2], hidden=True))
    table = fill_table(catalog)
    red, green, blue = catalog[1].color
    assert table[1] == 0xFF000000 | red << 16 | green << 8 | blue
    assert table[PROPOSED + 1] == table[1]
    assert 0 < int(table[0]) >> 24 < 128
    assert table[2] == table[PROPOSED + 2] == table[IGNORE] == table[NOTHING] == 0
    assert line_table(catalog)[2] == 0


def test_border_lines_use_the_brightest_shade_of_a_dark_colour() -> None:
    catalog = Catalog.from_names(["background", "road"])
    color = int(line_table(catalog)[1])
    assert color >> 24 == 255
    assert max((color >> 16) & 255, (color >> 8) & 255, color & 255) == 255


def test_a_border_lies_inside_each_region() -> None:
    keys = np.zeros((8, 10), dtype=np.uint16)
    keys[:, 5:] = 1
    border = inner_border(keys, 2, 1)
    assert border.shape == (4, 6)
    assert np.flatnonzero(border[0]).tolist() == [2, 3]
    assert np.flatnonzero(inner_border(keys, 2, 2)[0]).tolist() == [1, 2, 3, 4]


def test_edges_of_a_square_are_one_straight_run_a_side() -> None:
    codes = np.full((12, 12), NOTHING, dtype=np.uint16)
    codes[4:8, 3:9] = 1
    edges = border_edges(codes, codes)
    own = edges.codes == 1
    # One pixel of margin: row 4 of the array is row 3 of the tile.
    spans = {int(side): span.tolist() for side, span in zip(edges.sides[own], edges.spans[own], strict=True)}
    assert spans == {0: [2, 3, 8, 4], 1: [2, 6, 8, 7], 2: [2, 3, 3, 7], 3: [7, 3, 8, 7]}


@pytest.mark.parametrize("seed", range(5))
def test_edges_cover_every_border_pixel_side_once(seed: int) -> None:
    codes = np.random.default_rng(seed).integers(0, 3, (20, 24)).astype(np.uint16)
    edges = border_edges(codes, codes)
    inner = codes[1:-1, 1:-1]
    neighbours = (codes[:-2, 1:-1], codes[2:, 1:-1], codes[1:-1, :-2], codes[1:-1, 2:])
    for side, neighbour in enumerate(neighbours):
        painted = np.zeros(inner.shape, dtype=int)
        for (x0, y0, x1, y1), code in zip(
            edges.spans[edges.sides == side], edges.codes[edges.sides == side], strict=True
        ):
            assert (inner[y0:y1, x0:x1] == code).all()
            painted[y0:y1, x0:x1] += 1
        assert np.array_equal(painted, (inner != neighbour).astype(int))
