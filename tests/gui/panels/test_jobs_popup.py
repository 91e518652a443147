"""The list of jobs shows what runs and stops it."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPushButton

from segstudio.core.events import Change
from segstudio.core.jobs import JobState
from segstudio.gui.panels.jobs import JobsPopup
from segstudio.services.jobboard import JobRecord


@pytest.fixture
def popup(qtbot, workspace):
    widget = JobsPopup()
    qtbot.addWidget(widget)
    widget.set_workspace(workspace)
    return widget


def test_nothing_running_says_so(popup):
    assert not popup.empty.isHidden() and "Nothing is running" in popup.empty.words.text()


def test_rows_are_newest_first_and_are_updated_in_place(popup, workspace):
    workspace.jobs.records = [
        JobRecord(1, "Training", JobState.RUNNING, None, "Step 3", True),
        JobRecord(2, "Exporting to out", JobState.RUNNING, 0.25, "", True),
    ]
    workspace.emit(Change.JOBS)
    first = popup.rows[0]
    assert [row.title.text() for row in popup.rows] == ["Exporting to out", "Training"]
    assert first.progress.value() == 250 and popup.rows[1].progress.maximum() == 0
    workspace.jobs.records = [JobRecord(2, "Exporting to out", JobState.FAILED, None, "The disk is full.")]
    workspace.emit(Change.JOBS)
    assert popup.rows == [first] and first.words.text() == "failed · The disk is full."
    assert first.cancel.isHidden() and first.progress.isHidden()


def test_cancel_names_its_job(qtbot, popup, workspace):
    workspace.jobs.records = [JobRecord(7, "Training", JobState.RUNNING, None, "", True)]
    workspace.emit(Change.JOBS)
    anchor = QPushButton("jobs")
    qtbot.addWidget(anchor)
    anchor.show()
    popup.popup_above(anchor)
    qtbot.mouseClick(popup.rows[0].cancel, Qt.MouseButton.LeftButton)
    assert workspace.calls == [("cancel_job", 7)]
    popup.hide()


def test_a_deleted_popup_follows_no_more(qtbot, workspace):
    popup = JobsPopup()
    popup.set_workspace(workspace)
    with qtbot.waitSignal(popup.destroyed):
        popup.deleteLater()
    workspace.jobs.records = [JobRecord(1, "Training", JobState.RUNNING)]
    workspace.emit(Change.JOBS)
    workspace.emit(Change.JOBS)
    assert workspace.calls == []
