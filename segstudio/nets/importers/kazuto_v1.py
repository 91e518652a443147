"""kazuto1011/deeplab-pytorch, DeepLab v1 with ResNet-101: the COCO network (91 classes) that DeepLab v2 starts from."""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F

from segstudio.nets.importers.contents import Contents, Recognised, Rule, narrowed, renamed
from segstudio.nets.importers.kazuto_names import STEM_WEIGHT, trunk_name

_NOTE: Final = "Its 1 x 1 classifier became the centre of a 3 x 3 one, which gives the same scores."


def read(contents: Contents) -> Recognised | None:
    """A ResNet-101 with one 1 x 1 classifier."""
    head, stem = contents.shape("fc.weight"), contents.shape(STEM_WEIGHT)
    if len(head) != 4 or len(stem) != 4 or not contents.any_under("layer5."):
        return None
    state, keys = renamed(contents, _name)
    state["aspp.c0.weight"] = _centred(state["aspp.c0.weight"])
    return Recognised(
        origin="kazuto1011/deeplab-pytorch",
        title="DeepLab v1, ResNet-101",
        family="deeplabv2",
        options={
            "trunk": "resnet101",
            "head": "largefov",
            "scales": "single",
            "align_corners": False,
            **narrowed(stem[0], 64),
        },
        classes=head[0],
        state=state,
        keys=keys,
        preprocessing="CAFFE-DL",
        dropped=contents.dropped,
        sentences=(_NOTE,),
    )


def _name(key: str) -> str:
    return key.replace("fc.", "aspp.c0.") if key.startswith("fc.") else trunk_name(key)


def _centred(weight: torch.Tensor) -> torch.Tensor:
    """(C, K, 1, 1) as (C, K, 3, 3), zero around the centre."""
    return F.pad(weight, (1, 1, 1, 1)) if weight.shape[2:] == (1, 1) else weight


# Named together with v2.
RULE: Final = Rule("", read)
