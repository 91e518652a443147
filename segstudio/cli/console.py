"""What commands print: figures and results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from segstudio.core.errors import UserError
from segstudio.core.jobs import Progress as Work
from segstudio.core.settings import Settings

if TYPE_CHECKING:
    from segstudio.engine.host import ProcessEngine

# Results are for other programs too: no colours, no wrapping, whatever the terminal.
out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


class Steps:
    """Progress over a known number of steps: a bar on a terminal, a plain line now and then elsewhere."""

    def __init__(self, title: str, total: int, bar: Progress | None) -> None:
        self._title, self._total, self._bar = title, total, bar
        self._done = 0
        self._lines = _Lines(title)
        self._task = bar.add_task(title, total=total) if bar is not None else None

    def step(self, text: str = "") -> None:
        """One more step is done."""
        self._done += 1
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done, description=f"{self._title} {text}")
        elif self._done == self._total or self._done % max(1, self._total // 10) == 0:
            err.print(f"{self._title}: {self._done} of {self._total}")

    def meanwhile(self, work: Work) -> None:
        """How far the step at work is; without a bar only downloads are worth a line."""
        if self._bar is not None and self._task is not None:
            percent = "" if work.fraction is None else f" {work.fraction:.0%}"
            self._bar.update(self._task, description=f"{work.text or self._title}{percent}")
        elif work.text.startswith("Downloading"):
            self._lines.show(work)


@contextmanager
def steps(title: str, total: int) -> Iterator[Steps]:
    """A progress display for `total` steps."""
    if not err.is_terminal:
        yield Steps(title, total, None)
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        yield Steps(title, total, bar)


@contextmanager
def waiting(title: str) -> Iterator[Callable[[Work], None]]:
    """A display for work that says how far it is: a bar on a terminal, a plain line now and then elsewhere."""
    if not err.is_terminal:
        yield _Lines(title).show
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(title, total=None)

        def show(work: Work) -> None:
            done = None if work.fraction is None else 1.0
            bar.update(task, description=work.text or title, total=done, completed=work.fraction or 0.0)

        yield show


@contextmanager
def transferring(title: str) -> Iterator[Callable[[Work], None]]:
    """A display for work on thousands of files: their names on a terminal, only tenths elsewhere."""
    with waiting(title) as show:
        yield show if err.is_terminal else lambda work: show(Work(work.fraction))


class _Lines:
    """Prints a line for each tenth of what is known how far it is."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._last = ""

    def show(self, work: Work) -> None:
        """Prints the line where it says something new."""
        if work.fraction is None:
            return
        line = f"{work.text or self._title}: {int(work.fraction * 10) * 10} %"
        if line != self._last:
            self._last = line
            err.print(line, markup=False)


@contextmanager
def engine() -> Iterator[ProcessEngine]:
    """An engine that is closed afterwards, whatever happens."""
    from segstudio.engine.host import ProcessEngine  # most commands need none, and it takes a fifth of their start

    running = ProcessEngine()
    try:
        yield running
    finally:
        running.close()


def write_json(data: Any, path: Path | None) -> None:
    """Writes figures to a file, or to standard output where the path is None or "-"."""
    text = json.dumps(data, indent=2, ensure_ascii=False)
    if path is None or str(path) == "-":
        sys.stdout.write(text + "\n")
        return
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}).", "Choose another file.") from error


def settings() -> Settings:
    """The person's preferences."""
    return Settings()
