"""Labels out through the services: what is written, what is left out, and that nothing half-done stays."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from segstudio.core.errors import UserError
from segstudio.core.items import Status
from segstudio.core.jobs import JobState
from segstudio.core.segmentmap import SegmentMap
from segstudio.formats.base import ExportReport
from segstudio.formats.loss import LossReport
from segstudio.imaging.decode import read_labels
from segstudio.services.exporting import ExportOptions, export_project, project_losses
from segstudio.services.importing import import_project
from segstudio.services.messages import Message
from segstudio.services.tasks import QueueDispatcher
from segstudio.services.workspace import Workspace


def _store(workspace: Workspace, index: int, seed: int, *, reviewed: bool) -> np.ndarray:
    labels = np.random.default_rng(seed).choice(np.array([0, 1, 255], np.uint8), (40, 60))
    item = workspace.images[index]
    workspace.project.set_image_info(item.id, width=60, height=40)
    status = Status.REVIEWED if reviewed else Status.IN_PROGRESS
    workspace.project.save_map(item.id, SegmentMap.from_semantic(labels), status=status)
    workspace.refresh_item(item.id)
    return labels


def test_an_export_writes_the_labelled_images_and_says_where(
    workspace: Workspace, dispatcher: QueueDispatcher, tmp_path: Path
) -> None:
    expected = _store(workspace, 0, 1, reviewed=True)
    _store(workspace, 1, 2, reviewed=False)
    said: list[Message] = []
    done: list[ExportReport] = []
    workspace.messages.connect(said.append)
    out = tmp_path / "out"
    workspace.exporting.export("index-png", out, on_done=done.append)
    assert dispatcher.run_until(lambda: bool(done), timeout=20)
    assert done[0].images == 2
    assert said[-1].text == f"2 images exported to {out}."
    assert sorted(p.name for p in out.rglob("*.png")) == ["image1.png", "image2.png"]
    assert (read_labels(out / "image1.png") == expected).all()
    assert workspace.jobs.records[-1].state is JobState.DONE


def test_reviewed_only_leaves_out_images_in_progress(workspace: Workspace, tmp_path: Path) -> None:
    _store(workspace, 0, 1, reviewed=True)
    _store(workspace, 1, 2, reviewed=False)
    assert workspace.exporting.count(reviewed_only=True) == 1
    assert workspace.exporting.count(reviewed_only=False) == 2
    report = export_project(workspace.project, workspace.catalog, "voc", tmp_path / "o", reviewed_only=True)
    assert report.images == 1
    assert [p.stem for p in (tmp_path / "o" / "SegmentationClass").iterdir()] == ["image1"]


@pytest.mark.parametrize("name", ["index-png", "voc"])
def test_an_export_read_back_gives_every_pixel(workspace: Workspace, tmp_path: Path, name: str) -> None:
    expected = [_store(workspace, index, index, reviewed=True) for index in range(3)]
    export_project(workspace.project, workspace.catalog, name, tmp_path / "out")
    for item in workspace.images[:3]:
        workspace.project.save_map(item.id, SegmentMap.empty(40, 60), status=Status.IN_PROGRESS)
    report = import_project(workspace.project, workspace.catalog, name, tmp_path / "out")
    assert (report.images, report.refused, report.unmatched) == (3, [], [])
    for item, labels in zip(workspace.images, expected, strict=False):
        stored = workspace.project.load_map(item.id)
        assert stored is not None
        assert (stored.semantic() == labels).all()
        assert workspace.project.image(item.id).status is Status.REVIEWED


def test_nothing_labelled_is_one_sentence_and_leaves_no_folder(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No image is labelled yet"):
        export_project(workspace.project, workspace.catalog, "voc", tmp_path / "out")
    with pytest.raises(UserError, match="No image is reviewed yet"):
        export_project(workspace.project, workspace.catalog, "voc", tmp_path / "out", reviewed_only=True)
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_in_it_is_refused_in_the_window_with_a_message(
    workspace: Workspace, dispatcher: QueueDispatcher, tmp_path: Path
) -> None:
    _store(workspace, 0, 1, reviewed=True)
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine", encoding="utf-8")
    said: list[Message] = []
    workspace.messages.connect(said.append)
    workspace.exporting.export("voc", out)
    assert dispatcher.run_until(lambda: bool(said), timeout=20)
    assert [m.level for m in said] == ["error"]
    assert [p.name for p in out.iterdir()] == ["thesis.txt"]
    assert workspace.jobs.records[-1].state is JobState.FAILED


def test_an_image_lost_since_is_left_out_with_a_warning_that_names_it(
    workspace: Workspace, dispatcher: QueueDispatcher, tmp_path: Path
) -> None:
    _store(workspace, 0, 1, reviewed=True)
    _store(workspace, 1, 2, reviewed=True)
    workspace.images[0].path.unlink()
    said: list[Message] = []
    workspace.messages.connect(said.append)
    workspace.exporting.export("voc", tmp_path / "out")
    assert dispatcher.run_until(lambda: bool(said), timeout=20)
    assert (said[0].level, said[0].text) == ("warning", f"1 image exported to {tmp_path / 'out'}.")
    assert "image1.png was left out" in said[0].hint
    assert [p.stem for p in (tmp_path / "out" / "SegmentationClass").iterdir()] == ["image2"]


def test_a_cancelled_export_leaves_nothing(workspace: Workspace, dispatcher: QueueDispatcher, tmp_path: Path) -> None:
    _store(workspace, 0, 1, reviewed=True)
    done: list[ExportReport] = []
    cancel = workspace.exporting.export("voc", tmp_path / "place" / "out", on_done=done.append)
    cancel()
    assert dispatcher.run_until(lambda: workspace.tasks.idle, timeout=20)
    dispatcher.run_until(lambda: False, timeout=0.3)
    assert done == []
    assert workspace.jobs.records[-1].state is JobState.CANCELLED


def test_what_was_painted_a_moment_ago_is_exported(
    shown: Workspace, dispatcher: QueueDispatcher, tmp_path: Path
) -> None:
    annotator = shown.current
    assert annotator is not None
    gesture = annotator.begin("Brush")
    gesture.paint(np.ones((4, 6), bool), 0, 0, 1)
    gesture.commit()
    done: list[ExportReport] = []
    shown.exporting.export("index-png", tmp_path / "out", on_done=done.append)
    assert dispatcher.run_until(lambda: bool(done), timeout=20)
    labels = cv2.imread(str(tmp_path / "out" / "image1.png"), cv2.IMREAD_UNCHANGED)
    assert labels is not None
    assert (read_labels(tmp_path / "out" / "image1.png") == 1).sum() == 24


def test_losses_are_told_before_anything_is_written(
    workspace: Workspace, dispatcher: QueueDispatcher, tmp_path: Path
) -> None:
    _store(workspace, 0, 1, reviewed=True)
    options = ExportOptions(border=1)
    report = project_losses(workspace.project, workspace.catalog, "voc", options=options)
    assert (report.images, report.pixels) == (1, 40 * 60)
    assert report.changed > 0
    told: list[LossReport] = []
    workspace.exporting.losses("index-png", on_done=told.append, on_error=workspace.report)
    assert dispatcher.run_until(lambda: bool(told), timeout=20)
    assert told[0].sentences == ["Every one of 2,400 pixels in 1 image survives."]
    assert workspace.jobs.records[-1].state is JobState.DONE


def test_an_image_whose_size_nobody_knows_and_that_cannot_be_read_is_left_out(
    workspace: Workspace, tmp_path: Path
) -> None:
    _store(workspace, 0, 1, reviewed=True)
    _store(workspace, 1, 2, reviewed=True)
    workspace.project.set_image_info(workspace.images[1].id, problem="It is broken.")
    workspace.images[1].path.write_bytes(b"no picture")
    report = export_project(workspace.project, workspace.catalog, "voc", tmp_path / "o")
    assert (report.images, report.left_out) == (1, 1)
    assert report.warnings[0].startswith(f"{workspace.images[1].name} was left out")
