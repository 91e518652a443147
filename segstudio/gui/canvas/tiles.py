"""Square tiles of a picture at halved sizes, and a cache that forgets the least used first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from PySide6.QtGui import QImage

from segstudio.core.geometry import Rect
from segstudio.imaging.pyramid import halve_rgb

TILE_PX: Final = 256
_PICTURE_BUDGET_BYTES: Final = 128 << 20

T = TypeVar("T")


class TileKey(NamedTuple):
    """One tile: mip level (0 is full size, each next one half of it), row and column of tiles."""

    level: int
    row: int
    column: int

    @property
    def step(self) -> int:
        """Image pixels per pixel of the level, along one axis."""
        return 1 << self.level

    @property
    def rect(self) -> Rect:
        """The image pixels the full tile covers; at the right and bottom it may reach over the image."""
        span = TILE_PX << self.level
        return Rect(self.row * span, self.column * span, span, span)


def tiles_over(rect: Rect, level: int) -> Iterator[TileKey]:
    """The tiles of a level that touch a rectangle of image pixels, row by row."""
    if rect.is_empty:
        return
    span = TILE_PX << level
    for row in range(rect.top // span, (rect.bottom - 1) // span + 1):
        for column in range(rect.left // span, (rect.right - 1) // span + 1):
            yield TileKey(level, row, column)


class TileCache(Generic[T]):
    """Tiles by key, least recently used dropped first once they exceed a number of bytes."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget = budget_bytes
        self._tiles: OrderedDict[TileKey, tuple[T, int]] = OrderedDict()
        self.nbytes = 0

    def __len__(self) -> int:
        return len(self._tiles)

    def __contains__(self, key: object) -> bool:
        return key in self._tiles

    def get(self, key: TileKey, make: Callable[[TileKey], tuple[T, int]]) -> T:
        """The tile of a key; `make` gives it and its bytes where it is not held."""
        held = self._tiles.get(key)
        if held is None:
            held = make(key)
            self._tiles[key] = held
            self.nbytes += held[1]
            while self.nbytes > self._budget and len(self._tiles) > 1:
                self.nbytes -= self._tiles.popitem(last=False)[1][1]
        else:
            self._tiles.move_to_end(key)
        return held[0]

    def discard(self, rect: Rect, margin: int = 0) -> None:
        """Forgets the tiles of every level that touch a rectangle of image pixels grown by `margin` level pixels."""
        for level in {key.level for key in self._tiles}:
            grown = rect.grown(margin << level)
            top, left = max(0, grown.top), max(0, grown.left)
            for key in tiles_over(Rect(top, left, grown.bottom - top, grown.right - left), level):
                held = self._tiles.pop(key, None)
                if held is not None:
                    self.nbytes -= held[1]

    def clear(self) -> None:
        """Forgets everything."""
        self._tiles.clear()
        self.nbytes = 0


class PictureTiles:
    """The tiles of one RGB picture; smaller levels are made when first needed."""

    def __init__(self, rgb: npt.NDArray[np.uint8], budget_bytes: int = _PICTURE_BUDGET_BYTES) -> None:
        """Args: rgb: (H, W, 3) uint8."""
        self._levels = [rgb]
        self._cache: TileCache[QImage] = TileCache(budget_bytes)

    def tile(self, key: TileKey) -> QImage:
        """A tile as a 32-bit image, at most 256 x 256, cut at the edges of the picture."""
        return self._cache.get(key, self._make)

    def level(self, level: int) -> npt.NDArray[np.uint8]:
        """(ceil(H / 2^level), ceil(W / 2^level), 3) uint8."""
        while len(self._levels) <= level:
            self._levels.append(halve_rgb(self._levels[-1]))
        return self._levels[level]

    def _make(self, key: TileKey) -> tuple[QImage, int]:
        top, left = key.row * TILE_PX, key.column * TILE_PX
        part = self.level(key.level)[top : top + TILE_PX, left : left + TILE_PX]
        pixels = np.ascontiguousarray(part)
        height, width = pixels.shape[:2]
        packed = QImage(pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888)
        image = packed.convertToFormat(QImage.Format.Format_RGB32)
        return image, image.sizeInBytes()
