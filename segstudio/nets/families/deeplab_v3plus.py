"""DeepLab v3+ (Chen, Zhu, Papandreou, Schroff, Adam, ECCV 2018): DeepLab v3 with a decoder at stride 4.

ASPP's output is upsampled to the trunk's low-level features, joined with 48 channels of them and refined by two 3 x 3
convolutions (section 3.1); both may be atrous separable convolutions (section 3.1, "Depthwise separable convolution").
"""

from __future__ import annotations

from typing import ClassVar, Final

import torch
from torch import nn

from segstudio.nets.backbones.aspp import conv_3x3
from segstudio.nets.blocks import conv_bn_relu
from segstudio.nets.families.atrous_v3 import AtrousV3Net
from segstudio.nets.registry_names import OptionValue

_LOW_WIDTH: Final = 48


class DeepLabV3Plus(AtrousV3Net):
    """A trunk, ASPP, decoder and 1 x 1 classifier; scores at stride 4.

    The decoder has `convolutions` 3 x 3 convolutions, two in the paper. With three scales, scores are fused at input
    size, and `native` gives them there.
    """

    family: ClassVar[str] = "deeplabv3plus"
    stride = 4

    def __init__(
        self,
        *,
        classes: int,
        trunk: str = "resnet101",
        output_stride: int = 16,
        multi_grid: bool = True,
        layout: str = "aligned",
        separable: bool = False,
        upsampling: str = "padded",
        scales: str = "single",
        convolutions: int = 2,
        thin: int = 1,
    ) -> None:
        options: dict[str, OptionValue] = {
            "trunk": trunk,
            "output_stride": output_stride,
            "multi_grid": multi_grid,
            "layout": layout,
            "separable": separable,
            "upsampling": upsampling,
            "scales": scales,
            "convolutions": convolutions,
            "thin": thin,
        }
        super().__init__(classes=classes, options=options)
        low = max(1, _LOW_WIDTH // thin)
        self.low = conv_bn_relu(self.trunk.low_channels, low, 1)
        self.decoder = nn.Sequential(
            *(
                conv_3x3(self.width + (low if index == 0 else 0), self.width, separable=separable)
                for index in range(convolutions)
            )
        )
        if self.multi_scale:
            self.stride = 1
        self.pixel_bytes = 1450

    def scores(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, C, H / 4, W / 4) float32; at the size of `x` where scales are fused."""
        low, deep = self.trunk.stages(x)
        low = self.low(low)
        deep = self.resized(self.aspp(deep), low.shape[-2:])
        out: torch.Tensor = self.classifier(self.decoder(torch.cat([deep, low], 1)))
        return self.resized(out.float(), x.shape[-2:]) if self.multi_scale else out.float()
