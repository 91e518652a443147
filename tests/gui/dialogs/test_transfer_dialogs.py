"""Export and import show what would happen, do it, and tell what happened."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from PySide6.QtCore import Qt

from segstudio.core.errors import UserError
from segstudio.core.events import Change
from segstudio.core.jobs import JobState
from segstudio.gui.dialogs.export import ExportDialog
from segstudio.gui.dialogs.import_labels import ImportDialog
from segstudio.services.importing import ImportReport
from segstudio.services.jobboard import JobRecord


@pytest.fixture
def export(qtbot, workspace):
    dialog = ExportDialog(workspace)
    qtbot.addWidget(dialog)
    dialog.show()
    return dialog


@pytest.fixture
def imports(qtbot, workspace):
    dialog = ImportDialog(workspace)
    qtbot.addWidget(dialog)
    dialog.show()
    return dialog


def click(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_export_offers_only_formats_that_can_be_written(export):
    assert [export.format.itemData(i) for i in range(export.format.count())] == ["voc", "coco", "index-png"]


def test_export_passes_format_folder_and_choice(qtbot, export, workspace, tmp_path: Path):
    assert not export.go.isEnabled()
    export.format.setCurrentIndex(1)
    export.folder.edit.setText(str(tmp_path))
    export.reviewed_only.setChecked(False)
    assert "5 images of 8" in export.summary.text()
    click(qtbot, export.go)
    assert workspace.calls == [("export", "coco", tmp_path, False)]


def test_export_with_nothing_reviewed_says_what_to_do(export, workspace):
    export.folder.edit.setText("out")
    workspace.exporting.reviewed = 0
    workspace.emit(Change.STATUS)
    assert "Mark an image reviewed first" in export.summary.text() and not export.go.isEnabled()


def test_a_running_export_shows_progress_and_esc_cancels_it_first(qtbot, export, workspace):
    export.folder.edit.setText("out")
    export.start()
    workspace.jobs.records = [JobRecord(1, "Exporting to out", JobState.RUNNING, 0.5, "b.png", True)]
    workspace.emit(Change.JOBS)
    assert export.busy and export.progress.value() == 500 and not export.folder.isEnabled()
    qtbot.keyClick(export, Qt.Key.Key_Escape)
    assert workspace.calls[-1] == ("cancel_export",) and export.isVisible() and not export.busy
    qtbot.keyClick(export, Qt.Key.Key_Escape)
    assert not export.isVisible()


def test_a_finished_export_offers_its_folder(export, workspace):
    export.folder.edit.setText("out")
    export.start()
    workspace.exporting.on_done(SimpleNamespace(images=3, warnings=[]))
    assert export.outcome.text() == "3 images exported." and export.open_folder.isVisible()
    assert not export.busy and export.go.isEnabled()


def test_a_failed_export_shows_one_sentence_in_the_dialog(export, workspace):
    export.folder.edit.setText("out")
    export.start()
    workspace.exporting.on_error(UserError("The disk is full.", "Free some space."))
    assert export.error.text() == "The disk is full. Free some space." and export.error.isVisible()
    export.start()
    bug = ValueError("odd")
    workspace.exporting.on_error(bug)
    assert workspace.reported == [bug] and not export.error.isVisible()


def test_a_result_after_closing_changes_nothing(export, workspace):
    export.folder.edit.setText("out")
    export.start()
    export.reject()
    export.reject()
    workspace.exporting.on_done(SimpleNamespace(images=3, warnings=[]))
    assert export.outcome.text() == "Cancelled."


def test_import_previews_before_it_replaces_anything(qtbot, imports, workspace, tmp_path: Path):
    imports.source.edit.setText(str(tmp_path))
    assert not imports.go.isEnabled()
    qtbot.waitUntil(imports.go.isEnabled)
    assert workspace.calls == [("preview", "voc", tmp_path)] and "8 of 10 labels" in imports.summary.text()
    click(qtbot, imports.go)
    assert workspace.calls[-1] == ("import_labels", "voc", tmp_path)


def test_import_where_nothing_matches_cannot_start(imports, workspace, tmp_path: Path):
    workspace.importing.counts = (10, 0)
    imports.source.edit.setText(str(tmp_path))
    imports.look()
    assert "None of 10 labels" in imports.summary.text() and not imports.go.isEnabled()


def test_import_from_a_folder_that_is_not_there_says_so(imports, workspace, tmp_path: Path):
    imports.source.edit.setText(str(tmp_path / "absent"))
    imports.look()
    assert "There is no folder" in imports.error.text() and workspace.calls == []


def test_import_reports_what_was_refused(imports, workspace, tmp_path: Path):
    imports.source.edit.setText(str(tmp_path))
    imports.look()
    imports.start()
    workspace.importing.on_done(ImportReport(7, ["stray"], ["a.png has another size."], []))
    lines = imports.outcome.text().splitlines()
    assert lines[0] == "Labels of 7 images imported." and "stray" in lines[1] and lines[2] == "a.png has another size."
