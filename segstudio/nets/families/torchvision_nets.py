"""torchvision's six segmentation networks: FCN and DeepLab v3 on ResNet, DeepLab v3 and LR-ASPP on MobileNet v3.

Long, Shelhamer, Darrell, CVPR 2015; Chen et al., 2017; Howard et al., ICCV 2019, section 6.3. They are torchvision's
own modules under its own names, so that its checkpoints load; ASPP keeps the rates 12, 24, 36 at any output stride.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Final

import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from segstudio.core.errors import ModelError
from segstudio.nets.base import ScoreMap, SegmentationNet, parameter_group, trainable
from segstudio.nets.wrapped import narrow_layers, share_means

# Of the auxiliary head's loss, and of its learning rate, in torchvision's training.
_AUX_WEIGHT: Final = 0.5
_AUX_SCALE: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """`stride` of the scores, `grid` of the coarsest features, `reach` of the widest branch in pixels."""

    imagenet: str
    stride: int
    grid: int
    reach: int
    pixel_bytes: int
    heads: tuple[str, ...] = ("classifier.4.", "aux_classifier.4.")
    has_aux: bool = True


_MOBILENET: Final = "MobileNet_V3_Large_Weights.IMAGENET1K_V1"
MODELS: Final[Mapping[str, _Facts]] = MappingProxyType(
    {
        "fcn_resnet50": _Facts(
            imagenet="ResNet50_Weights.IMAGENET1K_V1", stride=8, grid=8, reach=496, pixel_bytes=1150
        ),
        "fcn_resnet101": _Facts(
            imagenet="ResNet101_Weights.IMAGENET1K_V1", stride=8, grid=8, reach=496, pixel_bytes=1150
        ),
        "deeplabv3_resnet50": _Facts(
            imagenet="ResNet50_Weights.IMAGENET1K_V1", stride=8, grid=8, reach=496, pixel_bytes=1150
        ),
        "deeplabv3_resnet101": _Facts(
            imagenet="ResNet101_Weights.IMAGENET1K_V1", stride=8, grid=8, reach=496, pixel_bytes=1150
        ),
        "deeplabv3_mobilenet_v3_large": _Facts(imagenet=_MOBILENET, stride=16, grid=16, reach=768, pixel_bytes=350),
        "lraspp_mobilenet_v3_large": _Facts(
            imagenet=_MOBILENET,
            stride=8,
            grid=16,
            reach=288,
            pixel_bytes=350,
            heads=("classifier.low_classifier.", "classifier.high_classifier."),
            has_aux=False,
        ),
    }
)


class TorchvisionNet(SegmentationNet):
    """One of torchvision's segmentation networks.

    Images go through at full size, since labels are wanted there; torchvision evaluates with the shorter side at 520.
    """

    family: ClassVar[str] = "torchvision"
    # Two cells of stride 16 on each side, so that normalisation has several values to take a mean of.
    minimum = 17

    def __init__(self, *, classes: int, model: str = "deeplabv3_resnet50", aux: bool = True, thin: int = 1) -> None:
        facts = MODELS.get(model)
        if facts is None:
            raise ModelError(f"torchvision has no network {model!r}.", f"Choose one of {', '.join(MODELS)}.")
        if aux and not facts.has_aux:
            raise ModelError(f"The network {model} has no auxiliary head.", "Set aux to false.")
        super().__init__(classes=classes, profile="TV", options={"model": model, "aux": aux, "thin": thin})
        with torch.device("meta") if thin != 1 else nullcontext():
            net = torchvision.models.get_model(
                model, weights=None, weights_backbone=None, num_classes=classes, aux_loss=aux
            )
        if thin != 1:
            narrow_layers(net, thin, facts.heads)
        share_means(net)
        self.backbone: nn.Module = net.backbone
        self.classifier: nn.Module = net.classifier
        self.aux_classifier: nn.Module | None = net.aux_classifier if aux else None
        self.whole_features = not facts.has_aux
        self.head_prefixes = facts.heads
        self.stride, self.multiple = facts.stride, facts.grid
        self.margin = facts.reach + 2 * facts.grid
        self.pixel_bytes = facts.pixel_bytes
        self.imagenet = facts.imagenet if thin == 1 else None

    def _scores(self, features: Mapping[str, torch.Tensor]) -> torch.Tensor:
        # LR-ASPP takes low and high features, the others the last ones.
        scores: torch.Tensor = self.classifier(features if self.whole_features else features["out"])
        return scores.float()

    def native(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, C, H / stride, W / stride) float32, rounded up."""
        return self._scores(self.backbone(x))

    def full_size(self, x: torch.Tensor) -> torch.Tensor:
        """`native`, upsampled with cells centred."""
        return _grown(self.native(x), x)

    def training_outputs(self, x: torch.Tensor) -> tuple[ScoreMap, ...]:
        """Scores at label size and, where there is one, the auxiliary head's with half the weight."""
        features = self.backbone(x)
        main = ScoreMap(_grown(self._scores(features), x))
        if self.aux_classifier is None:
            return (main,)
        return main, ScoreMap(_grown(self.aux_classifier(features["aux"]).float(), x), weight=_AUX_WEIGHT)

    def parameter_groups(self, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """Backbone and classifier; the auxiliary head at ten times the rate."""
        main = [*trainable(self.backbone), *trainable(self.classifier)]
        groups = [parameter_group("backbone and classifier", main, lr, weight_decay)]
        if self.aux_classifier is not None:
            aux = trainable(self.aux_classifier)
            groups.append(parameter_group("auxiliary head", aux, lr, weight_decay, scale=_AUX_SCALE))
        return groups

    def load_imagenet(self, state: Mapping[str, torch.Tensor]) -> None:
        """Takes torchvision's weights of the backbone."""
        wanted = self.backbone.state_dict()
        renamed = {key.removeprefix("features."): value for key, value in state.items()}
        self.backbone.load_state_dict({key: renamed[key] for key in wanted if key in renamed})


def _grown(scores: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return F.interpolate(scores, size=x.shape[-2:], mode="bilinear", align_corners=False)
