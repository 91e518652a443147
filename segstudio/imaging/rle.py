"""Masks as COCO's run lengths (column by column, as pycocotools reads and writes them)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, TypedDict

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from segstudio.core.geometry import Rect
from segstudio.imaging.header import DEFAULT_MAX_PIXELS

Counts = npt.NDArray[np.int64]

# Seven characters hold 35 bits with sign: more than any difference of two run lengths below 2**32.
_MAX_CHARACTERS: Final = 7


class Rle(TypedDict):
    """COCO's compressed form: `size` is [height, width], `counts` ASCII text that JSON can hold."""

    size: list[int]
    counts: str


@dataclass(frozen=True, slots=True)
class Region:
    """The pixels of one value in a label map.

    Attributes:
        value: What the map holds there.
        rle: The pixels, as a mask of the whole map.
        area: Their number.
        rect: Their bounding box.
    """

    value: int
    rle: Rle
    area: int
    rect: Rect

    @property
    def bbox(self) -> tuple[int, int, int, int]:
        """COCO's (x, y, width, height), in pixels."""
        return self.rect.left, self.rect.top, self.rect.width, self.rect.height


def encode(mask: npt.NDArray[np.bool_]) -> Rle:
    """The run lengths of a mask (H, W)."""
    return encode_part(mask, Rect.of_shape(mask.shape), mask.shape[0], mask.shape[1])


def encode_part(part: npt.NDArray[np.bool_], rect: Rect, height: int, width: int) -> Rle:
    """The run lengths of a mask (height, width) that is `part` (h, w) inside `rect` and False elsewhere.

    Costs the area of the part, not of the image: an image of a thousand cells is encoded a thousand small parts.
    """
    if part.shape != (rect.height, rect.width) or (rect.clipped(height, width) != rect and not rect.is_empty):
        raise ValueError(f"a part of {part.shape} does not fit {rect} in {height} x {width}")
    # Transposed, since runs go down the columns, with a gap before each column that no run crosses.
    fenced = np.zeros(rect.width * (rect.height + 1) + 1, dtype=np.bool_)
    fenced[:-1].reshape(rect.width, rect.height + 1)[:, 1:] = part.T
    steps = np.flatnonzero(fenced[1:] != fenced[:-1])
    starts = _positions(steps[0::2], rect, height)
    ends = _positions(steps[1::2] - 1, rect, height) + 1
    if starts.size:  # a run that reaches the bottom goes on at the top of the next column
        joined = starts[1:] == ends[:-1]
        if joined.any():
            starts, ends = starts[np.append(True, ~joined)], ends[np.append(~joined, True)]
    edges = np.empty(2 * starts.size + 2, dtype=np.int64)
    edges[0], edges[1:-1:2], edges[2:-1:2], edges[-1] = 0, starts, ends, height * width
    counts = (edges[1:] - edges[:-1]).tolist()
    if len(counts) > 1 and not counts[-1]:
        counts.pop()
    # For one mask, which is mostly small, quicker than `_texts`.
    packed: dict[str, Any] = coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)
    return Rle(size=[height, width], counts=packed["counts"].decode("ascii"))


def _positions(pixels: Counts, rect: Rect, height: int) -> Counts:
    """From positions in a part whose columns have a gap after them to those in the image."""
    columns, rows = np.divmod(pixels, rect.height + 1)
    positions: Counts = (columns + rect.left) * height + rows + rect.top
    return positions


def encode_regions(
    ids: npt.NDArray[np.integer[Any]], *, lowest: int = 0, wanted: Collection[int] | None = None
) -> list[Region]:
    """The region of each value in `ids` (H, W), smallest value first; one pass over the map serves all of them.

    Args:
        ids: Labels; only values from `lowest` up, and of `wanted` where it is given, make a region.
    """
    height, width = ids.shape
    if ids.size == 0:
        return []
    flat = cv2.transpose(ids).ravel() if ids.dtype == np.uint16 else np.ascontiguousarray(ids.T).ravel()
    starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    ends = np.append(starts[1:], flat.size)
    values = flat[starts]
    keep = values >= lowest
    if wanted is not None:
        keep &= np.isin(values, np.fromiter(wanted, dtype=np.int64, count=len(wanted)))
    starts, ends, values = starts[keep], ends[keep], values[keep]
    if not values.size:
        return []
    order = np.argsort(values, kind="stable")  # a radix sort for 16 bits; the runs of a value stay in order
    starts, ends, values = starts[order], ends[order], values[order]
    bounds = np.concatenate(([0], np.flatnonzero(values[1:] != values[:-1]) + 1, [values.size]))
    areas = np.add.reduceat(ends - starts, bounds[:-1])
    rects = _rects(starts, ends, bounds, height)
    texts = _texts(starts, ends, bounds, flat.size)
    return [
        Region(value, Rle(size=[height, width], counts=text), area, rect)
        for value, text, area, rect in zip(values[bounds[:-1]].tolist(), texts, areas.tolist(), rects, strict=True)
    ]


