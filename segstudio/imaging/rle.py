"""Masks as COCO's compressed run lengths (column by column, as pycocotools reads them)."""

from __future__ import annotations

from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from segstudio.core.geometry import Rect


class Rle(TypedDict):
    """COCO's compressed form: `size` is [height, width], `counts` ASCII text that JSON can hold."""

    size: list[int]
    counts: str


def encode(mask: npt.NDArray[np.bool_]) -> Rle:
    """The run lengths of a mask (H, W)."""
    return encode_part(mask, Rect.of_shape(mask.shape), mask.shape[0], mask.shape[1])


def encode_part(part: npt.NDArray[np.bool_], rect: Rect, height: int, width: int) -> Rle:
    """The run lengths of a mask (height, width) that is `part` (h, w) inside `rect` and False elsewhere.

    Costs the area of the part, not of the image: an image of a thousand cells is encoded a thousand small parts.
    """
    if part.shape != (rect.height, rect.width) or (rect.clipped(height, width) != rect and not rect.is_empty):
        raise ValueError(f"a part of {part.shape} does not fit {rect} in {height} x {width}")
    fenced = np.zeros((rect.width, rect.height + 2), dtype=np.int8)  # transposed: runs go down the columns
    fenced[:, 1:-1] = part.T
    steps = np.diff(fenced, axis=1)
    starts = _positions(steps == 1, rect, height)
    ends = _positions(steps == -1, rect, height)
    if starts.size:  # a run that reaches the bottom goes on at the top of the next column
        joined = starts[1:] == ends[:-1]
        starts, ends = starts[np.r_[True, ~joined]], ends[np.r_[~joined, True]]
    edges = np.empty(2 * starts.size + 2, dtype=np.int64)
    edges[0], edges[-1] = 0, height * width
    edges[1:-1:2], edges[2:-1:2] = starts, ends
    counts = np.diff(edges)
    if counts.size > 1 and counts[-1] == 0:
        counts = counts[:-1]
    packed: dict[str, Any] = coco_mask.frPyObjects({"size": [height, width], "counts": counts.tolist()}, height, width)
    return Rle(size=[height, width], counts=packed["counts"].decode("ascii"))


def _positions(found: npt.NDArray[np.bool_], rect: Rect, height: int) -> npt.NDArray[np.int64]:
    columns, rows = np.nonzero(found)
    positions: npt.NDArray[np.int64] = (columns + rect.left) * height + rows + rect.top
    return positions


def decode(rle: Rle) -> npt.NDArray[np.bool_]:
    """(H, W) bool, the mask of run lengths.

    Raises:
        ValueError: The run lengths do not add up to the size.
    """
    height, width = rle["size"]
    counts = _unpacked(rle["counts"])
    values = np.arange(len(counts)) % 2 == 1
    flat = np.repeat(values, counts)
    if flat.size != height * width:
        raise ValueError(f"run lengths of {flat.size} pixels for a mask of {height} x {width}")
    return np.ascontiguousarray(flat.reshape(width, height).T)


def _unpacked(text: str) -> list[int]:
    """The counts in COCO's text: five bits a character, lowest first, each the difference from two counts before.

    pycocotools' own decoder warns with numpy 2, on every call.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            if bits & 0x10:
                value |= -1 << shift
            counts.append(value + counts[-2] if len(counts) > 2 else value)
            value = shift = 0
    return counts
