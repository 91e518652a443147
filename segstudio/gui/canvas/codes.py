"""What each pixel shows, as one small number: a decided class, ignore, nothing yet, or a proposed class."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import IGNORE, Catalog
from segstudio.core.geometry import Rect
from segstudio.core.segmentmap import SegmentMap

NOTHING: Final = 256
PROPOSED: Final = 512
CODES: Final = 1024
# Instances get border keys above every code, so that two touching objects of one class keep a line between them.
_INSTANCE_KEY: Final = CODES
_BACKGROUND_ALPHA: Final = 96
_AROUND_ALPHA: Final = 150
_LINE_WHITE: Final = 0.12
# Class colours darker than this have no hue to brighten; their borders are white.
_DARK: Final = 24

Codes = npt.NDArray[np.uint16]
Keys = npt.NDArray[np.integer[Any]]


class Shown(NamedTuple):
    """What a part of the image shows.

    Attributes:
        codes: (h, w) uint16: 0-254 a decided class, 255 decided as ignore, `NOTHING` (256), or `PROPOSED` + class.
        keys: (h, w) integers that differ wherever a border runs; the codes themselves where there is no instance.
    """

    codes: Codes
    keys: Keys


def shown(
    segment_map: SegmentMap,
    proposal: npt.NDArray[np.uint8] | None,
    rect: Rect,
    step: int = 1,
) -> Shown:
    """What every `step`-th pixel of `rect` shows, starting with its top left one.

    Args:
        segment_map: The annotation.
        proposal: (H, W) uint8 class ids, or None; it shows only where nothing is decided.
        rect: Inside the image.
        step: 1 for each pixel, 2 for every other, ...
    """
    part = (slice(rect.top, rect.bottom, step), slice(rect.left, rect.right, step))
    ids = segment_map.ids[part]
    codes = _classes(ids, segment_map)
    instances = bool(segment_map.segments) and bool((ids > IGNORE).any())
    keys: Keys = np.where(ids > IGNORE, ids.astype(np.int32) + _INSTANCE_KEY, codes) if instances else codes
    open_pixels = ~segment_map.decided[part]
    if not open_pixels.any():
        return Shown(codes, keys)
    # An imported label nobody confirmed looks like a proposal, because that is what it is.
    tentative = codes if proposal is None else proposal[part].astype(np.uint16)
    tentative = np.where(tentative == IGNORE, np.uint16(NOTHING), tentative + np.uint16(PROPOSED))
    merged = np.where(open_pixels, tentative, codes)
    return Shown(merged, np.where(open_pixels, tentative, keys) if instances else merged)


def label_of(code: int) -> int | None:
    """The class id (or IGNORE) that a code shows, proposed or decided; None for nothing."""
    return None if code == NOTHING else code - PROPOSED if code >= PROPOSED else code


def shown_labels(segment_map: SegmentMap, proposal: npt.NDArray[np.uint8] | None, rect: Rect) -> Codes:
    """(h, w) uint16 of what a person sees: class ids and 255, proposed and decided alike, and 256 for nothing."""
    codes = shown(segment_map, proposal, rect).codes
    return np.where(codes >= PROPOSED, codes - np.uint16(PROPOSED), codes)


def fill_table(catalog: Catalog) -> npt.NDArray[np.uint32]:
    """(1024,) uint32 premultiplied ARGB by code, for areas.

    Classes have their colours; the background is faint, since it would veil most of the image; hidden classes, ignore
    and nothing are transparent.
    """
    rgb = catalog.color_table()
    alpha = np.full(NOTHING, 255, dtype=np.uint8)
    alpha[IGNORE] = 0
    if catalog.background_id is not None:
        alpha[catalog.background_id] = _BACKGROUND_ALPHA
    alpha[_hidden(catalog)] = 0
    table = np.zeros(CODES, dtype=np.uint32)
    table[:NOTHING] = _premultiplied(rgb, alpha)
    if catalog.background_id is not None:
        alpha[catalog.background_id] //= 2
    table[PROPOSED : PROPOSED + NOTHING] = _premultiplied(rgb, alpha)
    return table


def line_table(catalog: Catalog) -> npt.NDArray[np.uint32]:
    """(1024,) uint32 premultiplied ARGB by code, for borders.

    Classes have the brightest shade of their colours; what surrounds them (background, ignore, nothing) draws its side
    of a border in black, so that the line reads on bright images too.
    """
    rgb = catalog.color_table().astype(np.float64)
    bright = rgb * (255.0 / np.maximum(rgb.max(axis=1, keepdims=True), 1.0))
    bright += (255.0 - bright) * _LINE_WHITE
    bright[rgb.max(axis=1) < _DARK] = 255.0
    alpha = np.full(NOTHING, 255, dtype=np.uint8)
    around = [IGNORE] if catalog.background_id is None else [IGNORE, catalog.background_id]
    bright[around] = 0.0
    alpha[around] = _AROUND_ALPHA
    alpha[_hidden(catalog)] = 0
    table = np.zeros(CODES, dtype=np.uint32)
    table[:NOTHING] = table[PROPOSED : PROPOSED + NOTHING] = _premultiplied(bright.astype(np.uint8), alpha)
    table[NOTHING] = _AROUND_ALPHA << 24
    return table


def _hidden(catalog: Catalog) -> list[int]:
    return [label_class.id for label_class in catalog if label_class.hidden]


def _premultiplied(rgb: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    scaled = (rgb.astype(np.uint32) * alpha[:, None] + 127) // 255
    packed: npt.NDArray[np.uint32] = (
        alpha.astype(np.uint32) << np.uint32(24) | scaled[:, 0] << 16 | scaled[:, 1] << 8 | scaled[:, 2]
    ).astype(np.uint32)
    return packed


def inner_border(keys: Keys, margin: int, width: int) -> npt.NDArray[np.bool_]:
    """(h, w) bool: pixels less than `width` + 1 from another key, above, below, left or right.

    Args:
        keys: (h + 2 margin, w + 2 margin), the tile with its surroundings.
        margin: At least `width`.
        width: Of the border on each side, in pixels.
    """
    height, wide = keys.shape[0] - 2 * margin, keys.shape[1] - 2 * margin
    inner = keys[margin : margin + height, margin : margin + wide]
    border = np.zeros((height, wide), dtype=np.bool_)
    for shift in range(1, width + 1):
        for rows, columns in ((shift, 0), (-shift, 0), (0, shift), (0, -shift)):
            top, left = margin + rows, margin + columns
            border |= inner != keys[top : top + height, left : left + wide]
    return border


class Edges(NamedTuple):
    """Straight pieces of region borders, each lying just inside the pixels of its code.

    Attributes:
        spans: (n, 4) int32 x0, y0, x1, y1: the run of pixels, in pixels of the tile.
        codes: (n,) uint16.
        sides: (n,) uint8: 0 the top, 1 the bottom, 2 the left, 3 the right side of the run.
    """

    spans: npt.NDArray[np.int32]
    codes: Codes
    sides: npt.NDArray[np.uint8]

    @property
    def nbytes(self) -> int:
        return self.spans.nbytes + self.codes.nbytes + self.sides.nbytes


def border_edges(codes: Codes, keys: Keys) -> Edges:
    """The borders of a tile as straight runs.

    Args:
        codes: (h + 2, w + 2), the tile with one pixel around it.
        keys: Of the same size.
    """
    inner = codes[1:-1, 1:-1]
    center = keys[1:-1, 1:-1]
    sides = (keys[:-2, 1:-1], keys[2:, 1:-1], keys[1:-1, :-2], keys[1:-1, 2:])
    spans, found, numbers = [], [], []
    for side, neighbour in enumerate(sides):
        lies_across = side >= 2
        mask, values = center != neighbour, inner
        if lies_across:
            mask, values = np.ascontiguousarray(mask.T), values.T
        line, start, end = _runs(mask, values)
        found.append(values[line, start])
        near, far = (start, line), (end, line + 1)
        ordered = (near[1], near[0], far[1], far[0]) if lies_across else (*near, *far)
        spans.append(np.stack(ordered, axis=1).astype(np.int32))
        numbers.append(np.full(line.size, side, dtype=np.uint8))
    return Edges(np.concatenate(spans), np.concatenate(found), np.concatenate(numbers))


Ints = npt.NDArray[np.intp]


def _runs(mask: npt.NDArray[np.bool_], values: Codes) -> tuple[Ints, Ints, Ints]:
    """Line, first and one past the last position of the runs of equal value under the mask, along each line."""
    joins = mask[:, 1:] & mask[:, :-1] & (values[:, 1:] == values[:, :-1])
    starts, ends = mask.copy(), mask.copy()
    starts[:, 1:] &= ~joins
    ends[:, :-1] &= ~joins
    # Flat positions of a contiguous array are found several times faster than pairs of a transposed one.
    line, start = np.divmod(np.flatnonzero(starts), mask.shape[1])
    end = np.flatnonzero(ends) % mask.shape[1] + 1
    return line, start, end


def _classes(ids: npt.NDArray[np.uint16], segment_map: SegmentMap) -> Codes:
    """Class ids of strided ids, 255 = ignore; a copy."""
    if not segment_map.segments:
        return np.minimum(ids, IGNORE)
    table = np.full(max(segment_map.segments) + 1, IGNORE, dtype=np.uint16)
    table[: IGNORE + 1] = np.arange(IGNORE + 1)
    for segment in segment_map.segments.values():
        table[segment.id] = segment.class_id
    return table[np.minimum(ids, table.size - 1)]
