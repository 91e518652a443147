"""Outlines of regions, holes on bridges, fewer points, and polygons from strangers."""

from __future__ import annotations

import math
import time
import warnings
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask

from segstudio.core.geometry import Rect
from segstudio.core.rasterize import polygon_mask
from segstudio.imaging import fills
from segstudio.imaging.contours import connected_components
from segstudio.imaging.polygons import (
    Outline,
    centre_rings,
    checked_points,
    clipped,
    keyholed,
    rings,
    sanitised,
    simplified,
)

Mask = npt.NDArray[np.bool_]

shapes = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=16)
masks = hnp.arrays(np.bool_, shapes)


@st.composite
def noisy_masks(draw: st.DrawFn) -> Mask:
    """Masks with more or fewer holes and touching corners than fair coins give."""
    height, width = draw(shapes)
    seed, share = draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from([0.2, 0.5, 0.7, 0.85]))
    return np.random.default_rng(seed).random((height, width)) < share


def placed(part: tuple[Mask, Rect], shape: tuple[int, ...]) -> Mask:
    mask, rect = part
    whole = np.zeros(shape, dtype=np.bool_)
    whole[rect.slices] = mask
    return whole


def even_odd(ring: npt.NDArray[Any], shape: tuple[int, ...]) -> Mask:
    return placed(polygon_mask([(x, y) for x, y in ring.tolist()], shape), shape)


def signed_area(ring: npt.NDArray[Any]) -> float:
    x, y = ring.astype(np.float64).T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def without_holes(mask: Mask) -> Mask:
    parts, _ = connected_components(np.pad(~mask, 1, constant_values=True), 4)
    return (parts != parts[0, 0])[1:-1, 1:-1]


def disc(size: int, radius: float) -> Mask:
    y, x = np.mgrid[:size, :size] - size / 2
    return x * x + y * y < radius * radius


def test_a_rectangle_has_four_corners_on_its_pixels_edges() -> None:
    mask = np.zeros((6, 8), dtype=np.bool_)
    mask[1:4, 2:7] = True
    (outline,) = rings(mask)
    assert outline.outer.dtype == np.int32
    assert outline.outer.tolist() == [[2, 1], [7, 1], [7, 4], [2, 4]]
    assert outline.holes == ()
    assert rings(mask, offset=(10, -1))[0].outer.tolist() == [[12, 0], [17, 0], [17, 3], [12, 3]]


def test_a_part_in_the_hole_of_another_is_an_outline_of_its_own() -> None:
    mask = np.zeros((9, 9), dtype=np.bool_)
    mask[1:8, 1:8] = True
    mask[2:7, 2:7] = False
    mask[4, 4] = True
    outlines = sorted(rings(mask), key=lambda outline: signed_area(outline.outer))
    assert [len(outline.holes) for outline in outlines] == [0, 1]
    assert outlines[0].outer.tolist() == [[4, 4], [5, 4], [5, 5], [4, 5]]
    assert (signed_area(outlines[1].outer), signed_area(outlines[1].holes[0])) == (49.0, -25.0)


def test_pixels_that_touch_at_a_corner_are_two_parts() -> None:
    assert len(rings(np.eye(3, dtype=np.bool_))) == 3
    assert len(centre_rings(np.eye(3, dtype=np.bool_))) == 1


def test_nothing_has_no_outline() -> None:
    for shape in ((4, 5), (0, 5), (0, 0)):
        assert rings(np.zeros(shape, dtype=np.bool_)) == []
        assert centre_rings(np.zeros(shape, dtype=np.bool_)) == []


@settings(deadline=None)
@given(masks | noisy_masks())
def test_outlines_are_closed_have_no_needless_points_and_enclose_the_area(mask: Mask) -> None:
    outlines = rings(mask)
    assert len(outlines) == connected_components(mask, 4)[1]
    assert (
        sum(len(outline.holes) for outline in outlines)
        == connected_components(np.pad(~mask, 1, constant_values=True), 8)[1] - 1
    )
    area = 0.0
    for outline in outlines:
        assert signed_area(outline.outer) > 0
        assert all(signed_area(hole) < 0 for hole in outline.holes)
        for ring in (outline.outer, *outline.holes):
            steps = np.roll(ring, -1, axis=0) - ring
            level = steps[:, 1] == 0
            assert (np.count_nonzero(steps, axis=1) == 1).all()  # along rows and columns
            assert (level != np.roll(level, 1)).all()  # a corner at each point
            area += signed_area(ring)
    assert area == np.count_nonzero(mask)


