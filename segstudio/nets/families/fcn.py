"""FCN-32s, -16s, -8s and -8s at once (Long, Shelhamer, Darrell, CVPR 2015) on VGG-16, as in the authors' release.

The image gets 100 px of zeros on each side, all five pools round up, each crop has the release's fixed offset,
upsampling is fixed bilinear deconvolution, and dropout drops single elements.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import torch
from torch import nn

from segstudio.core.errors import ModelError
from segstudio.nets.backbones.upsampling import BilinearDeconv
from segstudio.nets.backbones.vgg16 import Vgg16Net, thinned
from segstudio.nets.blocks import ConvReLU
from segstudio.nets.families.fcn_border import padded_pools
from segstudio.nets.groups import caffe_groups
from segstudio.nets.registry_names import FCN_STAGES, OptionValue
from segstudio.nets.stages import take_former_stage

# Where the last upsampling is cropped, by its factor. With these offsets a coarse cell lies at the same pixels in all
# three networks, so that one can go on where another ended.
_LAST_CROPS: Final = {32: 19, 16: 27, 8: 31}
_POOL4_CROP: Final = 5
_POOL3_CROP: Final = 9


@dataclass(frozen=True, slots=True)
class _Variant:
    """The factor of the last upsampling, and what multiplies pool4 and pool3 before their scorers."""

    factor: int
    pool4_scale: float = 1.0
    pool3_scale: float = 1.0


VARIANTS: Final[Mapping[str, _Variant]] = {
    "32s": _Variant(32),
    "16s": _Variant(16),
    "8s": _Variant(8),
    # The release trains all skips together and scales their inputs instead of learning in stages.
    "8s-atonce": _Variant(8, 0.01, 0.0001),
}
_NEW_SCORER: Final[Mapping[str, str]] = {"16s": "score_pool4", "8s": "score_pool3"}


class FCN(Vgg16Net):
    """A fully convolutional VGG-16; `native` is at input size, since cropping belongs to the network."""

    family: ClassVar[str] = "fcn"
    multiple = 32
    # Receptive field 404 px: 202 on each side, and up to 44 px by which the upsamplings of FCN-8s spread a cell.
    margin = 256
    head_prefixes = ("score_", "upscore")

    def __init__(self, *, classes: int, variant: str = "8s", thin: int = 1) -> None:
        if variant not in VARIANTS:
            raise ModelError(f"There is no FCN variant {variant!r}.", f"Variants: {', '.join(VARIANTS)}.")
        super().__init__(classes=classes, profile="CAFFE-FCN", options={"variant": variant, "thin": thin})
        self.variant = variant
        how = self._how = VARIANTS[variant]
        self.add_convolutions(thin=thin)
        deep = thinned(4096, thin)
        self.fc6 = ConvReLU(thinned(512, thin), deep, 7)
        self.fc7 = ConvReLU(deep, deep, 1)
        self.initialise_trunk()
        self.score_fr = nn.Conv2d(deep, classes, 1)
        if how.factor == 8:
            self.score_pool3 = nn.Conv2d(thinned(256, thin), classes, 1)
        if how.factor <= 16:
            self.score_pool4 = nn.Conv2d(thinned(512, thin), classes, 1)
            self.upscore2 = BilinearDeconv(classes, 4, stride=2)
        if how.factor == 32:
            self.upscore = BilinearDeconv(classes, 64, stride=32)
        elif how.factor == 16:
            self.upscore16 = BilinearDeconv(classes, 32, stride=16)
        else:
            self.upscore_pool4 = BilinearDeconv(classes, 4, stride=2)
            self.upscore8 = BilinearDeconv(classes, 16, stride=8)
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.dropout = nn.Dropout(0.5)
        # With the border of 100 px of a tile of 600 px or so, which counts for two thirds more.
        self.pixel_bytes = 1800
        for name, parameter in self.named_parameters():
            if name.startswith("score_"):
                nn.init.zeros_(parameter)

    def _features(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        pool3, pool4 = padded_pools(self, x)
        x = self.pool(self.block(pool4, 5))
        return self.dropout(self.fc7(self.dropout(self.fc6(x)))), pool4, pool3

    def native(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, C, H, W) float32."""
        size, how = x.shape[-2:], self._how
        deep, pool4, pool3 = self._features(x)
        y = self.score_fr(deep).float()
        if how.factor == 32:
            return _cropped(self.upscore(y), _LAST_CROPS[32], size)
        y = self.upscore2(y)
        y = y + _cropped(self.score_pool4(_scaled(pool4, how.pool4_scale)), _POOL4_CROP, y.shape[-2:]).float()
        if how.factor == 16:
            return _cropped(self.upscore16(y), _LAST_CROPS[16], size)
        y = self.upscore_pool4(y)
        y = y + _cropped(self.score_pool3(_scaled(pool3, how.pool3_scale)), _POOL3_CROP, y.shape[-2:]).float()
        return _cropped(self.upscore8(y), _LAST_CROPS[8], size)

    def load_stage(self, state: Mapping[str, torch.Tensor], options: Mapping[str, OptionValue]) -> None:
        """Goes on from the variant before (`FCN_STAGES`), a network of as many classes.

        `state` and `options` are those of its checkpoint. The new skip's scorer is set to zero, so that the first
        answer is the coarse one. The paper then trains all layers with a learning rate 100 times smaller than the
        stage before (section 4.2).

        Raises:
            ModelError: `state` is of another variant or class count, or this variant is not trained in stages.
        """
        former, given = FCN_STAGES.get(self.variant), options.get("variant")
        if former is None:
            raise ModelError(
                f"FCN-{self.variant} does not go on from another network.",
                f"Train it in one go, or choose one of {', '.join(FCN_STAGES)}.",
            )
        if given != former:
            raise ModelError(
                f"FCN-{self.variant} goes on from FCN-{former}, not from FCN-{given}.", f"Choose an FCN-{former}."
            )
        scorer = _NEW_SCORER[self.variant]
        take_former_stage(self, state, former=f"FCN-{former}", new=(f"{scorer}.", "upscore"))
        for parameter in self.get_submodule(scorer).parameters():
            nn.init.zeros_(parameter)

    def parameter_groups(self, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """Weights; biases at twice the rate without decay; the fixed deconvolutions in neither."""
        return caffe_groups(self, lr, weight_decay)


def _scaled(x: torch.Tensor, factor: float) -> torch.Tensor:
    return x if factor == 1.0 else x * factor


def _cropped(x: torch.Tensor, offset: int, size: tuple[int, int] | torch.Size) -> torch.Tensor:
    return x[..., offset : offset + size[0], offset : offset + size[1]]
