"""ImageNet weights by torchvision's own names: from torch's cache folder, or downloaded into it."""

from __future__ import annotations

import hashlib
import http.client
import re
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlparse

import torch
import torchvision

from segstudio.core.errors import Cancelled, ModelError

Report = Callable[[float], None]
Ask = Callable[[], bool]

_TIMEOUT_S: Final = 20.0
_CHUNK_BYTES: Final = 1 << 18
# torchvision names its files after the first digits of their SHA-256.
_HASH_IN_NAME: Final = re.compile(r"-([0-9a-f]{8,64})\.")


def imagenet_state(
    name: str, *, progress: Report | None = None, cancelled: Ask | None = None
) -> dict[str, torch.Tensor]:
    """The tensors of a torchvision weight such as ``VGG16_Weights.IMAGENET1K_V1``, on the CPU.

    Raises:
        ModelError: There is no such weight, it cannot be fetched, or the file in the cache folder is damaged.
        Cancelled: ``cancelled`` became true during the download.
    """
    try:
        url = str(torchvision.models.get_weight(name).url)
    except (ValueError, AttributeError, KeyError) as error:
        raise ModelError(f"torchvision has no weights named {name}.", "Correct the card.") from error
    target = cache_path(url)
    if not target.is_file():
        download(url, target, progress=progress, cancelled=cancelled)
    try:
        state: dict[str, torch.Tensor] = torch.load(target, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, ValueError) as error:
        raise ModelError(f"The weight file {target} is damaged.", "Delete it, then try again.") from error
    return state


def cache_path(url: str) -> Path:
    """Where torch keeps the file of that address."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name


def download(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    progress: Report | None = None,
    cancelled: Ask | None = None,
) -> None:
    """Leaves the file of `url` at `target`, or nothing there.

    Its hash must begin with `sha256`, or, where None, with the digits in the file's name if it has such.

    Raises:
        ModelError: No connection, no space, or a file with another hash than its name says.
        Cancelled: ``cancelled`` became true.
    """
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        digest = _fetch(url, part, progress, cancelled)
        in_name = _HASH_IN_NAME.search(target.name)
        expected = sha256 or (in_name.group(1) if in_name else "")
        if not digest.startswith(expected):
            raise ModelError(f"The download of {target.name} came out damaged (its hash differs).", "Try again.")
        part.replace(target)
    except (OSError, http.client.HTTPException) as error:
        raise ModelError(
            f"The weights {target.name} could not be downloaded ({_reason(error)}).",
            f"Connect to the internet and try again, or fetch {url} elsewhere and put the file at {target}.",
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _fetch(url: str, part: Path, progress: Report | None, cancelled: Ask | None) -> str:
    if urlparse(url).scheme not in ("http", "https"):
        raise ModelError(f"{url} is not a web address.", "Correct the card.")
    digest = hashlib.sha256()
    done = 0
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as stream, part.open("wb") as file:  # noqa: S310 - checked
        total = int(stream.headers.get("Content-Length") or 0)
        while chunk := stream.read(_CHUNK_BYTES):
            if cancelled is not None and cancelled():
                raise Cancelled
            file.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            if progress is not None and total:
                progress(min(1.0, done / total))
    if total and done != total:
        raise ConnectionError("the connection broke off")
    return digest.hexdigest()


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
    return str(getattr(reason, "strerror", None) or reason)
