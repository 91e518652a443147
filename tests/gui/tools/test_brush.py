"""Brush, eraser and the accepting brush, driven by the mouse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest
from PySide6.QtCore import Qt

from segstudio.core.catalog import IGNORE
from segstudio.core.geometry import Rect
from segstudio.core.rasterize import stroke_mask
from segstudio.gui.tools.base import Pointer

if TYPE_CHECKING:
    from conftest import Bench

SHAPE = (120, 160)
STROKE = [(20.3, 30.7), (44.0, 41.5), (90.25, 35.0), (91.0, 88.0)]
SHIFT = Qt.KeyboardModifier.ShiftModifier
RIGHT = Qt.MouseButton.RightButton


def full(points: list[tuple[float, float]], radius: float = 6.0) -> npt.NDArray[np.bool_]:
    mask, rect = stroke_mask(points, radius, SHAPE)
    result = np.zeros(SHAPE, dtype=bool)
    result[rect.slices] = mask
    return result


def test_a_stroke_paints_exactly_the_pixels_of_its_mask(bench: Bench) -> None:
    bench.take("brush")
    bench.drag(STROKE)
    assert np.array_equal(bench.ids == 1, full(STROKE))
    assert np.array_equal(bench.decided, full(STROKE))


def test_a_stroke_is_one_named_edit_and_reports_its_end(bench: Bench) -> None:
    bench.take("brush")
    bench.drag(STROKE)
    assert [edit.name for edit in bench.edits] == ["Paint road"]
    assert bench.finished == [True]


def test_paint_shows_while_the_mouse_is_still_down(bench: Bench) -> None:
    bench.take("brush")
    bench.press(*STROKE[0])
    bench.move(*STROKE[1])
    assert np.array_equal(bench.ids == 1, full(STROKE[:2]))
    assert bench.canvas.gesture_active
    assert bench.edits == []


def test_undo_takes_the_whole_stroke_back_and_redo_brings_it_again(bench: Bench) -> None:
    bench.take("brush")
    bench.drag(STROKE)
    bench.annotator.undo()
    assert not bench.decided.any()
    bench.annotator.redo()
    assert np.array_equal(bench.ids == 1, full(STROKE))


def test_escape_during_a_stroke_restores_every_pixel(bench: Bench) -> None:
    bench.decide(full([(40.0, 40.0)], 15.0), 2)
    before = bench.annotator.map.copy()
    bench.take("brush")
    bench.press(*STROKE[0])
    bench.move(*STROKE[1])
    bench.key(Qt.Key.Key_Escape)
    assert bench.annotator.map == before
    bench.release(*STROKE[1])
    assert bench.edits == []
    assert bench.finished == []


def test_the_right_button_erases_with_the_brush(bench: Bench) -> None:
    bench.decide(np.ones(SHAPE, dtype=bool), 2)
    bench.take("brush")
    bench.drag(STROKE, RIGHT)
    assert np.array_equal(~bench.decided, full(STROKE))
    assert (bench.ids[full(STROKE)] == IGNORE).all()
    assert bench.edits[0].name == "Erase"


def test_the_eraser_makes_pixels_undecided(bench: Bench) -> None:
    bench.decide(np.ones(SHAPE, dtype=bool), 2)
    bench.take("eraser")
    bench.drag(STROKE)
    assert np.array_equal(~bench.decided, full(STROKE))


def test_ignore_can_be_painted(bench: Bench) -> None:
    bench.canvas.set_active_class(IGNORE)
    bench.take("brush")
    bench.drag(STROKE)
    assert np.array_equal(bench.decided, full(STROKE))
    assert (bench.ids == IGNORE).all()


def test_shift_click_draws_a_straight_line_from_the_end_of_the_last_stroke(bench: Bench) -> None:
    bench.take("brush")
    bench.click(20.0, 20.0)
    bench.click(100.0, 70.0, keys=SHIFT)
    assert np.array_equal(bench.ids == 1, full([(20.0, 20.0), (100.0, 70.0)]))
    bench.click(30.0, 100.0)
    assert np.array_equal(bench.ids == 1, full([(20.0, 20.0), (100.0, 70.0)]) | full([(30.0, 100.0)]))


def test_a_line_never_starts_in_another_image(bench: Bench) -> None:
    bench.take("brush")
    bench.click(20.0, 20.0)
    bench.canvas.set_document(None)
    bench.annotator.undo()
    other = type(bench.annotator)(
        bench.annotator.item,
        bench.annotator.rgb,
        bench.annotator.map.copy(),
        catalog=lambda: bench.annotator.catalog,
        on_edit=lambda *_: None,
    )
    bench.canvas.set_document(other)
    bench.click(100.0, 70.0, keys=SHIFT)
    assert np.array_equal(other.map.ids == 1, full([(100.0, 70.0)]))


def test_locked_classes_are_not_painted_over(bench: Bench) -> None:
    sky = np.zeros(SHAPE, dtype=bool)
    sky[:, 40:60] = True
    bench.decide(sky, 3)
    bench.take("brush")
    bench.drag(STROKE)
    assert np.array_equal(bench.ids == 3, sky)
    assert np.array_equal(bench.ids == 1, full(STROKE) & ~sky)


def test_a_class_that_is_not_in_the_catalog_is_refused_with_a_sentence(bench: Bench) -> None:
    bench.canvas.set_active_class(200)
    bench.take("brush")
    bench.drag(STROKE)
    assert bench.messages == ["Choose a class to paint first."]
    assert not bench.decided.any()


def test_a_stroke_beside_the_image_changes_nothing(bench: Bench) -> None:
    bench.take("brush")
    bench.drag([(-40.0, -30.0), (-40.0, 60.0)])
    assert bench.edits == []
    assert not bench.canvas.gesture_active


def test_another_tool_drops_the_stroke_under_way(bench: Bench) -> None:
    bench.take("brush")
    bench.press(*STROKE[0])
    bench.take("fill")
    assert not bench.decided.any()


def test_a_second_button_during_a_stroke_neither_ends_nor_changes_it(bench: Bench) -> None:
    bench.take("brush")
    bench.press(*STROKE[0])
    bench.tools["brush"].press(Pointer(5, 5, RIGHT), bench.canvas.context)
    bench.tools["brush"].release(Pointer(5, 5, RIGHT), bench.canvas.context)
    bench.move(*STROKE[1])
    bench.release(*STROKE[1])
    assert np.array_equal(bench.ids == 1, full(STROKE[:2]))


def test_the_accepting_brush_takes_the_proposal_on_undecided_pixels_only(bench: Bench) -> None:
    proposal = np.full(SHAPE, 2, dtype=np.uint8)
    proposal[:60] = 1
    bench.propose(proposal)
    kept = np.zeros(SHAPE, dtype=bool)
    kept[Rect(30, 40, 10, 10).slices] = True
    bench.decide(kept, 0)
    bench.take("accept")
    bench.drag(STROKE)
    under = full(STROKE)
    assert np.array_equal(bench.decided, under | kept)
    assert np.array_equal(bench.ids[under & ~kept], proposal[under & ~kept])
    assert (bench.ids[kept] == 0).all()


@pytest.mark.parametrize("hide", [True, False])
def test_the_accepting_brush_says_when_there_is_nothing_to_accept(bench: Bench, hide: bool) -> None:
    if hide:
        bench.propose(np.ones(SHAPE, dtype=np.uint8))
        bench.canvas.set_proposal_visible(False)
    bench.take("accept")
    bench.drag(STROKE)
    assert bench.messages == ["There is no proposal on show to accept."]
    assert not bench.decided.any()
