"""What commands show while something takes long."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from segstudio.cli import console
from segstudio.core.jobs import Progress


def test_without_a_terminal_each_tenth_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with console.waiting("Importing net.pth") as show:
        show(Progress(None, "Reading net.pth"))
        for fraction in (0.0, 0.01, 0.11, 0.19, 1.0):
            show(Progress(fraction, "Downloading net"))
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["Downloading net: 0 %", "Downloading net: 10 %", "Downloading net: 100 %"]


def test_among_steps_only_downloads_are_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with console.steps("Predicting", 1) as shown:
        shown.meanwhile(Progress(0.5, "Downloading net"))
        shown.meanwhile(Progress(0.5, "Predicting"))
        shown.step("a.png")
    assert capsys.readouterr().err.splitlines() == ["Downloading net: 50 %", "Predicting: 1 of 1"]


def test_on_a_terminal_there_is_a_bar_with_the_text_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(console, "err", Console(file=screen, force_terminal=True, width=100))
    with console.waiting("Importing [a].pth") as show:
        show(Progress(None))
        show(Progress(0.25, "Downloading [b].pth"))
    assert "Importing [a].pth" in screen.getvalue()
    assert "25%" in screen.getvalue()
    with console.steps("Predicting", 2) as shown:
        shown.meanwhile(Progress(0.5, "Downloading [b].pth"))
        shown.step("c.png")
    assert "1/2" in screen.getvalue()
