"""Networks that look at one box of an image at a time, on a grid of their own size, and what joins boxes again."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F

from segstudio.core.geometry import Rect
from segstudio.nets.base import SegmentationNet


class BoxNet(SegmentationNet):
    """A network of two steps: `look` at the image once, then `box_scores` for any boxes in it.

    Without a box it takes the image as one; the predictor proposes more of them and joins their scores.

    Attributes:
        side: Cells per side of a box's score grid.
        one_class: Whether each channel of a box's scores answers for itself alone: "if an object of this class is
            what the box holds, which pixels are it?" Which class it is, a person or a detector says.
        threshold: The probability from which on a cell counts as part of the object, where `one_class`.
        enlargement: By how much a box that was drawn tightly around an object is to grow.
    """

    side: int = 224
    one_class: bool = False
    threshold: float = 0.5
    enlargement: float = 1.0

    @abstractmethod
    def look(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What `box_scores` needs to know of the image `x` (1, c, H, W): the heavy step, once for each image."""

    @abstractmethod
    def box_scores(self, seen: tuple[torch.Tensor, ...], boxes: torch.Tensor) -> torch.Tensor:
        """Logits (B, C, side, side) float32, each grid spread over its box.

        `boxes` is (B, 4) float32, at least one: top, left, bottom, right in pixels of the image, right and bottom
        exclusive; a box may reach beyond the image.
        """

    def native(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, C, side, side) float32 of whole images."""
        height, width = x.shape[-2:]
        whole = torch.tensor([[0.0, 0.0, height, width]], device=x.device)
        return torch.cat([self.box_scores(self.look(image), whole) for image in torch.split(x, 1)])

    def full_size(self, x: torch.Tensor) -> torch.Tensor:
        """`native` spread over the image."""
        return F.interpolate(self.native(x), size=x.shape[-2:], mode="bilinear", align_corners=False)


def whole_pixels(box: Sequence[float]) -> Rect:
    """The pixels nearest to a box (top, left, bottom, right), at least one."""
    top, left, bottom, right = (math.floor(edge + 0.5) for edge in box)
    return Rect(top, left, max(1, bottom - top), max(1, right - left))


def cut(x: torch.Tensor, rect: Rect, *, fill: float = 0.0) -> torch.Tensor:
    """The pixels (..., rect.height, rect.width) of `x` (..., H, W) in a rectangle; `fill` where it lies outside."""
    out = x.new_full((*x.shape[:-2], rect.height, rect.width), fill)
    inner = rect.clipped(*x.shape[-2:])
    if not inner.is_empty:
        out[(..., *_seen_from(inner, rect).slices)] = x[(..., *inner.slices)]
    return out


def sampled(
    maps: torch.Tensor, boxes: torch.Tensor, side: int, *, mode: str = "bilinear", padding: str = "border"
) -> torch.Tensor:
    """Every box of `maps` (1, K, h, w) resampled at the centres of its own cells: (B, K, side, side).

    `boxes` is (B, 4): top, left, bottom, right as fractions of the image that the maps cover. Beyond the image the
    border goes on, or there are zeros where `padding` is "zeros".
    """
    steps = (torch.arange(side, device=maps.device) + 0.5) / side
    top, left, bottom, right = boxes.to(maps.dtype).unsqueeze(-1).unbind(1)
    rows, columns = top + steps * (bottom - top), left + steps * (right - left)
    # All boxes lie in one tall grid, so that the maps are not repeated for each.
    grid = _grid(rows, columns).view(1, -1, side, 2)
    out = F.grid_sample(maps, grid, mode=mode, padding_mode=padding, align_corners=False)
    return out.view(maps.shape[1], -1, side, side).transpose(0, 1)


def aggregate(
    scores: torch.Tensor, boxes: torch.Tensor, rect: Rect, *, reduce: Literal["max", "mean"] = "max"
) -> torch.Tensor:
    """Logits (C, rect.height, rect.width) float32 of one region of an image, joined from the boxes that cover it.

    `scores` is (B, C, s, s), each grid spread bilinearly over its box of `boxes` (B, 4). A pixel, taken at its
    centre, gets the maximum or the mean of its boxes, and 0 outside all of them (Noh, Hong, Han, ICCV 2015, section
    4.2). Boxes that do not reach a pixel have no say in it: their zero does not win over negative scores.
    """
    size = (scores.shape[1], rect.height, rect.width)
    joined = scores.new_full(size, -math.inf if reduce == "max" else 0.0)
    count = scores.new_zeros(size[1:])
    for grid, box in zip(scores, boxes.tolist(), strict=True):
        inner = _covered(box).intersection(rect)
        if inner.is_empty:
            continue
        place = _seen_from(inner, rect).slices
        part, spread = joined[(slice(None), *place)], _spread(grid, box, inner)
        joined[(slice(None), *place)] = torch.maximum(part, spread) if reduce == "max" else part + spread
        count[place] += 1
    if reduce == "mean":
        return joined / count.clamp(min=1)
    return joined.where(count > 0, 0.0)


def _spread(grid: torch.Tensor, box: Sequence[float], rect: Rect) -> torch.Tensor:
    """(C, rect.height, rect.width): the part of a grid (C, s, s), spread over `box`, that lies in `rect`."""
    top, left, bottom, right = box
    rows = (torch.arange(rect.top, rect.bottom, device=grid.device) + 0.5 - top) / (bottom - top)
    columns = (torch.arange(rect.left, rect.right, device=grid.device) + 0.5 - left) / (right - left)
    where = _grid(rows, columns).unsqueeze(0).to(grid.dtype)
    return F.grid_sample(grid.unsqueeze(0), where, padding_mode="border", align_corners=False)[0]


def _grid(rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """(..., h, w, 2) as `grid_sample` wants it, (x, y) between -1 and 1, for fractions of a map's sides.

    `rows` is (..., h), `columns` (..., w).
    """
    shape = (*rows.shape, columns.shape[-1])
    return 2 * torch.stack((columns.unsqueeze(-2).expand(shape), rows.unsqueeze(-1).expand(shape)), dim=-1) - 1


def _covered(box: Sequence[float]) -> Rect:
    """The pixels whose centres lie in a box."""
    top, left, bottom, right = (math.ceil(edge - 0.5) for edge in box)
    return Rect(top, left, bottom - top, right - left)


def _seen_from(inner: Rect, outer: Rect) -> Rect:
    return Rect(inner.top - outer.top, inner.left - outer.left, inner.height, inner.width)
