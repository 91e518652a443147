"""From a card or a checkpoint file to a network, and back to a file."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Final, Literal

import torch

from segstudio.core.errors import ModelError
from segstudio.nets.base import Loaded, SegmentationNet
from segstudio.nets.card import ModelCard, find_card, load_card, weights_file
from segstudio.nets.checkpoint_content import FORMAT, VERSION, Checkpoint, fills, fitting, load_state, read_checkpoint
from segstudio.nets.pretrained import Ask, Report, cached_file, download_address
from segstudio.nets.registry import build, load_imagenet

__all__ = ["Checkpoint", "build_from", "load_model", "load_state", "read_checkpoint", "save_checkpoint"]

_DEFAULT_CLASSES: Final = 21
OnOffline = Literal["random", "raise"]


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
        "format": FORMAT,
        "version": VERSION,
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


def load_model(
    card_or_path: ModelCard | str | Path,
    *,
    device: str | torch.device = "cpu",
    classes: int | None = None,
    on_offline: OnOffline = "random",
    progress: Report | None = None,
    cancelled: Ask | None = None,
) -> SegmentationNet:
    """The network of a card, a card's id or file, or a checkpoint file, in evaluation mode on `device`.

    `classes` other than the stored ones keeps the trunk and gives a new head; ``net.loaded`` says what came from
    where. Weights that must be downloaded and cannot be had are left out where `on_offline` is "random" and the head
    would be new anyway, and ``net.loaded.note`` says so.

    Raises:
        ModelError: Nothing there, or not usable; the message names the file.
        Cancelled: ``cancelled`` became true during a download.
    """
    card, path = _card_and_path(card_or_path)
    if path is not None:
        net = _from_checkpoint(read_checkpoint(path, card=card), card, path, classes)
    else:
        assert card is not None
        net = _from_the_web(card, classes, on_offline, progress, cancelled)
    return net.to(device).eval()


def _from_the_web(
    card: ModelCard, classes: int | None, on_offline: OnOffline, progress: Report | None, cancelled: Ask | None
) -> SegmentationNet:
    """The network of a card without a file of its own: trained weights or a trunk are fetched where it names such."""
    address = download_address(card)
    if address is None:
        net = _untrained(card, classes)
        if card.weights is None:
            net.loaded = Loaded(note="The network starts from random numbers and is not trained yet.")
        else:
            name = card.weights.torchvision
            load_imagenet(net, name=name, on_offline=on_offline, progress=progress, cancelled=cancelled)
        return net
    sha256 = card.weights.sha256 if card.weights is not None else None
    try:
        path = cached_file(address, sha256=sha256, progress=progress, cancelled=cancelled)
    except ModelError as error:
        if on_offline == "raise" or classes in (None, len(card.classes)):
            raise
        net = _untrained(card, classes)
        net.loaded = Loaded(note=f"{error.message} The network starts from random numbers instead. {error.hint}")
        return net
    try:
        checkpoint = read_checkpoint(path, card=card)
    except ModelError as error:
        raise ModelError(error.message, f"Delete {path}, then try again.") from error
    return _from_checkpoint(checkpoint, card, path, classes)


def build_from(checkpoint: Checkpoint, name: str, classes: int | None = None) -> SegmentationNet:
    """A network to fill with `load_state`; random only where the checkpoint leaves something open.

    (Drawing the numbers of an FCN-8s takes 2 s.) `name` is the file's, for complaints.

    Raises:
        ModelError: The checkpoint describes no network there is, or its tensors do not fit it.
    """
    wanted = checkpoint.classes if classes is None else classes
    with torch.device("meta"):
        net = build(checkpoint.family, classes=wanted, options=checkpoint.options)
    # Before any memory is taken: a damaged description may be that of a huge network.
    fitting(net, checkpoint, name)
    if wanted != checkpoint.classes or not fills(checkpoint, net):
        return build(checkpoint.family, classes=wanted, options=checkpoint.options)
    net = net.to_empty(device="cpu")
    for key, buffer in net.named_buffers():
        if key not in checkpoint.state:
            buffer.zero_()
    return net


def _untrained(card: ModelCard, classes: int | None) -> SegmentationNet:
    net = build(card.family, classes=classes or len(card.classes) or _DEFAULT_CLASSES, options=card.options)
    net.card = card
    return net


def _from_checkpoint(
    checkpoint: Checkpoint, card: ModelCard | None, path: Path, classes: int | None
) -> SegmentationNet:
    if card is not None and card.family != checkpoint.family:
        raise ModelError(
            f"The card {card.id} describes {card.family}, but {path.name} holds {checkpoint.family}.",
            "Correct the card.",
        )
    net = build_from(checkpoint, path.name, classes)
    net.card = card or _card_for(checkpoint, net, path)
    net.loaded = load_state(net, checkpoint, path.name)
    if checkpoint.doubt is not None:
        note = f"{checkpoint.doubt.message} It is read as {checkpoint.title}. {net.loaded.note}".strip()
        net.loaded = dataclasses.replace(net.loaded, note=note)
    if net.classes == checkpoint.classes:
        net.class_names = checkpoint.class_names or net.card.classes
    return net


def _card_for(checkpoint: Checkpoint, net: SegmentationNet, path: Path) -> ModelCard:
    try:
        title = find_card(checkpoint.model).title
    except ModelError:
        title = checkpoint.title or path.stem
    return dataclasses.replace(
        net.card,
        id=checkpoint.model or net.family,
        title=title,
        classes=checkpoint.class_names,
        channels=net.channels,
        preprocessing=checkpoint.preprocessing or net.card.preprocessing,
        trained=True,
        origin="" if checkpoint.model else checkpoint.origin,
    )


def _card_and_path(source: ModelCard | str | Path) -> tuple[ModelCard | None, Path | None]:
    """(card, weight file that is here already): at least one of them."""
    if isinstance(source, ModelCard):
        card = source
    else:
        path = Path(source)
        if path.suffix != ".toml" and (path.is_file() or (len(path.parts) > 1 and path.exists())):
            return None, path
        if path.suffix == ".toml" or path.is_absolute():
            card = load_card(path) if path.suffix == ".toml" else _missing(path)
        else:
            card = find_card(source)
    return card, weights_file(card)


def _missing(path: Path) -> ModelCard:
    raise ModelError(f"There is no model card or checkpoint at {path}.", "Check the path.")
