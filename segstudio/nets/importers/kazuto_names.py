"""The names kazuto1011/deeplab-pytorch gives to a ResNet, translated to torchvision's."""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = {"reduce": "1", "conv3x3": "2", "increase": "3"}
_BLOCK_KEY: Final = re.compile(r"layer([2-5])\.block(\d+)\.(reduce|conv3x3|increase|shortcut)\.(conv|bn)\.(\w+)")
_STEM: Final = "layer1.conv1."

STEM_WEIGHT: Final = f"{_STEM}conv.weight"


def trunk_name(key: str) -> str:
    """Our name of a trunk tensor (under "trunk."); any other name as it is."""
    if key.startswith(_STEM):
        return "trunk." + key.removeprefix(_STEM).replace("conv.", "conv1.").replace("bn.", "bn1.")
    block = _BLOCK_KEY.fullmatch(key)
    if block is None:
        return key
    layer, index, unit, kind, leaf = block.groups()
    place = f"{kind}{_UNITS[unit]}" if unit in _UNITS else f"downsample.{0 if kind == 'conv' else 1}"
    return f"trunk.layer{int(layer) - 1}.{int(index) - 1}.{place}.{leaf}"
