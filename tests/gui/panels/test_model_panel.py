"""The model panel calls the services and shows their state."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PySide6.QtCore import Qt

from segstudio.core.events import Change
from segstudio.core.jobs import JobState
from segstudio.gui.panels.model import ModelPanel
from segstudio.gui.shortcuts import load_specs
from segstudio.services.jobboard import JobRecord


@pytest.fixture
def panel(qtbot, workspace):
    widget = ModelPanel()
    qtbot.addWidget(widget)
    widget.set_workspace(workspace)
    widget.show()
    return widget


def choose(panel, card_id):
    index = panel.network.findData(card_id)
    panel.network.setCurrentIndex(index)
    panel.network.activated.emit(index)


def click(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_buttons_ask_for_proposals(qtbot, panel, workspace):
    click(qtbot, panel.propose_button)
    click(qtbot, panel.all_button)
    assert workspace.calls == [("predict_current",), ("predict_all",)]


def test_choosing_a_network_puts_it_to_use_once(panel, workspace):
    choose(panel, "fcn8s")
    choose(panel, "fcn8s")
    assert workspace.calls == [("use", "fcn8s")]


def test_networks_stand_under_headings_that_cannot_be_chosen(panel):
    items = [panel.network.model().item(row) for row in range(panel.network.count())]
    assert [item.text() for item in items if not item.isEnabled()] == ["Your runs", "FCN"]
    assert [item.text() for item in items if item.isEnabled()] == [
        "U-Net small, run 3 · trained",
        "FCN-8s · untrained",
    ]


@pytest.mark.parametrize(("usable", "role"), [(True, "warning"), (False, "error")])
def test_what_does_not_fit_is_said_under_the_model_in_use(panel, workspace, usable, role):
    assert not panel.limit.isVisible()
    info = workspace.models.known[0]
    workspace.models.known[0] = replace(info, usable=usable, fits=False, limit="Needs about 9.0 GiB to train.")
    workspace.emit(Change.SETTINGS)
    assert panel.limit.text() == "Needs about 9.0 GiB to train." and panel.limit.property("role") == role


def test_a_download_is_shown_with_its_name_and_share(panel, workspace):
    workspace.predicting.busy = True
    workspace.jobs.records = [JobRecord(1, "Proposing for a.png", JobState.RUNNING, 0.43, "Downloading FCN-8s", True)]
    workspace.emit(Change.JOBS)
    assert panel.doing.isVisible() and panel.doing.toolTip() == "Downloading FCN-8s 43 %"


def test_a_refused_network_shows_one_sentence_and_the_old_choice(panel, workspace):
    workspace.models.refuse = "The weights of FCN-8s are missing."
    choose(panel, "fcn8s")
    assert panel.error.text() == "The weights of FCN-8s are missing." and panel.error.isVisible()
    assert panel.network.currentData() == "run-3"


def test_choosing_a_device_asks_the_service(panel, workspace):
    index = panel.device.findData("cpu")
    panel.device.setCurrentIndex(index)
    panel.device.activated.emit(index)
    assert workspace.calls == [("set_device", "cpu")]


def test_a_device_named_elsewhere_is_shown(panel, workspace):
    workspace.predicting.device = "cuda:1"
    workspace.emit(Change.SETTINGS)
    assert panel.device.currentText() == "cuda:1"


def test_the_toggle_switches_automatic_proposals(qtbot, panel, workspace):
    panel.auto.click()
    assert workspace.calls == [("set_auto", False)]


def test_busy_shows_progress_and_cancel_and_blocks_another_proposal(qtbot, panel, workspace):
    workspace.predicting.busy = True
    workspace.jobs.records = [JobRecord(1, "Proposing for 12 images", JobState.RUNNING, 0.4, "5 of 12", True)]
    workspace.emit(Change.JOBS)
    assert panel.progress.isVisible() and panel.progress.value() == 400
    assert panel.progress.toolTip() == "5 of 12" and panel.doing.toolTip() == "5 of 12 40 %"
    assert not panel.propose_button.isEnabled()
    panel.propose()
    click(qtbot, panel.cancel_button)
    assert workspace.calls == [("cancel_predicting",)]


def test_nothing_below_moves_while_a_proposal_is_made(qtbot, panel, workspace):
    def heights():
        qtbot.wait(20)
        return panel.column.minimumSize().height(), panel.auto.y()

    before = heights()
    workspace.predicting.busy = True
    workspace.emit(Change.JOBS)
    assert panel.cancel_button.isVisible() and not panel.all_button.isVisible()
    assert heights() == before


def test_the_tooltip_holds_the_whole_name_and_description_of_the_model(panel, workspace):
    card = workspace.models.active_info.card
    assert card.title in panel.network.toolTip() and card.description in panel.network.toolTip()


def test_the_buttons_name_the_keys_of_the_table(panel):
    keys = {spec.id: spec.keys for spec in load_specs()}
    assert panel.propose_button.key in keys["predict"]
    assert panel.all_button.key in keys["predict_all"] and panel.all_button.key in panel.all_button.toolTip()


def test_the_line_says_whether_the_model_has_learnt(panel, workspace):
    assert panel.learnt.text() == "Trained on your classes, mean IoU 0.81."
    assert panel.network.currentText().endswith("· trained")
    workspace.models.active = workspace.models.known[1].card
    workspace.emit(Change.MODELS)
    assert "random" in panel.learnt.text() and panel.learnt.property("role") == "warning"


def test_going_back_needs_a_previous_model(qtbot, panel, workspace):
    assert not panel.back_button.isEnabled()
    workspace.models.previous = workspace.models.known[1].card
    workspace.emit(Change.MODELS)
    click(qtbot, panel.back_button)
    assert workspace.calls == [("go_back",)]


def test_without_a_project_it_is_disabled_and_follows_nothing(panel, workspace):
    panel.set_workspace(None)
    workspace.predicting.busy = True
    workspace.emit(Change.JOBS)
    assert not panel.isEnabled() and panel.network.count() == 0


def test_without_an_image_there_is_nothing_to_propose_for(panel, workspace):
    workspace.current = None
    workspace.emit(Change.CURRENT)
    panel.propose()
    assert not panel.propose_button.isEnabled() and workspace.calls == []


def test_the_models_are_read_again_when_a_run_ends_and_not_at_its_steps(panel, workspace, monkeypatch):
    reads = []
    known = workspace.models.known
    monkeypatch.setattr(workspace.models, "cards", lambda: reads.append(1) or known)
    view = workspace.finetuning.state
    for state, expected in ((JobState.RUNNING, 1), (JobState.RUNNING, 1), (JobState.DONE, 2)):
        view.run_id, view.state = 4, state
        workspace.emit(Change.RUNS)
        assert len(reads) == expected


def test_changes_of_pixels_do_not_refresh_the_panel(panel, workspace):
    workspace.predicting.busy = True
    workspace.emit(Change.PIXELS)
    assert not panel.progress.isVisible()
