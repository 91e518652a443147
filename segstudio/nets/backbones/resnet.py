"""ResNet-50 and ResNet-101 (He et al., CVPR 2016) without their classifier, under torchvision's names.

Published segmentation networks differ in where a bottleneck strides, in the dilation of a dilated stage's first block
and in how the pool rounds; `Layout` names the three sets in use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import nn
from torchvision.models.resnet import Bottleneck

from segstudio.nets.blocks import FrozenBatchNorm2d
from segstudio.nets.preprocess import convert_first_layer

LayoutName = Literal["caffe", "torchvision", "aligned"]
_BLOCKS: Final[Mapping[int, tuple[int, int, int, int]]] = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
_EXPANSION: Final = 4
# A residual branch that adds its input's variance anew doubles it in each of 33 blocks; scaled down, a trunk without
# trained statistics stays within half precision's range.
_RANDOM_BRANCH_SCALE: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where ResNets differ: the convolution that strides, the first dilated block, and the pool's rounding."""

    strides_first: bool
    first_block_dilated: bool
    pool_rounds_up: bool


LAYOUTS: Final[Mapping[LayoutName, Layout]] = {
    "caffe": Layout(strides_first=True, first_block_dilated=True, pool_rounds_up=True),
    "torchvision": Layout(strides_first=False, first_block_dilated=False, pool_rounds_up=False),
    "aligned": Layout(strides_first=False, first_block_dilated=True, pool_rounds_up=False),
}


class ResNetTrunk(nn.Module):
    """A ResNet at output stride 8, 16 or 32: (N, 3, H, W) to (N, 2048 / thin, H / stride, W / stride), rounded up.

    `multi_grid` multiplies the dilations of layer4's blocks (DeepLab v3, section 3.2.1); `frozen` fixes all batch
    normalisation. Widths are divided by `thin`.

    Attributes:
        channels: Of the output.
        low_channels: Of layer1's output, the low-level features of DeepLab v3+.
    """

    def __init__(
        self,
        depth: int,
        *,
        layout: LayoutName,
        output_stride: int,
        multi_grid: tuple[int, ...] = (1, 1, 1),
        frozen: bool = False,
        thin: int = 1,
    ) -> None:
        super().__init__()
        how = LAYOUTS[layout]
        norm: type[nn.BatchNorm2d] = FrozenBatchNorm2d if frozen else nn.BatchNorm2d
        widths = [max(1, width // thin) for width in (64, 128, 256, 512)]
        strides, dilations = _strides_and_dilations(output_stride)
        self.conv1 = nn.Conv2d(3, widths[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = norm(widths[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=how.pool_rounds_up)
        inputs = widths[0]
        for number, count in enumerate(_BLOCKS[depth]):
            grid = multi_grid if number == 3 else (1,) * count
            before = dilations[number - 1] if number else 1
            first = dilations[number] if how.first_block_dilated else before
            own = [first * grid[0], *(dilations[number] * factor for factor in grid[1:])]
            stage = _stage(inputs, widths[number], strides[number], own, norm, strides_first=how.strides_first)
            self.add_module(f"layer{number + 1}", stage)
            inputs = widths[number] * _EXPANSION
        self.channels = inputs
        self.low_channels = widths[0] * _EXPANSION
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, Bottleneck):
                nn.init.constant_(module.bn3.weight, _RANDOM_BRANCH_SCALE)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The features of layer4 (res5 in the papers)."""
        return self.stages(x)[1]

    def stages(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The features of layer1, at stride 4, and those of layer4."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        low = self.get_submodule("layer1")(x)
        x = low
        for number in (2, 3, 4):
            x = self.get_submodule(f"layer{number}")(x)
        return low, x

    def load_imagenet(self, state: Mapping[str, torch.Tensor], profile: str) -> None:
        """Takes torchvision's ResNet (trained on profile TV) without its classifier.

        The first layer is converted to the input profile `profile`; the shift goes into its normalisation's mean.
        """
        trunk = {name: value for name, value in state.items() if not name.startswith("fc.")}
        weight, shift = convert_first_layer(trunk["conv1.weight"], source="TV", target=profile)
        trunk["conv1.weight"] = weight
        trunk["bn1.running_mean"] = trunk["bn1.running_mean"] - shift
        self.load_state_dict(trunk)


def _strides_and_dilations(output_stride: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if output_stride == 8:
        return (1, 2, 1, 1), (1, 1, 2, 4)
    if output_stride == 16:
        return (1, 2, 2, 1), (1, 1, 1, 2)
    return (1, 2, 2, 2), (1, 1, 1, 1)


def _stage(
    inputs: int, width: int, stride: int, dilations: list[int], norm: type[nn.BatchNorm2d], *, strides_first: bool
) -> nn.Sequential:
    outputs = width * _EXPANSION
    blocks = []
    for index, dilation in enumerate(dilations):
        step = stride if index == 0 else 1
        shortcut = None
        if index == 0 and (step != 1 or inputs != outputs):
            shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=step, bias=False), norm(outputs))
        block = Bottleneck(inputs, width, step, shortcut, dilation=dilation, norm_layer=norm)
        if strides_first:
            block.conv1.stride, block.conv2.stride = (step, step), (1, 1)
        blocks.append(block)
        inputs = outputs
    return nn.Sequential(*blocks)
