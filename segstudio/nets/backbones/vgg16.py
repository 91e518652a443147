"""VGG-16 (Simonyan, Zisserman, ICLR 2015, configuration D) as the trunk of FCN, ParseNet, DeepLab and hypercolumns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import nn

from segstudio.nets.base import SegmentationNet
from segstudio.nets.blocks import ConvReLU
from segstudio.nets.preprocess import convert_first_layer

_WIDTHS: Final = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
_TORCHVISION_FEATURES: Final = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
FULLY_CONNECTED: Final[Mapping[str, str]] = {"fc6": "classifier.0", "fc7": "classifier.3"}
"""Name in the papers to torchvision's."""


def _convolutions() -> dict[str, tuple[int, int]]:
    layers: dict[str, tuple[int, int]] = {}
    inputs = 3
    for block, widths in enumerate(_WIDTHS, start=1):
        for index, outputs in enumerate(widths, start=1):
            layers[f"conv{block}_{index}"] = (inputs, outputs)
            inputs = outputs
    return layers


CONVOLUTIONS: Final = _convolutions()
"""Name to (input channels, output channels), in order."""


def convolutions_of(block: int) -> tuple[str, ...]:
    """The names of one block's convolutions, `block` from 1 to 5."""
    return tuple(name for name in CONVOLUTIONS if name.startswith(f"conv{block}_"))


def thinned(channels: int, thin: int) -> int:
    """A layer's width in a trunk whose layers are all `thin` times narrower; colours stay three."""
    return channels if channels == 3 else max(1, channels // thin)


def add_convolutions(module: nn.Module, *, thin: int = 1, last_dilation: int = 1) -> None:
    """Gives `module` the 13 convolutions; block 5 with `last_dilation`."""
    for name, (inputs, outputs) in CONVOLUTIONS.items():
        dilation = last_dilation if name.startswith("conv5") else 1
        shape = thinned(inputs, thin), thinned(outputs, thin)
        module.add_module(name, ConvReLU(*shape, 3, padding=dilation, dilation=dilation))


def run_block(module: nn.Module, x: torch.Tensor, number: int) -> torch.Tensor:
    """The output of the convolutions of one block of `module`, `number` from 1 to 5."""
    for name in convolutions_of(number):
        x = module.get_submodule(name)(x)
    return x


def initialise_convolutions(module: nn.Module) -> None:
    """He initialisation with zero biases for every convolution, for a network without ImageNet weights."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)


@torch.no_grad()
def load_convolutions(module: nn.Module, state: Mapping[str, torch.Tensor], profile: str) -> None:
    """Fills the 13 convolutions of `module` from torchvision's VGG-16 (trained on profile TV).

    The first layer is converted to the input profile `profile`.
    """
    target = dict(module.named_parameters())
    for name, index in zip(CONVOLUTIONS, _TORCHVISION_FEATURES, strict=True):
        weight, bias = state[f"features.{index}.weight"], state[f"features.{index}.bias"]
        if name == "conv1_1":
            weight, shift = convert_first_layer(weight, source="TV", target=profile)
            bias = bias + shift
        target[f"{name}.weight"].copy_(weight)
        target[f"{name}.bias"].copy_(bias)


class Vgg16Net(SegmentationNet):
    """A network whose own modules conv1_1 to conv5_3 are VGG-16's convolutions."""

    imagenet: str | None = "VGG16_Weights.IMAGENET1K_V1"

    def add_convolutions(self, *, thin: int = 1, last_dilation: int = 1) -> None:
        """Adds the 13 convolutions; block 5 with `last_dilation`. ImageNet weights fit only where `thin` is 1."""
        add_convolutions(self, thin=thin, last_dilation=last_dilation)
        if thin != 1:
            self.imagenet = None

    def block(self, x: torch.Tensor, number: int) -> torch.Tensor:
        """The convolutions of one block, `number` from 1 to 5."""
        return run_block(self, x, number)

    def initialise_trunk(self) -> None:
        """He initialisation with zero biases for every convolution, for a trunk without ImageNet weights."""
        initialise_convolutions(self)

    def load_imagenet(self, state: Mapping[str, torch.Tensor]) -> None:
        """Takes torchvision's VGG-16: 13 convolutions, converted to this network's input profile, then fc6 and fc7."""
        load_convolutions(self, state, self.card.preprocessing)
        with torch.no_grad():
            for name, place in FULLY_CONNECTED.items():
                self.load_fully_connected(name, state[f"{place}.weight"], state[f"{place}.bias"])

    def load_fully_connected(self, name: str, weight: torch.Tensor, bias: torch.Tensor) -> None:
        """Takes VGG's fc6, `weight` (4096, 25088), or fc7, (4096, 4096), as a convolution; no gradient is recorded."""
        layer = self.get_submodule(name)
        assert isinstance(layer, nn.Conv2d)
        assert layer.bias is not None
        layer.weight.copy_(weight.view_as(layer.weight))
        layer.bias.copy_(bias)
