"""Folders nobody may read, projects of a newer program, masks of another size: a sentence, and the program goes on."""

from __future__ import annotations

import io
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from segstudio.core.items import ImageItem, Status
from segstudio.gui.main_window import MainWindow
from segstudio.gui.panels.images import describe, mark_of
from segstudio.project.project import Project
from segstudio.services.workspace import Workspace

_DOCUMENT = Path(__file__).parents[3] / "docs" / "bad-input.md"
Deny = Callable[[Path], None]


def _workspace(window: MainWindow) -> Workspace:
    workspace = window.workbench_workspace
    assert workspace is not None
    return workspace


def _said(window: MainWindow, *levels: str) -> list[str]:
    return [text for level, text, _hint in window.messages.history if level in levels]


def _named(window: MainWindow, name: str) -> ImageItem:
    return next(item for item in _workspace(window).images if item.name == name)


def _opened(window: MainWindow, path: Path, qtbot: QtBot) -> Workspace:
    assert window.open_path(path)
    workspace = _workspace(window)
    qtbot.waitUntil(lambda: workspace.current is not None, timeout=20_000)
    return workspace


def _paint(workspace: Workspace) -> None:
    assert workspace.current is not None
    gesture = workspace.current.begin("Brush stroke")
    gesture.paint(np.ones((8, 8), bool), 2, 2, 1)
    gesture.commit()


@pytest.fixture
def deny(monkeypatch: pytest.MonkeyPatch) -> Deny:
    """Takes away the right to look into a folder, whoever runs the tests; root would not notice a chmod."""
    locked: list[str] = []
    scandir, stat, opener = os.scandir, os.stat, io.open

    def check(path: object) -> None:
        if isinstance(path, (str, os.PathLike)) and any(
            os.fspath(path) != place and os.fspath(path).startswith(place + os.sep) for place in locked
        ):
            raise PermissionError(13, "Permission denied", path)

    def deny_scandir(path: str = ".") -> object:
        check(Path(path) / "x")
        return scandir(path)

    def deny_stat(path: str, **options: object) -> os.stat_result:
        check(path)
        return stat(path, **options)  # type: ignore[arg-type]

    def deny_open(path: object, *args: object, **options: object) -> object:
        check(path)
        return opener(path, *args, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", deny_scandir)
    monkeypatch.setattr(os, "stat", deny_stat)
    monkeypatch.setattr(io, "open", deny_open)
    return lambda place: locked.append(os.fspath(place))


def test_a_locked_sub_folder_is_one_sentence_and_the_rest_opens(
    window: MainWindow, folder: Path, deny: Deny, qtbot: QtBot
) -> None:
    deny(folder / "locked")
    workspace = _opened(window, folder, qtbot)
    assert _said(window, "warning", "error") == ["The folder locked cannot be read (Permission denied)."]
    assert window.messages.text.endswith("The list lacks what is in it; change its permissions and press F5.")
    assert "inside.png" not in {Path(item.name).name for item in workspace.images}
    assert len(workspace.images) == 18
    workspace.next_image()
    qtbot.waitUntil(lambda: workspace.current is not None and workspace.current.item.name == "2 good.jpg")
    assert len(_said(window, "warning")) == 1, "said once, not with every image"


def test_the_sentence_on_a_locked_folder_is_not_hidden_by_a_bad_first_image(
    window: MainWindow, folder: Path, deny: Deny, qtbot: QtBot
) -> None:
    deny(folder / "locked")
    assert window.open_path(folder / "zero.png")
    qtbot.waitUntil(lambda: len(_said(window, "warning", "error")) == 2)
    assert _said(window, "error") == ["The image zero.png is empty (0 bytes)."]
    assert window.messages.text.startswith("The folder locked cannot be read")
    assert mark_of(_named(window, "zero.png")) == "warning"


def test_a_rescan_tells_of_a_folder_locked_meanwhile_and_keeps_its_images(
    window: MainWindow, folder: Path, deny: Deny, qtbot: QtBot
) -> None:
    workspace = _opened(window, folder, qtbot)
    deny(folder / "locked")
    window.actions_table["rescan"].trigger()
    qtbot.waitUntil(lambda: bool(_said(window, "warning")))
    assert _said(window, "warning", "error") == ["The folder locked cannot be read (Permission denied)."]
    inside = _named(window, "locked/inside.png")
    assert inside.problem is None, "nobody knows that it is gone"
    workspace.open_image(inside.id)
    qtbot.waitUntil(lambda: mark_of(_named(window, "locked/inside.png")) == "warning")
    assert _said(window, "error") == ["The image inside.png cannot be read: permission denied."]


def test_a_locked_folder_is_refused_in_one_sentence_and_the_open_project_stays(
    window: MainWindow, folder: Path, deny: Deny, qtbot: QtBot
) -> None:
    workspace = _opened(window, folder, qtbot)
    deny(folder / "locked")
    assert not window.open_path(folder / "locked")
    assert _said(window, "error") == [f"{folder / 'locked'} cannot be read (Permission denied)."]
    assert _workspace(window) is workspace
    assert workspace.current is not None


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="chmod has no effect here")
def test_a_folder_locked_by_its_rights_is_one_sentence(window: MainWindow, folder: Path, qtbot: QtBot) -> None:
    (folder / "locked").chmod(0)
    try:
        _opened(window, folder, qtbot)
        assert _said(window, "warning", "error") == ["The folder locked cannot be read (Permission denied)."]
        assert not window.open_path(folder / "locked")
    finally:
        (folder / "locked").chmod(0o755)


