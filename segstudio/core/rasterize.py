"""From shapes to pixels: strokes, discs and polygons as boolean masks.

Positions are (x, y) floats in image pixels, the centre of pixel (row r, column c) at (c + 0.5, r + 0.5). Every function
gives the mask of a bounding box only, with the box, so that the cost follows the shape and not the image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from segstudio.core.geometry import Rect

Point = tuple[float, float]
Mask = npt.NDArray[np.bool_]

# Below this radius a disc can slip between pixel centres, so that a click would paint nothing.
_ALWAYS_HITS_A_CENTRE = math.sqrt(0.5)


def stroke_mask(points: Sequence[Point], radius: float, shape: tuple[int, ...]) -> tuple[Mask, Rect]:
    """The pixels whose centre is within `radius` of the line through `points`, as (mask, box).

    One point gives a disc. The pixels that hold the points belong to the stroke at any radius, so a thin brush never
    leaves a click without an effect.

    Args:
        points: At least one (x, y) position.
        radius: In pixels, above 0.
        shape: Of the image (height, width, ...); what lies outside is cut off.

    Returns:
        A bool mask of the size of the box, and the box; an empty mask and `Rect.EMPTY` where nothing is inside.
    """
    box = _bounds(points, radius, shape)
    if box.is_empty:
        return np.zeros((0, 0), dtype=np.bool_), Rect.EMPTY
    mask = np.zeros((box.height, box.width), dtype=np.bool_)
    starts = points if len(points) == 1 else points[:-1]
    ends = points if len(points) == 1 else points[1:]
    for start, end in zip(starts, ends, strict=True):
        _add_capsule(mask, box, start, end, radius)
    if radius < _ALWAYS_HITS_A_CENTRE:
        for x, y in points:
            row, column = math.floor(y) - box.top, math.floor(x) - box.left
            if 0 <= row < box.height and 0 <= column < box.width:
                mask[row, column] = True
    return mask, box


def disc_mask(center: Point, radius: float, shape: tuple[int, ...]) -> tuple[Mask, Rect]:
    """The pixels whose centre is within `radius` of `center`, as (mask, box); see `stroke_mask`."""
    return stroke_mask([center], radius, shape)


def polygon_mask(points: Sequence[Point], shape: tuple[int, ...]) -> tuple[Mask, Rect]:
    """The pixels whose centre lies inside the closed polygon by the even-odd rule, as (mask, box).

    A centre exactly on an edge belongs to one side only: polygons that share an edge neither overlap nor leave a gap.

    Args:
        points: (x, y) corners in order, three at least (fewer enclose nothing); the last joins the first.
        shape: Of the image (height, width, ...); what lies outside is cut off.
    """
    box = _bounds(points, 0.0, shape) if len(points) >= 3 else Rect.EMPTY
    if box.is_empty:
        return np.zeros((0, 0), dtype=np.bool_), Rect.EMPTY
    # Each crossing flips everything to its right; the running parity along a row is the even-odd rule.
    flips = np.zeros((box.height, box.width + 1), dtype=np.uint8)
    for (x0, y0), (x1, y1) in zip(points, (*points[1:], points[0]), strict=True):
        if y0 > y1:
            x0, y0, x1, y1 = x1, y1, x0, y0
        first = max(math.ceil(y0 - 0.5), box.top)
        last = min(math.ceil(y1 - 0.5), box.bottom)
        if first >= last:
            continue
        rows = np.arange(first, last)
        crossings = x0 + (rows + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
        columns = np.ceil(crossings - 0.5).astype(np.int64) - box.left
        flips[rows - box.top, np.clip(columns, 0, box.width)] ^= 1
    mask = (np.cumsum(flips[:, :-1], axis=1, dtype=np.uint8) & 1).astype(np.bool_)
    return mask, box


def _bounds(points: Sequence[Point], radius: float, shape: tuple[int, ...]) -> Rect:
    if not points:
        return Rect.EMPTY
    xs = [x for x, _ in points]
    ys = [y for _, y in points]
    left, top = math.floor(min(xs) - radius), math.floor(min(ys) - radius)
    right, bottom = math.ceil(max(xs) + radius), math.ceil(max(ys) + radius)
    # At least the pixel that holds a point on an integer position.
    width, height = max(right - left, 1), max(bottom - top, 1)
    return Rect(top, left, height, width).clipped(shape[0], shape[1])


def _add_capsule(mask: Mask, box: Rect, start: Point, end: Point, radius: float) -> None:
    """Sets the pixels within `radius` of the segment in `mask` (placed at `box`).

    A capsule is convex, so each row of it is one span, found exactly without a distance per pixel.
    """
    part = _bounds([start, end], radius, (box.bottom, box.right)).intersection(box)
    if part.is_empty:
        return
    y = np.arange(part.top, part.bottom, dtype=np.float64) + 0.5
    left, right = _disc_span(y, start, radius)
    for low, high in (_disc_span(y, end, radius), _body_span(y, start, end, radius)):
        left, right = np.minimum(left, low), np.maximum(right, high)
    x = np.arange(part.left, part.right) + 0.5
    target = mask[part.top - box.top : part.bottom - box.top, part.left - box.left : part.right - box.left]
    target |= (x >= left[:, None]) & (x <= right[:, None])


Span = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def _disc_span(y: npt.NDArray[np.float64], center: Point, radius: float) -> Span:
    """First and last x of the disc in each row; (inf, -inf) in rows that it does not reach."""
    squared = radius * radius - (y - center[1]) ** 2
    half = np.sqrt(np.maximum(squared, 0.0))
    hit = squared >= 0.0
    return np.where(hit, center[0] - half, np.inf), np.where(hit, center[0] + half, -np.inf)


def _body_span(y: npt.NDArray[np.float64], start: Point, end: Point, radius: float) -> Span:
    """First and last x in each row of the rectangle along the segment; (inf, -inf) where there is none."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = math.hypot(dx, dy)
    if length == 0.0:
        return np.full_like(y, np.inf), np.full_like(y, -np.inf)
    dx, dy = dx / length, dy / length
    offset = y - start[1]
    along = _between(dx, offset * dy, 0.0, length)
    across = _between(dy, -offset * dx, -radius, radius)
    low, high = np.maximum(along[0], across[0]), np.minimum(along[1], across[1])
    hit = low <= high
    return np.where(hit, low + start[0], np.inf), np.where(hit, high + start[0], -np.inf)


def _between(slope: float, constant: npt.NDArray[np.float64], low: float, high: float) -> Span:
    """The span of x with ``low <= slope * x + constant <= high``; (inf, -inf) where there is none."""
    # An almost level slope would divide into overflow; its contribution over any image is far below one pixel.
    if abs(slope) < 1e-12:
        hit = (constant >= low) & (constant <= high)
        return np.where(hit, -np.inf, np.inf), np.where(hit, np.inf, -np.inf)
    first, second = (low - constant) / slope, (high - constant) / slope
    return np.minimum(first, second), np.maximum(first, second)
