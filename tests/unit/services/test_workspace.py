"""The road through one project: open, label, save, come back; nothing is lost on the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segstudio.core.catalog import Catalog
from segstudio.core.errors import ProjectLocked, UserError
from segstudio.core.events import Change
from segstudio.core.items import Status
from segstudio.project.project import Project
from segstudio.services.messages import Message
from segstudio.services.opening import open_path
from segstudio.services.tasks import QueueDispatcher
from segstudio.services.workspace import Workspace


def _paint(workspace: Workspace, class_id: int = 1, rows: int = 4) -> None:
    annotator = workspace.current
    assert annotator is not None
    gesture = annotator.begin("Brush")
    gesture.paint(np.ones((rows, 6), bool), 0, 0, class_id)
    gesture.commit()


def test_the_first_image_opens_and_has_its_size(shown: Workspace) -> None:
    assert shown.current is not None
    assert shown.current.map.shape == (40, 60)
    assert shown.images[0].width == 60


def test_a_stroke_is_saved_soon_and_marks_the_image_in_progress(shown: Workspace, dispatcher: QueueDispatcher) -> None:
    _paint(shown)
    assert shown.images[0].status is Status.IN_PROGRESS
    annotator = shown.current
    assert annotator is not None
    assert dispatcher.run_until(lambda: not annotator.dirty, timeout=20)
    stored = shown.project.load_map(annotator.item.id)
    assert stored is not None
    assert stored == annotator.map


def test_every_stroke_is_in_the_journal_before_any_save(shown: Workspace) -> None:
    _paint(shown)
    annotator = shown.current
    assert annotator is not None
    image_id, expected = annotator.item.id, annotator.map.copy()
    # The store thread works in order: once it answers this, the stroke posted before is on disk.
    stored = shown.project.load_map(image_id)
    assert stored == expected


def test_undo_works_after_saving_and_after_coming_back(shown: Workspace, dispatcher: QueueDispatcher) -> None:
    first = shown.images[0].id
    _paint(shown)
    shown.next_image()
    assert dispatcher.run_until(lambda: shown.current is not None and shown.current.item.id != first, timeout=20)
    shown.previous_image()
    assert dispatcher.run_until(lambda: shown.current is not None and shown.current.item.id == first, timeout=20)
    assert shown.current is not None
    assert shown.current.map.decided.sum() == 24
    assert shown.current.undo() is not None
    assert not shown.current.map.decided.any()


def test_closing_saves_what_is_unsaved(shown: Workspace) -> None:
    _paint(shown)
    path, image_id = shown.project.path, shown.images[0].id
    shown.close()
    with Project.open(path) as again:
        stored = again.load_map(image_id)
        assert stored is not None
        assert stored.decided.sum() == 24


def test_marking_reviewed_fills_background_and_is_stored(shown: Workspace, dispatcher: QueueDispatcher) -> None:
    said: list[Message] = []
    shown.messages.connect(said.append)
    _paint(shown)
    shown.mark_reviewed()
    assert dispatcher.run_until(lambda: shown.images[0].status is Status.REVIEWED, timeout=20)
    assert shown.images[0].decided == 1.0
    assert "background" in said[-1].text


def test_an_image_without_labels_or_background_is_not_reviewed(shown: Workspace) -> None:
    said: list[Message] = []
    shown.messages.connect(said.append)
    shown.set_catalog(Catalog.from_names(["sky", "cell"]))
    shown.mark_reviewed()
    assert shown.images[0].status is Status.NEW
    assert "no label" in said[-1].text


def test_a_used_class_cannot_be_deleted_an_unused_one_can(shown: Workspace) -> None:
    _paint(shown)
    with pytest.raises(UserError, match="cell"):
        shown.set_catalog(shown.catalog.without(1))
    extended = shown.catalog.with_new("wall")
    shown.set_catalog(extended)
    shown.set_catalog(extended.without(2))
    assert shown.project.catalog.names == ("background", "cell")


def test_a_broken_image_gets_a_mark_and_the_next_one_opens(shown: Workspace, dispatcher: QueueDispatcher) -> None:
    said: list[Message] = []
    shown.messages.connect(said.append)
    shown.images[2].path.write_bytes(b"")
    shown.open_image(shown.images[2].id)
    assert dispatcher.run_until(lambda: shown.images[2].problem is not None, timeout=20)
    assert shown.current is None
    assert "image3.png" in said[-1].text
    shown.next_image()
    assert dispatcher.run_until(lambda: shown.current is not None, timeout=20)


def test_an_image_replaced_by_another_size_keeps_its_labels(
    shown: Workspace, dispatcher: QueueDispatcher, tmp_path: Path
) -> None:
    import cv2

    _paint(shown)
    first = shown.images[0]
    shown.next_image()
    assert dispatcher.run_until(lambda: shown.current is not None and shown.current.item.id != first.id, timeout=20)
    project, settings = shown.project.path, shown.settings
    shown.close()
    cv2.imwrite(str(first.path), np.zeros((10, 10, 3), np.uint8))
    again = Workspace(Project.open(project), shown.engine, dispatcher, settings)
    said: list[Message] = []
    again.messages.connect(said.append)
    try:
        again.open_image(first.id)
        assert dispatcher.run_until(lambda: bool(said), timeout=20)
        assert "60 x 40" in said[-1].text
        assert again.project.load_map(first.id) is not None
    finally:
        again.close()


def test_a_folder_opened_twice_is_one_project_and_untouched(tmp_path: Path) -> None:
    from segstudio.services.opening import open_path as open_again

    folder = tmp_path / "some images"
    folder.mkdir()
    import cv2

    cv2.imwrite(str(folder / "a.png"), np.zeros((4, 4, 3), np.uint8))
    first = open_path(folder)
    first.project.close()
    cv2.imwrite(str(folder / "b.png"), np.zeros((4, 4, 3), np.uint8))
    second = open_again(folder / "b.png")
    try:
        assert second.project.path == first.project.path
        assert [i.name for i in second.project.images()] == ["a.png", "b.png"]
        assert second.first_image == folder / "b.png"
        assert sorted(p.name for p in folder.iterdir()) == ["a.png", "b.png"]
    finally:
        second.project.close()


def test_a_second_opener_is_refused_with_a_sentence(workspace: Workspace) -> None:
    with pytest.raises(ProjectLocked, match="already open"):
        open_path(workspace.project.path)


@pytest.mark.parametrize("name", ["nothing-here", "notes.txt"])
def test_a_path_that_is_nothing_we_open_gets_a_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").write_text("hello", encoding="utf-8")
    with pytest.raises(UserError, match=name.split(".")[0]):
        open_path(tmp_path / name)


def test_a_full_disk_is_said_once_and_the_next_save_succeeds(
    shown: Workspace, dispatcher: QueueDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[Message] = []
    shown.messages.connect(said.append)
    real = shown.project.save_map

    def full(*args: object, **kwargs: object) -> None:
        raise UserError("The labels could not be saved: the disk is full.", "Free some space.")

    monkeypatch.setattr(shown.project, "save_map", full)
    _paint(shown)
    annotator = shown.current
    assert annotator is not None
    shown.saver.save(annotator)
    assert dispatcher.run_until(lambda: shown.saver.failing, timeout=20)
    shown.saver.save(annotator)
    assert dispatcher.run_until(lambda: shown.tasks.idle, timeout=20)
    assert annotator.dirty
    monkeypatch.setattr(shown.project, "save_map", real)
    shown.saver.save(annotator)
    assert dispatcher.run_until(lambda: not annotator.dirty, timeout=20)
    errors = [m.text for m in said if m.level == "error"]
    assert errors == ["The labels could not be saved: the disk is full."]
    assert said[-1].level == "success"


def test_panels_hear_only_what_changed(shown: Workspace) -> None:
    heard: list[Change] = []
    shown.changed.connect(lambda change: heard.append(change.what))
    shown.set_status(Status.IN_PROGRESS)
    assert heard == [Change.STATUS]
