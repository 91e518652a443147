"""Every network family, by name; `create_model` builds one."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any, Final, Literal

from segstudio.core.errors import ModelError
from segstudio.nets.base import Loaded, SegmentationNet
from segstudio.nets.card import ModelCard
from segstudio.nets.families.deeplab_v2 import DeepLabV2ResNet101
from segstudio.nets.families.fcn8s import FCN8s
from segstudio.nets.families.unet import UNet
from segstudio.nets.pretrained import Ask, Report, imagenet_state
from segstudio.nets.registry_names import VARIANTS, OptionValue, Variant

FAMILIES: Final[dict[str, type[SegmentationNet]]] = {
    "unet": UNet,
    "fcn8s": FCN8s,
    "deeplabv2-resnet101": DeepLabV2ResNet101,
}


def create_model(
    name: str,
    *,
    classes: int = 21,
    weights: Literal["imagenet"] | None = None,
    on_offline: Literal["random", "raise"] = "raise",
    progress: Report | None = None,
    cancelled: Ask | None = None,
    **options: OptionValue,
) -> SegmentationNet:
    """A network of a registered name with a fresh head for `classes`, in training mode, on the CPU.

    `weights="imagenet"` fills the trunk with torchvision's; where these cannot be had, `on_offline="random"` leaves
    the trunk random and says so in ``net.loaded.note``.

    Raises:
        ModelError: Unknown name or option, unusable class count, or weights that cannot be had.
    """
    variant = VARIANTS.get(name)
    if variant is None:
        raise ModelError(f"There is no network named {name}.", f"Known networks: {', '.join(VARIANTS)}.")
    net = build(variant.family, classes=classes, options={**variant.options, **options})
    net.card = _card_of(name, variant, net)
    if weights == "imagenet":
        load_imagenet(net, on_offline=on_offline, progress=progress, cancelled=cancelled)
    return net


def build(family: str, *, classes: int, options: Mapping[str, OptionValue]) -> SegmentationNet:
    """A randomly initialised network of a family, its options checked.

    Raises:
        ModelError: Unknown family or option, or an option of the wrong type.
    """
    builder: Any = FAMILIES.get(family)
    if builder is None:
        raise ModelError(f"There is no network family named {family}.", f"Known families: {', '.join(FAMILIES)}.")
    known = inspect.signature(builder).parameters
    for key, value in options.items():
        if key == "classes" or key not in known:
            raise ModelError(f"The network family {family} has no option {key}.", "Correct the card.")
        if type(value) is not type(known[key].default):
            raise ModelError(f"The option {key} of {family} cannot be {value!r}.", "Correct the card.")
    net: SegmentationNet = builder(classes=classes, **options)
    return net


def load_imagenet(
    net: SegmentationNet,
    *,
    name: str | None = None,
    on_offline: Literal["random", "raise"] = "raise",
    progress: Report | None = None,
    cancelled: Ask | None = None,
) -> None:
    """Fills the trunk of `net` with torchvision's ImageNet weights `name`, by default the family's own.

    Raises:
        ModelError: The family has none, or they cannot be had and `on_offline` is "raise".
    """
    if net.imagenet is None or name not in (None, net.imagenet):
        raise ModelError(
            f"The network {net.card.id} cannot take the weights {name or 'of ImageNet'}.", "Leave them out."
        )
    try:
        state = imagenet_state(net.imagenet, progress=progress, cancelled=cancelled)
    except ModelError as error:
        if on_offline == "raise":
            raise
        note = f"{error.message} The network starts from random numbers instead. {error.hint}"
        net.loaded = Loaded(note=note)
        return
    try:
        net.load_imagenet(state)
    except (KeyError, RuntimeError) as error:
        raise ModelError(
            f"The ImageNet weights {net.imagenet} do not fit {net.card.id}.", "Delete the file."
        ) from error
    net.loaded = Loaded(trunk="imagenet", note="The head is new and not trained yet.")


def _card_of(name: str, variant: Variant, net: SegmentationNet) -> ModelCard:
    profile = variant.preprocessing if net.channels == net.card.channels else net.card.preprocessing
    return dataclasses.replace(
        net.card,
        id=name,
        title=variant.title,
        preprocessing=profile,
        channels=net.channels,
        parameters=sum(parameter.numel() for parameter in net.parameters()),
    )
