"""What FCN's border of 100 zeros costs nothing for: layers are computed where the image reaches, and known elsewhere.

The release pads the image by 100 px (section 2.1 of the release's networks), which more than doubles the work on an
image of 500 x 375 and does five times it on a training crop. Beyond the reach of the image a layer's answer is the same
for every image: one value a channel, or near the outer edge a pattern of a few cells. A small blank image shows both.
"""

from __future__ import annotations

from typing import Final, Protocol

import torch
import torch.nn.functional as F
from torch import nn

from segstudio.nets.backbones.vgg16 import convolutions_of

# The image begins here: conv1_1 pads by one itself.
_BORDER: Final = 99
_BLOCKS: Final = 4
_FIRST_WANTED: Final = 3
_FIRST_ROW: Final = 96
_PERIOD: Final = 2**_BLOCKS
# Cells of the last pool in the blank image: three that the edge reaches, one in the middle, four at the other edge, and
# two to spare.
_BLANK_CELLS: Final = 10
_MIDDLE: Final = 4


class Pooled(Protocol):
    """VGG-16's blocks, each followed by the same pool."""

    pool: nn.MaxPool2d

    def block(self, x: torch.Tensor, number: int) -> torch.Tensor:
        """The convolutions of one block."""
        ...


def padded_pools(net: Pooled, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Pools 3 and 4 of `x` (N, 3, H, W) with 100 px of zeros around it, exactly as if all of it were computed.

    Pool k is (N, C, ceil((H + 198) / 2 ** k), ceil((W + 198) / 2 ** k)); gradients are exact as well.
    """
    height, width = (side + 2 * _BORDER for side in x.shape[-2:])
    blanks = _blank_pools(net, x, height, width)
    before = x.new_zeros(1, x.shape[1], 1, 1)
    # First and last row, first and last column of what is computed, in cells of the layer at hand.
    region = [_FIRST_ROW, _even(_BORDER + x.shape[-2] + 3), _FIRST_ROW, _even(_BORDER + x.shape[-1] + 3)]
    top, left = _BORDER - region[0], _BORDER - region[2]
    x = F.pad(x, (left, region[3] - _BORDER - x.shape[-1], top, region[1] - _BORDER - x.shape[-2]))
    pools = []
    for number, blank in enumerate(blanks, start=1):
        x, region = _grown_block(net, x, number, region, before)
        before = blank[..., _centre(number), _centre(number)].view(1, -1, 1, 1)
        height, width = -(-height // 2), -(-width // 2)
        if number >= _FIRST_WANTED:
            pools.append(_framed(blank, _centre(number), height, width, x, region))
    pool3, pool4 = pools
    return pool3, pool4


def _blank_pools(net: Pooled, x: torch.Tensor, height: int, width: int) -> list[torch.Tensor]:
    """Pools of zeros as small as the edges' patterns allow, and cut by ceiling pools just as the whole."""
    sides = [(_BLANK_CELLS - 1) * _PERIOD + (side - 1) % _PERIOD + 1 for side in (height, width)]
    blank = x.new_zeros(1, x.shape[1], *sides)
    pools = []
    for number in range(1, _BLOCKS + 1):
        blank = net.pool(net.block(blank, number))
        pools.append(blank)
    return pools


def _grown_block(
    net: Pooled, x: torch.Tensor, number: int, region: list[int], around: torch.Tensor
) -> tuple[torch.Tensor, list[int]]:
    """The pool of one block and the cells it covers: all that `x`, surrounded by `around` (1, C, 1, 1), reaches."""
    reach = len(convolutions_of(number))
    if number == 1:
        # The region holds the reach already, and zeros are what surrounds the image.
        grown = region
    else:
        grown = [region[0] - reach, region[1] + reach, region[2] - reach, region[3] + reach]
    grown = [grown[0] // 2 * 2, _even(grown[1]), grown[2] // 2 * 2, _even(grown[3])]
    # Zero padding is wrong by one more cell after each convolution; so many more are computed and cut off.
    x = _surrounded(x, around, [abs(new - old) + reach for new, old in zip(grown, region, strict=True)])
    x = net.block(x, number)[..., reach:-reach, reach:-reach]
    return net.pool(x), [edge // 2 for edge in grown]


def _surrounded(x: torch.Tensor, value: torch.Tensor, widths: list[int]) -> torch.Tensor:
    """`x` with so many more rows above and below and columns left and right, all of `value` (1, C, 1, 1)."""
    top, bottom, left, right = widths
    height, width = x.shape[-2:]
    size = (x.shape[0], x.shape[1], top + height + bottom, left + width + right)
    out = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    out[...] = value
    out[..., top : top + height, left : left + width] = x
    return out


def _framed(
    blank: torch.Tensor, centre: int, height: int, width: int, x: torch.Tensor, region: list[int]
) -> torch.Tensor:
    """The whole map of `height` x `width` cells: `blank` stretched, with `x` at its region."""
    rows, columns = (_stretched(blank.shape[2], height, centre), _stretched(blank.shape[3], width, centre))
    whole = blank[:, :, rows.to(x.device)][..., columns.to(x.device)].expand(x.shape[0], -1, -1, -1)
    top, bottom, left, right = region
    middle = torch.cat([whole[..., top:bottom, :left], x, whole[..., top:bottom, right:]], dim=3)
    return torch.cat([whole[..., :top, :], middle, whole[..., bottom:, :]], dim=2)


def _stretched(cells: int, wanted: int, centre: int) -> torch.Tensor:
    """Which cell of `cells` stands at each of `wanted` places: both edges as they are, the centre repeated between."""
    place = torch.arange(wanted)
    return torch.where(place <= centre, place, (place + cells - wanted).clamp(min=centre))


def _centre(number: int) -> int:
    return _MIDDLE << (_BLOCKS - number)


def _even(number: int) -> int:
    return number + number % 2
