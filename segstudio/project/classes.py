"""The catalog's rows."""

from __future__ import annotations

import sqlite3

from segstudio.core.catalog import Catalog, Kind, LabelClass


def read_catalog(connection: sqlite3.Connection) -> Catalog:
    """The stored classes in display order."""
    rows = connection.execute(
        "SELECT id, name, red, green, blue, kind, hidden, locked FROM class ORDER BY position"
    ).fetchall()
    return Catalog(
        LabelClass(
            id=class_id, name=name, color=(red, green, blue), kind=Kind(kind), hidden=bool(hidden), locked=bool(locked)
        )
        for class_id, name, red, green, blue, kind, hidden, locked in rows
    )


def write_catalog(connection: sqlite3.Connection, catalog: Catalog) -> None:
    """Replaces the stored classes; the caller holds the transaction."""
    connection.execute("DELETE FROM class")
    connection.executemany(
        "INSERT INTO class (id, position, name, red, green, blue, kind, hidden, locked) VALUES (?,?,?,?,?,?,?,?,?)",
        [(c.id, k, c.name, *c.color, str(c.kind), c.hidden, c.locked) for k, c in enumerate(catalog)],
    )
