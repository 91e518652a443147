"""Polygons to pixels, each exactly as the program fills them that wrote or reads the file.

They differ by a pixel along every outline: COCO's tools fill from crack to crack, Pillow (labelme, Cityscapes) and
OpenCV (YOLO) draw the outline through pixel centres as well. Coordinates are (x, y), x to the right. Every function
gives (mask, box): the pixels of a bounding box only, as `core.rasterize` does; an empty mask and `Rect.EMPTY` where
nothing lies in the image. Points may come from anywhere (`polygons.checked_points` says what is refused); what lies
far outside is cut off first, so that no coordinate can ask for much work.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

from segstudio.core.geometry import Rect
from segstudio.imaging import rle
from segstudio.imaging.polygons import Ring, checked_points, clipped

Mask = npt.NDArray[np.bool_]
Points = Sequence[Sequence[float]] | Sequence[float] | Ring  # (n, 2), or x and y by turns

# labelme's own figures for what has no inside (shape_to_mask).
LINE_WIDTH: Final = 10
POINT_SIZE: Final = 5

# pycocotools walks the outline in fifths of a pixel and takes 16 bytes a step.
_MAX_COCO_STEPS: Final = 1 << 25
# Pillow compares every edge with every row and with the edges before it.
_MAX_PILLOW_WORK: Final = 1 << 33
_MAX_LINE_POINTS: Final = 20_000
# Pillow's ellipses overflow 64 bits beyond.
_MAX_DIAMETER: Final = 50_000


def fill_coco(polygons: Sequence[Points], height: int, width: int) -> tuple[Mask, Rect]:
    """The union of the polygons as pycocotools makes it (maskApi.c, rleFrPoly: even-odd, in fifths of a pixel).

    Raises:
        ValueError: A polygon has an outline of millions of pixels, for which pycocotools takes gigabytes.
    """
    parts = [_coco_part(polygon, height, width) for polygon in polygons]
    box = functools.reduce(Rect.union, (rect for _, rect in parts), Rect.EMPTY)
    if len(parts) == 1:
        return parts[0]
    mask = np.zeros((box.height, box.width), dtype=np.bool_)
    for part, rect in parts:
        mask[Rect(rect.top - box.top, rect.left - box.left, rect.height, rect.width).slices] |= part
    return mask, box


def _coco_part(polygon: Points, height: int, width: int) -> tuple[Mask, Rect]:
    points = _near(polygon, height, width)
    if not len(points) or not height * width:
        return _nothing()
    steps = 5 * np.abs(points - np.roll(points, 1, axis=0)).max(axis=1).sum() + 2 * len(points)
    if steps > _MAX_COCO_STEPS:
        raise ValueError(f"a polygon with an outline of {steps / 5:.0f} pixels")
    (packed,) = coco_mask.frPyObjects([points.ravel()], height, width)
    return rle.decode_part(packed)


def fill_pillow(points: Points, height: int, width: int) -> tuple[Mask, Rect]:
    """The polygon and its outline as Pillow draws them, after cutting off fractions: as labelme's shape_to_mask and
    cityscapesscripts' json2labelImg do.

    Raises:
        ValueError: The polygon has too many points for Pillow, whose work grows with their square.
    """
    corners = np.trunc(_near(points, height, width)).astype(np.int64)
    box = _inclusive_box(corners, height, width)
    if box.is_empty:
        return _nothing()
    if len(corners) * (len(corners) + box.height) > _MAX_PILLOW_WORK:
        raise ValueError(f"a polygon of {len(corners)} points")
    # Rows can be left out above, which changes nothing. Columns cannot: Pillow rounds x as a 32-bit float.
    image = Image.new("L", (box.right, box.height))
    corners[:, 1] -= box.top
    ImageDraw.Draw(image).polygon(corners.ravel().tolist(), outline=1, fill=1)
    return np.asarray(image, dtype=np.bool_)[:, box.left :].copy(), box


def fill_yolo(points: Points, height: int, width: int) -> tuple[Mask, Rect]:
    """The polygon as ultralytics' polygon2mask fills it: fractions cut off, outline included, no holes.

    Args:
        points: In pixels: YOLO's fractions times the width and the height.
    """
    corners = np.trunc(_near(points, height, width)).astype(np.int32)
    box = _inclusive_box(corners, height, width)
    if box.is_empty:
        return _nothing()
    # OpenCV cuts lines at the border of what it draws on, which may move their middle: only what is inside may shift.
    canvas = box if _inclusive_box(corners, None, None) == box else Rect(0, 0, height, width)
    filled = np.zeros((canvas.height, canvas.width), dtype=np.uint8)
    cv2.fillPoly(filled, [corners - np.array([canvas.left, canvas.top], dtype=np.int32)], 1)
    inside = filled if canvas is box else filled[box.slices]
    return inside.astype(np.bool_), box


def fill_rectangle(points: Points, height: int, width: int) -> tuple[Mask, Rect]:
    """The rectangle between two opposite corners as labelme fills it: fractions cut off, both ends included."""
    corners = _within_32_bits(checked_points(points, at_least=2, at_most=2))
    box = _inclusive_box(np.trunc(corners).astype(np.int64), height, width)
    return np.ones((box.height, box.width), dtype=np.bool_), box


def fill_circle(points: Points, height: int, width: int) -> tuple[Mask, Rect]:
    """The circle with a centre and a point on its edge, as labelme fills it.

    Raises:
        ValueError: The circle is larger than Pillow can draw.
    """
    (x, y), (edge_x, edge_y) = checked_points(points, at_least=2, at_most=2).tolist()
    # Not hypot, whose last digit may differ from labelme's.
    radius = math.sqrt((x - edge_x) * (x - edge_x) + (y - edge_y) * (y - edge_y))
    return _ellipse(x, y, radius, height, width)


def fill_point(points: Points, height: int, width: int, *, size: int = POINT_SIZE) -> tuple[Mask, Rect]:
    """The disc with which labelme marks a point."""
    ((x, y),) = checked_points(points, at_least=1, at_most=1).tolist()
    return _ellipse(x, y, size, height, width)


def fill_line(points: Points, height: int, width: int, *, line_width: int = LINE_WIDTH) -> tuple[Mask, Rect]:
    """The line (two points) or line strip as labelme draws it, with round joints.

    Raises:
        ValueError: It has fewer than two points, or more than can be drawn in reasonable time.
    """
    positions = _within_32_bits(checked_points(points, at_least=2, at_most=_MAX_LINE_POINTS))
    box = _inclusive_box(np.trunc(positions).astype(np.int64), None, None).grown(line_width).clipped(height, width)
    if box.is_empty:
        return _nothing()
    image = Image.new("L", (width, height))
    ImageDraw.Draw(image).line(positions.ravel().tolist(), fill=1, width=line_width, joint="curve")
    return np.asarray(image, dtype=np.bool_)[box.slices].copy(), box


def _within_32_bits(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.clip(points, -(2.0**29), 2.0**29)  # Pillow subtracts them as 32-bit integers


def _ellipse(x: float, y: float, radius: float, height: int, width: int) -> tuple[Mask, Rect]:
    if not math.isfinite(x + y + radius) or 2 * radius > _MAX_DIAMETER:
        raise ValueError(f"a circle with a radius of {radius:g} pixels")
    corners = np.trunc([[x - radius, y - radius], [x + radius, y + radius]])
    if np.abs(corners).max() > 2**30:
        return _nothing()
    box = _inclusive_box(corners.astype(np.int64), height, width)
    if box.is_empty:
        return _nothing()
    image = Image.new("L", (box.width, box.height))
    placed = (corners - (box.left, box.top)).ravel().tolist()
    ImageDraw.Draw(image).ellipse(placed, outline=1, fill=1)
    return np.asarray(image, dtype=np.bool_).copy(), box


def _near(polygon: Points, height: int, width: int) -> npt.NDArray[np.float64]:
    """(n, 2) float64, cut to three times the image; none where fewer than three are left, which enclose nothing."""
    inside = clipped(checked_points(polygon), (-width, -height, 2 * width, 2 * height))
    return inside if len(inside) >= 3 else inside[:0]


def _inclusive_box(corners: npt.NDArray[np.integer], height: int | None, width: int | None) -> Rect:
    """The box of the pixels (column, row) named by the corners, cut to an image where its size is given."""
    if not len(corners):
        return Rect.EMPTY
    (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    box = Rect(top, left, bottom - top + 1, right - left + 1)
    return box if height is None or width is None else box.clipped(height, width)


def _nothing() -> tuple[Mask, Rect]:
    return np.zeros((0, 0), dtype=np.bool_), Rect.EMPTY
