"""The refinement panel passes its numbers on, says what is missing, and shows what a refinement did."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PySide6.QtCore import QEvent, QPointF, Qt
from PySide6.QtGui import QEnterEvent
from PySide6.QtWidgets import QApplication

from segstudio.core.catalog import Catalog
from segstudio.core.events import Change
from segstudio.core.jobs import JobState
from segstudio.core.prediction import Refinement
from segstudio.gui.canvas.reach import Reach
from segstudio.gui.panels.refine import RefinePanel
from segstudio.gui.panels.refine_fields import FIELDS
from segstudio.refine.params import CrfParams
from segstudio.services.jobboard import JobRecord


@pytest.fixture
def panel(qtbot, workspace, fakes):
    workspace.current.prediction = fakes.prediction()
    widget = RefinePanel()
    qtbot.addWidget(widget)
    widget.set_workspace(workspace)
    widget.show()
    return widget


def refine(workspace, fakes, *, live=(0, 1), uniform=0):
    before = fakes.prediction()
    result = Refinement(before=before, live=live, uniform=uniform)
    workspace.current.prediction = replace(before, refined=True, refinement=result)
    workspace.emit(Change.PROPOSAL)


def point_at(widget, *, inside):
    spot = QPointF(2, 2)
    QApplication.sendEvent(widget, QEnterEvent(spot, spot, spot) if inside else QEvent(QEvent.Type.Leave))


def test_refine_passes_the_numbers_shown(qtbot, panel, workspace):
    panel.fields["bilateral_xy"].setValue(40)
    panel.fields["temperature"].setValue(1.25)
    qtbot.mouseClick(panel.refine_button, Qt.MouseButton.LeftButton)
    wanted = CrfParams(bilateral_xy=40, temperature=1.25)
    assert workspace.calls == [("refine_current", wanted, "native", False, False)]


def test_the_exact_mode_is_asked_for_by_its_box(qtbot, panel, workspace):
    panel.exact_box.click()
    panel.refine()
    assert workspace.calls[0][3] is True


def test_a_preset_fills_every_number(panel):
    panel.preset.setCurrentIndex(1)
    panel.preset.activated.emit(1)
    assert panel.params() == CrfParams(5, 50, 10, 3, 3)
    assert "ICLR 2015" in panel.source.text()


@pytest.mark.parametrize(("name", "other", "own"), [("iterations", 3, 10), ("temperature", 2, 1)])
def test_changed_numbers_are_called_ones_own_until_they_match_a_preset(panel, name, other, own):
    panel.fields[name].setValue(other)
    assert panel.preset.currentIndex() == -1
    panel.fields[name].setValue(own)
    assert panel.preset.currentData() == "v2"


def test_numbers_show_no_decimals_they_do_not_need(panel):
    assert panel.fields["bilateral_weight"].text() == "4"
    panel.fields["bilateral_weight"].setValue(4.25)
    assert panel.fields["bilateral_weight"].text().replace(",", ".") == "4.25"


def test_every_number_is_explained(panel):
    # What strokes weigh matters where there are strokes, which is not here.
    assert set(panel.fields) == {field.name for field in FIELDS} == set(CrfParams().to_json()) - {"seed_weight"}
    widgets = [*panel.fields.values(), panel.exact_box, panel.reach_box, panel.result.slider]
    assert all(len(widget.toolTip()) > 40 and widget.accessibleName() for widget in widgets)


def test_without_an_engine_the_sentence_takes_the_buttons_place(panel, workspace):
    workspace.refining.reasons = {"native": "numba is not installed. Add it."}
    workspace.emit(Change.SETTINGS)
    assert not panel.body.isVisible() and not panel.refine_button.isVisible()
    assert panel.missing.isVisible() and "Add it" in panel.missing.text()
    panel.refine()
    assert workspace.calls == []


def test_without_a_proposal_it_says_so(panel, workspace):
    workspace.current.prediction = None
    workspace.emit(Change.PROPOSAL)
    assert not panel.refine_button.isEnabled() and "press R" in panel.state.text()


def test_busy_shows_progress_and_cancels(qtbot, panel, workspace):
    workspace.refining.busy = True
    workspace.jobs.records = [JobRecord(1, "Sharpening a.png", JobState.RUNNING, 0.3, "Iteration 3 of 10", True)]
    workspace.emit(Change.JOBS)
    assert panel.progress.value() == 300 and panel.state.text() == "Iteration 3 of 10"
    assert not panel.refine_button.isEnabled()
    qtbot.mouseClick(panel.cancel_button, Qt.MouseButton.LeftButton)
    assert workspace.calls == [("cancel_refining",)]


def test_a_choice_of_engines_shows_only_where_there_is_one(panel, workspace):
    assert not panel.backend.isVisible()
    workspace.refining.reasons = {"native": None, "torch": "torch is not installed.", "pydensecrf": None}
    workspace.emit(Change.SETTINGS)
    assert panel.backend.isVisible() and panel.engine == "native"
    assert [panel.backend.itemText(i) for i in range(panel.backend.count())] == ["This program's own", "pydensecrf"]
    panel.backend.setCurrentIndex(1)
    panel.refine()
    assert workspace.calls[0][2] == "pydensecrf"


# -- how far the kernels reach


def test_pointing_at_a_width_or_its_name_shows_the_reach_while_it_lasts(panel):
    shown = []
    panel.reach_changed.connect(shown.append)
    title = panel.numbers.grid.itemAtPosition(1, 0).widget()
    for widget in (panel.fields["spatial_xy"], title):
        point_at(widget, inside=True)
        assert shown.pop() == Reach(color=67, tolerance=3, smoothing=1)
        point_at(widget, inside=False)
        assert shown.pop() is None
    point_at(panel.fields["iterations"], inside=True)
    assert shown == []


def test_the_reach_stays_while_it_is_wanted_and_follows_the_numbers(panel):
    shown = []
    panel.reach_changed.connect(shown.append)
    panel.reach_box.click()
    point_at(panel.fields["bilateral_xy"], inside=True)
    panel.fields["bilateral_xy"].setValue(20)
    point_at(panel.fields["bilateral_xy"], inside=False)
    assert shown[-1] == Reach(color=20, tolerance=3, smoothing=1)
    panel.reach_box.click()
    assert shown[-1] is None


def test_the_focus_in_a_width_shows_the_reach(qtbot, panel):
    with qtbot.waitActive(panel):
        panel.activateWindow()
    panel.fields["iterations"].setFocus()
    with qtbot.waitSignal(panel.reach_changed, check_params_cb=lambda reach: reach is not None):
        panel.fields["bilateral_rgb"].setFocus()
    with qtbot.waitSignal(panel.reach_changed, check_params_cb=lambda reach: reach is None):
        panel.fields["iterations"].setFocus()


# -- what a refinement did


def test_after_a_refinement_the_classes_in_play_are_named(panel, workspace, fakes):
    assert not panel.result.isVisible()
    refine(workspace, fakes, live=(1,))
    assert panel.result.isVisible()
    assert panel.result.headline.text() == "1 of 2 classes in play"
    assert panel.result.chips.accessibleDescription() == "nucleus"
    assert not panel.result.undecided.isVisible()


def test_pixels_that_were_no_numbers_are_counted(panel, workspace, fakes):
    refine(workspace, fakes, uniform=12)
    assert panel.result.undecided.text() == "12 pixels of the prediction were no numbers and count as undecided."
    refine(workspace, fakes, uniform=1)
    assert panel.result.undecided.text() == "1 pixel of the prediction was no number and counts as undecided."


def test_a_refined_proposal_from_disk_is_called_refined_though_nothing_is_known_of_it(panel, workspace, fakes):
    workspace.current.prediction = fakes.prediction(refined=True)
    workspace.emit(Change.PROPOSAL)
    assert not panel.result.isVisible() and panel.state.text() == "The proposal shown is refined."


def test_many_classes_end_in_how_many_more_there_are(qtbot, panel, workspace, fakes):
    workspace.catalog = Catalog.from_names([f"kind of thing {n}" for n in range(30)])
    panel.resize(280, 900)
    refine(workspace, fakes, live=tuple(range(30)))
    chips = panel.result.chips
    qtbot.waitUntil(lambda: chips.width() > 100)
    assert 15 < chips.hidden_count < 30
    assert chips.heightForWidth(chips.width()) <= 80
    assert chips.grab().height() == chips.height()


def test_the_slider_moves_the_line_and_follows_it(panel, workspace, fakes):
    refine(workspace, fakes)
    chosen = []
    panel.split_chosen.connect(chosen.append)
    panel.result.slider.setValue(250)
    panel.set_split(0.5)
    assert chosen == [0.25] and panel.result.slider.value() == 500


def test_a_refinement_can_be_taken_back(qtbot, panel, workspace, fakes):
    refine(workspace, fakes)
    qtbot.mouseClick(panel.result.take_back_button, Qt.MouseButton.LeftButton)
    assert workspace.calls == [("take_back",)]


# -- whether it gains anything


def found(workspace, result):
    workspace.tuning.result = result
    workspace.emit(Change.SETTINGS)


def test_tuning_starts_from_the_numbers_shown_and_says_why_it_cannot(qtbot, panel, workspace):
    panel.fields["iterations"].setValue(7)
    workspace.tuning.refuse = "No image is reviewed yet."
    qtbot.mouseClick(panel.tuning.tune_button, Qt.MouseButton.LeftButton)
    assert workspace.calls == [("start_tuning", CrfParams(iterations=7))]
    assert panel.error.isVisible() and "reviewed" in panel.error.text()


def test_a_tuning_shows_how_far_it_is_and_can_be_stopped(qtbot, panel, workspace):
    workspace.tuning.busy = True
    workspace.jobs.records = [JobRecord(1, "Tuning the CRF", JobState.RUNNING, 0.5, "Coarse search", True)]
    workspace.emit(Change.JOBS)
    assert not panel.tuning.tune_button.isVisible() and not panel.tuning.card.isVisible()
    assert panel.tuning.progress.value() == 500 and panel.tuning.state.text() == "Coarse search"
    qtbot.mouseClick(panel.tuning.cancel_button, Qt.MouseButton.LeftButton)
    assert workspace.calls == [("cancel_tuning",)]


def test_a_tuning_shows_its_three_figures_and_its_numbers(qtbot, panel, workspace, fakes):
    result = fakes.tuned(0.7, 0.72, 0.75)
    found(workspace, result)
    assert [figure.text() for figure in panel.tuning.figures.values()] == ["0.700", "0.720", "0.750"]
    assert panel.preset.currentText() == "Tuned to my labels"
    assert panel.params() == result.params
    assert not panel.loss.isVisible() and panel.refine_button.text() == "Refine"
    qtbot.mouseClick(panel.tuning.tune_button, Qt.MouseButton.LeftButton)
    assert workspace.calls == [("start_tuning", result.preset)]


def test_where_the_preset_does_better_than_the_search_it_is_chosen(panel, workspace, fakes):
    found(workspace, fakes.tuned(0.7, 0.76, 0.75))
    assert panel.preset.currentData() == "v2"
    assert panel.preset.findText("Tuned to my labels") == 0


def test_where_it_loses_the_panel_says_so_and_the_button_refines_anyway(qtbot, panel, workspace, fakes):
    found(workspace, fakes.tuned(0.7, 0.6, 0.65))
    assert panel.loss.isVisible() and "does not help this model" in panel.loss.text()
    assert panel.refine_button.text() == "Refine anyway"
    qtbot.mouseClick(panel.refine_button, Qt.MouseButton.LeftButton)
    assert workspace.calls[0][0] == "refine_current" and workspace.calls[0][4] is True


def test_numbers_that_lose_are_told_from_those_that_gain(panel, workspace, fakes):
    found(workspace, fakes.tuned(0.7, 0.6, 0.75))
    assert not panel.loss.isVisible()
    panel.preset.setCurrentIndex(panel.preset.findData("v2"))
    panel.preset.activated.emit(panel.preset.currentIndex())
    assert panel.loss.isVisible() and "with these values" in panel.loss.text()


def test_a_model_nobody_tuned_for_goes_back_to_the_preset(panel, workspace, fakes):
    found(workspace, fakes.tuned(0.7, 0.72, 0.75))
    workspace.tuning.result = None
    workspace.emit(Change.MODELS)
    assert panel.preset.currentData() == "v2" and panel.preset.findText("Tuned to my labels") == -1
    assert not panel.tuning.card.isVisible()
