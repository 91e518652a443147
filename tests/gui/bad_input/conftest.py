"""A real window on a folder that holds every kind of bad image at once."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from segstudio.core.settings import Settings
from segstudio.engine.inline import InlineEngine
from segstudio.gui.app import make_application, make_window
from segstudio.gui.main_window import MainWindow

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The offscreen platform says so for every window with a minimum size; real platforms have these hints.
    mark = pytest.mark.qt_log_ignore("does not support propagateSizeHints", extend=True)
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(mark)


def load_files() -> ModuleType:
    """The module that writes the files; tests are no package, so it is loaded by its place."""
    name = "segstudio_bad_files"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, _HERE / "bad_files.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for wanted in ("refused", "special"):
        if wanted in metafunc.fixturenames:
            cases = getattr(load_files(), wanted.upper())
            metafunc.parametrize(wanted, cases, ids=[case.name for case in cases])


@pytest.fixture
def bad_files() -> ModuleType:
    """The module of files."""
    return load_files()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with all of them, good images among them."""
    made = tmp_path / "pictures"
    load_files().write_all(made)
    return made


@pytest.fixture
def settings() -> Settings:
    """Settings under the test's own home; images get no proposal by themselves."""
    made = Settings()
    made.set("propose_automatically", False)
    return made


@pytest.fixture
def window(qtbot: QtBot, qapp: QApplication, settings: Settings) -> Iterator[MainWindow]:
    """A shown window without a project. A mistake of ours during the test fails it."""
    themes = make_application(settings)[1]
    made = make_window(qapp, themes, settings, engine=InlineEngine())
    made.resize(1280, 800)
    made.show()
    qtbot.waitExposed(made)
    yield made
    reports = [dialog.details.toPlainText() for dialog in made.boundary.dialogs]
    made.close()
    made.shut_down()
    made.deleteLater()
    assert reports == []