def test_a_folder_that_is_gone_keeps_images_and_labels(window: MainWindow, folder: Path, qtbot: QtBot) -> None:
    workspace = _opened(window, folder, qtbot)
    _paint(workspace)
    first, project = workspace.images[0], workspace.project.path
    window.close_project()
    away = folder.with_name("elsewhere")
    folder.rename(away)
    assert window.open_path(project)
    qtbot.waitUntil(lambda: bool(_said(window, "error")))
    assert _said(window, "error") == [f"The image {first.name} is not there any more."]
    window.actions_table["rescan"].trigger()
    qtbot.waitUntil(lambda: bool(_said(window, "warning")))
    assert _said(window, "warning") == [f"The folder {folder} is gone."]
    assert {mark_of(item) for item in _workspace(window).images} == {"warning"}
    away.rename(folder)
    window.actions_table["rescan"].trigger()
    assert {mark_of(item) for item in _workspace(window).images} <= {None, "info", "warning"}
    _workspace(window).open_image(first.id)
    qtbot.waitUntil(lambda: _workspace(window).current is not None)
    current = _workspace(window).current
    assert current is not None
    assert current.map.decided.sum() == 64
    assert mark_of(_named(window, first.name)) is None


def test_a_project_of_a_newer_program_is_refused_untouched_and_the_window_goes_on(
    window: MainWindow, folder: Path, tmp_path: Path, qtbot: QtBot
) -> None:
    workspace = _opened(window, folder, qtbot)
    _paint(workspace)
    project = workspace.project.path
    window.close_project()
    with closing(sqlite3.connect(project / "project.db")) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        connection.execute(f"PRAGMA user_version = {version + 1}")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = (project / "project.db").read_bytes()
    for path in (project, folder):
        assert not window.open_path(path)
    sentences = _said(window, "error")
    assert len(set(sentences)) == 1
    assert f"was written by a newer SegStudio (version {version + 1}; this one reads up to {version})." in sentences[0]
    assert window.messages.text.endswith("Update SegStudio to open it.")
    assert window.stack.currentWidget() is window.welcome
    assert (project / "project.db").read_bytes() == before
    other = tmp_path / "other"
    other.mkdir()
    Image.new("RGB", (9, 9)).save(other / "a.png")
    _opened(window, other, qtbot)


def test_an_image_replaced_by_one_of_another_size_keeps_its_labels(
    window: MainWindow, folder: Path, qtbot: QtBot
) -> None:
    workspace = _opened(window, folder / "1 good.png", qtbot)
    _paint(workspace)
    window.close_project()
    file = folder / "1 good.png"
    old = file.read_bytes()
    Image.new("RGB", (20, 10)).save(file)
    sentence = "1 good.png is now 20 x 10 pixels, but its labels were made for 60 x 40."
    assert window.open_path(folder / "2 good.jpg")
    qtbot.waitUntil(lambda: _workspace(window).current is not None)
    for _again in range(2):
        _workspace(window).open_image(_named(window, "1 good.png").id)
        qtbot.waitUntil(lambda: _named(window, "1 good.png").problem is not None)
        assert window.workbench.canvas.document is None, "not the image before it"
        _workspace(window).open_image(_named(window, "2 good.jpg").id)
        qtbot.waitUntil(lambda: _workspace(window).current is not None)
    assert set(_said(window, "warning", "error")) == {sentence}
    item = _named(window, "1 good.png")
    assert mark_of(item) == "warning"
    assert sentence in describe(item)
    file.write_bytes(old)
    _workspace(window).open_image(item.id)
    qtbot.waitUntil(lambda: _workspace(window).current is not None and window.workbench.canvas.document is not None)
    current = _workspace(window).current
    assert current is not None
    assert current.map.decided.sum() == 64
    assert mark_of(_named(window, "1 good.png")) is None


