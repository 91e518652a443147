"""labelme's JSON files read, and their shapes filled as labelme fills them (``shape_to_mask``, ``shapes_to_label``)."""

from __future__ import annotations

import base64
import io
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any, Final, TypeGuard

import cv2
import numpy as np
import numpy.typing as npt

from segstudio.core.errors import FormatError, ImageError
from segstudio.core.geometry import Rect
from segstudio.core.segmentmap import SegmentMap
from segstudio.formats.base import LoadRequest
from segstudio.formats.painting import MapPainter
from segstudio.formats.regions import Role, instance_ids
from segstudio.formats.sources import read_json
from segstudio.imaging.fills import Mask, fill_circle, fill_line, fill_pillow, fill_point, fill_rectangle
from segstudio.imaging.header import PILLOW_ERRORS, open_pillow
from segstudio.imaging.integrity import check_whole
from segstudio.imaging.polygons import checked_points

MAX_FILE_BYTES: Final = 256 << 20
_PNG_HEADER: Final = struct.Struct(">8sI4sIIBB")
_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_GREY: Final = 0
_PALETTE: Final = 3


@dataclass(frozen=True, slots=True)
class LabelmeFile:
    """What one file says.

    Attributes:
        image: The image's file name, whatever folder the file says; "" for none.
        size: (width, height) of the image; None where the file does not say.
        labels: Every name that a shape has.
        shapes: As they stand there.
    """

    image: str
    size: tuple[int, int] | None
    labels: frozenset[str]
    shapes: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class _Shape:
    label: str
    kind: str
    points: object
    group: int | None
    mask: object
    role: Role | None


def read_file(path: Path, *, shapes: bool = True) -> LabelmeFile | None:
    """What a file says, without its shapes where they are not wanted; None where it is JSON, but none of labelme's.

    Raises:
        FormatError: It is too large, cannot be read, or is damaged.
    """
    value = read_json(path, MAX_FILE_BYTES)
    if not isinstance(value, dict) or not {"shapes", "imagePath"} & value.keys():
        return None
    found = value.get("shapes")
    if not isinstance(found, list):
        raise FormatError(f"{path.name} has no list of shapes.", "Save it again in labelme.")
    labels = frozenset(s["label"] for s in found if isinstance(s, dict) and isinstance(s.get("label"), str))
    return LabelmeFile(_file_name(value.get("imagePath")), _size(value), labels, tuple(found) if shapes else ())


def labelme_map(path: Path, numbers: Mapping[str, int], request: LoadRequest) -> SegmentMap:
    """The segment map of a file; later shapes lie over earlier ones.

    Args:
        path: The file.
        numbers: The class number of each label.
        request: See `ImportedLabel.load`.

    Raises:
        FormatError: The file is damaged or has a shape that cannot be drawn.
    """
    file = read_file(path)
    if file is None or not file.labels <= numbers.keys():
        raise FormatError(f"{path.name} has changed since it was looked at.", "Start the import again.")
    painter = MapPainter(request, path.name)
    position = 0
    try:
        shapes = []
        for position, value in enumerate(file.shapes, start=1):  # noqa: B007 - for the sentence
            shapes.append(_parsed(value))
        ids = instance_ids([None if s.group is None else (s.label, s.group) for s in shapes])
        for position, (shape, segment_id) in enumerate(zip(shapes, ids, strict=True), start=1):  # noqa: B007
            for mask, rect in _filled(shape, request.height, request.width):
                painter.paint(
                    mask,
                    rect,
                    numbers[shape.label],
                    instance=None if shape.role is None else shape.role is not Role.PLAIN,
                    crowd=shape.role is Role.CROWD,
                    segment_id=segment_id,
                )
    except ValueError as error:
        what = f"Shape {position} of {path.name} cannot be used: {error}."
        raise FormatError(what, "Correct it in labelme.") from error
    return painter.finish()


def _file_name(image_path: object) -> str:
    name = PureWindowsPath(image_path).name if isinstance(image_path, str) else ""
    return "" if name in (".", "..") else name


