"""Parts, edges, floods, pyramids and colours of label arrays."""

from __future__ import annotations

import numpy as np
import pytest

from segstudio.core.geometry import Rect
from segstudio.imaging.colorize import overlay_rgba, rgba_table
from segstudio.imaging.contours import (
    bounding_rects,
    components_with_rects,
    connected_components,
    flood_region,
    outline,
)
from segstudio.imaging.pyramid import build_pyramid, halve_labels, halve_rect, halve_rgb
from segstudio.imaging.tiling import plan_tiles

CHECKER = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 2]], dtype=np.uint8)


def test_diagonal_neighbours_are_one_part_with_8_and_two_with_4() -> None:
    assert connected_components(CHECKER == 1, 8)[1] == 1
    assert connected_components(CHECKER == 1, 4)[1] == 2


def test_parts_of_labels_never_join_different_values() -> None:
    parts, count = connected_components(CHECKER, 8)
    assert count == 3
    assert len(np.unique(parts)) == 3
    for part in range(1, count + 1):
        assert len(np.unique(CHECKER[parts == part])) == 1


def test_components_come_with_their_rectangles() -> None:
    mask = np.zeros((6, 8), dtype=np.bool_)
    mask[1:3, 2:5] = True
    mask[5, 7] = True
    parts, rects = components_with_rects(mask)
    assert rects == [Rect(1, 2, 2, 3), Rect(5, 7, 1, 1)]
    assert (parts[1, 2], parts[5, 7], parts[0, 0]) == (1, 2, 0)


def test_bounding_rects_hold_each_value_tightly() -> None:
    labels = np.zeros((600, 40), dtype=np.uint16)  # more rows than one band
    labels[250:300, 4:9] = 256
    labels[599, 39] = 40_000
    assert bounding_rects(labels, 256) == {256: Rect(250, 4, 50, 5), 40_000: Rect(599, 39, 1, 1)}
    assert bounding_rects(labels)[0] == Rect(0, 0, 600, 40)
    assert bounding_rects(np.zeros((4, 4), dtype=np.uint16), 256) == {}


def test_outline_marks_both_sides_of_every_edge_and_no_image_border() -> None:
    labels = np.zeros((5, 6), dtype=np.uint16)
    labels[:, 3:] = 300
    edges = outline(labels)
    assert edges[:, 2:4].all()
    assert not edges[:, [0, 1, 4, 5]].any()


def test_flood_finds_the_region_under_the_pointer_only() -> None:
    labels = np.full((7, 9), 300, dtype=np.uint16)
    labels[2:5, 3:6] = 7
    labels[3, 4] = 300  # a hole, not connected to the outside
    mask, rect = flood_region(labels, (2, 3))
    assert rect == Rect(2, 3, 3, 3)
    assert mask.sum() == 8
    assert not mask[1, 1]
    hole, hole_rect = flood_region(labels, (3, 4))
    assert (hole.tolist(), hole_rect) == ([[True]], Rect(3, 4, 1, 1))
    outside, _ = flood_region(labels, (0, 0))
    assert outside.sum() == 7 * 9 - 9
    with pytest.raises(ValueError, match="outside"):
        flood_region(labels, (7, 0))


def test_halved_rgb_is_the_mean_of_two_by_two() -> None:
    rgb = np.array([[[0], [10], [40]], [[20], [30], [60]], [[100], [100], [200]]], dtype=np.uint8).repeat(3, axis=2)
    assert halve_rgb(rgb)[:, :, 0].tolist() == [[15, 50], [100, 200]]


def test_halved_labels_are_never_mixed() -> None:
    labels = np.random.default_rng(0).choice(np.array([0, 255, 300], dtype=np.uint16), (7, 5))
    half = halve_labels(labels)
    assert half.shape == (4, 3)
    assert half.dtype == np.uint16
    assert np.array_equal(half, labels[::2, ::2])


def test_pyramid_ends_with_one_tile() -> None:
    levels = build_pyramid(np.zeros((1000, 301, 3), dtype=np.uint8), tile=256)
    assert [level.shape[:2] for level in levels] == [(1000, 301), (500, 151), (250, 76)]
    assert build_pyramid(np.zeros((1, 1, 3), dtype=np.uint8))[0].shape == (1, 1, 3)
    assert halve_rect(Rect(3, 4, 4, 1)) == Rect(1, 2, 3, 1)


def test_overlay_looks_up_every_label() -> None:
    colors = np.random.default_rng(0).integers(0, 256, (256, 3), dtype=np.uint8)
    table = rgba_table(colors, hidden=[7], alpha=90)
    labels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    overlay = overlay_rgba(labels, table)
    assert np.array_equal(overlay, table[labels])
    assert overlay[0, 7].tolist() == [0, 0, 0, 0]
    assert overlay[0, 8].tolist() == [*colors[8].tolist(), 90]


def test_impossible_tilings_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot tile"):
        plan_tiles(10, 10, 0, 0)
