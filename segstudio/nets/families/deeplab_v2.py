"""DeepLab v2 (Chen et al., TPAMI 2018) with ResNet-101 or VGG-16, several heads, one or three image scales.

With three scales one trunk sees the input at 1, 0.75 and 0.5; the score maps are fused by their maximum, and training
has four losses: fused, and each scale's own (section 4.1.2 and the released networks).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import torch
import torch.nn.functional as F
from torch import nn

from segstudio.core.errors import ModelError
from segstudio.nets.backbones.resnet import ResNetTrunk
from segstudio.nets.base import ScoreMap, SegmentationNet, parameter_group, trainable
from segstudio.nets.registry_names import OptionValue

HEADS: Final[Mapping[str, tuple[int, ...]]] = {"aspp": (6, 12, 18, 24), "largefov": (12,)}
SCALES: Final = ("multi", "single")
_HEAD_STD: Final = 0.01
_PERIOD: Final = 32


class AtrousClassifiers(nn.Module):
    """The sum of parallel 3 x 3 classifiers, one for each dilation (section 3.2; one alone is LargeFOV)."""

    def __init__(self, inputs: int, classes: int, rates: tuple[int, ...]) -> None:
        super().__init__()
        for index, rate in enumerate(rates):
            branch = nn.Conv2d(inputs, classes, 3, padding=rate, dilation=rate)
            nn.init.normal_(branch.weight, std=_HEAD_STD)
            assert branch.bias is not None
            nn.init.zeros_(branch.bias)
            self.add_module(f"c{index}", branch)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores (N, C, h, w) float32."""
        return torch.stack([branch(x).float() for branch in self.children()]).sum(0)


class DeepLabV2(SegmentationNet):
    """DeepLab v2 with ResNet-101 and frozen batch normalisation, at output stride 8.

    With `align_corners` (the released networks) grids meet at corner pixels: 321 px become 241, 161 and 41 cells.
    Without it (the PyTorch re-implementation whose checkpoints are in use) sizes are rounded down and cells centred.
    """

    family: ClassVar[str] = "deeplabv2"
    stride = 8
    multiple = _PERIOD
    # The receptive field is larger than most images; ASPP's widest branch reaches 192 px at scale 1, 384 px at 0.5.
    margin = 256
    minimum = _PERIOD + 1
    head_prefixes = ("aspp.",)
    imagenet: str | None = "ResNet101_Weights.IMAGENET1K_V1"

    def __init__(
        self,
        *,
        classes: int,
        trunk: str = "resnet101",
        head: str = "aspp",
        scales: str = "multi",
        align_corners: bool = True,
        thin: int = 1,
    ) -> None:
        for name, value, choices in (("head", head, HEADS), ("scales", scales, SCALES), ("trunk", trunk, _TRUNKS)):
            if value not in choices:
                raise ModelError(f"DeepLab v2 has no {name} {value!r}.", f"Choose one of {', '.join(choices)}.")
        options: dict[str, OptionValue] = {"trunk": trunk, "head": head, "scales": scales}
        options |= {"align_corners": bool(align_corners), "thin": thin}
        super().__init__(classes=classes, profile="CAFFE-DL", options=options)
        self.align_corners = bool(align_corners)
        self.multi_scale = scales == "multi"
        self.trunk = ResNetTrunk(101, layout="caffe", output_stride=8, frozen=True, thin=thin)
        self.aspp = AtrousClassifiers(self.trunk.channels, classes, HEADS[head])
        self.pixel_bytes = 800
        if thin != 1:
            self.imagenet = None

    def _scores(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.aspp(self.trunk(x))
        return out

    def _scaled(self, x: torch.Tensor, quarters: int) -> torch.Tensor:
        if not self.align_corners:
            scale = quarters / 4
            return F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)
        # Shrink 4 then zoom 3 is (n - 1) // 4 * 3 + 1; shrink 2 is (n - 1) // 2 + 1.
        shrink, zoom = (2, 1) if quarters == 2 else (4, 3)
        size = [(side - 1) // shrink * zoom + 1 for side in x.shape[-2:]]
        return F.interpolate(x, size=size, mode="bilinear", align_corners=True)

    def _resized(self, scores: torch.Tensor, size: torch.Size) -> torch.Tensor:
        return F.interpolate(scores, size=size, mode="bilinear", align_corners=self.align_corners)

    def _pyramid(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return self._scores(x), self._scores(self._scaled(x, 3)), self._scores(self._scaled(x, 2))

    def native(self, x: torch.Tensor) -> torch.Tensor:
        """Max-fused logits (N, C, ceil(H / 8), ceil(W / 8)) float32."""
        if not self.multi_scale:
            return self._scores(x)
        whole, three_quarters, half = self._pyramid(x)
        size = whole.shape[-2:]
        return torch.maximum(torch.maximum(whole, self._resized(three_quarters, size)), self._resized(half, size))

    def full_size(self, x: torch.Tensor) -> torch.Tensor:
        """`native`, zoomed 8 times; padded with the mean colour first, so that the grids of all scales coincide."""
        if not self.align_corners:
            return self._resized(self.native(x), x.shape[-2:])
        height, width = x.shape[-2:]
        padded = _aligned(x)
        return self._resized(self.native(padded), padded.shape[-2:])[..., :height, :width]

    def training_outputs(self, x: torch.Tensor) -> tuple[ScoreMap, ...]:
        """Fused, 1 and 0.75 at stride 8, 0.5 at its own stride 16; with one scale that alone."""
        x = _aligned(x) if self.align_corners else x
        centred = not self.align_corners
        if not self.multi_scale:
            return (ScoreMap(self._scores(x), 8, centred=centred),)
        whole, three_quarters, half = self._pyramid(x)
        size = whole.shape[-2:]
        three_quarters = self._resized(three_quarters, size)
        fused = torch.maximum(torch.maximum(whole, three_quarters), self._resized(half, size))
        at_eight = [ScoreMap(scores, 8, centred=centred) for scores in (fused, whole, three_quarters)]
        return (*at_eight, ScoreMap(half, 16, centred=centred))

    def score_loss(
        self, logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Cross-entropy; cells of the padding, which no label reaches, do not count."""
        height, width = logits.shape[-2:]
        bottom, right = max(0, height - labels.shape[-2]), max(0, width - labels.shape[-1])
        labels = F.pad(labels, (0, right, 0, bottom), value=255)[..., :height, :width]
        if weights is not None:
            weights = F.pad(weights, (0, right, 0, bottom))[..., :height, :width]
        return super().score_loss(logits, labels, weights)

    def parameter_groups(self, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """Trunk; classifier weights at ten times, classifier biases at twenty times the rate, these without decay."""
        return [
            parameter_group("trunk", trainable(self.trunk), lr, weight_decay),
            parameter_group("classifier weights", trainable(self.aspp, bias=False), lr, weight_decay, scale=10.0),
            parameter_group("classifier biases", trainable(self.aspp, bias=True), lr, 0.0, scale=20.0),
        ]

    def load_imagenet(self, state: Mapping[str, torch.Tensor]) -> None:
        """Takes torchvision's ResNet-101."""
        self.trunk.load_imagenet(state, self.card.preprocessing)


_TRUNKS: Final = ("resnet101",)


def _aligned(x: torch.Tensor) -> torch.Tensor:
    """`x` padded at bottom and right with zeros, which are the mean colour, to sides 32 k + 1."""
    bottom, right = ((1 - side) % _PERIOD for side in x.shape[-2:])
    return F.pad(x, (0, right, 0, bottom)) if bottom or right else x
