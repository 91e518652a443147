"""The trunks that DeepLab v3 and v3+ stand on, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, cast

from segstudio.core.errors import ModelError
from segstudio.nets.backbones import mobilenet_v2, resnet, xception

Trunk = resnet.ResNetTrunk | xception.XceptionTrunk | mobilenet_v2.MobileNetTrunk

OUTPUT_STRIDES: Final = (8, 16)
_MULTI_GRID: Final = (1, 2, 4)
_RESNET_DEPTHS: Final[Mapping[str, int]] = MappingProxyType({"resnet50": 50, "resnet101": 101})
LAYOUTS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "resnet50": tuple(resnet.LAYOUTS),
        "resnet101": tuple(resnet.LAYOUTS),
        "xception65": tuple(xception.LAYOUTS),
        "mobilenetv2": tuple(mobilenet_v2.LAYOUTS),
    }
)
"""Each trunk's name and the variants of it that published networks use."""
IMAGENET: Final[Mapping[str, str]] = MappingProxyType(
    {
        "resnet50": "ResNet50_Weights.IMAGENET1K_V1",
        "resnet101": "ResNet101_Weights.IMAGENET1K_V1",
        "mobilenetv2": "MobileNet_V2_Weights.IMAGENET1K_V1",
    }
)
"""The torchvision weight each trunk can start from; there is none for Xception."""


def make_trunk(name: str, *, layout: str, output_stride: int, multi_grid: bool, thin: int) -> Trunk:
    """The trunk of that name, random.

    Raises:
        ModelError: There is no such trunk, or not in that layout, at that stride or with multi-grid.
    """
    if name not in LAYOUTS:
        raise ModelError(f"DeepLab has no trunk {name!r}.", f"Choose one of {', '.join(LAYOUTS)}.")
    if layout not in LAYOUTS[name]:
        raise ModelError(f"The trunk {name} has no layout {layout!r}.", f"Choose one of {', '.join(LAYOUTS[name])}.")
    if output_stride not in OUTPUT_STRIDES:
        raise ModelError(f"DeepLab has no output stride {output_stride}.", "Choose 8 or 16.")
    if name == "xception65":
        return xception.XceptionTrunk(layout=layout, output_stride=output_stride, multi_grid=multi_grid, thin=thin)
    if name == "mobilenetv2":
        if multi_grid:
            raise ModelError("The trunk mobilenetv2 has no multi-grid.", "Set multi_grid to false.")
        return mobilenet_v2.MobileNetTrunk(layout=layout, output_stride=output_stride, thin=thin)
    return resnet.ResNetTrunk(
        _RESNET_DEPTHS[name],
        layout=cast(resnet.LayoutName, layout),
        output_stride=output_stride,
        multi_grid=_MULTI_GRID if multi_grid else (1, 1, 1),
        thin=thin,
    )
