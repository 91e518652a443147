"""What must never lose a stroke: kills, second windows, full disks, damaged and newer files."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from segstudio.core.catalog import Catalog
from segstudio.core.edits import Edit
from segstudio.core.errors import NewerProject, ProjectError, ProjectLocked
from segstudio.core.geometry import Rect
from segstudio.core.segmentmap import SegmentMap
from segstudio.project import lockfile
from segstudio.project.database import Store, translate
from segstudio.project.journal import pack_edit
from segstudio.project.migrations import migrate
from segstudio.project.processes import start_mark
from segstudio.project.project import Project

Paint = Callable[[SegmentMap, Rect, int], Edit]

_PRELUDE = """
import sys
from pathlib import Path
from segstudio.core.edits import EditBuilder
from segstudio.core.errors import ProjectLocked
from segstudio.core.geometry import Rect
from segstudio.core.segmentmap import SegmentMap
from segstudio.project.journal import pack_edit
from segstudio.project.project import Project

def stroke(live, rect, class_id):
    builder = EditBuilder(live, "Brush")
    builder.touch(rect)
    live.ids[rect.slices] = class_id
    live.decided[rect.slices] = True
    return pack_edit(builder.commit())

def tell(text):
    sys.stdout.write(text + "\\n")
    sys.stdout.flush()
