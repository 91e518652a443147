"""What DeepLab v1 and v2 share: scores at stride 8, padding to whole cells, and a classifier that learns faster."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from segstudio.nets.backbones.vgg16_atrous import STRIDE, AtrousTop
from segstudio.nets.base import SegmentationNet
from segstudio.nets.groups import caffe_groups
from segstudio.nets.losses import IGNORE

_CLASSIFIER_STD = 0.01


def classifier(inputs: int, classes: int, size: int = 1, *, dilation: int = 1, bias: bool = True) -> nn.Conv2d:
    """A size-preserving convolution that gives scores: weights N(0, 0.01 ** 2), bias 0."""
    layer = nn.Conv2d(inputs, classes, size, padding=dilation * (size // 2), dilation=dilation, bias=bias)
    nn.init.normal_(layer.weight, std=_CLASSIFIER_STD)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class AtrousBranch(AtrousTop):
    """VGG's fc6 and fc7 with their classifier fc8."""

    def __init__(self, inputs: int, classes: int, *, width: int, size: int, dilation: int) -> None:
        super().__init__(inputs, width, size=size, dilation=dilation)
        self.fc8 = classifier(width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores (N, C, h, w)."""
        out: torch.Tensor = self.fc8(super().forward(x))
        return out


class AtrousNet(SegmentationNet):
    """A network at output stride 8 whose classifier, the modules `head_prefixes`, learns ten times as fast.

    With `align_corners` (the Caffe releases) cell k lies at pixel 8 k; inputs are padded at bottom and right to sides
    ``multiple * k + 1``, so that the last cell lies on the last pixel. Without it a cell is the middle of its 8 x 8
    pixels.
    """

    stride = STRIDE
    align_corners = True

    def aligned(self, x: torch.Tensor) -> torch.Tensor:
        """`x` padded at bottom and right with zeros, which are the mean colour, to whole cells."""
        if not self.align_corners:
            return x
        bottom, right = ((1 - side) % self.multiple for side in x.shape[-2:])
        return F.pad(x, (0, right, 0, bottom)) if bottom or right else x

    def resized(self, scores: torch.Tensor, size: torch.Size) -> torch.Tensor:
        """`scores` brought to (h, w) `size` bilinearly."""
        return F.interpolate(scores, size=size, mode="bilinear", align_corners=self.align_corners)

    def full_size(self, x: torch.Tensor) -> torch.Tensor:
        """`native` of the padded input, zoomed 8 times and cropped."""
        height, width = x.shape[-2:]
        padded = self.aligned(x)
        return self.resized(self.native(padded), padded.shape[-2:])[..., :height, :width]

    def score_loss(
        self, logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Cross-entropy; cells of the padding, which no label reaches, do not count."""
        height, width = logits.shape[-2:]
        bottom, right = max(0, height - labels.shape[-2]), max(0, width - labels.shape[-1])
        labels = F.pad(labels, (0, right, 0, bottom), value=IGNORE)[..., :height, :width]
        if weights is not None:
            weights = F.pad(weights, (0, right, 0, bottom))[..., :height, :width]
        return super().score_loss(logits, labels, weights)

    def parameter_groups(self, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """Trunk weights and biases at 1 and 2, classifier weights and biases at 10 and 20 times the rate."""
        return caffe_groups(self, lr, weight_decay, classifiers=self.head_prefixes)
