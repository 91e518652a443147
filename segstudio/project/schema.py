"""What a project's database holds: one table a subject, as of `VERSION`."""

from __future__ import annotations

from typing import Final

VERSION: Final = 1
"""`PRAGMA user_version` of the projects this program writes; raise it together with a step in `migrations.STEPS`."""

APPLICATION_ID: Final = 0x53454753
"""`PRAGMA application_id`: tells a project from any other SQLite file ("SEGS")."""

DATABASE_NAME: Final = "project.db"
LOCK_NAME: Final = "project.lock"
RUNS_NAME: Final = "runs"
SUFFIX: Final = ".segstudio"

# Paths are columns without a type: text, or bytes where a file's name is not valid Unicode.
TABLES: Final = (
    "CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE class (
        id INTEGER PRIMARY KEY, position INTEGER NOT NULL, name TEXT NOT NULL, red INTEGER NOT NULL,
        green INTEGER NOT NULL, blue INTEGER NOT NULL, kind TEXT NOT NULL, hidden INTEGER NOT NULL,
        locked INTEGER NOT NULL)""",
    # A folder that images live in. Both ways to reach it are kept: the relative one survives moving the project
    # together with its images, the absolute one moving the project alone. `watched`: a rescan adds new files.
    """CREATE TABLE root (
        id INTEGER PRIMARY KEY, relative, absolute NOT NULL UNIQUE, watched INTEGER NOT NULL)""",
    """CREATE TABLE image (
        id INTEGER PRIMARY KEY AUTOINCREMENT, root_id INTEGER NOT NULL REFERENCES root(id), path NOT NULL,
        name TEXT NOT NULL UNIQUE, position INTEGER NOT NULL, width INTEGER, height INTEGER,
        status TEXT NOT NULL DEFAULT 'new', split TEXT NOT NULL, revision INTEGER NOT NULL DEFAULT 0,
        decided REAL NOT NULL DEFAULT 0, problem TEXT, note TEXT, gone INTEGER NOT NULL DEFAULT 0,
        UNIQUE (root_id, path))""",
    "CREATE INDEX image_position ON image (position)",
    """CREATE TABLE mask (
        image_id INTEGER PRIMARY KEY REFERENCES image(id), revision INTEGER NOT NULL, ids BLOB NOT NULL,
        decided BLOB NOT NULL, segments TEXT NOT NULL)""",
    """CREATE TABLE journal (
        image_id INTEGER NOT NULL REFERENCES image(id), revision INTEGER NOT NULL, payload BLOB NOT NULL,
        PRIMARY KEY (image_id, revision))""",
    """CREATE TABLE run (
        id INTEGER PRIMARY KEY AUTOINCREMENT, state TEXT NOT NULL, parent TEXT, created TEXT NOT NULL,
        config TEXT NOT NULL, metrics TEXT NOT NULL, card TEXT, accepted INTEGER)""",
    """CREATE TABLE event (
        id INTEGER PRIMARY KEY AUTOINCREMENT, time TEXT NOT NULL, kind TEXT NOT NULL,
        image_id INTEGER REFERENCES image(id), seconds REAL NOT NULL, data TEXT NOT NULL)""",
)
