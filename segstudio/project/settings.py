"""Values a project remembers by name."""

from __future__ import annotations

import json
import sqlite3
from typing import Any


def read_setting(connection: sqlite3.Connection, key: str, default: Any = None) -> Any:
    """The value stored under `key`, else `default`."""
    row = connection.execute("SELECT value FROM setting WHERE key = ?", (key,)).fetchone()
    return default if row is None else json.loads(row[0])


def write_setting(connection: sqlite3.Connection, key: str, text: str) -> None:
    """Stores JSON text under `key`, in place of what was there."""
    connection.execute("INSERT OR REPLACE INTO setting (key, value) VALUES (?, ?)", (key, text))
