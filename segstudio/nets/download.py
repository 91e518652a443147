"""One file from the web: checked by its hash, resumed where the server allows it, never half there under its name."""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlparse

from segstudio.core.errors import Cancelled, ModelError
from segstudio.nets.card import file_sha256

Report = Callable[[float], None]
Ask = Callable[[], bool]

_TIMEOUT_S: Final = 20.0
_CHUNK_BYTES: Final = 1 << 18
_RETRIES: Final = 2
_PAUSE_S: Final = 0.5
_SCHEMES: Final = ("http", "https")
_NO_SPACE: Final = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
# torchvision names its files after the first digits of their SHA-256.
_HASH_IN_NAME: Final = re.compile(r"-([0-9a-f]{8,64})\.")
_HASH_SHOWN: Final = 8
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}")
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-\d+/(\d+)")


class _Dropped(Exception):
    """The connection broke while the file came."""


class _Outdated(Exception):
    """What lies in the part file is no beginning of what the server has now."""


@dataclass(frozen=True, slots=True)
class _Part:
    """The beginning of a file, and beside it a note of which file it is the beginning of."""

    file: Path
    note: Path

    @classmethod
    def of(cls, target: Path) -> _Part:
        return cls(target.with_name(f"{target.name}.part"), target.with_name(f"{target.name}.part.json"))

    def beginning(self, url: str) -> tuple[int, str, int]:
        """(bytes here, the mark the server gave the file, its size); zeros where nothing can be resumed."""
        try:
            data = json.loads(self.note.read_text(encoding="utf-8"))
            here, mark, total = self.file.stat().st_size, data["mark"], data["total"]
        except (OSError, ValueError, KeyError, TypeError):
            return 0, "", 0
        fits = data.get("url") == url and isinstance(mark, str) and isinstance(total, int) and 0 < here < total
        return (here, mark, total) if fits else (0, "", 0)

    def remember(self, url: str, mark: str, total: int) -> None:
        self.note.write_text(json.dumps({"url": url, "mark": mark, "total": total}), encoding="utf-8")

    @property
    def resumable(self) -> bool:
        return self.note.is_file()

    def remove(self) -> None:
        for path in (self.file, self.note):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def download(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    progress: Report | None = None,
    cancelled: Ask | None = None,
) -> None:
    """Leaves the whole file of `url` at `target`, or nothing there.

    Its hash must begin with `sha256`, or, where None, with the digits in the file's name if it has such. A dropped
    connection is tried again twice; what came already is kept as NAME.part where the server can go on from there.

    Raises:
        ModelError: No connection, no space, or a file with another hash than expected.
        Cancelled: ``cancelled`` became true.
    """
    if urlparse(url).scheme not in _SCHEMES:
        raise ModelError(f"{url} is not a web address.", "Correct the card.")
    part = _Part.of(target)
    in_name = _HASH_IN_NAME.search(target.name)
    expected = sha256 or (in_name.group(1) if in_name else "")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _fetch_whole(url, part, expected, progress, cancelled)
        part.file.replace(target)
    except (OSError, http.client.HTTPException, _Dropped, _Outdated) as error:
        raise _failure(error, url, target) from error
    finally:
        if not part.resumable or target.is_file():
            part.remove()


def file_name(url: str, sha256: str | None = None) -> str:
    """What the file of an address is called here; one known by its hash carries the hash's first digits.

    Raises:
        ModelError: The address ends in nothing that can be a file's name.
    """
    name = unquote(urlparse(url).path.rsplit("/", 1)[-1])
    if not _PLAIN_NAME.fullmatch(name):
        raise ModelError(f"The address {url} names no file.", "Correct the card.")
    path = Path(name)
    return name if sha256 is None else f"{path.stem}-{sha256[:_HASH_SHOWN]}{path.suffix}"