def _size(value: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height = value.get("imageWidth"), value.get("imageHeight")
    return (width, height) if _is_whole(width) and _is_whole(height) else None


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _parsed(value: object) -> _Shape:
    """A shape of any file.

    Raises:
        ValueError: It is none.
    """
    if not isinstance(value, dict):
        raise ValueError("it is no object")
    label, kind, group = value.get("label"), value.get("shape_type"), value.get("group_id")
    if not isinstance(label, str):
        raise ValueError("it has no label")
    if kind is not None and not isinstance(kind, str):
        raise ValueError("its shape_type is no text")
    if group is not None and not _is_whole(group):
        raise ValueError("its group_id is no whole number")
    return _Shape(
        label, kind or "polygon", value.get("points"), group, value.get("mask"), Role.of(value.get("segstudio"))
    )


_FILLS: Final[Mapping[str, Callable[..., tuple[Mask, Rect]]]] = {
    "polygon": fill_pillow,
    "oriented_rectangle": fill_pillow,
    "rotation": fill_pillow,  # what X-AnyLabeling calls it
    "circle": fill_circle,
    "line": fill_line,
    "linestrip": fill_line,
    "point": fill_point,
}


def _filled(shape: _Shape, height: int, width: int) -> Iterator[tuple[Mask, Rect]]:
    """(mask, box) of each stroke of a shape.

    Raises:
        ValueError: It cannot be drawn.
    """
    points = checked_points(shape.points, at_least=1)
    if shape.kind == "mask":
        yield _placed_mask(shape.mask, points, height, width)
    elif shape.kind == "points":
        for point in points:
            yield fill_point(point[None], height, width)
    elif shape.kind == "rectangle":  # two corners; X-AnyLabeling writes all four
        yield fill_rectangle(np.stack((points.min(axis=0), points.max(axis=0))), height, width)
    elif shape.kind in _FILLS:
        yield _FILLS[shape.kind](points, height, width)
    else:
        raise ValueError(f'nobody knows the shape_type "{shape.kind:.40}"')


def _placed_mask(data: object, points: npt.NDArray[np.float64], height: int, width: int) -> tuple[Mask, Rect]:
    """A mask at its place: both corners lie inside; fractions, as dragging leaves them, move it and change no size."""
    if not isinstance(data, str) or len(points) != 2:
        raise ValueError("a mask needs two points and a PNG")
    mask = _decoded(base64.b64decode(data), height, width)
    (left, top), (right, bottom) = ((round(x), round(y)) for x, y in points.tolist())
    if np.array_equal(points, np.trunc(points)):
        wanted = (max(0, bottom - top + 1), max(0, right - left + 1))
        if mask.shape[0] < wanted[0] or mask.shape[1] < wanted[1]:
            raise ValueError(
                f"its mask is {mask.shape[1]} x {mask.shape[0]} pixels, but its box {wanted[1]} x {wanted[0]}"
            )
        mask = mask[: wanted[0], : wanted[1]]
    rect = Rect(top, left, *mask.shape).clipped(height, width)
    return mask[rect.top - top : rect.bottom - top, rect.left - left : rect.right - left], rect


def _decoded(png: bytes, height: int, width: int) -> Mask:
    """(h, w) of a PNG, True where it is not 0; its size is known to fit the image before anything is decoded."""
    if len(png) < _PNG_HEADER.size or png[:8] != _PNG_SIGNATURE:
        raise ValueError("its mask is no PNG")
    _, _, _, own_width, own_height, _, color = _PNG_HEADER.unpack_from(png)
    if not (0 < own_width <= width and 0 < own_height <= height):
        raise ValueError(f"its mask is {own_width} x {own_height} pixels, but the image {width} x {height}")
    if color not in (_GREY, _PALETTE):
        raise ValueError("its mask is in colour")
    data = np.frombuffer(png, dtype=np.uint8)
    try:
        check_whole(data, "PNG", Path("mask"))
        if color == _PALETTE:
            with open_pillow(io.BytesIO(png)) as image:
                return np.asarray(image).astype(np.bool_)
        values = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except (ImageError, cv2.error, *PILLOW_ERRORS) as error:
        raise ValueError("its mask is a damaged PNG") from error
    if values is None or values.shape[:2] != (own_height, own_width):
        raise ValueError("its mask is a damaged PNG")
    return np.asarray(values if values.ndim == 2 else values[..., 0]).astype(np.bool_)
