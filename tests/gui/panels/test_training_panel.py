"""The training panel starts and stops runs and tells what came of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import Qt

from segstudio.core.events import Change
from segstudio.core.jobs import JobState
from segstudio.core.runs import RunResult
from segstudio.gui.panels.training import TrainingPanel, result_text, run_text
from segstudio.training.config import RECIPES

ACCEPTED = RunResult(
    best_miou=0.83, parent_miou=0.71, accepted=True, reason="It beats the old model.", steps=10, seconds=5.0,
    card=Path("/cards/run-3.toml"), stopped=False,
)  # fmt: skip
REFUSED = replace(
    ACCEPTED, best_miou=0.69, accepted=False, reason="The old model is better.", card=Path("/cards/run-4.toml")
)


@pytest.fixture
def panel(qtbot, workspace):
    widget = TrainingPanel()
    qtbot.addWidget(widget)
    widget.set_workspace(workspace)
    widget.show()
    return widget


def run_ends(workspace, result):
    view = workspace.finetuning.state
    view.run_id, view.state, view.result = 4, JobState.DONE, result
    view.losses, view.validations = [(1, 1.0), (2, 0.5)], [(2, 0.8)]
    workspace.emit(Change.RUNS)


@pytest.mark.parametrize(("index", "minutes"), [(0, 1.0), (1, 5.0), (2, 20.0), (3, None)])
def test_train_starts_a_run_of_the_time_chosen(qtbot, panel, workspace, index, minutes):
    panel.time.setCurrentIndex(index)
    qtbot.mouseClick(panel.train_button, Qt.MouseButton.LeftButton)
    assert workspace.calls == [("start", minutes, "few-images")]


def test_the_recipe_chosen_says_what_it_does_and_is_what_is_started(qtbot, panel, workspace):
    before = panel.recipe_does.text()
    panel.recipes.setCurrentIndex(panel.recipes.findData("published"))
    assert "paper" in panel.recipe_does.text() != before
    qtbot.mouseClick(panel.train_button, Qt.MouseButton.LeftButton)
    assert workspace.calls == [("start", 5.0, "published")]


def test_every_recipe_of_the_trainer_can_be_chosen(panel):
    assert tuple(panel.recipes.itemData(i) for i in range(panel.recipes.count())) == RECIPES


@pytest.mark.parametrize(("usable", "role"), [(True, "warning"), (False, "error")])
def test_what_does_not_fit_is_said_before_training_starts(panel, workspace, usable, role):
    info = workspace.models.known[0]
    workspace.models.known[0] = replace(info, usable=usable, fits=False, limit="Needs about 9.0 GiB to train.")
    workspace.emit(Change.SETTINGS)
    assert panel.limit.text() == "Needs about 9.0 GiB to train." and panel.limit.property("role") == role
    assert panel.train_button.isEnabled() is usable
    workspace.finetuning.state.state = JobState.RUNNING
    workspace.emit(Change.RUNS)
    assert not panel.limit.isVisible() and panel.train_button.isEnabled() and not panel.recipes.isEnabled()


def test_not_ready_says_why_and_disables_the_button(panel, workspace):
    workspace.finetuning.ready = replace(workspace.finetuning.ready, ready=False, reason="Label some pixels first.")
    workspace.emit(Change.STATUS)
    assert panel.readiness.text() == "Label some pixels first." and not panel.train_button.isEnabled()


def test_a_running_run_shows_itself_and_stops(qtbot, panel, workspace):
    view = workspace.finetuning.state
    view.state, view.text, view.minutes, view.step, view.seconds = JobState.RUNNING, "Step 9, loss 0.5", 1.0, 9, 30.0
    view.losses = [(1, 1.0), (9, 0.5)]
    workspace.emit(Change.RUNS)
    assert panel.train_button.text() == "Stop" and panel.progress.value() == 500
    assert panel.train_button.key == "Shift+T" and "Shift+T" in panel.train_button.toolTip()
    assert "Step 9" in panel.state.text() and not panel.plot.is_empty and not panel.time.isEnabled()
    qtbot.mouseClick(panel.train_button, Qt.MouseButton.LeftButton)
    assert workspace.calls == [("stop",)]


def test_an_accepted_model_is_in_use_and_can_be_left_again(qtbot, panel, workspace):
    workspace.models.previous = workspace.models.known[1].card
    run_ends(workspace, ACCEPTED)
    assert panel.result_title.text() == "mIoU 0.71 → 0.83: kept and in use"
    assert not panel.adopt_button.isVisible()
    qtbot.mouseClick(panel.back_button, Qt.MouseButton.LeftButton)
    assert workspace.calls == [("go_back",)]


def test_a_refused_model_can_be_adopted_anyway(qtbot, panel, workspace):
    run_ends(workspace, REFUSED)
    assert panel.result_title.text() == "Not better (0.69 against 0.71): the old model stays in use"
    assert panel.result_reason.text() == "The old model is better." and not panel.back_button.isVisible()
    qtbot.mouseClick(panel.adopt_button, Qt.MouseButton.LeftButton)
    assert workspace.calls == [("adopt", 4)]


def test_a_failed_run_shows_its_sentence(panel, workspace):
    view = workspace.finetuning.state
    view.state, view.text = JobState.FAILED, "The GPU ran out of memory."
    workspace.emit(Change.RUNS)
    assert panel.state.text() == "The GPU ran out of memory." and panel.state.property("role") == "error"
    assert panel.train_button.text() == "Train" and not panel.result_card.isVisible()


def test_the_history_lists_runs_newest_first_and_uses_one(panel, workspace, fakes):
    workspace.finetuning.past = [fakes.run(1, card=None, state="cancelled", metrics={}), fakes.run(2)]
    run_ends(workspace, ACCEPTED)
    assert panel.runs.item(0).text() == "Run 2 · 0.71 → 0.83 · kept" and panel.runs.item(1).text() == "Run 1 · stopped"
    panel.runs.itemActivated.emit(panel.runs.item(1))
    panel.runs.itemActivated.emit(panel.runs.item(0))
    assert workspace.calls == [("adopt", 2)]


def test_words_for_a_first_model_and_for_no_score(fakes):
    assert result_text(replace(ACCEPTED, parent_miou=None)) == "mIoU 0.83: kept and in use"
    assert "before the first score" in result_text(replace(REFUSED, best_miou=None))
    assert run_text(fakes.run(7, accepted=False)) == "Run 7 · 0.71 → 0.83 · not kept"
