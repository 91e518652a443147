"""Exports from the dialog to the disk."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from segstudio.formats.registry import FORMATS
from segstudio.gui.dialogs.export import ExportDialog
from segstudio.gui.dialogs.loss_check import CheckState
from segstudio.services.exporting import Undecided
from segstudio.services.workspace import Workspace


@pytest.fixture
def dialog(qtbot: QtBot, real: Workspace) -> ExportDialog:
    made = ExportDialog(real)
    qtbot.addWidget(made)
    made.show()
    return made


def choose(dialog: ExportDialog, name: str, folder: Path) -> None:
    dialog.format.setCurrentIndex(dialog.format.findData(name))
    dialog.folder.edit.setText(str(folder))


def finish(qtbot: QtBot, dialog: ExportDialog) -> None:
    qtbot.waitUntil(lambda: "exported" in dialog.outcome.text(), timeout=20_000)


def test_a_format_without_instances_shows_what_it_loses_before_anything_is_written(
    qtbot: QtBot, dialog: ExportDialog, tmp_path: Path
) -> None:
    choose(dialog, "index-png", tmp_path / "out")
    qtbot.waitUntil(lambda: dialog.check.state is CheckState.KNOWN, timeout=20_000)
    assert "Instances that become their class: 2." in dialog.losses.bad.text.text()
    table = dialog.losses.table
    assert [table.item(0, column).text() for column in range(4)] == ["image1.png", "cell", "811", "0.000"]
    assert not (tmp_path / "out").exists()
    dialog.go.click()
    finish(qtbot, dialog)
    assert (tmp_path / "out" / "image1.png").is_file()


def test_an_export_that_keeps_all_is_written_and_can_be_replaced(
    qtbot: QtBot, dialog: ExportDialog, tmp_path: Path
) -> None:
    choose(dialog, "voc", tmp_path / "out")
    dialog.go.click()
    finish(qtbot, dialog)
    written = tmp_path / "out" / "SegmentationClass" / "image1.png"
    written.unlink()
    assert dialog.replace.isVisible() and not dialog.go.isEnabled()
    dialog.replace.setChecked(True)
    dialog.go.click()
    finish(qtbot, dialog)
    assert written.is_file()


def test_one_zip_file_gets_its_suffix(qtbot: QtBot, dialog: ExportDialog, tmp_path: Path) -> None:
    choose(dialog, "voc", tmp_path / "labels")
    dialog.options.zip.setChecked(True)
    assert "labels.zip" in dialog.summary.text()
    dialog.go.click()
    finish(qtbot, dialog)
    with zipfile.ZipFile(tmp_path / "labels.zip") as archive:
        assert "SegmentationClass/image2.png" in archive.namelist()
    dialog.folder.edit.setText(str(tmp_path / "labels.zip"))
    assert dialog.replace.isVisible()


def test_a_border_counts_as_loss(qtbot: QtBot, dialog: ExportDialog) -> None:
    dialog.options.border.setValue(2)
    qtbot.waitUntil(lambda: dialog.check.state is CheckState.KNOWN, timeout=20_000)
    assert not dialog.check.report.lossless and dialog.losses.bad.isVisible()


def test_every_format_can_be_chosen_with_every_choice_it_has(dialog: ExportDialog) -> None:
    dialog.more.click()
    for format_ in FORMATS.values():
        dialog.format.setCurrentIndex(dialog.format.findData(format_.name))
        dialog.options.undecided.setCurrentIndex(1)
        assert dialog.options.value(format_).undecided is Undecided.BACKGROUND
        assert dialog.about.text() == format_.writes


def test_a_file_as_target_is_called_a_file_and_a_zip_is_asked_for_as_one(dialog: ExportDialog, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    choose(dialog, "voc", tmp_path / "notes.txt")
    assert dialog.summary.text() == "notes.txt is a file. Choose a new or empty folder." and not dialog.go.isEnabled()
    dialog.options.zip.setChecked(True)
    dialog.folder.edit.clear()
    assert dialog.place_title.text() == "Zip file" and dialog.summary.text().endswith("Choose a file.")


def test_a_place_typed_without_its_folders_is_shown_in_full(dialog: ExportDialog) -> None:
    choose(dialog, "voc", Path("out"))
    assert dialog.summary.text().endswith(f"to {Path('out').absolute()}.")


def test_masks_are_called_outlines_where_the_format_has_only_polygons(dialog: ExportDialog) -> None:
    words = {}
    for name in ("coco", "yolo"):
        dialog.format.setCurrentIndex(dialog.format.findData(name))
        words[name] = dialog.options.shapes.itemText(0)
    assert words == {"coco": "Exact, every pixel", "yolo": "Exact outlines"}


def test_a_dialog_that_grows_keeps_its_buttons_on_the_screen(qtbot: QtBot, dialog: ExportDialog) -> None:
    screen, height = dialog.screen().availableGeometry(), dialog.height()
    dialog.move(screen.left(), screen.bottom() - height)
    dialog.more.click()
    dialog.options.lists.setCurrentIndex(1)
    qtbot.waitUntil(
        lambda: dialog.height() > height + 100 and dialog.frameGeometry().bottom() <= screen.bottom(), timeout=20_000
    )
