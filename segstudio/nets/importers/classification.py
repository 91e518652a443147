"""ImageNet networks, which are no segmentation networks, refused by name."""

from __future__ import annotations

from typing import Final

from segstudio.core.errors import ModelError
from segstudio.nets.importers.contents import Contents, Recognised, Rule

_VGG: Final = "a VGG-16 that classifies whole images"
_RESNET: Final = "a ResNet that classifies whole images"


def read(contents: Contents) -> Recognised | None:
    """Always None.

    Raises:
        ModelError: The file holds a network that gives one answer for a whole image.
    """
    what = None
    if contents.has("features.0.weight", "classifier.6.weight") or contents.has("conv1_1.weight", "fc6.weight"):
        what = _VGG
    elif contents.has("conv1.weight", "fc.weight") and contents.any_under("layer4."):
        what = _RESNET
    if what is None:
        return None
    raise ModelError(
        f"{contents.path.name} holds {what}, not a segmentation network.",
        "A model whose trunk starts from ImageNet fetches its own weights; choose one with: segstudio models.",
    )


# Refuses only, so it is not named among what is known.
RULE: Final = Rule("", read)
