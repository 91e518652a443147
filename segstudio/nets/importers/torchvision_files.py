"""torchvision's segmentation networks, under the very names the family has here; with or without auxiliary head."""

from __future__ import annotations

from typing import Final

from segstudio.nets.importers.contents import Contents, Recognised, Rule, narrowed, renamed, voc_names
from segstudio.nets.importers.deeplab_v3_facts import resnet_name

_TITLES: Final = {
    "fcn_resnet50": "FCN, ResNet-50",
    "fcn_resnet101": "FCN, ResNet-101",
    "deeplabv3_resnet50": "DeepLab v3, ResNet-50",
    "deeplabv3_resnet101": "DeepLab v3, ResNet-101",
    "deeplabv3_mobilenet_v3_large": "DeepLab v3, MobileNet v3",
    "lraspp_mobilenet_v3_large": "LR-ASPP, MobileNet v3",
}


def read(contents: Contents) -> Recognised | None:
    """One of the six."""
    model = _model(contents)
    if model is None:
        return None
    last = "classifier.high_classifier" if model.startswith("lraspp") else "classifier.4"
    head, stem = contents.shape(f"{last}.weight"), contents.shape(_stem(model))
    if len(head) != 4 or len(stem) != 4:
        return None
    state, keys = renamed(contents, str)
    return Recognised(
        origin="pytorch/vision",
        title=f"{_TITLES[model]}, of torchvision",
        family="torchvision",
        options={
            "model": model,
            "aux": contents.any_under("aux_classifier."),
            **narrowed(stem[0], 16 if "mobilenet" in model else 64),
        },
        classes=head[0],
        state=state,
        keys=keys,
        class_names=voc_names(head[0]),
        preprocessing="TV",
        dropped=contents.dropped,
    )


def _model(contents: Contents) -> str | None:
    """torchvision's name of the network; None where the file is none of them."""
    if contents.has("classifier.cbr.0.weight", "classifier.low_classifier.weight"):
        return "lraspp_mobilenet_v3_large"
    pyramid = contents.has("classifier.0.convs.0.0.weight")
    if contents.has("backbone.layer4.0.conv3.weight") and (pyramid or len(contents.shape("classifier.0.weight")) == 4):
        return f"{'deeplabv3' if pyramid else 'fcn'}_{resnet_name(contents, 'backbone.')}"
    return "deeplabv3_mobilenet_v3_large" if pyramid and contents.has(_stem("mobilenet")) else None


def _stem(model: str) -> str:
    return "backbone.0.0.weight" if "mobilenet" in model else "backbone.conv1.weight"


RULE: Final = Rule("pytorch/vision (FCN, DeepLab v3 and LR-ASPP of torchvision)", read)
