"""One thread that owns the SQLite connection; everyone else hands it functions."""

from __future__ import annotations

import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from segstudio.core.errors import ProjectError, ProjectLocked, UserError
from segstudio.project.migrations import create_tables, migrate

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
What = str | Callable[[sqlite3.Connection], str]
"""The subject of an error's sentence; a function where finding it costs a query."""

_PRIMARY_CODE_MASK: Final = 0xFF
_BUSY_TIMEOUT_S: Final = 0.2
_AUTOMATIC: Final = "it is saved again automatically"


@dataclass(frozen=True, slots=True)
class _Task:
    work: Work[Any]
    future: Future[Any]
    what: What
    retried: bool


class Store:
    """The store thread of one database file.

    Functions given to `run` and `post` are called one after the other, in the order given, with the connection.
    SQLite's errors come back as sentences about `what`.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        """Opens the file, or creates it with its tables.

        Raises:
            ProjectError: The file is damaged, cannot be written, or is held by another process (`ProjectLocked`).
        """
        self._path = path
        self._queue: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._closed = False
        self._gate = threading.Lock()
        opened: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._serve, args=(opened, create), name=f"store {path.parent.name}", daemon=True
        )
        self._thread.start()
        try:
            opened.result()
        except BaseException:
            self._thread.join()
            raise

    @property
    def path(self) -> Path:
        """The database file."""
        return self._path

    def run(self, work: Work[T], *, what: What = "The project", retried: bool = False) -> T:
        """What `work` returned, once the store thread has come to it.

        Raises:
            UserError: SQLite refused; the sentence begins with `what`. With `retried` it promises another try.
        """
        return self.post(work, what=what, retried=retried).result()

    def post(self, work: Work[T], *, what: What = "The project", retried: bool = False) -> Future[T]:
        """A future of what `work` returns; work posted earlier is done earlier."""
        future: Future[T] = Future()
        task = _Task(work, future, what, retried)
        if threading.current_thread() is self._thread:
            raise RuntimeError("the store thread cannot wait for itself")
        with self._gate:
            if self._closed:
                raise self.closed_error()
            self._queue.put(task)
        return future

    def closed_error(self) -> ProjectError:
        """The sentence for using a closed project."""
        return ProjectError(f"The project {self._path.parent.name} is closed.", "Open it again.")

    def close(self) -> None:
        """Returns once everything posted is written and the file is closed; may be called twice."""
        with self._gate:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    def _serve(self, opened: Future[None], create: bool) -> None:  # noqa: FBT001 - thread arguments are positional
        try:
            connection = _connect(self._path, create=create)
        except (sqlite3.Error, UserError) as error:
            failure = translate(error, "The project", self._path) if isinstance(error, sqlite3.Error) else error
            opened.set_exception(failure)
            return
        opened.set_result(None)
        try:
            while (task := self._queue.get()) is not None:
                self._perform(connection, task)
        finally:
            # A full disk may refuse the last checkpoint; the write-ahead log then stays and is read on reopening.
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _perform(self, connection: sqlite3.Connection, task: _Task) -> None:
        if not task.future.set_running_or_notify_cancel():
            return
        try:
            result = task.work(connection)
        except sqlite3.Error as error:
            subject = _subject(task.what, connection)
            task.future.set_exception(translate(error, subject, self._path, retried=task.retried))
        except BaseException as error:  # noqa: BLE001 - boundary: the asking thread gets it
            task.future.set_exception(error)
        else:
            task.future.set_result(result)


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All that is executed inside, or none of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has rolled back by itself after some errors (a full disk among them).
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _connect(path: Path, *, create: bool) -> sqlite3.Connection:
    mode = "rwc" if create else "rw"
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=_BUSY_TIMEOUT_S)
    try:
        connection.isolation_level = None  # transactions are ours to begin and end
        # Held by the system for as long as we live: a second opener is refused even where both removed a stale lock
        # file at once, and a killed owner blocks nobody. It also needs no shared memory, which network drives lack.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("BEGIN IMMEDIATE")
        if create:
            create_tables(connection)
        connection.execute("COMMIT")
        if create:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _subject(what: What, connection: sqlite3.Connection) -> str:
    if isinstance(what, str):
        return what
    try:
        return what(connection)
    except (sqlite3.Error, LookupError):
        return "The project"


def translate(error: sqlite3.Error, what: str, path: Path, *, retried: bool = False) -> Exception:
    """The sentence for an error of SQLite that its reader can mend; the error itself where it is our mistake."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & _PRIMARY_CODE_MASK
    result = _sentence(primary, what, path, retry=_AUTOMATIC if retried else "try again")
    if result is None:
        return error
    result.__cause__ = error
    return result


def _sentence(primary: int | None, what: str, path: Path, *, retry: str) -> ProjectError | None:
    if primary == sqlite3.SQLITE_FULL:
        return ProjectError(
            f"{what} could not be saved: the disk is full ({path}).",
            f"Free some space and {retry}.",
        )
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN):
        return ProjectError(
            f"{what} could not be saved: {path} cannot be written.", "Allow writing to the project's folder."
        )
    if primary == sqlite3.SQLITE_IOERR:
        return ProjectError(
            f"{what} could not be read or saved: the drive of {path} reports an error.",
            f"Check the drive and {retry}.",
        )
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return ProjectError(f"{what} could not be read: {path} is damaged.", "Restore it from a copy.")
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return ProjectLocked(f"The project {path.parent} is already open in another program.", "Close it there first.")
    return None