def test_a_mask_of_another_size_is_refused_with_a_mark_and_the_others_are_imported(
    window: MainWindow, folder: Path, tmp_path: Path, qtbot: QtBot
) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    for stem, size in (("1 good", (60, 40)), ("2 good", (30, 20)), ("zero", (60, 40))):
        Image.fromarray(np.ones(size[::-1], np.uint8)).save(masks / f"{stem}.png")
    workspace = _opened(window, folder / "grey.png", qtbot)
    workspace.importing.import_labels("index-png", masks)
    qtbot.waitUntil(lambda: bool(_said(window, "warning")), timeout=20_000)
    (text,) = _said(window, "warning", "error")
    wrong = "The label 2 good.png is 30 x 20 pixels, but its image 2 good.jpg is 60 x 40."
    assert text.startswith("Labels of 1 image imported.")
    assert text.count(wrong) == 1
    assert text.count("The image zero.png is empty (0 bytes).") == 1
    item = _named(window, "2 good.jpg")
    assert (item.status, item.revision, mark_of(item)) == (Status.NEW, 0, "info")
    assert wrong in describe(item)
    assert mark_of(_named(window, "zero.png")) == "warning"
    assert _named(window, "1 good.png").status is Status.REVIEWED
    with qtbot.waitSignal(window.workbench.images.chosen):
        index = window.workbench.images.model.index(window.workbench.images.model.row_of(item.id) or 0)
        window.workbench.images.view.setCurrentIndex(index)
    qtbot.waitUntil(lambda: workspace.current is not None and workspace.current.item.id == item.id)
    assert window.workbench.images.model.data(index, Qt.ItemDataRole.DisplayRole) == "2 good.jpg"


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_nobody_can_follow_is_a_bad_image_and_not_a_bad_folder(
    window: MainWindow, folder: Path, qtbot: QtBot
) -> None:
    (folder / "link.png").symlink_to(folder / "link.png")
    workspace = _opened(window, folder, qtbot)
    assert len(workspace.images) == 20
    assert _said(window, "warning", "error") == []
    workspace.open_image(_named(window, "link.png").id)
    qtbot.waitUntil(lambda: mark_of(_named(window, "link.png")) == "warning")
    assert _said(window, "error") == ["The image link.png cannot be read (Too many levels of symbolic links)."]


def test_a_file_that_is_no_image_is_refused_in_one_sentence(window: MainWindow, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello", encoding="utf-8")
    assert not window.open_path(tmp_path / "notes.txt")
    assert _said(window, "error") == ["notes.txt is not an image, a folder of images or a project."]
    (tmp_path / "empty").mkdir()
    assert not window.open_path(tmp_path / "empty")
    assert _said(window, "error")[1:] == [f"There is no image in the folder {tmp_path / 'empty'}."]
    assert window.stack.currentWidget() is window.welcome


def test_a_damaged_label_in_the_store_marks_its_image_and_the_others_open(
    window: MainWindow, folder: Path, qtbot: QtBot
) -> None:
    workspace = _opened(window, folder / "1 good.png", qtbot)
    _paint(workspace)
    project, image_id = workspace.project.path, _named(window, "1 good.png").id
    window.close_project()
    with closing(sqlite3.connect(project / "project.db")) as connection, connection:
        connection.execute("UPDATE mask SET ids = ? WHERE image_id = ?", (b"nonsense", image_id))
    assert window.open_path(project)
    qtbot.waitUntil(lambda: mark_of(_named(window, "1 good.png")) == "warning")
    assert len(_said(window, "error")) == 1
    assert "1 good.png" in _said(window, "error")[0]
    _workspace(window).next_image()
    qtbot.waitUntil(lambda: _workspace(window).current is not None)
    window.close_project()
    with Project.open(project) as again:
        assert again.image(image_id).revision == 1, "the entry stays for whoever restores a copy"


def test_the_document_quotes_these_sentences_too() -> None:
    document = _DOCUMENT.read_text(encoding="utf-8")
    for sentence in (
        "The folder locked cannot be read (Permission denied).",
        "was written by a newer SegStudio",
        "1 good.png is now 20 x 10 pixels, but its labels were made for 60 x 40.",
        "The image 1 good.png is not there any more.",
        "The image inside.png cannot be read: permission denied.",
        "Not saved: the disk refuses",
        "Everything is saved again.",
        "The last stroke on a.png could not be saved: the disk is full",
        "The label 2 good.png is 30 x 20 pixels, but its image 2 good.jpg is 60 x 40.",
    ):
        assert sentence in document
