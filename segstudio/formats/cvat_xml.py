"""CVAT's XML read: where each image stands in a file of any size, and the shapes of one image.

The file is parsed once, in chunks, and of each image only its place is kept; loading a label parses that stretch of the
file again. Document type declarations, and with them entities of any kind, are refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from segstudio.core.errors import Cancelled, FormatError
from segstudio.formats.base import CancelCallback

SHAPES: Final = ("mask", "polygon", "box", "ellipse")
_WITHOUT_AREA: Final = ("polyline", "points", "cuboid", "skeleton", "tag")

_CHUNK: Final = 1 << 20
_MAX_ELEMENT: Final = 32 << 20  # bytes of one shape
_MAX_IMAGE: Final = 256 << 20
_MAX_IMAGES: Final = 1_000_000
_MAX_SHAPES: Final = 200_000  # of one image
_MAX_LABELS: Final = 10_000
_MAX_NAME: Final = 4_096
_MAX_DEPTH: Final = 64
_WIDE: Final = (b"\xff\xfe", b"\xfe\xff")  # UTF-16's marks


@dataclass(frozen=True, slots=True)
class CvatImage:
    """An image of a file: its name, its (width, height) where that makes sense, its place in bytes."""

    name: str
    size: tuple[int, int] | None
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class CvatShape:
    """A shape as it stands in a file: mask, polygon, box or ellipse, and what its attributes say."""

    kind: str
    attributes: Mapping[str, str]


@dataclass(slots=True)
class CvatIndex:
    """What a file holds.

    Attributes:
        images: In the order of the file.
        labels: The declared labels with their colours ("" for none).
        used: Names of labels that shapes have.
        left_out: How many elements of which kind mean no pixels.
        encoding: What the file declares.
    """

    images: list[CvatImage] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    left_out: Counter[str] = field(default_factory=Counter)
    encoding: str | None = None


def index_file(path: Path, *, cancelled: CancelCallback | None = None) -> CvatIndex:
    """What a file of CVAT for images holds.

    Raises:
        FormatError: It cannot be read, is another kind of XML, or breaks a limit.
        Cancelled: `cancelled`, which is asked every MiB, said so.
    """
    target = _Indexer(path.name)
    parser = _parser(target)
    expat = parser.parser
    target.position = lambda: int(expat.CurrentByteIndex)
    expat.XmlDeclHandler = target.declared
    with _sentences(path), path.open("rb") as file:
        fed = 0
        while chunk := file.read(_CHUNK):
            if cancelled is not None and cancelled():
                raise Cancelled
            if not fed and chunk.startswith(_WIDE):
                raise FormatError(f"{path.name} is UTF-16.", "Save it as UTF-8.")
            parser.feed(chunk)
            fed += len(chunk)
            if fed - target.position() > _MAX_ELEMENT:
                raise FormatError(
                    f"{path.name} has an element larger than {_MAX_ELEMENT >> 20} MiB.", "Check the file."
                )
        parser.close()
    return target.index


def read_shapes(path: Path, image: CvatImage, encoding: str | None) -> list[CvatShape]:
    """The shapes of one image, in the order of the file.

    Raises:
        FormatError: The file has changed since it was indexed, or the image holds more than any does.
    """
    if image.length > _MAX_IMAGE:
        raise FormatError(f"{image.name} takes more than {_MAX_IMAGE >> 20} MiB of {path.name}.", "Check the file.")
    target = _ShapeReader(path.name, image.name)
    parser = _parser(target, encoding)
    with _sentences(path), path.open("rb") as file:
        file.seek(image.offset)
        data = file.read(image.length)  # up to the end tag, which nothing depends on
        parser.feed(data)
    if len(data) != image.length or not data.startswith(b"<image") or target.depth > 1:
        raise FormatError(f"{path.name} has changed since it was looked at.", "Start the import again.")
    return target.shapes


class _Indexer:
    """Hears of every element of a file, and keeps little of it."""

    def __init__(self, name: str) -> None:
        self.index = CvatIndex()
        self.position: Callable[[], int] = lambda: 0
        self._name = name
        self._path: list[str] = []
        self._image: CvatImage | None = None
        self._text: list[str] | None = None
        self._label, self._color = "", ""

    def declared(self, version: str, encoding: str | None, standalone: int) -> None:
        """The XML declaration."""
        self.index.encoding = encoding

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""
        self._path.append(tag)
        depth = len(self._path)
        if depth > _MAX_DEPTH:
            raise FormatError(f"{self._name} is nested deeper than any file of CVAT.", "Check the file.")
        if depth == 1 and tag != "annotations":
            raise FormatError(
                f"{self._name} is no file of CVAT: it begins with <{tag:.40}>.", "Choose annotations.xml."
            )
        if depth == 2 and tag == "track":
            raise FormatError(
                f"{self._name} is CVAT for video, whose shapes move.", "Export it from CVAT as CVAT for images 1.1."
            )
        if depth == 2 and tag == "image":
            self._begin_image(attributes)
        elif depth == 3 and self._image is not None:
            self._add_element(tag, attributes)
        elif self._path[1:2] == ["meta"] and self._path[-2] == "label" and tag in ("name", "color"):
            self._text = []

    def data(self, text: str) -> None:
        """Text between tags."""
        if self._text is not None:
            self._text.append(text)

    def end(self, tag: str) -> None:
        """An element ends."""
        depth = len(self._path)
        if self._text is not None:
            self._end_text(tag, "".join(self._text))
        elif depth == 2 and self._image is not None:
            begun = self._image
            self._image = None
            length = self.position() - begun.offset
            self.index.images.append(CvatImage(begun.name, begun.size, begun.offset, length))
        elif tag == "label" and self._label and self._path[1:2] == ["meta"]:
            self.index.labels.setdefault(self._label, self._color)
            self._limit(len(self.index.labels), _MAX_LABELS, "declares too many labels")
            self._label = self._color = ""
        self._path.pop()

    def close(self) -> CvatIndex:
        """The end of the file."""
        return self.index

    def _begin_image(self, attributes: Mapping[str, str]) -> None:
        name = _inner_path(attributes.get("name", ""))
        self._limit(len(name), _MAX_NAME, "has an image whose name is too long")
        self._limit(len(self.index.images) + 1, _MAX_IMAGES, "lists too many images")
        if not name:
            self.index.left_out["images without a name"] += 1
            return
        self._image = CvatImage(name, _size(attributes), self.position(), 0)

    def _add_element(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag not in SHAPES:
            self.index.left_out[f"{tag} elements" if tag in _WITHOUT_AREA else "elements of unknown kinds"] += 1
            return
        label = attributes.get("label", "")
        self._limit(len(label), _MAX_NAME, "has a label whose name is too long")
        self.index.used.add(label)
        self._limit(len(self.index.used), _MAX_LABELS, "uses too many labels")

    def _end_text(self, tag: str, text: str) -> None:
        self._text = None
        self._limit(len(text), _MAX_NAME, "has a label whose name is too long")
        if tag == "name":
            self._label = text
        else:
            self._color = text

    def _limit(self, count: int, most: int, what: str) -> None:
        if count > most:
            raise FormatError(f"{self._name} {what} (at most {most:,}).", "Check that it is the right file.")


class _ShapeReader:
    """Hears of the elements of one image, and keeps its shapes."""

    def __init__(self, name: str, image: str) -> None:
        self.shapes: list[CvatShape] = []
        self._name = name
        self._image = image
        self.depth = 0

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""
        self.depth += 1
        if self.depth == 2 and tag in SHAPES:
            if len(self.shapes) == _MAX_SHAPES:
                raise FormatError(
                    f"{self._image} has more than {_MAX_SHAPES:,} shapes in {self._name}.", "Cut it into smaller ones."
                )
            self.shapes.append(CvatShape(tag, attributes))

    def end(self, tag: str) -> None:
        """An element ends."""
        self.depth -= 1

    def close(self) -> None:
        """Never called: the stretch that is read has no end tag."""


def _parser(target: _Indexer | _ShapeReader, encoding: str | None = None) -> Any:
    return DefusedXMLParser(target=target, encoding=encoding, forbid_dtd=True)


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    """Turns whatever goes wrong with a file into one sentence."""
    try:
        yield
    except DefusedXmlException as error:
        raise FormatError(
            f"{path.name} declares a document type or entities, which can hide anything.", "Remove the declaration."
        ) from error
    except (ParseError, ValueError, LookupError) as error:
        raise FormatError(f"{path.name} is no valid XML ({error}).", "Export it again from CVAT.") from error
    except OSError as error:
        raise FormatError(f"{path.name} cannot be read ({error.strerror or error}).", "Check the file.") from error


def _inner_path(name: str) -> str:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return "/".join(part for part in parts if part not in ("..", "/"))


def _size(attributes: Mapping[str, str]) -> tuple[int, int] | None:
    width, height = attributes.get("width", ""), attributes.get("height", "")
    if not all(side.isascii() and side.isdecimal() and len(side) < 10 for side in (width, height)):
        return None
    return int(width), int(height)
