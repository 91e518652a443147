"""Checkpoints of other projects, recognised by their keys and shapes alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch

from segstudio.nets.registry_names import OptionValue

_WRAPPERS: Final = ("state_dict", "model_state_dict", "model")
_UNITS: Final = {"reduce": "1", "conv3x3": "2", "increase": "3"}
_BLOCK_KEY: Final = re.compile(r"layer([2-5])\.block(\d+)\.(\w+)\.(conv|bn)\.(\w+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """A foreign checkpoint under our names: what it is, and the tensors."""

    origin: str
    family: str
    options: Mapping[str, OptionValue]
    classes: int
    state: dict[str, torch.Tensor]


def recognise(data: Mapping[str, Any]) -> Recognised | None:
    """What a loaded checkpoint is, or None where no rule fits."""
    for wrapper in _WRAPPERS:
        if isinstance(data.get(wrapper), dict):
            data = data[wrapper]
            break
    state = {
        key.removeprefix("module."): value
        for key, value in data.items()
        if isinstance(key, str) and isinstance(value, torch.Tensor)
    }
    for rule in _RULES:
        found = rule(state)
        if found is not None:
            return found
    return None


def _unet(state: dict[str, torch.Tensor]) -> Recognised | None:
    first, head = state.get("inc.double_conv.0.weight"), state.get("outc.conv.weight")
    if not _is_filter(first) or not _is_filter(head) or "up1.up.weight" not in state:
        return None
    assert first is not None
    assert head is not None
    # Checkpoints from before 2021-12-13 have convolution biases, which batch normalisation makes ineffective in
    # training but not in evaluation: they move into the running mean.
    folded = dict(state)
    for key in [key for key in state if re.search(r"double_conv\.[03]\.bias$", key)]:
        stem, index = key.removesuffix(".bias").rsplit(".", 1)
        mean = f"{stem}.{int(index) + 1}.running_mean"
        if mean not in folded:
            return None
        folded[mean] = folded[mean] - folded.pop(key)
    options: dict[str, OptionValue] = {"width": first.shape[0], "channels": first.shape[1]}
    return Recognised(
        origin="milesial/Pytorch-UNet", family="unet", options=options, classes=head.shape[0], state=folded
    )


def _fcn8s(state: dict[str, torch.Tensor]) -> Recognised | None:
    score = state.get("score_pool3.weight")
    if not _is_filter(score) or "upscore8.weight" not in state or "fc6.weight" not in state:
        return None
    assert score is not None
    return Recognised(
        origin="wkentaro/pytorch-fcn", family="fcn", options={"variant": "8s"}, classes=score.shape[0], state=state
    )


def _deeplab_v2(state: dict[str, torch.Tensor]) -> Recognised | None:
    head = state.get("base.aspp.c3.weight")
    if not _is_filter(head) or "base.layer1.conv1.conv.weight" not in state:
        return None
    assert head is not None
    return Recognised(
        origin="kazuto1011/deeplab-pytorch",
        family="deeplabv2",
        options={"align_corners": False},
        classes=head.shape[0],
        state={_deeplab_name(key): value for key, value in state.items()},
    )


def _deeplab_name(key: str) -> str:
    name = key.removeprefix("base.")
    if name.startswith("layer1.conv1."):
        return "trunk." + name.removeprefix("layer1.conv1.").replace("conv.", "conv1.").replace("bn.", "bn1.")
    block = _BLOCK_KEY.fullmatch(name)
    if block is None:
        return name
    layer, index, unit, kind, leaf = block.groups()
    place = f"{kind}{_UNITS[unit]}" if unit in _UNITS else f"downsample.{0 if kind == 'conv' else 1}"
    return f"trunk.layer{int(layer) - 1}.{int(index) - 1}.{place}.{leaf}"


def _is_filter(tensor: torch.Tensor | None) -> bool:
    return tensor is not None and tensor.ndim == 4


_RULES: Final[tuple[Callable[[dict[str, torch.Tensor]], Recognised | None], ...]] = (_unet, _fcn8s, _deeplab_v2)
