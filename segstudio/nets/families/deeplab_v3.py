"""DeepLab v3 (Chen, Papandreou, Schroff, Adam, 2017): atrous convolution with multi-grid, ASPP with image features.

Training and testing use output stride 16 or 8; the loss sees the labels at full resolution (sections 3.3, 4.1, 4.2).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from segstudio.nets.backbones.aspp import conv_3x3
from segstudio.nets.families.atrous_v3 import AtrousV3Net
from segstudio.nets.registry_names import OptionValue


class DeepLabV3(AtrousV3Net):
    """A trunk, ASPP and a 1 x 1 classifier at output stride 16 or 8.

    `convolutions` more 3 x 3 convolutions may stand before the classifier: none in the paper, one in torchvision's
    variant and those made after it.
    """

    family: ClassVar[str] = "deeplabv3"

    def __init__(
        self,
        *,
        classes: int,
        trunk: str = "resnet101",
        output_stride: int = 16,
        multi_grid: bool = True,
        layout: str = "aligned",
        upsampling: str = "padded",
        scales: str = "single",
        convolutions: int = 0,
        thin: int = 1,
    ) -> None:
        options: dict[str, OptionValue] = {
            "trunk": trunk,
            "output_stride": output_stride,
            "multi_grid": multi_grid,
            "layout": layout,
            "upsampling": upsampling,
            "scales": scales,
            "convolutions": convolutions,
            "thin": thin,
        }
        super().__init__(classes=classes, options=options)
        self.head = nn.Sequential(*(conv_3x3(self.width, self.width) for _ in range(convolutions)))
        self.stride = self.output_stride
        self.pixel_bytes = 600 if output_stride == 16 else 1150

    def scores(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, C, H / stride, W / stride) float32."""
        out: torch.Tensor = self.classifier(self.head(self.aspp(self.trunk.stages(x)[1])))
        return out.float()