"""


@contextmanager
def _child(path: Path, body: str) -> Iterator[subprocess.Popen[str]]:
    code = _PRELUDE + f"path = Path({str(path)!r})\n" + textwrap.dedent(body)
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def _line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def test_killed_between_two_strokes_loses_neither(project: Project, paint: Paint) -> None:
    image = project.images()[0].id
    project.close()
    body = f"""
        project = Project.open(path)
        live = SegmentMap.empty(30, 40)
        project.journal({image}, stroke(live, Rect(0, 0, 10, 10), 1))
        tell("one")
        sys.stdin.readline()
        project.journal({image}, stroke(live, Rect(5, 5, 10, 10), 0))
        tell("two")
        sys.stdin.readline()
    """
    with _child(project.path, body) as child:
        assert _line(child) == "one"
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
        assert _line(child) == "two"
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        assert (project.path / "project.lock").exists(), "the dead owner's lock file still lies there"
        with Project.open(project.path) as again:
            expected = SegmentMap.empty(30, 40)
            paint(expected, Rect(0, 0, 10, 10), 1)
            paint(expected, Rect(5, 5, 10, 10), 0)
            assert again.load_map(image) == expected
            assert again.image(image).revision == 2


def test_killed_while_saving_keeps_every_stroke_it_had_confirmed(project: Project) -> None:
    image = project.images()[0].id
    project.close()
    body = f"""
        project = Project.open(path)
        live = SegmentMap.empty(30, 40)
        for k in range(1200):
            revision = project.journal({image}, stroke(live, Rect(k // 40, k % 40, 1, 1), 1))
            tell(str(revision))
            project.post("save_map", {image}, live, revision=revision)
        sys.stdin.readline()
    """
    with _child(project.path, body) as child:
        confirmed = [int(_line(child)) for _ in range(40)][-1]
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        with Project.open(project.path) as again:
            loaded = again.load_map(image)
            assert loaded is not None
            painted = np.flatnonzero(loaded.ids.ravel() == 1)
            assert painted.size >= confirmed
            assert np.array_equal(painted, np.arange(painted.size)), "strokes without a gap"


def test_second_window_is_refused_with_the_process_that_holds_the_project(project: Project) -> None:
    body = """
        try:
            Project.open(path)
        except ProjectLocked as error:
            tell(str(error))
    """
    with _child(project.path, body) as child:
        answer = _line(child)
    assert f"is already open in another SegStudio window (process {os.getpid()} on this computer)." in answer
    assert len(project.images()) == 4, "the first window goes on"
    project.log("still", None)


def test_second_opener_in_this_process_is_refused_too(project: Project) -> None:
    with pytest.raises(ProjectLocked, match=f"process {os.getpid()}"):
        Project.open(project.path)
    assert (project.path / "project.lock").exists()


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="cannot wait for a child without collecting it")
def test_killed_but_uncollected_owner_does_not_block(project: Project) -> None:
    project.close()
    with _child(project.path, 'p = Project.open(path); tell("open"); sys.stdin.readline()') as child:
        assert _line(child) == "open"
        with pytest.raises(ProjectLocked, match=f"process {child.pid}"):
            Project.open(project.path)
        os.kill(child.pid, signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, but a zombie until we collect it
        with Project.open(project.path) as again:
            assert len(again.images()) == 4


def _write_lock(project: Project, **changes: object) -> Path:
    project.close()
    owner = {"pid": os.getpid(), "host": lockfile.platform.node(), "started": "long ago", "token": "t"}
    file = project.path / "project.lock"
    file.write_text(json.dumps(owner | changes), encoding="utf-8")
    return file


def test_lock_of_an_earlier_process_of_the_same_number_is_taken_over(project: Project) -> None:
    file = _write_lock(project)
    with Project.open(project.path):
        assert json.loads(file.read_text(encoding="utf-8"))["started"] == start_mark(os.getpid())
    assert not file.exists()


def test_half_written_lock_is_taken_over(project: Project) -> None:
    _write_lock(project).write_text('{"pid": 1', encoding="utf-8")
    with Project.open(project.path) as again:
        assert len(again.images()) == 4
    assert not list(project.path.glob("project.lock*"))


def test_lock_of_another_computer_is_respected_and_named(project: Project) -> None:
    file = _write_lock(project, host="laptop-of-ana", pid=1)
    with pytest.raises(ProjectLocked, match="process 1 on laptop-of-ana") as caught:
        Project.open(project.path)
    assert str(file) in caught.value.hint
    assert file.exists()


def test_two_owners_never_write_even_without_a_lock_file(project: Project) -> None:
    (project.path / "project.lock").unlink()
    with pytest.raises(ProjectLocked, match="already open in another program"):
        Project.open(project.path)
    project.log("first goes on", None)


def test_released_lock_of_somebody_else_stays(project: Project) -> None:
    file = project.path / "project.lock"
    file.write_text(json.dumps({"pid": 1, "host": "x", "started": "", "token": "other"}), encoding="utf-8")
    project.close()
    assert file.exists()


def _set_version(project: Project, version: int) -> bytes:
    project.close()
    file = project.path / "project.db"
    connection = sqlite3.connect(file)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return file.read_bytes()


def test_newer_project_is_refused_in_one_sentence_and_left_untouched(project: Project) -> None:
    before = _set_version(project, 2)
    names = sorted(p.name for p in project.path.iterdir())
    with pytest.raises(NewerProject) as caught:
        Project.open(project.path)
    assert str(project.path / "project.db") in caught.value.message
    assert "newer SegStudio" in caught.value.message
    assert (project.path / "project.db").read_bytes() == before
    assert sorted(p.name for p in project.path.iterdir()) == names


def test_failed_migration_leaves_the_old_version(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "old.db", isolation_level=None)
    connection.execute("CREATE TABLE old (x)")
    connection.execute("PRAGMA user_version = 1")

    def rename(c: sqlite3.Connection) -> None:
        c.execute("ALTER TABLE old RENAME TO fresh")

    def fail(c: sqlite3.Connection) -> None:
        c.execute("INSERT INTO nowhere VALUES (1)")

    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, steps={1: rename, 2: fail}, target=3)
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    assert migrate(connection, steps={1: rename}, target=2)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("fresh",)]
    assert not migrate(connection, steps={}, target=2)
    connection.close()


@pytest.mark.parametrize("content", [b"", b"SQLite", b"hello " * 100])
def test_file_that_is_no_database_is_named(project: Project, content: bytes) -> None:
    project.close()
    file = project.path / "project.db"
    file.write_bytes(content)
    with pytest.raises(ProjectError, match="damaged or is not a SegStudio project"):
        Project.open(project.path)
    assert file.read_bytes() == content


def test_other_sqlite_file_is_not_taken_for_a_project(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "project.db")
    connection.execute("CREATE TABLE songs (x)")
    connection.close()
    with pytest.raises(ProjectError, match="is not a SegStudio project"):
        Project.open(tmp_path)


def test_damaged_database_gives_one_sentence_and_lets_go_of_the_lock(project: Project) -> None:
    project.close()
    file = project.path / "project.db"
    data = bytearray(file.read_bytes())
    data[100:] = b"\xa5" * (len(data) - 100)
    file.write_bytes(bytes(data))
    with pytest.raises(ProjectError, match="is damaged"):
        Project.open(project.path)
    assert not (project.path / "project.lock").exists()


def _fill_disk(project: Project, *, spare_pages: int = 0) -> None:
    def limit(connection: sqlite3.Connection) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + spare_pages}")

    project._store.run(limit)


def _free_disk(project: Project) -> None:
    project._store.run(lambda c: c.execute("PRAGMA max_page_count = 1000000").fetchone())


def _noise() -> SegmentMap:
    rng = np.random.default_rng(1)
    ids = rng.integers(0, 200, (300, 400), dtype=np.uint16)
    return SegmentMap(ids, rng.random((300, 400)) < 0.5)


def test_full_disk_loses_nothing_and_saving_works_once_there_is_space(project: Project, paint: Paint) -> None:
    image, old = project.images()[1].id, _noise()
    project.save_map(image, old, revision=1)
    live = old.copy()
    _fill_disk(project)
    edit = pack_edit(paint(live, Rect(0, 0, 200, 300), 7))
    with pytest.raises(ProjectError, match=r"The last stroke on image 10\.png could not be saved: the disk is full"):
        project.journal(image, edit + bytes(20_000))
    assert project.load_map(image) == live, "the stored map and the stroke that waits in memory"
    _free_disk(project)
    project.journal(image, pack_edit(paint(live, Rect(250, 250, 50, 50), 9)))
    assert project.image(image).revision == 3
    project.close()
    with Project.open(project.path) as again:
        assert again.load_map(image) == live


def test_map_the_full_disk_refused_is_saved_by_the_next_try(project: Project) -> None:
    image, labels = project.images()[0].id, _noise()
    _fill_disk(project)
    with pytest.raises(ProjectError) as caught:
        project.save_map(image, labels, revision=1)
    assert caught.value.message.startswith("The labels of image 2.png could not be saved: the disk is full")
    assert "saved again automatically" in caught.value.hint
    assert project.load_map(image) is None
    assert project.image(image).revision == 0
    assert project.events(image_id=image) == [], "neither map nor event of a save that failed"
    _free_disk(project)
    assert project.save_map(image, labels, revision=1)
    assert project.load_map(image) == labels


def test_closing_on_a_full_disk_keeps_the_project_open_until_told_otherwise(project: Project, paint: Paint) -> None:
    image, live = project.images()[0].id, SegmentMap.empty(30, 40)
    payload = pack_edit(paint(live, Rect(0, 0, 5, 5), 1)) + bytes(50_000)
    _fill_disk(project)
    with pytest.raises(ProjectError, match="disk is full"):
        project.journal(image, payload)
    with pytest.raises(ProjectError, match="The last strokes could not be saved") as caught:
        project.close()
    assert "try again" in caught.value.hint
    assert project.load_map(image) == live, "still open, nothing lost"
    _free_disk(project)
    project.close()
    with Project.open(project.path) as again:
        assert again.load_map(image) == live
        _fill_disk(again)
        with pytest.raises(ProjectError):
            again.journal(image, payload)
        again.close(discard=True)
    assert not (project.path / "project.lock").exists()


def test_stroke_the_disk_refused_is_part_of_the_next_saved_map(project: Project, paint: Paint) -> None:
    image, live = project.images()[0].id, SegmentMap.empty(30, 40)
    _fill_disk(project)
    payload = pack_edit(paint(live, Rect(0, 0, 5, 5), 1))
    with pytest.raises(ProjectError, match="disk is full"):
        project.journal(image, payload + bytes(50_000))
    _free_disk(project)
    assert project.revision(image) == 1
    project.save_map(image, live, revision=1)
    assert project._store.run(lambda c: c.execute("SELECT count(*) FROM journal").fetchone()) == (0,)


@pytest.mark.skipif(os.name == "nt", reason="needs a limit on file sizes")
def test_write_the_system_refuses_half_way_loses_nothing(project: Project, paint: Paint) -> None:
    image = project.images()[0].id
    project.close()
    body = f"""
        import resource
        from segstudio.core.errors import ProjectError
        project = Project.open(path)
        live = SegmentMap.empty(30, 40)
        project.journal({image}, stroke(live, Rect(0, 0, 10, 10), 1))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        size = max(file.stat().st_size for file in path.iterdir() if file.is_file())
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            project.journal({image}, stroke(live, Rect(5, 5, 10, 10), 0) + bytes(400_000))
        except ProjectError as error:
            tell(error.message)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        project.journal({image}, stroke(live, Rect(20, 20, 5, 5), 1))
        tell("three")
        sys.stdin.readline()
    """
    with _child(project.path, body) as child:
        assert _line(child).startswith("The last stroke on image 2.png could not be")
        assert _line(child) == "three"
        child.kill()
        child.wait()
    expected = SegmentMap.empty(30, 40)
    for rect, class_id in ((Rect(0, 0, 10, 10), 1), (Rect(5, 5, 10, 10), 0), (Rect(20, 20, 5, 5), 1)):
        paint(expected, rect, class_id)
    with Project.open(project.path) as again:
        assert again.load_map(image) == expected


def test_store_that_became_read_only_says_so(project: Project) -> None:
    project._store.run(lambda c: c.execute("PRAGMA query_only = ON").fetchall())
    with pytest.raises(ProjectError, match=r"The setting could not be saved: .*project\.db cannot be written"):
        project.set_setting("a", 1)
    project._store.run(lambda c: c.execute("PRAGMA query_only = OFF").fetchall())
    project.set_setting("a", 1)
    assert project.setting("a") == 1


@contextmanager
def _ordinary_user() -> Iterator[None]:
    """Root may write everywhere, so it steps down for a moment."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.name == "nt", reason="rights work differently there")
def test_read_only_folder_is_refused_in_one_sentence(folder: Path) -> None:
    catalog = Catalog.from_names(["background"])
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        home.chmod(0o755)
        with Project.create(home / "work", catalog=catalog):
            pass
        before = (home / "work.segstudio" / "project.db").read_bytes()
        (home / "work.segstudio").chmod(0o555)
        home.chmod(0o555)
        try:
            with _ordinary_user():
                with pytest.raises(ProjectError, match="cannot be opened for writing: permission denied"):
                    Project.open(home / "work")
                with pytest.raises(ProjectError, match="cannot be written: permission denied"):
                    Project.create(home / "other", catalog=catalog)
        finally:
            home.chmod(0o755)
            (home / "work.segstudio").chmod(0o755)
        assert (home / "work.segstudio" / "project.db").read_bytes() == before


def test_closed_project_says_so(project: Project) -> None:
    project.close()
    with pytest.raises(ProjectError, match="is closed"):
        project.images()
    with pytest.raises(ProjectError, match="is closed"):
        project.post("save_map", 1, SegmentMap.empty(1, 1), revision=1)


def test_store_thread_refuses_to_wait_for_itself(project: Project) -> None:
    with pytest.raises(RuntimeError, match="wait for itself"):
        project._store.run(lambda _: project.images())


def test_mistakes_of_ours_stay_what_they_are(tmp_path: Path) -> None:
    store = Store(tmp_path / "x.db", create=True)
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        store.run(lambda c: c.execute("SELECT * FROM nowhere"))
    store.close()
    plain = sqlite3.OperationalError("odd")
    assert translate(plain, "The project", tmp_path) is plain


def test_drive_error_is_a_sentence(tmp_path: Path) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE
    sentence = translate(error, "The labels of a.png", tmp_path / "project.db")
    assert isinstance(sentence, ProjectError)
    assert sentence.message.startswith("The labels of a.png could not be read or saved")


def test_numbers_no_process_has_are_dead() -> None:
    assert start_mark(0) is None
    assert start_mark(2**22 + 7) is None
    assert start_mark(os.getpid()) == start_mark(os.getpid()) != ""
