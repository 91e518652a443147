"""DeepLab v1 (Chen, Papandreou, Kokkinos, Murphy, Yuille, ICLR 2015) on VGG-16 at output stride 8.

The heads differ in what fc6 sees (sections 3.1 and 3.2): 4 x 4 or 7 x 7 taps four cells apart, or LargeFOV, 3 x 3 taps
twelve cells apart with 1024 filters. As in the release, pools have 3 x 3 windows and LargeFOV averages after pool5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from torch import nn

from segstudio.core.errors import ModelError
from segstudio.nets.backbones.vgg16 import thinned
from segstudio.nets.backbones.vgg16_atrous import AtrousVgg16
from segstudio.nets.base import ScoreMap
from segstudio.nets.blocks import ConvReLU
from segstudio.nets.families.atrous import AtrousBranch, AtrousNet, classifier
from segstudio.nets.registry_names import OptionValue
from segstudio.nets.stages import take_former_stage


@dataclass(frozen=True, slots=True)
class _Head:
    """fc6: taps in a row, dilation, filters; and whether pool5 is averaged before it."""

    size: int
    dilation: int
    width: int
    averaged: bool = False


HEADS: Final[Mapping[str, _Head]] = {
    "base": _Head(4, 4, 4096),
    "7x7": _Head(7, 4, 4096),
    "largefov": _Head(3, 12, 1024, averaged=True),
}
_FINE_STRIDES: Final[Mapping[str, int]] = {"image": 8, "pool1": 4, "pool2": 2, "pool3": 1, "pool4": 1}
_FINE_WIDTH: Final = 128
_FINE_STD: Final = 0.001


class FineBranch(nn.Module):
    """A two-layer perceptron with a classifier on features as fine as or finer than the scores (section 4.3).

    `stride` brings them to the scores' cells. Its scores have no bias: that of fc8 serves all, as if the perceptrons'
    outputs stood beside fc7 before one classifier.
    """

    def __init__(self, inputs: int, classes: int, *, width: int, stride: int) -> None:
        super().__init__()
        self.conv = ConvReLU(inputs, width, 3, stride=stride, padding=1)
        self.fc = ConvReLU(width, width, 1)
        self.dropout = nn.Dropout(0.5)
        for layer in (self.conv, self.fc):
            # Nearly silent at first: the image and the early pools hold values in the hundreds.
            nn.init.normal_(layer.weight, std=_FINE_STD)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
        self.score = classifier(width, classes, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores (N, C, ceil(h / stride), ceil(w / stride))."""
        out: torch.Tensor = self.score(self.dropout(self.fc(self.dropout(self.conv(x)))))
        return out


class DeepLabV1(AtrousNet):
    """DeepLab v1 with the head `head`; `msc` adds scores from the image and pools 1 to 4 (multi-scale prediction).

    The paper trains the `msc` branches last and keeps the layers below the classifiers as they were learnt without
    them: load such a network with `load_stage` and build with `fixed_trunk`. That option fixes the convolutions, fc6
    and fc7 whatever they hold, so it makes sense only where they are loaded; by default everything learns.
    """

    family: ClassVar[str] = "deeplabv1"
    multiple = 8
    imagenet: str | None = "VGG16_Weights.IMAGENET1K_V1"

    def __init__(
        self, *, classes: int, head: str = "largefov", msc: bool = False, fixed_trunk: bool = False, thin: int = 1
    ) -> None:
        if head not in HEADS:
            raise ModelError(f"DeepLab v1 has no head {head!r}.", f"Choose one of {', '.join(HEADS)}.")
        options: dict[str, OptionValue] = {"head": head, "msc": msc, "fixed_trunk": fixed_trunk, "thin": thin}
        super().__init__(classes=classes, profile="CAFFE-DL", options=options)
        how = HEADS[head]
        self.trunk = AtrousVgg16(averaged=how.averaged, thin=thin)
        self.head = AtrousBranch(
            self.trunk.channels, classes, width=thinned(how.width, thin), size=how.size, dilation=how.dilation
        )
        self.fine = nn.ModuleDict()
        if msc:
            for (name, stride), channels in zip(_FINE_STRIDES.items(), self.trunk.widths, strict=True):
                width = thinned(_FINE_WIDTH, thin)
                self.fine[name] = FineBranch(channels, classes, width=width, stride=stride)
        self.head_prefixes = ("head.fc8.", *(f"fine.{name}.score." for name in self.fine))
        # A pixel lies between cells whose places are up to 8 px away.
        self.margin = self.trunk.reach + self.head.reach + self.stride
        self.pixel_bytes = 1000
        if fixed_trunk:
            for part in (self.trunk, self.head.fc6, self.head.fc7):
                part.requires_grad_(requires_grad=False)
        if thin != 1:
            self.imagenet = None

    def native(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, C, ceil((H - 1) / 8) + 1, ceil((W - 1) / 8) + 1) float32."""
        x = self.aligned(x)
        *pools, deep = self.trunk.pools(x)
        scores: torch.Tensor = self.head(deep).float()
        for branch, features in zip(self.fine.values(), (x, *pools), strict=False):
            scores = scores + branch(features).float()
        return scores

    def training_outputs(self, x: torch.Tensor) -> tuple[ScoreMap, ...]:
        """The scores, against every eighth label."""
        return (ScoreMap(self.native(x), self.stride),)

    def load_stage(self, state: Mapping[str, torch.Tensor], options: Mapping[str, OptionValue]) -> None:
        """Goes on from the same network without `msc`, of as many classes; the branches keep their own numbers.

        `state` and `options` are those of its checkpoint.

        Raises:
            ModelError: `state` is of another head or class count, or this network has no `msc` branches.
        """
        head = self.options["head"]
        if not self.fine:
            raise ModelError("DeepLab v1 without msc does not go on from another network.", "Turn its option msc on.")
        if options.get("head") != head or options.get("msc"):
            raise ModelError(
                f"DeepLab v1 with msc goes on from DeepLab v1 with the head {head} and without msc.",
                "Choose such a network.",
            )
        take_former_stage(self, state, former=f"DeepLab v1 with the head {head}", new=("fine.",))

    def load_imagenet(self, state: Mapping[str, torch.Tensor]) -> None:
        """Takes torchvision's VGG-16, its fully connected layers reduced to those of the head."""
        self.trunk.load_imagenet(state, self.card.preprocessing)
        self.head.load_imagenet(state)