def decode(rle: Mapping[str, object], *, shape: tuple[int, int] | None = None) -> npt.NDArray[np.bool_]:
    """(H, W) bool, the mask of run lengths, which may come from anywhere.

    Args:
        rle: ``size`` [height, width] and ``counts``: compressed (text or bytes) or a list of run lengths.
        shape: The (height, width) the mask must have; without it, `rle` decides, within reason.

    Raises:
        ValueError: They are no run lengths, or they do not add up to the size.
    """
    height, width, starts, ends = _runs(rle, shape)
    return _painted(starts, ends, Rect(0, 0, height, width), height)


def decode_part(
    rle: Mapping[str, object], *, shape: tuple[int, int] | None = None
) -> tuple[npt.NDArray[np.bool_], Rect]:
    """(mask, box): the pixels of the bounding box only, at the cost of the box and the runs; see `decode`.

    Raises:
        ValueError: They are no run lengths, or they do not add up to the size.
    """
    height, _, starts, ends = _runs(rle, shape)
    if not starts.size:
        return np.zeros((0, 0), dtype=np.bool_), Rect.EMPTY
    (rect,) = _rects(starts, ends, np.array([0, starts.size]), height)
    return _painted(starts, ends, rect, height), rect


def area(rle: Mapping[str, object]) -> int:
    """The number of pixels, counted without a mask.

    Raises:
        ValueError: See `decode`.
    """
    _, _, starts, ends = _runs(rle, None)
    return int((ends - starts).sum())


def bounding_rect(rle: Mapping[str, object]) -> Rect:
    """The bounding box of the pixels, found without a mask; `Rect.EMPTY` where there are none.

    Raises:
        ValueError: See `decode`.
    """
    height, _, starts, ends = _runs(rle, None)
    return _rects(starts, ends, np.array([0, starts.size]), height)[0] if starts.size else Rect.EMPTY


def bbox(rle: Mapping[str, object]) -> tuple[int, int, int, int]:
    """COCO's (x, y, width, height) of the pixels; see `bounding_rect`."""
    rect = bounding_rect(rle)
    return rect.left, rect.top, rect.width, rect.height


def _rects(starts: Counts, ends: Counts, bounds: Counts, height: int) -> list[Rect]:
    """The bounding box of each group of runs; group g is ``bounds[g]:bounds[g + 1]``, none is empty."""
    first, last = starts // height, (ends - 1) // height
    wraps = first != last  # at the foot of one column and the head of the next
    top = np.minimum.reduceat(np.where(wraps, 0, starts - first * height), bounds[:-1])
    bottom = np.maximum.reduceat(np.where(wraps, height, ends - last * height), bounds[:-1])
    left, right = first[bounds[:-1]], last[bounds[1:] - 1] + 1
    table = np.stack((top, left, bottom - top, right - left), axis=1)
    return [Rect(*row) for row in table.tolist()]


def _painted(starts: Counts, ends: Counts, rect: Rect, height: int) -> npt.NDArray[np.bool_]:
    """The mask (rect.height, rect.width) of runs that all lie inside `rect`."""
    edges = np.empty(2 * starts.size + 2, dtype=np.int64)
    edges[0], edges[-1] = 0, rect.area
    for slot, positions, last in ((1, starts, 0), (2, ends, 1)):
        # A run that goes on in the next column has a box as high as the image: the same steps apply.
        columns, rows = np.divmod(positions - last, height)
        edges[slot:-1:2] = (columns - rect.left) * rect.height + (rows - rect.top) + last
    values = np.zeros(edges.size - 1, dtype=np.bool_)
    values[1::2] = True
    flat = np.repeat(values, edges[1:] - edges[:-1])
    return np.ascontiguousarray(flat.reshape(rect.width, rect.height).T)


def _texts(starts: Counts, ends: Counts, bounds: Counts, total: int) -> list[str]:
    """COCO's text of each group of runs (see `_rects`) in a mask of `total` pixels: five bits a character, lowest
    first, each number the difference from two numbers before (maskApi.c, rleToString).
    """
    groups = np.arange(bounds.size - 1)
    first, last = 2 * bounds[:-1] + groups, 2 * bounds[1:] + groups  # a number each for the gap, the run, and the rest
    of_run = 2 * np.arange(starts.size) + np.repeat(groups, np.diff(bounds))
    edges = np.empty(int(last[-1]) + 1, dtype=np.int64)
    edges[of_run], edges[of_run + 1], edges[last] = starts, ends, total
    counts = np.diff(edges, prepend=0)
    counts[first] = edges[first]
    numbers = counts.copy()
    numbers[2:] -= counts[:-2]
    for place in range(3):  # the first three of each group stand for themselves
        at = first + place
        at = at[at <= last]
        numbers[at] = counts[at]
    keep = np.ones(counts.size, dtype=np.bool_)
    keep[last] = (counts[last] > 0) | (first == last)  # no rest, no number
    text, characters_to = _characters(numbers[keep])
    cuts = [0, *characters_to[np.cumsum(keep)[last] - 1].tolist()]
    return [text[start:end] for start, end in pairwise(cuts)]


