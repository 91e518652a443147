"""The refinement panel passes its numbers on and says what is missing."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt

from segstudio.core.events import Change
from segstudio.core.jobs import JobState
from segstudio.gui.panels.refine import FIELDS, RefinePanel
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


def test_refine_passes_the_numbers_shown(qtbot, panel, workspace):
    panel.fields["bilateral_xy"].setValue(40)
    qtbot.mouseClick(panel.refine_button, Qt.MouseButton.LeftButton)
    assert workspace.calls == [("refine_current", CrfParams(bilateral_xy=40), "pydensecrf")]


def test_a_preset_fills_every_number(panel):
    panel.preset.setCurrentIndex(1)
    panel.preset.activated.emit(1)
    assert panel.params() == CrfParams(5, 50, 10, 3, 3)
    assert "ICLR 2015" in panel.source.text()


def test_changed_numbers_are_called_ones_own_until_they_match_a_preset(panel):
    panel.fields["iterations"].setValue(3)
    assert panel.preset.currentIndex() == -1
    panel.fields["iterations"].setValue(10)
    assert panel.preset.currentData() == "v2"


def test_every_number_is_explained(panel):
    assert set(panel.fields) == {field.name for field in FIELDS} == set(CrfParams().to_json())
    assert all(len(spin.toolTip()) > 40 and spin.accessibleName() for spin in panel.fields.values())


def test_without_an_engine_the_sentence_takes_the_buttons_place(panel, workspace):
    workspace.refining.reasons = {"pydensecrf": "pydensecrf is not installed. Add it with the extra pydensecrf."}
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
    workspace.refining.reasons = {"pydensecrf": None, "native": None}
    workspace.emit(Change.SETTINGS)
    assert panel.backend.isVisible()
    panel.backend.setCurrentIndex(1)
    panel.refine()
    assert workspace.calls[0][2] == "native"
