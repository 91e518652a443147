"""The polygon tool, driven by mouse and keys."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest
from PySide6.QtCore import Qt

from segstudio.core.rasterize import polygon_mask

if TYPE_CHECKING:
    from conftest import Bench

SHAPE = (120, 160)
CORNERS = [(20.0, 20.0), (120.0, 30.0), (100.0, 100.0), (30.0, 90.0)]


def full(points: list[tuple[float, float]]) -> npt.NDArray[np.bool_]:
    mask, rect = polygon_mask(points, SHAPE)
    result = np.zeros(SHAPE, dtype=bool)
    result[rect.slices] = mask
    return result


def corners(bench: Bench) -> None:
    bench.take("polygon")
    for corner in CORNERS:
        bench.click(*corner)


@pytest.mark.parametrize("key", [Qt.Key.Key_Return, Qt.Key.Key_Enter])
def test_enter_fills_the_polygon_with_the_active_class(bench: Bench, key: Qt.Key) -> None:
    corners(bench)
    assert not bench.decided.any()
    bench.key(key)
    assert np.array_equal(bench.ids == 1, full(CORNERS))
    assert [edit.name for edit in bench.edits] == ["Polygon road"]
    assert bench.finished == [True]


def test_a_click_on_the_first_corner_closes(bench: Bench) -> None:
    corners(bench)
    bench.click(20.4, 20.4)
    assert np.array_equal(bench.ids == 1, full(CORNERS))


def test_a_double_click_sets_the_last_corner_and_closes(bench: Bench) -> None:
    bench.take("polygon")
    for corner in CORNERS[:-1]:
        bench.click(*corner)
    bench.double_click(*CORNERS[-1])
    assert np.array_equal(bench.ids == 1, full(CORNERS))
    assert not bench.canvas.gesture_active


def test_backspace_takes_the_last_corner_back(bench: Bench) -> None:
    corners(bench)
    bench.key(Qt.Key.Key_Backspace)
    bench.key(Qt.Key.Key_Return)
    assert np.array_equal(bench.ids == 1, full(CORNERS[:-1]))


def test_the_right_button_takes_the_last_corner_back(bench: Bench) -> None:
    corners(bench)
    bench.click(5.0, 5.0, Qt.MouseButton.RightButton)
    bench.key(Qt.Key.Key_Return)
    assert np.array_equal(bench.ids == 1, full(CORNERS[:-1]))


def test_escape_drops_the_polygon(bench: Bench) -> None:
    corners(bench)
    bench.key(Qt.Key.Key_Escape)
    assert not bench.canvas.gesture_active
    assert not bench.decided.any()
    assert bench.edits == []


def test_two_corners_are_refused_with_a_sentence_and_kept(bench: Bench) -> None:
    bench.take("polygon")
    bench.click(10.0, 10.0)
    bench.click(60.0, 10.0)
    bench.key(Qt.Key.Key_Return)
    assert bench.messages == ["A polygon needs at least three corners."]
    assert bench.canvas.gesture_active


def test_a_trace_back_to_its_start_fills_what_it_encloses(bench: Bench) -> None:
    circle = [(80 + 35 * math.cos(a), 60 + 35 * math.sin(a)) for a in np.linspace(0, 2 * math.pi, 60)]
    bench.take("polygon")
    bench.drag(circle)
    difference = (bench.ids == 1) ^ full(circle)
    assert not bench.canvas.gesture_active
    assert difference.sum() < 0.01 * full(circle).sum()


def test_a_polygon_reaching_over_the_edge_is_cut_there(bench: Bench) -> None:
    points = [(-30.0, 40.0), (60.0, -20.0), (80.0, 200.0)]
    bench.take("polygon")
    for point in points:
        bench.click(*point)
    bench.key(Qt.Key.Key_Return)
    assert np.array_equal(bench.ids == 1, full(points))


def test_corners_stay_on_the_image_when_the_view_zooms(bench: Bench) -> None:
    corners(bench)
    bench.canvas.set_zoom(7.3)
    bench.canvas.center_on(60.0, 60.0)
    bench.key(Qt.Key.Key_Return)
    assert np.array_equal(bench.ids == 1, full(CORNERS))


def test_the_rubber_band_is_drawn(bench: Bench) -> None:
    bench.take("polygon")
    before = bench.canvas.grab().toImage()
    for corner in CORNERS[:2]:
        bench.click(*corner)
    bench.move(100.0, 100.0)
    assert bench.canvas.grab().toImage() != before
