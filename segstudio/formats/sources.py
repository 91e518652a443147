"""Small files beside labels, read with a limit: whatever a folder holds, it costs little to find out."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

from segstudio.core.errors import FormatError
from segstudio.imaging.scan import natural_key

NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML cannot hold in any way."""
MAX_TEXT_BYTES: Final = 4 << 20
MAX_JSON_BYTES: Final = 128 << 20
_MAX_VALUES: Final = 4_000_000  # what is not text costs many times its bytes once it is decoded
_VALUE_MARKS: Final = (b",", b"[", b"{")


def find_files(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """The files below a folder with one of the suffixes (lower case, with the dot), in natural order.

    Hidden entries are passed over, and links to folders, which could lead anywhere, are not followed.
    """
    found: list[str] = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            f"{parent}{os.sep}{name}"
            for name in files
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in suffixes  # noqa: PTH122
        ]
    return [Path(path) for path in sorted(found, key=natural_key)]


def read_limited(path: Path, limit: int) -> bytes:
    """The content of a file of at most `limit` bytes.

    Raises:
        FormatError: It is larger or cannot be read.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise FormatError(f"{path.name} cannot be read ({error.strerror or error}).", "Check the file.") from error
    if len(data) > limit:
        raise FormatError(f"{path.name} is larger than {limit >> 20} MiB.", "Check that it is the right file.")
    return data


def read_text(path: Path) -> str:
    """The text of a small file; UTF-8, with or without a byte order mark.

    Raises:
        FormatError: It is too large, cannot be read, or is no such text.
    """
    try:
        return read_limited(path, MAX_TEXT_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(f"{path.name} is no UTF-8 text.", "Save it as UTF-8.") from error


def read_json(path: Path, limit: int) -> Any:
    """What a JSON file of at most `limit` bytes holds.

    Raises:
        FormatError: It is larger, holds more than 4 million values, cannot be read, or is no JSON.
    """
    data = read_limited(path, limit)
    if sum(map(data.count, _VALUE_MARKS)) > _MAX_VALUES:  # embedded images and masks have none of these
        raise FormatError(f"{path.name} holds more than {_MAX_VALUES:,} values.", "Simplify its polygons.")
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path.name} is no valid JSON ({error}).", "Get the file anew.") from error


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        FormatError: It is too large, cannot be read, or holds no JSON object.
    """
    value = read_json(path, MAX_JSON_BYTES)
    if not isinstance(value, dict):
        raise FormatError(f"{path.name} holds no JSON object.", "Check the file.")
    return value
