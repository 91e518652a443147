"""The metrics window evaluates, shows, compares, points at pixels and says when its figures are old."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PySide6.QtCore import Qt
from PySide6.QtGui import QPixmap
from PySide6.QtWidgets import QFileDialog

from segstudio.core.catalog import Catalog
from segstudio.core.errors import UserError
from segstudio.core.events import Change
from segstudio.core.items import ImageItem, Split, Status
from segstudio.core.jobs import CancelToken, JobState
from segstudio.core.metrics import AbsentClasses
from segstudio.evaluation.evaluate import Comparison, Evaluation, Metric, Sample, confused_pixels, evaluate
from segstudio.gui.canvas.marked import Marks
from segstudio.gui.dialogs.metrics import MetricsDialog
from segstudio.gui.dialogs.metrics_figures import difference_text, value_text
from segstudio.gui.dialogs.metrics_worst import Order
from segstudio.services.evaluating import FoundImage
from segstudio.services.jobboard import JobRecord

NAMES = ["background", "cell", "wall", "lumen"]


def labels_of(number: int, shape: tuple[int, int] = (40, 60)) -> np.ndarray:
    """A label: cells on background behind a wall; the last class occurs nowhere."""
    label = np.zeros(shape, np.uint8)
    label[8 : 20 + number, 10 : 30 + number] = 1
    label[:, 40:44] = 2
    label[0] = 255
    return label


def predicted(label: np.ndarray, *, mistaken: int) -> np.ndarray:
    """The label with `mistaken` rows of cells predicted as wall."""
    guess = np.where(label == 255, 0, label).astype(np.uint8)
    guess[8 : 8 + mistaken, 10:30] = 2
    return guess


def evaluation_of(title: str, mistaken: list[int], names: list[str], metrics: tuple[Metric, ...] = ()) -> Any:
    """(evaluation, samples) of as many images as there are numbers of mistaken rows."""
    samples = []
    for number, rows in enumerate(mistaken):
        label = labels_of(number)
        pair = (predicted(label, mistaken=rows), label)
        samples.append(Sample.of_labels(f"cell {number}.png", None, lambda pair=pair: pair))
    return evaluate(samples, Catalog.from_names(names), title=title, metrics=metrics), samples


class InlineTasks:
    """Runs background work at once."""

    def run(self, work: Callable[..., Any], on_done: Callable[..., Any], on_error: Any = None) -> CancelToken:
        token = CancelToken()
        try:
            result = work(token)
        except UserError as error:
            on_error(error)
        else:
            on_done(result)
        return token


@dataclass
class FakeEvaluating:
    """The service with results that a test decides on."""

    calls: list[tuple[Any, ...]]
    scored: list[tuple[Evaluation, list[Sample]]] = field(default_factory=list)
    busy: bool = False
    refuse: str = ""
    on_done: Any = None
    on_error: Any = None

    @property
    def comparison(self) -> Comparison | None:
        return Comparison(tuple(e for e, _ in self.scored)) if self.scored else None

    def start(self, models: tuple[str, ...], *, split: str, options: Any, on_done: Any, on_error: Any) -> Any:
        self.calls.append(("start", models, split, options.metrics, options.absent))
        if self.refuse:
            raise UserError(self.refuse)
        self.busy, self.on_done, self.on_error = True, on_done, on_error
        return self.cancel

    def finish(self, *scored: Any) -> None:
        self.busy, self.scored = False, list(scored)
        self.on_done(self.comparison)

    def fail(self, error: BaseException) -> None:
        self.busy = False
        self.on_error(error)

    def cancel(self) -> None:
        self.calls.append(("cancel_evaluating",))
        self.busy = False

    def set_absent(self, absent: AbsentClasses) -> None:
        self.calls.append(("set_absent", absent))
        self.scored = [(e.with_absent(absent), s) for e, s in self.scored]

    def images_with(self, true_id: int, predicted_id: int, *, result: int = 0) -> list[FoundImage]:
        evaluation, samples = self.scored[result]
        found = evaluation.images_with(true_id, predicted_id)
        return [FoundImage(image_id=index + 1, name=samples[index].name, pixels=pixels) for index, pixels in found]

    def confused(self, image_id: int, true_id: int, predicted_id: int, *, result: int = 0) -> Any:
        return confused_pixels(self.scored[result][1][image_id - 1], true_id, predicted_id)

    def write_report(self, path: Path, *, on_done: Any, on_error: Any) -> None:
        self.calls.append(("write_report", path))
        self.on_done, self.on_error = on_done, on_error


@pytest.fixture
def service(workspace, tmp_path: Path) -> FakeEvaluating:
    """The fake workspace with three reviewed images, one of which validates, and the fake service."""
    workspace.images = []
    for number in range(3):
        path = tmp_path / f"cell {number}.png"
        Image.fromarray(np.full((40, 60, 3), 120, np.uint8)).save(path)
        split = Split.VALIDATION if number == 2 else Split.TRAIN
        item = ImageItem(
            id=number + 1, path=path, name=path.name, status=Status.REVIEWED, split=split, revision=1, decided=1.0
        )
        workspace.images.append(item)
    workspace.catalog = Catalog.from_names(NAMES)
    workspace.tasks = InlineTasks()
    workspace.current_item = None
    workspace.project = SimpleNamespace(path=tmp_path / "cells.segstudio", name="cells")
    workspace.open_image = lambda image_id: workspace.calls.append(("open_image", image_id))
    workspace.say = lambda level, text: workspace.calls.append(("say", level, text))
    workspace.evaluating = FakeEvaluating(workspace.calls)
    return workspace.evaluating


@pytest.fixture
def dialog(qtbot, workspace, service):
    made = MetricsDialog(workspace)
    qtbot.addWidget(made)
    made.show()
    return made


@pytest.fixture
def shown(dialog, service):
    """The window after one model was evaluated on three images."""
    dialog.evaluate()
    service.finish(evaluation_of("U-Net small", [0, 6, 2], NAMES))
    return dialog


@pytest.fixture
def compared(dialog, service):
    """The window after two models were evaluated."""
    dialog.choice.second.setCurrentIndex(dialog.choice.second.findData("run-3"))
    dialog.choice.first.setCurrentIndex(dialog.choice.first.findData("fcn8s"))
    dialog.evaluate()
    one, two = evaluation_of("FCN-8s", [0, 6, 2], NAMES), evaluation_of("U-Net small", [3, 1, 2], NAMES)
    service.finish(one, two)
    return dialog


def click(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def choose_cell(dialog, row: int, column: int) -> None:
    dialog.confusion.map.choose(row, column)


def tab_names(dialog) -> list[str]:
    return [dialog.tabs.tabText(i) for i in range(dialog.tabs.count())]


def table_text(table) -> list[list[str]]:
    model = table.model()
    columns = range(model.columnCount())
    return [[str(model.index(row, column).data()) for column in columns] for row in range(model.rowCount())]


# -- choosing and evaluating -----------------------------------------------------------------------------------------


def test_it_opens_on_the_model_in_use_and_says_that_nothing_is_evaluated_yet(dialog):
    assert dialog.choice.first.currentText() == "In use: U-Net small, run 3"
    assert "Nothing is evaluated yet" in dialog.nothing.words.text() and dialog.nothing.isVisible()
    assert dialog.choice.button.isEnabled() and not dialog.save_button.isEnabled()


def test_evaluate_passes_models_images_further_figures_and_the_convention(qtbot, dialog, workspace):
    dialog.choice.split.setCurrentIndex(2)
    dialog.choice.boxes[Metric.BOUNDARY].setChecked(True)
    dialog.choice.absent.setCurrentIndex(1)
    click(qtbot, dialog.choice.button)
    wanted = ("start", ("run-3",), "all", frozenset({Metric.BOUNDARY}), AbsentClasses.COUNT_ZERO)
    assert workspace.calls == [wanted]
    assert dialog.choice.further.text() == "Boundary F score"


def test_a_network_that_learnt_nothing_is_not_offered_for_comparison(dialog, workspace):
    offered = [dialog.choice.second.itemText(i) for i in range(dialog.choice.second.count())]
    assert offered == ["Nothing", "U-Net small, run 3"]
    info = workspace.models.known[1]
    workspace.models.known[1] = replace(info, card=replace(info.card, trained=True))
    workspace.emit(Change.MODELS)
    assert dialog.choice.second.itemText(2) == "FCN-8s"
    assert dialog.choice.second.currentText() == "Nothing"


def test_without_labels_on_the_chosen_side_it_says_what_to_do(qtbot, dialog, workspace):
    workspace.images = workspace.images[:2]
    workspace.emit(Change.STATUS)
    qtbot.waitUntil(lambda: not dialog.choice.button.isEnabled())
    assert "Mark one reviewed (M)" in dialog.nothing.words.text()
    dialog.choice.split.setCurrentIndex(1)
    assert dialog.choice.button.isEnabled() and "press Evaluate" in dialog.nothing.words.text()


def test_progress_shows_and_cancel_stops(qtbot, dialog, workspace, service):
    dialog.evaluate()
    workspace.jobs.records = [JobRecord(1, "Evaluating U-Net", JobState.RUNNING, 0.4, "1 of 3", True)]
    workspace.emit(Change.JOBS)
    qtbot.waitUntil(lambda: dialog.busy.words.toolTip() == "1 of 3 40 %")
    assert not dialog.choice.button.isEnabled() and not dialog.choice.first.isEnabled()
    click(qtbot, dialog.busy.cancel_button)
    workspace.emit(Change.JOBS)
    assert workspace.calls[-1] == ("cancel_evaluating",)
    qtbot.waitUntil(lambda: not dialog.busy.isVisible())
    assert dialog.choice.button.isEnabled() and "press Evaluate" in dialog.nothing.words.text()


@pytest.mark.parametrize("later", [False, True])
def test_an_evaluation_that_fails_is_one_sentence_and_keeps_the_figures(shown, service, later):
    service.refuse = "" if later else "The weights are missing."
    shown.evaluate()
    if later:
        service.fail(UserError("The weights are missing."))
    assert shown.error.isVisible() and shown.error.text() == "The weights are missing."
    assert shown.headline.isVisible() and shown.choice.button.isEnabled()


def test_a_programming_error_goes_to_the_boundary(dialog, workspace, service):
    bug = ValueError("odd")
    dialog.evaluate()
    service.fail(bug)
    assert workspace.reported == [bug] and not dialog.error.isVisible()


# -- what is shown ---------------------------------------------------------------------------------------------------


def test_the_headline_tells_the_five_figures(shown, service):
    summary = service.comparison.evaluations[0].summary
    figures = (summary.mean_iou, summary.pixel_accuracy, summary.mean_accuracy, summary.mean_dice)
    assert [v.text() for v in shown.headline.values[:4]] == [f"{value:.3f}" for value in figures]
    assert [t.toolTip() for t in shown.headline.titles][-1] == "Frequency-weighted IoU"
    assert "3 images" in shown.remarks.text() and not any(o.isVisible() for o in shown.headline.others)


def test_two_warnings_are_shown_and_the_others_counted(dialog, service):
    dialog.evaluate()
    evaluation, samples = evaluation_of("U-Net", [1], NAMES)
    warnings = tuple(f"Image {number} is gone." for number in range(5))
    service.finish((replace(evaluation, warnings=warnings), samples))
    assert dialog.remarks.text().splitlines()[1:] == ["Image 0 is gone.", "Image 1 is gone.", "… and 3 more"]
    assert dialog.remarks.toolTip().splitlines() == list(warnings)


def test_the_convention_changes_the_means_without_another_run(shown, workspace):
    before = shown.headline.values[0].text()
    shown.choice.absent.setCurrentIndex(shown.choice.absent.findData(AbsentClasses.COUNT_ZERO))
    after = shown.headline.values[0].text()
    assert [c[0] for c in workspace.calls].count("start") == 1
    assert float(after) == pytest.approx(float(before) * 3 / 4, abs=0.001)
    assert [shown.choice.absent.itemText(i) for i in range(3)] == [a.sentence for a in AbsentClasses]


def test_the_class_table_sorts_with_undefined_figures_last_both_ways(shown):
    assert [row[0] for row in table_text(shown.classes)] == NAMES
    assert table_text(shown.classes)[3][1:4] == ["–", "–", "–"]
    for order in Qt.SortOrder:
        shown.classes.sortByColumn(1, order)
        rows = table_text(shown.classes)
        values = [float(row[1]) for row in rows[:3]]
        assert rows[3][0] == "lumen" and values == sorted(values, reverse=order is Qt.SortOrder.DescendingOrder)


def test_a_comparison_shows_both_figures_and_the_difference(compared, service):
    one, two = (e.summary for e in service.comparison.evaluations)
    change = two.mean_iou - one.mean_iou
    assert compared.headline.others[0].text() == f"B {two.mean_iou:.3f}  {change:+.3f}".replace("-", "\u2212")
    cells = table_text(compared.classes)[1]
    assert cells[1:3] == [f"{one.iou[1]:.3f}", f"{two.iou[1]:.3f}"]
    assert cells[3] == f"{two.iou[1] - one.iou[1]:+.3f}"
    assert compared.confusion.which.isVisible()


def test_the_other_model_s_matrix_is_a_choice_away(compared):
    choose_cell(compared, 1, 2)
    first = compared.confusion.said.toolTip()
    compared.confusion.which.setCurrentIndex(1)
    assert compared.confusion.map.chosen_cell == (1, 2)
    assert compared.confusion.cell_title.text() == "cell → wall"
    assert "cell predicted as wall" in first and compared.confusion.map.words(1, 2) != first


def test_further_figures_have_a_tab_each_and_one_that_does_not_apply_says_why(dialog, service):
    metrics = (Metric.BOUNDARY, Metric.TRIMAP, Metric.PANOPTIC, Metric.EM, Metric.CITYSCAPES, Metric.COCO)
    dialog.evaluate()
    service.finish(evaluation_of("U-Net", [1, 2, 3], NAMES, metrics))
    assert tab_names(dialog)[3:] == [metric.heading for metric in Metric]
    boundary = service.comparison.evaluations[0].boundary
    assert table_text(dialog.tables[Metric.BOUNDARY].table)[0][1] == f"{boundary.mean_f_score:.3f}"
    page = dialog.tables[Metric.CITYSCAPES]
    assert page.table.isHidden() and "Needs Cityscapes' own class names" in page.missing.words.text()
    service.finish(evaluation_of("U-Net", [1, 2, 3], NAMES))
    assert tab_names(dialog) == ["Confusion", "Classes", "Worst images"]


def test_two_models_stand_side_by_side_in_further_tables(dialog, service):
    dialog.evaluate()
    pair = [evaluation_of(title, rows, NAMES, (Metric.TRIMAP,)) for title, rows in (("A", [1]), ("B", [4]))]
    service.finish(*pair)
    table = dialog.tables[Metric.TRIMAP].table
    assert table.figures.headings[1:3] == ("Mean IoU A", "Mean IoU B")
    bands = [e.trimap.bands[0].mean_iou for e, _ in pair]
    assert table_text(table)[0][1:3] == [f"{value:.3f}" for value in bands]


# -- the images behind the figures -----------------------------------------------------------------------------------


def test_a_cell_lists_the_images_with_most_such_pixels_first(shown):
    assert shown.confusion.nothing.isVisible()
    choose_cell(shown, 1, 2)
    entries = shown.confusion.images.entries
    assert [(e.name, e.words) for e in entries] == [("cell 1.png", "120 pixels"), ("cell 2.png", "40 pixels")]
    assert isinstance(shown.confusion.images.picture(0), QPixmap) and not shown.confusion.nothing.isVisible()


def test_the_small_picture_marks_the_pixels(shown):
    choose_cell(shown, 1, 2)
    image = shown.confusion.images.picture(0).toImage()
    marked, other = image.pixelColor(20, 10), image.pixelColor(50, 30)
    assert marked.saturation() > 150 and other.saturation() == 0


def test_a_cell_that_no_image_has_says_so(shown):
    choose_cell(shown, 2, 1)
    assert shown.confusion.nothing.words.text() == "No image holds such pixels."
    assert not shown.confusion.images.isVisible()


def test_a_click_on_an_image_opens_it_and_points_out_its_pixels(qtbot, shown, workspace):
    told = []
    shown.marks_changed.connect(told.append)
    choose_cell(shown, 1, 2)
    item = shown.confusion.images.item(0)
    view = shown.confusion.images
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=view.visualItemRect(item).center())
    assert ("open_image", 2) in workspace.calls
    marks = told[-1]
    assert isinstance(marks, Marks) and marks.image_id == 2 and int(marks.pixels.sum()) == 120
    assert marks.words == "cell → wall: 120 pixels"


def test_esc_takes_the_marks_away_first_and_then_closes(qtbot, shown):
    told = []
    choose_cell(shown, 1, 2)
    shown.confusion.images.itemActivated.emit(shown.confusion.images.item(0))
    shown.marks_changed.connect(told.append)
    qtbot.keyClick(shown, Qt.Key.Key_Escape)
    assert told == [None] and shown.isVisible()
    qtbot.keyClick(shown, Qt.Key.Key_Escape)
    assert not shown.isVisible()


def test_pixels_that_cannot_be_read_any_more_are_one_sentence(shown, service):
    choose_cell(shown, 1, 2)

    def gone(*_args: Any, **_more: Any) -> Any:
        raise UserError("The labels of cell 1.png are gone.")

    service.confused = gone
    choose_cell(shown, 1, 2)
    shown.confusion.images.itemActivated.emit(shown.confusion.images.item(0))
    assert shown.error.text() == "The labels of cell 1.png are gone."
    assert shown.confusion.images.picture(0) == "The labels of cell 1.png are gone."


def test_the_worst_images_come_first_and_two_models_tell_which_moved(shown, compared):
    names = [entry.name for entry in compared.worst.images.entries]
    assert names[0] == "cell 1.png"
    compared.worst.order.setCurrentIndex(compared.worst.order.findData(Order.LOST))
    entry = compared.worst.images.entries[0]
    assert entry.name == "cell 0.png" and entry.words.startswith("\u2212") and len(compared.worst.images.entries) == 1


# -- when figures are old --------------------------------------------------------------------------------------------


def test_changed_labels_make_the_figures_old_and_ask_for_another_evaluation(qtbot, shown, workspace):
    assert not shown.stale.isVisible()
    workspace.emit(Change.SAVED)
    shown._refresh()
    assert not shown.stale.isVisible()
    workspace.images[2] = replace(workspace.images[2], revision=2)
    workspace.emit(Change.SAVED)
    qtbot.waitUntil(shown.stale.isVisible)
    assert shown.stale.text.text() == "Labels have changed since these figures were made."
    assert shown.choice.button.text() == "Evaluate again"


def test_labels_of_images_that_were_not_evaluated_leave_the_figures_alone(shown, workspace):
    workspace.images[0] = replace(workspace.images[0], revision=9)
    shown._refresh()
    assert not shown.stale.isVisible()


def test_another_model_in_use_makes_the_figures_old(shown, workspace):
    info = workspace.models.known[1]
    workspace.models.known[1] = replace(info, card=replace(info.card, trained=True))
    workspace.models.active = workspace.models.known[1].card
    workspace.emit(Change.MODELS)
    shown._refresh()
    assert shown.choice.first.currentText() == "In use: FCN-8s"
    assert shown.stale.text.text() == "These figures are those of U-Net small."


def test_other_classes_make_the_figures_old(shown, workspace):
    workspace.catalog = Catalog.from_names([*NAMES, "nucleus"])
    shown._refresh()
    assert shown.stale.text.text() == "The classes have changed since these figures were made."


# -- saving and closing ----------------------------------------------------------------------------------------------


def test_save_report_writes_the_web_page_through_the_service(qtbot, shown, workspace, service, tmp_path, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_a, **_k: (str(tmp_path / "figures"), ""))
    click(qtbot, shown.save_button)
    assert workspace.calls[-1] == ("write_report", tmp_path / "figures.html")
    assert not shown.outcome.isVisible()
    service.on_done(tmp_path / "figures.html")
    assert shown.outcome.isVisible() and shown.outcome.text() == "Saved as figures.html"


def test_a_file_nobody_was_asked_about_is_not_replaced(qtbot, shown, workspace, tmp_path, monkeypatch):
    (tmp_path / "figures.html").write_text("mine", encoding="utf-8")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_a, **_k: (str(tmp_path / "figures"), ""))
    click(qtbot, shown.save_button)
    assert shown.error.text() == "figures.html exists already. Choose another name."
    assert workspace.calls[-1][0] != "write_report"


def test_save_report_writes_json_with_every_figure(compared, service, tmp_path):
    compared.save_to(tmp_path / "figures.json")
    told = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert told["titles"] == ["FCN-8s", "U-Net small"]
    assert told["evaluations"][0]["mean_iou"] == service.comparison.evaluations[0].summary.mean_iou


def test_a_report_that_cannot_be_written_is_one_sentence(shown, tmp_path):
    shown.save_to(tmp_path / "nowhere" / "figures.json")
    assert "figures.json cannot be written" in shown.error.text()


def test_it_keeps_its_figures_while_it_is_closed_and_takes_new_ones(shown, service, workspace):
    shown.evaluate()
    shown.close()
    service.finish(evaluation_of("U-Net small", [0, 0, 0], NAMES))
    shown.show()
    assert shown.headline.values[1].text() == "1.000"


def test_discarded_it_follows_its_project_no_longer(shown, workspace, service):
    shown.evaluate()
    shown.discard()
    service.finish(evaluation_of("U-Net small", [0, 0, 0], NAMES))
    workspace.emit(Change.MODELS)
    assert not shown.isVisible() and shown.headline.values[1].text() != "1.000"


# -- room and keys ---------------------------------------------------------------------------------------------------


def test_forty_classes_with_long_names_fit_the_smallest_window(qtbot, dialog, service):
    names = [f"class with a rather long name {number}" for number in range(40)]
    dialog.evaluate()
    one, two = (evaluation_of(f"{'Long title ' * 12}{which}", [1, 2, 3], names) for which in "AB")
    service.finish(one, two)
    choose_cell(dialog, 1, 2)
    dialog.resize(dialog.minimumSize())
    qtbot.waitUntil(lambda: dialog.size() == dialog.minimumSize())
    for button in (dialog.choice.button, dialog.save_button, dialog.close_button):
        assert dialog.rect().contains(button.geometry()) or button.parent() is not dialog
        assert button.width() >= button.minimumSizeHint().width()
    assert dialog.confusion.map.viewport().height() > 100


def test_every_field_can_be_reached_by_tab_and_has_a_name(dialog):
    choice = dialog.choice
    for widget in (choice.first, choice.second, choice.split, choice.further, choice.absent, choice.button):
        assert widget.accessibleName() and widget.toolTip(), widget
        assert widget.focusPolicy() & Qt.FocusPolicy.TabFocus


@pytest.mark.parametrize("index", range(3))
def test_the_list_of_conventions_shows_whole_sentences_as_tooltip(dialog, index):
    dialog.choice.absent.setCurrentIndex(index)
    assert list(AbsentClasses)[index].sentence in dialog.choice.absent.toolTip()


def test_numbers_and_differences_are_written_alike_everywhere():
    assert [value_text(v) for v in (0.12345, 1234, float("nan"))] == ["0.123", "1,234", "–"]
    assert [difference_text(v) for v in (0.1, -0.25, 0.0001, float("nan"))] == ["+0.100", "\u22120.250", "±0", "–"]
