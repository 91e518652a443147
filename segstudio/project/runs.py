"""Training runs: a row and a folder each."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from segstudio.core.jobs import JobState
from segstudio.project.events import now
from segstudio.project.schema import RUNS_NAME

_COLUMNS: Final = "id, state, parent, created, config, metrics, card, accepted"
# Marks a path inside the project folder, so that runs are found again after the project was moved.
_INSIDE: Final = "project:"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One training run.

    Attributes:
        id: Counts from 1; never given twice.
        folder: Absolute; holds the manifest, the log and what the run made.
        state: A `JobState` value.
        parent: Card id or absolute card path of the model in use when the run began.
        created: ISO 8601, UTC.
        metrics: What the run reached, by name.
        card: Absolute path of the card the run made, or None.
        accepted: What the gate said; None before it spoke.
        config: What the run was asked to do.
    """

    id: int
    folder: Path
    state: str
    parent: str | None
    created: str
    metrics: dict[str, Any]
    card: str | None
    accepted: bool | None
    config: dict[str, Any]


def insert_run(connection: sqlite3.Connection, project: Path, parent: str | None, config: dict[str, Any]) -> RunRecord:
    """A new run with an empty folder; the caller holds the transaction."""
    cursor = connection.execute(
        "INSERT INTO run (state, parent, created, config, metrics) VALUES (?, ?, ?, ?, '{}')",
        (str(JobState.QUEUED), _stored(parent, project), now(), json.dumps(config, ensure_ascii=False)),
    )
    run = read_run(connection, project, int(cursor.lastrowid or 0))
    run.folder.mkdir(parents=True, exist_ok=True)
    return run


def read_run(connection: sqlite3.Connection, project: Path, run_id: int) -> RunRecord:
    """One run.

    Raises:
        KeyError: There is no such run.
    """
    row = connection.execute(f"SELECT {_COLUMNS} FROM run WHERE id = ?", (run_id,)).fetchone()  # noqa: S608
    if row is None:
        raise KeyError(f"no run {run_id} in this project")
    return _record(row, project)


def read_runs(connection: sqlite3.Connection, project: Path) -> list[RunRecord]:
    """All runs, oldest first."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM run ORDER BY id").fetchall()  # noqa: S608
    return [_record(row, project) for row in rows]


def write_run(connection: sqlite3.Connection, project: Path, run: RunRecord) -> None:
    """Stores state, metrics, card and verdict of a run."""
    connection.execute(
        "UPDATE run SET state = ?, metrics = ?, card = ?, accepted = ? WHERE id = ?",
        (run.state, json.dumps(run.metrics, ensure_ascii=False), _stored(run.card, project), run.accepted, run.id),
    )


def _record(row: tuple[Any, ...], project: Path) -> RunRecord:
    run_id, state, parent, created, config, metrics, card, accepted = row
    return RunRecord(
        id=run_id,
        folder=project / RUNS_NAME / str(run_id),
        state=state,
        parent=_given(parent, project),
        created=created,
        metrics=json.loads(metrics),
        card=_given(card, project),
        accepted=None if accepted is None else bool(accepted),
        config=json.loads(config),
    )


def _stored(text: str | None, project: Path) -> str | None:
    if text is None or not Path(text).is_relative_to(project):
        return text
    return _INSIDE + Path(text).relative_to(project).as_posix()


def _given(text: str | None, project: Path) -> str | None:
    if text is None or not text.startswith(_INSIDE):
        return text
    return str(project / text.removeprefix(_INSIDE))
