"""Labels in: they replace what was there, and a label that does not fit is refused without stopping the others."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from segstudio.core.errors import Cancelled, UserError
from segstudio.core.items import Status
from segstudio.core.jobs import JobState
from segstudio.core.segmentmap import SegmentMap
from segstudio.formats.names import match_labels
from segstudio.services import importing
from segstudio.services.importing import ImportOptions, ImportReport, MatchBy, Unknown, import_project
from segstudio.services.messages import Message
from segstudio.services.previewing import ImportPreview, preview
from segstudio.services.tasks import QueueDispatcher
from segstudio.services.workspace import Workspace


def _labels(folder: Path, name: str, value: int, size: tuple[int, int] = (40, 60)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / f"{name}.png"), np.full(size, value, np.uint8))


def test_an_import_replaces_labels_and_reviews_the_image(workspace: Workspace, tmp_path: Path) -> None:
    item = workspace.images[0]
    workspace.project.save_map(item.id, SegmentMap.from_semantic(np.zeros((40, 60), np.uint8)))
    _labels(tmp_path / "labels", "image1", 1)
    report = import_project(workspace.project, workspace.catalog, "index-png", tmp_path / "labels")
    assert report.sentence == "Labels of 1 image imported."
    stored = workspace.project.load_map(item.id)
    assert stored is not None
    assert (stored.semantic() == 1).all()
    assert stored.decided.all()
    row = workspace.project.image(item.id)
    assert (row.status, row.width, row.height, row.decided) == (Status.REVIEWED, 60, 40, 1.0)
    assert workspace.project.image(workspace.images[1].id).status is Status.NEW


def test_labels_that_do_not_fit_are_refused_one_by_one(workspace: Workspace, tmp_path: Path) -> None:
    source = tmp_path / "labels"
    _labels(source, "image1", 1)
    _labels(source, "image2", 1, (40, 61))
    _labels(source, "image3", 9)
    _labels(source, "image4", 0)
    _labels(source, "stranger", 0)
    (source / "image4.png").write_bytes((source / "image4.png").read_bytes()[:40])
    report = import_project(workspace.project, workspace.catalog, "index-png", source)
    assert report.images == 1
    assert report.unmatched == ["stranger"]
    assert len(report.refused) == 3
    assert "61 x 40" in report.refused[0]
    assert "60 x 40" in report.refused[0]
    assert "the class 9" in report.refused[1]
    assert "image4" in report.refused[2]
    assert [workspace.project.image(i.id).status for i in workspace.images] == [Status.REVIEWED, *[Status.NEW] * 3]
    assert "1 label matches no image (stranger)." in report.sentence


def test_labels_of_no_image_are_one_sentence(workspace: Workspace, tmp_path: Path) -> None:
    _labels(tmp_path / "labels", "other", 1)
    with pytest.raises(UserError, match="None of the 1 labels in labels matches"):
        import_project(workspace.project, workspace.catalog, "index-png", tmp_path / "labels")


def test_an_image_that_cannot_be_read_refuses_its_label_only(workspace: Workspace, tmp_path: Path) -> None:
    _labels(tmp_path / "labels", "image1", 1)
    _labels(tmp_path / "labels", "image2", 1)
    workspace.images[0].path.write_bytes(b"")
    report = import_project(workspace.project, workspace.catalog, "index-png", tmp_path / "labels")
    assert report.images == 1
    assert "image1.png" in report.refused[0]


@pytest.mark.parametrize("unknown", list(Unknown))
def test_half_a_character_in_a_name_ends_in_a_class_or_a_sentence(
    workspace: Workspace, tmp_path: Path, unknown: Unknown
) -> None:
    shape = {"label": "half \ud800", "points": [[0, 0], [9, 0], [9, 9]], "shape_type": "polygon"}
    content = {"imagePath": "image1.png", "imageWidth": 60, "imageHeight": 40, "shapes": [shape]}
    (tmp_path / "image1.json").write_text(json.dumps(content))
    options = ImportOptions(unknown=unknown)
    report = import_project(workspace.project, workspace.catalog, "labelme", tmp_path, options=options)
    refused = int(unknown is Unknown.REFUSE)
    assert (report.images, len(report.refused)) == (1 - refused, refused)
    assert report.added == (["half ?"] if unknown is Unknown.ADD else [])
    assert report.sentence.encode()


def test_a_preview_shows_what_a_source_holds(workspace: Workspace, dispatcher: QueueDispatcher, tmp_path: Path) -> None:
    _labels(tmp_path / "labels", "image1", 1)
    _labels(tmp_path / "labels", "image2", 9)
    _labels(tmp_path / "labels", "image3", 1, (3, 3))
    _labels(tmp_path / "labels", "other", 1)
    seen = preview(workspace.project, "index-png", tmp_path / "labels")
    assert (seen.labels, seen.matched, seen.unmatched) == (4, 3, ["other"])
    assert [c.number for c in seen.classes] == [1, 9]
    assert seen.pixels == {1: 40 * 60, 9: 40 * 60}
    assert seen.proposal(workspace.catalog) == {1: 1, 9: None}
    assert [s.image.name for s in seen.samples] == ["image1.png", "image2.png"]
    assert "3 x 3" in seen.problems[0]
    assert workspace.project.image(workspace.images[0].id).status is Status.NEW
    counted: list[ImportPreview] = []
    errors: list[BaseException] = []
    workspace.importing.preview("index-png", tmp_path / "labels", counted.append, errors.append)
    workspace.importing.preview("voc", tmp_path / "nowhere", counted.append, errors.append)
    assert dispatcher.run_until(lambda: bool(counted) and bool(errors), timeout=20)
    assert (counted[0].labels, counted[0].matched) == (4, 3)
    assert isinstance(errors[0], UserError)


def test_a_cancelled_preview_does_not_read_on(workspace: Workspace, tmp_path: Path) -> None:
    record = json.dumps({"id": 1, "file_name": "image1.png", "text": "x" * (1 << 20)})
    (tmp_path / "a.json").write_text(f'{{"images": [{", ".join([record] * 8)}]}}')
    asked = 0

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked == 3

    with pytest.raises(Cancelled):
        preview(workspace.project, "coco", tmp_path / "a.json", cancelled=cancelled)
    assert asked == 3


def test_classes_an_import_adds_are_in_the_project_and_the_window(
    workspace: Workspace, dispatcher: QueueDispatcher, tmp_path: Path
) -> None:
    _labels(tmp_path / "labels", "image1", 9)
    (tmp_path / "labels" / "classes.toml").write_text('[[classes]]\nid = 9\nname = "moon"\ncolor = [1, 2, 3]\n')
    done: list[ImportReport] = []
    options = ImportOptions(unknown=Unknown.ADD, status=Status.IN_PROGRESS)
    workspace.importing.import_labels("index-png", tmp_path / "labels", options=options, on_done=done.append)
    assert dispatcher.run_until(lambda: bool(done), timeout=20)
    assert done[0].added == ["moon"]
    moon = workspace.catalog.by_name("moon")
    assert moon is not None
    assert (moon.id, moon.color) == (9, (1, 2, 3))
    assert workspace.project.catalog == workspace.catalog
    assert workspace.images[0].status is Status.IN_PROGRESS


def test_the_window_shows_imported_labels_at_once(
    shown: Workspace, dispatcher: QueueDispatcher, tmp_path: Path
) -> None:
    _labels(tmp_path / "labels", "image1", 1)
    said: list[Message] = []
    done: list[ImportReport] = []
    shown.messages.connect(said.append)
    shown.importing.import_labels("index-png", tmp_path / "labels", on_done=done.append)
    assert dispatcher.run_until(lambda: bool(done) and shown.current is not None, timeout=20)
    assert shown.current is not None
    assert (shown.current.map.semantic() == 1).all()
    assert shown.images[0].status is Status.REVIEWED
    assert [(m.level, m.text) for m in said] == [("success", "Labels of 1 image imported.")]
    assert shown.jobs.records[-1].state is JobState.DONE


def test_a_refused_label_makes_the_message_a_warning(
    workspace: Workspace, dispatcher: QueueDispatcher, tmp_path: Path
) -> None:
    _labels(tmp_path / "labels", "image1", 1, (10, 10))
    said: list[Message] = []
    workspace.messages.connect(said.append)
    workspace.importing.import_labels("index-png", tmp_path / "labels")
    assert dispatcher.run_until(lambda: bool(said), timeout=20)
    assert said[0].level == "warning"
    assert "10 x 10" in said[0].text


def test_a_source_that_is_none_is_one_error_message(
    workspace: Workspace, dispatcher: QueueDispatcher, tmp_path: Path
) -> None:
    said: list[Message] = []
    workspace.messages.connect(said.append)
    workspace.importing.import_labels("voc", tmp_path / "nowhere")
    assert dispatcher.run_until(lambda: bool(said), timeout=20)
    assert [m.level for m in said] == ["error"]
    assert "nowhere" in said[0].text
    assert workspace.jobs.records[-1].state is JobState.FAILED


def _many_labels(workspace: Workspace, folder: Path) -> None:
    for item in workspace.images:
        _labels(folder, Path(item.name).stem, 1)


def test_a_cancelled_import_shows_the_labels_that_are_stored_by_then(
    shown: Workspace, dispatcher: QueueDispatcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _many_labels(shown, tmp_path / "labels")
    real, cancels = importing.load_for_image, []

    def cancel_then_load(*arguments: Any) -> SegmentMap:
        cancels[0]()  # while labels are in hand: these still reach the store
        return real(*arguments)

    monkeypatch.setattr(importing, "load_for_image", cancel_then_load)
    ready = threading.Event()
    monkeypatch.setattr(importing, "match_labels", lambda *a: ready.wait(20) and match_labels(*a))
    cancels.append(shown.importing.import_labels("index-png", tmp_path / "labels"))
    ready.set()
    assert dispatcher.run_until(lambda: shown.images[0].revision > 0 and shown.current is not None, timeout=20)
    assert shown.jobs.records[-1].state is JobState.CANCELLED
    assert shown.current is not None
    assert (shown.current.map.semantic() == 1).all()
    assert shown.current.revision == shown.project.revision(shown.images[0].id)


def test_an_import_leaves_the_image_on_show_alone_where_it_has_no_label_for_it(
    shown: Workspace, dispatcher: QueueDispatcher, tmp_path: Path
) -> None:
    _labels(tmp_path / "labels", "image3", 1)
    before, done = shown.current, []
    shown.importing.import_labels("index-png", tmp_path / "labels", on_done=done.append)
    assert dispatcher.run_until(lambda: bool(done), timeout=20)
    assert shown.current is before


def test_colours_without_a_table_are_matched_with_the_projects_and_told_by_their_looks(
    workspace: Workspace, tmp_path: Path
) -> None:
    known, stranger = workspace.catalog[1].color, (1, 2, 3)
    pixels = np.full((40, 60, 3), known, dtype=np.uint8)
    pixels[:10] = stranger
    (tmp_path / "labels").mkdir()
    Image.fromarray(pixels).save(tmp_path / "labels" / "image1.png")
    seen = preview(workspace.project, "color-png", tmp_path / "labels")
    assert seen.usual_match is MatchBy.COLOR
    assert {c.color: c.called for c in seen.classes} == {
        known: "color {} {} {}".format(*known),
        stranger: "color 1 2 3",
    }
    numbers = {c.color: c.number for c in seen.classes}
    assert seen.proposal(workspace.catalog) == {numbers[known]: 1, numbers[stranger]: None}
    refused = import_project(workspace.project, workspace.catalog, "color-png", tmp_path / "labels")
    assert "holds the colour (1, 2, 3)" in refused.refused[0]
    options = ImportOptions(by=MatchBy.COLOR, classes={numbers[stranger]: 0, numbers[known]: 255})
    import_project(workspace.project, workspace.catalog, "color-png", tmp_path / "labels", options=options)
    labels = workspace.project.load_map(workspace.images[0].id)
    assert labels is not None
    assert (np.unique(labels.ids[:10]).tolist(), np.unique(labels.ids[10:]).tolist()) == ([0], [255])
