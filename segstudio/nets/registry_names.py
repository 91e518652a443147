"""Which models and families exist, for code that must not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

OptionValue = int | float | bool | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What `create_model(id)` builds: a family with some of its options fixed."""

    title: str
    family: str
    preprocessing: str
    options: Mapping[str, OptionValue] = field(default_factory=dict)


FAMILY_NAMES: Final = ("unet", "fcn8s", "deeplabv2-resnet101")

VARIANTS: Final[Mapping[str, Variant]] = MappingProxyType(
    {
        "unet": Variant(title="U-Net", family="unet", preprocessing="UNIT"),
        "unet-small": Variant(title="U-Net, small", family="unet", preprocessing="UNIT", options={"width": 16}),
        "fcn8s": Variant(title="FCN-8s", family="fcn8s", preprocessing="CAFFE-FCN"),
        "deeplabv2-resnet101": Variant(
            title="DeepLab v2, ResNet-101", family="deeplabv2-resnet101", preprocessing="CAFFE-DL"
        ),
    }
)

PROFILE_NAMES: Final = (
    "CAFFE-FCN",
    "CAFFE-CTX",
    "CAFFE-DL",
    "CAFFE-FRCN",
    "TV",
    "TV-VGGFEAT",
    "UNIT",
    "GRAY01",
)
