"""What DeepLab v3 and v3+ share: a trunk at output stride 8 or 16, ASPP, and the way scores grow to image size."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Final

import torch
import torch.nn.functional as F

from segstudio.core.errors import ModelError
from segstudio.nets.backbones.aspp import ASPP
from segstudio.nets.backbones.trunks import IMAGENET, make_trunk
from segstudio.nets.backbones.xception import XceptionTrunk
from segstudio.nets.base import ScoreMap, parameter_group
from segstudio.nets.families.atrous import AtrousNet, classifier
from segstudio.nets.registry_names import OptionValue

UPSAMPLINGS: Final = ("padded", "corners", "centres")
SCALES: Final = ("single", "multi")
_WIDTH: Final = 256
# Three cells of stride 16 on each side, so that normalisation has several values to take a mean of.
_MINIMUM: Final = 33


class AtrousV3Net(AtrousNet):
    """DeepLab with ASPP; a subclass adds what lies between `aspp` and `classifier`.

    Options:
        trunk: resnet50, resnet101, xception65 or mobilenetv2.
        output_stride: 16, or 8 with all rates doubled, which takes more memory and gives finer scores.
        multi_grid: Multiplies the dilations of the trunk's last three blocks by 1, 2 and 4 (v3, section 3.2.1).
        layout: Which published variant of the trunk; "aligned" is the paper's.
        upsampling: "padded" grows scores with corner pixels meeting, on an image padded with the mean colour to sides
            of 16 k + 1, where this is exact (the authors' release); "corners" the same on the image as it comes, which
            stretches tiles of a large image by a cell at most; "centres" with cells centred.
        scales: "multi" takes the maximum over the image at 1, 0.75 and 0.5, with cells centred (a re-implementation's
            wrapper, not the paper's).
    """

    # ASPP's widest branch reaches 288 px at either output stride. The trunk's receptive field is larger than most
    # images; what lies farther than this from a pixel was measured to change its probabilities by 0.02 at most.
    margin = 512
    head_prefixes = ("classifier.",)

    def __init__(self, *, classes: int, options: Mapping[str, OptionValue]) -> None:
        upsampling, scales = options["upsampling"], options["scales"]
        for what, value, choices in (("upsampling", upsampling, UPSAMPLINGS), ("scales", scales, SCALES)):
            if value not in choices:
                raise ModelError(f"DeepLab has no {what} {value!r}.", f"Choose one of {', '.join(choices)}.")
        if scales == "multi" and upsampling != "centres":
            raise ModelError("Three scales are fused with cells centred.", "Set upsampling to centres.")
        super().__init__(classes=classes, profile="TV", options=options)
        trunk, thin, self.output_stride = str(options["trunk"]), int(options["thin"]), int(options["output_stride"])
        self.padded = upsampling == "padded"
        self.align_corners = upsampling != "centres"
        self.multi_scale = scales == "multi"
        self.imagenet = IMAGENET.get(trunk) if thin == 1 else None
        # At 0.75 and 0.5 of a tile's origin there must be a cell as well.
        self.multiple = self.output_stride * (4 if self.multi_scale else 1)
        self.minimum = _MINIMUM * (2 if self.multi_scale else 1)
        self.trunk = make_trunk(
            trunk,
            layout=str(options["layout"]),
            output_stride=self.output_stride,
            multi_grid=bool(options["multi_grid"]),
            thin=thin,
        )
        self.width = max(1, _WIDTH // thin)
        self.aspp = ASPP(
            self.trunk.channels, self.output_stride, width=self.width, separable=bool(options.get("separable"))
        )
        self.classifier = classifier(self.width, classes)

    @abstractmethod
    def scores(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, C, h, w) float32 of one scale, at the size at which scales are fused."""

    def aligned(self, x: torch.Tensor) -> torch.Tensor:
        """`x`, padded to whole cells where the network wants that."""
        return super().aligned(x) if self.padded else x

    def _pyramid(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The scores; where there are three scales, their maximum first, then each scale's own."""
        whole = self.scores(x)
        if not self.multi_scale:
            return (whole,)
        smaller = [
            self.scores(F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False))
            for scale in (0.75, 0.5)
        ]
        fused = torch.stack([whole, *(self.resized(part, whole.shape[-2:]) for part in smaller)]).amax(0)
        return fused, whole, *smaller

    def native(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, C, H / stride, W / stride) float32, rounded up."""
        return self._pyramid(x)[0]

    def training_outputs(self, x: torch.Tensor) -> tuple[ScoreMap, ...]:
        """Logits at label size, so that labels keep their detail (v3, section 4.1); fused and each scale's own."""
        height, width = x.shape[-2:]
        padded = self.aligned(x)
        return tuple(
            ScoreMap(self.resized(part, padded.shape[-2:])[..., :height, :width]) for part in self._pyramid(padded)
        )

    def parameter_groups(self, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """Filters; depthwise filters and normalisation without decay; the bias at twice the rate without decay.

        The papers give one rate for all; the rest is the authors' release.
        """
        learning = [(name, parameter) for name, parameter in self.named_parameters() if parameter.requires_grad]
        bias = [p for name, p in learning if name == "classifier.bias"]
        filters = [p for _, p in learning if p.ndim == 4 and p.shape[1] > 1]
        others = [p for name, p in learning if name != "classifier.bias" and (p.ndim < 4 or p.shape[1] == 1)]
        return [
            parameter_group("filters", filters, lr, weight_decay),
            parameter_group("depthwise filters and normalisation", others, lr, 0.0),
            parameter_group("bias", bias, lr, 0.0, scale=2.0),
        ]

    def load_imagenet(self, state: Mapping[str, torch.Tensor]) -> None:
        """Takes torchvision's weights of the trunk."""
        if isinstance(self.trunk, XceptionTrunk):
            super().load_imagenet(state)
        else:
            self.trunk.load_imagenet(state, self.card.preprocessing)
