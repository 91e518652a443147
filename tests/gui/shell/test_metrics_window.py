"""The metrics window from the menu to the pixels on the canvas, with a real network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from segstudio.core.items import Status
from segstudio.core.segmentmap import SegmentMap
from segstudio.gui.canvas.marked import Marks
from segstudio.gui.dialogs.metrics import MetricsDialog
from segstudio.gui.main_window import MainWindow

Shown = Callable[[MainWindow], str | None]


@pytest.fixture
def labelled(opened: MainWindow) -> MainWindow:
    """The window with every image reviewed: the left half the first class, the right half the second."""
    workspace = opened.workbench_workspace
    assert workspace is not None
    labels = np.zeros((48, 64), np.uint8)
    labels[:, 32:] = 1
    for item in workspace.images:
        workspace.project.save_map(item.id, SegmentMap.from_semantic(labels), action="api", status=Status.REVIEWED)
        workspace.refresh_item(item.id)
    workspace.reload_current()
    return opened


def metrics_of(window: MainWindow) -> MetricsDialog:
    window.actions_table["metrics"].trigger()
    dialog = window.commands._metrics
    assert dialog is not None
    return dialog


def test_a_cell_of_the_matrix_leads_to_its_pixels_and_everything_to_a_report(
    labelled: MainWindow, qtbot: QtBot, shown: Shown, tmp_path: Path
) -> None:
    workspace, canvas = labelled.workbench_workspace, labelled.workbench.canvas
    assert workspace is not None
    dialog = metrics_of(labelled)
    dialog.choice.split.setCurrentIndex(2)
    qtbot.waitUntil(dialog.choice.button.isEnabled)
    dialog.evaluate()
    assert dialog.busy.isVisible()
    qtbot.waitUntil(lambda: workspace.evaluating.comparison is not None, timeout=60_000)
    comparison = workspace.evaluating.comparison
    assert comparison is not None
    result = comparison.evaluations[0]
    assert result.images == 4 and result.pixels == 4 * 48 * 64
    assert not dialog.stale.isVisible() and not dialog.busy.isVisible()
    true_id, predicted_id, pixels = result.confusions(most=1)[0]
    dialog.confusion.map.choose(result.class_ids.index(true_id), result.class_ids.index(predicted_id))
    entries = dialog.confusion.images.entries
    assert entries and int(entries[0].words.split()[0].replace(",", "")) <= pixels
    target = entries[-1]
    dialog.confusion.images.itemActivated.emit(dialog.confusion.images.item(len(entries) - 1))
    qtbot.waitUntil(lambda: shown(labelled) == target.name and canvas.marks is not None)
    assert canvas.marks is not None
    assert f"{int(canvas.marks.pixels.sum()):,}" == target.words.split()[0]
    dialog.save_to(tmp_path / "report.html")
    qtbot.waitUntil(dialog.outcome.isVisible, timeout=60_000)
    assert target.name in (tmp_path / "report.html").read_text(encoding="utf-8")
    canvas.setFocus()
    qtbot.keyClick(canvas, Qt.Key.Key_Escape)
    assert canvas.marks is None


def test_an_evaluation_can_be_cancelled_and_started_again(labelled: MainWindow, qtbot: QtBot) -> None:
    workspace = labelled.workbench_workspace
    assert workspace is not None
    dialog = metrics_of(labelled)
    dialog.choice.split.setCurrentIndex(2)
    dialog.evaluate()
    assert not dialog.choice.button.isEnabled()
    qtbot.mouseClick(dialog.busy.cancel_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not dialog.busy.isVisible() and dialog.choice.button.isEnabled())
    assert workspace.evaluating.comparison is None and not dialog.error.isVisible()
    dialog.evaluate()
    qtbot.waitUntil(dialog.headline.isVisible, timeout=60_000)


def test_the_window_is_one_and_keeps_what_it_shows_until_the_project_is_closed(labelled: MainWindow) -> None:
    dialog = metrics_of(labelled)
    dialog.choice.split.setCurrentIndex(1)
    dialog.close()
    assert metrics_of(labelled) is dialog and dialog.choice.split.currentIndex() == 1
    labelled.close_project()
    assert not dialog.isVisible()


def test_the_training_panel_leads_to_it(labelled: MainWindow, qtbot: QtBot) -> None:
    labelled.workbench.side.show_section("training")
    button = labelled.workbench.side.training.metrics_button
    qtbot.waitUntil(button.isVisible)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    dialog = labelled.commands._metrics
    assert dialog is not None and dialog.isVisible()


def test_its_key_opens_it(labelled: MainWindow, qtbot: QtBot) -> None:
    labelled.activateWindow()
    labelled.workbench.canvas.setFocus()
    qtbot.waitUntil(lambda: QApplication.focusWidget() is labelled.workbench.canvas)
    both = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    qtbot.keyClick(labelled.workbench.canvas, Qt.Key.Key_M, both)
    dialog = labelled.commands._metrics
    assert dialog is not None and dialog.isVisible()


def test_marks_wait_for_their_image_and_are_dropped_where_another_one_comes(labelled: MainWindow, qtbot: QtBot) -> None:
    workspace, bench = labelled.workbench_workspace, labelled.workbench
    assert workspace is not None
    qtbot.waitUntil(lambda: workspace.current is not None)
    second, third = workspace.images[1:3]
    marks = Marks(second.id, np.ones((48, 64), np.bool_), "all")
    bench.show_marks(marks)
    assert bench.canvas.marks is None
    workspace.open_image(second.id)
    qtbot.waitUntil(lambda: bench.canvas.marks is marks)
    workspace.open_image(third.id)
    qtbot.waitUntil(lambda: bench.canvas.document is not None and bench.canvas.document.item.id == third.id)
    bench.show_marks(marks)
    workspace.open_image(workspace.images[0].id)
    qtbot.waitUntil(lambda: bench.canvas.document is not None and bench.canvas.document.item.id != third.id)
    workspace.open_image(second.id)
    qtbot.waitUntil(lambda: bench.canvas.document is not None and bench.canvas.document.item.id == second.id)
    assert bench.canvas.marks is None
