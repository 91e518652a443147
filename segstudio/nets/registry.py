"""Every network family, by name; `create_model` builds one."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

from segstudio.core.errors import ModelError
from segstudio.nets.base import Loaded, SegmentationNet
from segstudio.nets.card import ModelCard, find_card
from segstudio.nets.pretrained import Ask, Report, imagenet_state
from segstudio.nets.registry_names import OptionValue, current_family

# By name, so that one family's libraries are loaded only where that family is built.
FAMILIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "unet": "unet:UNet",
        "unet-original": "unet_original:OriginalUNet",
        "fcn": "fcn:FCN",
        "parsenet": "parsenet:ParseNet",
        "deeplabv1": "deeplab_v1:DeepLabV1",
        "deeplabv2": "deeplab_v2:DeepLabV2",
        "deeplabv3": "deeplab_v3:DeepLabV3",
        "deeplabv3plus": "deeplab_v3plus:DeepLabV3Plus",
        "deconvnet": "deconvnet:DeconvNet",
        "edeconvnet": "edeconvnet:EDeconvNet",
        "hypercolumn": "hypercolumn:Hypercolumn",
        "torchvision": "torchvision_nets:TorchvisionNet",
        "smp": "smp_nets:SmpNet",
    }
)


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
    """The network a shipped card describes, untrained, with a fresh head for `classes`, on the CPU.

    `options` replace the card's. `weights="imagenet"` fills the trunk with torchvision's; where these cannot be had,
    `on_offline="random"` leaves the trunk random and says so in ``net.loaded.note``.

    Raises:
        ModelError: Unknown name or option, unusable class count, or weights that cannot be had.
    """
    card = find_card(name)
    net = build(card.family, classes=classes, options={**card.options, **options})
    net.card = _plain_card(card, net)
    if weights == "imagenet":
        load_imagenet(net, on_offline=on_offline, progress=progress, cancelled=cancelled)
    return net


def build(family: str, *, classes: int, options: Mapping[str, OptionValue]) -> SegmentationNet:
    """A randomly initialised network of a family, its options checked.

    Raises:
        ModelError: Unknown family or option, or an option of the wrong type.
    """
    family, options = current_family(family, options)
    builder: Any = family_class(family)
    known = inspect.signature(builder).parameters
    for key, value in options.items():
        if key == "classes" or key not in known:
            raise ModelError(f"The network family {family} has no option {key}.", "Correct the card.")
        if type(value) is not type(known[key].default):
            raise ModelError(f"The option {key} of {family} cannot be {value!r}.", "Correct the card.")
    net: SegmentationNet = builder(classes=classes, **options)
    return net


def family_class(family: str) -> type[SegmentationNet]:
    """The class of a family.

    Raises:
        ModelError: There is no such family.
    """
    place = FAMILIES.get(family)
    if place is None:
        raise ModelError(f"There is no network family named {family}.", f"Known families: {', '.join(FAMILIES)}.")
    module, _, name = place.partition(":")
    found: type[SegmentationNet] = getattr(importlib.import_module(f"segstudio.nets.families.{module}"), name)
    return found


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


def _plain_card(card: ModelCard, net: SegmentationNet) -> ModelCard:
    """The card of an untrained network built after `card`, with the options it was really built with."""
    profile = card.preprocessing if net.channels == card.channels else net.card.preprocessing
    return dataclasses.replace(
        net.card,
        id=card.id,
        title=card.title,
        paper=card.paper,
        merit=card.merit,
        preprocessing=profile,
        channels=net.channels,
        parameters=sum(parameter.numel() for parameter in net.parameters()),
    )
