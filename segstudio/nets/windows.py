"""Windows of an image that are likely to hold an object, for networks that look at one box at a time."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

# DeconvNet's release leaves out smaller boxes.
_SMALLEST_PX: Final = 112
# Objects are looked for down to this share of an image's short side, so that the number of windows stays bounded.
_SMALLEST_SHARE: Final = 0.2
_FEWEST_PX: Final = 4
_ASPECTS: Final = (0.5, 0.71, 1.0, 1.41, 2.0)
_SIZE_STEP: Final = 2**0.5
_SHIFT: Final = 1 / 6
_OVERLAP: Final = 0.5
_REFINED: Final = 100
_MOVES: Final = np.concatenate((np.zeros((1, 4)), np.eye(4), -np.eye(4))).astype(np.float32)
"""Which edges of a window to try to move: none, one of them one way, or the other."""
_STEPS: Final = (1 / 6, 1 / 6, 1 / 12, 1 / 12, 1 / 24, 1 / 24, 1 / 24)
_WORKING_SIDE_PX: Final = 500
# Edge Boxes' exponent: larger windows hold more edges by themselves.
_PERIMETER_POWER: Final = 1.5
_SHORTEST_PX: Final = 8
_MOST_SEGMENTS: Final = 2000
_EDGE_SHARE: Final = 0.1
_FAINTEST_EDGE: Final = 20.0

_Windows = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Segments:
    """Edge segments: their pixels (h, w) uint8, the box around each (k, 4), and its number of pixels (k,)."""

    mask: npt.NDArray[np.uint8]
    boxes: _Windows
    lengths: npt.NDArray[np.float32]


def propose_windows(image: npt.NDArray[np.uint8], count: int = 50) -> npt.NDArray[np.float32]:
    """(n, 4) float32, 1 <= n <= `count`: top, left, bottom, right in pixels, the whole image first, then the best.

    `image` is (H, W, 3) uint8 RGB. A window is good where it encloses whole edge segments, cuts few, and has them
    near its border: the idea of Edge Boxes (Zitnick, Dollar: Edge Boxes: Locating Object Proposals from Edges. ECCV
    2014, section 3), from which DeconvNet takes its boxes. This is a simpler relative that finds less. Edges come
    from Canny's detector instead of learnt structured forests, and all count the same; segments are edges between
    junctions instead of groups of like orientation with affinities; and what a window cuts counts against it instead
    of not at all.

    Windows have sides of at least 112 px, as in DeconvNet's release, or half the short side of a small image. Images
    longer than 500 px are searched on a reduced copy. The same image always gives the same windows.
    """
    height, width = image.shape[:2]
    search = _Search(image)
    windows = search.best(_sliding(height, width, search.least), _REFINED)
    for step in _STEPS:
        windows = search.moved(windows, step)
    whole = np.array([[0, 0, height, width]], np.float32)
    return _without_doubles(np.concatenate((whole, search.best(windows, count))), max(1, count))


class _Search:
    """Windows of one image, judged by the edges in it.

    Attributes:
        least: The shortest side in pixels that a window may have.
    """

    def __init__(self, image: npt.NDArray[np.uint8]) -> None:
        height, width = image.shape[:2]
        self.least = min(max(_SMALLEST_PX, min(height, width) * _SMALLEST_SHARE), min(height, width) / 2)
        self._limit = np.array((height, width, height, width), np.float32)
        self._factor = min(1.0, _WORKING_SIDE_PX / max(height, width))
        self._segments = _segments(image, self._factor)

    def best(self, windows: _Windows, count: int) -> _Windows:
        """The `count` best windows, best first; none that encloses no segment, none twice."""
        scores = self._judged(windows)
        order = np.argsort(-scores, kind="stable")
        return _without_doubles(windows[order[scores[order] > -np.inf]], count)

    def moved(self, windows: _Windows, step: float) -> _Windows:
        """Each window (n, 4) with one edge moved by `step` of its length, where that makes it better."""
        sides = np.tile(windows[:, 2:] - windows[:, :2], 2)
        tried = np.round(windows[:, None] + _MOVES * sides[:, None] * step).clip(0, self._limit)
        scores = self._judged(tried.reshape(-1, 4)).reshape(tried.shape[:2])
        scores[(tried[..., 2:] - tried[..., :2]).min(axis=2) < self.least - 1] = -np.inf
        return np.asarray(tried[np.arange(len(tried)), scores.argmax(axis=1)], np.float32)

    def _judged(self, windows: _Windows) -> npt.NDArray[np.float64]:
        return _objectness(self._segments, windows * self._factor)


def _sliding(height: int, width: int, least: float) -> _Windows:
    """(n, 4): windows of all sizes from `least` on and of all aspects inside the image."""
    size = least
    windows = [np.empty((0, 4), np.float32)]
    while _FEWEST_PX <= size < max(height, width):
        for aspect in _ASPECTS:
            tall, wide = round(size * aspect**0.5), round(size / aspect**0.5)
            if least <= min(tall, wide) + 1 and tall <= height and wide <= width:
                windows.append(_places(height, width, tall, wide))
        size *= _SIZE_STEP
    return np.concatenate(windows)


def _places(height: int, width: int, tall: int, wide: int) -> _Windows:
    """(n, 4): every place of a window of one size, evenly spaced from edge to edge, in whole pixels."""
    tops, lefts = (
        np.linspace(0, room, int(np.ceil(room / (_SHIFT * side))) + 1).round()
        for room, side in ((height - tall, tall), (width - wide, wide))
    )
    corners = np.array(list(itertools.product(tops, lefts)), np.float32)
    return np.concatenate((corners, corners + np.array((tall, wide), np.float32)), axis=1)


def _segments(image: npt.NDArray[np.uint8], factor: float) -> _Segments:
    """The longest edge segments of the image, reduced by `factor`."""
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA) if factor < 1 else image
    small = cv2.GaussianBlur(small, (5, 5), 1.0)
    across, down = (np.abs(cv2.Sobel(small, cv2.CV_16S, dx, 1 - dx)) for dx in (1, 0))
    # What counts as an edge follows from the image, or there would be none in a dull one.
    high = max(_FAINTEST_EDGE, float(np.quantile((across + down).max(axis=2), 1 - _EDGE_SHARE)))
    edges = (cv2.Canny(small, high / 2, high) > 0).astype(np.uint8)
    # An edge pixel with more than two neighbours is a junction: without it each branch is a segment of its own.
    edges[cv2.boxFilter(edges, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT) > 3] = 0
    _, owner, stats, _ = cv2.connectedComponentsWithStats(edges, connectivity=8, ltype=cv2.CV_32S)
    length = stats[:, cv2.CC_STAT_AREA].astype(np.float32)
    length[0] = 0
    longest = np.argsort(-length, kind="stable")[:_MOST_SEGMENTS]
    longest = longest[length[longest] >= _SHORTEST_PX]
    left, top, wide, tall = stats[longest, :4].astype(np.float32).T
    boxes = np.stack((top, left, top + tall, left + wide), axis=1)
    return _Segments(np.isin(owner, longest).astype(np.uint8), boxes, length[longest])


def _objectness(segments: _Segments, windows: _Windows) -> npt.NDArray[np.float64]:
    """(n,): edge pixels of enclosed segments less those of cut ones and those in the middle, by perimeter.

    The middle is half as wide and half as tall as the window: edges there belong to something smaller. A window that
    encloses no segment has -inf.
    """
    sides = np.tile(windows[:, 2:] - windows[:, :2], 2)
    middles = windows + sides * np.array((0.25, 0.25, -0.25, -0.25), np.float32)
    enclosed = _enclosed(segments, windows)
    cut = _edge_pixels(segments.mask, windows) - enclosed
    perimeter = sides.sum(axis=1, dtype=np.float64)
    scores = (enclosed - cut - _edge_pixels(segments.mask, middles)) / perimeter**_PERIMETER_POWER
    return np.where(enclosed > 0, scores, -np.inf)


def _enclosed(segments: _Segments, windows: _Windows) -> npt.NDArray[np.float64]:
    """(n,): pixels of the segments that lie wholly inside each window."""
    top, left, bottom, right = np.round(windows).T[:, :, None]
    first_row, first_column, last_row, last_column = segments.boxes.T
    whole = first_row >= top
    whole &= first_column >= left
    whole &= last_row <= bottom
    whole &= last_column <= right
    return np.asarray(whole @ segments.lengths, np.float64)


def _edge_pixels(mask: npt.NDArray[np.uint8], windows: _Windows) -> npt.NDArray[np.float64]:
    """(n,): pixels of the mask inside each window, its edges rounded to whole pixels."""
    total = cv2.integral(mask)
    top, left, bottom, right = np.round(windows).astype(np.int64).T
    bottom, right = np.minimum(bottom, mask.shape[0]), np.minimum(right, mask.shape[1])
    return np.asarray(total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left], np.float64)


def _without_doubles(windows: _Windows, count: int) -> _Windows:
    """The first `count` windows (n, 4), without those that one before them overlaps by more than half."""
    chosen = [windows[:0]]
    while len(windows) and len(chosen) <= count:
        chosen.append(windows[:1])
        windows = windows[_overlaps(windows[0], windows) <= _OVERLAP]
    return np.concatenate(chosen)


def _overlaps(window: _Windows, windows: _Windows) -> _Windows:
    """(n,): intersection over union of one window (4,) with windows (n, 4)."""
    sides = np.minimum(window[2:], windows[:, 2:]) - np.maximum(window[:2], windows[:, :2])
    common = sides.clip(min=0).prod(axis=1)
    areas = (windows[:, 2:] - windows[:, :2]).prod(axis=1)
    return np.asarray(common / ((window[2:] - window[:2]).prod() + areas - common), np.float32)
