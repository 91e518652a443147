"""Modified Aligned Xception-65 without its classifier (Chen et al., ECCV 2018, section 3.2; Chollet, CVPR 2017).

Depthwise separable convolutions with a stride stand in for all pools, so that atrous convolution keeps any resolution.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import nn

from segstudio.nets.blocks import conv_bn_relu, separable_conv

_ENTRY: Final = (128, 256, 728)
_MIDDLE_BLOCKS: Final = 16
_EXIT: Final = (728, 1024, 1024)
_TAIL: Final = (1536, 1536, 2048)
_MULTI_GRID: Final = (1, 2, 4)
# As in the ResNet trunk: without trained statistics, twenty sums must stay within half precision's range.
_RANDOM_BRANCH_SCALE: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class XceptionLayout:
    """Where Xceptions differ.

    `between`: ReLU after each depthwise convolution. `rectified`: a block's shortcut, and the tail, see the block's
    input after ReLU. `low_block`: the entry block whose features (the second convolution's where `low_inside`, else
    its sum after ReLU) go to the decoder. `exit_dilated`: the third convolution of the exit block is dilated as well.
    """

    between: bool
    rectified: bool
    low_block: int
    low_inside: bool
    exit_dilated: bool


LAYOUTS: Final[Mapping[str, XceptionLayout]] = {
    "aligned": XceptionLayout(between=True, rectified=False, low_block=1, low_inside=True, exit_dilated=True),
    # A widely used PyTorch re-implementation, where an in-place ReLU changes what the shortcut sees.
    "rectified": XceptionLayout(between=False, rectified=True, low_block=0, low_inside=False, exit_dilated=False),
}


class XceptionBlock(nn.Module):
    """Three separable convolutions, the last with the stride, and a shortcut: (N, inputs, H, W) to (N, widths[2], ...).

    The shortcut is a 1 x 1 convolution where stride or width change.
    """

    def __init__(
        self, inputs: int, widths: tuple[int, ...], dilations: tuple[int, ...], how: XceptionLayout, *, stride: int = 1
    ) -> None:
        super().__init__()
        self.rectified = how.rectified
        convs, here = [], inputs
        for index, (width, dilation) in enumerate(zip(widths, dilations, strict=True)):
            step = stride if index == len(widths) - 1 else 1
            convs.append(separable_conv(here, width, dilation=dilation, stride=step, between=how.between))
            here = width
        self.convs = nn.ModuleList(convs)
        self.shortcut: nn.Sequential | None = None
        if stride != 1 or inputs != here:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, here, 1, stride=stride, bias=False), nn.BatchNorm2d(here))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, widths[2], H / stride, W / stride)."""
        return self.with_inside(x)[0]

    def with_inside(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The block's output, and what its second convolution gave."""
        if self.rectified:
            x = F.relu(x)
        inside = y = x
        for conv in self.convs:
            inside, y = y, conv(F.relu(y))
        return y + (x if self.shortcut is None else self.shortcut(x)), inside


class XceptionTrunk(nn.Module):
    """Xception-65 at output stride 8 or 16: (N, 3, H, W) to (N, 2048 / thin, H / stride, W / stride), rounded up.

    `multi_grid` multiplies the dilations of the last three convolutions by 1, 2 and 4. Widths are divided by `thin`.

    Attributes:
        channels: Of the output.
        low_channels: Of the features at stride 4 that go to the decoder.
    """

    def __init__(self, *, layout: str, output_stride: int, multi_grid: bool = False, thin: int = 1) -> None:
        super().__init__()
        how = self.how = LAYOUTS[layout]
        stem, wide = (max(1, 32 // thin), max(1, 64 // thin))
        entry, out, tail = (tuple(max(1, w // thin) for w in widths) for widths in (_ENTRY, _EXIT, _TAIL))
        dense = output_stride == 8
        middle, last = (2, 4) if dense else (1, 2)
        self.conv1 = conv_bn_relu(3, stem, stride=2)
        self.conv2 = conv_bn_relu(stem, wide)
        blocks, here = [], wide
        for number, width in enumerate(entry):
            stride = 1 if dense and number == 2 else 2
            blocks.append(XceptionBlock(here, (width,) * 3, (1, 1, 1), how, stride=stride))
            here = width
        self.entry = nn.ModuleList(blocks)
        self.middle = nn.Sequential(
            *(XceptionBlock(here, (here,) * 3, (middle,) * 3, how) for _ in range(_MIDDLE_BLOCKS))
        )
        self.exit = XceptionBlock(here, out, (middle, middle, middle if how.exit_dilated else 1), how)
        grid = _MULTI_GRID if multi_grid else (1, 1, 1)
        self.tail = nn.ModuleList(
            separable_conv(inputs, width, dilation=last * factor, between=how.between)
            for inputs, width, factor in zip((out[-1], *tail), tail, grid, strict=False)
        )
        self.channels = tail[-1]
        self.low_channels = entry[how.low_block]
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            elif isinstance(module, XceptionBlock):
                last = module.convs[-1]
                assert isinstance(last, nn.Sequential)
                assert isinstance(last[-1], nn.BatchNorm2d)
                nn.init.constant_(last[-1].weight, _RANDOM_BRANCH_SCALE)

    def stages(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The low-level features, at stride 4, and those of the last convolution."""
        x = self.conv2(self.conv1(x))
        low = x
        for number, block in enumerate(self.entry):
            assert isinstance(block, XceptionBlock)
            x, inside = block.with_inside(x)
            if number == self.how.low_block:
                low = inside if self.how.low_inside else F.relu(x)
        x = self.exit(self.middle(x))
        if self.how.rectified:
            x = F.relu(x)
        for conv in self.tail:
            x = F.relu(conv(x))
        return low, x
