"""The append-only record of what a person changed and how long it took."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One entry: when (ISO 8601, UTC), what kind, on which image if any, seconds of work, and details."""

    id: int
    time: str
    kind: str
    image_id: int | None
    seconds: float
    data: Any


def now() -> str:
    """The present moment as ISO 8601 text in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def write_event(
    connection: sqlite3.Connection, kind: str, *, image_id: int | None = None, data: Any = None, seconds: float = 0.0
) -> int:
    """The id of a new entry; inside the caller's transaction where there is one."""
    cursor = connection.execute(
        "INSERT INTO event (time, kind, image_id, seconds, data) VALUES (?, ?, ?, ?, ?)",
        (now(), kind, image_id, seconds, json.dumps(data, ensure_ascii=False)),
    )
    return int(cursor.lastrowid or 0)


def read_events(
    connection: sqlite3.Connection, *, kind: str | None, image_id: int | None, limit: int | None
) -> list[Event]:
    """Entries, oldest first; with `limit` the newest so many."""
    rows = connection.execute(
        """SELECT id, time, kind, image_id, seconds, data FROM event
           WHERE (:kind IS NULL OR kind = :kind) AND (:image IS NULL OR image_id = :image)
           ORDER BY id DESC LIMIT :limit""",
        {"kind": kind, "image": image_id, "limit": -1 if limit is None else limit},
    ).fetchall()
    return [
        Event(id=i, time=time, kind=k, image_id=image, seconds=seconds, data=json.loads(data))
        for i, time, k, image, seconds, data in reversed(rows)
    ]
