"""What a checkpoint says and holds, ours or another project's, and how it fills a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch

from segstudio.core.errors import ModelError
from segstudio.nets.base import Loaded, SegmentationNet
from segstudio.nets.card_model import ModelCard
from segstudio.nets.checkpoint_file import read_tensors
from segstudio.nets.importers.contents import Dropped, Recognised
from segstudio.nets.importers.rules import recognise
from segstudio.nets.registry_names import PROFILE_NAMES, OptionValue, current_family

FORMAT: Final = "segstudio-checkpoint"
VERSION: Final = 1
_NEW_HEAD: Final = "The head is new and not trained yet."
_COUNTER: Final = "num_batches_tracked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A checkpoint file's content, checked but not yet in a network.

    Attributes:
        model: Id of the card it was saved with; "" for another project's.
        title: The network in words, for another project's.
        keys: The file's own name of a tensor, where it differs from ours.
        dropped: What another project's file held besides, and how many of it.
        sentences: What a person should know about another project's file.
        doubt: Why it may be another network than what it is read as.
    """

    family: str
    options: Mapping[str, OptionValue]
    classes: int
    state: Mapping[str, torch.Tensor]
    class_names: tuple[str, ...] = ()
    preprocessing: str | None = None
    model: str = ""
    origin: str = "SegStudio"
    title: str = ""
    keys: Mapping[str, str] = field(default_factory=dict)
    dropped: Dropped = ()
    sentences: tuple[str, ...] = ()
    doubt: ModelError | None = None


def read_checkpoint(path: str | Path, *, card: ModelCard | None = None) -> Checkpoint:
    """What a checkpoint file holds: one of ours, or another project's that is recognised by its keys.

    `card` is what the person says it is; that decides where a file may be several networks.

    Raises:
        ModelError: Unreadable, damaged, holding code, newer than this program, or of no known network.
    """
    path = Path(path)
    data = read_tensors(path)
    return _own(data, path) if data.get("format") == FORMAT else _foreign(recognise(data, path, card))


def load_state(net: SegmentationNet, checkpoint: Checkpoint, name: str) -> Loaded:
    """Fills `net` from the file `name`; a head for other classes stays as it is. Gives what came from where.

    Raises:
        ModelError: A tensor is missing, unknown, of another shape, or not a number throughout.
    """
    chosen = fitting(net, checkpoint, name)
    for key, value in chosen.items():
        _check_numbers(value, checkpoint.keys.get(key, key), name)
    net.load_state_dict(chosen, strict=False)
    if checkpoint.classes == net.classes:
        return Loaded(trunk="checkpoint", head="checkpoint")
    return Loaded(
        trunk="checkpoint",
        note=f"The checkpoint knows {checkpoint.classes} classes, the project {net.classes}. {_NEW_HEAD}",
    )


def fitting(net: SegmentationNet, checkpoint: Checkpoint, name: str) -> dict[str, torch.Tensor]:
    """The checkpoint's tensors that `net` takes; without the head where that is for other classes.

    Raises:
        ModelError: A tensor is missing, unknown or of another shape.
    """
    target = net.state_dict()
    keep_head = checkpoint.classes == net.classes
    wanted = {key for key in target if keep_head or not key.startswith(net.head_prefixes)}
    # Files of other projects leave the counts of batches out, and nothing here reads them.
    missing = [key for key in sorted(wanted - set(checkpoint.state)) if not key.endswith(_COUNTER)]
    unknown = sorted(set(checkpoint.state) - set(target))
    if missing or unknown:
        what = f"lacks {_listed(checkpoint, missing)}" if missing else f"has {_listed(checkpoint, unknown, 'unknown ')}"
        raise ModelError(f"{name} does not fit {net.card.id}: it {what}.", "Choose another file.")
    chosen = {key: checkpoint.state[key] for key in sorted(wanted) if key in checkpoint.state}
    for key, value in chosen.items():
        if value.shape != target[key].shape:
            shapes = f"{tuple(value.shape)} instead of {tuple(target[key].shape)}"
            key = checkpoint.keys.get(key, key)
            raise ModelError(f"{name} does not fit {net.card.id}: {key} is {shapes}.", "Choose another file.")
    return chosen


def fills(checkpoint: Checkpoint, net: SegmentationNet) -> bool:
    """Whether the checkpoint brings every number of `net`, so that none need be drawn."""
    stored = net.state_dict().keys()
    brought = all(key in checkpoint.state or key.endswith(_COUNTER) for key in stored)
    # A buffer that no checkpoint stores is computed when the network is built.
    return brought and all(name in stored for name, _ in net.named_buffers())


def _listed(checkpoint: Checkpoint, keys: list[str], kind: str = "") -> str:
    count = (
        f"{len(keys)} {kind}tensors, the first of them" if len(keys) > 1 else f"{'an' if kind else 'the'} {kind}tensor"
    )
    return f"{count} {checkpoint.keys.get(keys[0], keys[0])}"


def _check_numbers(value: torch.Tensor, key: str, name: str) -> None:
    if not value.is_floating_point() or value.numel() == 0:
        return
    # Both ends are not a number where anything in between is none; a mask of all elements would take memory.
    low, high = torch.aminmax(value if value.element_size() > 1 else value.float())
    if not bool(torch.isfinite(low) & torch.isfinite(high)):
        raise ModelError(
            f"{name} cannot be used: {key} holds values that are infinite or not a number.",
            "Choose an earlier checkpoint of that training, or fetch the file again.",
        )


def _foreign(found: Recognised) -> Checkpoint:
    return Checkpoint(
        family=found.family,
        options=found.options,
        classes=found.classes,
        state=found.state,
        class_names=found.class_names,
        preprocessing=found.preprocessing,
        origin=found.origin,
        title=found.title,
        keys=found.keys,
        dropped=found.dropped,
        sentences=found.sentences,
        doubt=found.doubt,
    )


def _own(data: Mapping[str, Any], path: Path) -> Checkpoint:
    version, family, options, classes, names, profile, model, state = (
        data.get(key)
        for key in ("version", "family", "options", "classes", "class_names", "preprocessing", "model", "state")
    )
    if isinstance(version, int) and version > VERSION:
        raise ModelError(f"The checkpoint {path.name} was made by a newer SegStudio.", "Update SegStudio.")
    sound = (
        isinstance(family, str)
        and isinstance(classes, int)
        and isinstance(options, dict)
        and all(isinstance(key, str) for key in options)
        and isinstance(names, list)
        and all(isinstance(item, str) for item in names)
        and profile in PROFILE_NAMES
        and isinstance(model, str)
        and isinstance(state, dict)
        and all(isinstance(key, str) and isinstance(item, torch.Tensor) for key, item in state.items())
    )
    if not sound:
        raise ModelError(f"The checkpoint {path.name} is damaged: its description does not read.", "Make it again.")
    assert isinstance(family, str)
    assert isinstance(classes, int)
    family, options = current_family(family, options or {})
    return Checkpoint(
        family=family,
        options=options,
        classes=classes,
        state=state or {},
        class_names=tuple(names or ()),
        preprocessing=profile,
        model=model or "",
    )