@settings(deadline=None)
@given(masks | noisy_masks())
def test_every_even_odd_filler_gives_the_mask_back_from_keyholed_outlines(mask: Mask) -> None:
    polygons = [keyholed(outline.outer, outline.holes) for outline in rings(mask)]
    assert np.array_equal(placed(fills.fill_coco(polygons, *mask.shape), mask.shape), mask)
    ours = np.zeros_like(mask)
    theirs = np.zeros_like(mask)
    for polygon in polygons:
        ours ^= even_odd(polygon, mask.shape)
        (packed,) = coco_mask.frPyObjects([polygon.ravel().tolist()], *mask.shape)
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # pycocotools with numpy 2
            theirs ^= coco_mask.decode(packed).astype(np.bool_)
    assert np.array_equal(ours, mask)
    assert np.array_equal(theirs, mask)


@settings(deadline=None)
@given(noisy_masks())
def test_bridges_are_level_whole_numbered_and_pass_no_other_ring(mask: Mask) -> None:
    for outline in rings(mask):
        polygon = keyholed(outline.outer, outline.holes)
        assert np.array_equal(polygon, np.rint(polygon))
        steps = np.roll(polygon, -1, axis=0) - polygon
        assert (np.count_nonzero(steps, axis=1) == 1).all()
        edges = np.sort(np.stack((polygon, np.roll(polygon, -1, axis=0)), axis=1), axis=1)
        level = edges[steps[:, 1] == 0]
        spans, times = np.unique(level, axis=0, return_counts=True)
        for (x0, y), (x1, _) in spans[times > 1].tolist():
            between = [ring for ring in (outline.outer, *outline.holes) if _stands_between(ring, x0, x1, y)]
            assert between == []


def _stands_between(ring: npt.NDArray[np.int32], x0: float, x1: float, y: float) -> bool:
    """Whether an upright edge of the ring crosses the level line from x0 to x1."""
    following = np.roll(ring, -1, axis=0)
    low, high = np.minimum(ring[:, 1], following[:, 1]), np.maximum(ring[:, 1], following[:, 1])
    upright = ring[:, 0] == following[:, 0]
    return bool((upright & (low < y) & (y < high) & (x0 < ring[:, 0]) & (ring[:, 0] < x1)).any())


def test_a_chain_of_thousands_of_holes_hangs_together() -> None:
    mask = np.ones((3, 9001), dtype=np.bool_)
    mask[1, 1::2] = False
    (outline,) = rings(mask)
    assert len(outline.holes) == 4500
    polygon = keyholed(outline.outer, outline.holes)
    assert np.array_equal(placed(fills.fill_coco([polygon], *mask.shape), mask.shape), mask)


def test_a_hole_that_lies_outside_still_counts_by_parity() -> None:
    square = np.array([[4, 4], [8, 4], [8, 8], [4, 8]], dtype=np.int32)
    for hole in (
        square - 4,
        square + np.array((0, 6), dtype=np.int32),
        np.array([[1, 5], [1, 6], [6, 6], [6, 5]], dtype=np.int32),
    ):
        polygon = keyholed(square, [hole])
        expected = even_odd(square, (16, 16)) ^ even_odd(hole, (16, 16))
        assert np.array_equal(even_odd(polygon, (16, 16)), expected)


def test_a_region_of_noise_is_traced_and_filled_in_seconds() -> None:
    mask = np.random.default_rng(5).random((500, 500)) < 0.7
    start = time.perf_counter()
    polygons = [keyholed(outline.outer, outline.holes) for outline in rings(mask)]
    assert np.array_equal(placed(fills.fill_coco(polygons, *mask.shape), mask.shape), mask)
    assert time.perf_counter() - start < 20  # a quarter of a second on an idle machine; quadratic work takes minutes


@settings(deadline=None)
@given(masks | noisy_masks())
def test_readers_that_draw_the_outline_fill_the_parts_of_centre_rings_exactly(mask: Mask) -> None:
    parts, count = connected_components(mask, 8)
    outlines = centre_rings(mask)
    assert len(outlines) == count
    for outline in outlines:
        x, y = outline.outer[0]
        part = without_holes(parts == parts[y, x])
        assert len(outline.outer) >= 3
        assert np.array_equal(placed(fills.fill_pillow(outline.outer, *mask.shape), mask.shape), part)
        assert np.array_equal(placed(fills.fill_yolo(outline.outer, *mask.shape), mask.shape), part)


