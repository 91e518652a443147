"""VGG-16 at output stride 8 by atrous convolution, as in DeepLab (ICLR 2015, section 3.1) and ParseNet.

The fourth and fifth pool keep the size, block 5 is dilated by 2, and the fully connected layers become dilated
convolutions, some of them with fewer taps and filters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import nn

from segstudio.nets.backbones.vgg16 import (
    FULLY_CONNECTED,
    add_convolutions,
    initialise_convolutions,
    load_convolutions,
    run_block,
    thinned,
)
from segstudio.nets.blocks import ConvReLU

STRIDE: Final = 8
_REACH_PX: Final[Mapping[int, int]] = {2: 110, 3: 113}
_VGG_FILTERS: Final = 4096
_VGG_INPUTS: Final = 512
_VGG_TAPS: Final = 7


class AtrousVgg16(nn.Module):
    """VGG-16's convolutions, (N, 3, H, W) to (N, 512 / thin, h, w) at stride 8, `h` and `w` rounded up.

    With `pool_size` 3 (DeepLab) pools 1 to 3 reach one pixel over each edge: cell k lies at pixel 8 k, and
    ``h = ceil((H - 1) / 8) + 1``. With 2 (ParseNet) cell k is the middle of pixels 8 k to 8 k + 7, and
    ``h = ceil(H / 8)``. `averaged` adds the 3 x 3 average after pool5 of the released DeepLab-LargeFOV (pool5a).

    Attributes:
        channels: Of the output.
        widths: Channels of the image and of pool1 to pool4.
        reach: How many pixels on each side of its place a cell of the output looks at.
    """

    def __init__(self, *, pool_size: int = 3, averaged: bool = False, thin: int = 1) -> None:
        super().__init__()
        add_convolutions(self, thin=thin, last_dilation=2)
        initialise_convolutions(self)
        self.shrink = nn.MaxPool2d(pool_size, stride=2, padding=(pool_size - 1) // 2, ceil_mode=True)
        self.keep = nn.MaxPool2d(3, stride=1, padding=1)
        self.pool5a = nn.AvgPool2d(3, stride=1, padding=1) if averaged else nn.Identity()
        self.channels = thinned(512, thin)
        self.widths = tuple(thinned(width, thin) for width in (3, 64, 128, 256, 512))
        self.reach = _REACH_PX[pool_size] + (STRIDE if averaged else 0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The features that fc6 takes."""
        return self.pools(x)[-1]

    def pools(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The outputs of the five pools, at strides 2, 4, 8, 8 and 8; the last one averaged where that was wanted."""
        outputs = []
        for number in range(1, 6):
            x = run_block(self, x, number)
            x = self.shrink(x) if number <= 3 else self.keep(x)
            outputs.append(x)
        outputs[-1] = self.pool5a(x)
        return outputs

    def load_imagenet(self, state: Mapping[str, torch.Tensor], profile: str) -> None:
        """Takes the convolutions of torchvision's VGG-16, the first one converted to the input profile `profile`."""
        load_convolutions(self, state, profile)


class AtrousTop(nn.Module):
    """VGG's fc6 and fc7 as convolutions with ReLU and dropout of single elements; the size stays.

    fc6 is `size` x `size` (7, 4 or 3) with `dilation`; both have `width` filters.

    Attributes:
        reach: How many pixels on each side fc6 adds to what a cell looks at.
    """

    def __init__(self, inputs: int, width: int, *, size: int, dilation: int) -> None:
        super().__init__()
        padding = dilation * (size - 1) // 2
        self.fc6 = ConvReLU(inputs, width, size, padding=padding, dilation=dilation)
        self.fc7 = ConvReLU(width, width, 1)
        self.dropout = nn.Dropout(0.5)
        self.reach = STRIDE * padding
        initialise_convolutions(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The features of fc7, (N, width, h, w)."""
        out: torch.Tensor = self.dropout(self.fc7(self.dropout(self.fc6(x))))
        return out

    @torch.no_grad()
    def load_imagenet(self, state: Mapping[str, torch.Tensor]) -> None:
        """Takes torchvision's fc6 and fc7, reduced to the taps and filters there are."""
        filters, size = self.fc6.out_channels, self.fc6.kernel_size[0]
        place6, place7 = FULLY_CONNECTED["fc6"], FULLY_CONNECTED["fc7"]
        self.fc6.weight.copy_(reduced_fc6(state[f"{place6}.weight"], filters, size))
        self.fc7.weight.copy_(reduced_fc7(state[f"{place7}.weight"], filters))
        for layer, place in ((self.fc6, place6), (self.fc7, place7)):
            assert layer.bias is not None
            layer.bias.copy_(state[f"{place}.bias"][:: _VGG_FILTERS // filters])


def reduced_fc6(weight: torch.Tensor, filters: int, size: int) -> torch.Tensor:
    """(filters, 512, size, size) of VGG's fc6 `weight` (4096, 25088), by decimation.

    Of 4096 filters every fourth makes 1024; of 7 taps in a row (0, 2, 4, 6) make 4 and (0, 3, 6) make 3. These are the
    filters of the published VGG with reduced layers; the paper of DeepLab v2 draws them at random.
    """
    every = (_VGG_TAPS - 1) // (size - 1)
    taps = weight.view(_VGG_FILTERS, _VGG_INPUTS, _VGG_TAPS, _VGG_TAPS)
    return taps[:: _VGG_FILTERS // filters, :, ::every, ::every]


def reduced_fc7(weight: torch.Tensor, filters: int) -> torch.Tensor:
    """(filters, filters, 1, 1) of VGG's fc7 `weight` (4096, 4096): the filters and inputs that fc6 was reduced to."""
    every = _VGG_FILTERS // filters
    return weight[::every, ::every, None, None]
