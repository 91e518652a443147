"""VOC's Annotations: one XML an image that says its size and puts a box around each object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

import defusedxml.ElementTree
from defusedxml import DefusedXmlException

from segstudio.core.catalog import Catalog
from segstudio.core.errors import FormatError
from segstudio.core.geometry import Rect
from segstudio.core.segmentmap import Segment
from segstudio.formats.sources import NOT_XML, read_limited

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_MAX_BYTES: Final = 32 << 20


@dataclass(frozen=True, slots=True)
class Annotation:
    """What we take from an annotation.

    Attributes:
        size: (width, height) in pixels; None where it says nothing usable.
        marks: Object number in the object PNG -> (segment id, crowd); only our own exports say this.
    """

    size: tuple[int, int] | None
    marks: dict[int, tuple[int, bool]]


def annotation_xml(
    file: str, size: tuple[int, int], objects: Mapping[int, tuple[Segment, Rect]], catalog: Catalog
) -> str:
    """An annotation as VOC writes it: boxes are 1-based and hold their last row and column.

    Args:
        file: The image's path or name; its last part is written.
        size: (width, height).
        objects: Number in the object PNG -> the instance and its bounding box.
        catalog: Names the classes.
    """
    width, height = size
    lines = [
        "<annotation>",
        "  <folder>JPEGImages</folder>",
        f"  <filename>{_text(file.rsplit('/', 1)[-1])}</filename>",
        f"  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>",
        "  <segmented>1</segmented>",
    ]
    for number, (segment, box) in objects.items():
        lines += [
            "  <object>",
            f"    <name>{_text(catalog[segment.class_id].name)}</name>",
            "    <pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult>",
            f"    <bndbox><xmin>{box.left + 1}</xmin><ymin>{box.top + 1}</ymin>",
            f"      <xmax>{box.right}</xmax><ymax>{box.bottom}</ymax></bndbox>",
            # Other programs pass over these.
            f"    <number>{number}</number><segment>{segment.id}</segment><crowd>{int(segment.crowd)}</crowd>",
            "  </object>",
        ]
    return "\n".join([*lines, "</annotation>", ""])


def read_annotation(path: Path) -> Annotation:
    """What an annotation says, whoever wrote it.

    Raises:
        FormatError: It is too large, no valid XML, or declares entities, which no annotation needs.
    """
    data = read_limited(path, _MAX_BYTES)
    try:
        root = defusedxml.ElementTree.fromstring(data, forbid_dtd=True)
    except DefusedXmlException as error:
        raise FormatError(
            f"The annotation {path.name} declares a document type or entities, which can hide anything.",
            "Remove the declaration.",
        ) from error
    except (defusedxml.ElementTree.ParseError, ValueError, LookupError) as error:
        raise FormatError(f"The annotation {path.name} is no valid XML ({error}).", "Correct or remove it.") from error
    width, height = (_number(root.find("size"), side) for side in ("width", "height"))
    marks = {}
    for element in root.iterfind("object"):
        number, segment = _number(element, "number"), _number(element, "segment")
        if number and segment:
            marks[number] = (segment, _number(element, "crowd") == 1)
    return Annotation((width, height) if width and height else None, marks)


def _number(parent: Element | None, tag: str) -> int | None:
    text = "" if parent is None else (parent.findtext(tag) or "").strip()
    # Some programs write sizes as 500.0, and unknown ones as 0.
    whole = text.removesuffix(".0")
    return int(whole) if whole.isascii() and whole.isdecimal() and len(whole) <= 9 else None


def _text(text: str) -> str:
    return escape(NOT_XML.sub("", text))
