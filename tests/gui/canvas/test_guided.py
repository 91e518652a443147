"""The guides on the canvas: kernels as circles around the pointer, and before beside after."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPointF, Qt
from PySide6.QtGui import QColor, QMouseEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from segstudio.core.prediction import Prediction, Refinement
from segstudio.gui.canvas.guided import GuidedCanvas
from segstudio.gui.canvas.reach import Reach, influence
from segstudio.gui.tools.registry import create_tools

if TYPE_CHECKING:
    from conftest import CatalogBox, MakeAnnotator

LEFT, NONE = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
SIZE = (200, 300)


@pytest.fixture
def canvas(qtbot: QtBot, make_annotator: MakeAnnotator) -> GuidedCanvas:
    """A canvas on a grey image whose proposal was class 1 everywhere and is class 2 everywhere since refined."""
    annotator = make_annotator(*SIZE)
    before = Prediction(
        labels=np.full(SIZE, 1, np.uint8), confidence=np.full(SIZE, 255, np.uint8), probabilities=None,
        class_ids=(1, 2), model_id="m",
    )  # fmt: skip
    after = replace(
        before, labels=np.full(SIZE, 2, np.uint8), refined=True, refinement=Refinement(before=before, live=(1, 2))
    )
    annotator.set_prediction(after)
    widget = GuidedCanvas()
    qtbot.addWidget(widget)
    widget.resize(800, 600)
    widget.set_opacity(1.0)
    widget.set_document(annotator)
    widget.set_tool(create_tools()["brush"])
    widget.show()
    return widget


def mouse(canvas: GuidedCanvas, kind: QEvent.Type, x: float, y: float, button: Qt.MouseButton = LEFT) -> None:
    down = NONE if kind == QEvent.Type.MouseButtonRelease else button
    own = NONE if kind == QEvent.Type.MouseMove else button
    spot = QPointF(x, y)
    QApplication.sendEvent(canvas, QMouseEvent(kind, spot, spot, own, down, Qt.KeyboardModifier.NoModifier))


def line_x(canvas: GuidedCanvas) -> float:
    left = canvas.viewport.origin[0]
    return left + canvas.split * canvas.viewport.image[0] * canvas.zoom


def is_class(canvas: GuidedCanvas, catalog_box: CatalogBox, class_id: int, x: float, y: float) -> bool:
    """Whether the colour around an image position is nearer to a class's than to that of the other."""
    at = canvas.viewport.to_view(x, y)
    picture = canvas.grab().toImage()
    seen = np.mean(
        [picture.pixelColor(int(at[0]) + i, int(at[1]) + j).getRgb()[:3] for i in range(8) for j in range(8)], axis=0
    )
    distances = {k: float(np.abs(seen - np.array(catalog_box.value[k].color)).sum()) for k in (1, 2)}
    return min(distances, key=lambda k: distances[k]) == class_id


def test_the_line_parts_before_from_after(canvas: GuidedCanvas, catalog_box: CatalogBox) -> None:
    assert is_class(canvas, catalog_box, 2, 50, 60)
    canvas.set_split(0.5)
    assert canvas.comparing
    assert is_class(canvas, catalog_box, 1, 50, 60)
    assert is_class(canvas, catalog_box, 2, 250, 60)
    canvas.set_split(0)
    assert not canvas.comparing
    assert is_class(canvas, catalog_box, 2, 50, 60)


def test_holding_shows_all_of_it_before_and_letting_go_ends_it(canvas: GuidedCanvas, catalog_box: CatalogBox) -> None:
    canvas.hold_before(held=True)
    assert is_class(canvas, catalog_box, 1, 290, 60)
    canvas.hold_before(held=False)
    assert is_class(canvas, catalog_box, 2, 290, 60)


def test_a_held_key_ends_with_the_focus(canvas: GuidedCanvas, qtbot: QtBot) -> None:
    canvas.setFocus()
    qtbot.waitUntil(canvas.hasFocus)
    canvas.hold_before(held=True)
    canvas.clearFocus()
    assert not canvas.comparing


def test_the_line_is_dragged_with_the_mouse_and_the_tool_does_not_paint(canvas: GuidedCanvas) -> None:
    moved: list[float] = []
    canvas.split_moved.connect(moved.append)
    canvas.toggle_split()
    x = line_x(canvas)
    mouse(canvas, QEvent.Type.MouseMove, x + 2, 80, NONE)
    assert canvas.cursor().shape() == Qt.CursorShape.SplitHCursor
    mouse(canvas, QEvent.Type.MouseButtonPress, x + 2, 80)
    mouse(canvas, QEvent.Type.MouseMove, x + 102, 90)
    mouse(canvas, QEvent.Type.MouseButtonRelease, x + 102, 90)
    assert canvas.split == pytest.approx(0.5 + 102 / (300 * canvas.zoom), abs=0.01)
    assert moved[0] == 0.5 and moved[-1] == canvas.split
    assert canvas.document is not None and not canvas.document.map.decided.any()


