"""How an image becomes class probabilities, one rectangle at a time: in tiles, by windows, or by several networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import torch

from segstudio.core.errors import Cancelled
from segstudio.core.geometry import Rect
from segstudio.imaging.tiling import Tile
from segstudio.nets.base import SegmentationNet
from segstudio.nets.blocks import WholeImageMean
from segstudio.nets.box_net import BoxNet, aggregate
from segstudio.nets.windows import propose_windows

Ask = Callable[[], bool]
Image = npt.NDArray[np.uint8]
_BOXES_AT_ONCE: Final = 4
_MOST_BOXES: Final = 50
# All boxes' scores are kept until the image is done.
_SCORE_BYTES: Final = 1 << 29


class Scorer(Protocol):
    """Gives the probabilities of an image's tiles, after it has looked at the image as a whole."""

    def open(self, image: Image, tiles: Sequence[Tile], cancelled: Ask) -> None:
        """Prepares for `tiles` of `image` (H, W, 3) uint8 RGB."""

    def probabilities(self, image: Image, tile: Tile) -> torch.Tensor:
        """(C, h, w) float32 that sums to 1 over C, for the core of the tile."""
        ...


class TileScorer:
    """Scores each tile by itself, with the context around it; means over an image are taken of all of it first."""

    def __init__(self, net: SegmentationNet, place: torch.device) -> None:
        self._net = net
        self._place = place
        # In order of execution, as far as the order of definition tells: a later layer's mean depends on earlier ones.
        self._means = [module for module in net.modules() if isinstance(module, WholeImageMean)]

    def open(self, image: Image, tiles: Sequence[Tile], cancelled: Ask) -> None:
        """One pass over the tiles for each layer that needs a mean of the image, if there are several tiles."""
        for layer in self._means:
            layer.forget()
        if len(tiles) < 2:
            return
        for layer in self._means:
            for tile in tiles:
                if cancelled():
                    raise Cancelled
                with layer.gathering(_share(tile)):
                    self._logits(image, tile)
            layer.settle()

    def probabilities(self, image: Image, tile: Tile) -> torch.Tensor:
        """(C, h, w) of the tile's core."""
        logits = self._logits(image, tile)
        if not self._net.context:
            top, left = tile.core.top - tile.padded.top, tile.core.left - tile.padded.left
            logits = logits[:, top : top + tile.core.height, left : left + tile.core.width]
        return logits.float().softmax(0)

    def _logits(self, image: Image, tile: Tile) -> torch.Tensor:
        net = self._net
        pixels = _surrounded(image, tile.core, net.context) if net.context else image[tile.padded.slices]
        x = net.preprocess(pixels).to(self._place).contiguous(memory_format=torch.channels_last)
        out: torch.Tensor = net.native(x) if net.context else net(x)
        return out[0]


class WindowScorer:
    """Scores windows of the image that may hold an object, and joins them by the largest score."""

    def __init__(self, net: BoxNet, place: torch.device) -> None:
        self._net = net
        self._place = place
        self._boxes = torch.empty(0, 4)
        self._scores = torch.empty(0)

    def open(self, image: Image, tiles: Sequence[Tile], cancelled: Ask) -> None:
        """Looks once, proposes windows, and scores them."""
        seen = self.look(image)
        affordable = _SCORE_BYTES // (4 * self._net.classes * self._net.side**2)
        self._boxes = torch.from_numpy(propose_windows(image, min(_MOST_BOXES, affordable)))
        parts = []
        for boxes in self._boxes.split(_BOXES_AT_ONCE):  # type: ignore[no-untyped-call]
            if cancelled():
                raise Cancelled
            parts.append(self._net.box_scores(seen, boxes.to(self._place)).float().cpu())
        self._scores = torch.cat(parts)

    def look(self, image: Image) -> tuple[torch.Tensor, ...]:
        """What the network needs to know of the whole image."""
        return self._net.look(self._net.preprocess(image).to(self._place))

    def probabilities(self, image: Image, tile: Tile) -> torch.Tensor:
        """(C, h, w) of the tile's core."""
        return aggregate(self._scores, self._boxes, tile.core).softmax(0)


class MeanScorer:
    """The mean of several networks' probabilities."""

    def __init__(self, members: Sequence[Scorer]) -> None:
        self._members = tuple(members)

    def open(self, image: Image, tiles: Sequence[Tile], cancelled: Ask) -> None:
        """Prepares each member."""
        for member in self._members:
            member.open(image, tiles, cancelled)

    def probabilities(self, image: Image, tile: Tile) -> torch.Tensor:
        """(C, h, w) of the tile's core."""
        total, *others = (member.probabilities(image, tile) for member in self._members)
        for other in others:
            total = total + other.to(total.device)
        return total / len(self._members)


def members_of(net: SegmentationNet) -> tuple[SegmentationNet, ...]:
    """The networks whose answers `net` averages; itself alone where it is one."""
    members: tuple[SegmentationNet, ...] = getattr(net, "members", (net,))
    return members


def scorer_for(net: SegmentationNet, place: torch.device) -> Scorer:
    """How `net`, which lies on `place`, wants its images scored."""
    scorers: list[Scorer] = [
        WindowScorer(member, place) if isinstance(member, BoxNet) else TileScorer(member, place)
        for member in members_of(net)
    ]
    return scorers[0] if len(scorers) == 1 else MeanScorer(scorers)


def _share(tile: Tile) -> tuple[float, float, float, float]:
    """Where the core lies in the padded tile: top, bottom, left, right as fractions."""
    core, padded = tile.core, tile.padded
    return (
        (core.top - padded.top) / padded.height,
        (core.bottom - padded.top) / padded.height,
        (core.left - padded.left) / padded.width,
        (core.right - padded.left) / padded.width,
    )


def _surrounded(image: Image, core: Rect, width: int) -> Image:
    """The core with `width` px around it, mirrored where the image ends (U-Net's overlap-tile strategy, figure 2)."""
    rows = _mirrored_places(core.top - width, core.bottom + width, image.shape[0])
    columns = _mirrored_places(core.left - width, core.right + width, image.shape[1])
    return image[rows[:, None], columns]


def _mirrored_places(begin: int, end: int, length: int) -> npt.NDArray[np.intp]:
    places = np.arange(begin, end) % max(1, 2 * (length - 1))
    return np.minimum(places, 2 * (length - 1) - places) if length > 1 else np.zeros(end - begin, np.intp)
