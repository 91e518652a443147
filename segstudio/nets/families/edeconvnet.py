"""EDeconvNet (Noh, Hong, Han, ICCV 2015, section 4.3): DeconvNet and FCN-8s, whose answers are averaged.

DeconvNet draws shapes from many boxes, FCN-8s sees the whole image at once; they err in different places.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch

from segstudio.nets.base import SegmentationNet
from segstudio.nets.families.deconvnet import DeconvNet
from segstudio.nets.families.fcn import FCN


class EDeconvNet(SegmentationNet):
    """The mean of both networks' class probabilities, as the paper has it (the release multiplies scores instead).

    Attributes:
        members: Both networks, for a predictor that scores each in its own way before it averages.
    """

    family: ClassVar[str] = "edeconvnet"
    head_prefixes = tuple(f"deconvnet.{name}" for name in DeconvNet.head_prefixes) + tuple(
        f"fcn8s.{name}" for name in FCN.head_prefixes
    )
    imagenet: str | None = "VGG16_Weights.IMAGENET1K_V1"

    def __init__(self, *, classes: int, thin: int = 1) -> None:
        super().__init__(classes=classes, profile="CAFFE-FCN", options={"thin": thin})
        if thin != 1:
            self.imagenet = None
        self.deconvnet = DeconvNet(classes=classes, thin=thin)
        self.fcn8s = FCN(classes=classes, variant="8s", thin=thin)
        # DeconvNet works on boxes of one size; only what FCN-8s needs grows with the image.
        self.pixel_bytes = self.fcn8s.pixel_bytes

    @property
    def members(self) -> tuple[SegmentationNet, ...]:
        """DeconvNet and FCN-8s."""
        return (self.deconvnet, self.fcn8s)

    def native(self, x: torch.Tensor) -> torch.Tensor:
        """The logarithm of the mean probabilities, (N, C, H, W) float32, with the whole image as DeconvNet's box."""
        first, second = (member(x).log_softmax(1) for member in self.members)
        return torch.logaddexp(first, second) - math.log(2)

    def begin_step(self, fraction: float) -> None:
        """Tells both."""
        for member in self.members:
            member.begin_step(fraction)

    def training_loss(self, x: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
        """The sum of both networks' own losses, a scalar; arguments as for every network."""
        losses = []
        for member in self.members:
            member.reduction = self.reduction
            losses.append(member.training_loss(x, labels, weights))
        return torch.stack(losses).sum()

    def parameter_groups(self, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """Those of both networks."""
        return [
            {**group, "name": f"{member.family} {group['name']}"}
            for member in self.members
            for group in member.parameter_groups(lr, weight_decay)
        ]

    def load_imagenet(self, state: Mapping[str, torch.Tensor]) -> None:
        """Takes torchvision's VGG-16 as the trunk of both."""
        for member in self.members:
            member.load_imagenet(state)