def _fetch_whole(url: str, part: _Part, expected: str, progress: Report | None, cancelled: Ask | None) -> None:
    """Fills the part file, its hash checked, in up to three attempts."""
    for left in range(_RETRIES, -1, -1):
        resumed = part.beginning(url)[0] > 0
        try:
            _fetch(url, part, progress, cancelled)
            if file_sha256(part.file).startswith(expected):
                return
            part.remove()
            if not resumed or not left:
                name = part.file.name.removesuffix(".part")
                raise ModelError(f"The download of {name} came out damaged (its hash differs).", "Try again.")
        except _Outdated:
            part.remove()
            if not left:
                raise
        except _Dropped:
            if not part.resumable:
                part.remove()
            if not left:
                raise
            time.sleep(_PAUSE_S)


def _fetch(url: str, part: _Part, progress: Report | None, cancelled: Ask | None) -> None:
    """Goes on with the part file, or begins it anew."""
    here, mark, size = part.beginning(url)
    request = urllib.request.Request(url, headers={"Accept-Encoding": "identity"})  # noqa: S310 - scheme checked
    if here:
        request.add_header("Range", f"bytes={here}-")
        request.add_header("If-Range", mark)
    try:
        stream = urllib.request.urlopen(request, timeout=_TIMEOUT_S)  # noqa: S310 - scheme checked
    except urllib.error.HTTPError as error:
        error.close()
        if here and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise _Outdated from error
        raise
    with stream:
        if urlparse(stream.geturl()).scheme not in _SCHEMES:
            raise ModelError(f"{url} leads to {stream.geturl()}, which is not a web address.", "Correct the card.")
        if here and stream.status == http.HTTPStatus.PARTIAL_CONTENT:
            _check_range(stream.headers.get("Content-Range"), here, size)
        else:
            here = 0
            part.remove()
        total = here + int(stream.headers.get("Content-Length") or 0)
        _check_space(part.file.parent, total - here)
        new_mark = _mark(stream)
        if not here and new_mark and total:
            part.remember(url, new_mark, total)
        _copy(stream, part.file, here, total, progress, cancelled)


def _check_range(header: str | None, here: int, size: int) -> None:
    told = _CONTENT_RANGE.fullmatch(header or "")
    if told is None or int(told.group(1)) != here or int(told.group(2)) != size:
        raise _Outdated


def _mark(stream: Any) -> str:
    """What tells this version of the file from another, where the server can go on from the middle; else ""."""
    if stream.headers.get("Accept-Ranges", "").lower() != "bytes" and stream.status != http.HTTPStatus.PARTIAL_CONTENT:
        return ""
    tag = str(stream.headers.get("ETag") or "")
    return tag if tag and not tag.startswith("W/") else str(stream.headers.get("Last-Modified") or "")


def _check_space(folder: Path, needed: int) -> None:
    if needed > shutil.disk_usage(folder).free:
        raise OSError(errno.ENOSPC, f"{needed / (1 << 20):.0f} MiB are needed in {folder}")


def _copy(stream: Any, path: Path, here: int, total: int, progress: Report | None, cancelled: Ask | None) -> None:
    with path.open("ab" if here else "wb") as file:
        while True:
            if cancelled is not None and cancelled():
                raise Cancelled
            try:
                chunk = stream.read(_CHUNK_BYTES)
            except (OSError, http.client.HTTPException) as error:
                raise _Dropped(str(error) or "the connection broke off") from error
            if not chunk:
                break
            file.write(chunk)
            here += len(chunk)
            if progress is not None and total:
                progress(min(1.0, here / total))
    if total and here != total:
        raise _Dropped("the connection broke off")


def _failure(error: Exception, url: str, target: Path) -> ModelError:
    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        return ModelError(
            f"There is not enough free space to download {target.name} ({error.strerror}).",
            f"Make room in {target.parent}, then try again.",
        )
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
    return ModelError(
        f"The weights {target.name} could not be downloaded ({getattr(reason, 'strerror', None) or reason}).",
        f"Connect to the internet and try again, or fetch {url} elsewhere and put the file at {target}.",
    )
