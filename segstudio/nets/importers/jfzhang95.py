"""jfzhang95/pytorch-deeplab-xception: DeepLab v3+ with ResNet-101, Xception-65 or MobileNet v2.

Corner pixels meet wherever it resizes; its ResNet has multi-grid.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from segstudio.core.errors import ModelError
from segstudio.nets.importers.contents import Contents, Recognised, Rule, narrowed, renamed
from segstudio.nets.importers.deeplab_v3_facts import data_set_names, output_stride
from segstudio.nets.registry_names import OptionValue

_HEAD: Final = "decoder.last_conv."
_ASPP: Final = re.compile(r"aspp\.aspp([1-4])\.(atrous_conv|bn)\.(\w+)")
_POOL: Final = "aspp.global_avg_pool."
_PLAIN: Final = {
    "aspp.conv1": "aspp.project.0",
    "aspp.bn1": "aspp.project.1",
    "decoder.conv1": "low.0",
    "decoder.bn1": "low.1",
}
_REP: Final = re.compile(r"backbone\.block(\d+)\.rep\.(\d+)\.(?:(conv1|bn|pointwise)\.)?(\w+)")
_SKIP: Final = re.compile(r"backbone\.block(\d+)\.skip(bn)?\.(\w+)")
_TAIL: Final = re.compile(r"backbone\.(?:conv([345])\.(conv1|bn|pointwise)|bn([345]))\.(\w+)")
_STEM: Final = re.compile(r"backbone\.(conv|bn)([12])\.(\w+)")
_SEPARABLE: Final = {"conv1": 0, "bn": 1, "pointwise": 3, None: 4}
_PARTS: Final = {"conv": 0, "bn": 1}
_FEATURES: Final = re.compile(r"backbone\.(?:low|high)_level_features\.")
# The whole list of MobileNet's blocks, which its two halves share.
_SHARED: Final = "backbone.features."


def read(contents: Contents) -> Recognised | None:
    """DeepLab v3+ on one of three trunks.

    Raises:
        ModelError: It has a DRN, which there is no network for here.
    """
    if not contents.has("aspp.aspp1.atrous_conv.weight"):
        return None
    title, options = _trunk(contents)
    places = sorted({int(key.removeprefix(_HEAD).split(".")[0]) for key in contents.state if key.startswith(_HEAD)})
    head = contents.shape(f"{_HEAD}{places[-1]}.weight") if places else ()
    if len(head) != 4:
        return None
    trunk = _TRUNK_NAMES[str(options["trunk"])]
    state, keys = renamed(contents, lambda key: _head_name(key, places) or trunk(key))
    twice = [key for key in state if key.startswith(_SHARED)]
    for key in twice:
        del state[key], keys[key]
    stride, sentences = output_stride(contents)
    return Recognised(
        origin="jfzhang95/pytorch-deeplab-xception",
        title=f"DeepLab v3+, {title}",
        family="deeplabv3plus",
        options={**options, "output_stride": stride, "upsampling": "corners"},
        classes=head[0],
        state=state,
        keys=keys,
        class_names=data_set_names(head[0]),
        preprocessing="TV",
        dropped=(*contents.dropped, *((("tensors listed twice", len(twice)),) if twice else ())),
        sentences=sentences,
    )


def _trunk(contents: Contents) -> tuple[str, dict[str, OptionValue]]:
    """The trunk in words, and the options that say which it is."""
    stem = contents.shape("backbone.conv1.weight")
    if contents.any_under("backbone.block20."):
        xception: dict[str, OptionValue] = {"trunk": "xception65", "layout": "rectified", "multi_grid": False}
        return "Xception-65", {**xception, **narrowed(stem[0] if stem else 0, 32)}
    if contents.any_under("backbone.low_level_features."):
        first = contents.shape("backbone.low_level_features.0.0.weight")
        mobile: dict[str, OptionValue] = {"trunk": "mobilenetv2", "layout": "lagging", "multi_grid": False}
        return "MobileNet v2", {**mobile, **narrowed(first[0] if first else 0, 32)}
    if not stem:
        raise ModelError(
            f"{contents.path.name} is a DeepLab v3+ of jfzhang95 with a DRN, which SegStudio lacks.",
            "Choose the one with ResNet-101 or MobileNet v2.",
        )
    return "ResNet-101", {"trunk": "resnet101", "layout": "aligned", **narrowed(stem[0], 64)}


def _head_name(key: str, places: list[int]) -> str | None:
    """Our name of a tensor of ASPP, decoder or classifier; None where it is none."""
    module, _, leaf = key.rpartition(".")
    if module in _PLAIN:
        return f"{_PLAIN[module]}.{leaf}"
    if key.startswith(_HEAD):
        # Dropout stands between some of these in later versions, so that places alone say nothing.
        order = places.index(int(module.removeprefix(_HEAD)))
        return f"classifier.{leaf}" if order == len(places) - 1 else f"decoder.{order // 2}.{order % 2}.{leaf}"
    if key.startswith(_POOL):
        return f"aspp.pool.{key.removeprefix(_POOL)}"
    branch = _ASPP.fullmatch(key)
    if branch is not None:
        number, part, leaf = branch.groups()
        return f"aspp.branches.{int(number) - 1}.{int(part == 'bn')}.{leaf}"
    return None


def _resnet_name(key: str) -> str:
    return key.replace("backbone.", "trunk.", 1)


def _mobilenet_name(key: str) -> str:
    return _FEATURES.sub("trunk.features.", key)


def _xception_name(key: str) -> str:
    inside = _REP.fullmatch(key)
    if inside is not None:
        block, place, part, leaf = inside.groups()
        return f"{_block(int(block))}.convs.{int(place) // 3}.{_SEPARABLE[part]}.{leaf}"
    skip = _SKIP.fullmatch(key)
    if skip is not None:
        return f"{_block(int(skip.group(1)))}.shortcut.{1 if skip.group(2) else 0}.{skip.group(3)}"
    tail = _TAIL.fullmatch(key)
    if tail is not None:
        number, part, norm, leaf = tail.groups()
        return f"trunk.tail.{int(number or norm) - 3}.{_SEPARABLE[part]}.{leaf}"
    stem = _STEM.fullmatch(key)
    if stem is not None:
        part, number, leaf = stem.groups()
        return f"trunk.conv{number}.{_PARTS[part]}.{leaf}"
    return key


def _block(number: int) -> str:
    if number <= 3:
        return f"trunk.entry.{number - 1}"
    return "trunk.exit" if number == 20 else f"trunk.middle.{number - 4}"


_TRUNK_NAMES: Final[Mapping[str, Callable[[str], str]]] = MappingProxyType(
    {"resnet101": _resnet_name, "xception65": _xception_name, "mobilenetv2": _mobilenet_name}
)

RULE: Final = Rule("jfzhang95/pytorch-deeplab-xception (DeepLab v3+ with ResNet-101, Xception or MobileNet v2)", read)
