"""Which families exist and how their inputs are prepared, for code that must not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

OptionValue = int | float | bool | str

FAMILY_NAMES: Final = (
    "unet",
    "unet-original",
    "fcn",
    "parsenet",
    "deeplabv1",
    "deeplabv2",
    "deeplabv3",
    "deeplabv3plus",
    "deconvnet",
    "edeconvnet",
    "hypercolumn",
    "torchvision",
    "smp",
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

# Families that version 0.1.0 wrote into cards and checkpoints under a name of their own.
_FORMER: Final[Mapping[str, tuple[str, Mapping[str, OptionValue]]]] = MappingProxyType(
    {
        "fcn8s": ("fcn", {"variant": "8s"}),
        "deeplabv2-resnet101": ("deeplabv2", {"trunk": "resnet101"}),
    }
)


def current_family(family: str, options: Mapping[str, OptionValue]) -> tuple[str, dict[str, OptionValue]]:
    """The family and options as they are called today."""
    name, implied = _FORMER.get(family, (family, {}))
    return name, {**implied, **options}


FCN_STAGES: Final[Mapping[str, str]] = MappingProxyType({"16s": "32s", "8s": "16s"})
"""Which variant of FCN each one is initialised from in the paper's staged training (section 4.2)."""


def stage_before(family: str, options: Mapping[str, OptionValue]) -> dict[str, OptionValue] | None:
    """The options of the network that this one goes on from where its authors train in stages; else None."""
    if family == "fcn" and options.get("variant") in FCN_STAGES:
        return {"variant": FCN_STAGES[str(options["variant"])]}
    if family == "deeplabv1" and options.get("msc"):
        return {"head": options.get("head", "largefov"), "msc": False}
    return None
