"""segmentation_models_pytorch: five of its networks on any of its encoders, under its own names.

A file does not name its encoder; the library's list is searched for the one with just these tensors. Beside a file of
the model hub lies config.json, which names it.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch

from segstudio.core.errors import ModelError
from segstudio.nets.families.smp_nets import MODELS, built, library
from segstudio.nets.importers.contents import Contents, Recognised, Rule, renamed

_HEAD: Final = "segmentation_head.0.weight"
# Asked in this order, since a later test would also fit an earlier network. "" = not among the families here.
_SIGNS: Final = (
    ("decoder.blocks.x_", "UnetPlusPlus", ""),
    ("decoder.psp.", "PSPNet", "pspnet"),
    ("decoder.aspp.0.", "DeepLabV3Plus", "deeplabv3plus"),
    ("decoder.aspp.convs.", "DeepLabV3", "deeplabv3"),
    ("decoder.0.convs.", "DeepLabV3", "deeplabv3"),
    ("decoder.seg_blocks.", "FPN", "fpn"),
    ("decoder.fpa.", "PAN", ""),
    ("decoder.center.", "MAnet", ""),
    ("decoder.blocks.0.block.", "Linknet", ""),
    ("decoder.blocks.0.conv1.", "Unet", "unet"),
)
# What the deepest features enter first.
_ENTRANCES: Final = {
    "unet": ("decoder.blocks.0.conv1.0.weight",),
    "pspnet": ("decoder.psp.blocks.0.pool.1.0.weight",),
    "deeplabv3plus": ("decoder.aspp.0.convs.0.0.weight",),
    "deeplabv3": ("decoder.aspp.convs.0.0.weight", "decoder.0.convs.0.0.weight"),
    "fpn": ("decoder.p5.weight",),
}
_OLD_DECODER: Final = {"decoder.0.": "decoder.aspp.", "decoder.1.": "decoder.conv.", "decoder.2.": "decoder.bn."}
_EXTRA: Final = "classification_head."
_RATES: Final = "It does not say its output stride and atrous rates, so those the library has unless told are assumed."
# Settings of config.json that change no output, or that tensors tell as well.
_HARMLESS: Final = frozenset(
    {"encoder_name", "encoder_depth", "encoder_weights", "classes", "in_channels", "aux_params", "decoder_channels"}
    | {"decoder_dropout", "psp_dropout", "decoder_aspp_dropout"}
)


def read(contents: Contents) -> Recognised | None:
    """A network of the library.

    Raises:
        ModelError: It is one there is no family for here, its encoder is not known, or the library is not installed.
    """
    head = contents.shape(_HEAD)
    if len(head) != 4 or not contents.any_under("encoder."):
        return None
    sign = next((sign for sign in _SIGNS if contents.any_under(sign[0])), None)
    if sign is None:
        return None
    _, name, model = sign
    if not model:
        raise ModelError(
            f"{contents.path.name} is a {name} of segmentation_models_pytorch, which SegStudio lacks.",
            "Choose a Unet, FPN, PSPNet, DeepLabV3 or DeepLabV3Plus.",
        )
    config = _config(contents.path, name)
    state, keys = renamed(contents, _name)
    extra = [key for key in state if key.startswith(_EXTRA)]
    for key in extra:
        del state[key], keys[key]
    encoder = _encoder(contents, config, model)
    depth = _depth(model, encoder, state)
    return Recognised(
        origin="qubvel-org/segmentation_models.pytorch",
        title=f"{name} of segmentation_models_pytorch, {encoder}",
        family="smp",
        options={"model": model, "encoder": encoder, "depth": 0 if depth in (None, MODELS[model].depth) else depth},
        classes=head[0],
        state=state,
        keys=keys,
        preprocessing="TV",
        sentences=() if config or "deeplab" not in model else (_RATES,),
        dropped=(*contents.dropped, *((("tensors of an image classifier", len(extra)),) if extra else ())),
    )


def _name(key: str) -> str:
    """Our name of a tensor: the library's, also where an old file numbers the decoder of DeepLab v3."""
    for old, new in _OLD_DECODER.items():
        if key.startswith(old):
            return new + key.removeprefix(old)
    return key


def _config(path: Path, name: str) -> Mapping[str, Any]:
    """The settings beside a file of the model hub; {} where there are none.

    Raises:
        ModelError: They change the network in a way that has no option here.
    """
    beside = path.with_name("config.json")
    try:
        config = json.loads(beside.read_text(encoding="utf-8")) if path.suffix == ".safetensors" else {}
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(config, dict) or config.get("_model_class") != name:
        return {}
    defaults = inspect.signature(getattr(library(), name)).parameters
    for key, value in config.items():
        if key in _HARMLESS or key not in defaults:
            continue
        usual = defaults[key].default
        if value != (list(usual) if isinstance(usual, tuple) else usual):
            raise ModelError(
                f"{path.name} was made with {key} = {value!r}, which SegStudio has no option for.",
                f"Only files with the library's own {key}, {usual!r}, can be read.",
            )
    return config


def _encoder(contents: Contents, config: Mapping[str, Any], model: str) -> str:
    """The encoder's name: from the settings, from the card the person named, or found by its tensors."""
    if isinstance(config.get("encoder_name"), str):
        return str(config["encoder_name"])
    if contents.card is not None and contents.card.family == "smp" and "encoder" in contents.card.options:
        return str(contents.card.options["encoder"])
    shapes = {
        key.removeprefix("encoder."): tuple(value.shape)
        for key, value in contents.state.items()
        if key.startswith("encoder.")
    }
    # Building one takes up to a second, so only those that the decoder fits are built.
    fitting = (name for name in library().encoders.encoders if _depth(model, name, contents.state) is not None)
    found: str | None = next((name for name in fitting if _shapes(name) == shapes), None)
    if found is None:
        raise ModelError(
            f"{contents.path.name} has an encoder that is not recognised, or other input channels than three.",
            f"Say which it is with a card of the family smp: segstudio models import {contents.path.name} --as CARD.",
        )
    return found


def _shapes(encoder: str) -> dict[str, tuple[int, ...]]:
    """The names and shapes of one of the library's encoders, without counters."""
    with torch.device("meta"):
        state = built(lambda: library().encoders.get_encoder(encoder, weights=None)).state_dict()
    return {key: tuple(value.shape) for key, value in state.items() if not key.endswith("num_batches_tracked")}


def _depth(model: str, encoder: str, state: Mapping[str, torch.Tensor]) -> int | None:
    """How many stages of the encoder the decoder uses; None where it does not fit this encoder."""
    widths = library().encoders.encoders.get(encoder, {}).get("params", {}).get("out_channels", ())
    entrance = next((state[key] for key in _ENTRANCES[model] if key in state), None)
    wanted = entrance.shape[1] if entrance is not None and entrance.ndim == 4 else 0
    if model == "unet":
        # The first block takes the two deepest features together.
        depth = len({key.split(".")[2] for key in state if key.startswith("decoder.blocks.")})
        return depth if 2 <= depth < len(widths) and widths[depth] + widths[depth - 1] == wanted else None
    depths = (MODELS[model].depth, 5, 4, 3)
    return next((depth for depth in depths if depth < len(widths) and widths[depth] == wanted), None)


RULE: Final = Rule("qubvel-org/segmentation_models.pytorch (Unet, FPN, PSPNet, DeepLabV3 and DeepLabV3Plus)", read)
