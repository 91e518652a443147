"""Every bad image, in the window: one clear sentence, a mark in the list, and the program goes on."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from segstudio.core.items import ImageItem
from segstudio.gui.main_window import MainWindow
from segstudio.gui.panels.images import ITEM_ROLE, mark_of
from segstudio.project.project import Project
from segstudio.services.workspace import Workspace

_DOCUMENT = Path(__file__).parents[3] / "docs" / "bad-input.md"


def _workspace(window: MainWindow) -> Workspace:
    workspace = window.workbench_workspace
    assert workspace is not None
    return workspace


def _row(window: MainWindow, name: str) -> tuple[ImageItem, str]:
    """What the image list holds of an image, and its tooltip."""
    model = window.workbench.images.model
    for row in range(model.rowCount()):
        index = model.index(row)
        if model.data(index) == name:
            return model.data(index, ITEM_ROLE), model.data(index, Qt.ItemDataRole.ToolTipRole)
    raise AssertionError(f"{name} is not in the list")


def _complaints(window: MainWindow) -> list[str]:
    return [text for level, text, _hint in window.messages.history if level in ("warning", "error")]


def _show(window: MainWindow, folder: Path, name: str, qtbot: QtBot) -> None:
    """Opens a file as a person does, and waits until it is there or refused."""
    assert window.open_path(folder / name)
    workspace = _workspace(window)

    def settled() -> bool:
        item = workspace.current_item
        return item is not None and item.name == name and (workspace.current is not None or item.problem is not None)

    qtbot.waitUntil(settled, timeout=20_000)


def test_a_bad_image_is_one_sentence_and_a_mark_and_the_next_image_opens(
    window: MainWindow, folder: Path, refused: Any, qtbot: QtBot
) -> None:
    _show(window, folder, refused.name, qtbot)
    assert _complaints(window) == [refused.sentence]
    assert window.messages.text.startswith(refused.sentence)
    assert window.messages.level == "error"
    item, tooltip = _row(window, refused.name)
    assert item.problem == refused.sentence
    assert refused.sentence in tooltip
    assert mark_of(item) == "warning"
    assert window.workbench.canvas.document is None
    window.workbench.images.grab()
    workspace = _workspace(window)
    (workspace.next_image if workspace.images[-1].name != refused.name else workspace.previous_image)()
    qtbot.waitUntil(lambda: workspace.current_item is not None and workspace.current_item.name != refused.name)


def test_an_unusual_image_is_shown_with_a_note_and_can_be_painted(
    window: MainWindow, folder: Path, special: Any, qtbot: QtBot
) -> None:
    _show(window, folder, special.name, qtbot)
    assert _complaints(window) == []
    item, tooltip = _row(window, special.name)
    assert item.problem is None
    assert item.note == special.sentence
    assert special.sentence in tooltip
    assert mark_of(item) == "info"
    annotator = _workspace(window).current
    assert annotator is not None
    assert window.workbench.canvas.document is annotator
    assert annotator.rgb.shape == (*special.shape, 3)
    assert (item.height, item.width) == special.shape
    gesture = annotator.begin("Brush stroke")
    assert gesture.paint(np.ones((5, 5), bool), 0, 0, 1) == 25
    assert gesture.commit() is not None
    window.workbench.images.grab()


def test_a_name_in_any_script_is_opened_like_any_other(
    window: MainWindow, folder: Path, bad_files: ModuleType, qtbot: QtBot
) -> None:
    name = bad_files.GOOD[2]
    _show(window, folder, name, qtbot)
    item, _ = _row(window, name)
    assert _complaints(window) == []
    assert mark_of(item) is None
    assert window.workbench.view_bar.title.toolTip() in ("", name)
    path = _workspace(window).project.path
    annotator = _workspace(window).current
    assert annotator is not None
    gesture = annotator.begin("Brush stroke")
    gesture.paint(np.ones((6, 6), bool), 0, 0, 1)
    gesture.commit()
    window.close_project()
    with Project.open(path) as project:
        stored = project.load_map(item.id)
    assert stored is not None
    assert stored.decided.sum() == 36


def test_walking_through_all_of_them_marks_each_and_loses_no_stroke(
    window: MainWindow, folder: Path, bad_files: ModuleType, qtbot: QtBot
) -> None:
    assert window.open_path(folder)
    workspace, bench = _workspace(window), window.workbench
    seen: list[str] = []
    painted: list[int] = []
    window.activateWindow()
    bench.canvas.setFocus()
    qtbot.waitUntil(lambda: QApplication.focusWidget() is bench.canvas)
    for expected in workspace.images:
        qtbot.waitUntil(
            lambda expected=expected: (
                workspace.current_item is not None
                and workspace.current_item.id == expected.id
                and (workspace.current is not None or workspace.current_item.problem is not None)
            ),
            timeout=20_000,
        )
        seen.append(expected.name)
        if workspace.current is not None:
            gesture = workspace.current.begin("Brush stroke")
            gesture.paint(np.ones((4, 9), bool), 1, 1, 1)
            gesture.commit()
            painted.append(expected.id)
        QTest.keyClick(bench.canvas, Qt.Key.Key_D)
    assert len(seen) == len(bad_files.GOOD) + len(bad_files.REFUSED) + len(bad_files.SPECIAL) + 1
    assert sorted(_complaints(window)) == sorted(case.sentence for case in bad_files.REFUSED)
    assert window.messages.history[-1][1] == "This is the last image."
    marks = {item.name: mark_of(item) for item in workspace.images}
    assert {name for name, mark in marks.items() if mark == "warning"} == {case.name for case in bad_files.REFUSED}
    assert {name for name, mark in marks.items() if mark == "info"} == {case.name for case in bad_files.SPECIAL}
    bench.images.status.setCurrentIndex(bench.images.status.findData("problem"))
    assert bench.images.model.rowCount() == len(bad_files.REFUSED)
    path = workspace.project.path
    window.close_project()
    with Project.open(path) as project:
        kept = {item.id: project.load_map(item.id) for item in project.images()}
        assert {item.name: mark_of(item) for item in project.images()} == marks
    assert [i for i, stored in kept.items() if stored is not None and stored.decided.sum() == 36] == painted


def test_a_mended_file_loses_its_mark_when_it_is_opened_again(
    window: MainWindow, folder: Path, bad_files: ModuleType, qtbot: QtBot
) -> None:
    name = bad_files.REFUSED[0].name
    _show(window, folder, name, qtbot)
    (folder / name).write_bytes(bad_files.encoded("PNG"))
    workspace = _workspace(window)
    image_id = _row(window, name)[0].id
    workspace.open_image(image_id)
    qtbot.waitUntil(lambda: workspace.current is not None and workspace.current.item.id == image_id)
    assert mark_of(_row(window, name)[0]) is None


def test_the_document_quotes_what_the_program_says(bad_files: ModuleType) -> None:
    document = _DOCUMENT.read_text(encoding="utf-8")
    missing = [case.sentence for case in (*bad_files.REFUSED, *bad_files.SPECIAL) if case.sentence not in document]
    assert missing == []
