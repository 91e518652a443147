"""The box tool, driven by the mouse, and what the canvas shows until the answer is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PySide6.QtCore import Qt

from segstudio.core.geometry import Rect
from segstudio.core.prediction import NO_OPINION
from segstudio.gui.tools.base import Pointer

if TYPE_CHECKING:
    from conftest import Bench


@pytest.fixture
def boxes(bench: Bench) -> list[Rect]:
    """The boxes asked for, with the tool in hand."""
    asked: list[Rect] = []
    bench.canvas.box_drawn.connect(asked.append)
    bench.take("box")
    return asked


@pytest.mark.parametrize("corners", [[(20.2, 30.7), (60.1, 80.5)], [(60.1, 80.5), (20.2, 30.7)]])
def test_a_drag_asks_for_every_pixel_it_touches(
    bench: Bench, boxes: list[Rect], corners: list[tuple[float, float]]
) -> None:
    bench.drag(corners)
    assert boxes == [Rect(30, 20, 51, 41)]
    assert bench.messages == []
    assert bench.edits == []


def test_a_box_reaching_over_the_edge_is_cut_there(bench: Bench, boxes: list[Rect]) -> None:
    bench.drag([(-20.0, -10.0), (10.0, 500.0)])
    assert boxes == [Rect(0, 0, 120, 10)]


@pytest.mark.parametrize("end", [(20.5, 30.5), (23.0, 60.0), (60.0, 33.0)])
def test_a_box_of_less_than_four_pixels_is_refused_with_a_sentence(
    bench: Bench, boxes: list[Rect], end: tuple[float, float]
) -> None:
    bench.drag([(20.0, 30.0), end])
    assert boxes == []
    assert bench.messages == ["Drag a box of at least 4 × 4 pixels around an object."]


def test_escape_drops_the_box(bench: Bench, boxes: list[Rect]) -> None:
    bench.press(20.0, 30.0)
    bench.move(60.0, 80.0)
    assert bench.canvas.gesture_active
    bench.key(Qt.Key.Key_Escape)
    assert not bench.canvas.gesture_active
    bench.release(70.0, 90.0)
    assert boxes == []
    assert bench.messages == []


def test_the_right_button_draws_no_box(bench: Bench, boxes: list[Rect]) -> None:
    bench.drag([(20.0, 30.0), (60.0, 80.0)], Qt.MouseButton.RightButton)
    assert boxes == []
    assert bench.messages == []


def test_the_box_is_drawn_as_it_is_dragged_and_only_there(bench: Bench, boxes: list[Rect]) -> None:
    tool = bench.take("box")
    before = bench.canvas.grab().toImage()
    bench.press(20.0, 30.0)
    bench.move(60.0, 80.0)
    assert bench.canvas.grab().toImage() != before
    bounds = tool.preview_bounds(Pointer(60.0, 80.0), bench.canvas.context)
    left, top, right, bottom = bench.canvas.viewport.view_rect(Rect(30, 20, 50, 40))
    assert bounds is not None
    assert bounds.getRect() == (left - 4, top - 4, right - left + 8, bottom - top + 8)
    bench.release(60.0, 80.0)
    assert tool.preview_bounds(Pointer(60.0, 80.0), bench.canvas.context) is None


def test_the_canvas_outlines_the_box_until_its_proposal_is_there(bench: Bench) -> None:
    before = bench.canvas.grab().toImage()
    bench.canvas.set_waiting_box(Rect(30, 20, 50, 40))
    assert bench.canvas.grab().toImage() != before
    bench.canvas.set_waiting_box(None)
    assert bench.canvas.grab().toImage() == before


def test_pixels_without_an_opinion_are_drawn_as_nothing_and_never_accepted(bench: Bench) -> None:
    bare = bench.canvas.grab().toImage()
    labels = np.full((120, 160), NO_OPINION, np.uint8)
    bench.propose(labels)
    assert bench.canvas.grab().toImage() == bare
    labels[30:50, 20:60] = 1
    bench.propose(labels)
    assert bench.canvas.grab().toImage() != bare
    assert bench.annotator.accept_all() == 20 * 40
    assert np.array_equal(bench.decided, labels == 1)
    assert bench.canvas.context.shown_at(Pointer(100.5, 100.5)) is None
