"""Boxes around labelled objects, from which the box networks learn.

Labels say which class a pixel has, not which object it belongs to: an object is a connected part of one class. All
chance comes from torch's generator of the CPU, so that a seeded run repeats itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch

from segstudio.core.geometry import Rect
from segstudio.imaging.contours import components_with_rects
from segstudio.nets.losses import IGNORE

Box = tuple[float, float, float, float]
"""Top, left, bottom, right in pixels, bottom and right exclusive."""

# A stray dot of a brush is nothing that could be recognised.
_SPECK_PX: Final = 8


@dataclass(frozen=True, slots=True)
class LabelledObject:
    """A connected part of class `kind` and the rectangle around it."""

    rect: Rect
    kind: int


def labelled_objects(labels: torch.Tensor) -> list[LabelledObject]:
    """The objects in `labels` (H, W), by class; class 0 is background, and parts shorter than 8 px are left out."""
    pixels = labels.cpu().numpy()
    return [
        LabelledObject(rect, kind)
        for kind in torch.unique(labels).tolist()
        if kind not in (0, IGNORE)
        for rect in components_with_rects(pixels == kind)[1]
        if max(rect.height, rect.width) >= _SPECK_PX
    ]


def drawn(objects: Sequence[LabelledObject]) -> LabelledObject:
    """One of the objects: each class is as likely as another, so that rare ones are seen."""
    kinds = sorted({item.kind for item in objects})
    kind = kinds[_below(len(kinds))]
    same = [item for item in objects if item.kind == kind]
    return same[_below(len(same))]


def box_of(rect: Rect) -> Box:
    """The same rectangle by its edges."""
    return float(rect.top), float(rect.left), float(rect.bottom), float(rect.right)


def enlarged(box: Box, factor: float, *, least: float = 0.0) -> Box:
    """The box with both sides `factor` times as long, at least `least` pixels, around the same centre."""
    top, left, bottom, right = box
    height, width = max(factor * (bottom - top), least), max(factor * (right - left), least)
    row, column = (top + bottom) / 2, (left + right) / 2
    return row - height / 2, column - width / 2, row + height / 2, column + width / 2


def jittered(box: Box, overlap: float) -> Box:
    """The box with each edge moved at random, so that the intersection over union with the old one is >= `overlap`.

    Along each axis at least ``sqrt(overlap)`` must be left. The worst case are both edges moved inwards, so each may
    move by half of what remains.
    """
    top, left, bottom, right = box
    reach = (1 - overlap**0.5) / 2
    up, west, down, east = ((2 * torch.rand(4) - 1) * reach).tolist()
    height, width = bottom - top, right - left
    return top + up * height, left + west * width, bottom + down * height, right + east * width


def _below(count: int) -> int:
    return int(torch.randint(count, ()))
