"""A full disk: the stroke stays on the screen, one sentence, and everything is saved once there is space."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from segstudio.core.segmentmap import SegmentMap
from segstudio.gui.main_window import MainWindow
from segstudio.project.project import Project
from segstudio.services import saving
from segstudio.services.workspace import Workspace

_SIZE = (300, 400)
_CHILD = Path(__file__).parent / "full_disk_child.py"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three images large enough for a stroke to need space."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("a.png", "b.png", "c.png"):
        Image.new("RGB", _SIZE[::-1], "grey").save(folder / name)
    return folder


@pytest.fixture
def workspace(window: MainWindow, pictures: Path, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The window's workspace with its first image shown; the next try to save follows at once."""
    monkeypatch.setattr(saving, "_RETRY_DELAY_S", 0.1)
    monkeypatch.setattr(saving, "_AUTOSAVE_DELAY_S", 0.1)
    assert window.open_path(pictures)
    opened = window.workbench_workspace
    assert opened is not None
    _wait_for(opened, "a.png", qtbot)
    return opened


def _wait_for(workspace: Workspace, name: str, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: workspace.current is not None and workspace.current.item.name == name, timeout=20_000)


def _fill_disk(workspace: Workspace) -> None:
    pages = workspace.project._store.run(lambda c: c.execute("PRAGMA page_count").fetchone()[0])
    workspace.project._store.run(lambda c: c.execute(f"PRAGMA max_page_count = {pages}").fetchone())


def _free_disk(workspace: Workspace) -> None:
    workspace.project._store.run(lambda c: c.execute("PRAGMA max_page_count = 1000000").fetchone())


def _paint(workspace: Workspace, seed: int) -> SegmentMap:
    """A stroke that does not compress; returns what the map is now."""
    assert workspace.current is not None
    gesture = workspace.current.begin("Brush stroke")
    gesture.paint(np.random.default_rng(seed).random(_SIZE) < 0.5, 0, 0, 1)
    gesture.commit()
    return workspace.current.map.copy()


def _said(window: MainWindow, level: str) -> list[str]:
    return [text for known, text, _hint in window.messages.history if known == level]


def test_a_stroke_the_disk_refused_stays_on_screen_and_is_saved_once_there_is_space(
    window: MainWindow, workspace: Workspace, qtbot: QtBot
) -> None:
    _fill_disk(workspace)
    expected = _paint(workspace, 1)
    qtbot.waitUntil(lambda: workspace.saver.failing)
    qtbot.wait(600)  # several tries
    path = workspace.project.path
    assert _said(window, "error") == [
        f"The last stroke on a.png could not be saved: the disk is full ({path / 'project.db'})."
    ]
    assert window.messages.text.endswith("Free some space and it is saved again automatically.")
    assert window.status.saved.text() == "Not saved: the disk refuses"
    assert workspace.current is not None
    assert workspace.current.map == expected
    assert window.actions_table["undo"].isEnabled()
    _free_disk(workspace)
    qtbot.waitUntil(lambda: not workspace.saver.failing)
    assert _said(window, "success") == ["Everything is saved again."]
    assert window.status.saved.text() == "All changes saved"
    assert len(_said(window, "error")) == 1
    window.close_project()
    with Project.open(path) as project:
        assert project.load_map(project.images()[0].id) == expected


def test_on_a_full_disk_a_person_goes_on_to_other_images_and_back(
    window: MainWindow, workspace: Workspace, qtbot: QtBot
) -> None:
    canvas = window.workbench.canvas
    window.activateWindow()
    canvas.setFocus()
    qtbot.waitUntil(lambda: QApplication.focusWidget() is canvas)
    _fill_disk(workspace)
    expected = {"a.png": _paint(workspace, 1)}
    qtbot.waitUntil(lambda: workspace.saver.failing)
    QTest.keyClick(canvas, Qt.Key.Key_D)
    _wait_for(workspace, "b.png", qtbot)
    expected["b.png"] = _paint(workspace, 2)
    QTest.keyClick(canvas, Qt.Key.Key_A)
    _wait_for(workspace, "a.png", qtbot)
    assert workspace.current is not None
    assert workspace.current.map == expected["a.png"], "what the disk refused is still there"
    assert canvas.document is workspace.current
    assert workspace.current.undo() is not None, "and so is its history"
    expected["a.png"] = workspace.current.map.copy()
    qtbot.wait(300)
    assert len(_said(window, "error")) == 1
    _free_disk(workspace)
    qtbot.waitUntil(lambda: not workspace.saver.failing)
    path = workspace.project.path
    window.close_project()
    assert len(_said(window, "success")) == 1
    with Project.open(path) as project:
        stored = {item.name: project.load_map(item.id) for item in project.images()}
    assert stored == {**expected, "c.png": None}


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
def test_a_window_whose_system_refuses_to_write_loses_nothing(pictures: Path) -> None:
    done = subprocess.run(
        [sys.executable, os.fspath(_CHILD), os.fspath(pictures)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["reports"] == 0
    errors = [text for level, text, _hint in result["messages"] if level == "error"]
    assert len(errors) == 1
    assert errors[0].startswith("The last stroke on a.png could not be")
    assert [text for level, text, _hint in result["messages"] if level == "success"] == ["Everything is saved again."]
    assert result["status"] == ["Not saved: the disk refuses", "All changes saved"]
    assert result["painted"][0] == result["painted"][1] > 50_000
    with Project.open(Path(result["project"])) as project:
        stored = project.load_map(project.images()[0].id)
    assert stored is not None
    assert int(stored.decided.sum()) == result["painted"][0]


def test_a_project_that_cannot_be_made_for_lack_of_space_is_one_sentence(
    window: MainWindow, pictures: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = Path.mkdir

    def full(self: Path, *args: object, **options: object) -> None:
        if self.suffix == ".segstudio":
            raise OSError(28, "No space left on device", os.fspath(self))
        real(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "mkdir", full)
    assert not window.open_path(pictures)
    (sentence,) = _said(window, "error")
    assert sentence.endswith("cannot be written: no space left on device.")
    assert window.stack.currentWidget() is window.welcome
    assert sorted(file.name for file in pictures.iterdir()) == ["a.png", "b.png", "c.png"]


def test_the_window_stays_open_while_the_disk_refuses(window: MainWindow, workspace: Workspace, qtbot: QtBot) -> None:
    image_id, path = workspace.images[0].id, workspace.project.path
    _fill_disk(workspace)
    expected = _paint(workspace, 2)
    qtbot.waitUntil(lambda: workspace.saver.failing)
    window.show()
    window.close()
    assert window.isVisible()
    assert window.messages.text.startswith("The last strokes are not saved")
    _free_disk(workspace)
    qtbot.waitUntil(lambda: not workspace.saver.failing)
    window.close()
    assert not window.isVisible()
    with Project.open(path) as project:
        assert project.load_map(image_id) == expected
