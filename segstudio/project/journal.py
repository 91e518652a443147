"""Every finished edit, undo and redo, on disk before the next one: what makes a killed window lose nothing.

A payload is one byte for its kind, `APPLY` or `REVERT`, and `Edit.to_bytes()`. Its revision is the number of changes
the image has seen. A stored map of revision r contains every entry up to r; loading replays those after it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

from segstudio.core.edits import Edit
from segstudio.core.errors import ProjectError
from segstudio.core.segmentmap import SegmentMap
from segstudio.project.database import transaction

APPLY: Final = b"E"
REVERT: Final = b"R"


def pack_edit(edit: Edit, *, undo: bool = False) -> bytes:
    """The payload for a gesture or its redo, or with `undo` for its undo."""
    return (REVERT if undo else APPLY) + edit.to_bytes()


def replay(payloads: Iterable[bytes], target: SegmentMap, *, name: str) -> None:
    """Does to `target` again what the entries say, in order.

    Raises:
        ProjectError: An entry is damaged.
    """
    try:
        for payload in payloads:
            edit = Edit.from_bytes(payload[1:])
            if payload[:1] == REVERT:
                edit.revert(target)
            elif payload[:1] == APPLY:
                edit.apply(target)
            else:
                raise ProjectError("An entry is of a kind this program does not know.")
    except ProjectError as error:
        raise ProjectError(
            f"The last strokes on {name} cannot be read: {error.message}", "Restore the project from a copy."
        ) from error


class Journal:
    """Writes entries, and keeps those that the disk refused until it takes them. Used on the store thread only."""

    def __init__(self) -> None:
        self._pending: dict[int, list[tuple[int, bytes]]] = {}

    def append(self, connection: sqlite3.Connection, image_id: int, payload: bytes) -> int:
        """The image's new revision, once the entry is on disk.

        Where SQLite refuses, the error is raised but the entry keeps its revision and its place: the next `append`,
        `flush` or saved map brings it to disk.
        """
        revision = self.revision(connection, image_id) + 1
        self._pending.setdefault(image_id, []).append((revision, payload))
        self.flush(connection)
        return revision

    def flush(self, connection: sqlite3.Connection) -> None:
        """Writes what waits, all or nothing."""
        if not self._pending:
            return
        rows = [(i, revision, payload) for i, entries in self._pending.items() for revision, payload in entries]
        with transaction(connection):
            connection.executemany("INSERT INTO journal (image_id, revision, payload) VALUES (?, ?, ?)", rows)
            connection.executemany(
                "UPDATE image SET revision = max(revision, ?) WHERE id = ?", [(row[1], row[0]) for row in rows]
            )
        self._pending.clear()

    def revision(self, connection: sqlite3.Connection, image_id: int) -> int:
        """How many changes the image has seen, those still waiting for the disk included."""
        waiting = self._pending.get(image_id)
        if waiting:
            return waiting[-1][0]
        row = connection.execute("SELECT revision FROM image WHERE id = ?", (image_id,)).fetchone()
        if row is None:
            raise KeyError(f"no image {image_id} in this project")
        return int(row[0])

    def entries_after(self, connection: sqlite3.Connection, image_id: int, revision: int) -> list[bytes]:
        """Payloads newer than `revision`, oldest first."""
        rows = connection.execute(
            "SELECT payload FROM journal WHERE image_id = ? AND revision > ? ORDER BY revision", (image_id, revision)
        ).fetchall()
        waiting = self._pending.get(image_id, ())
        return [bytes(row[0]) for row in rows] + [payload for number, payload in waiting if number > revision]

    @staticmethod
    def trim(connection: sqlite3.Connection, image_id: int, revision: int) -> None:
        """Removes what a map of `revision` contains; the caller holds the transaction and calls `forget` after it."""
        connection.execute("DELETE FROM journal WHERE image_id = ? AND revision <= ?", (image_id, revision))

    def forget(self, image_id: int, revision: int) -> None:
        """Drops waiting entries that a saved map of `revision` contains."""
        rest = [entry for entry in self._pending.pop(image_id, []) if entry[0] > revision]
        if rest:
            self._pending[image_id] = rest
