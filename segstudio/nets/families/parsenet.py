"""ParseNet (Liu, Rabinovich, Berg, ICLR 2016 workshop): each pixel is judged beside the mean of the whole image.

VGG-16 with reduced fully connected layers at output stride 8; fc7 and its mean over the image are brought to one length
(L2 normalisation, section 3.3) and scored, and the two scores are added (late fusion, section 3.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import torch
from torch import nn

from segstudio.nets.backbones.upsampling import bilinear_deconv
from segstudio.nets.backbones.vgg16 import thinned
from segstudio.nets.backbones.vgg16_atrous import STRIDE, AtrousTop, AtrousVgg16
from segstudio.nets.base import SegmentationNet
from segstudio.nets.blocks import GlobalPool, L2Norm
from segstudio.nets.groups import caffe_groups

_WIDTH: Final = 1024
_DILATION: Final = 12
_UPSCORE_SIZE: Final = 16
_UPSCORE_CROP: Final = 4


class ParseNet(SegmentationNet):
    """ParseNet with context from fc7, the released network for PASCAL VOC.

    A linear classifier of each part, summed, is the same as one classifier of both parts side by side.
    """

    family: ClassVar[str] = "parsenet"
    stride = STRIDE
    multiple = STRIDE
    head_prefixes = ("score_fc7.", "score_pool6.")
    imagenet: str | None = "VGG16_Weights.IMAGENET1K_V1"

    def __init__(self, *, classes: int, thin: int = 1) -> None:
        super().__init__(classes=classes, profile="CAFFE-FCN", options={"thin": thin})
        width = thinned(_WIDTH, thin)
        self.trunk = AtrousVgg16(pool_size=2, thin=thin)
        self.top = AtrousTop(self.trunk.channels, width, size=3, dilation=_DILATION)
        self.pool6 = GlobalPool()
        self.norm_fc7, self.norm_pool6 = L2Norm(width), L2Norm(width)
        self.score_fc7, self.score_pool6 = nn.Conv2d(width, classes, 1), nn.Conv2d(width, classes, 1)
        for scorer in (self.score_fc7, self.score_pool6):
            # Caffe's "xavier": uniform, variance 1 / inputs.
            nn.init.kaiming_uniform_(scorer.weight, nonlinearity="linear")
            assert scorer.bias is not None
            nn.init.zeros_(scorer.bias)
        # A pixel takes part in the upsampling of cells whose middles are up to 8 px away.
        self.margin = self.trunk.reach + self.top.reach + self.stride
        self.pixel_bytes = 900
        if thin != 1:
            self.imagenet = None

    def native(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, C, ceil(H / 8), ceil(W / 8)) float32."""
        fc7 = self.top(self.trunk(x))
        local: torch.Tensor = self.score_fc7(self.norm_fc7(fc7)).float()
        context: torch.Tensor = self.score_pool6(self.norm_pool6(self.pool6(fc7))).float()
        return local + context

    def full_size(self, x: torch.Tensor) -> torch.Tensor:
        """`native` upsampled by a fixed bilinear deconvolution, which fades towards the image's border."""
        height, width = x.shape[-2:]
        scores = bilinear_deconv(self.native(x), _UPSCORE_SIZE, stride=self.stride)
        rows, columns = (slice(_UPSCORE_CROP, _UPSCORE_CROP + side) for side in (height, width))
        return scores[..., rows, columns]

    def parameter_groups(self, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """Weights, the normalisations' scales among them; biases at twice the rate without decay."""
        return caffe_groups(self, lr, weight_decay)

    def load_imagenet(self, state: Mapping[str, torch.Tensor]) -> None:
        """Takes torchvision's VGG-16, of fc6 and fc7 every fourth filter and of fc6 three taps in a row."""
        self.trunk.load_imagenet(state, self.card.preprocessing)
        self.top.load_imagenet(state)
