"""Atrous spatial pyramid pooling with batch normalisation and image-level features (DeepLab v3, section 3.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import nn

from segstudio.nets.blocks import GlobalPool, PooledBatchNorm2d, conv_bn_relu, separable_conv

RATES: Final[Mapping[int, tuple[int, int, int]]] = {16: (6, 12, 18), 8: (12, 24, 36)}
"""The dilations for each output stride: half the stride, twice the rates, the same field of view in pixels."""
# The paper does not say; the authors' release keeps 0.9 of the projection's outputs.
_DROPOUT: Final = 0.1


def conv_3x3(inputs: int, outputs: int, *, dilation: int = 1, separable: bool = False) -> nn.Sequential:
    """A 3 x 3 convolution with batch normalisation and ReLU, as depthwise separable convolution where `separable`."""
    if not separable:
        return conv_bn_relu(inputs, outputs, dilation=dilation)
    return separable_conv(inputs, outputs, dilation=dilation).append(nn.ReLU(inplace=True))


class ASPP(nn.Module):
    """Looks around each cell at four sizes and at the whole image: (N, inputs, h, w) to (N, width, h, w)."""

    def __init__(self, inputs: int, output_stride: int, *, width: int, separable: bool = False) -> None:
        super().__init__()
        around = [conv_3x3(inputs, width, dilation=rate, separable=separable) for rate in RATES[output_stride]]
        self.branches = nn.ModuleList([conv_bn_relu(inputs, width, 1), *around])
        self.pool = nn.Sequential(
            GlobalPool(), nn.Conv2d(inputs, width, 1, bias=False), PooledBatchNorm2d(width), nn.ReLU(inplace=True)
        )
        joined = width * (len(self.branches) + 1)
        self.project = conv_bn_relu(joined, width, 1).append(nn.Dropout(_DROPOUT))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, width, h, w)."""
        parts = [branch(x) for branch in self.branches]
        # Bilinear upsampling of one cell repeats it.
        parts.append(self.pool(x).expand_as(parts[0]))
        out: torch.Tensor = self.project(torch.cat(parts, 1))
        return out
