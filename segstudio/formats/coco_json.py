"""COCO's JSON documents, read and written record by record: a file of any size takes the memory of its largest record.

A document is one object whose lists ("images", "annotations", "categories") hold everything. The reader decodes one
element of a list at a time and remembers where in the file it stands, so that annotations are indexed once and decoded
again only when their image is loaded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from segstudio.core.errors import Cancelled, FormatError
from segstudio.formats.base import CancelCallback, shortened
from segstudio.formats.stage import Streams

ANNOTATIONS: Final = "annotations"
MAX_RECORD: Final = 32 << 20
"""Bytes of one record; a polygon of a million points has half of it."""

_MAX_BRACKETS: Final = 1_000_000  # of one record: an empty list takes 3 bytes in the file and 64 in memory
_CHUNK: Final = 1 << 20
_BYTE_ORDER_MARK: Final = "\xef\xbb\xbf"  # UTF-8's, read as Latin-1
_MORE_NUMBER: Final = frozenset(["", *"0123456789+-.eE"])  # "1" may be the beginning of "1.5"
_SPACE: Final = re.compile(r"[ \t\n\r]*")
_INFO: Final = {"description": "Exported by SegStudio", "version": "1.0"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands in its document: its first byte, its bytes."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class JsonRecord:
    """An element of a list of a document: the list's name, the decoded element, and its place."""

    key: str
    value: Any
    place: Place


def read_records(path: Path, *, cancelled: CancelCallback | None = None) -> Iterator[JsonRecord]:
    """Every element of every list that stands at the top of a document; whatever else stands there is passed over.

    Raises:
        FormatError: The file cannot be read, is no JSON object, or has a record larger than `MAX_RECORD`.
        Cancelled: `cancelled`, which is asked every MiB, said so.
    """
    try:
        with path.open("rb") as file:
            yield from _Scanner(file, path.name, cancelled).records()
    except OSError as error:
        raise FormatError(f"{path.name} cannot be read ({error.strerror or error}).", "Check the file.") from error


def records_at(path: Path, places: Iterable[Place]) -> Iterator[dict[str, Any]]:
    """The records (objects) at their places in a document that was read before.

    Raises:
        FormatError: They are not there any more.
    """
    try:
        with path.open("rb") as file:
            for place in places:
                file.seek(place.offset)
                value = json.loads(file.read(place.length))
                if not isinstance(value, dict):
                    raise _changed(path)
                yield value
    except (OSError, ValueError, RecursionError) as error:
        raise _changed(path) from error


def _changed(path: Path) -> FormatError:
    return FormatError(f"{path.name} changed while it was imported.", "Import it again.")


