"""The window as a person uses it: open, move, type, paint, look for help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, QRect, Qt, QUrl
from PySide6.QtGui import QDropEvent, QPixmap, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QComboBox, QLineEdit, QSlider, QWidget
from pytestqt.qtbot import QtBot

from segstudio.core.catalog import IGNORE
from segstudio.core.geometry import Rect
from segstudio.core.items import Status
from segstudio.core.prediction import NO_OPINION, Prediction, Refinement
from segstudio.core.settings import Settings
from segstudio.gui import commands
from segstudio.gui.dialogs.models import ModelsDialog
from segstudio.gui.dialogs.new_project import NewProjectDialog
from segstudio.gui.main_window import MainWindow
from segstudio.gui.thumbnails import SIZE_PX
from segstudio.gui.tour import STEPS
from segstudio.refine.params import CrfParams
from segstudio.services.finetuning import Readiness

Shown = Callable[[MainWindow], str | None]


def _focus(window: MainWindow, qtbot: QtBot) -> None:
    window.activateWindow()
    window.workbench.canvas.setFocus()
    qtbot.waitUntil(lambda: QApplication.focusWidget() is window.workbench.canvas)


def _paint(window: MainWindow) -> None:
    workspace = window.workbench_workspace
    assert workspace is not None
    assert workspace.current is not None
    gesture = workspace.current.begin("Brush stroke")
    gesture.paint(np.ones((4, 4), dtype=np.bool_), 2, 2, 1)
    gesture.commit()


def test_a_window_without_a_path_shows_the_welcome_page(window: MainWindow) -> None:
    assert window.stack.currentWidget() is window.welcome
    assert set(window.welcome.choices) == {"open_folder", "open_project", "new_project", "open_demo"}
    assert not window.welcome.empty.isHidden()


def test_open_folder_on_the_welcome_page_leads_to_the_first_image(
    window: MainWindow, image_folder: Path, qtbot: QtBot, shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands.QFileDialog, "getExistingDirectory", lambda *_a, **_k: str(image_folder))
    qtbot.mouseClick(window.welcome.choices["open_folder"], Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: shown(window) == "cell 1.png")
    assert window.stack.currentWidget() is window.workbench
    assert window.workbench.images.model.rowCount() == 4
    assert window.actions_table["brush"].isEnabled()


def test_a_project_once_opened_is_listed_as_recent_and_opens_from_there(
    opened: MainWindow, qtbot: QtBot, shown: Shown
) -> None:
    opened.close_project()
    assert opened.stack.currentWidget() is opened.welcome
    assert opened.welcome.recent_model.rowCount() == 1
    opened.welcome._choose(opened.welcome.recent_model.index(0))
    qtbot.waitUntil(lambda: shown(opened) == "cell 1.png")


def test_the_recent_list_shows_a_picture_of_the_image_left_last(opened: MainWindow) -> None:
    opened.close_project()
    model = opened.welcome.recent_model
    picture = model.data(model.index(0), Qt.ItemDataRole.DecorationRole)
    assert isinstance(picture, QPixmap)
    assert picture.width() == picture.height() == SIZE_PX


def test_the_demo_starts_the_tour_once_its_proposal_is_there(
    opened: MainWindow, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = opened.workbench_workspace
    assert workspace is not None
    monkeypatch.setattr(opened, "_open", lambda _make: True)
    opened.open_demo()
    assert opened._tour is None
    assert workspace.current is not None
    labels = np.zeros((48, 64), np.uint8)
    workspace.current.set_prediction(
        Prediction(
            labels=labels,
            confidence=labels,
            probabilities=None,
            class_ids=(0, 1),
            model_id="m",
            image_revision=0,
        )
    )
    qtbot.waitUntil(lambda: opened._tour is not None and opened._tour.running)
    assert opened.settings.get("tour_seen", False)
    assert opened.actions_table["accept_all"].isEnabled()


def test_a_path_that_is_nothing_is_a_sentence_and_changes_nothing(opened: MainWindow, tmp_path: Path) -> None:
    workspace = opened.workbench_workspace
    assert not opened.open_path(tmp_path / "nowhere")
    assert "nothing at" in opened.messages.text
    assert opened.workbench_workspace is workspace


def test_a_folder_dropped_on_the_window_opens(
    window: MainWindow, image_folder: Path, qtbot: QtBot, shown: Shown
) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(image_folder))])
    event = QDropEvent(
        QPointF(9, 9), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    )
    window.dropEvent(event)
    qtbot.waitUntil(lambda: shown(window) == "cell 1.png")


def test_a_and_d_go_through_the_images(opened: MainWindow, qtbot: QtBot, shown: Shown) -> None:
    _focus(opened, qtbot)
    QTest.keyClick(opened.workbench.canvas, Qt.Key.Key_D)
    qtbot.waitUntil(lambda: shown(opened) == "cell 2.png")
    assert opened.workbench.images.current_id() == opened.workbench_workspace.current_item.id  # type: ignore[union-attr]
    QTest.keyClick(opened.workbench.canvas, Qt.Key.Key_A)
    qtbot.waitUntil(lambda: shown(opened) == "cell 1.png")


def test_a_click_in_the_list_opens_that_image(opened: MainWindow, qtbot: QtBot, shown: Shown) -> None:
    view = opened.workbench.images.view
    spot = view.visualRect(opened.workbench.images.model.index(2)).center()
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=spot)
    qtbot.waitUntil(lambda: shown(opened) == "cell 3.png")


def test_digits_choose_the_class_to_paint_with(opened: MainWindow, qtbot: QtBot) -> None:
    _focus(opened, qtbot)
    canvas = opened.workbench.canvas
    assert canvas.active_class == 1
    QTest.keyClick(canvas, Qt.Key.Key_1)
    assert canvas.active_class == 0
    QTest.keyClick(canvas, Qt.Key.Key_0)
    assert canvas.active_class == 255


def test_tool_keys_change_the_tool(opened: MainWindow, qtbot: QtBot) -> None:
    _focus(opened, qtbot)
    bench = opened.workbench
    keys = {Qt.Key.Key_E: "eraser", Qt.Key.Key_P: "polygon", Qt.Key.Key_G: "fill", Qt.Key.Key_B: "brush"}
    for key, name in keys.items():
        QTest.keyClick(bench.canvas, key)
        assert bench.canvas.tool is bench.tools[name]
    assert opened.actions_table["brush"].isChecked()


def test_letters_and_digits_are_text_while_a_text_field_has_the_focus(
    opened: MainWindow, qtbot: QtBot, shown: Shown
) -> None:
    search = opened.workbench.images.search
    opened.activateWindow()
    opened.actions_table["find_image"].trigger()
    qtbot.waitUntil(lambda: QApplication.focusWidget() is search)
    tool = opened.workbench.canvas.tool
    for key in (Qt.Key.Key_D, Qt.Key.Key_E, Qt.Key.Key_2, Qt.Key.Key_Return, Qt.Key.Key_H):
        QTest.keyClick(search, key)
    assert search.text() == "de2h"
    assert opened.workbench.canvas.tool is tool
    assert not opened.workbench.canvas.overlay_hidden
    assert shown(opened) == "cell 1.png"


def test_holding_h_hides_the_overlay_until_it_is_released(opened: MainWindow, qtbot: QtBot) -> None:
    _focus(opened, qtbot)
    canvas = opened.workbench.canvas
    QTest.keyPress(canvas, Qt.Key.Key_H)
    assert canvas.overlay_hidden
    QTest.keyRelease(canvas, Qt.Key.Key_H)
    assert not canvas.overlay_hidden


def test_holding_s_shows_the_proposal_from_before_until_it_is_released(opened: MainWindow, qtbot: QtBot) -> None:
    _focus(opened, qtbot)
    canvas, compare = opened.workbench.canvas, opened.actions_table["compare"]
    assert not compare.isEnabled()
    annotator = opened.workbench_workspace.current  # type: ignore[union-attr]
    assert annotator is not None
    zeros = np.zeros(annotator.map.shape, np.uint8)
    before = Prediction(labels=zeros, confidence=zeros, probabilities=None, class_ids=(0, 1), model_id="m")
    refinement = Refinement(before=before, live=(0, 1))
    annotator.set_prediction(replace(before, labels=zeros + 1, refined=True, refinement=refinement))
    assert compare.isEnabled()
    QTest.keyPress(canvas, Qt.Key.Key_S)
    assert canvas.comparing
    QTest.keyRelease(canvas, Qt.Key.Key_S)
    assert not canvas.comparing
    QTest.keyClick(canvas, Qt.Key.Key_S, Qt.KeyboardModifier.ShiftModifier)
    assert canvas.split == 0.5
    assert opened.workbench.side.refine.result.slider.value() == 500
    opened.workbench.side.refine.result.slider.setValue(0)
    assert not canvas.comparing


def test_the_refinement_panel_draws_its_reach_on_the_canvas(opened: MainWindow) -> None:
    opened.workbench.side.refine.reach_box.click()
    reach = opened.workbench.canvas.reach
    assert reach is not None
    assert reach.color == opened.workbench.side.refine.params().bilateral_xy
    opened.workbench.side.refine.reach_box.click()
    assert opened.workbench.canvas.reach is None


def test_undo_names_the_edit_and_takes_it_back(opened: MainWindow, qtbot: QtBot) -> None:
    _paint(opened)
    undo = opened.actions_table["undo"]
    assert undo.isEnabled()
    assert undo.text() == "Undo brush stroke"
    undo.trigger()
    assert not undo.isEnabled()
    assert opened.actions_table["redo"].isEnabled()
    assert not opened.workbench_workspace.current.map.decided.any()  # type: ignore[union-attr]


def test_marking_reviewed_shows_in_list_count_and_saves(opened: MainWindow, qtbot: QtBot) -> None:
    _paint(opened)
    assert opened.status.saved.text() == "Saving …"
    opened.actions_table["mark_reviewed"].trigger()
    qtbot.waitUntil(lambda: opened.workbench.images.count.text() == "1 of 4 reviewed")
    assert opened.workbench.images.model.item(0).status is Status.REVIEWED
    qtbot.waitUntil(lambda: opened.status.saved.text() == "All changes saved")


def test_the_status_bar_names_pixel_class_and_size(opened: MainWindow) -> None:
    _paint(opened)
    opened.workbench.canvas.cursor_moved.emit(3, 2)
    assert opened.status.pixel.text() == "3, 2   object"
    opened.workbench.canvas.cursor_moved.emit(40, 30)
    assert opened.status.pixel.text().endswith("undecided")
    assert opened.status.picture.text() == "64 × 48"
    opened.workbench.canvas.cursor_moved.emit(-1, -1)
    assert opened.status.pixel.text() == ""


def test_a_running_job_shows_with_progress_and_can_be_stopped(opened: MainWindow, qtbot: QtBot) -> None:
    workspace = opened.workbench_workspace
    assert workspace is not None
    stopped: list[int] = []
    job = workspace.jobs.add("Exporting", lambda: stopped.append(1))
    workspace.jobs.progress(job, 0.5, "2 of 4")
    assert not opened.status.job_box.isHidden()
    assert opened.status.job_progress.value() == 500
    opened.status.job_cancel.click()
    assert stopped == [1]
    workspace.jobs.finish(job)
    assert opened.status.job_box.isHidden()


def test_editing_a_class_reaches_the_project(opened: MainWindow) -> None:
    opened.actions_table["add_class"].trigger()
    workspace = opened.workbench_workspace
    assert workspace is not None
    assert workspace.catalog.names == ("background", "object", "Class 3")
    assert opened.actions_table["class_2"].text() == "object"


def test_deleting_a_class_in_use_is_refused_with_a_sentence(opened: MainWindow) -> None:
    _paint(opened)
    workspace = opened.workbench_workspace
    assert workspace is not None
    opened.workbench._edit_catalog(workspace.catalog.without(1))
    assert '"object" labels pixels' in opened.messages.text
    assert opened.workbench.side.classes.model.catalog == workspace.catalog


def test_the_message_bar_floats_inside_the_canvas(opened: MainWindow, qtbot: QtBot) -> None:
    opened.messages.show_message("error", "A sentence. " * 12, "And a hint.")
    qtbot.wait(10)
    canvas = opened.workbench.canvas
    area = canvas.rect().translated(canvas.mapTo(opened.stack, QPoint(0, 0)))
    assert area.contains(opened.messages.geometry())
    assert opened.messages._text.height() >= opened.messages._text.heightForWidth(opened.messages._text.width())


def test_a_long_address_in_a_message_does_not_widen_the_bar(opened: MainWindow, qtbot: QtBot) -> None:
    opened.messages.show_message("error", "The weights are missing.", "Fetch https://example.org/" + "x" * 300)
    qtbot.wait(10)
    assert opened.messages.width() <= opened.workbench.canvas.width() - 32
    text = opened.messages._text
    assert text.document().size().width() <= text.width()
    assert text.height() >= text.heightForWidth(text.width())


def test_a_box_drawn_on_the_canvas_gets_labels_inside_it_and_nowhere_else(
    opened: MainWindow, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, canvas = opened.workbench_workspace, opened.workbench.canvas
    assert workspace is not None
    assert workspace.current is not None
    waiting: list[Rect | None] = []
    monkeypatch.setattr(canvas, "set_waiting_box", waiting.append)
    _focus(opened, qtbot)
    qtbot.keyClick(canvas, Qt.Key.Key_W)
    assert canvas.tool is opened.workbench.tools["box"]
    ends = [QPointF(*canvas.viewport.to_view(x, y)).toPoint() for x, y in ((10.5, 5.5), (29.5, 20.5))]
    qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=ends[0])
    qtbot.mouseMove(canvas, ends[1])
    qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=ends[1])
    qtbot.waitUntil(lambda: workspace.current is not None and workspace.current.prediction is not None)
    labels = workspace.current.prediction.labels
    expected = np.zeros((48, 64), np.bool_)
    expected[5:21, 10:30] = True
    assert np.array_equal(labels != NO_OPINION, expected)
    assert Rect(5, 10, 16, 20) in waiting
    assert waiting[-1] is None
    opened.workbench._show_pixel(40, 30)
    assert opened.status.pixel.text().endswith("undecided")


@pytest.mark.parametrize(("painted", "sent"), [(1, 1), (IGNORE, None)])
def test_a_box_is_drawn_around_an_object_of_the_class_in_hand(
    opened: MainWindow, monkeypatch: pytest.MonkeyPatch, painted: int, sent: int | None
) -> None:
    workspace = opened.workbench_workspace
    assert workspace is not None
    asked: list[tuple[Rect, int | None]] = []
    monkeypatch.setattr(workspace.predicting, "predict_box", lambda box, class_id: asked.append((box, class_id)))
    opened.workbench.canvas.set_active_class(painted)
    opened.workbench.canvas.box_drawn.emit(Rect(1, 2, 8, 9))
    assert asked == [(Rect(1, 2, 8, 9), sent)]


def test_a_checkpoint_becomes_a_model_that_can_be_used(opened: MainWindow, qtbot: QtBot, tmp_path: Path) -> None:
    from segstudio.nets.checkpoint import save_checkpoint
    from segstudio.nets.registry import create_model

    net = create_model("unet-small", classes=2, width=4)
    net.class_names = ("background", "object")
    save_checkpoint(net, tmp_path / "my net.pt")
    workspace = opened.workbench_workspace
    assert workspace is not None
    dialog = ModelsDialog(workspace, opened)
    dialog.show()
    dialog.import_file(tmp_path / "my net.pt")
    qtbot.waitUntil(lambda: dialog.list.chosen_id == "my-net")
    assert dialog.error.text() == ""
    assert "with 2 classes: background, object" in dialog.detail.outcome.text.text()
    dialog.use()
    assert workspace.models.active_info.knows_classes
    assert workspace.models.active_info.section == "Imported"
    dialog.close()


def test_the_speed_of_a_network_is_measured_by_the_engine(
    opened: MainWindow, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    from segstudio.engine import measure

    monkeypatch.setattr(measure, "_SIZE", (24, 32))
    workspace = opened.workbench_workspace
    assert workspace is not None
    dialog = ModelsDialog(workspace, opened)
    dialog.show()
    dialog.measure()
    words = "500 × 375 image on"
    qtbot.waitUntil(lambda: words in dialog.detail.speed.value.text(), timeout=30_000)
    dialog.close()


def test_a_model_that_cannot_run_here_says_so_instead_of_training(
    opened: MainWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segstudio.services.fitting.total_memory", lambda: 100 << 20)
    opened.actions_table["train"].trigger()
    assert opened.messages.text.startswith("U-Net, small cannot run here. Needs about 0.2 GiB")


def test_the_training_key_takes_the_time_and_the_recipe_that_the_panel_shows(
    opened: MainWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = opened.workbench_workspace
    assert workspace is not None
    asked: list[tuple[float | None, str]] = []
    monkeypatch.setattr(
        workspace.finetuning, "readiness", lambda: Readiness(ready=True, reason="", train_images=1, validation_images=1)
    )
    monkeypatch.setattr(workspace.finetuning, "start", lambda *, minutes, recipe: asked.append((minutes, recipe)))
    panel = opened.workbench.side.training
    for title, recipe in (("1 minute", "few-images"), ("Until stopped", "published")):
        panel.time.setCurrentText(title)
        panel.recipes.setCurrentIndex(panel.recipes.findData(recipe))
        opened.actions_table["train"].trigger()
    assert asked == [(1.0, "few-images"), (None, "published")]


def test_the_refinement_key_takes_the_numbers_that_the_panel_shows(
    opened: MainWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = opened.workbench_workspace
    assert workspace is not None
    asked: list[CrfParams] = []
    monkeypatch.setattr(workspace.refining, "refine_current", lambda params, _engine, exact: asked.append(params))
    panel = opened.workbench.side.refine
    panel.fields["iterations"].setValue(7)
    opened.actions_table["refine"].setEnabled(True)
    opened.actions_table["refine"].trigger()
    assert [params.iterations for params in asked] == [7]


def test_a_new_proposal_shows_under_a_pointer_that_rests(opened: MainWindow) -> None:
    workspace = opened.workbench_workspace
    assert workspace is not None
    assert workspace.current is not None
    opened.workbench.canvas.cursor_moved.emit(3, 4)
    assert opened.status.pixel.text().endswith("undecided")
    labels = np.ones((48, 64), np.uint8)
    sure = np.full((48, 64), 255, np.uint8)
    workspace.current.set_prediction(
        Prediction(labels=labels, confidence=sure, probabilities=None, class_ids=(0, 1), model_id="m", image_revision=0)
    )
    assert opened.status.pixel.text().endswith("object? 100 %")


def test_undo_while_drawing_takes_back_the_drawing_and_nothing_else(opened: MainWindow, qtbot: QtBot) -> None:
    workspace = opened.workbench_workspace
    assert workspace is not None
    assert workspace.current is not None
    _paint(opened)
    _focus(opened, qtbot)
    canvas = opened.workbench.canvas
    opened.actions_table["polygon"].trigger()
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=canvas.rect().center())
    assert canvas.gesture_active
    opened.actions_table["undo"].trigger()
    assert not canvas.gesture_active
    assert workspace.current.map.decided[2:6, 2:6].all()
    opened.actions_table["undo"].trigger()
    assert not workspace.current.map.decided.any()


def test_f2_renames_the_current_class_from_the_canvas(opened: MainWindow, qtbot: QtBot) -> None:
    workspace = opened.workbench_workspace
    assert workspace is not None
    _focus(opened, qtbot)
    QTest.keyClick(opened.workbench.canvas, Qt.Key.Key_F2)
    editor = opened.workbench.side.classes.view.findChild(QLineEdit)
    assert editor is not None
    editor.setText("coin")
    QTest.keyClick(editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: workspace.catalog.names == ("background", "coin"))
    opened.actions_table["class_0"].trigger()
    opened.actions_table["rename_class"].trigger()
    assert "Ignore keeps its name" in opened.messages.text


def test_the_wheel_changes_a_number_of_the_side_column_only_in_focus(opened: MainWindow, qtbot: QtBot) -> None:
    side = opened.workbench.side
    opened.resize(1100, 700)
    side.complete()
    _focus(opened, qtbot)
    qtbot.wait(50)
    side.show_section("refine")
    spin = side.refine.fields["iterations"]
    assert not spin.visibleRegion().isEmpty()
    before = spin.value()

    def turn() -> None:
        middle, nothing = QPointF(spin.rect().center()), Qt.KeyboardModifier.NoModifier
        away = QPointF(spin.mapToGlobal(spin.rect().center()))
        phase, up = Qt.ScrollPhase.NoScrollPhase, QPoint(0, 120)
        wheel = QWheelEvent(middle, away, QPoint(), up, Qt.MouseButton.NoButton, nothing, phase, False)
        QApplication.sendEvent(spin, wheel)

    turn()
    assert spin.value() == before
    spin.setFocus()
    turn()
    assert spin.value() > before


def test_tab_goes_through_the_columns_as_one_reads(opened: MainWindow, qtbot: QtBot) -> None:
    _focus(opened, qtbot)
    bench = opened.workbench
    parts = (bench.images, bench.view_bar, bench.tool_bar, bench.canvas, bench.side)
    seen: list[QWidget] = []
    for _ in range(60):
        QTest.keyClick(QApplication.focusWidget(), Qt.Key.Key_Tab)
        focused = QApplication.focusWidget()
        part = next(part for part in parts if part is focused or part.isAncestorOf(focused))
        if not seen or seen[-1] is not part:
            seen.append(part)
        if focused is bench.canvas:
            break
    assert seen == [bench.side, bench.images, bench.view_bar, bench.tool_bar, bench.canvas]


def test_return_presses_the_choice_in_focus_on_the_welcome_page(window: MainWindow, qtbot: QtBot) -> None:
    button = window.welcome.choices["open_project"]
    button.clicked.disconnect()
    with qtbot.waitSignal(button.clicked):
        QTest.keyClick(button, Qt.Key.Key_Return)


def test_every_bubble_of_the_tour_points_at_something_that_is_there(opened: MainWindow) -> None:
    opened.start_tour()
    tour = opened._tour
    assert tour is not None
    for step in STEPS:
        target = tour._target()
        area = QRect(target.mapTo(opened, QPoint(0, 0)), target.size())
        tip = tour.bubble.mapTo(opened, tour.bubble._tip.toPoint())
        assert area.adjusted(-12, -12, 12, 12).contains(tip), step.title
        if step.target == "tools":
            buttons = [b.geometry() for b in target.findChildren(QAbstractButton)]
            assert tip.y() - area.top() < max(b.bottom() for b in buttons)
        assert not area.contains(tour.bubble.geometry().center())
        tour.forward()


def test_the_tour_walks_through_five_steps_by_keyboard(opened: MainWindow, qtbot: QtBot) -> None:
    opened.actions_table["tour"].trigger()
    tour = opened._tour
    assert tour is not None
    assert len(STEPS) == 5
    for step in STEPS:
        assert tour.step is step
        assert opened.rect().contains(tour.bubble.geometry())
        QTest.keyClick(tour.bubble, Qt.Key.Key_Right)
    assert not tour.running
    opened.start_tour()
    tour = opened._tour
    assert tour is not None
    QTest.keyClick(tour.bubble, Qt.Key.Key_Escape)
    assert not tour.running


def test_the_window_fits_a_small_screen(opened: MainWindow, qtbot: QtBot) -> None:
    opened.resize(1100, 700)
    qtbot.wait(10)
    assert opened.size().width() == 1100
    assert opened.workbench.canvas.width() >= 400
    bar = opened.workbench.view_bar
    assert bar.rect().right() >= bar.reviewed.geometry().right()


def test_every_control_has_an_accessible_name(opened: MainWindow) -> None:
    bench = opened.workbench
    mine = [opened.welcome, opened.status, opened.messages]
    mine += [bench.images, bench.view_bar, bench.tool_bar, bench.side.classes]
    nameless = [
        (type(widget).__name__, widget.objectName())
        for part in mine
        for kind in (QAbstractButton, QLineEdit, QComboBox, QSlider)
        for widget in part.findChildren(kind)
        if not (widget.accessibleName() or (isinstance(widget, QAbstractButton) and widget.text()))
        and widget.objectName() not in ("qt_spinbox_lineedit", "_q_qlineeditclearaction")
        and not isinstance(widget.parent(), QLineEdit)
        and type(widget).__name__ != "QTableCornerButton"
        and widget.metaObject().className() != "QTableCornerButton"
    ]
    assert nameless == []


def test_closing_the_window_remembers_sizes(opened: MainWindow, settings: Settings) -> None:
    opened.close()
    stored = Settings(settings.path)
    assert len(stored.get("splitter_sizes", [0])) == 3
    assert stored.get("window_geometry", "")


def test_the_new_project_dialog_checks_and_hands_over(
    qtbot: QtBot, themed: object, image_folder: Path, tmp_path: Path
) -> None:
    dialog = NewProjectDialog()
    qtbot.addWidget(dialog)
    dialog._finish()
    assert "folder of images" in dialog.problem.text()
    dialog.images.setText(str(image_folder))
    assert dialog.name.text() == "pictures"
    dialog.folder.setText(str(tmp_path))
    dialog.names.setPlainText("sky\nroad\n\n")
    with qtbot.waitSignal(dialog.ready) as signal:
        dialog._finish()
    path, images, catalog = signal.args
    assert (path, images, catalog.names) == (tmp_path / "pictures.segstudio", image_folder, ("sky", "road"))


def test_a_new_project_opens_with_its_classes(window: MainWindow, image_folder: Path, tmp_path: Path) -> None:
    from segstudio.core.catalog import Catalog

    assert window.create_project(tmp_path / "mine.segstudio", image_folder, Catalog.from_names(["sky", "road"]))
    assert window.workbench.side.classes.model.catalog.names == ("sky", "road")
    assert "mine" in window.windowTitle()
