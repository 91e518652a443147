"""A virtual screen for real windows, and a way to drive the program through its own `main()`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_START_S = 20


@pytest.fixture(scope="session")
def virtual_screen() -> Iterator[str]:
    """The DISPLAY of an Xvfb that lives as long as the tests; skipped where Xvfb is not installed."""
    program = shutil.which("Xvfb")
    if program is None:
        pytest.skip("needs Xvfb (Debian: xvfb) for a real window")
    reading, writing = os.pipe()
    screen = subprocess.Popen(
        [program, "-displayfd", str(writing), "-screen", "0", "1440x900x24", "-nolisten", "tcp"],
        pass_fds=(writing,),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with os.fdopen(reading) as numbers:
        number = numbers.readline().strip()
    assert number, "Xvfb did not start"
    yield f":{number}"
    screen.terminate()
    screen.wait(_START_S)


@pytest.fixture
def environment(request: pytest.FixtureRequest, segstudio_home: Path) -> dict[str, str]:
    """What a started program sees: this test's home and, by parameter, a real or no screen."""
    platform = getattr(request, "param", "offscreen")
    variables = dict(os.environ, SEGSTUDIO_HOME=str(segstudio_home), QT_QPA_PLATFORM=platform)
    if platform == "xcb":
        variables["DISPLAY"] = request.getfixturevalue("virtual_screen")
    return variables


@pytest.fixture
def drive(environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a driver script beside this file to its end and gives its output."""

    def run(script: str, *arguments: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(Path(__file__).with_name(script)), *arguments]
        return subprocess.run(
            command, env=environment, cwd=_ROOT, capture_output=True, text=True, timeout=timeout, check=False
        )

    return run
