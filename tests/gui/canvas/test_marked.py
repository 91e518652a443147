"""Pixels are pointed out on the canvas until Esc or another image, and none is too small to be seen."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor

from segstudio.core.geometry import Rect
from segstudio.gui.canvas.guided import GuidedCanvas
from segstudio.gui.canvas.marked import MARK_RGB, Marks, shrunk


def marks_at(row: int, column: int, shape: tuple[int, int]) -> Marks:
    pixels = np.zeros(shape, np.bool_)
    pixels[row, column] = True
    return Marks(1, pixels, "sky → road: 1 pixel")


@pytest.fixture
def canvas(qtbot, make_annotator) -> GuidedCanvas:
    widget = GuidedCanvas()
    qtbot.addWidget(widget)
    widget.resize(300, 300)
    widget.show()
    widget.set_document(make_annotator(60, 60))
    return widget


def color_of(canvas: GuidedCanvas, row: int, column: int) -> QColor:
    left, top, right, bottom = canvas.viewport.view_rect(Rect(row, column, 1, 1))
    return canvas.grab().toImage().pixelColor((left + right) // 2, (top + bottom) // 2)


def test_the_marked_pixel_is_coloured_and_the_rest_dimmed(canvas):
    bare = color_of(canvas, 50, 50)
    canvas.set_marks(marks_at(30, 20, (60, 60)))
    mark, seen = QColor(*MARK_RGB), color_of(canvas, 30, 20)
    assert abs(seen.hue() - mark.hue()) < 12 and seen.saturation() > 120
    assert color_of(canvas, 50, 50).lightness() < bare.lightness() - 30
    assert color_of(canvas, 30, 22).saturation() < 20


def test_esc_takes_marks_away(qtbot, canvas):
    bare = color_of(canvas, 50, 50)
    canvas.set_marks(marks_at(30, 20, (60, 60)))
    qtbot.keyClick(canvas, Qt.Key.Key_Escape)
    assert canvas.marks is None and color_of(canvas, 50, 50) == bare


def test_another_image_takes_marks_away(canvas, make_annotator):
    canvas.set_marks(marks_at(30, 20, (60, 60)))
    canvas.set_document(make_annotator(60, 60))
    assert canvas.marks is None


def test_one_pixel_of_a_large_image_shows_when_all_of_it_is_on_show(canvas, make_annotator):
    canvas.set_document(make_annotator(2400, 2400))
    canvas.set_marks(marks_at(1201, 1203, (2400, 2400)))
    assert canvas.viewport.level > 0
    image = canvas.grab().toImage()
    mark = QColor(*MARK_RGB)
    found = [
        (x, y)
        for x in range(image.width())
        for y in range(image.height())
        if (c := image.pixelColor(x, y)).saturation() > 100 and abs(c.hue() - mark.hue()) < 12
    ]
    assert found and all(140 <= x <= 160 and 140 <= y <= 160 for x, y in found)


@pytest.mark.parametrize("step", [1, 2, 4, 8])
def test_shrinking_keeps_every_marked_pixel(step):
    pixels = np.random.default_rng(5).random((37, 53)) < 0.01
    small = shrunk(pixels, step)
    rows, columns = np.nonzero(pixels)
    assert small.shape == (-(-37 // step), -(-53 // step))
    assert small[rows // step, columns // step].all()
    assert small.sum() == len({(r // step, c // step) for r, c in zip(rows, columns, strict=True)})
