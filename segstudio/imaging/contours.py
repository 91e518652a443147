"""Regions of equal value: their parts, their edges, and the one under the pointer."""

from __future__ import annotations

from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from segstudio.core.geometry import Rect
from segstudio.core.spans import spans_of

Connectivity = Literal[4, 8]


def connected_components(labels: npt.NDArray[Any], connectivity: Connectivity = 8) -> tuple[npt.NDArray[np.int32], int]:
    """((H, W) int32, n): parts 1..n of connected equal values; where `labels` is boolean, False is part 0."""
    if labels.dtype == np.bool_:
        return _components(labels, connectivity)
    parts = np.zeros(labels.shape, dtype=np.int32)
    total = 0
    for value in np.unique(labels):
        mask = labels == value
        own, count = _components(mask, connectivity)
        parts[mask] = own[mask] + total
        total += count
    return parts, total


def _components(mask: npt.NDArray[np.bool_], connectivity: Connectivity) -> tuple[npt.NDArray[np.int32], int]:
    count, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=connectivity, ltype=cv2.CV_32S)
    return np.asarray(parts, dtype=np.int32), int(count) - 1


def components_with_rects(
    mask: npt.NDArray[np.bool_], connectivity: Connectivity = 8
) -> tuple[npt.NDArray[np.int32], list[Rect]]:
    """((H, W) int32, rects): parts 1..n of a mask, and the bounding rectangle of part k as ``rects[k - 1]``."""
    _, parts, stats, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=connectivity, ltype=cv2.CV_32S
    )
    rects = [Rect(int(top), int(left), int(h), int(w)) for left, top, w, h, _ in stats[1:]]
    return np.asarray(parts, dtype=np.int32), rects


def bounding_rects(labels: npt.NDArray[np.uint16], lowest: int = 0) -> dict[int, Rect]:
    """The bounding rectangle of each value from `lowest` up that occurs in `labels` (H, W), smallest value first."""
    size = int(labels.max(initial=0)) + 1
    height, width = labels.shape
    top, left = np.full(size, height), np.full(size, width)
    bottom, right = np.zeros(size, dtype=np.intp), np.zeros(size, dtype=np.intp)
    starts, found = spans_of(labels)
    first, last = starts, np.append(starts[1:], labels.size) - 1
    wanted = found >= lowest
    first, last, values = first[wanted], last[wanted], found[wanted].astype(np.intp)
    wrapped = first // width != last // width  # goes on in the next row, so it touches both sides
    np.minimum.at(top, values, first // width)
    np.maximum.at(bottom, values, last // width + 1)
    np.minimum.at(left, values, np.where(wrapped, 0, first % width))
    np.maximum.at(right, values, np.where(wrapped, width, last % width + 1))
    return {
        int(v): Rect(int(top[v]), int(left[v]), int(bottom[v] - top[v]), int(right[v] - left[v]))
        for v in np.flatnonzero(bottom)
    }


def outline(labels: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """(H, W) bool: True on the pixels of a region that touch another one above, below, left or right."""
    edges = np.zeros(labels.shape, dtype=np.bool_)
    down = labels[1:] != labels[:-1]
    across = labels[:, 1:] != labels[:, :-1]
    edges[1:] |= down
    edges[:-1] |= down
    edges[:, 1:] |= across
    edges[:, :-1] |= across
    return edges


def flood_region(
    labels: npt.NDArray[Any], seed: tuple[int, int], connectivity: Connectivity = 4
) -> tuple[npt.NDArray[np.bool_], Rect]:
    """(mask, rect): the connected region of equal value around `seed` (row, column); mask is (rect.height, rect.width).

    Raises:
        ValueError: The seed lies outside.
    """
    row, column = seed
    height, width = labels.shape
    if not (0 <= row < height and 0 <= column < width):
        raise ValueError(f"seed {seed} lies outside {height} x {width}")
    same = (labels == labels[row, column]).astype(np.uint8)
    # The filled pixels become 2; passing no mask lets OpenCV make its own.
    _, filled, _, (left, top, w, h) = cv2.floodFill(same, None, (column, row), 2, flags=connectivity)
    rect = Rect(int(top), int(left), int(h), int(w))
    return np.asarray(filled[rect.slices] == 2, dtype=np.bool_), rect