def test_beside_the_line_the_tool_paints_as_ever(canvas: GuidedCanvas) -> None:
    canvas.set_active_class(3)
    canvas.set_split(0.5)
    x = line_x(canvas) - 100
    for kind in (QEvent.Type.MouseButtonPress, QEvent.Type.MouseMove, QEvent.Type.MouseButtonRelease):
        mouse(canvas, kind, x, 80)
    assert canvas.document is not None and canvas.document.map.decided.any()
    assert canvas.split == 0.5


def test_accepting_takes_the_refined_proposal_whatever_the_line_shows(canvas: GuidedCanvas) -> None:
    canvas.set_split(1.0)
    assert canvas.document is not None
    canvas.document.accept_all()
    assert (canvas.document.map.semantic() == 2).all()


def test_strokes_show_on_both_sides_of_the_line(canvas: GuidedCanvas) -> None:
    canvas.set_split(0.5)
    canvas.grab()
    assert canvas.document is not None
    gesture = canvas.document.begin("Paint")
    gesture.paint(np.ones(SIZE, np.bool_), 0, 0, 3)
    gesture.commit()
    color = canvas.document.catalog[3].color
    picture = canvas.grab().toImage()
    for column in (50, 250):
        at = canvas.viewport.to_view(column, 60)
        assert picture.pixelColor(int(at[0]), int(at[1])) == QColor(*color)


def test_without_a_refinement_there_is_no_line(canvas: GuidedCanvas) -> None:
    document = canvas.document
    assert document is not None and document.prediction is not None and document.prediction.refinement is not None
    canvas.set_split(0.5)
    document.set_prediction(document.prediction.refinement.before)
    assert not canvas.comparing
    canvas.set_proposal_visible(False)
    assert not canvas.comparing


def test_the_line_stays_in_view_while_the_image_moves_under_it(canvas: GuidedCanvas) -> None:
    canvas.set_split(0.25)
    canvas.set_zoom(16.0, (400.0, 300.0))
    mouse(canvas, QEvent.Type.MouseMove, 200, 80, NONE)
    assert canvas.cursor().shape() == Qt.CursorShape.SplitHCursor


def test_circles_stand_around_the_pointer_at_their_radius_and_go_with_it(canvas: GuidedCanvas) -> None:
    canvas.set_overlay_hidden(True)
    canvas.set_tool(None)
    middle = canvas.viewport.to_view(150, 100)
    mouse(canvas, QEvent.Type.MouseMove, *middle, NONE)
    bare = canvas.grab().toImage()
    canvas.set_reach(Reach(color=40, tolerance=3, smoothing=10))
    for radius in (40, 10):
        x, y = round(middle[0] + radius * canvas.zoom), round(middle[1])
        rim = [canvas.grab().toImage().pixelColor(x + i, y).lightness() for i in range(-3, 4)]
        assert max(rim) > 200 and min(rim) < 110
    canvas.set_reach(None)
    assert canvas.grab().toImage() == bare


def test_circles_stand_in_the_middle_while_the_pointer_is_elsewhere(canvas: GuidedCanvas) -> None:
    canvas.set_overlay_hidden(True)
    QApplication.sendEvent(canvas, QEvent(QEvent.Type.Leave))
    canvas.set_reach(Reach(color=40, tolerance=3, smoothing=10))
    x, y = canvas.viewport.to_view(150 + 40, 100)
    picture = canvas.grab().toImage()
    assert max(picture.pixelColor(round(x) + i, round(y)).lightness() for i in range(-3, 4)) > 200


def test_the_tint_falls_with_colour_and_distance_and_ends_at_the_circle() -> None:
    rgb = np.full((101, 101, 3), 100, np.uint8)
    rgb[:, 60:] = 106
    weights, area = influence(rgb, 50, 50, Reach(color=20, tolerance=3, smoothing=1))
    assert (area.top, area.left, area.height, area.width) == (30, 30, 41, 41)
    assert weights[20, 20] == 255
    assert weights[20, 0] == pytest.approx(255 * np.exp(-0.5), abs=1)
    assert weights[20, 30] == pytest.approx(255 * np.exp(-3 * 36 / 18 - 100 / 800), abs=1)
    assert weights[0, 0] == 0


def test_a_large_reach_is_tinted_coarsely_and_within_the_image() -> None:
    rgb = np.zeros((900, 1500, 3), np.uint8)
    weights, area = influence(rgb, 10, 20, Reach(color=1000, tolerance=3, smoothing=1))
    assert max(weights.shape) <= 512
    assert (area.top, area.left) == (0, 0)
    assert area.width >= 1000