class _Scanner:
    """Walks a document with a window of text that holds little more than one record.

    The text is Latin-1, whatever the file is: JSON's own characters are ASCII, and a character is a byte, so places in
    the text are places in the file. Records with other characters are decoded again as UTF-8.
    """

    def __init__(self, file: IO[bytes], name: str, cancelled: CancelCallback | None) -> None:
        self._file = file
        self._name = name
        self._cancelled = cancelled
        self._decode = json.JSONDecoder().raw_decode
        self._text = ""
        self._at = 0
        self._base = 0
        self._ended = False

    def records(self) -> Iterator[JsonRecord]:
        self._fill(_CHUNK)
        if self._text.startswith(_BYTE_ORDER_MARK):
            self._at = len(_BYTE_ORDER_MARK)
        if self._peek() == "[":
            raise FormatError(f"{self._name} is a list, not a COCO file.", "Results of a detector cannot be imported.")
        for _ in self._elements("{", "}"):
            key = self._value().value
            self._expect(":")
            if not isinstance(key, str) or self._peek() != "[":
                self._value()
                continue
            for _ in self._elements("[", "]"):
                yield self._value(key)

    def _elements(self, opening: str, closing: str) -> Iterator[None]:
        """Stops before each element of a list or an object."""
        self._expect(opening)
        if self._peek() != closing:
            yield
            while self._peek() == ",":
                self._at += 1
                yield
        self._expect(closing)

    def _peek(self) -> str:
        """The next character that is no space, "" at the end."""
        while True:
            found = _SPACE.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if self._ended:
                return ""
            self._fill(_CHUNK)

    def _expect(self, character: str) -> None:
        if self._peek() != character:
            raise self._malformed()
        self._at += 1

    def _value(self, key: str = "") -> JsonRecord:
        self._peek()
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._ended:
                    raise self._malformed() from error
            except (ValueError, RecursionError) as error:  # a number of thousands of digits, lists in lists in lists
                raise self._malformed() from error
            else:
                if self._ended or self._text[end : end + 1] not in _MORE_NUMBER:
                    break
            self._grow()
        start, self._at = self._at, end
        if not (text := self._text[start:end]).isascii():
            try:
                value = json.loads(text.encode("latin-1").decode("utf-8"))
            except UnicodeDecodeError as error:
                raise FormatError(f"{self._name} is not UTF-8.", "Save it as UTF-8.") from error
        return JsonRecord(key, value, Place(self._base + start, end - start))

    def _grow(self) -> None:
        """More of a record that is not there in full."""
        size = len(self._text) - self._at
        if size >= MAX_RECORD or self._text.count("[", self._at) + self._text.count("{", self._at) > _MAX_BRACKETS:
            raise FormatError(
                f"{self._name} holds a record that is too large (from byte {self._base + self._at:,}).",
                f"One annotation may have {MAX_RECORD >> 20} MiB; split it, or correct the file.",
            )
        self._fill(max(_CHUNK, size))

    def _fill(self, size: int) -> None:
        if self._cancelled is not None and self._cancelled():
            raise Cancelled
        self._base += self._at
        data = self._file.read(size)
        self._text = self._text[self._at :] + data.decode("latin-1")
        self._at = 0
        self._ended = len(data) < size

    def _malformed(self) -> FormatError:
        return FormatError(f"{self._name} is no valid JSON (at byte {self._base + self._at:,}).", "Get the file anew.")


def find_documents(source: Path, stem: str) -> list[Path]:
    """The document called ``stem.json`` in a folder or its ``annotations``, else those called ``stem_LIST.json``,
    else the only JSON file there; `source` itself where it is a file.

    Raises:
        FormatError: There is none, or there are several of other names; it names them.
    """
    if source.is_file():
        return [source]
    folders = [folder for folder in (source / ANNOTATIONS, source) if folder.is_dir()]
    found = [path for folder in folders for path in sorted(folder.glob("[!.]*.json"))]
    whole = [path for path in found if path.stem == stem][:1]
    named = [path for path in found if path.stem.startswith(f"{stem}_")]
    if not found:
        raise FormatError(f"{source.name} holds no JSON file.", f"Choose the folder or the file of {stem}.")
    return whole or named or [_only(found, source)]


def find_document(source: Path, stem: str) -> Path:
    """The one document of `find_documents`.

    Raises:
        FormatError: There is none, or there are several; it names them.
    """
    return _only(find_documents(source, stem), source)


def _only(found: Sequence[Path], source: Path) -> Path:
    if len(found) > 1:
        names = shortened([path.name for path in found])
        raise FormatError(f"{source.name} holds several JSON files: {names}.", "Choose one of them.")
    return found[0]


def write_document(
    path: Path, categories: Sequence[Mapping[str, Any]], lists: Mapping[str, Sequence[str]], streams: Streams
) -> None:
    """Leaves a document of categories and of lists, each the records of some streams one after the other."""
    with path.open("wb") as file:
        file.write(f'{{"info": {json.dumps(_INFO)}, "licenses": [],\n'.encode())
        file.write(f'"categories": {json.dumps(categories, ensure_ascii=False)}'.encode())
        for key, names in lists.items():
            file.write(f',\n"{key}": ['.encode())
            for index, name in enumerate(name for name in names if streams.count(name)):
                file.write(b"," if index else b"")
                streams.copy(name, file)
            file.write(b"]")
        file.write(b"}\n")
