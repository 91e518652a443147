"""CVAT's shapes filled: masks from run lengths, polygons and boxes as COCO's tools fill them, ellipses as CVAT does."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from segstudio.core.errors import FormatError
from segstudio.core.geometry import Rect
from segstudio.core.segmentmap import SegmentMap
from segstudio.formats.base import LoadRequest
from segstudio.formats.cvat_xml import CvatImage, CvatShape, read_shapes
from segstudio.formats.painting import MapPainter
from segstudio.formats.regions import Role, instance_ids
from segstudio.imaging.fills import Mask, fill_coco
from segstudio.imaging.polygons import DEFAULT_MAX_POINTS, sanitised

_WHOLE: Final = re.compile(r"\s*-?[0-9]{1,9}\s*")
_RUNS: Final = re.compile(r"\s*+[0-9]{1,10}\s*+(?:,\s*+[0-9]{1,10}\s*+)*+")
_FARTHEST: Final = 1e6


def cvat_map(
    path: Path, image: CvatImage, encoding: str | None, numbers: Mapping[str, int], request: LoadRequest
) -> SegmentMap:
    """The segment map of one image; shapes of a higher ``z_order``, and then later ones, lie over the others.

    Args:
        path: The file.
        image: Where it stands there.
        encoding: What the file declares.
        numbers: The class number of each label.
        request: See `ImportedLabel.load`.

    Raises:
        FormatError: A shape cannot be drawn, or the file has changed.
    """
    shapes = read_shapes(path, image, encoding)
    where = f"{image.name} in {path.name}"
    painter = MapPainter(request, where)
    position = 0
    try:
        order, groups = [], []
        for position, shape in enumerate(shapes, start=1):
            order.append((_whole(shape, "z_order", 0), position))
            group = _whole(shape, "group_id", 0)
            groups.append((shape.attributes.get("label", ""), group) if group else None)
        ids = instance_ids(groups)
        for _, position in sorted(order):
            shape = shapes[position - 1]
            label, role = shape.attributes.get("label", ""), Role.of(shape.attributes.get("segstudio"))
            if label not in numbers:
                raise FormatError(f"{path.name} has changed since it was looked at.", "Start the import again.")
            painter.paint(
                *_filled(shape, request.height, request.width),
                numbers[label],
                instance=None if role is None else role is not Role.PLAIN,
                crowd=role is Role.CROWD,
                segment_id=ids[position - 1],
            )
    except ValueError as error:
        raise FormatError(f"Shape {position} of {where} cannot be used: {error}.", "Correct it in CVAT.") from error
    return painter.finish()


def run_lengths(mask: Mask) -> str:
    """CVAT's text of a mask (H, W): run lengths row by row, of pixels outside first."""
    flat = mask.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(edges, prepend=0, append=flat.size).tolist()
    return ", ".join(map(str, [0, *runs] if flat[0] else runs))


def _filled(shape: CvatShape, height: int, width: int) -> tuple[Mask, Rect]:
    """(mask, box) of a shape.

    Raises:
        ValueError: It cannot be drawn.
    """
    if shape.kind == "mask":
        return _mask(shape, height, width)
    if shape.kind == "ellipse":
        return _ellipse(shape, height, width)
    points = _points(shape) if shape.kind == "polygon" else _corners(shape)
    return fill_coco([sanitised(points, width, height)], height, width)


def _mask(shape: CvatShape, height: int, width: int) -> tuple[Mask, Rect]:
    """Checked before anything of the mask's size is made: it fits the image, and its runs fill it."""
    left, top = _whole(shape, "left"), _whole(shape, "top")
    own_width, own_height = _whole(shape, "width"), _whole(shape, "height")
    if not (0 < own_width <= width and 0 < own_height <= height):
        raise ValueError(f"its mask is {own_width} x {own_height} pixels, but the image {width} x {height}")
    text = shape.attributes.get("rle", "")
    pixels = own_width * own_height
    if text.count(",") > pixels or _RUNS.fullmatch(text) is None:
        raise ValueError("its run lengths are no list of whole numbers, or too long a one")
    runs = np.fromstring(text, dtype=np.int64, sep=",")
    if int(runs.max()) > pixels or int(runs.sum()) != pixels:
        raise ValueError(f"its run lengths make {int(runs.sum())} pixels, but its box {own_width} x {own_height}")
    values = np.zeros(runs.size, dtype=np.bool_)
    values[1::2] = True
    mask = np.repeat(values, runs).reshape(own_height, own_width)
    rect = Rect(top, left, own_height, own_width).clipped(height, width)
    return mask[rect.top - top : rect.bottom - top, rect.left - left : rect.right - left], rect


def _points(shape: CvatShape) -> npt.NDArray[np.float64]:
    text = shape.attributes.get("points", "")
    if text.count(";") >= DEFAULT_MAX_POINTS or text.count(",") > DEFAULT_MAX_POINTS:
        raise ValueError(f"a polygon of more than {DEFAULT_MAX_POINTS:,} points")
    pairs = [pair.split(",") for pair in text.split(";")]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError("points that are not all pairs of numbers")
    return np.array([(float(x), float(y)) for x, y in pairs])


def _corners(shape: CvatShape) -> npt.NDArray[np.float64]:
    """The corners of a box, which may be turned about its centre (degrees, clockwise on the screen)."""
    left, top, right, bottom = (_number(shape, name) for name in ("xtl", "ytl", "xbr", "ybr"))
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    angle = math.radians(_number(shape, "rotation", 0.0))
    if angle:
        centre = np.array([(left + right) / 2, (top + bottom) / 2])
        turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        corners = (corners - centre) @ turn + centre
    return corners


def _ellipse(shape: CvatShape, height: int, width: int) -> tuple[Mask, Rect]:
    """As CVAT's own conversion to masks draws it: centre and radii rounded to whole pixels."""
    x, y, radius_x, radius_y = (round(_number(shape, name)) for name in ("cx", "cy", "rx", "ry"))
    if min(radius_x, radius_y) < 0:
        raise ValueError("a radius below 0")
    reach = max(radius_x, radius_y) + 1
    rect = Rect(y - reach, x - reach, 2 * reach + 1, 2 * reach + 1).clipped(height, width)
    canvas = np.zeros((rect.height, rect.width), dtype=np.uint8)
    if not rect.is_empty:
        centre = (x - rect.left, y - rect.top)
        cv2.ellipse(canvas, centre, (radius_x, radius_y), _number(shape, "rotation", 0.0), 0, 360, 1, thickness=-1)
    return canvas.astype(np.bool_), rect


def _whole(shape: CvatShape, name: str, missing: int | None = None) -> int:
    text = shape.attributes.get(name)
    if text is None and missing is not None:
        return missing
    if text is None or _WHOLE.fullmatch(text) is None:
        raise ValueError(f"its {name} is no whole number")
    return int(text)


def _number(shape: CvatShape, name: str, missing: float | None = None) -> float:
    text = shape.attributes.get(name)
    if text is None:
        if missing is None:
            raise ValueError(f"it has no {name}")
        return missing
    value = float(text)
    if not abs(value) <= _FARTHEST:
        raise ValueError(f"its {name} is {text:.20}")
    return value
