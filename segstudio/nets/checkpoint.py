"""Checkpoints: tensors and the few words needed to rebuild their network; never code."""

from __future__ import annotations

import dataclasses
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import torch

from segstudio.core.errors import ModelError
from segstudio.nets.base import Loaded, SegmentationNet
from segstudio.nets.card import ModelCard, find_card, load_card, weights_file
from segstudio.nets.importers import recognise
from segstudio.nets.pretrained import Ask, Report, cache_path, download
from segstudio.nets.registry import build, load_imagenet
from segstudio.nets.registry_names import PROFILE_NAMES, OptionValue, current_family

_FORMAT: Final = "segstudio-checkpoint"
_VERSION: Final = 1
_DEFAULT_CLASSES: Final = 21
_ZIP_MAGIC: Final = b"PK\x03\x04"
_NEW_HEAD: Final = "The head is new and not trained yet."


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A checkpoint file's content, checked but not yet in a network."""

    family: str
    options: Mapping[str, OptionValue]
    classes: int
    state: Mapping[str, torch.Tensor]
    class_names: tuple[str, ...] = ()
    preprocessing: str | None = None
    model: str = ""
    origin: str = "SegStudio"


def save_checkpoint(net: SegmentationNet, path: str | Path, *, half: bool = False) -> None:
    """Writes the network beside `path`, then renames it; `half` stores filters as float16.

    Raises:
        ModelError: The file cannot be written.
    """
    path = Path(path)
    state = {key: value.detach().cpu().contiguous() for key, value in net.state_dict().items()}
    if half:
        state = {key: value.half() if value.ndim > 1 else value for key, value in state.items()}
    data = {
        "format": _FORMAT,
        "version": _VERSION,
        "family": net.family,
        "options": dict(net.options),
        "classes": net.classes,
        "class_names": list(net.class_names),
        "preprocessing": net.card.preprocessing,
        "model": net.card.id,
        "state": state,
    }
    draft = path.with_name(f".{path.name}.part")
    try:
        with draft.open("wb") as file:
            torch.save(data, file)
        draft.replace(path)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ModelError(f"The checkpoint {path} cannot be written ({reason}).", "Check the folder.") from error
    finally:
        draft.unlink(missing_ok=True)


def read_checkpoint(path: str | Path) -> Checkpoint:
    """What a checkpoint file holds: one of ours, or another project's that is recognised by its keys.

    Raises:
        ModelError: Unreadable, damaged, holding code, newer than this program, or of no known network.
    """
    path = Path(path)
    data = _read_tensors(path)
    if data.get("format") == _FORMAT:
        return _own(data, path)
    found = recognise(data)
    if found is None:
        raise ModelError(
            f"{path.name} is not a checkpoint of a known network.", "Choose a SegStudio checkpoint or model card."
        )
    return Checkpoint(
        family=found.family, options=found.options, classes=found.classes, state=found.state, origin=found.origin
    )


def load_model(
    card_or_path: ModelCard | str | Path,
    *,
    device: str | torch.device = "cpu",
    classes: int | None = None,
    on_offline: Literal["random", "raise"] = "random",
    progress: Report | None = None,
    cancelled: Ask | None = None,
) -> SegmentationNet:
    """The network of a card, a card's id or file, or a checkpoint file, in evaluation mode on `device`.

    `classes` other than the stored ones keeps the trunk and gives a new head; ``net.loaded`` says what came from
    where.

    Raises:
        ModelError: Nothing there, or not usable; the message names the file.
    """
    card, path = _card_and_path(card_or_path, progress, cancelled)
    if path is not None:
        net = _from_checkpoint(read_checkpoint(path), card, path, classes)
    else:
        assert card is not None
        wanted = classes or len(card.classes) or _DEFAULT_CLASSES
        net = build(card.family, classes=wanted, options=card.options)
        net.card = card
        if card.weights is not None and card.weights.torchvision is not None:
            name = card.weights.torchvision
            load_imagenet(net, name=name, on_offline=on_offline, progress=progress, cancelled=cancelled)
        else:
            net.loaded = Loaded(note="The network starts from random numbers and is not trained yet.")
    return net.to(device).eval()


def load_state(net: SegmentationNet, checkpoint: Checkpoint, name: str) -> Loaded:
    """Fills `net`; a head for other classes stays as it is. Gives what came from where.

    Raises:
        ModelError: A tensor is missing, unknown or of another shape.
    """
    target = net.state_dict()
    keep_head = checkpoint.classes == net.classes
    wanted = {key for key in target if keep_head or not key.startswith(net.head_prefixes)}
    # Older files do not count batches, and nothing here reads the count.
    missing = [key for key in sorted(wanted - set(checkpoint.state)) if not key.endswith("num_batches_tracked")]
    unknown = sorted(set(checkpoint.state) - set(target))
    if missing or unknown:
        key = (missing or unknown)[0]
        what = "lacks" if missing else "has an unknown"
        raise ModelError(f"{name} does not fit {net.card.id}: it {what} tensor {key}.", "Choose another file.")
    chosen = {key: checkpoint.state[key] for key in wanted if key in checkpoint.state}
    for key, value in chosen.items():
        if value.shape != target[key].shape:
            shapes = f"{tuple(value.shape)} instead of {tuple(target[key].shape)}"
            raise ModelError(f"{name} does not fit {net.card.id}: {key} is {shapes}.", "Choose another file.")
    net.load_state_dict(chosen, strict=False)
    if keep_head:
        return Loaded(trunk="checkpoint", head="checkpoint")
    return Loaded(
        trunk="checkpoint",
        note=f"The checkpoint knows {checkpoint.classes} classes, the project {net.classes}. {_NEW_HEAD}",
    )