def test_centre_rings_name_border_pixels_and_move_with_the_offset() -> None:
    mask = np.zeros((6, 8), dtype=np.bool_)
    mask[1:5, 2:7] = True
    mask[2:4, 4] = False
    (outline,) = centre_rings(mask, offset=(100, 50))
    assert sorted(outline.outer.tolist()) == [[102, 51], [102, 54], [106, 51], [106, 54]]
    (hole,) = outline.holes
    assert all(mask[y - 50, x - 100] for x, y in hole.tolist())


def test_centre_rings_of_a_dot_and_of_a_line_have_three_points() -> None:
    mask = np.zeros((3, 9), dtype=np.bool_)
    mask[1, 1] = mask[1, 4:8] = True
    outlines = sorted((outline.outer.tolist() for outline in centre_rings(mask)), key=lambda ring: ring[0])
    assert outlines == [[[1, 1], [1, 1], [1, 1]], [[4, 1], [7, 1], [4, 1]]]


def test_simplifying_by_nothing_changes_nothing() -> None:
    (outline,) = rings(disc(40, 15))
    assert simplified(outline.outer, 0) is outline.outer


@settings(deadline=None)
@given(st.floats(3, 30), st.floats(0.1, 4))
def test_simplified_outlines_stay_within_the_tolerance(radius: float, tolerance: float) -> None:
    (outline,) = rings(disc(64, radius))
    fewer = simplified(outline.outer, tolerance)
    assert 3 <= len(fewer) <= len(outline.outer)
    assert fewer.dtype == outline.outer.dtype
    ends = np.roll(fewer, -1, axis=0).astype(np.float64)
    for point in outline.outer:
        along = np.clip(
            ((point - fewer) * (ends - fewer)).sum(axis=1) / np.maximum(((ends - fewer) ** 2).sum(axis=1), 1e-9), 0, 1
        )
        distance = np.hypot(*(fewer + along[:, None] * (ends - fewer) - point).T).min()
        assert distance <= tolerance + 1e-6


@pytest.mark.parametrize("kind", [np.int32, np.float64])
def test_a_ring_keeps_three_points_at_any_tolerance(kind: type) -> None:
    (outline,) = rings(disc(40, 15))
    fewer = simplified(outline.outer.astype(kind), 1e6)
    assert len(fewer) >= 3
    assert abs(signed_area(fewer)) > 0
    assert fewer.dtype == kind


def test_a_line_there_and_back_stays_as_it_is() -> None:
    line = np.array([[2, 2], [5, 2], [9, 2], [5, 2]], dtype=np.int32)
    for ring in (line, np.full((5, 2), 3, dtype=np.int32)):
        assert len(simplified(ring, 2.0)) >= 3


@settings(deadline=None)
@given(noisy_masks(), st.floats(0.5, 5))
def test_simplified_rings_with_holes_keep_their_parity(mask: Mask, tolerance: float) -> None:
    for outline in rings(mask):
        outer = simplified(outline.outer, tolerance)
        holes = [simplified(hole, tolerance) for hole in outline.holes]
        expected = even_odd(outer, mask.shape)
        for hole in holes:
            expected ^= even_odd(hole, mask.shape)
        joined = even_odd(keyholed(outer, holes), mask.shape)
        # A bridge ends on a slanted edge at a rounded position, which decides centres that lie on the edge itself.
        assert np.count_nonzero(joined ^ expected) <= len(holes)


coordinates = st.floats(-30, 60) | st.sampled_from([-1e9, 1e9, 1e18, -1e300, 1.7e308, 0.0, 16.0, 20.0])
polygons_anywhere = st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=9)


@settings(deadline=None)
@given(polygons_anywhere, st.sampled_from([0.0, 5.0, None]))
def test_sanitised_points_lie_in_the_image_and_its_margin(points: list[tuple[float, float]], margin: float) -> None:
    kept = sanitised(points, 20, 16, margin=margin)
    margin_x, margin_y = (20, 16) if margin is None else (margin, margin)
    assert kept.shape[1] == 2 and len(kept) != 1 and len(kept) != 2
    assert np.isfinite(kept).all()
    assert ((kept >= (-margin_x, -margin_y)) & (kept <= (20 + margin_x, 16 + margin_y))).all()


near = st.integers(-40, 60).map(lambda eighth: eighth + 0.125)


@settings(deadline=None)
@given(st.lists(st.tuples(near, near), min_size=3, max_size=9))
def test_cutting_leaves_the_pixels_inside_as_they_are(points: list[tuple[float, float]]) -> None:
    ring = np.array(points)
    cut = clipped(ring, (0, 0, 20, 16))
    expected, actual = even_odd(ring, (16, 20)), even_odd(cut, (16, 20))
    different = np.argwhere(expected != actual)
    for row, column in different:  # only where a centre lies on an edge, to the last bit
        assert _distance_to_edges(ring, column + 0.5, row + 0.5) < 1e-9


