"""Regions as polygons and back: outlines along pixel edges or through pixel centres, holes kept.

Coordinates are (x, y) with x to the right; pixel (row r, column c) covers [c, c + 1) x [r, r + 1). An outline along the
cracks between pixels has whole-numbered corners and holds the region exactly; one through pixel centres names the
border pixels by their (column, row), for readers that draw the outline as well as the inside.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, cast

import cv2
import numpy as np
import numpy.typing as npt

Ring = npt.NDArray[Any]  # (n, 2) of (x, y), closed: the last point joins the first

DEFAULT_MAX_POINTS: Final = 1_000_000

_MAX_HALVINGS: Final = 32


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """One connected part of a region.

    Attributes:
        outer: (n, 2) int32, the ring around it.
        holes: The rings around what it encloses.
    """

    outer: npt.NDArray[np.int32]
    holes: tuple[npt.NDArray[np.int32], ...] = ()


def rings(mask: npt.NDArray[np.bool_], *, offset: tuple[int, int] = (0, 0)) -> list[Outline]:
    """The exact outlines of a mask (H, W) along the cracks between pixels, one for each 4-connected part.

    Every ring has only its corners as points, so a rectangle has four. Outer rings run clockwise as seen on the screen,
    holes the other way. Rings of one part never meet; one ring may touch itself where pixels meet corner to corner.

    Args:
        offset: Added to every (x, y): where the mask lies in the image.
    """
    # Contours pass through pixels. Around doubled pixels, the contour on either side of a crack tells which crack it
    # was: 2c - 1 and 2c both mean c. The background is traced, not the region: OpenCV joins what it traces over
    # corners, and here that has to be the background for parts that meet only at a corner to stay apart.
    background = np.ones((mask.shape[0] + 2, mask.shape[1] + 2), dtype=np.uint8)
    background[1:-1, 1:-1] = ~mask
    doubled = cv2.resize(background, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    contours, hierarchy = cv2.findContours(doubled, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    shift = (offset[0] - 1, offset[1] - 1)
    corners = _corners(contours, shift)
    parents = hierarchy[0, :, 3].tolist()
    # Level 0 is the frame, level 1 the parts, level 2 their holes, level 3 the parts in a hole, and so on.
    return _nested(corners, parents, is_part=_odd_levels(parents))


def centre_rings(mask: npt.NDArray[np.bool_], *, offset: tuple[int, int] = (0, 0)) -> list[Outline]:
    """The outlines of a mask (H, W) through the centres of its border pixels, one for each 8-connected part.

    A point is the (column, row) of a pixel: the convention of labelme, Cityscapes and YOLO, whose readers fill a
    polygon and draw its outline, and so get back exactly the part with its holes filled. A ring runs back over itself
    where the part is one pixel wide; that of a dot or a line repeats points, since readers want three. A hole's ring
    passes through the pixels of the part around the hole.

    Args:
        offset: Added to every (x, y): where the mask lies in the image.
    """
    if not mask.any():
        return []
    contours, hierarchy = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=(int(offset[0]), int(offset[1]))
    )
    parents = hierarchy[0, :, 3].tolist()
    return _nested([_at_least_three(c[:, 0]) for c in contours], parents, is_part=[p < 0 for p in parents])


def _at_least_three(ring: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    return ring if len(ring) >= 3 else ring[[0, len(ring) - 1, 0]]


def _corners(contours: Sequence[npt.NDArray[Any]], shift: tuple[int, int]) -> list[npt.NDArray[np.int32]]:
    """The rings of contours around doubled pixels, with the corners only; all at once, there may be 100,000."""
    sizes = np.array([len(contour) for contour in contours])
    points = (np.concatenate(contours)[:, 0] + 1) >> 1
    before, _ = _neighbours(sizes)
    moved = (points != points[before]).any(axis=1)
    points, sizes = points[moved], _kept(moved, sizes)
    before, after = _neighbours(sizes)
    x, y = points.T
    straight = ((x == x[before]) & (x == x[after])) | ((y == y[before]) & (y == y[after]))
    points, sizes = points[~straight], _kept(~straight, sizes)
    points += np.array(shift, dtype=points.dtype)
    return np.split(points, np.cumsum(sizes)[:-1])


def _neighbours(sizes: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(before, after): for each point of rings laid one after the other, the index of its neighbours."""
    index = np.arange(int(sizes.sum()))
    sizes = sizes[sizes > 0]
    ends = np.cumsum(sizes)
    before, after = index - 1, index + 1
    before[ends - sizes] = ends - 1
    after[ends - 1] = ends - sizes
    return before, after


