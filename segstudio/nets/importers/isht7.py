"""isht7/pytorch-deeplab-resnet: DeepLab v2 with ResNet-101 and three scales, converted from the Caffe release."""

from __future__ import annotations

import re
from typing import Final

from segstudio.nets.importers.contents import Contents, Recognised, Rule, narrowed, renamed, voc_names

_BRANCH: Final = re.compile(r"layer5\.conv2d_list\.(\d)\.(weight|bias)")


def read(contents: Contents) -> Recognised | None:
    """DeepLab v2 under torchvision's names; the prefix "Scale." is that of the wrapper with three scales."""
    head, stem = contents.shape("layer5.conv2d_list.0.weight"), contents.shape("conv1.weight")
    if len(head) != 4 or len(stem) != 4:
        return None
    state, keys = renamed(contents, _name)
    scales = "multi" if contents.prefix == "Scale." else "single"
    return Recognised(
        origin="isht7/pytorch-deeplab-resnet",
        title=f"DeepLab v2, ResNet-101, {'three scales' if scales == 'multi' else 'one scale'}",
        family="deeplabv2",
        options={
            "trunk": "resnet101",
            "head": "aspp",
            "scales": scales,
            "align_corners": True,
            **narrowed(stem[0], 64),
        },
        classes=head[0],
        state=state,
        keys=keys,
        class_names=voc_names(head[0]),
        preprocessing="CAFFE-DL",
        dropped=contents.dropped,
    )


def _name(key: str) -> str:
    branch = _BRANCH.fullmatch(key)
    return f"aspp.c{branch.group(1)}.{branch.group(2)}" if branch else f"trunk.{key}"


RULE: Final = Rule("isht7/pytorch-deeplab-resnet (DeepLab v2 with ResNet-101)", read)
