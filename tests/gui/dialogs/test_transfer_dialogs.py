"""Export and import show what would happen, do it, and tell what happened; over services that only note calls."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PySide6.QtCore import Qt

from segstudio.core.errors import UserError
from segstudio.core.events import Change
from segstudio.core.items import Status
from segstudio.core.jobs import CancelToken, JobState
from segstudio.core.settings import Settings
from segstudio.formats.base import ExportReport
from segstudio.formats.classes import SourceClass
from segstudio.formats.loss import LossReport, SegmentLoss
from segstudio.formats.registry import FORMATS
from segstudio.gui.dialogs.export import ExportDialog
from segstudio.gui.dialogs.import_labels import ImportDialog
from segstudio.gui.dialogs.loss_check import CheckState
from segstudio.services.exporting import ImageFiles, Shapes
from segstudio.services.importing import ImportReport
from segstudio.services.jobboard import JobRecord
from segstudio.services.mapping import ADD
from segstudio.services.previewing import ImportPreview


@dataclass
class FakeExporting:
    calls: list[tuple[Any, ...]]
    reviewed: int = 3
    labelled: int = 5
    asked: list[SimpleNamespace] = field(default_factory=list)
    on_done: Any = None
    on_error: Any = None

    def formats(self):
        return [FORMATS[name] for name in ("voc", "coco", "index-png")]

    def count(self, *, reviewed_only):
        return self.reviewed if reviewed_only else self.labelled

    def export(self, name, out, *, reviewed_only, options, on_done, on_error):
        self.calls.append(("export", name, out, reviewed_only, options))
        self.on_done, self.on_error = on_done, on_error
        return lambda: self.calls.append(("cancel_export",))

    def losses(self, name, *, reviewed_only, options, on_done, on_error):
        self.asked.append(SimpleNamespace(name=name, options=options, on_done=on_done, on_error=on_error))
        return lambda: self.calls.append(("cancel_losses", name))


@dataclass
class FakeImporting:
    calls: list[tuple[Any, ...]]
    seen: ImportPreview
    on_done: Any = None
    on_error: Any = None

    def formats(self):
        return [FORMATS[name] for name in ("voc", "coco", "index-png")]

    def preview(self, name, source, on_done, _on_error):
        self.calls.append(("preview", name, source))
        on_done(self.seen)
        return lambda: None

    def import_labels(self, name, source, *, options, on_done, on_error):
        self.calls.append(("import_labels", name, source, options))
        self.on_done, self.on_error = on_done, on_error
        return lambda: self.calls.append(("cancel_import",))


class FakeTasks:
    """Does everything at once."""

    def run(self, work, on_done, _on_error=None):
        token = CancelToken()
        on_done(work(token))
        return token


def seen(matched: int = 8, **changes: Any) -> ImportPreview:
    classes = (SourceClass(number=0, name="background"), SourceClass(number=4, name="Nucleus"))
    return ImportPreview(10, matched, ["stray"], changes.pop("classes", classes), {0: 50, 4: 30}, **changes)


def report(*, changed: int) -> LossReport:
    worst = [SegmentLoss("a.png", 1, 256, 0.5, 40), SegmentLoss("b.png", 0, 0, 1.0, 900)]
    return LossReport(2, 1000, changed, 1, 2, 1.5, worst if changed else [], Counter({"holes are lost": 3}))


@pytest.fixture
def services(workspace):
    """The fake workspace with the services of both dialogs."""
    workspace.settings, workspace.tasks = Settings(), FakeTasks()
    workspace.images = [SimpleNamespace(id=n, revision=1, status=Status.REVIEWED) for n in range(8)]
    workspace.exporting = FakeExporting(workspace.calls)
    workspace.importing = FakeImporting(workspace.calls, seen())
    return workspace


@pytest.fixture
def export(qtbot, services):
    dialog = ExportDialog(services)
    qtbot.addWidget(dialog)
    dialog.show()
    return dialog


@pytest.fixture
def imports(qtbot, services):
    dialog = ImportDialog(services)
    qtbot.addWidget(dialog)
    dialog.show()
    return dialog


def click(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def choose(dialog, name):
    dialog.format.setCurrentIndex(dialog.format.findData(name))


def test_export_offers_every_format_with_a_sentence(export):
    assert [export.format.itemData(i) for i in range(export.format.count())] == ["voc", "coco", "index-png"]
    choose(export, "coco")
    assert export.about.text() == FORMATS["coco"].writes


def test_export_passes_format_folder_and_choices(qtbot, export, services, tmp_path: Path):
    assert not export.go.isEnabled()
    choose(export, "coco")
    export.folder.edit.setText(str(tmp_path / "new"))
    export.reviewed_only.setChecked(False)
    export.options.images.setCurrentIndex(1)
    export.options.lists.setCurrentIndex(1)
    export.options.train.setValue(60)
    assert "5 images of 8" in export.summary.text()
    click(qtbot, export.go)
    name, target, reviewed_only, options = services.calls[-1][1:]
    assert (name, target, reviewed_only) == ("coco", tmp_path / "new", False)
    assert options.images is ImageFiles.LINK and not options.replace
    assert (options.split.train, options.split.validation, options.split.test) == (0.6, 0.1, 0.3)


def test_options_without_meaning_for_a_format_are_hidden_and_left_out(export):
    export.more.click()
    export.options.border.setValue(4)
    assert export.options.images.isVisible() and export.options.border.isVisible()
    choose(export, "coco")
    assert export.options.shapes.isVisible() and not export.options.border.isVisible()
    assert export.options.value(FORMATS["coco"]).border == 0
    choose(export, "index-png")
    assert not export.options.images.isVisible() and not export.options.shapes.isVisible()


def test_folded_options_are_named_where_they_differ(export):
    export.options.zip.setChecked(True)
    assert export.more.text() == "More options: zip" and not export.options.zip.isVisible()
    export.more.click()
    assert export.more.text() == "More options" and export.options.zip.isVisible()


def test_a_format_that_keeps_all_is_not_checked(export, services):
    assert export.losses.good.text.text() == "Every pixel survives." and services.exporting.asked == []


def test_losses_are_found_out_by_themselves_and_again_when_options_change(qtbot, export, services):
    choose(export, "coco")
    export.options.shapes.setCurrentIndex(export.options.shapes.findData(Shapes.POLYGONS))
    asked = services.exporting.asked
    qtbot.waitUntil(lambda: len(asked) == 1)
    assert export.losses.busy.isVisible()
    export.options.tolerance.setValue(3)
    assert services.calls == [("cancel_losses", "coco")]
    qtbot.waitUntil(lambda: len(asked) == 2)
    asked[0].on_done(report(changed=7))
    assert export.check.state is CheckState.RUNNING  # what nobody asks for any more is not shown
    asked[1].on_done(report(changed=7))
    assert asked[1].options.tolerance == 3
    assert export.losses.bad.text.text().splitlines() == report(changed=7).sentences
    assert export.losses.table.rowCount() == 1 and export.losses.table.item(0, 1).text() == "nucleus"


def test_image_files_and_lists_need_no_new_check(qtbot, export, services):
    choose(export, "index-png")
    qtbot.waitUntil(lambda: len(services.exporting.asked) == 1)
    services.exporting.asked[0].on_done(report(changed=0))
    export.options.lists.setCurrentIndex(1)
    export.options.zip.setChecked(True)
    assert export.check.state is CheckState.KNOWN


def test_an_early_export_goes_on_by_itself_where_nothing_is_lost(qtbot, export, services, tmp_path: Path):
    choose(export, "index-png")
    export.folder.edit.setText(str(tmp_path / "new"))
    click(qtbot, export.go)
    assert services.calls == [] and not export.go.isEnabled()
    services.exporting.asked[0].on_done(report(changed=0))
    assert services.calls[-1][:2] == ("export", "index-png")


def test_an_early_export_stops_where_something_is_lost_and_asks(qtbot, export, services, tmp_path: Path):
    choose(export, "index-png")
    export.folder.edit.setText(str(tmp_path / "new"))
    click(qtbot, export.go)
    services.exporting.asked[0].on_done(report(changed=7))
    assert services.calls == [] and export.losses.table.isVisible() and export.go.isEnabled()
    click(qtbot, export.go)
    assert services.calls[-1][:2] == ("export", "index-png")


def test_a_check_given_up_can_be_asked_for_again(qtbot, export, services):
    choose(export, "index-png")
    qtbot.waitUntil(lambda: len(services.exporting.asked) == 1)
    click(qtbot, export.losses.busy.cancel_button)
    assert services.calls == [("cancel_losses", "index-png")] and export.losses.again.isVisible()
    click(qtbot, export.losses.again)
    assert len(services.exporting.asked) == 2 and export.losses.busy.isVisible()


def test_new_labels_make_a_report_stale_without_a_check_after_each_stroke(qtbot, export, services):
    choose(export, "index-png")
    qtbot.waitUntil(lambda: len(services.exporting.asked) == 1)
    services.exporting.asked[0].on_done(report(changed=7))
    services.emit(Change.SAVED)
    assert export.check.state is CheckState.KNOWN
    services.images[0].revision = 2
    services.emit(Change.SAVED)
    assert export.check.state is CheckState.UNKNOWN and len(services.exporting.asked) == 1


def test_a_check_that_fails_says_why(qtbot, export, services):
    choose(export, "index-png")
    qtbot.waitUntil(lambda: len(services.exporting.asked) == 1)
    services.exporting.asked[0].on_error(UserError("a.png is gone.", "Put it back."))
    assert export.losses.bad.text.text() == "a.png is gone. Put it back." and export.losses.again.isVisible()


def test_jobs_cancelled_in_the_list_of_jobs_are_over_here_too(qtbot, export, services):
    choose(export, "index-png")
    qtbot.waitUntil(lambda: len(services.exporting.asked) == 1)
    services.jobs.records = [JobRecord(1, "Checking what Index PNG keeps", JobState.CANCELLED)]
    services.emit(Change.JOBS)
    assert export.losses.again.isVisible()
    choose(export, "voc")
    export.folder.edit.setText("out")
    export.start()
    services.jobs.records = [JobRecord(2, "Exporting to out", JobState.CANCELLED)]
    services.emit(Change.JOBS)
    assert not export.busy and export.outcome.text() == "Cancelled."


def test_closing_gives_a_check_up(qtbot, export, services):
    choose(export, "index-png")
    qtbot.waitUntil(lambda: len(services.exporting.asked) == 1)
    qtbot.keyClick(export, Qt.Key.Key_Escape)
    assert services.calls == [("cancel_losses", "index-png")] and not export.isVisible()


def test_replacing_is_offered_for_an_earlier_export_only(export, tmp_path: Path):
    (tmp_path / "note.txt").write_text("mine")
    export.folder.edit.setText(str(tmp_path))
    assert "holds something else" in export.summary.text()
    assert not export.replace.isVisible() and not export.go.isEnabled()
    (tmp_path / ".segstudio-export").write_text("{}")
    export.folder.edit.setText(f"{tmp_path}/")
    assert export.replace.isVisible() and not export.go.isEnabled()
    export.replace.setChecked(True)
    assert export.go.isEnabled()


def test_the_next_dialog_remembers_what_was_exported(qtbot, export, services, tmp_path: Path):
    choose(export, "coco")
    export.options.lists.setCurrentIndex(1)
    export.options.seed.setValue(7)
    export.reviewed_only.setChecked(False)
    export.folder.edit.setText(str(tmp_path / "new"))
    click(qtbot, export.go)
    again = ExportDialog(services)
    qtbot.addWidget(again)
    assert again.format.currentData() == "coco" and not again.reviewed_only.isChecked()
    assert again.options.value(FORMATS["coco"]) == export.options.value(FORMATS["coco"])
    assert again.folder.start == tmp_path


def test_stored_options_that_make_no_sense_are_passed_over(qtbot, services):
    services.settings.set("export_options", {"images": "glue", "split": [1, 1, 1, 0], "tolerance": "much"})
    dialog = ExportDialog(services)
    qtbot.addWidget(dialog)
    assert dialog.options.value(FORMATS["voc"]).images is ImageFiles.COPY


def test_export_with_nothing_reviewed_says_what_to_do(export, services):
    export.folder.edit.setText("out")
    services.exporting.reviewed = 0
    services.emit(Change.STATUS)
    assert "Mark an image reviewed first" in export.summary.text() and not export.go.isEnabled()
    assert not export.losses.isVisible()


def test_a_running_export_shows_progress_and_esc_cancels_it_first(qtbot, export, services):
    export.folder.edit.setText("out")
    export.start()
    services.jobs.records = [JobRecord(1, "Exporting to out", JobState.RUNNING, 0.5, "b.png", True)]
    services.emit(Change.JOBS)
    assert export.busy and export.progress.value() == 500 and not export.folder.isEnabled()
    qtbot.keyClick(export, Qt.Key.Key_Escape)
    assert services.calls[-1] == ("cancel_export",) and export.isVisible() and not export.busy
    qtbot.keyClick(export, Qt.Key.Key_Escape)
    assert not export.isVisible()


def test_a_finished_export_offers_its_folder(export, services):
    export.folder.edit.setText("out")
    export.start()
    services.exporting.on_done(ExportReport(3))
    assert export.outcome.text() == f"3 images exported to {Path('out').absolute()}." and export.open_folder.isVisible()
    assert not export.busy and export.go.isEnabled()


def test_a_failed_export_shows_one_sentence_in_the_dialog(export, services):
    export.folder.edit.setText("out")
    export.start()
    services.exporting.on_error(UserError("The disk is full.", "Free some space."))
    assert export.error.text() == "The disk is full. Free some space." and export.error.isVisible()
    export.start()
    bug = ValueError("odd")
    services.exporting.on_error(bug)
    assert services.reported == [bug] and not export.error.isVisible()


def test_a_result_after_closing_changes_nothing(export, services):
    export.folder.edit.setText("out")
    export.start()
    export.reject()
    export.reject()
    services.exporting.on_done(ExportReport(3))
    assert export.outcome.text() == "Cancelled."


def test_import_previews_before_it_replaces_anything(qtbot, imports, services, tmp_path: Path):
    imports.source.edit.setText(str(tmp_path))
    assert not imports.go.isEnabled()
    qtbot.waitUntil(imports.go.isEnabled)
    assert services.calls == [("preview", "voc", tmp_path)] and "8 of 10 labels" in imports.review.counts.text()
    click(qtbot, imports.go)
    options = services.calls[-1][3]
    assert services.calls[-1][:3] == ("import_labels", "voc", tmp_path)
    assert options.classes == {0: 0, 4: 1} and options.status is Status.REVIEWED


def test_import_warns_of_labels_that_it_replaces(imports, services, tmp_path: Path):
    services.importing.seen = seen(images=frozenset({1, 2, 99}))
    imports.source.edit.setText(str(tmp_path))
    imports.look()
    assert "Existing labels of 2 images will be replaced for good." in imports.summary.text()
    assert imports.summary.property("role") == "warning"


def test_import_where_nothing_matches_cannot_start(imports, services, tmp_path: Path):
    services.importing.seen = ImportPreview(10, 0, ["stray"], ())
    imports.source.edit.setText(str(tmp_path))
    imports.look()
    assert "None of 10 labels" in imports.summary.text() and not imports.go.isEnabled()
    assert imports.review.nothing.isVisible() and not imports.review.split.isVisible()


def test_labels_without_an_image_are_listed_on_demand(qtbot, imports, tmp_path: Path):
    imports.source.edit.setText(str(tmp_path))
    imports.look()
    assert not imports.review.details.isVisible()
    click(qtbot, imports.review.details_button)
    assert imports.review.details.isVisible() and imports.review.details.toPlainText() == "No image: stray"


def test_import_from_a_folder_that_is_not_there_says_so(imports, services, tmp_path: Path):
    imports.source.edit.setText(str(tmp_path / "absent"))
    imports.look()
    assert "There is no folder" in imports.error.text() and services.calls == []


def test_another_format_looks_again_without_guessing(imports, services, tmp_path: Path):
    imports.source.edit.setText(str(tmp_path))
    imports.look()
    choose(imports, "index-png")
    imports.format.activated.emit(imports.format.currentIndex())
    assert services.calls[-1] == ("preview", "index-png", tmp_path)


def test_many_classes_are_decided_at_once_and_stay_decided_by_another_match(qtbot, imports, services, tmp_path: Path):
    classes = tuple(SourceClass(number=n, name=f"kind {n}") for n in range(250))
    preview = ImportPreview(3, 3, [], classes, dict.fromkeys(range(250), 9))
    services.importing.seen = preview
    imports.source.edit.setText(str(tmp_path))
    imports.look()
    assert "250 classes need a decision" in imports.summary.text() and not imports.go.isEnabled()
    imports.mapping.choose(255, 1)
    click(qtbot, imports.review.add_rest)
    assert imports.go.isEnabled() and not imports.review.add_rest.isVisible()
    click(qtbot, imports.review.match.buttons["id"])
    assert [imports.mapping.target(n) for n in range(3)] == [ADD, 255, ADD]


def test_import_reports_what_was_refused(imports, services, tmp_path: Path):
    imports.source.edit.setText(str(tmp_path))
    imports.look()
    imports.start()
    services.importing.on_done(ImportReport(7, ["stray"], ["a.png has another size."], []))
    lines = imports.outcome.text().splitlines()
    assert lines[0] == "Labels of 7 images imported." and "stray" in lines[1] and lines[2] == "a.png has another size."


def test_what_arrives_after_closing_is_dropped(qtbot, imports, services, tmp_path: Path):
    late = []
    services.tasks.run = lambda work, on_done, on_error=None: late.append((work, on_done)) or CancelToken()
    imports.source.edit.setText(str(tmp_path))
    imports.look()
    imports.close()
    work, on_done = late[0]
    on_done(work(CancelToken()))
    assert services.calls == [] and imports.mapping is None
