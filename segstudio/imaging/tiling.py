"""Cutting an image into tiles that a network can take one at a time."""

from __future__ import annotations

from dataclasses import dataclass

from segstudio.core.geometry import Rect


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile: the pixels it answers for (`core`), and those it needs to look at (`padded`, holds `core`)."""

    core: Rect
    padded: Rect


def plan_tiles(height: int, width: int, tile: int, margin: int, multiple: int = 1) -> list[Tile]:
    """Tiles whose cores cover each pixel exactly once, row by row.

    What they look at has one size but for a remainder below `multiple`: a network prepares its weights for each size.

    Args:
        height: Of the image; rectangles never leave it.
        width: Of the image.
        tile: Longest side of a core; rounded down to `multiple`, but at least that.
        margin: Pixels around a core that its result depends on; rounded up to `multiple`.
        multiple: The network's stride: every edge lies on this grid or on the image's edge, so that tiles and the
            whole image are sampled at the same places.
    """
    if min(height, width, tile, multiple) < 1 or margin < 0:
        raise ValueError(f"cannot tile {height} x {width} by {tile} with margin {margin} and multiple {multiple}")
    reach = -(-margin // multiple) * multiple
    rows, columns = _cuts(height, tile, multiple), _cuts(width, tile, multiple)
    tiles = []
    for (top, bottom), (above, below) in zip(rows, _seen(rows, height, reach, multiple), strict=True):
        for (left, right), (before, behind) in zip(columns, _seen(columns, width, reach, multiple), strict=True):
            core = Rect(top, left, bottom - top, right - left)
            tiles.append(Tile(core, Rect(above, before, below - above, behind - before)))
    return tiles


def _seen(cuts: list[tuple[int, int]], length: int, reach: int, multiple: int) -> list[tuple[int, int]]:
    """What each piece looks at: `reach` to both sides, and where the image ends, the more on the other side."""
    size = max(end - start for start, end in cuts) + 2 * reach
    seen = []
    for start, end in cuts:
        first, last = max(0, start - reach), min(length, end + reach)
        if first == 0:
            last = min(length, max(last, size))
        elif last == length:
            first = max(0, min(first, (length - size) // multiple * multiple))
        seen.append((first, last))
    return seen


def _cuts(length: int, tile: int, multiple: int) -> list[tuple[int, int]]:
    """Even pieces instead of full ones and a sliver: a sliver costs as much as its margins."""
    longest = max(multiple, tile // multiple * multiple)
    pieces = -(-length // longest)
    step = -(-length // (pieces * multiple)) * multiple
    return [(start, min(start + step, length)) for start in range(0, length, step)]