def _characters(numbers: Counts) -> tuple[str, Counts]:
    """(text, ends): the signed numbers one after the other, and where each ends."""
    magnitude = numbers ^ (numbers >> 63)
    lengths = np.ones(numbers.size, dtype=np.int64)
    for size in range(1, _MAX_CHARACTERS):
        longer = magnitude >= 1 << (5 * size - 1)
        if not longer.any():
            break
        lengths += longer
    ends = np.cumsum(lengths)
    out = np.empty(int(ends[-1]), dtype=np.uint8)
    at, rest, left = ends - lengths, numbers, lengths
    while at.size:
        more = left > 1
        out[at] = (rest & 0x1F) + np.where(more, 0x20 + 48, 48)
        at, rest, left = at[more] + 1, rest[more] >> 5, left[more] - 1
    return out.tobytes().decode("ascii"), ends


def _runs(rle: Mapping[str, object], shape: tuple[int, int] | None) -> tuple[int, int, Counts, Counts]:
    """(height, width, starts, ends) of the runs of True that are not empty, everything checked.

    Raises:
        ValueError: See `decode`.
    """
    height, width = _checked_size(rle.get("size"), shape)
    counts = rle.get("counts")
    if isinstance(counts, str | bytes):
        numbers = _unpacked(counts, height * width)
    elif isinstance(counts, list | tuple):
        numbers = _plain(counts, height * width)
    else:
        raise ValueError(f"run lengths are text or a list, not {type(counts).__name__}")
    if numbers.size and (numbers.min() < 0 or numbers.max() > height * width):
        raise ValueError(f"a run length of {int(numbers.min())} to {int(numbers.max())} in {height} x {width} pixels")
    ends = np.cumsum(numbers)
    total = int(ends[-1]) if ends.size else 0
    if total != height * width:
        raise ValueError(f"run lengths of {total} pixels for a mask of {height} x {width}")
    starts, ends = (ends - numbers)[1::2], ends[1::2]
    filled = ends > starts
    return height, width, starts[filled], ends[filled]


def _checked_size(size: object, shape: tuple[int, int] | None) -> tuple[int, int]:
    if not isinstance(size, list | tuple) or len(size) != 2 or any(type(side) is not int for side in size):
        raise ValueError("the size of run lengths is [height, width], two whole numbers")
    height, width = size
    if height < 0 or width < 0 or (shape is None and height * width > DEFAULT_MAX_PIXELS):
        raise ValueError(f"run lengths cannot have a size of {height} x {width}")
    if shape is not None and (height, width) != shape:
        raise ValueError(f"run lengths for {height} x {width} pixels in an image of {shape[0]} x {shape[1]}")
    return height, width


def _plain(counts: list[object] | tuple[object, ...], pixels: int) -> Counts:
    if len(counts) > pixels + 1:
        raise ValueError(f"{len(counts)} run lengths for {pixels} pixels")
    numbers: list[int] = []
    for count in counts:
        if type(count) is not int or not 0 <= count <= pixels:
            raise ValueError(f"a run length is a whole number from 0 to {pixels}, not {count!r:.40}")
        numbers.append(count)
    return np.array(numbers, dtype=np.int64)


def _unpacked(text: str | bytes, pixels: int) -> Counts:
    """The run lengths in COCO's text (see `_texts`); their sign and sum are not checked yet.

    pycocotools' own decoder warns with numpy 2, on every call, and reads past numbers that are too large.
    """
    if len(text) > _MAX_CHARACTERS * (pixels + 1):
        raise ValueError(f"run lengths of {len(text)} characters for {pixels} pixels")
    if isinstance(text, str):
        if not text.isascii():
            raise ValueError("run lengths with letters outside ASCII")
        text = text.encode("ascii")
    bits = np.frombuffer(text, dtype=np.uint8).astype(np.int64) - 48
    if not bits.size:
        return np.zeros(0, dtype=np.int64)
    if bits.min() < 0 or bits.max() > 63:
        raise ValueError("run lengths with characters that stand for nothing")
    ends = np.flatnonzero(bits < 0x20)
    if not ends.size or ends[-1] != bits.size - 1:
        raise ValueError("run lengths that break off")
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if lengths.max() > _MAX_CHARACTERS:
        raise ValueError("a run length too large for any image")
    shifts = 5 * (np.arange(bits.size) - np.repeat(starts, lengths))
    numbers: Counts = np.add.reduceat((bits & 0x1F) << shifts, starts)
    numbers -= np.where(bits[ends] & 0x10, np.int64(1) << 5 * lengths, 0)
    for first in (1, 2):
        numbers[first::2] = np.cumsum(numbers[first::2])
    return numbers
