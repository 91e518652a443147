"""Published weights by address or by torchvision's own names: from torch's cache folder, or downloaded into it."""

from __future__ import annotations

from pathlib import Path

import torch
import torchvision

from segstudio.core.errors import ModelError
from segstudio.nets.card import file_sha256
from segstudio.nets.card_model import ModelCard
from segstudio.nets.checkpoint_file import read_tensors
from segstudio.nets.download import Ask, Report, download, file_name

__all__ = [
    "Ask",
    "Report",
    "cache_path",
    "cached_file",
    "download",
    "download_address",
    "imagenet_state",
]


def imagenet_state(
    name: str, *, progress: Report | None = None, cancelled: Ask | None = None
) -> dict[str, torch.Tensor]:
    """The tensors of a torchvision weight such as ``VGG16_Weights.IMAGENET1K_V1``, on the CPU.

    Raises:
        ModelError: There is no such weight, it cannot be fetched, or the file in the cache folder is damaged.
        Cancelled: ``cancelled`` became true during the download.
    """
    target = cached_file(_torchvision_address(name), progress=progress, cancelled=cancelled)
    try:
        return read_tensors(target)
    except ModelError as error:
        raise ModelError(error.message, f"Delete {target}, then try again.") from error


def download_address(card: ModelCard) -> str | None:
    """Where the card's own trained weights are on the web; None where they are not (or the card has none).

    Raises:
        ModelError: The card names a torchvision weight there is not.
    """
    if card.weights is None:
        return None
    if card.weights.torchvision is not None and card.trained:
        return _torchvision_address(card.weights.torchvision)
    return card.weights.url


def cached_file(
    address: str, *, sha256: str | None = None, progress: Report | None = None, cancelled: Ask | None = None
) -> Path:
    """The file of that address in torch's cache folder, downloaded where it is not there yet.

    A file known by its `sha256` carries the hash's beginning in its name, since many are called the same.

    Raises:
        ModelError: It cannot be fetched, or what lies there is another file.
        Cancelled: ``cancelled`` became true during the download.
    """
    target = cache_path(address, sha256)
    if not target.is_file():
        download(address, target, sha256=sha256, progress=progress, cancelled=cancelled)
    elif sha256 is not None and file_sha256(target) != sha256:
        raise ModelError(
            f"{target.name} is not the file its card was written for.", f"Delete {target}, then try again."
        )
    return target


def cache_path(url: str, sha256: str | None = None) -> Path:
    """Where torch keeps the file of that address.

    Raises:
        ModelError: The address ends in nothing that can be a file's name.
    """
    return Path(torch.hub.get_dir()) / "checkpoints" / file_name(url, sha256)


def _torchvision_address(name: str) -> str:
    try:
        return str(torchvision.models.get_weight(name).url)
    except (ValueError, AttributeError, KeyError) as error:
        raise ModelError(f"torchvision has no weights named {name}.", "Correct the card.") from error
