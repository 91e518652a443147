"""What every test gets: a home of its own, a place for shared data, and refusal of noise it did not expect."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before Qt is imported anywhere; the real-window tests start their own process with its own platform.
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

_ROOT = Path(__file__).resolve().parent.parent
_SHARED = _ROOT.parent / "shared"


@pytest.fixture(autouse=True)
def segstudio_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings, cache and projects of this test, away from the person's own."""
    home = tmp_path / "segstudio-home"
    monkeypatch.setenv("SEGSTUDIO_HOME", str(home))
    return home


@pytest.fixture(autouse=True)
def no_unexpected_log_lines(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fails a test whose code logged at WARNING or above without the test clearing it."""
    yield
    lines = [r for r in caplog.get_records("call") if r.levelno >= logging.WARNING]
    assert not lines, f"unexpected log lines: {[r.getMessage() for r in lines]}"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the project; the test is skipped where it is absent."""
    folder = _SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the real data in {folder}, which is not there")
    return folder
