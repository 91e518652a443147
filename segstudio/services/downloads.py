"""What a card fetches before its first use, and whether it is there already; known without asking the network."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from segstudio.core.errors import ModelError
from segstudio.nets.card_model import ModelCard
from segstudio.nets.download import file_name

# torchvision's weights by name: their file and its size in MB. torchvision knows both, but loads torch to say so.
TORCHVISION_FILES: Final[Mapping[str, tuple[str, int]]] = MappingProxyType(
    {
        "VGG16_Weights.IMAGENET1K_V1": ("vgg16-397923af.pth", 528),
        "VGG16_Weights.IMAGENET1K_FEATURES": ("vgg16_features-amdegroot-88682ab5.pth", 528),
        "ResNet34_Weights.IMAGENET1K_V1": ("resnet34-b627a593.pth", 83),
        "ResNet50_Weights.IMAGENET1K_V1": ("resnet50-0676ba61.pth", 98),
        "ResNet50_Weights.IMAGENET1K_V2": ("resnet50-11ad3fa6.pth", 98),
        "ResNet101_Weights.IMAGENET1K_V1": ("resnet101-63fe2227.pth", 171),
        "ResNet101_Weights.IMAGENET1K_V2": ("resnet101-cd907fc2.pth", 171),
        "MobileNet_V2_Weights.IMAGENET1K_V1": ("mobilenet_v2-b0353104.pth", 14),
        "MobileNet_V3_Large_Weights.IMAGENET1K_V1": ("mobilenet_v3_large-8738ca79.pth", 21),
        "FCN_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1": ("fcn_resnet50_coco-1167a1af.pth", 135),
        "FCN_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1": ("fcn_resnet101_coco-7ecb50ca.pth", 208),
        "DeepLabV3_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1": ("deeplabv3_resnet50_coco-cd0a2569.pth", 161),
        "DeepLabV3_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1": ("deeplabv3_resnet101_coco-586e9e4e.pth", 233),
        "DeepLabV3_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1": (
            "deeplabv3_mobilenet_v3_large-fc3c493d.pth",
            42,
        ),
        "LRASPP_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1": ("lraspp_mobilenet_v3_large-d234d4ea.pth", 12),
    }
)


def download_text(card: ModelCard) -> str:
    """ "171 MB, once", or that the file is here already; "" where nothing is fetched."""
    weights = card.weights
    if weights is None or weights.file is not None:
        return ""
    if weights.url is not None:
        name, size = _name_of(weights.url, weights.sha256), ""
    else:
        name, megabytes = TORCHVISION_FILES.get(weights.torchvision or "", ("", 0))
        size = f"{megabytes} MB" if megabytes else ""
    if name and (_cache_folder() / name).is_file():
        return f"{size}, already on this computer" if size else "Already on this computer"
    return f"{size}, once" if size else "Once, before its first use"


def _name_of(url: str, sha256: str | None) -> str:
    """The file's name; "" where the address has none, which loading the card will complain about."""
    try:
        return file_name(url, sha256)
    except ModelError:
        return ""


def _cache_folder() -> Path:
    """Where torch keeps downloaded weights, by the rules torch itself follows."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = Path(os.environ.get("TORCH_HOME") or cache / "torch")
    return home.expanduser() / "hub" / "checkpoints"
