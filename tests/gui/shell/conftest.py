"""A window with the inline engine, on small real files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from segstudio.core.settings import Settings
from segstudio.engine.inline import InlineEngine
from segstudio.gui import theme
from segstudio.gui.app import make_application, make_window
from segstudio.gui.main_window import MainWindow

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The offscreen platform says so for every dialog with a minimum size; real platforms have these hints.
    mark = pytest.mark.qt_log_ignore("does not support propagateSizeHints", extend=True)
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(mark)


@pytest.fixture
def settings() -> Settings:
    """Settings under the test's own home; images get no proposal by themselves."""
    made = Settings()
    made.set("propose_automatically", False)
    made.set("theme", "dark")
    return made


@pytest.fixture
def themed(qapp: QApplication, settings: Settings) -> theme.ThemeManager:
    """The application, dressed."""
    return make_application(settings)[1]


@pytest.fixture
def window(qtbot: QtBot, qapp: QApplication, themed: theme.ThemeManager, settings: Settings) -> Iterator[MainWindow]:
    """A shown window without a project."""
    made = make_window(qapp, themed, settings, engine=InlineEngine())
    made.resize(1280, 800)
    made.show()
    qtbot.waitExposed(made)
    yield made
    made.close()
    made.shut_down()
    made.deleteLater()


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Four small images with names in natural order."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    random = np.random.default_rng(3)
    for number in (1, 2, 3, 10):
        pixels = random.integers(0, 255, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"cell {number}.png")
    return folder


@pytest.fixture
def opened(window: MainWindow, image_folder: Path, qtbot: QtBot) -> MainWindow:
    """The window on the folder, with its first image drawn."""
    assert window.open_path(image_folder)
    qtbot.waitUntil(lambda: shown_name(window) == "cell 1.png")
    return window


def shown_name(window: MainWindow) -> str | None:
    """The name of the image on the canvas."""
    workspace = window.workbench_workspace
    return workspace.current.item.name if workspace is not None and workspace.current is not None else None


@pytest.fixture
def shown() -> Callable[[MainWindow], str | None]:
    """Gives the name of the image on a window's canvas."""
    return shown_name