def _from_checkpoint(
    checkpoint: Checkpoint, card: ModelCard | None, path: Path, classes: int | None
) -> SegmentationNet:
    if card is not None and card.family != checkpoint.family:
        raise ModelError(
            f"The card {card.id} describes {card.family}, but {path.name} holds {checkpoint.family}.",
            "Correct the card.",
        )
    wanted = checkpoint.classes if classes is None else classes
    net = _room_for(checkpoint, wanted)
    net.card = card or _card_for(checkpoint, net, path)
    net.loaded = load_state(net, checkpoint, path.name)
    if wanted == checkpoint.classes:
        net.class_names = checkpoint.class_names or net.card.classes
    return net


def _room_for(checkpoint: Checkpoint, classes: int) -> SegmentationNet:
    """A network to fill; random only where the checkpoint leaves something open (FCN-8s takes 2 s to initialise)."""
    with torch.device("meta"):
        net = build(checkpoint.family, classes=classes, options=checkpoint.options)
    if classes == checkpoint.classes and net.state_dict().keys() <= checkpoint.state.keys():
        return net.to_empty(device="cpu")
    return build(checkpoint.family, classes=classes, options=checkpoint.options)


def _card_for(checkpoint: Checkpoint, net: SegmentationNet, path: Path) -> ModelCard:
    try:
        title = find_card(checkpoint.model).title
    except ModelError:
        title = path.stem
    return dataclasses.replace(
        net.card,
        id=checkpoint.model or net.family,
        title=title,
        classes=checkpoint.class_names,
        channels=net.channels,
        preprocessing=checkpoint.preprocessing or net.card.preprocessing,
        trained=True,
    )


def _card_and_path(
    source: ModelCard | str | Path, progress: Report | None, cancelled: Ask | None
) -> tuple[ModelCard | None, Path | None]:
    """(card, weight file): at least one of them."""
    if isinstance(source, ModelCard):
        card = source
    else:
        path = Path(source)
        if path.is_file() and path.suffix != ".toml":
            return None, path
        if path.suffix == ".toml" or path.is_absolute():
            card = load_card(path) if path.suffix == ".toml" else _missing(path)
        else:
            card = find_card(source)
    if card.weights is not None and card.weights.url is not None:
        return card, _downloaded(card, progress, cancelled)
    return card, weights_file(card)


def _missing(path: Path) -> ModelCard:
    raise ModelError(f"There is no model card or checkpoint at {path}.", "Check the path.")


def _downloaded(card: ModelCard, progress: Report | None, cancelled: Ask | None) -> Path:
    assert card.weights is not None
    assert card.weights.url is not None
    target = cache_path(card.weights.url)
    if not target.is_file():
        download(card.weights.url, target, sha256=card.weights.sha256, progress=progress, cancelled=cancelled)
    return target


def _read_tensors(path: Path) -> dict[str, Any]:
    damaged = ModelError(f"The checkpoint {path.name} is damaged or cut short.", "Fetch or make it again.")
    try:
        with path.open("rb") as file:
            head = file.read(len(_ZIP_MAGIC))
        is_archive = _ZIP_MAGIC.startswith(head)
        if is_archive and not zipfile.is_zipfile(path):
            raise damaged
        data = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelError(f"The checkpoint {path} cannot be read ({error.strerror}).", "Check the path.") from error
    except pickle.UnpicklingError as error:
        if "Unsupported global" in str(error):
            raise ModelError(
                f"The checkpoint {path.name} holds program code, which SegStudio does not run.",
                "Save it again as a plain dictionary of tensors.",
            ) from error
        raise damaged from error
    except (RuntimeError, EOFError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise damaged from error
    if not isinstance(data, dict):
        raise ModelError(f"{path.name} holds no network.", "Choose a SegStudio checkpoint or model card.")
    return data


def _own(data: Mapping[str, Any], path: Path) -> Checkpoint:
    version, family, options, classes, names, profile, model, state = (
        data.get(key)
        for key in ("version", "family", "options", "classes", "class_names", "preprocessing", "model", "state")
    )
    if isinstance(version, int) and version > _VERSION:
        raise ModelError(f"The checkpoint {path.name} was made by a newer SegStudio.", "Update SegStudio.")
    sound = (
        isinstance(family, str)
        and isinstance(classes, int)
        and isinstance(options, dict)
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
