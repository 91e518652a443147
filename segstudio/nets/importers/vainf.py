"""VainF/DeepLabV3Plus-Pytorch: DeepLab v3 and v3+ with ResNet-50, ResNet-101 or MobileNet v2, made after torchvision.

Neither has multi-grid; v3 has one more 3 x 3 convolution than the paper, v3+ one less.
"""

from __future__ import annotations

import re
from typing import Final

import torch

from segstudio.core.errors import ModelError
from segstudio.nets.backbones.mobilenet_v2 import flat_name
from segstudio.nets.importers.contents import Contents, Recognised, Rule, narrowed, renamed
from segstudio.nets.importers.deeplab_v3_facts import data_set_names, output_stride, resnet_name
from segstudio.nets.registry_names import OptionValue

_V3: Final = "classifier.classifier.0."
_PLUS: Final = "classifier.aspp."
_JOINED: Final = "decoder.0.0.weight"
_FEATURES: Final = re.compile(r"backbone\.(?:low|high)_level_features\.")


def read(contents: Contents) -> Recognised | None:
    """DeepLab v3 or v3+ on one of three trunks.

    Raises:
        ModelError: It has a trunk or separable convolutions that nothing published by that project has.
    """
    plus = contents.any_under(f"{_PLUS}convs.")
    if not plus and not contents.any_under(f"{_V3}convs."):
        return None
    trunk, options = _trunk(contents)
    head = contents.shape(f"classifier.classifier.{3 if plus else 4}.weight")
    if len(head) != 4:
        return None
    state, keys = renamed(contents, _plus_name if plus else _v3_name)
    if plus and _JOINED in state:
        state[_JOINED] = _features_first(state[_JOINED], state["low.0.weight"].shape[0])
    stride, sentences = output_stride(contents)
    return Recognised(
        origin="VainF/DeepLabV3Plus-Pytorch",
        title=f"DeepLab v3{'+' if plus else ''}, {trunk}",
        family="deeplabv3plus" if plus else "deeplabv3",
        options={
            **options,
            "output_stride": stride,
            "multi_grid": False,
            "upsampling": "centres",
            "convolutions": 1,
        },
        classes=head[0],
        state=state,
        keys=keys,
        class_names=data_set_names(head[0]),
        preprocessing="TV",
        dropped=contents.dropped,
        sentences=sentences,
    )


def _trunk(contents: Contents) -> tuple[str, dict[str, OptionValue]]:
    """The trunk in words, and the options that say which it is."""
    stem = contents.shape("backbone.low_level_features.0.0.weight")
    if stem:
        return "MobileNet v2", {"trunk": "mobilenetv2", "layout": "unpadded", **narrowed(stem[0], 32)}
    stem = contents.shape("backbone.conv1.weight")
    separable = any(".body." in key for key in contents.state)
    if separable or not stem or not contents.has("backbone.layer4.0.conv3.weight"):
        what = "separable convolutions without normalisation" if separable else "another trunk, such as HRNet"
        raise ModelError(
            f"{contents.path.name} is a DeepLab of VainF/DeepLabV3Plus-Pytorch with {what}, which SegStudio lacks.",
            "Choose one with ResNet-50, ResNet-101 or MobileNet v2 and plain convolutions.",
        )
    name = resnet_name(contents, "backbone.")
    return name.replace("resnet", "ResNet-"), {"trunk": name, "layout": "torchvision", **narrowed(stem[0], 64)}


def _trunk_name(key: str) -> str:
    if _FEATURES.match(key):
        return "trunk." + flat_name(_FEATURES.sub("features.", key))
    return "trunk." + key.removeprefix("backbone.")


def _aspp_name(key: str) -> str:
    """Our name of what follows the prefix of their ASPP."""
    if key.startswith("convs.4."):
        return f"aspp.pool.{key.removeprefix('convs.4.')}"
    return f"aspp.{key.replace('convs.', 'branches.', 1)}"


def _v3_name(key: str) -> str:
    if key.startswith("backbone."):
        return _trunk_name(key)
    if key.startswith(_V3):
        return _aspp_name(key.removeprefix(_V3))
    return _last_name(key, "head", first=1, last=4)


def _plus_name(key: str) -> str:
    if key.startswith("backbone."):
        return _trunk_name(key)
    if key.startswith(_PLUS):
        return _aspp_name(key.removeprefix(_PLUS))
    if key.startswith("classifier.project."):
        return key.replace("classifier.project.", "low.", 1)
    return _last_name(key, "decoder", first=0, last=3)


def _last_name(key: str, module: str, *, first: int, last: int) -> str:
    """Our name of the 3 x 3 convolution at place `first` of their last module, and of the classifier at `last`."""
    found = re.fullmatch(r"classifier\.classifier\.(\d)\.(\w+)", key)
    if found is None:
        return key
    place, leaf = int(found.group(1)), found.group(2)
    return f"classifier.{leaf}" if place == last else f"{module}.0.{place - first}.{leaf}"


def _features_first(weight: torch.Tensor, low: int) -> torch.Tensor:
    """The decoder's first filter with the `low` channels of low-level features behind ASPP's instead of before."""
    return torch.cat([weight[:, low:], weight[:, :low]], 1)


RULE: Final = Rule("VainF/DeepLabV3Plus-Pytorch (DeepLab v3 and v3+ with ResNet or MobileNet v2)", read)
