"""Which version a project has, and the way from an older one to ours."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from segstudio.core.errors import NewerProject, ProjectError
from segstudio.project.schema import APPLICATION_ID, TABLES, VERSION

Step = Callable[[sqlite3.Connection], None]

STEPS: Final[Mapping[int, Step]] = {}
"""Entry v brings a project from version v to v + 1."""

_MAGIC: Final = b"SQLite format 3\x00"
_HEADER_BYTES: Final = 100


@dataclass(frozen=True, slots=True)
class Header:
    """What the first bytes of a database file say about it."""

    user_version: int
    application_id: int


def read_header(path: Path) -> Header:
    """The version marks of a database file, read without SQLite so that nothing is written beside it.

    Raises:
        ProjectError: The file cannot be read or is not a project.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER_BYTES)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ProjectError(
            f"The project file {path} cannot be read: {reason}.", "Check the path and its rights."
        ) from error
    if len(head) < _HEADER_BYTES or not head.startswith(_MAGIC):
        raise ProjectError(
            f"The project file {path} is damaged or is not a SegStudio project.", "Restore it from a copy."
        )
    # File format of SQLite: user_version at byte 60, application_id at byte 68, both big-endian.
    return Header(int.from_bytes(head[60:64], "big"), int.from_bytes(head[68:72], "big"))


def check_version(path: Path) -> None:
    """Raises where this program must not touch the file.

    Raises:
        NewerProject: A newer program wrote it.
        ProjectError: It is not a project.
    """
    header = read_header(path)
    if header.application_id != APPLICATION_ID or header.user_version < 1:
        raise ProjectError(f"The file {path} is not a SegStudio project.", "Open the folder of a project.")
    if header.user_version > VERSION:
        raise NewerProject(
            f"The project file {path} was written by a newer SegStudio (version {header.user_version}; "
            f"this one reads up to {VERSION}).",
            "Update SegStudio to open it.",
        )


def create_tables(connection: sqlite3.Connection) -> None:
    """Fills an empty database; the caller holds the transaction."""
    for statement in TABLES:
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def migrate(connection: sqlite3.Connection, *, steps: Mapping[int, Step] = STEPS, target: int = VERSION) -> bool:
    """Brings a project to the target version, all steps or none; True where something was changed."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version == target:
        return False
    connection.execute("BEGIN IMMEDIATE")
    try:
        for current in range(version, target):
            steps[current](connection)
        connection.execute(f"PRAGMA user_version = {target:d}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    # The version has to stand in the file itself, where `read_header` looks, not only in the write-ahead log.
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return True