def _distance_to_edges(ring: npt.NDArray[np.float64], x: float, y: float) -> float:
    ends = np.roll(ring, -1, axis=0)
    along = ends - ring
    length = np.maximum((along**2).sum(axis=1), 1e-12)
    share = np.clip((((x, y) - ring) * along).sum(axis=1) / length, 0, 1)
    return float(np.hypot(*(ring + share[:, None] * along - (x, y)).T).min())


def test_a_triangle_that_reaches_far_beyond_is_cut_and_not_squashed() -> None:
    # Moving its far corners to the border would leave the diagonal half of the image.
    triangle = [[-(10.0**9), 8.0], [10.0**9, 8.0], [0.0, 10.0**9]]
    filled = even_odd(sanitised(triangle, 20, 16), (16, 20))
    assert filled[8:].all() and not filled[:8].any()


def test_a_polygon_around_the_image_fills_it_and_one_beside_it_is_gone() -> None:
    around = sanitised([-1e9, -1e9, 1e9, -1e9, 1e9, 1e9, -1e9, 1e9], 20, 16, margin=0)
    assert sorted(around.tolist()) == [[0, 0], [0, 16], [20, 0], [20, 16]]
    assert sanitised([1e9, 1e9, 2e9, 1e9, 2e9, 2e9], 20, 16).shape == (0, 2)


@pytest.mark.parametrize(
    "points",
    [
        [1, 2, 3, 4, 5, 6.5],
        [[1, 2], [3, 4], [5, 6.5]],
        ((1, 2), (3, 4), (5, 6.5)),
        [[1, 2, 3, 4, 5, 6.5]],
        [[[1, 2]], [[3, 4]], [[5, 6.5]]],
        np.array([[1, 2], [3, 4], [5, 6.5]], dtype=np.float32),
        [Decimal(1), 2, 3, 4, 5, Decimal("6.5")],
    ],
)
def test_points_are_taken_in_any_nesting(points: object) -> None:
    assert sanitised(points, 20, 16).tolist() == [[1, 2], [3, 4], [5, 6.5]]


_ENDLESS: list[Any] = []
_ENDLESS.append(_ENDLESS)


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        ([1, 2, 3, 4, 5, math.nan], "not finite"),
        ([1, 2, 3, 4, 5, math.inf], "not finite"),
        ([1, 2, 3, 4, 5, 10**400], "not finite"),
        ([1, 2, 3, 4, 5, Decimal("Infinity")], "not finite"),
        ([1, 2, 3, 4, 5], "pairs"),
        ([1, 2, 3, 4], "2 points where 3"),
        ([], "0 points where 3"),
        ([[1, 2], [3, 4], [5]], "pairs"),
        ([[1, 2, 3], [4, 5, 6], [7, 8, 9], [1, 2, 3]], "pairs"),
        ([[1, 2, 3, 4], [5, 6, 7, 8]], "pairs"),
        (["1", "2", "3", "4", "5", "6"], "not numbers"),
        ([1, 2, 3, 4, 5, None], "not numbers"),
        ([True, False, True, True, False, False], "not numbers"),
        ([1, 2, 3, 4, 5, {"x": 1}], "not numbers"),
        ([1j] * 6, "not numbers"),
        ("123456", "a list, not str"),
        ({"x": 1}, "a list, not dict"),
        (None, "a list, not NoneType"),
        (7, "a list, not int"),
        ([0.0] * 300, "more than 100 points|150 points where 3 to 100"),
        ([[0.0, 0.0]] * 101, "101 points where 3 to 100"),
        (_ENDLESS, "pairs|not numbers"),
    ],
)
def test_what_is_no_polygon_is_refused_with_a_reason(points: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        sanitised(points, 20, 16, max_points=100)


def test_a_point_or_two_can_be_checked_as_well() -> None:
    assert checked_points([[3, 4.5]], at_least=1, at_most=1).tolist() == [[3, 4.5]]
    with pytest.raises(ValueError, match="1 points where 2 to 2"):
        checked_points([[3, 4.5]], at_least=2, at_most=2)


@settings(deadline=None)
@given(noisy_masks())
def test_parts_of_an_outline_do_not_share_points(mask: Mask) -> None:
    assume(mask.any())
    for outline in rings(mask):
        assert isinstance(outline, Outline)
        corners = [{tuple(point) for point in ring.tolist()} for ring in (outline.outer, *outline.holes)]
        assert len(set().union(*corners)) == sum(len(own) for own in corners)
