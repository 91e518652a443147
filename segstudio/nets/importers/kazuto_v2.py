"""kazuto1011/deeplab-pytorch, DeepLab v2 with ResNet-101: VOC (21 classes) and COCO-Stuff (182 classes).

Its three scales are rounded down and resized without aligned corners, unlike the Caffe release.
"""

from __future__ import annotations

from typing import Final

from segstudio.nets.importers.cocostuff import COCO_STUFF_NAMES
from segstudio.nets.importers.contents import Contents, Recognised, Rule, narrowed, renamed, voc_names
from segstudio.nets.importers.kazuto_names import STEM_WEIGHT, trunk_name


def read(contents: Contents) -> Recognised | None:
    """DeepLab v2; the prefix "base." is that of the wrapper with three scales."""
    head, stem = contents.shape("aspp.c0.weight"), contents.shape(STEM_WEIGHT)
    if len(head) != 4 or len(stem) != 4:
        return None
    state, keys = renamed(contents, trunk_name)
    scales = "multi" if contents.prefix == "base." else "single"
    classes = head[0]
    return Recognised(
        origin="kazuto1011/deeplab-pytorch",
        title=f"DeepLab v2, ResNet-101, {'three scales' if scales == 'multi' else 'one scale'}",
        family="deeplabv2",
        options={
            "trunk": "resnet101",
            "head": "aspp",
            "scales": scales,
            "align_corners": False,
            **narrowed(stem[0], 64),
        },
        classes=classes,
        state=state,
        keys=keys,
        class_names=voc_names(classes) or (COCO_STUFF_NAMES if classes == len(COCO_STUFF_NAMES) else ()),
        preprocessing="CAFFE-DL",
        dropped=contents.dropped,
    )


RULE: Final = Rule("kazuto1011/deeplab-pytorch (DeepLab v1 and v2 with ResNet-101)", read)
