"""MobileNet v2 (Sandler et al., CVPR 2018) without its classifier, as two published DeepLab projects changed it.

Both pad a block's input before the 1 x 1 expansion instead of the depthwise convolution's, so that the border holds
what normalisation makes of zero, not zero. A checkpoint trained that way needs it that way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import nn

from segstudio.nets.preprocess import convert_first_layer

# (expansion, width, blocks, stride)
_STAGES: Final = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_STEM: Final = 32
# The first convolution and the first three blocks, at stride 4.
_LOW: Final = 4
_NESTED: Final = re.compile(r"(.*conv)\.(\d)\.(\d)\.(\w+)")
_PLAIN: Final = re.compile(r"(.*conv)\.(\d)\.(\w+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class MobileNetLayout:
    """Where they differ: the first convolution's padding, and whether a whole dilated stage lags one step behind.

    Otherwise only a stage's first block keeps the dilation of the stage before.
    """

    stem_padding: int
    stage_lags: bool


LAYOUTS: Final[Mapping[str, MobileNetLayout]] = {
    "unpadded": MobileNetLayout(stem_padding=0, stage_lags=False),
    "lagging": MobileNetLayout(stem_padding=1, stage_lags=True),
}


class PaddedBlock(nn.Module):
    """An inverted residual whose whole input is padded by `dilation`: (N, inputs, H, W) to (N, outputs, ...)."""

    def __init__(self, inputs: int, outputs: int, *, expansion: int, stride: int, dilation: int) -> None:
        super().__init__()
        inner = inputs * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers += [nn.Conv2d(inputs, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU6(inplace=True)]
        layers += [
            nn.Conv2d(inner, inner, 3, stride=stride, dilation=dilation, groups=inner, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU6(inplace=True),
            nn.Conv2d(inner, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        self.conv = nn.Sequential(*layers)
        self.padding = dilation
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, outputs, H / stride, W / stride)."""
        y: torch.Tensor = self.conv(F.pad(x, (self.padding,) * 4))
        return x + y if self.residual else y


class MobileNetTrunk(nn.Module):
    """MobileNet v2 at output stride 8 or 16: (N, 3, H, W) to (N, 320 / thin, about H / stride, W / stride).

    Attributes:
        channels: Of the output.
        low_channels: Of the features at stride 4 that go to the decoder.
    """

    def __init__(self, *, layout: str, output_stride: int, thin: int = 1) -> None:
        super().__init__()
        how = LAYOUTS[layout]
        here = max(1, _STEM // thin)
        layers: list[nn.Module] = [
            nn.Sequential(
                nn.Conv2d(3, here, 3, stride=2, padding=how.stem_padding, bias=False),
                nn.BatchNorm2d(here),
                nn.ReLU6(inplace=True),
            )
        ]
        reached, dilation = 2, 1
        for expansion, width, count, stride in _STAGES:
            before, step = dilation, stride
            if reached == output_stride:
                dilation, step = dilation * stride, 1
            else:
                reached *= stride
            outputs = max(1, width // thin)
            for index in range(count):
                own = before if index == 0 or how.stage_lags else dilation
                first = step if index == 0 else 1
                layers.append(PaddedBlock(here, outputs, expansion=expansion, stride=first, dilation=own))
                here = outputs
        self.features = nn.Sequential(*layers)
        self.channels = here
        self.low_channels = max(1, _STAGES[1][1] // thin)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def stages(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The low-level features, at stride 4, and those of the last block."""
        low: torch.Tensor = self.features[:_LOW](x)
        deep: torch.Tensor = self.features[_LOW:](low)
        return low, deep

    def load_imagenet(self, state: Mapping[str, torch.Tensor], profile: str) -> None:
        """Takes torchvision's MobileNet v2 (trained on profile TV) without its last convolution and classifier."""
        trunk = {flat_name(key): value for key, value in state.items()}
        weight, shift = convert_first_layer(trunk["features.0.0.weight"], source="TV", target=profile)
        trunk["features.0.0.weight"] = weight
        trunk["features.0.1.running_mean"] = trunk["features.0.1.running_mean"] - shift
        self.load_state_dict({key: trunk[key] for key in self.state_dict() if key in trunk})


def flat_name(key: str) -> str:
    """Our name of a block's tensor from torchvision's; any other name as it is.

    There, convolution, normalisation and ReLU6 are nested in threes, but the last convolution and normalisation.
    """
    nested = _NESTED.fullmatch(key)
    if nested is not None:
        stem, group, place, leaf = nested.groups()
        return f"{stem}.{3 * int(group) + int(place)}.{leaf}"
    plain = _PLAIN.fullmatch(key)
    if plain is None:
        return key
    stem, place, leaf = plain.groups()
    # With the expansion (groups 0 and 1, then 2 and 3) or without it (group 0, then 1 and 2).
    expanded = not stem.endswith("features.1.conv")
    return f"{stem}.{int(place) + (4 if expanded else 2)}.{leaf}"
