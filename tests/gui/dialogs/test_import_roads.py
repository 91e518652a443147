"""Imports from the disk through the dialog into a project."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QImage
from PySide6.QtWidgets import QComboBox
from pytestqt.qtbot import QtBot

from segstudio.core.catalog import Catalog
from segstudio.core.items import Status
from segstudio.gui.dialogs import label_preview
from segstudio.gui.dialogs.class_mapping import CLASS, TARGET
from segstudio.gui.dialogs.import_labels import ImportDialog
from segstudio.imaging.labels import write_index_png
from segstudio.services.mapping import ADD
from segstudio.services.workspace import Workspace

_SHAPE = (40, 60)
_CLASSES = [(0, "background", (0, 0, 0)), (1, "cell", (128, 0, 0)), (9, "moon", (9, 8, 250))]


@pytest.fixture
def dialog(qtbot: QtBot, real: Workspace) -> ImportDialog:
    made = ImportDialog(real)
    qtbot.addWidget(made)
    made.show()
    return made


def labels(shape: tuple[int, int] = _SHAPE) -> npt.NDArray[np.uint8]:
    """Background, with moon (9) in the left quarter and cell (1) in the right one."""
    made = np.zeros(shape, np.uint8)
    made[:, : shape[1] // 4] = 9
    made[:, -shape[1] // 4 :] = 1
    return made


def source(folder: Path, *names: str, shape: tuple[int, int] = _SHAPE, declared: bool = True) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        write_index_png(folder / f"{name}.png", labels(shape), Catalog().color_table())
    if declared:
        tables = (f'[[classes]]\nid = {n}\nname = "{name}"\ncolor = {list(c)}\n' for n, name, c in _CLASSES)
        (folder / "classes.toml").write_text("\n".join(tables))
    return folder


def look(qtbot: QtBot, dialog: ImportDialog, folder: Path) -> None:
    dialog.source.edit.setText(str(folder))
    qtbot.waitUntil(lambda: dialog.mapping is not None, timeout=20_000)


def run(qtbot: QtBot, dialog: ImportDialog) -> None:
    assert dialog.go.isEnabled()
    dialog.go.click()
    qtbot.waitUntil(lambda: "imported" in dialog.outcome.text(), timeout=20_000)


def imported(real: Workspace, index: int = 2) -> npt.NDArray[np.uint8]:
    stored = real.project.load_map(real.images[index].id)
    assert stored is not None
    return stored.semantic()


def test_the_format_is_recognised_and_known_classes_find_themselves(
    qtbot: QtBot, dialog: ImportDialog, tmp_path: Path
) -> None:
    look(qtbot, dialog, source(tmp_path / "labels", "image3", "other"))
    assert dialog.format.currentData() == "index-png" and dialog.about.text().startswith("Recognised.")
    assert dialog.review.counts.text() == "1 of 2 labels match an image."
    assert [dialog.mapping.target(n) for n in (0, 1, 9)] == [0, 1, None]
    assert "1 class needs a decision" in dialog.summary.text() and not dialog.go.isEnabled()


def test_an_unknown_class_is_added(qtbot: QtBot, dialog: ImportDialog, real: Workspace, tmp_path: Path) -> None:
    look(qtbot, dialog, source(tmp_path / "labels", "image3"))
    dialog.review.add_rest.click()
    run(qtbot, dialog)
    moon = real.catalog.by_name("moon")
    assert (moon.id, moon.color) == (9, (9, 8, 250))
    assert np.array_equal(imported(real), labels())
    assert real.images[2].status is Status.REVIEWED
    assert dialog.mapping.target(9) == 9  # a second import would not add it twice


def test_an_unknown_class_is_ignored(qtbot: QtBot, dialog: ImportDialog, real: Workspace, tmp_path: Path) -> None:
    look(qtbot, dialog, source(tmp_path / "labels", "image3"))
    dialog.review.ignore_rest.click()
    dialog.status.setCurrentIndex(1)
    run(qtbot, dialog)
    assert set(np.unique(imported(real))) == {0, 1, 255} and real.catalog.names == ("background", "cell")
    assert real.images[2].status is Status.IN_PROGRESS


def test_an_unknown_class_becomes_one_of_the_project_by_keyboard(
    qtbot: QtBot, dialog: ImportDialog, real: Workspace, tmp_path: Path
) -> None:
    look(qtbot, dialog, source(tmp_path / "labels", "image3"))
    table = dialog.review.table
    assert table.rows.source(table.currentIndex().row()).number == 9
    qtbot.keyClick(table, Qt.Key.Key_Up)
    assert table.rows.source(table.currentIndex().row()).number == 1
    qtbot.keyClick(table, Qt.Key.Key_Down)
    qtbot.keyClick(table, Qt.Key.Key_Return)
    editor = table.viewport().findChild(QComboBox)
    assert [editor.itemText(i) for i in range(editor.count())] == ["Add as new class", "Ignore", "background", "cell"]
    editor.setCurrentIndex(3)
    editor.activated.emit(3)
    run(qtbot, dialog)
    assert set(np.unique(imported(real))) == {0, 1} and (imported(real)[:, :15] == 1).all()


def test_classes_match_by_number_and_by_colour(
    qtbot: QtBot, dialog: ImportDialog, real: Workspace, tmp_path: Path
) -> None:
    folder = source(tmp_path / "labels", "image3")
    text = (folder / "classes.toml").read_text().replace('"cell"', '"Zelle"').replace("[9, 8, 250]", "[128, 0, 0]")
    (folder / "classes.toml").write_text(text)
    look(qtbot, dialog, folder)
    buttons = dialog.review.match.buttons
    assert [dialog.mapping.target(n) for n in (0, 1, 9)] == [0, None, None]
    buttons["id"].click()
    assert [dialog.mapping.target(n) for n in (0, 1, 9)] == [0, 1, None]
    dialog.mapping.choose(255, 0)
    buttons["color"].click()
    assert [dialog.mapping.target(n) for n in (0, 1, 9)] == [255, 1, 1]
    run(qtbot, dialog)
    assert set(np.unique(imported(real))) == {1, 255}


def test_bare_numbers_match_by_number_only(qtbot: QtBot, dialog: ImportDialog, tmp_path: Path) -> None:
    look(qtbot, dialog, source(tmp_path / "labels", "image3", declared=False))
    assert [b.isEnabled() for b in dialog.review.match.buttons.values()] == [False, True, False]
    table = dialog.review.table.rows
    assert [table.index(row, CLASS).data() for row in range(3)] == ["Class 0", "Class 1", "Class 9"]
    assert table.index(2, TARGET).data() == "Choose…"


def test_a_label_of_another_size_is_refused_with_both_sizes(
    qtbot: QtBot, dialog: ImportDialog, real: Workspace, tmp_path: Path
) -> None:
    source(tmp_path / "labels", "image3", shape=(20, 24))
    look(qtbot, dialog, source(tmp_path / "labels", "image4"))
    assert "24 x 20" in dialog.review.problem.text() and "60 x 40" in dialog.review.problem.text()
    dialog.review.ignore_rest.click()
    run(qtbot, dialog)
    assert "24 x 20" in dialog.outcome.text() and "60 x 40" in dialog.outcome.text()
    assert real.project.load_map(real.images[2].id) is None


def test_a_class_that_only_a_later_label_shows_is_refused_and_named(
    qtbot: QtBot, dialog: ImportDialog, real: Workspace, tmp_path: Path
) -> None:
    folder = source(tmp_path / "labels", "image3")
    look(qtbot, dialog, folder)
    dialog.review.ignore_rest.click()
    (folder / "image4.png").write_bytes(write_index_png(None, labels() + np.uint8(2), Catalog().color_table()))
    run(qtbot, dialog)
    assert "which this project lacks" in dialog.outcome.text()
    assert real.project.load_map(real.images[3].id) is None


def test_the_preview_is_recoloured_without_reading_again(
    qtbot: QtBot, dialog: ImportDialog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look(qtbot, dialog, source(tmp_path / "labels", "image3", "image4"))
    preview = dialog.review.preview
    qtbot.waitUntil(lambda: preview.picture.rgb is not None, timeout=20_000)
    monkeypatch.setattr(label_preview, "sample_picture", None)

    def at(x: int) -> QColor:
        picture, mapping = preview.picture, dialog.mapping
        flat = np.zeros_like(picture.rgb)
        return QImage(label_preview.composed(flat, picture.sample, mapping, (60, 40))).pixelColor(x, 20)

    before = at(0)
    dialog.review.add_rest.click()
    after = at(0)
    assert before != after and after.blue() == round(250 * 0.6)
    assert at(59).red() == round(128 * 0.6) and at(30).red() == round(96 * 0.25)


def test_samples_are_leafed_through(qtbot: QtBot, dialog: ImportDialog, tmp_path: Path) -> None:
    look(qtbot, dialog, source(tmp_path / "labels", "image3", "image4"))
    preview = dialog.review.preview
    assert preview.count.text() == "1 of 2" and not preview.previous.isEnabled()
    preview.next.click()
    assert preview.name.toolTip() == "image4.png" and not preview.next.isEnabled()
    qtbot.waitUntil(lambda: preview.picture.rgb is not None, timeout=20_000)


def test_a_folder_that_is_of_no_format_says_so(qtbot: QtBot, dialog: ImportDialog, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    dialog.source.edit.setText(str(tmp_path / "empty"))
    qtbot.waitUntil(dialog.error.isVisible, timeout=20_000)
    assert "Not recognised" in dialog.about.text() and not dialog.go.isEnabled()


def test_new_classes_of_the_project_are_offered_at_once(
    qtbot: QtBot, dialog: ImportDialog, real: Workspace, tmp_path: Path
) -> None:
    look(qtbot, dialog, source(tmp_path / "labels", "image3"))
    dialog.mapping.choose(ADD, 9)
    real.set_catalog(real.catalog.with_new("Moon"))
    assert dialog.mapping.target(9) == real.catalog.by_name("moon").id and dialog.go.isEnabled()


def test_an_import_that_is_done_starts_again_only_after_another_choice(
    qtbot: QtBot, dialog: ImportDialog, real: Workspace, tmp_path: Path
) -> None:
    look(qtbot, dialog, source(tmp_path / "labels", "image3"))
    dialog.review.add_rest.click()
    assert "replaced" not in dialog.summary.text()
    run(qtbot, dialog)
    assert not dialog.go.isEnabled()  # Enter once more would take back what was painted since
    dialog.status.setCurrentIndex(1)
    assert dialog.go.isEnabled() and not dialog.outcome.text()
    assert "Existing labels of 1 image will be replaced for good." in dialog.summary.text()


def test_what_is_not_recognised_is_not_judged_by_a_format_nobody_asked_for(
    qtbot: QtBot, dialog: ImportDialog, tmp_path: Path
) -> None:
    look(qtbot, dialog, source(tmp_path / "labels", "image3"))
    (tmp_path / "notes.txt").write_text("hello")
    dialog.source.edit.setText(str(tmp_path / "notes.txt"))
    qtbot.waitUntil(dialog.error.isVisible, timeout=20_000)
    assert dialog.error.text().startswith("notes.txt holds no labels that were recognised.")
    dialog.format.setCurrentIndex(dialog.format.findData("voc"))
    dialog.format.activated.emit(dialog.format.currentIndex())
    qtbot.waitUntil(lambda: "VOC" in dialog.error.text(), timeout=20_000)


def test_a_way_of_matching_that_a_source_lacks_says_why(qtbot: QtBot, dialog: ImportDialog, tmp_path: Path) -> None:
    look(qtbot, dialog, source(tmp_path / "labels", "image3", declared=False))
    buttons = dialog.review.match.buttons.values()
    assert [b.isEnabled() for b in buttons] == [False, True, False]
    assert all(("This source" in b.toolTip()) is not b.isEnabled() for b in buttons)
