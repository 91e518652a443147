"""ResNet-101 (He et al., CVPR 2016) in the layout DeepLab v2 was trained with, under torchvision's names.

Three edits turn torchvision's network into it: the pool rounds up, res3's stride sits on the first 1 x 1 convolution,
and the first block of each dilated stage already uses that stage's dilation.
"""

from __future__ import annotations

from typing import Any

import torch
import torchvision
from torch import nn

# A residual branch that adds its input's variance anew doubles it in each of 33 blocks; scaled down, a trunk without
# trained statistics stays within half precision's range.
_RANDOM_BRANCH_SCALE = 0.2


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation with fixed statistics, scale and shift, whatever `train()` is told."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.requires_grad_(requires_grad=False)
        self.training = False

    def train(self, mode: bool = True) -> FrozenBatchNorm2d:  # noqa: FBT001, FBT002 - the signature of nn.Module
        """Itself, unchanged: it never trains."""
        return self


class ResNet101Trunk(nn.Module):
    """ResNet-101 up to res5 at output stride 8: (N, 3, H, W) to (N, 2048, ceil(H / 8), ceil(W / 8))."""

    def __init__(self) -> None:
        super().__init__()
        source: Any = torchvision.models.resnet101(
            weights=None, norm_layer=FrozenBatchNorm2d, replace_stride_with_dilation=[False, True, True]
        )
        self.conv1 = source.conv1
        self.bn1 = source.bn1
        self.relu = source.relu
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True)
        self.layer1, self.layer2 = source.layer1, source.layer2
        self.layer3, self.layer4 = source.layer3, source.layer4
        self.layer2[0].conv1.stride, self.layer2[0].conv2.stride = (2, 2), (1, 1)
        for block, dilation in ((self.layer3[0], 2), (self.layer4[0], 4)):
            block.conv2.dilation = block.conv2.padding = (dilation, dilation)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            for block in stage:
                nn.init.constant_(block.bn3.weight, _RANDOM_BRANCH_SCALE)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The features of res5."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        out: torch.Tensor = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return out
