"""Creating, reopening, scanning and moving projects."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from segstudio.core.catalog import Catalog, Kind, LabelClass
from segstudio.core.errors import ProjectError
from segstudio.core.items import Split, Status, assign_split
from segstudio.project.project import Project

CATALOG = Catalog.from_names(["background", "cat"])
NAMES = ["image 2.png", "image 10.png", "Ünï–文字.png", "sub/a.png"]


def test_new_project_lists_the_images_below_its_folder_in_natural_order(project: Project, folder: Path) -> None:
    items = project.images()
    assert [item.name for item in items] == NAMES
    assert [item.path for item in items] == [folder / name for name in NAMES]
    assert all(item.path.is_file() and item.width is None and item.status is Status.NEW for item in items)
    assert [item.split for item in items] == [assign_split(k) for k in range(4)]
    assert project.image_root == folder
    assert (project.name, project.path.name) == ("work", "work.segstudio")


def test_reopened_project_equals_the_one_that_was_closed(project: Project) -> None:
    catalog = Catalog(
        [
            LabelClass(id=7, name="Straße", color=(1, 2, 3), kind=Kind.STUFF, hidden=True),
            LabelClass(id=0, name="猫", color=(255, 0, 9), locked=True),
        ]
    )
    first, second = project.images()[:2]
    project.set_catalog(catalog)
    project.set_image_info(first.id, width=40, height=30)
    project.set_image_info(second.id, problem="The file is broken.")
    project.set_status(first.id, Status.REVIEWED)
    project.set_setting("view", {"opacity": 0.5, "name": "ä"})
    run = project.create_run("unet", {"minutes": 3})
    before = project.images(), project.events(), project.runs()
    project.close()
    with Project.open(project.path) as again:
        assert again.catalog == catalog
        assert (again.images(), again.events(), again.runs()) == before
        assert again.setting("view") == {"opacity": 0.5, "name": "ä"}
        assert again.setting("missing", 4) == 4
        assert again.run(run.id).folder.is_dir()
        shown = again.image(first.id), again.image(second.id)
    assert (shown[0].width, shown[0].height, shown[0].status) == (40, 30, Status.REVIEWED)
    assert shown[1].problem == "The file is broken."


@pytest.mark.parametrize("given", ["work", "work.segstudio", "work.segstudio/project.db"])
def test_project_opens_by_folder_by_short_name_and_by_database(project: Project, given: str) -> None:
    project.close()
    with Project.open(project.path.parent / given) as again:
        assert again.path == project.path


def test_creating_over_a_project_is_refused_and_leaves_it_whole(project: Project, folder: Path) -> None:
    with pytest.raises(ProjectError, match="exists already"):
        Project.create(project.path, images=folder, catalog=CATALOG)
    assert len(project.images()) == 4


def test_creating_in_a_folder_that_holds_other_files_is_refused(tmp_path: Path, folder: Path) -> None:
    place = tmp_path / "mine.segstudio"
    place.mkdir()
    (place / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(ProjectError, match="not empty"):
        Project.create(place, images=folder, catalog=CATALOG)
    assert [p.name for p in place.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_creating_from_a_folder_without_images_says_so_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ProjectError, match=r"There is no (folder|image)"):
        Project.create(tmp_path / "p", images=tmp_path / name, catalog=CATALOG)
    assert not (tmp_path / "p.segstudio").exists()


def test_failed_creation_leaves_nothing_behind(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ProjectError("The disk is full.")

    monkeypatch.setattr(Project, "set_catalog", refuse)
    with pytest.raises(ProjectError, match="disk is full"):
        Project.create(tmp_path / "p", images=folder, catalog=CATALOG)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["images"]


def test_opening_what_is_no_project_says_so(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="not a SegStudio project"):
        Project.open(tmp_path)
    with pytest.raises(ProjectError, match="There is no project"):
        Project.open(tmp_path / "nowhere")


def test_project_moved_with_its_images_finds_them(project: Project, tmp_path: Path) -> None:
    project.close()
    target = tmp_path / "éloigné"
    target.mkdir()
    shutil.move(project.path, target / "work.segstudio")
    shutil.move(tmp_path / "images", target / "images")
    with Project.open(target / "work.segstudio") as moved:
        assert [item.path for item in moved.images()] == [target / "images" / name for name in NAMES]
        assert moved.rescan().gone == 0


def test_project_moved_alone_still_finds_its_images(project: Project, folder: Path, tmp_path: Path) -> None:
    project.close()
    target = tmp_path / "elsewhere" / "deep"
    target.mkdir(parents=True)
    shutil.move(project.path, target / "work.segstudio")
    with Project.open(target / "work.segstudio") as moved:
        assert [item.path for item in moved.images()] == [folder / name for name in NAMES]


def test_run_cards_inside_the_project_follow_it_when_it_moves(project: Project, tmp_path: Path) -> None:
    run = project.create_run("unet-small", {"steps": 5})
    assert run.folder == project.path / "runs" / "1"
    done = project.update_run(run.id, "done", {"miou": 0.5}, str(run.folder / "card.toml"), accepted=True)
    assert (done.state, done.metrics, done.accepted, done.parent) == ("done", {"miou": 0.5}, True, "unet-small")
    child = project.create_run(done.card, {})
    project.close()
    moved_to = tmp_path / "moved.segstudio"
    shutil.move(project.path, moved_to)
    with Project.open(moved_to) as moved:
        assert moved.run(run.id).card == str(moved_to / "runs" / "1" / "card.toml")
        assert moved.run(child.id).parent == str(moved_to / "runs" / "1" / "card.toml")
        assert moved.run(child.id).accepted is None


def test_unknown_ids_are_programming_errors(project: Project) -> None:
    with pytest.raises(KeyError):
        project.image(99)
    with pytest.raises(KeyError):
        project.run(99)
    with pytest.raises(KeyError):
        project.journal(99, b"E")


def test_rescan_adds_new_files_in_order_and_keeps_every_split(project: Project, folder: Path) -> None:
    splits = {item.id: item.split for item in project.images()}
    shutil.copy(folder / "image 2.png", folder / "image 3.png")
    result = project.rescan()
    items = project.images()
    assert [item.name for item in items] == ["image 2.png", "image 3.png", *NAMES[1:]]
    assert result.added == (items[1].id,)
    assert {item.id: item.split for item in items if item.id in splits} == splits
    assert project.rescan().added == ()


def test_missing_file_is_marked_until_it_is_back(project: Project, folder: Path) -> None:
    (folder / "image 2.png").rename(folder / "away.txt")
    assert project.rescan().gone == 1
    first = project.images()[0]
    assert first.problem is not None
    assert first.problem.startswith(f"The file {folder / 'image 2.png'} is gone;")
    assert project.rescan().gone == 0
    (folder / "away.txt").rename(folder / "image 2.png")
    assert project.rescan().returned == 1
    assert project.images()[0].problem is None


def test_vanished_image_folder_marks_all_and_loses_none(project: Project, folder: Path) -> None:
    shutil.rmtree(folder)
    result = project.rescan()
    assert (result.gone, result.problems) == (4, (f"The folder {folder} is gone.",))
    assert len(project.images()) == 4


def test_files_added_twice_are_listed_once(project: Project, folder: Path, tmp_path: Path) -> None:
    assert project.add_images([folder / "image 2.png", folder / "sub" / ".." / "image 10.png"]).added == ()
    loose = tmp_path / "loose"
    shutil.copytree(folder, loose)
    added = project.add_images([loose / "image 2.png", loose / "image 2.png"]).added
    assert [project.image(i).name for i in added] == ["loose/image 2.png"]
    assert project.image(added[0]).path == loose / "image 2.png"
    assert project.rescan().added == (), "loose files do not pull in their neighbours"
    assert len(project.add_folder(loose).added) == 3


def test_files_of_one_name_from_many_folders_get_names_of_their_own(project: Project, tmp_path: Path) -> None:
    paths = [tmp_path / part / "x" / "image 2.png" for part in ("p", "q", "r")]
    added = project.add_images(paths).added
    assert sorted(project.image(i).name for i in added) == ["x-2/image 2.png", "x-3/image 2.png", "x/image 2.png"]


@pytest.mark.skipif(os.name == "nt" or os.uname().sysname == "Darwin", reason="file names are Unicode there")
def test_file_name_that_is_not_unicode_survives(project: Project, folder: Path) -> None:
    odd = folder / os.fsdecode(b"caf\xe9.png")
    shutil.copy(folder / "image 2.png", odd)
    (added,) = project.rescan().added
    project.close()
    with Project.open(project.path) as again:
        assert again.image(added).path == odd
        assert again.image(added).path.is_file()
        assert again.image(added).name == "caf?.png"


def test_twenty_thousand_images_are_added_and_listed_without_being_opened(tmp_path: Path) -> None:
    place = tmp_path / "many"
    place.mkdir()
    paths = [place / f"{k}.png" for k in range(20_000)]  # the files do not exist: opening one would fail
    with Project.create(tmp_path / "big", images=None, catalog=CATALOG) as project:
        added = project.add_images(list(reversed(paths))).added
        items = project.images()
        assert [item.path for item in items] == paths
        assert [item.id for item in items] == list(added)
        assert sum(item.split is Split.VALIDATION for item in items) == 3333


def test_events_are_kept_in_order_and_filtered(project: Project) -> None:
    first = project.images()[0].id
    project.log("tour", None, {"step": 1})
    project.log("open", first, seconds=2.5)
    project.post("log", "tour", None, {"step": 2}).result()
    assert [e.data for e in project.events(kind="tour")] == [{"step": 1}, {"step": 2}]
    assert [(e.kind, e.seconds) for e in project.events(image_id=first)] == [("open", 2.5)]
    assert project.events(limit=1)[0].data == {"step": 2}
    assert project.events()[0].time.endswith("+00:00")
