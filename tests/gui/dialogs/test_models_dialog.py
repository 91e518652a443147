"""The model chooser finds, explains, measures, imports and uses a card."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog

from segstudio.core.errors import UserError
from segstudio.core.events import Change
from segstudio.core.jobs import JobState
from segstudio.gui.dialogs.model_detail import facts
from segstudio.gui.dialogs.models import ModelsDialog
from segstudio.services.checkpoints import ImportedCard
from segstudio.services.jobboard import JobRecord
from segstudio.services.speeds import Speed


@pytest.fixture
def dialog(qtbot, workspace):
    widget = ModelsDialog(workspace)
    qtbot.addWidget(widget)
    widget.show()
    return widget


def rows(dialog):
    """The rows shown, headings in brackets."""
    items = [dialog.list.cards.item(row) for row in range(dialog.list.cards.count())]
    shown = [item for item in items if not item.isHidden()]
    return [item.text() if item.flags() & Qt.ItemFlag.ItemIsSelectable else f"[{item.text()}]" for item in shown]


def add(workspace, card_id, **changes):
    """Another card, after FCN-8s."""
    info = workspace.models.known[1]
    made = replace(info, card=replace(info.card, id=card_id, title=card_id.upper()), **changes)
    workspace.models.known.append(made)
    workspace.emit(Change.MODELS)
    return made


# -- the list --------------------------------------------------------------------------------------------------------


def test_it_opens_on_the_model_in_use(dialog):
    assert dialog.detail.title.text() == "U-Net small, run 3"
    assert not dialog.use_button.isEnabled() and dialog.use_button.text() == "In use"


def test_cards_stand_under_headings_that_cannot_be_chosen(qtbot, dialog):
    assert rows(dialog) == ["[Your runs]", "U-Net small, run 3", "[FCN]", "FCN-8s"]
    dialog.list.cards.setFocus()
    qtbot.keyClick(dialog.list.cards, Qt.Key.Key_Down)
    assert dialog.list.chosen_id == "fcn8s"
    qtbot.keyClick(dialog.list.cards, Qt.Key.Key_Home)
    assert dialog.list.chosen_id == "run-3"


def test_the_arrow_keys_walk_through_the_list_while_words_are_typed(qtbot, dialog):
    dialog.list.search.setFocus()
    qtbot.keyClicks(dialog.list.search, "net")
    dialog.list.search.clear()
    qtbot.keyClick(dialog.list.search, Qt.Key.Key_Down)
    assert dialog.list.chosen_id == "fcn8s"


@pytest.mark.parametrize("words", ["shelhamer voc", "FCN8S", "skips trunk", "62.2"])
def test_searching_finds_and_shows_the_card_and_its_heading_alone(dialog, words):
    dialog.list.search.setText(words)
    assert rows(dialog) == ["[FCN]", "FCN-8s"]
    assert dialog.detail.title.text() == "FCN-8s"


def test_searching_finds_classes_and_origins(dialog, workspace):
    info = workspace.models.known[1]
    workspace.models.known[1] = replace(info, card=replace(info.card, origin="somebody/else"))
    workspace.emit(Change.MODELS)
    for words, found in (("nucleus", "run-3"), ("somebody", "fcn8s")):
        dialog.list.search.setText(words)
        assert dialog.list.chosen_id == found


def test_a_search_without_a_match_says_so_and_shows_nothing(dialog):
    dialog.list.search.setText("zzz")
    assert dialog.list.nothing.isVisible() and "“zzz”" in dialog.list.nothing.words.text()
    assert not dialog.use_button.isEnabled() and dialog.detail.title.text() == ""
    assert not dialog.detail.form.isRowVisible(dialog.detail.speed)
    dialog.list.search.clear()
    assert not dialog.list.nothing.isVisible() and dialog.detail.title.text()


def test_a_change_of_the_cards_keeps_the_one_chosen(dialog, workspace):
    dialog.list.choose("fcn8s")
    add(workspace, "fcn16s")
    assert rows(dialog)[-1] == "FCN16S" and dialog.list.chosen_id == "fcn8s"


# -- what a card says ------------------------------------------------------------------------------------------------


def test_the_card_says_what_it_is_and_what_it_needs(dialog):
    dialog.list.choose("fcn8s")
    said = {name: value.text() for name, value in dialog.detail.values.items()}
    assert said["Parameters"] == "134.0 million" and "CVPR" in said["Paper"]
    assert said["Memory"] == "about 1.0 GiB to propose, 2.5 GiB to train" and said["Download"] == "528 MB, once"
    assert not dialog.detail.form.isRowVisible(dialog.detail.values["Measured here"])
    assert not dialog.detail.limit.isVisible() and not dialog.detail.outcome.isVisible()


def test_many_classes_are_counted_and_the_first_named(workspace):
    info = workspace.models.known[0]
    many = replace(info, card=replace(info.card, classes=tuple(f"c{i}" for i in range(21))))
    assert facts(many)["Classes"] == "21: c0, c1, c2, c3, c4, c5, c6, c7 and 13 more"
    assert facts(workspace.models.known[1])["Classes"] == "any"


def test_a_model_that_cannot_run_here_says_why_and_cannot_be_used(dialog, workspace):
    add(workspace, "huge", usable=False, fits=False, limit="Needs about 9.0 GiB; this computer has 4.0 GiB.")
    dialog.list.choose("huge")
    assert dialog.detail.limit.isVisible() and "9.0 GiB" in dialog.detail.limit.text.text()
    assert not dialog.use_button.isEnabled() and not dialog.detail.form.isRowVisible(dialog.detail.speed)
    dialog.use()
    assert workspace.calls == []


def test_a_model_that_can_only_propose_says_so_and_can_be_used(qtbot, dialog, workspace):
    add(workspace, "large", fits=False, limit="Needs about 9.0 GiB to train; this computer has 4.0 GiB.")
    dialog.list.choose("large")
    assert dialog.detail.limit.isVisible()
    qtbot.mouseClick(dialog.use_button, Qt.MouseButton.LeftButton)
    assert workspace.calls == [("use", "large")]


def test_a_long_text_wraps_instead_of_widening_the_window(dialog, workspace):
    add(workspace, "wordy", limit="x" * 400)
    dialog.list.choose("wordy")
    dialog.resize(dialog.minimumSize())
    assert dialog.width() == 760 and dialog.height() == 480


# -- using -----------------------------------------------------------------------------------------------------------


def test_use_puts_the_card_to_use(qtbot, dialog, workspace):
    dialog.list.choose("fcn8s")
    qtbot.mouseClick(dialog.use_button, Qt.MouseButton.LeftButton)
    assert workspace.calls == [("use", "fcn8s")]


def test_enter_in_the_search_field_uses_the_card_found(qtbot, dialog, workspace):
    dialog.list.search.setText("skips")
    qtbot.keyClick(dialog.list.search, Qt.Key.Key_Return)
    assert workspace.calls == [("use", "fcn8s")]


def test_a_refused_card_shows_one_sentence(dialog, workspace):
    workspace.models.refuse = "The weights are missing."
    dialog.list.choose("fcn8s")
    dialog.use()
    assert dialog.error.isVisible() and dialog.error.text() == "The weights are missing."


# -- measuring -------------------------------------------------------------------------------------------------------


def test_an_unknown_speed_is_measured_on_request_and_shown(qtbot, dialog, workspace):
    dialog.list.choose("fcn8s")
    field = dialog.detail.speed
    assert field.value.text() == "Not measured on this device yet."
    qtbot.mouseClick(field.button, Qt.MouseButton.LeftButton)
    assert workspace.calls == [("measure", "fcn8s")]
    workspace.jobs.records = [JobRecord(1, "Measuring FCN-8s", JobState.RUNNING, 0.66, "Measuring", True)]
    workspace.emit(Change.JOBS)
    assert field.busy.isVisible() and field.busy.words.toolTip() == "Measuring 66 %" and not field.button.isVisible()
    workspace.speeds.measuring, workspace.jobs.records = None, []
    workspace.speeds.figures["fcn8s"] = Speed(0.421, "Some processor")
    workspace.emit(Change.JOBS)
    assert field.value.text() == "0.42 s for a 500 × 375 image on Some processor" and not field.busy.isVisible()
    assert field.button.text() == "Measure again"


def test_measuring_shows_only_at_its_own_card_and_can_be_stopped(qtbot, dialog, workspace):
    dialog.list.choose("fcn8s")
    dialog.measure()
    workspace.emit(Change.JOBS)
    assert dialog.detail.speed.busy.isVisible()
    dialog.list.choose("run-3")
    assert not dialog.detail.speed.busy.isVisible()
    dialog.list.choose("fcn8s")
    qtbot.mouseClick(dialog.detail.speed.busy.cancel_button, Qt.MouseButton.LeftButton)
    assert workspace.calls[-1] == ("cancel_measuring",)


@pytest.mark.parametrize("later", [False, True])
def test_a_measurement_that_fails_is_one_sentence(dialog, workspace, later):
    dialog.list.choose("fcn8s")
    if not later:
        workspace.speeds.refuse = "The computer is busy."
    dialog.measure()
    if later:
        workspace.speeds.on_error(UserError("The computer is busy."))
    assert dialog.error.isVisible() and dialog.error.text() == "The computer is busy."


def test_what_fails_after_the_window_was_closed_is_said_elsewhere(dialog, workspace):
    dialog.measure()
    dialog.close()
    dialog.done(0)
    workspace.speeds.on_error(UserError("Too late."))
    assert [str(error) for error in workspace.reported] == ["Too late."]


# -- importing -------------------------------------------------------------------------------------------------------


def test_an_imported_checkpoint_is_chosen_with_what_was_recognised(dialog, workspace, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_a, **_k: ("/somewhere/net.pth", ""))
    dialog.list.search.setText("nucleus")
    dialog.choose_file()
    assert workspace.calls == [("import_file", Path("/somewhere/net.pth"))]
    workspace.jobs.records = [JobRecord(1, "Importing net.pth", JobState.RUNNING, None, "Reading net.pth", True)]
    workspace.emit(Change.JOBS)
    assert dialog.importing.isVisible() and not dialog.import_button.isVisible()
    workspace.checkpoints.busy, workspace.jobs.records = False, []
    add(workspace, "net", section="Imported")
    workspace.checkpoints.on_done(ImportedCard("net", ("net.pth is FCN-8s.", "Left out: 3 tensors.")))
    workspace.emit(Change.JOBS)
    assert dialog.list.chosen_id == "net" and dialog.list.search.text() == ""
    assert dialog.detail.outcome.text.text() == "net.pth is FCN-8s. Left out: 3 tensors."
    assert dialog.import_button.isVisible() and not dialog.importing.isVisible()
    dialog.list.choose("fcn8s")
    assert not dialog.detail.outcome.isVisible()


def test_a_file_that_is_no_checkpoint_is_one_sentence(dialog, workspace):
    dialog.import_file(Path("/somewhere/net.pth"))
    workspace.checkpoints.on_error(UserError("net.pth is a web page.", "Download it again."))
    assert dialog.error.text() == "net.pth is a web page. Download it again."


def test_choosing_no_file_imports_nothing(dialog, workspace, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_a, **_k: ("", ""))
    dialog.choose_file()
    assert workspace.calls == []


def test_an_import_can_be_stopped(qtbot, dialog, workspace):
    dialog.import_file(Path("/somewhere/net.pth"))
    workspace.emit(Change.JOBS)
    qtbot.mouseClick(dialog.importing.cancel_button, Qt.MouseButton.LeftButton)
    assert workspace.calls[-1] == ("cancel_importing",)
