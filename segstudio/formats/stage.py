"""Exports that appear in full or not at all, and go on where they stopped.

Everything is made in ``.NAME.unfinished`` beside the target: ``data`` becomes the export by one rename; ``streams`` are
text files that grow image by image; ``journal`` has a line for each image that is done, written after the image's
files. A process that is killed leaves the target as it was; the next export of the same labels finds the journal, takes
back what stands behind its last line, and goes on.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from segstudio.core.errors import FormatError, UserError
from segstudio.imaging.files import is_full, write_error

MARKER: Final = ".segstudio-export"
"""Says in each export what made it; the only folders an export may take the place of have one. Without a suffix, since
readers of some formats open every ``*.json`` of a folder."""

_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2
_RENAME_SWAP: Final = 2
_COPY_BYTES: Final = 1 << 20
_MARKER_BYTES: Final = 1 << 20


@dataclass(slots=True)
class _Stream:
    file: IO[bytes]
    count: int = 0
    size: int = 0


@dataclass(slots=True)
class Streams:
    """Text files that grow by records, from one thread, and can be cut back to where they were."""

    folder: Path
    _open: dict[str, _Stream] = field(default_factory=dict)

    def append(self, name: str, record: str, *, separator: str = ",") -> None:
        """Adds a record of one line or more to the stream of that name; `separator` ends the line before."""
        stream = self._open.get(name) or self._make(name)
        data = (("\n" if stream.count == 0 else f"{separator}\n") + record).encode()
        stream.file.write(data)
        stream.size += len(data)
        stream.count += 1

    def count(self, name: str) -> int:
        """Records in a stream so far."""
        return self._open[name].count if name in self._open else 0

    def copy(self, name: str, target: IO[bytes]) -> None:
        """Writes a stream to an open file; nothing where it holds none."""
        if name in self._open:
            self._open[name].file.flush()
            with (self.folder / name).open("rb") as source:
                shutil.copyfileobj(source, target, _COPY_BYTES)

    def state(self) -> dict[str, tuple[int, int]]:
        """Bytes and records of each stream, all of it handed to the system."""
        for stream in self._open.values():
            stream.file.flush()
        return {name: (stream.size, stream.count) for name, stream in self._open.items()}

    def cut(self, state: Mapping[str, Sequence[int]]) -> None:
        """Takes the streams back to an earlier state."""
        self.close()
        self.folder.mkdir(exist_ok=True)
        for path in self.folder.iterdir():
            if path.name not in state:
                path.unlink()
        for name, (size, count) in state.items():
            with (self.folder / name).open("r+b") as file:
                if file.seek(0, os.SEEK_END) < size:
                    raise OSError(errno.EIO, f"{name} is shorter than the journal says")
                file.truncate(size)
            self._make(name, size=size, count=count)

    def close(self) -> None:
        """Closes the files; what a full disk does not take of them is lost, and no journal counts on it."""
        for stream in self._open.values():
            with suppress(OSError):
                stream.file.close()
        self._open.clear()

    def _make(self, name: str, *, size: int = 0, count: int = 0) -> _Stream:
        stream = _Stream((self.folder / name).open("ab"), count, size)
        self._open[name] = stream
        return stream


class Stage:
    """The unfinished export of one target; use `staged`."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self._folder = out.with_name(f".{out.name}.unfinished")
        self.data = self._folder / "data"
        self.streams = Streams(self._folder / "streams")
        self.committed = 0  # images this or an interrupted export got done
        self._journal: IO[str] | None = None

    def begin(self, header: dict[str, Any], keys: Sequence[str]) -> list[dict[str, Any]]:
        """The lines of the images at the beginning of `keys` that an interrupted export of the same kind got done.

        Args:
            header: What tells this export from another one to the same place.
            keys: One for each image in order; equal where its labels are equal.

        Raises:
            FormatError: Another export to this place is at work.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._journal = (self._folder / "journal").open("a+", encoding="utf-8", errors="replace")
        _lock(self._journal, self.out)
        lines = _matching(_read_lines(self._journal), header, keys) if self.data.is_dir() else []
        try:
            self.streams.cut(lines[-1]["streams"] if lines else {})
        except OSError:  # a stream is gone or shorter than the journal says
            lines = []
        if not lines:
            shutil.rmtree(self.data, ignore_errors=True)
            self.streams.cut({})
            self.data.mkdir()
        self._journal.seek(0)
        self._journal.truncate()
        for line in (header, *lines):
            self._journal.write(json.dumps(line) + "\n")
        self._journal.flush()
        self.committed = len(lines)
        return lines

    def commit(self, line: dict[str, Any]) -> None:
        """Notes that an image is done; `line` needs its key as "key"."""
        assert self._journal is not None
        state = self.streams.state()
        self._journal.write(json.dumps(line | {"streams": state}) + "\n")
        self._journal.flush()
        self.committed += 1

    def publish(self, *, as_zip: bool) -> None:
        """Makes the export what stands at the target."""
        if as_zip:
            archive = self._folder / "archive.zip"
            _pack(self.data, archive)
            archive.replace(self.out)
        elif self.out.is_dir() and any(self.out.iterdir()):
            _exchange(self.data, self.out)
        else:
            if self.out.is_dir():
                self.out.rmdir()
            self.data.replace(self.out)

    def close(self, *, keep: bool) -> None:
        """Lets go of the files; takes the unfinished folder away unless the export is to go on later."""
        self.streams.close()
        if self._journal is not None:
            with suppress(OSError):
                self._journal.close()
        if not keep:
            shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def staged(out: Path, *, as_zip: bool = False, replace: bool = False) -> Iterator[Stage]:
    """An unfinished export that becomes `out` at the end.

    It is removed where anything goes wrong, unless the disk is full: once there is space, it can go on.

    Raises:
        FormatError: `out` holds something else, or another export to it is at work.
        UserError: The disk is full, or the place cannot be written to.
    """
    out = out.absolute()
    try:
        _refuse_used(out, as_zip=as_zip, replace=replace)
    except OSError as error:
        raise write_error(error, out) from error
    stage, keep = Stage(out), False
    try:
        yield stage
        stage.publish(as_zip=as_zip)
    except OSError as error:
        keep = is_full(error) and stage.committed > 0
        raise write_error(error, out) from error
    except UserError as error:
        full = isinstance(error.__cause__, OSError) and is_full(error.__cause__)
        keep = isinstance(error, ExportAtWork) or (full and stage.committed > 0)
        raise
    finally:
        stage.close(keep=keep)


class ExportAtWork(FormatError):
    """Another export to the same place is not finished."""


def _refuse_used(out: Path, *, as_zip: bool, replace: bool) -> None:
    if out.is_dir() and not as_zip:
        if not any(out.iterdir()):
            return
        ours = (out / MARKER).is_file()
        if not ours:
            raise FormatError(f"The folder {out.name} is not empty.", "Choose a new or an empty folder.")
        if not replace:
            raise FormatError(
                f"The folder {out.name} is not empty: it holds an earlier export.",
                "Choose a new folder, or choose to replace the earlier export.",
            )
    elif out.exists():
        if not as_zip:
            raise FormatError(f"{out.name} is a file, and the export needs a folder.", "Choose a new or empty folder.")
        if out.is_dir() or not replace or not is_export_archive(out):
            raise FormatError(f"{out.name} exists already.", "Choose another name.")


def is_export_archive(path: Path) -> bool:
    """True where a zip file holds an export of ours."""
    try:
        with zipfile.ZipFile(path) as archive:
            return MARKER in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def exported_format(folder: Path) -> str | None:
    """The format of the export of ours that a folder is; None where it is none, or its marker does not say."""
    try:
        with (folder / MARKER).open("rb") as file:
            data = file.read(_MARKER_BYTES + 1)
        content = json.loads(data) if len(data) <= _MARKER_BYTES else None
    except (OSError, ValueError, RecursionError):
        return None
    name = content.get("format") if isinstance(content, dict) else None
    return name if isinstance(name, str) else None


def _read_lines(journal: IO[str]) -> list[dict[str, Any]]:
    journal.seek(0)
    lines = []
    for text in journal:
        try:
            line = json.loads(text)
        except ValueError:  # the process was killed while it wrote this one
            break
        if not text.endswith("\n") or not isinstance(line, dict):
            break
        lines.append(line)
    return lines


def _matching(lines: list[dict[str, Any]], header: dict[str, Any], keys: Sequence[str]) -> list[dict[str, Any]]:
    if not lines or lines[0] != json.loads(json.dumps(header)):
        return []
    done = lines[1 : len(keys) + 1]
    for index, line in enumerate(done):
        if line.get("key") != keys[index] or "streams" not in line:
            return done[:index]
    return done


def _lock(file: IO[str], out: Path) -> None:
    """Holds a file until it is closed; the system lets go where the process dies."""
    try:
        if sys.platform == "win32":  # pragma: no cover - exercised on Windows only
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            return  # a network drive without locks: two exports at once are the rarer harm
        sentence = f"Another export to {out.name} is at work."
        raise ExportAtWork(sentence, "Wait for it, or choose another folder.") from error


def _exchange(new: Path, old: Path) -> None:
    """Swaps two folders, in one step where the system can: afterwards `old` holds what `new` held."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if hasattr(libc, "renameat2"):
            arguments = (_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(old), _RENAME_EXCHANGE)
            if libc.renameat2(*arguments) == 0:
                return
    elif sys.platform == "darwin":
        libc = ctypes.CDLL(None, use_errno=True)
        if hasattr(libc, "renamex_np") and libc.renamex_np(os.fsencode(new), os.fsencode(old), _RENAME_SWAP) == 0:
            return
    aside = new.with_name("replaced")
    old.replace(aside)
    try:
        new.replace(old)
    except BaseException:
        aside.replace(old)
        raise


def _pack(folder: Path, archive: Path) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        # Python's own walk does not follow links to folders, so VOC's second layout is not packed twice.
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                stored = path.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp")
                packed.write(path, path.relative_to(folder), zipfile.ZIP_STORED if stored else None)
