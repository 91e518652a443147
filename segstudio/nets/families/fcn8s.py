"""FCN-8s (Long, Shelhamer, Darrell, CVPR 2015) on VGG-16, layer for layer as in the authors' release.

conv1_1 pads by 100, all five pools round up, each crop has the release's fixed offset, upsampling is fixed bilinear
deconvolution, and dropout drops single elements.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import nn

from segstudio.nets.backbones.upsampling import BilinearDeconv
from segstudio.nets.backbones.vgg16 import CONVOLUTIONS, convolutions_of
from segstudio.nets.base import SegmentationNet, parameter_group, trainable
from segstudio.nets.preprocess import convert_first_layer

_FIRST_PAD = 100


class FCN8s(SegmentationNet):
    """FCN-8s; `native` is at input size, since cropping belongs to the network."""

    family: ClassVar[str] = "fcn8s"
    multiple: ClassVar[int] = 32
    # Receptive field 404 px: 202 on each side, and two cells of 32 px that bilinear upsampling reaches.
    margin: ClassVar[int] = 288
    head_prefixes: ClassVar[tuple[str, ...]] = ("score_", "upscore")
    imagenet: ClassVar[str | None] = "VGG16_Weights.IMAGENET1K_V1"

    def __init__(self, *, classes: int) -> None:
        super().__init__(classes=classes, profile="CAFFE-FCN", options={})
        for name, (inputs, outputs) in CONVOLUTIONS.items():
            padding = _FIRST_PAD if name == "conv1_1" else 1
            self.add_module(name, nn.Conv2d(inputs, outputs, 3, padding=padding))
        self.fc6 = nn.Conv2d(512, 4096, 7)
        self.fc7 = nn.Conv2d(4096, 4096, 1)
        self.score_fr = nn.Conv2d(4096, classes, 1)
        self.score_pool3 = nn.Conv2d(256, classes, 1)
        self.score_pool4 = nn.Conv2d(512, classes, 1)
        self.upscore2 = BilinearDeconv(classes, 4, stride=2)
        self.upscore_pool4 = BilinearDeconv(classes, 4, stride=2)
        self.upscore8 = BilinearDeconv(classes, 16, stride=8)
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(0.5)
        self.pixel_bytes = 1500
        self._initialise()

    def _initialise(self) -> None:
        """He initialisation for a trunk without ImageNet weights; scores start at zero as published."""
        for name, module in self.named_children():
            if isinstance(module, nn.Conv2d):
                if name.startswith("score_"):
                    nn.init.zeros_(module.weight)
                else:
                    nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def _features(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        pools = []
        for block in range(1, 6):
            for name in convolutions_of(block):
                x = self.relu(self.get_submodule(name)(x))
            x = self.pool(x)
            pools.append(x)
        x = self.dropout(self.relu(self.fc6(x)))
        return self.dropout(self.relu(self.fc7(x))), pools[3], pools[2]

    def native(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, C, H, W) float32."""
        height, width = x.shape[-2:]
        deep, pool4, pool3 = self._features(x)
        y = self.upscore2(self.score_fr(deep).float())
        y = y + _cropped(self.score_pool4(pool4), 5, y.shape[-2:]).float()
        y = self.upscore_pool4(y)
        y = y + _cropped(self.score_pool3(pool3), 9, y.shape[-2:]).float()
        return _cropped(self.upscore8(y), 31, (height, width))

    def parameter_groups(self, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """Weights; biases at twice the rate without decay; the fixed deconvolutions in neither."""
        return [
            parameter_group("weights", trainable(self, bias=False), lr, weight_decay),
            parameter_group("biases", trainable(self, bias=True), lr, 0.0, scale=2.0),
        ]

    def load_imagenet(self, state: Mapping[str, torch.Tensor]) -> None:
        """Takes torchvision's VGG-16 (trained on profile TV): 13 convolutions, fc6 and fc7 as convolutions.

        The first layer is converted to this network's input profile.
        """
        target = dict(self.named_parameters())
        with torch.no_grad():
            for name, index in zip(CONVOLUTIONS, _TORCHVISION_FEATURES, strict=True):
                weight, bias = state[f"features.{index}.weight"], state[f"features.{index}.bias"]
                if name == "conv1_1":
                    weight, shift = convert_first_layer(weight, source="TV", target=self.card.preprocessing)
                    bias = bias + shift
                target[f"{name}.weight"].copy_(weight)
                target[f"{name}.bias"].copy_(bias)
            for name, index in (("fc6", 0), ("fc7", 3)):
                weight = target[f"{name}.weight"]
                weight.copy_(state[f"classifier.{index}.weight"].view_as(weight))
                target[f"{name}.bias"].copy_(state[f"classifier.{index}.bias"])


_TORCHVISION_FEATURES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)


def _cropped(x: torch.Tensor, offset: int, size: tuple[int, int] | torch.Size) -> torch.Tensor:
    return x[..., offset : offset + size[0], offset : offset + size[1]]
