"""What every test gets: a home of its own, a place for shared data, and refusal of noise it did not expect."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Before Qt is imported anywhere; the real-window tests start their own process with its own platform.
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

_ROOT = Path(__file__).resolve().parent.parent
_SHARED = _ROOT.parent / "shared"
_FAREWELL_S = 5.0


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


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fails a test after which a thread of ours still runs or a piece of shared memory of ours is still there."""
    # What is there already belongs to fixtures of a wider scope.
    before = _threads() | abandoned_shared_memory()
    yield
    end = time.monotonic() + _FAREWELL_S
    while (left := (_threads() | abandoned_shared_memory()) - before) and time.monotonic() < end:
        time.sleep(0.02)
    assert not left, f"left behind: {left}"


def _threads() -> set[str]:
    ours = ("segstudio", "store ")
    return {f"{t.name} {t.ident}" for t in threading.enumerate() if t.is_alive() and t.name.startswith(ours)}


def abandoned_shared_memory() -> set[str]:
    """Shared memory made by this process or by one that is gone; other programs at work have their own."""
    folder = Path("/dev/shm")
    names = [p.name for p in folder.glob("segstudio_*_*")] if folder.is_dir() else []
    owners = {name: int(name.split("_")[1]) for name in names}
    return {n for n, pid in owners.items() if pid == os.getpid() or not Path(f"/proc/{pid}").exists()}


@pytest.fixture
def shared_memory_left() -> Callable[[], set[str]]:
    """Says which shared memory nobody will free any more."""
    return abandoned_shared_memory


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the project; the test is skipped where it is absent."""
    folder = _SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the real data in {folder}, which is not there")
    return folder
