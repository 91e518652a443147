"""A file that says who has a project open.

The file is for people: it lets the refusal name the process. That two owners can never write at once is SQLite's own
exclusive lock (`database.Store`), which the system drops when its owner dies.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import secrets
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from segstudio.core.errors import ProjectError, ProjectLocked
from segstudio.project.processes import start_mark

_ATTEMPTS: Final = 5
_SETTLE_S: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who holds a project: process, computer, what tells it from a later process of that number, a random token."""

    pid: int
    host: str
    started: str
    token: str

    @classmethod
    def me(cls) -> Owner:
        """This process, with a fresh token."""
        pid = os.getpid()
        return cls(pid=pid, host=platform.node(), started=start_mark(pid) or "", token=secrets.token_hex(8))

    @property
    def is_dead(self) -> bool:
        """True where it ran on this computer and is gone; a process on another computer cannot be asked."""
        if self.host != platform.node():
            return False
        mark = start_mark(self.pid)
        return mark is None or (mark != "" and self.started not in ("", mark))


class ProjectLock:
    """Holds the lock file of one project from `__init__` to `release`."""

    def __init__(self, path: Path) -> None:
        """Takes the lock, from a dead owner if need be.

        Raises:
            ProjectLocked: Another window has the project open.
            ProjectError: The folder cannot be written.
        """
        self._path = path
        self._owner = Owner.me()
        for attempt in range(_ATTEMPTS):
            if _write_new(path, self._owner):
                return
            holder = _read(path)
            if holder is None and attempt < 2:
                time.sleep(_SETTLE_S)  # its writer may be between creating and filling it
                continue
            if holder is not None and not holder.is_dead:
                raise _refusal(path, holder)
            _remove_stale(path, holder)
        raise ProjectLocked(f"The project {path.parent} is being opened by another program.", "Try again in a moment.")

    def release(self) -> None:
        """Removes the lock file if it is still ours; may be called twice."""
        holder = _read(self._path)
        if holder is not None and holder.token == self._owner.token:
            with contextlib.suppress(OSError):
                self._path.unlink()


def _write_new(path: Path, owner: Owner) -> bool:
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ProjectError(
            f"The project {path.parent} cannot be opened for writing: {reason}.",
            "Allow writing to this folder or copy the project elsewhere.",
        ) from error
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(owner), file)
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink()
        reason = (error.strerror or str(error)).lower()
        raise ProjectError(f"The project {path.parent} cannot be opened: {reason}.", "Free some space.") from error
    return True


def _read(path: Path) -> Owner | None:
    """The owner a lock file names; None where it is unreadable (its writer was killed half-way) or not there."""
    try:
        fields: Any = json.loads(path.read_text(encoding="utf-8"))
        return Owner(
            pid=int(fields["pid"]), host=str(fields["host"]), started=str(fields["started"]), token=str(fields["token"])
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remove_stale(path: Path, holder: Owner | None) -> None:
    """Sets a dead owner's file aside, unless somebody replaced it meanwhile."""
    aside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with contextlib.suppress(FileNotFoundError):
        path.replace(aside)
        if _read(aside) == holder or path.exists():
            aside.unlink()
        else:
            aside.replace(path)


def _refusal(path: Path, holder: Owner) -> ProjectLocked:
    here = holder.host == platform.node()
    where = f"process {holder.pid} on {'this computer' if here else holder.host}"
    hint = "Close it there first." if here else f"Close it there, or delete {path} if that computer is off."
    return ProjectLocked(f"The project {path.parent} is already open in another SegStudio window ({where}).", hint)
