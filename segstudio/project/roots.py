"""The folders that images live in, found again after the project or the images moved."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Root:
    """A folder of images: where it is now, and whether a rescan adds what is new in it."""

    id: int
    folder: str
    watched: bool

    @property
    def label(self) -> str:
        """The folder's own name, to tell equal file names apart."""
        return Path(self.folder).name or "images"


def to_column(text: str) -> str | bytes:
    """A path as a column value: itself, or its bytes where it is not valid Unicode."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return os.fsencode(text)
    return text


def from_column(value: str | bytes) -> str:
    """The path `to_column` stored."""
    return os.fsdecode(value)


def read_roots(connection: sqlite3.Connection, project: Path) -> list[Root]:
    """Every root, oldest first, each resolved to where it is now."""
    rows = connection.execute("SELECT id, relative, absolute, watched FROM root ORDER BY id").fetchall()
    return [
        Root(root_id, _resolve(project, relative, from_column(absolute)), bool(watched))
        for root_id, relative, absolute, watched in rows
    ]


def insert_root(connection: sqlite3.Connection, project: Path, folder: str, *, watched: bool) -> Root:
    """A new root; the caller holds the transaction."""
    try:
        relative = to_column(Path(os.path.relpath(folder, project)).as_posix())
    except ValueError:  # on another drive
        relative = None
    cursor = connection.execute(
        "INSERT INTO root (relative, absolute, watched) VALUES (?, ?, ?)", (relative, to_column(folder), watched)
    )
    return Root(int(cursor.lastrowid or 0), folder, watched)


def watch_root(connection: sqlite3.Connection, root: Root) -> None:
    """Lets rescans add what is new in an existing root."""
    connection.execute("UPDATE root SET watched = 1 WHERE id = ?", (root.id,))


def _resolve(project: Path, relative: str | bytes | None, absolute: str) -> str:
    """The relative place where it exists (moved together), else the absolute one (project moved alone)."""
    if relative is None:
        return absolute
    near = os.path.normpath(project / from_column(relative))
    return near if Path(near).is_dir() or not Path(absolute).is_dir() else absolute
