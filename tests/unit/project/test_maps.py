"""Segment maps and the journal on top of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segstudio.core.edits import Edit
from segstudio.core.errors import ProjectError
from segstudio.core.geometry import Rect
from segstudio.core.history import History
from segstudio.core.items import Status
from segstudio.core.segmentmap import Segment, SegmentMap
from segstudio.project.journal import pack_edit
from segstudio.project.masks import decode_map, encode_map
from segstudio.project.project import Project

Paint = Callable[[SegmentMap, Rect, int], Edit]
LEFT, MIDDLE, RIGHT = Rect(0, 0, 30, 10), Rect(5, 5, 20, 20), Rect(0, 30, 30, 10)


def _first(project: Project) -> int:
    return project.images()[0].id


def _journal_rows(project: Project) -> int:
    count: int = project._store.run(lambda c: c.execute("SELECT count(*) FROM journal").fetchone()[0])
    return count


def test_unlabelled_image_has_no_map(project: Project) -> None:
    assert project.load_map(_first(project)) is None


def test_saved_map_comes_back_equal_with_instances_crowds_and_ignore(project: Project) -> None:
    saved = SegmentMap.empty(30, 40)
    saved.ids[:10], saved.ids[10:20], saved.ids[20:] = 0, 256, 65535
    saved.decided[3:7, 5:] = True
    saved.segments = {256: Segment(256, 1), 65535: Segment(65535, 0, crowd=True), 300: Segment(300, 1)}
    assert project.save_map(_first(project), saved, revision=1)
    loaded = project.load_map(_first(project))
    assert loaded == saved
    assert loaded is not None
    assert loaded.segments == saved.segments, "ids of unused segments are not given out again"
    assert (loaded.ids.dtype, loaded.decided.dtype) == (np.uint16, np.bool_)
    loaded.ids[0, 0] = 1  # writable


def test_saving_stores_map_status_size_and_event_together(project: Project) -> None:
    image = _first(project)
    project.save_map(
        image, SegmentMap.from_semantic(np.zeros((30, 40), np.uint8)), revision=3, seconds=1.5, action="import"
    )
    item = project.image(image)
    assert (item.status, item.decided, item.revision, item.width, item.height) == (Status.IN_PROGRESS, 1.0, 3, 40, 30)
    assert [(e.kind, e.seconds) for e in project.events(image_id=image)] == [("import", 1.5)]
    project.save_map(image, SegmentMap.empty(30, 40), revision=4, status=Status.REVIEWED)
    assert project.image(image).status is Status.REVIEWED


def test_saving_a_map_with_nothing_decided_leaves_the_image_new(project: Project) -> None:
    project.save_map(_first(project), SegmentMap.empty(30, 40))
    assert project.images()[0].status is Status.NEW


def test_journaled_strokes_are_there_without_a_saved_map(project: Project, paint: Paint) -> None:
    image, live = _first(project), SegmentMap.empty(30, 40)
    assert project.journal(image, pack_edit(paint(live, LEFT, 1))) == 1
    assert project.journal(image, pack_edit(paint(live, MIDDLE, 0))) == 2
    project.close()
    with Project.open(project.path) as again:
        assert again.load_map(image) == live
        assert again.image(image).revision == 2


def test_saved_map_trims_only_the_strokes_it_contains(project: Project, paint: Paint) -> None:
    image, live = _first(project), SegmentMap.empty(30, 40)
    revision = project.journal(image, pack_edit(paint(live, LEFT, 1)))
    snapshot = live.copy()
    project.journal(image, pack_edit(paint(live, RIGHT, 0)))
    project.save_map(image, snapshot, revision=revision)
    assert _journal_rows(project) == 1
    assert project.load_map(image) == live
    project.save_map(image, live, revision=2)
    assert _journal_rows(project) == 0
    assert project.load_map(image) == live


def test_undo_and_redo_across_a_save_survive_reopening(project: Project, paint: Paint) -> None:
    image, live, history = _first(project), SegmentMap.empty(30, 40), History()
    for rect in (LEFT, MIDDLE):
        edit = paint(live, rect, 1)
        history.push(edit)
        revision = project.journal(image, pack_edit(edit))
    project.save_map(image, live, revision=revision)
    for _ in range(2):
        edit = history.undo(live)
        assert edit is not None
        project.journal(image, pack_edit(edit, undo=True))
    redone = history.redo(live)
    assert redone is not None
    project.journal(image, pack_edit(redone))
    project.close()
    expected = SegmentMap.empty(30, 40)
    paint(expected, LEFT, 1)
    assert live == expected
    with Project.open(project.path) as again:
        assert again.load_map(image) == expected


def test_late_autosave_never_replaces_a_newer_map(project: Project) -> None:
    image, newer = _first(project), SegmentMap.from_semantic(np.ones((30, 40), np.uint8))
    assert project.save_map(image, newer, revision=5)
    assert not project.save_map(image, SegmentMap.empty(30, 40), revision=4)
    assert project.load_map(image) == newer


def test_imported_map_replaces_map_and_journal(project: Project, paint: Paint) -> None:
    image, live = _first(project), SegmentMap.empty(30, 40)
    project.journal(image, pack_edit(paint(live, LEFT, 1)))
    imported = SegmentMap.from_semantic(np.zeros((30, 40), np.uint8))
    project.save_map(image, imported)
    assert project.load_map(image) == imported
    assert project.revision(image) == 2


def test_map_of_another_size_is_refused_with_both_sizes(project: Project) -> None:
    image = _first(project)
    project.set_image_info(image, width=40, height=30)
    with pytest.raises(ProjectError, match=r"image 2\.png are 41 x 30 pixels but the image is 40 x 30"):
        project.save_map(image, SegmentMap.empty(30, 41), revision=1)
    assert project.load_map(image) is None


def test_posted_work_is_done_in_order_and_posted_maps_are_snapshots(project: Project, paint: Paint) -> None:
    image, live = _first(project), SegmentMap.empty(30, 40)
    futures = [project.post("journal", image, pack_edit(paint(live, Rect(k, k, 4, 4), k % 2))) for k in range(20)]
    saved = project.post("save_map", image, live, revision=20)
    live.ids[:] = 9  # too late to be part of the saved map
    assert [f.result() for f in futures] == list(range(1, 21))
    assert saved.result()
    loaded = project.load_map(image)
    assert loaded is not None
    assert not np.any(loaded.ids == 9)
    assert _journal_rows(project) == 0


def test_closing_finishes_posted_work_first(project: Project, paint: Paint) -> None:
    image, live = _first(project), SegmentMap.empty(30, 40)
    for k in range(10):
        project.post("journal", image, pack_edit(paint(live, Rect(k, 0, 2, 40), 1)))
    project.post("save_map", image, live, revision=10)
    project.close()
    project.close()
    with Project.open(project.path) as again:
        assert again.load_map(image) == live


def test_many_threads_may_use_one_project(project: Project) -> None:
    image = _first(project)
    threads = [threading.Thread(target=lambda: [project.log("x", image) for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(project.events(kind="x")) == 80


def test_damaged_stroke_is_reported_with_the_image_it_belongs_to(project: Project) -> None:
    image = _first(project)
    project.journal(image, b"Enonsense")
    with pytest.raises(ProjectError, match=r"image 2\.png cannot be read"):
        project.load_map(image)


def test_strokes_on_an_image_whose_file_is_gone_need_only_its_stored_size(
    project: Project, folder: Path, paint: Paint
) -> None:
    image, live = _first(project), SegmentMap.empty(30, 40)
    project.set_image_info(image, width=40, height=30)
    project.journal(image, pack_edit(paint(live, LEFT, 1)))
    (folder / "image 2.png").unlink()
    assert project.load_map(image) == live


def test_damaged_map_is_reported_with_the_image_it_belongs_to() -> None:
    encoded = encode_map(SegmentMap.empty(4, 4))
    other = encode_map(SegmentMap.empty(4, 5))
    for ids, decided, segments in (
        (b"", encoded.decided, "[]"),
        (b"no png", encoded.decided, "[]"),
        (encoded.ids, other.decided, "[]"),
        (encoded.ids, encoded.decided, "[[1"),
    ):
        with pytest.raises(ProjectError, match="labels of cat are damaged"):
            decode_map(ids, decided, segments, name="cat")
