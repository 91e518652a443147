"""Five networks of segmentation_models_pytorch, an optional library, under its own names.

U-Net (Ronneberger et al., 2015), FPN (Kirillov et al., CVPR 2019), PSPNet (Zhao et al., CVPR 2017), DeepLab v3 and v3+
(Chen et al., 2017 and 2018), each on any of the library's encoders. Its encoder weights are never downloaded.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Final

import torch
import torch.nn.functional as F
from torch import nn

from segstudio.core.errors import ModelError
from segstudio.nets.base import SegmentationNet
from segstudio.nets.registry_names import OptionValue
from segstudio.nets.wrapped import narrow_layers, share_means

_HEAD: Final = "segmentation_head.0."
_RESNETS: Final = (18, 34, 50, 101, 152)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """The library's class, how many stages of the encoder it uses unless told, the reach of its decoder in pixels."""

    name: str
    reach: int
    depth: int = 5
    pixel_bytes: int = 800


MODELS: Final[Mapping[str, _Facts]] = MappingProxyType(
    {
        "unet": _Facts(name="Unet", reach=288),
        "fpn": _Facts(name="FPN", reach=352, pixel_bytes=900),
        # Its grids of 1, 2, 3 and 6 cells cover whatever it is given. As in the paper's evaluation in crops, a tile has
        # grids of its own; only the mean of all is shared between tiles.
        "pspnet": _Facts(name="PSPNet", reach=224, depth=3, pixel_bytes=500),
        "deeplabv3": _Facts(name="DeepLabV3", reach=384, pixel_bytes=800),
        # At output stride 16 the library keeps the rates 12, 24, 36.
        "deeplabv3plus": _Facts(name="DeepLabV3Plus", reach=576),
    }
)


class SmpNet(SegmentationNet):
    """One of the library's networks with an encoder it knows by name.

    Sizes its encoder does not divide are continued at bottom and right with the last row and column, and cropped. The
    last upsampling lets corner pixels meet, as the library does.
    """

    family: ClassVar[str] = "smp"
    head_prefixes = (_HEAD,)

    def __init__(
        self, *, classes: int, model: str = "unet", encoder: str = "resnet34", depth: int = 0, thin: int = 1
    ) -> None:
        facts = MODELS.get(model)
        if facts is None:
            raise ModelError(f"There is no network {model!r} here.", f"Choose one of {', '.join(MODELS)}.")
        options: dict[str, OptionValue] = {"model": model, "encoder": encoder, "depth": depth, "thin": thin}
        super().__init__(classes=classes, profile="TV", options=options)
        depth = depth or facts.depth
        with torch.device("meta") if thin != 1 else nullcontext():
            net = _library_net(facts.name, encoder, depth, classes)
        if thin != 1:
            narrow_layers(net, thin, (_HEAD,))
        share_means(net)
        self.encoder: nn.Module = net.encoder
        self.decoder: nn.Module = net.decoder
        self.segmentation_head: nn.Sequential = net.segmentation_head
        self.period = int(net.encoder.output_stride)
        self.divides = bool(net.requires_divisible_input_shape)
        # Encoders keep the stages that a shallow network does not use.
        for stride, stages in net.encoder.get_stages().items():
            if stride > 2**depth:
                for stage in stages:
                    stage.requires_grad_(requires_grad=False)
        self.stride = int(getattr(self.segmentation_head[1], "scale_factor", 1))
        self.multiple = self.period
        self.minimum = self.period + 1
        self.margin = facts.reach + 2 * self.period
        self.pixel_bytes = facts.pixel_bytes
        if thin == 1:
            self.imagenet = _IMAGENET.get(encoder)

    def _whole(self, x: torch.Tensor) -> torch.Tensor:
        """`x`, continued to sides that the encoder divides where the library asks for that."""
        bottom, right = (-side % self.period for side in x.shape[-2:])
        return F.pad(x, (0, right, 0, bottom), mode="replicate") if self.divides and (bottom or right) else x

    def native(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, C, H / stride, W / stride) float32, rounded up to the encoder's grid."""
        scores: torch.Tensor = self.segmentation_head[0](self.decoder(self.encoder(self._whole(x))))
        return scores.float()

    def full_size(self, x: torch.Tensor) -> torch.Tensor:
        """`native`, upsampled by the library's head and cropped."""
        grown: torch.Tensor = self.segmentation_head[1](self.native(x))
        return grown[..., : x.shape[-2], : x.shape[-1]]

    def load_imagenet(self, state: Mapping[str, torch.Tensor]) -> None:
        """Takes torchvision's ResNet, whose names the library's ResNet encoders share."""
        self.encoder.load_state_dict(dict(state))


_IMAGENET: Final[Mapping[str, str]] = MappingProxyType(
    {f"resnet{depth}": f"ResNet{depth}_Weights.IMAGENET1K_V1" for depth in _RESNETS}
)


def library() -> Any:
    """The module segmentation_models_pytorch.

    Raises:
        ModelError: It is not installed.
    """
    try:
        return importlib.import_module("segmentation_models_pytorch")
    except ImportError as error:
        raise ModelError(
            "This network needs the library segmentation_models_pytorch: install segstudio[smp].",
            "For instance: pip install 'segstudio[smp]'.",
        ) from error


def built(make: Callable[[], Any]) -> Any:
    """What `make` builds with the library, on the default device."""
    with warnings.catch_warnings():
        # Encoders under names the library no longer likes are encoders all the same.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return make()
        except RuntimeError:
            # Some encoders look at numbers while they are built, and on the meta device there are none.
            with torch.device("cpu"):
                made = make()
            return made.to(torch.get_default_device())


def _library_net(name: str, encoder: str, depth: int, classes: int) -> Any:
    """The library's network, random; nothing is downloaded."""
    smp = library()
    options: dict[str, Any] = {"encoder_name": encoder, "encoder_weights": None, "encoder_depth": depth}
    if name == "Unet" and depth < MODELS["unet"].depth:
        # One block for each stage; the library's own widths, from the deepest.
        options["decoder_channels"] = (256, 128, 64, 32, 16)[:depth]
    try:
        return built(lambda: getattr(smp, name)(classes=classes, **options))
    except (KeyError, ValueError) as error:
        raise ModelError(
            f"segmentation_models_pytorch cannot build {name} with the encoder {encoder} and {depth} stages.",
            "Choose an encoder of its list, or another depth.",
        ) from error
