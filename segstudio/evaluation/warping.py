"""Warping of one binary labelling towards another without a change of topology (Jain et al. 2010, section 2)."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from segstudio.core.metrics import check_sizes

Cells = npt.NDArray[np.bool_]

# The eight neighbours in a ring from the right, anticlockwise: even places touch by an edge, odd ones by a corner.
_RING: Final = ((0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1))
_SPLIT_RADIUS_PX: Final = 20


def _simple_points() -> npt.NDArray[np.bool_]:
    """(256,) bool: by the neighbours inside (bit k = `_RING[k]`), whether flipping the centre leaves topology as it is.

    True where the connectivity number for 4-connected cells in 8-connected membranes is 1 (Yokoi et al. 1975): one
    cell and one membrane touch the centre, seen from its eight neighbours.
    """
    bits = np.arange(256)[:, None] >> np.arange(8) & 1
    edges, corners, next_edges = bits[:, 0::2], bits[:, 1::2], np.roll(bits[:, 0::2], -1, axis=1)
    return np.asarray((edges - edges * corners * next_edges).sum(axis=1) == 1)


_SIMPLE: Final = _simple_points()


def warped(source: Cells, target: Cells) -> Cells:
    """(H, W) bool: `source` with simple pixels flipped towards `target` until none that differs is simple.

    Cells and holes of the result are those of the source, each moved as near to the target as its borders allow. What
    differs from the target after that is topology: splits, mergers, cells or holes too many or too few. Which pixels
    of a tie stay different depends on the order of flips; here every other pixel of every other row at once, in four
    turns, as pixels of one turn are no neighbours. Outside the image there is membrane, as in the challenge's own tool.

    Args:
        source: (H, W) bool, True inside cells.
        target: (H, W) bool, True inside cells.

    Raises:
        UserError: The sizes differ.
    """
    check_sizes(source, target)
    fenced = np.pad(source, 1)
    width = fenced.shape[1]
    now, wanted = fenced.ravel(), np.pad(target, 1).ravel()
    steps = [row * width + column for row, column in _RING]
    waiting = np.flatnonzero(now != wanted)
    while waiting.size:
        before = waiting.size
        for row in (0, 1):
            for column in (0, 1):
                turn = waiting[(waiting // width % 2 == row) & (waiting % width % 2 == column)]
                code = np.zeros(turn.size, dtype=np.uint8)
                for bit, step in enumerate(steps):
                    code |= now[turn + step].view(np.uint8) << np.uint8(bit)
                flipped = turn[_SIMPLE[code]]
                now[flipped] = wanted[flipped]
        waiting = waiting[now[waiting] != wanted[waiting]]
        if waiting.size == before:
            break
    return fenced[1:-1, 1:-1].copy()


def split_and_merge_pixels(moved: Cells, target: Cells) -> tuple[int, int]:
    """(splits, mergers): pixels where a warped labelling differs from the target that split a cell or join several.

    A pixel splits where the target takes it away and its cell falls apart without it, seen in a window of 20 pixels
    around it, as the challenge looked at it; it merges where the target adds it and it touches two cells or more.
    """
    check_sizes(moved, target)
    cells = np.pad(moved, _SPLIT_RADIUS_PX).view(np.uint8)
    _, parts = cv2.connectedComponents(cells, connectivity=4)
    places = np.argwhere(moved != target) + _SPLIT_RADIUS_PX
    touched = np.stack([parts[places[:, 0] + row, places[:, 1] + column] for row, column in _RING[0::2]], axis=1)
    inside = cells[places[:, 0], places[:, 1]] > 0
    highest = touched.max(axis=1, initial=0)
    several = ((touched > 0) & (touched != highest[:, None])).any(axis=1)
    between = places[inside & (np.count_nonzero(touched, axis=1) > 1)]
    splits = sum(_splits(cells, int(row), int(column)) for row, column in between)
    return splits, int(np.count_nonzero(several & ~inside))


def _splits(cells: npt.NDArray[np.uint8], row: int, column: int) -> bool:
    """Whether the cell of a pixel falls apart without it, in the window around it."""
    centre = _SPLIT_RADIUS_PX
    window = cells[row - centre : row + centre + 1, column - centre : column + centre + 1].copy()
    window[centre, centre] = 0
    _, parts = cv2.connectedComponents(window, connectivity=4)
    return len({int(parts[centre + r, centre + c]) for r, c in _RING[0::2]} - {0}) > 1
