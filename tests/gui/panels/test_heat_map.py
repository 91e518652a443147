"""The confusion heat map shows small confusions, tells every cell, and can be walked with the keys."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QColor, QHelpEvent, QMouseEvent
from PySide6.QtWidgets import QApplication, QToolTip

from segstudio.core.catalog import voc_color
from segstudio.gui import theme
from segstudio.gui.panels.heat_map import HeatMap
from segstudio.gui.panels.heat_scale import HeatLegend, Scale, cell_color, cell_text, ink_on, shades, share_text

COUNTS = np.array([[9000, 1000, 0], [1, 99_999, 0], [0, 0, 0]], np.int64)
TOTALS = (10_000, 100_000, 0)


def show(qtbot, counts, *, names=None, size=(520, 460)) -> HeatMap:
    widget = HeatMap()
    qtbot.addWidget(widget)
    count = len(counts)
    widget.set_matrix(
        np.asarray(counts),
        totals=np.asarray(counts).sum(axis=1),
        names=names or [f"class {i}" for i in range(count)],
        colors=[voc_color(i) for i in range(count)],
    )
    widget.resize(*size)
    widget.show()
    return widget


@pytest.fixture
def heat(qtbot) -> HeatMap:
    return show(qtbot, COUNTS, names=["sky", "road", "tram"])


def color_at(heat: HeatMap, row: int, column: int) -> QColor:
    """The colour of a cell beside its figure."""
    box = heat.rect_of(row, column)
    return heat.viewport().grab().toImage().pixelColor(box.left() + 4, box.top() + 4)


def walk(qtbot, heat: HeatMap, *keys: Qt.Key) -> None:
    for key in keys:
        qtbot.keyClick(heat, key)


# -- colours ---------------------------------------------------------------------------------------------------------


def test_shares_are_linear_on_the_diagonal_and_logarithmic_beside_it():
    places = shades(COUNTS, np.array(TOTALS), Scale.SHARES)
    assert places[0, 0] == pytest.approx(0.1 + 0.9 * 0.9)
    assert places[0, 1] == pytest.approx(0.1 + 0.9 * 0.75)
    assert places[1, 0] == pytest.approx(0.1)
    assert places[0, 2] == 0 and not places[2].any()


def test_pixels_are_logarithmic_everywhere():
    places = shades(COUNTS, np.array(TOTALS), Scale.PIXELS)
    assert places[1, 1] == pytest.approx(1.0)
    assert 0.1 < places[1, 0] < places[0, 1] < places[0, 0] < 1


def test_an_empty_matrix_has_no_shades():
    assert not shades(np.zeros((2, 2), np.int64), np.zeros(2, np.int64), Scale.PIXELS).any()


def test_a_single_mistaken_pixel_among_a_hundred_thousand_has_a_colour_of_its_own(heat):
    assert color_at(heat, 1, 0) == cell_color(0.1, found=False)
    assert color_at(heat, 1, 2) == theme.current().color("sunken")


@pytest.mark.parametrize("name", ["dark", "light"])
def test_cells_are_told_apart_in_both_themes_also_without_colour_vision(name):
    look = theme.load_theme(name)
    for kind in ("found", "wrong"):
        low, high = (look.colors[f"heat_{kind}_{end}"] for end in ("low", "high"))
        assert theme.contrast(low, high) >= 4.5
        assert theme.contrast(high, look.colors["sunken"]) >= theme.contrast(low, look.colors["sunken"]) + 3
    # Blue against orange: the pair that red-green blindness leaves apart.
    found, wrong = QColor(look.colors["heat_found_high"]), QColor(look.colors["heat_wrong_high"])
    assert found.blue() - wrong.blue() > 90


@pytest.mark.parametrize("found", [True, False])
def test_the_figure_in_a_cell_reads_on_every_shade(found):
    for place in np.linspace(0.1, 1, 19):
        color = cell_color(float(place), found=found)
        assert theme.contrast(color.name(), ink_on(color).name()) >= 4.5


# -- words -----------------------------------------------------------------------------------------------------------


def test_words_name_both_classes_pixels_and_share(heat):
    assert heat.words(0, 1) == "sky predicted as road: 1,000 pixels, 10.0 % of sky."
    assert heat.words(1, 0) == "road predicted as sky: 1 pixel, < 0.01 % of road."
    assert heat.words(1, 1) == "road found: 99,999 pixels, > 99.9 % of road."
    assert heat.words(2, 0) == "tram does not occur in the labels."


def test_shares_never_round_to_none_or_all():
    wanted = {0.0: "0 %", 1.0: "100 %", 0.00005: "< 0.01 %", 0.0123: "1.2 %", 0.0042: "0.42 %", 0.99999: "> 99.9 %"}
    assert {share: share_text(share) for share in wanted} == wanted
    assert [cell_text(c, 1000, Scale.SHARES) for c in (0, 1, 12, 300, 996, 1000)] == [
        "",
        "0.1",
        "1.2",
        "30",
        "99",
        "100",
    ]
    assert cell_text(12_345, 1, Scale.PIXELS) == "12 k"


def test_the_tooltip_of_a_cell_tells_it_and_that_of_a_name_the_whole_name(heat, monkeypatch):
    said = []
    monkeypatch.setattr(QToolTip, "showText", lambda _at, text, *_more: said.append(text))
    cell = heat.rect_of(0, 1)
    for place in (cell.center(), QPoint(4, cell.center().y()), QPoint(cell.center().x(), 24), QPoint(2, 2)):
        QApplication.sendEvent(heat.viewport(), QHelpEvent(QEvent.Type.ToolTip, place, place))
    assert said == [heat.words(0, 1), "sky", "road", ""]


def test_the_description_for_screen_readers_follows_the_keys(qtbot, heat):
    assert heat.accessibleName().startswith("Confusion matrix")
    walk(qtbot, heat, Qt.Key.Key_Right)
    assert heat.accessibleDescription() == heat.words(0, 1)


# -- keys and mouse --------------------------------------------------------------------------------------------------


def test_arrow_keys_walk_and_stop_at_the_edge(qtbot, heat):
    walk(qtbot, heat, Qt.Key.Key_Left, Qt.Key.Key_Up)
    assert heat.current == (0, 0)
    walk(qtbot, heat, Qt.Key.Key_Down, Qt.Key.Key_Right, Qt.Key.Key_Right, Qt.Key.Key_Right)
    assert heat.current == (1, 2)
    walk(qtbot, heat, Qt.Key.Key_Home)
    assert heat.current == (1, 0)
    qtbot.keyClick(heat, Qt.Key.Key_End, Qt.KeyboardModifier.ControlModifier)
    assert heat.current == (2, 2)


@pytest.mark.parametrize("key", [Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space])
def test_enter_and_space_choose_the_cell(qtbot, heat, key):
    walk(qtbot, heat, Qt.Key.Key_Right)
    with qtbot.waitSignal(heat.chosen) as told:
        qtbot.keyClick(heat, key)
    assert told.args == [0, 1] and heat.chosen_cell == (0, 1)


def test_tab_leaves_the_map(qtbot, heat):
    event_left = heat.focusPolicy() & Qt.FocusPolicy.TabFocus
    walk(qtbot, heat, Qt.Key.Key_Tab)
    assert event_left and heat.current == (0, 0)


def test_a_click_chooses_and_a_click_on_a_name_does_not(qtbot, heat):
    qtbot.mouseClick(heat.viewport(), Qt.MouseButton.LeftButton, pos=heat.rect_of(1, 0).center())
    assert heat.chosen_cell == (1, 0)
    qtbot.mouseClick(heat.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(4, heat.rect_of(0, 0).center().y()))
    assert heat.chosen_cell == (1, 0)


def test_the_pointer_tells_the_cell_under_it_and_leaving_tells_that_of_the_keys_again(heat):
    told: list[str] = []
    heat.said.connect(told.append)
    at = QPointF(heat.rect_of(1, 0).center())
    none = Qt.MouseButton.NoButton
    move = QMouseEvent(QEvent.Type.MouseMove, at, at, none, none, Qt.KeyboardModifier.NoModifier)
    QApplication.sendEvent(heat.viewport(), move)
    QApplication.sendEvent(heat.viewport(), QEvent(QEvent.Type.Leave))
    assert told == [heat.words(1, 0), heat.words(0, 0)]


def test_the_chosen_cell_stays_for_the_same_classes_and_goes_with_others(heat):
    heat.choose(1, 0)
    heat.set_matrix(COUNTS * 2, totals=TOTALS, names=["sky", "road", "tram"], colors=[(0, 0, 0)] * 3)
    assert heat.chosen_cell == (1, 0)
    heat.set_matrix(COUNTS, totals=TOTALS, names=["sky", "road", "bus"], colors=[(0, 0, 0)] * 3)
    assert heat.chosen_cell is None and heat.current == (0, 0)


# -- sizes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 12, 20])
def test_few_classes_fill_the_room_without_scrolling(qtbot, count):
    heat = show(qtbot, np.eye(count, dtype=np.int64), size=(620, 560))
    assert heat.horizontalScrollBar().maximum() == heat.verticalScrollBar().maximum() == 0
    last = heat.rect_of(count - 1, count - 1)
    assert heat.viewport().rect().contains(last) and heat.cell_px >= 20


def test_names_give_way_to_cells_where_there_is_little_height(qtbot):
    heat = show(qtbot, np.eye(2, dtype=np.int64), size=(480, 140), names=("background", "a long name of a class"))
    assert heat.cell_px >= 30


@pytest.mark.parametrize("count", [60, 255])
def test_many_classes_scroll_and_the_last_cell_is_reached_by_key(qtbot, count):
    heat = show(qtbot, np.eye(count, dtype=np.int64), size=(420, 360))
    assert heat.cell_px == 12 and heat.verticalScrollBar().maximum() > 0
    qtbot.keyClick(heat, Qt.Key.Key_End, Qt.KeyboardModifier.ControlModifier)
    box = heat.rect_of(count - 1, count - 1)
    assert heat.viewport().rect().contains(box)
    assert heat.cell_at(box.center()) == (count - 1, count - 1)
    assert color_at(heat, count - 1, count - 1) == cell_color(1.0, found=True)


def test_every_cell_is_found_where_it_is_drawn(heat):
    for row, column in itertools.product(range(3), repeat=2):
        assert heat.cell_at(heat.rect_of(row, column).center()) == (row, column)


def test_long_names_leave_half_of_the_width_to_the_cells(qtbot):
    heat = show(qtbot, np.eye(3, dtype=np.int64), names=["x" * 200, "y" * 90, "z"], size=(320, 300))
    assert heat.rect_of(0, 0).left() <= 160 and heat.rect_of(0, 0).top() <= 150


def test_without_a_matrix_it_draws_nothing_and_ignores_keys(qtbot):
    heat = HeatMap()
    qtbot.addWidget(heat)
    heat.show()
    walk(qtbot, heat, Qt.Key.Key_Right, Qt.Key.Key_Return)
    assert heat.current is None and heat.cell_at(QPoint(50, 50)) is None and not heat.grab().isNull()


def test_the_legend_follows_the_scale(qtbot):
    legend = HeatLegend()
    qtbot.addWidget(legend)
    legend.show()
    assert legend.accessibleDescription() == "Found: from 0 to 100 %; Mistaken: from 0.01 to 100 %"
    legend.set_scale(Scale.PIXELS, 40_000)
    assert legend.accessibleDescription() == "Found: from 1 to 40 k; Mistaken: from 1 to 40 k"
    assert not legend.grab().isNull()
