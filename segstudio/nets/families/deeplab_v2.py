"""DeepLab v2 (Chen et al., TPAMI 2018) with ResNet-101 or VGG-16, several heads, one or three image scales.

With three scales one trunk sees the input at 1, 0.75 and 0.5; the score maps are fused by their maximum, and training
has four losses: fused, and each scale's own (section 4.1.2 and the released networks).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import ClassVar, Final

import torch
import torch.nn.functional as F
from torch import nn

from segstudio.core.errors import ModelError
from segstudio.nets.backbones.resnet import ResNetTrunk
from segstudio.nets.backbones.vgg16 import thinned
from segstudio.nets.backbones.vgg16_atrous import AtrousVgg16
from segstudio.nets.base import ScoreMap
from segstudio.nets.families.atrous import AtrousBranch, AtrousNet, classifier
from segstudio.nets.registry_names import OptionValue

HEADS: Final[Mapping[str, Mapping[str, tuple[int, ...]]]] = {
    "resnet101": {"aspp": (6, 12, 18, 24), "largefov": (12,)},
    "vgg16": {"largefov": (12,), "aspp-s": (2, 4, 8, 12), "aspp-l": (6, 12, 18, 24)},
}
"""The dilations of each trunk's heads."""
SCALES: Final = ("multi", "single")
_VGG_WIDTH: Final = 1024


class AtrousPyramid(nn.Module):
    """The sum of the scores of parallel branches, which see neighbourhoods of different size (section 3.2)."""

    def __init__(self, branches: list[nn.Module]) -> None:
        super().__init__()
        for index, branch in enumerate(branches):
            self.add_module(f"c{index}", branch)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores (N, C, h, w) float32."""
        return torch.stack([branch(x).float() for branch in self.children()]).sum(0)


class DeepLabV2(AtrousNet):
    """DeepLab v2 at output stride 8 with the trunk `trunk` and the head `head`; one branch alone is LargeFOV.

    ResNet-101 keeps its batch normalisation frozen, and its branches are single 3 x 3 classifiers. With VGG-16 each
    branch has an fc6, fc7 and fc8 of its own, and all start from the same reduced fc6 and fc7. The published networks
    with VGG-16 have one scale.

    With `align_corners` (the released networks) grids meet at corner pixels: 321 px become 241, 161 and 41 cells.
    Without it (the PyTorch re-implementation whose checkpoints are in use) sizes are rounded down and cells centred.
    """

    family: ClassVar[str] = "deeplabv2"
    # All three scales of an input of 32 k + 1 px have whole cells.
    multiple = 32
    minimum = 33

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
        _check("trunk", trunk, HEADS)
        _check("head", head, HEADS[trunk])
        _check("scales", scales, SCALES)
        options: dict[str, OptionValue] = {"trunk": trunk, "head": head, "scales": scales}
        options |= {"align_corners": bool(align_corners), "thin": thin}
        super().__init__(classes=classes, profile="CAFFE-DL", options=options)
        self.align_corners = bool(align_corners)
        self.multi_scale = scales == "multi"
        self.trunk: ResNetTrunk | AtrousVgg16
        if trunk == "resnet101":
            self._add_resnet(classes, HEADS[trunk][head], thin)
        else:
            self._add_vgg(classes, HEADS[trunk][head], thin)
        if thin != 1:
            self.imagenet = None

    def _add_resnet(self, classes: int, rates: tuple[int, ...], thin: int) -> None:
        self.trunk = ResNetTrunk(101, layout="caffe", output_stride=8, frozen=True, thin=thin)
        inputs = self.trunk.channels
        self.aspp = AtrousPyramid([classifier(inputs, classes, 3, dilation=rate) for rate in rates])
        self.head_prefixes = ("aspp.",)
        self.imagenet = "ResNet101_Weights.IMAGENET1K_V1"
        # The receptive field in full is larger than most images. ASPP's widest branch reaches 192 px at scale 1 and 384
        # at 0.5; what lies farther than this from a pixel was measured to change its probabilities by 0.02 at most.
        self.margin = 512
        self.pixel_bytes = 1000

    def _add_vgg(self, classes: int, rates: tuple[int, ...], thin: int) -> None:
        self.trunk = AtrousVgg16(thin=thin)
        inputs, width = self.trunk.channels, thinned(_VGG_WIDTH, thin)
        branches = [AtrousBranch(inputs, classes, width=width, size=3, dilation=rate) for rate in rates]
        self.aspp = AtrousPyramid(list(branches))
        self.head_prefixes = tuple(f"aspp.c{index}.fc8." for index in range(len(rates)))
        self.imagenet = "VGG16_Weights.IMAGENET1K_V1"
        # All that a pixel of one scale can see. Three scales see twice as far, which no tile can afford.
        self.margin = self.trunk.reach + max(branch.reach for branch in branches) + self.stride
        self.pixel_bytes = 1050

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

    def _pyramid(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return self._scores(x), self._scores(self._scaled(x, 3)), self._scores(self._scaled(x, 2))

    def native(self, x: torch.Tensor) -> torch.Tensor:
        """Max-fused logits (N, C, ceil(H / 8), ceil(W / 8)) float32."""
        if not self.multi_scale:
            return self._scores(x)
        whole, three_quarters, half = self._pyramid(x)
        size = whole.shape[-2:]
        return torch.maximum(torch.maximum(whole, self.resized(three_quarters, size)), self.resized(half, size))

    def training_outputs(self, x: torch.Tensor) -> tuple[ScoreMap, ...]:
        """Fused, 1 and 0.75 at stride 8, 0.5 at its own stride 16; with one scale that alone."""
        x = self.aligned(x)
        centred = not self.align_corners
        if not self.multi_scale:
            return (ScoreMap(self._scores(x), 8, centred=centred),)
        whole, three_quarters, half = self._pyramid(x)
        size = whole.shape[-2:]
        three_quarters = self.resized(three_quarters, size)
        fused = torch.maximum(torch.maximum(whole, three_quarters), self.resized(half, size))
        at_eight = [ScoreMap(scores, 8, centred=centred) for scores in (fused, whole, three_quarters)]
        return (*at_eight, ScoreMap(half, 16, centred=centred))

    def load_imagenet(self, state: Mapping[str, torch.Tensor]) -> None:
        """Takes torchvision's ResNet-101 or VGG-16; from the latter fc6 and fc7 too, reduced, for every branch."""
        self.trunk.load_imagenet(state, self.card.preprocessing)
        for branch in self.aspp.children():
            if isinstance(branch, AtrousBranch):
                branch.load_imagenet(state)


def _check(what: str, value: str, choices: Collection[str]) -> None:
    if value not in choices:
        raise ModelError(f"DeepLab v2 has no {what} {value!r}.", f"Choose one of {', '.join(choices)}.")