def _kept(keep: npt.NDArray[np.bool_], sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """How many points of each ring stay."""
    total = np.concatenate(([0], np.cumsum(keep)))
    ends = np.cumsum(sizes)
    return cast("npt.NDArray[np.int64]", total[ends] - total[ends - sizes])


def _odd_levels(parents: Sequence[int]) -> list[bool]:
    odd = [False] * len(parents)
    for index, parent in enumerate(parents):  # a parent comes before its children
        odd[index] = parent >= 0 and not odd[parent]
    return odd


def _nested(
    corners: Sequence[npt.NDArray[np.int32]], parents: Sequence[int], *, is_part: Sequence[bool]
) -> list[Outline]:
    holes: dict[int, list[npt.NDArray[np.int32]]] = {index: [] for index, part in enumerate(is_part) if part}
    for index, parent in enumerate(parents):
        if parent >= 0 and not is_part[index]:
            holes[parent].append(corners[index])
    return [Outline(corners[index], tuple(inside)) for index, inside in holes.items()]


def keyholed(outer: Ring, holes: Sequence[Ring]) -> npt.NDArray[np.float64]:
    """(n, 2) float64, one ring that holds the holes: each hangs by a bridge of no width on the ring to its left.

    Whoever fills by the even-odd rule gets the region with its holes, since a bridge is crossed twice. Bridges are
    level and pass through no other hole; between rings along cracks they have whole-numbered ends.

    Args:
        outer: (n, 2), with whole-numbered corners, as `rings` and `simplified` give them.
        holes: Likewise.
    """
    if not holes:
        return outer.astype(np.float64)
    linked = [outer, *(_from_leftmost(hole) for hole in holes)]
    sizes = np.array([len(ring) for ring in linked])
    edges, hits = _bridges(np.concatenate(linked).astype(np.float64), sizes)
    return _walked(linked, sizes, edges, hits)


def _from_leftmost(ring: Ring) -> Ring:
    return np.roll(ring, -int(np.lexsort((ring[:, 1], ring[:, 0]))[0]), axis=0)


def _bridges(
    points: npt.NDArray[np.float64], sizes: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """(edges, hits) of each ring but the first: the nearest edge to the left of its first point, and the (x, y) there.

    That edge is of another ring, which reaches further left, so no two rings hang on each other. Rings that were
    simplified may no longer lie inside the outer one; they hang on its first point, which keeps the parity as well.
    """
    starts, ends = points, points[_neighbours(sizes)[1]]
    low, high = np.minimum(starts[:, 1], ends[:, 1]), np.maximum(starts[:, 1], ends[:, 1])
    reach = np.where(low < high, high - low + 1, 0).astype(np.int64)  # each edge in each row it crosses
    edges = np.repeat(np.arange(reach.size), reach)
    rows = np.arange(edges.size) - np.repeat(np.cumsum(reach) - reach, reach) + low[edges]
    slope = (ends[edges, 0] - starts[edges, 0]) / (ends[edges, 1] - starts[edges, 1])
    x = starts[edges, 0] + (rows - starts[edges, 1]) * slope

    heads = points[np.cumsum(sizes)[:-1]]
    count = len(heads)
    # The heads come first and the sort is stable: an edge through a head is not to its left.
    all_rows = np.concatenate((heads[:, 1], rows))
    order = np.lexsort((np.concatenate((heads[:, 0], x)), all_rows))
    is_head = order < count
    latest = np.maximum.accumulate(np.where(is_head, -1, np.arange(order.size)))
    left = np.empty(count, dtype=np.int64)
    left[order[is_head]] = latest[is_head]
    hung = left >= 0
    hung[hung] = all_rows[order[left[hung]]] == heads[hung, 1]
    found = order[left[hung]] - count
    anchors, hits = np.zeros(count, dtype=np.int64), np.tile(points[0], (count, 1))
    anchors[hung], hits[hung] = edges[found], np.stack((x[found], heads[hung, 1]), axis=1)
    return anchors, hits


def _walked(
    linked: Sequence[Ring],
    sizes: npt.NDArray[np.int64],
    edges: npt.NDArray[np.int64],
    hits: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """The ring through all rings, each walked where it hangs (see `_bridges`)."""
    firsts = np.cumsum(sizes) - sizes
    parents = np.searchsorted(firsts, edges, side="right") - 1
    starts = np.concatenate(linked)[edges]
    order = np.lexsort((np.abs(hits - starts).sum(axis=1), edges)).tolist()  # along the parent, and along the edge
    attached: list[list[int]] = [[] for _ in linked]
    for child in order:
        attached[parents[child]].append(child + 1)
    pieces: list[Ring] = []
    stack = [(0, 0, 0)]  # ring, its next bridge, its next point: a row of holes is too long a chain for recursion
    while stack:
        ring, bridge, point = stack.pop()
        own, children = linked[ring], attached[ring]
        if bridge:
            pieces.append(hits[children[bridge - 1] - 1, None])
        if bridge < len(children):
            child = children[bridge]
            after = int(edges[child - 1] - firsts[ring]) + 1
            pieces += (own[point:after], hits[child - 1, None])
            stack += ((ring, bridge + 1, after), (child, 0, 0))
        else:
            pieces += (own[point:], own[: min(ring, 1)])  # a hole is closed before its bridge leads back
    whole: npt.NDArray[np.float64] = np.concatenate(pieces)
    moved: npt.NDArray[np.bool_] = (whole != np.roll(whole, 1, axis=0)).any(axis=1)
    return whole[moved]


def simplified(ring: Ring, tolerance: float) -> Ring:
    """The ring with fewer points, nowhere further than `tolerance` pixels from it (Douglas and Peucker 1973).

    At least three points stay, by a smaller tolerance where needed; tolerance 0 changes nothing.
    """
    if tolerance <= 0 or len(ring) <= 3:
        return ring
    points: npt.NDArray[Any] = np.ascontiguousarray(ring, dtype=np.int32 if ring.dtype == np.int32 else np.float32)
    for halvings in range(_MAX_HALVINGS):
        fewer = cv2.approxPolyDP(points, tolerance / 2**halvings, closed=True)[:, 0]
        if len(fewer) >= 3:
            return fewer.astype(ring.dtype)
    return ring  # a line there and back


def sanitised(
    points: object, width: int, height: int, *, max_points: int = DEFAULT_MAX_POINTS, margin: float | None = None
) -> npt.NDArray[np.float64]:
    """(n, 2) float64, a polygon from anywhere, cut to the image and a margin around it; (0, 2) where nothing is left.

    Args:
        points: [x0, y0, x1, y1, ...] or [[x0, y0], ...], also as an array or wrapped in one list more.
        max_points: More are refused.
        margin: Pixels around the image in which points stay as they are, since cutting moves the outline by rounding;
            as much as the image is large where left out.

    Raises:
        ValueError: They are no polygon: not numbers, not finite, not in pairs, fewer than three, or too many.
    """
    polygon = checked_points(points, at_least=3, at_most=max_points)
    margin_x, margin_y = (width, height) if margin is None else (margin, margin)
    inside = clipped(polygon, (-margin_x, -margin_y, width + margin_x, height + margin_y))
    return inside if len(inside) >= 3 else inside[:0]


def checked_points(points: object, *, at_least: int = 0, at_most: int = DEFAULT_MAX_POINTS) -> npt.NDArray[np.float64]:
    """(n, 2) float64, finite (x, y) from anywhere: [x0, y0, x1, y1, ...] or [[x0, y0], ...]; see `sanitised`.

    Raises:
        ValueError: They are not numbers, not finite, not in pairs, too few or too many.
    """
    if isinstance(points, str | bytes) or not isinstance(points, Sequence | np.ndarray):
        raise ValueError(f"points are a list, not {type(points).__name__}")
    if len(points) > 2 * at_most:
        raise ValueError(f"more than {at_most} points")
    try:
        array = np.asarray(points)
    except ValueError:  # a list of lists of different lengths, or nested without end
        raise ValueError("points that are not all pairs of numbers") from None
    if array.size % 2 or (array.ndim > 1 and array.shape[-1] != 2 and math.prod(array.shape[:-1]) != 1):
        raise ValueError("points that are not all pairs of numbers")
    if not at_least <= array.size // 2 <= at_most:
        raise ValueError(f"{array.size // 2} points where {at_least} to {at_most} are needed")
    numbers = _numbers(array).reshape(-1, 2)
    if not np.isfinite(numbers).all():
        raise ValueError("a point with a coordinate that is not finite")
    return numbers


def _numbers(array: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    if array.dtype.kind in "iuf":
        return array.astype(np.float64)
    if array.dtype.kind == "O" and all(
        isinstance(value, int | float | Decimal) and not isinstance(value, bool) for value in array.flat
    ):
        try:
            return array.astype(np.float64)
        except OverflowError:
            raise ValueError("a point with a coordinate that is not finite") from None
    raise ValueError("points with coordinates that are not numbers")


def clipped(ring: Ring, box: tuple[float, float, float, float]) -> npt.NDArray[np.float64]:
    """(n, 2) float64, the ring cut to the box (left, top, right, bottom), after Sutherland and Hodgman (1974).

    Filled by the even-odd rule it gives the same pixels inside the box; parts that the box separates stay joined by
    edges of no width along its border. (0, 2) where nothing lies inside.
    """
    points = np.asarray(ring, dtype=np.float64)
    left, top, right, bottom = box
    for axis, bound, sign in ((0, left, 1.0), (0, right, -1.0), (1, top, 1.0), (1, bottom, -1.0)):
        points = _half_plane(points, axis, bound, sign)
    return np.clip(points, (left, top), (right, bottom))  # what rounding left outside


def _half_plane(points: npt.NDArray[np.float64], axis: int, bound: float, sign: float) -> npt.NDArray[np.float64]:
    """What lies on one side of a line: where ``sign * (coordinate - bound) >= 0``."""
    inside = points[:, axis] >= bound if sign > 0 else points[:, axis] <= bound
    if inside.all():
        return points
    following = np.roll(points, -1, axis=0)
    crossing = inside != np.roll(inside, -1)
    start, end = points[crossing], following[crossing]
    a, b = start[:, axis], end[:, axis]
    scale = np.maximum(np.abs(a), np.abs(b))  # the difference of the largest floats, and of the smallest, is none
    share = (bound / scale - a / scale) / (b / scale - a / scale)
    cut = start * (1 - share)[:, None] + end * share[:, None]
    cut[:, axis] = bound
    slots = np.stack((inside, crossing), axis=1)
    out = np.empty((len(points), 2, 2))
    out[:, 0] = points
    out[crossing, 1] = cut
    kept: npt.NDArray[np.float64] = out[slots]
    return kept
