"""A fake workspace for every test of a panel or dialog."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

_HERE = Path(__file__).parent
_PATH = _HERE / "panels" / "fakes.py"


def _load() -> ModuleType:
    name = "segstudio_gui_fakes"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, _PATH)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture
def fakes() -> ModuleType:
    """The module of fakes."""
    return _load()


@pytest.fixture
def workspace(fakes):
    """A workspace that notes every call under `calls`."""
    return fakes.FakeWorkspace()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The offscreen platform has no window manager and says so; nothing of ours depends on it."""
    faked = {_HERE / "panels", _HERE / "dialogs"}
    mark = pytest.mark.qt_log_ignore(
        "does not support propagateSizeHints", r"does not support raise\(\)", "does not support grabbing", extend=True
    )
    for item in items:
        if faked.intersection(item.path.parents):
            item.add_marker(mark)
