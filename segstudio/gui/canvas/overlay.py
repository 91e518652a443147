"""Labels as tiles to draw: fills, borders and the patterns that tell a proposal and ignore from a decided class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
from PySide6.QtGui import QImage

from segstudio.core.catalog import IGNORE, Catalog
from segstudio.core.geometry import Rect
from segstudio.core.segmentmap import SegmentMap
from segstudio.gui.canvas.codes import (
    PROPOSED,
    Codes,
    Edges,
    Keys,
    border_edges,
    fill_table,
    inner_border,
    line_table,
    shown,
)
from segstudio.gui.canvas.tiles import TileCache, TileKey

_FILL_BUDGET_BYTES: Final = 96 << 20
_BORDER_BUDGET_BYTES: Final = 48 << 20
BORDER_MARGIN: Final = 2
_Int = TypeVar("_Int", bound=np.integer[Any])
_IGNORE_ARGB: Final = np.uint32(0xFFFFFFFF)


@dataclass(frozen=True, slots=True)
class FillTile:
    """The areas of a tile, one image for each way of showing them; None where the tile has none."""

    decided: QImage | None
    proposed: QImage | None
    ignored: QImage | None


@dataclass(frozen=True, slots=True)
class BorderTile:
    """The borders of a tile as pixels of its level; None where the tile has none."""

    decided: QImage | None
    proposed: QImage | None


class Overlay:
    """The label tiles of one image; made when drawn, forgotten when their pixels change.

    Attributes:
        recoloured: Tiles coloured so far, counted so that tests and benchmarks can tell what an edit costs.
    """

    def __init__(self, segment_map: SegmentMap, catalog: Catalog) -> None:
        self._map = segment_map
        self._proposal: npt.NDArray[np.uint8] | None = None
        self._fills: TileCache[FillTile] = TileCache(_FILL_BUDGET_BYTES)
        self._thin: TileCache[BorderTile] = TileCache(_BORDER_BUDGET_BYTES)
        self._thick: TileCache[BorderTile] = TileCache(_BORDER_BUDGET_BYTES)
        self._edges: TileCache[Edges] = TileCache(_BORDER_BUDGET_BYTES)
        self._table, self._lines = fill_table(catalog), line_table(catalog)
        self.recoloured = 0

    @property
    def proposal(self) -> npt.NDArray[np.uint8] | None:
        """(H, W) uint8 class ids of the proposal on show, or None."""
        return self._proposal

    def set_proposal(self, labels: npt.NDArray[np.uint8] | None) -> None:
        """Shows another proposal, or none."""
        self._proposal = labels
        self._clear()

    def set_catalog(self, catalog: Catalog) -> None:
        """Colours by another catalog; tiles are made anew as they are drawn, and only if a colour changed."""
        table, lines = fill_table(catalog), line_table(catalog)
        if not (np.array_equal(table, self._table) and np.array_equal(lines, self._lines)):
            self._table, self._lines = table, lines
            self._clear()

    def invalidate(self, rect: Rect) -> None:
        """Forgets what shows the pixels of `rect`, borders around it included."""
        self._fills.discard(rect)
        self._edges.discard(rect, 1)
        self._thin.discard(rect, BORDER_MARGIN)
        self._thick.discard(rect, BORDER_MARGIN)

    def fill(self, key: TileKey) -> FillTile:
        """The areas of a tile."""
        return self._fills.get(key, self._make_fill)

    def border(self, key: TileKey, width: int) -> BorderTile:
        """The borders of a tile, 1 or 2 level pixels inside each region."""
        return self._thin.get(key, self._make_thin) if width == 1 else self._thick.get(key, self._make_thick)

    def edges(self, key: TileKey) -> Edges:
        """The borders of a full-size tile as straight runs, for drawing at any zoom."""
        return self._edges.get(key, self._make_edges)

    def line_colors(self, codes: Codes) -> npt.NDArray[np.uint32]:
        """Premultiplied ARGB of the borders of each code, 0 where it is not shown."""
        return self._lines[codes]

    def _clear(self) -> None:
        for cache in (self._fills, self._thin, self._thick, self._edges):
            cache.clear()

    def _make_fill(self, key: TileKey) -> tuple[FillTile, int]:
        self.recoloured += 1
        rect = key.rect.clipped(*self._map.shape)
        if self._proposal is None and self._untouched(rect):
            return FillTile(None, None, None), 64
        codes = shown(self._map, self._proposal, rect, key.step).codes
        colors = self._table[codes]
        proposed, ignored = codes >= PROPOSED, codes == IGNORE
        any_proposed, any_ignored = bool(proposed.any()), bool(ignored.any())
        decided = np.where(proposed, np.uint32(0), colors) if any_proposed else colors
        tile = FillTile(
            decided=argb_image(decided),
            proposed=argb_image(np.where(proposed, colors, np.uint32(0))) if any_proposed else None,
            ignored=argb_image(np.where(ignored, _IGNORE_ARGB, np.uint32(0))) if any_ignored else None,
        )
        return tile, 4 * codes.size * sum(i is not None for i in (tile.decided, tile.proposed, tile.ignored)) + 64

    def _untouched(self, rect: Rect) -> bool:
        """True where nobody labelled anything: a new image is drawn without a pass over its pixels' colours."""
        part = rect.slices
        return not self._map.decided[part].any() and bool((self._map.ids[part] == IGNORE).all())

    def _make_thin(self, key: TileKey) -> tuple[BorderTile, int]:
        return self._make_border(key, 1)

    def _make_thick(self, key: TileKey) -> tuple[BorderTile, int]:
        return self._make_border(key, 2)

    def _make_border(self, key: TileKey, width: int) -> tuple[BorderTile, int]:
        self.recoloured += 1
        codes, keys = self._with_margin(key, BORDER_MARGIN)
        inner = codes[BORDER_MARGIN:-BORDER_MARGIN, BORDER_MARGIN:-BORDER_MARGIN]
        border = inner_border(keys, BORDER_MARGIN, width)
        if not border.any():
            return BorderTile(None, None), 64
        colors = np.where(border, self._lines[inner], np.uint32(0))
        proposed = inner >= PROPOSED
        tile = BorderTile(
            decided=argb_image(np.where(proposed, np.uint32(0), colors)),
            proposed=argb_image(np.where(proposed, colors, np.uint32(0))),
        )
        return tile, 4 * inner.size * sum(i is not None for i in (tile.decided, tile.proposed)) + 64

    def _make_edges(self, key: TileKey) -> tuple[Edges, int]:
        self.recoloured += 1
        edges = border_edges(*self._with_margin(key, 1))
        visible = self._lines[edges.codes] != 0
        edges = Edges(edges.spans[visible], edges.codes[visible], edges.sides[visible])
        return edges, edges.nbytes + 64

    def _with_margin(self, key: TileKey, margin: int) -> tuple[Codes, Keys]:
        """Codes and keys of a tile and `margin` level pixels around it; beyond the image its edge repeats."""
        rect = key.rect.clipped(*self._map.shape)
        grown = rect.grown(margin * key.step)
        # Whole steps only, so that the samples stay those of the tile.
        top = grown.top if grown.top >= 0 else grown.top % key.step
        left = grown.left if grown.left >= 0 else grown.left % key.step
        inside = Rect(top, left, grown.bottom - top, grown.right - left).clipped(*self._map.shape)
        codes, keys = shown(self._map, self._proposal, inside, key.step)
        before = (margin - (rect.top - inside.top) // key.step, margin - (rect.left - inside.left) // key.step)
        height, width = -(-rect.height // key.step), -(-rect.width // key.step)
        wanted = (height + 2 * margin, width + 2 * margin)
        pads = [(b, max(0, w - b - n)) for b, w, n in zip(before, wanted, codes.shape, strict=True)]
        cut = (slice(0, wanted[0]), slice(0, wanted[1]))
        if any(p != (0, 0) for p in pads):
            same = keys is codes
            codes = _edge_padded(codes, pads)
            keys = codes if same else _edge_padded(keys, pads)
        return codes[cut], keys[cut]


def _edge_padded(values: npt.NDArray[_Int], pads: list[tuple[int, int]]) -> npt.NDArray[_Int]:
    return np.pad(values, pads, mode="edge")


def argb_image(argb: npt.NDArray[np.uint32]) -> QImage | None:
    """A premultiplied 32-bit image of its own, None where nothing is in it."""
    if not argb.any():
        return None
    height, width = argb.shape
    pixels = np.ascontiguousarray(argb)
    return QImage(pixels.data, width, height, 4 * width, QImage.Format.Format_ARGB32_Premultiplied).copy()


def pattern(kind: str, ratio: float) -> QImage:
    """A texture in device pixels.

    "proposed" and "dash" carry alpha only (what they are laid over keeps its colour); "ignored" has its own two tones,
    so that it reads on bright and on dark images alike.
    """
    period = max(8, 4 * round(2 * ratio))
    y, x = np.mgrid[: 3 * period, : 3 * period]
    if kind == "dash":
        # A slope of its own: a border level, upright or diagonal is cut into dashes, never lost between two stripes.
        argb = np.where((2 * x + 3 * y) % (3 * period) < 1.9 * period, np.uint32(0xFFFFFFFF), np.uint32(0))
    elif kind == "proposed":
        argb = np.where((x + y) % period < period * 0.35, np.uint32(0xFFFFFFFF), np.uint32(0x40404040))
    else:
        phase = (x - y) % period
        argb = np.where(phase < period * 0.25, np.uint32(0xE0E0E0E0), np.uint32(0x40000000))
        argb = np.where((phase >= period * 0.25) & (phase < period * 0.5), np.uint32(0xE0181818), argb)
    image = argb_image(argb.astype(np.uint32))
    assert image is not None
    return image
