"""The canvas as a person meets it: what it draws, what mouse and keys do, and how little it repaints."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest
from PySide6.QtCore import QEvent, QObject, QPoint, QPointF, Qt
from PySide6.QtGui import QColor, QImage, QKeyEvent, QMouseEvent, QPaintEvent, QRegion, QWheelEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from segstudio.core.catalog import Catalog
from segstudio.core.events import Change, ChangeSet
from segstudio.core.prediction import Prediction
from segstudio.core.rasterize import disc_mask
from segstudio.gui.canvas.widget import CanvasWidget
from segstudio.gui.tools.registry import create_tools
from segstudio.services.annotating import Annotator

if TYPE_CHECKING:
    from conftest import CatalogBox, MakeAnnotator

NO_KEY = Qt.KeyboardModifier.NoModifier
NO_BUTTON = Qt.MouseButton.NoButton
LEFT, MIDDLE = Qt.MouseButton.LeftButton, Qt.MouseButton.MiddleButton


@pytest.fixture
def canvas(qtbot: QtBot) -> CanvasWidget:
    widget = CanvasWidget()
    qtbot.addWidget(widget)
    widget.resize(800, 600)
    widget.show()
    widget.setFocus()
    return widget


def mouse(canvas: CanvasWidget, kind: QEvent.Type, at: tuple[float, float], button: Qt.MouseButton) -> None:
    position = QPointF(*at)
    down = NO_BUTTON if kind == QEvent.Type.MouseButtonRelease else button
    own = NO_BUTTON if kind == QEvent.Type.MouseMove else button
    QApplication.sendEvent(canvas, QMouseEvent(kind, position, position, own, down, NO_KEY))


def drag(canvas: CanvasWidget, start: tuple[float, float], end: tuple[float, float], button: Qt.MouseButton) -> None:
    mouse(canvas, QEvent.Type.MouseButtonPress, start, button)
    mouse(canvas, QEvent.Type.MouseMove, end, button)
    mouse(canvas, QEvent.Type.MouseButtonRelease, end, button)


def wheel(canvas: CanvasWidget, at: tuple[float, float], notches: float, keys: Qt.KeyboardModifier = NO_KEY) -> None:
    position = QPointF(*at)
    event = QWheelEvent(
        position, position, QPoint(), QPoint(0, round(120 * notches)), NO_BUTTON, keys,
        Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(canvas, event)


def key(canvas: CanvasWidget, kind: QEvent.Type, code: Qt.Key) -> bool:
    return QApplication.sendEvent(canvas, QKeyEvent(kind, code, NO_KEY))


def look(canvas: CanvasWidget) -> QImage:
    return canvas.grab().toImage()


def color_at(canvas: CanvasWidget, x: float, y: float) -> QColor:
    at = canvas.viewport.to_view(x, y)
    return look(canvas).pixelColor(int(at[0]), int(at[1]))


def decide(annotator: Annotator, center: tuple[float, float], radius: float, class_id: int) -> None:
    mask, rect = disc_mask(center, radius, annotator.map.shape)
    gesture = annotator.begin("Paint")
    gesture.paint(mask, rect.top, rect.left, class_id)
    gesture.commit()


def propose(annotator: Annotator, labels: npt.NDArray[np.uint8]) -> None:
    annotator.set_prediction(
        Prediction(labels=labels, confidence=labels, probabilities=None, class_ids=(0, 1, 2, 3), model_id="unet")
    )


class Painted(QObject):
    """Notes what each paint event of a widget covered."""

    def __init__(self) -> None:
        super().__init__()
        self.region = QRegion()

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:
        if isinstance(event, QPaintEvent):
            self.region = self.region.united(event.region())
        return False


def test_without_an_image_the_canvas_says_what_to_do(canvas: CanvasWidget) -> None:
    first = look(canvas)
    canvas.set_empty_text("No images yet", "Open a folder.")
    assert look(canvas) != first
    wheel(canvas, (100, 100), 1)
    drag(canvas, (100, 100), (200, 200), LEFT)
    assert canvas.document is None


def test_labels_are_drawn_over_the_image_at_the_chosen_opacity(
    canvas: CanvasWidget, make_annotator: MakeAnnotator
) -> None:
    annotator = make_annotator(300, 400)
    canvas.set_document(annotator)
    assert color_at(canvas, 200.5, 150.5) == QColor(128, 128, 128)
    decide(annotator, (200, 150), 40, 2)
    canvas.set_opacity(1.0)
    assert color_at(canvas, 200.5, 150.5) == QColor(*annotator.catalog[2].color)
    canvas.set_opacity(0.0)
    assert color_at(canvas, 200.5, 150.5) == QColor(128, 128, 128)


def test_undo_is_repainted(canvas: CanvasWidget, make_annotator: MakeAnnotator) -> None:
    annotator = make_annotator(300, 400)
    canvas.set_document(annotator)
    before = look(canvas)
    decide(annotator, (200, 150), 40, 2)
    assert look(canvas) != before
    annotator.undo()
    assert look(canvas) == before


def test_a_proposal_looks_unlike_the_same_class_decided(canvas: CanvasWidget, make_annotator: MakeAnnotator) -> None:
    annotator = make_annotator(300, 400)
    canvas.set_document(annotator)
    bare = look(canvas)
    propose(annotator, np.full((300, 400), 2, dtype=np.uint8))
    proposed = look(canvas)
    annotator.accept_all()
    assert len({bytes(bare.constBits()), bytes(proposed.constBits()), bytes(look(canvas).constBits())}) == 3
    annotator.undo()
    canvas.set_proposal_visible(False)
    assert look(canvas) == bare


def test_the_outline_mode_leaves_the_inside_of_regions_bare(
    canvas: CanvasWidget, make_annotator: MakeAnnotator
) -> None:
    annotator = make_annotator(300, 400)
    canvas.set_document(annotator)
    decide(annotator, (200, 150), 40, 1)
    canvas.set_outline(True)
    for zoom in (0.4, 0.8, 1.0, 1.5, 6.0):
        canvas.set_zoom(zoom)
        canvas.center_on(200, 150)
        assert color_at(canvas, 200.5, 150.5) == QColor(128, 128, 128)
        rim = [color_at(canvas, x / 4, 150.5) for x in range(640, 660)]
        assert any(c.red() > 200 and c.green() < 120 for c in rim), zoom


def test_a_hidden_class_is_not_drawn(
    canvas: CanvasWidget, make_annotator: MakeAnnotator, catalog_box: CatalogBox
) -> None:
    annotator = make_annotator(300, 400)
    canvas.set_document(annotator)
    bare = look(canvas)
    decide(annotator, (200, 150), 40, 2)
    catalog: Catalog = catalog_box.value
    catalog_box.value = catalog.with_class(replace(catalog[2], hidden=True))
    canvas.refresh_colors()
    assert look(canvas) == bare
    catalog_box.value = catalog
    annotator.changed.emit(ChangeSet(Change.CATALOG))
    assert look(canvas) != bare


def test_the_overlay_can_be_hidden_for_a_look_at_the_bare_image(
    canvas: CanvasWidget, make_annotator: MakeAnnotator
) -> None:
    annotator = make_annotator(300, 400)
    canvas.set_document(annotator)
    bare = look(canvas)
    decide(annotator, (200, 150), 40, 2)
    labelled = look(canvas)
    canvas.set_overlay_hidden(True)
    assert look(canvas) == bare
    canvas.set_overlay_hidden(False)
    assert look(canvas) == labelled


def test_panning_ends_when_the_focus_leaves_while_space_is_held(
    canvas: CanvasWidget, make_annotator: MakeAnnotator
) -> None:
    annotator = make_annotator(300, 400)
    canvas.set_document(annotator)
    canvas.set_tool(create_tools()["brush"])
    key(canvas, QEvent.Type.KeyPress, Qt.Key.Key_Space)
    canvas.clearFocus()
    drag(canvas, (400, 300), (410, 300), LEFT)
    assert annotator.map.decided.any()


@pytest.mark.parametrize("notches", [1, -1, 4])
def test_the_wheel_zooms_at_the_pointer(canvas: CanvasWidget, make_annotator: MakeAnnotator, notches: int) -> None:
    canvas.set_document(make_annotator(3000, 4000))
    canvas.actual_size()
    before = canvas.viewport.to_image(310, 222)
    zooms: list[float] = []
    canvas.zoom_changed.connect(zooms.append)
    wheel(canvas, (310, 222), notches)
    assert canvas.viewport.to_image(310, 222) == pytest.approx(before)
    assert zooms == [canvas.zoom]
    assert (canvas.zoom > 1.0) == (notches > 0)


def test_ctrl_and_wheel_change_the_brush_and_not_the_zoom(canvas: CanvasWidget, make_annotator: MakeAnnotator) -> None:
    canvas.set_document(make_annotator(300, 400))
    zoom, radius = canvas.zoom, canvas.brush_radius
    radii: list[float] = []
    canvas.brush_radius_changed.connect(radii.append)
    wheel(canvas, (310, 222), 1, Qt.KeyboardModifier.ControlModifier)
    assert canvas.zoom == zoom
    assert canvas.brush_radius > radius
    assert radii == [canvas.brush_radius]


def test_the_brush_grows_and_shrinks_within_its_limits(canvas: CanvasWidget) -> None:
    for _ in range(60):
        canvas.shrink_brush()
    assert canvas.brush_radius == 0.5
    canvas.grow_brush()
    assert canvas.brush_radius == 1.0
    for _ in range(80):
        canvas.grow_brush()
    assert canvas.brush_radius == 500


def test_the_middle_button_pans(canvas: CanvasWidget, make_annotator: MakeAnnotator) -> None:
    canvas.set_document(make_annotator(3000, 4000))
    canvas.actual_size()
    before = canvas.viewport.to_image(400, 300)
    drag(canvas, (400, 300), (450, 330), MIDDLE)
    assert canvas.viewport.to_image(450, 330) == pytest.approx(before)


def test_panning_in_the_middle_of_a_stroke_neither_ends_nor_loses_it(
    canvas: CanvasWidget, make_annotator: MakeAnnotator
) -> None:
    annotator = make_annotator(3000, 4000)
    canvas.set_document(annotator)
    canvas.set_tool(create_tools()["brush"])
    canvas.actual_size()
    ended: list[bool] = []
    canvas.gesture_finished.connect(lambda: ended.append(True))
    mouse(canvas, QEvent.Type.MouseButtonPress, (400, 300), LEFT)
    drag(canvas, (400, 300), (450, 330), MIDDLE)
    assert canvas.gesture_active
    mouse(canvas, QEvent.Type.MouseButtonRelease, (450, 330), LEFT)
    assert not canvas.gesture_active
    assert ended == [True]


def test_space_and_drag_pan_and_do_not_paint(canvas: CanvasWidget, make_annotator: MakeAnnotator) -> None:
    annotator = make_annotator(3000, 4000)
    canvas.set_document(annotator)
    canvas.set_tool(create_tools()["brush"])
    canvas.actual_size()
    before = canvas.viewport.to_image(400, 300)
    key(canvas, QEvent.Type.KeyPress, Qt.Key.Key_Space)
    drag(canvas, (400, 300), (450, 330), LEFT)
    key(canvas, QEvent.Type.KeyRelease, Qt.Key.Key_Space)
    assert canvas.viewport.to_image(450, 330) == pytest.approx(before)
    assert not annotator.map.decided.any()
    drag(canvas, (400, 300), (450, 330), LEFT)
    assert annotator.map.decided.any()


def test_the_pixel_under_the_cursor_is_reported(canvas: CanvasWidget, make_annotator: MakeAnnotator) -> None:
    canvas.set_document(make_annotator(300, 400))
    seen: list[tuple[int, int]] = []
    canvas.cursor_moved.connect(lambda x, y: seen.append((x, y)))
    mouse(canvas, QEvent.Type.MouseMove, canvas.viewport.to_view(12.5, 34.5), NO_BUTTON)
    mouse(canvas, QEvent.Type.MouseMove, canvas.viewport.to_view(12.6, 34.6), NO_BUTTON)
    mouse(canvas, QEvent.Type.MouseMove, (1, 1), NO_BUTTON)
    assert seen == [(12, 34), (-1, -1)]


@pytest.mark.parametrize("shade", [0, 255])
def test_the_brush_circle_shows_on_black_and_on_white(
    canvas: CanvasWidget, make_annotator: MakeAnnotator, shade: int
) -> None:
    annotator = make_annotator(300, 400)
    annotator.rgb[:] = shade
    canvas.set_document(annotator)
    canvas.set_tool(create_tools()["brush"])
    canvas.set_brush_radius(20)
    mouse(canvas, QEvent.Type.MouseMove, canvas.viewport.to_view(200.0, 150.0), NO_BUTTON)
    rim = [color_at(canvas, 180 + x / 4, 150.0).lightness() for x in range(-8, 9)]
    assert max(abs(value - shade) for value in rim) > 100


def test_a_stroke_on_a_large_image_recolours_and_repaints_only_where_it_runs(
    canvas: CanvasWidget, make_annotator: MakeAnnotator, qtbot: QtBot
) -> None:
    annotator = make_annotator(4096, 4096)
    canvas.set_document(annotator)
    canvas.set_tool(create_tools()["brush"])
    canvas.set_active_class(1)
    canvas.set_brush_radius(50)
    canvas.actual_size()
    canvas.center_on(2000, 2000)
    look(canvas)
    # Where the pointer rests before the press is not part of the stroke.
    mouse(canvas, QEvent.Type.MouseMove, (300, 300), NO_BUTTON)
    QApplication.processEvents()
    tiles = canvas.recoloured_tiles()
    painted = Painted()
    canvas.installEventFilter(painted)
    mouse(canvas, QEvent.Type.MouseButtonPress, (300, 300), LEFT)
    mouse(canvas, QEvent.Type.MouseMove, (320, 310), LEFT)
    qtbot.waitUntil(lambda: not painted.region.isEmpty())
    mouse(canvas, QEvent.Type.MouseButtonRelease, (320, 310), LEFT)
    QApplication.processEvents()
    assert canvas.recoloured_tiles() - tiles <= 8
    bounds = painted.region.boundingRect()
    assert bounds.width() <= 140
    assert bounds.height() <= 130
    assert annotator.map.decided.sum() > 7000


def test_fit_of_a_large_image_draws_few_tiles_of_a_small_level(
    canvas: CanvasWidget, make_annotator: MakeAnnotator
) -> None:
    canvas.set_document(make_annotator(4096, 4096))
    look(canvas)
    assert canvas.viewport.level >= 2
    assert canvas.recoloured_tiles() <= 16


def test_another_document_is_fitted_and_the_old_one_is_let_go(
    canvas: CanvasWidget, make_annotator: MakeAnnotator
) -> None:
    first, second = make_annotator(300, 400), make_annotator(50, 60)
    canvas.set_document(first)
    canvas.set_zoom(5.0)
    canvas.set_document(second)
    assert canvas.viewport.fitted
    shown = look(canvas)
    decide(first, (20, 20), 10, 1)
    assert canvas.recoloured_tiles() == 1
    assert look(canvas) == shown


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (257, 255)])
def test_images_of_odd_sizes_are_drawn(
    canvas: CanvasWidget, make_annotator: MakeAnnotator, size: tuple[int, int]
) -> None:
    annotator = make_annotator(*size)
    canvas.set_document(annotator)
    propose(annotator, np.ones(size, dtype=np.uint8))
    for outline in (False, True):
        canvas.set_outline(outline)
        for zoom in (canvas.viewport.min_zoom(), 1.0, 5.0):
            canvas.set_zoom(zoom)
            assert not look(canvas).isNull()


def test_the_canvas_takes_its_held_keys_from_the_actions_of_the_window(
    canvas: CanvasWidget, make_annotator: MakeAnnotator
) -> None:
    canvas.set_document(make_annotator(300, 400))
    canvas.set_tool(create_tools()["polygon"])

    def claims(code: Qt.Key) -> bool:
        event = QKeyEvent(QEvent.Type.ShortcutOverride, code, NO_KEY)
        event.ignore()
        QApplication.sendEvent(canvas, event)
        return event.isAccepted()

    assert claims(Qt.Key.Key_Space)
    assert not claims(Qt.Key.Key_Return)
    assert not claims(Qt.Key.Key_H)
    drag(canvas, (400, 300), (400, 300), LEFT)
    assert claims(Qt.Key.Key_Return)
    assert claims(Qt.Key.Key_Escape)


def test_a_brush_that_rests_while_the_window_grows_leaves_no_trace_when_it_goes(
    canvas: CanvasWidget, make_annotator: MakeAnnotator
) -> None:
    canvas.set_document(make_annotator(60, 80))
    canvas.set_tool(create_tools()["brush"])
    mouse(canvas, QEvent.Type.MouseMove, (400, 300), NO_BUTTON)
    canvas.resize(1200, 900)
    assert canvas.tool is not None
    assert canvas._preview == canvas.tool.preview_bounds(canvas._pointer, canvas.context)
