"""Tiles, their cache, and the label tiles of an overlay."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from PySide6.QtGui import QImage

from segstudio.core.catalog import Catalog
from segstudio.core.geometry import Rect
from segstudio.core.segmentmap import SegmentMap
from segstudio.gui.canvas.codes import fill_table
from segstudio.gui.canvas.overlay import Overlay
from segstudio.gui.canvas.tiles import TILE_PX, PictureTiles, TileCache, TileKey, tiles_over

CATALOG = Catalog.from_names(["background", "road", "car"])


def argb(image: QImage) -> npt.NDArray[np.uint32]:
    return np.frombuffer(image.constBits(), dtype=np.uint32).reshape(image.height(), image.width())


def test_tiles_cover_every_pixel_once() -> None:
    seen = np.zeros((700, 900), dtype=int)
    for key in tiles_over(Rect.of_shape(seen.shape), 0):
        seen[key.rect.clipped(700, 900).slices] += 1
    assert (seen == 1).all()


def test_only_the_tiles_a_rectangle_touches_are_named() -> None:
    assert list(tiles_over(Rect(255, 256, 2, 1), 0)) == [TileKey(0, 0, 1), TileKey(0, 1, 1)]
    assert list(tiles_over(Rect(255, 256, 2, 1), 1)) == [TileKey(1, 0, 0)]
    assert list(tiles_over(Rect.EMPTY, 0)) == []


def test_the_cache_forgets_the_least_used_first_and_keeps_to_its_budget() -> None:
    cache: TileCache[str] = TileCache(30)
    keys = [TileKey(0, 0, column) for column in range(4)]
    for key in keys[:3]:
        cache.get(key, lambda key: (str(key), 10))
    cache.get(keys[0], lambda _key: pytest.fail("held tiles are not made again"))
    cache.get(keys[3], lambda key: (str(key), 10))
    assert keys[0] in cache
    assert keys[1] not in cache
    assert cache.nbytes == 30


def test_discard_forgets_the_touched_tiles_of_every_level() -> None:
    cache: TileCache[int] = TileCache(1 << 20)
    for level in range(2):
        for key in tiles_over(Rect(0, 0, 1024, 1024), level):
            cache.get(key, lambda _key: (1, 1))
    cache.discard(Rect(300, 300, 10, 10))
    assert TileKey(0, 1, 1) not in cache
    assert TileKey(1, 0, 0) not in cache
    assert len(cache) == 16 + 4 - 2
    assert cache.nbytes == len(cache)


def test_picture_tiles_hold_the_pixels_of_the_picture() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (300, 401, 3), dtype=np.uint8)
    tile = PictureTiles(rgb).tile(TileKey(0, 1, 1))
    assert (tile.height(), tile.width()) == (300 - TILE_PX, 401 - TILE_PX)
    pixels = argb(tile)
    expected = rgb[TILE_PX:, TILE_PX:].astype(np.uint32)
    assert np.array_equal(pixels & 0xFFFFFF, expected[..., 0] << 16 | expected[..., 1] << 8 | expected[..., 2])


def test_smaller_levels_are_means_of_two_by_two() -> None:
    rgb = np.zeros((5, 6, 3), dtype=np.uint8)
    rgb[0, 0] = 200
    level = PictureTiles(rgb).level(1)
    assert level.shape == (3, 3, 3)
    assert level[0, 0].tolist() == [50, 50, 50]


@pytest.mark.parametrize("level", [0, 1, 2])
def test_fill_tiles_colour_decided_pixels(level: int) -> None:
    labels = np.random.default_rng(1).integers(0, 3, (300, 330)).astype(np.uint8)
    overlay = Overlay(SegmentMap.from_semantic(labels), CATALOG)
    tile = overlay.fill(TileKey(level, 0, 0))
    step = 1 << level
    part = labels[: TILE_PX * step : step, : TILE_PX * step : step]
    assert tile.decided is not None
    assert np.array_equal(argb(tile.decided), fill_table(CATALOG)[part])
    assert tile.proposed is None
    assert tile.ignored is None


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_borders_run_across_tiles_without_lines_at_the_seams_or_the_edge(level: int) -> None:
    size = 700
    labels = np.ones((size, size), dtype=np.uint8)
    overlay = Overlay(SegmentMap.from_semantic(labels), CATALOG)
    for key in tiles_over(Rect(0, 0, size, size), level):
        assert overlay.border(key, 2).decided is None
    split = 304
    labels[:, split:] = 2
    overlay = Overlay(SegmentMap.from_semantic(labels), CATALOG)
    found = set()
    for key in tiles_over(Rect(0, 0, size, size), level):
        image = overlay.border(key, 2).decided
        if image is not None:
            found |= {int(c) + key.column * TILE_PX for c in np.flatnonzero(argb(image).any(axis=0))}
            assert argb(image).any(axis=1).all()
    edge = -(-split >> level)
    assert found == set(range(edge - 2, edge + 2))


def test_edges_of_a_full_size_tile_leave_the_edge_of_the_image_free() -> None:
    overlay = Overlay(SegmentMap.from_semantic(np.ones((40, 50), dtype=np.uint8)), CATALOG)
    assert overlay.edges(TileKey(0, 0, 0)).codes.size == 0


def test_only_a_change_of_colour_forgets_tiles() -> None:
    overlay = Overlay(SegmentMap.from_semantic(np.ones((40, 50), dtype=np.uint8)), CATALOG)
    overlay.fill(TileKey(0, 0, 0))
    overlay.set_catalog(Catalog(reversed(list(CATALOG))))
    overlay.fill(TileKey(0, 0, 0))
    assert overlay.recoloured == 1
    overlay.set_catalog(Catalog.from_names(["background", "road"]).without(1).with_new("x"))
    overlay.set_catalog(CATALOG.without(0))
    overlay.fill(TileKey(0, 0, 0))
    assert overlay.recoloured == 2
