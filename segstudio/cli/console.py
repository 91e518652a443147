"""What commands print: figures and results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from segstudio.core.errors import UserError
from segstudio.core.settings import Settings
from segstudio.engine.host import ProcessEngine

# Results are for other programs too: no colours, no wrapping, whatever the terminal.
out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


class Steps:
    """Progress over a known number of steps: a bar on a terminal, a plain line now and then elsewhere."""

    def __init__(self, title: str, total: int, bar: Progress | None) -> None:
        self._title, self._total, self._bar = title, total, bar
        self._done = 0
        self._task = bar.add_task(title, total=total) if bar is not None else None

    def step(self, text: str = "") -> None:
        """One more step is done."""
        self._done += 1
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done, description=f"{self._title} {text}")
        elif self._done == self._total or self._done % max(1, self._total // 10) == 0:
            err.print(f"{self._title}: {self._done} of {self._total}")


@contextmanager
def steps(title: str, total: int) -> Iterator[Steps]:
    """A progress display for `total` steps."""
    if not err.is_terminal:
        yield Steps(title, total, None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        yield Steps(title, total, bar)


@contextmanager
def engine() -> Iterator[ProcessEngine]:
    """An engine that is closed afterwards, whatever happens."""
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
