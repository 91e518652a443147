"""Reading a checkpoint file safely: tensors and plain values come out, code never runs, nothing is believed.

Files of PyTorch (current and older format) and safetensors are read. Everything else is told apart by its first bytes
(`file_kinds`) and refused with a sentence that says what it is.
"""

from __future__ import annotations

import pickle
import stat
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import safetensors.torch
import torch

from segstudio.core.errors import ModelError
from segstudio.nets.file_kinds import HEAD_BYTES, FileKind, other_kind

MAX_BYTES: Final = 8 << 30
# PyTorch stores its archives uncompressed; one that claims to hold many times its own size is a trap.
_MAX_RATIO: Final = 4
_RATIO_MATTERS_BYTES: Final = 64 << 20


class _LeftOut:
    """Stands for a NumPy number, such as the best score so far, that a training loop saved beside its tensors.

    It takes whatever the file says about that number and keeps none of it; NumPy never sees the file.
    """

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


_LEFT_OUT: Final[list[Any]] = [
    (_LeftOut, name) for name in ("numpy.dtype", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
]


def read_tensors(path: Path) -> dict[str, Any]:
    """The dictionary in a checkpoint file, on the CPU; only tensors, numbers, texts, lists and dictionaries.

    Raises:
        ModelError: Nothing there, not readable, too large, damaged, holding code, or of another kind.
    """
    head = _head(path)
    kind = other_kind(path, head)
    if isinstance(kind, FileKind):
        raise ModelError(f"{path.name} is {kind.what}.", kind.hint)
    if kind == "safetensors":
        data: object = _read_safetensors(path)
    else:
        if kind == "zip":
            _check_archive(path)
        data = _read_torch(path)
    if not isinstance(data, dict):
        raise ModelError(
            f"{path.name} holds no dictionary of tensors and so no network.", "Choose a checkpoint or a model card."
        )
    _check_tensors(data, path)
    return data


def damaged(path: Path) -> ModelError:
    """The error for a file that ends early or does not read."""
    return ModelError(f"The checkpoint {path.name} is damaged or cut short.", "Fetch or make it again.")


def _head(path: Path) -> bytes:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise _folder(path)
        if not stat.S_ISREG(status.st_mode):
            raise ModelError(f"{path} is not a file.", "Choose a checkpoint file.")
        if status.st_size == 0:
            raise ModelError(f"The checkpoint {path.name} is damaged: it is empty.", "Fetch or make it again.")
        if status.st_size > MAX_BYTES:
            size = f"{status.st_size / (1 << 30):.1f} GiB"
            raise ModelError(f"{path.name} is too large for a checkpoint ({size}).", "Files up to 8 GiB are read.")
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _folder(path: Path) -> ModelError:
    if (path / "saved_model.pb").is_file() or (path / "checkpoint").is_file():
        return ModelError(
            f"{path.name} is a folder with a TensorFlow model.",
            "Choose the PyTorch version of this network, if its project has one.",
        )
    return ModelError(f"{path} is a folder, not a checkpoint.", "Choose the file inside it.")


def _unreadable(path: Path, error: Exception) -> ModelError:
    reason = getattr(error, "strerror", None) or str(error)
    return ModelError(f"The checkpoint {path} cannot be read ({reason}).", "Check the path and its permissions.")


def _check_archive(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            declared = sum(entry.file_size for entry in archive.infolist())
    except OSError as error:
        raise _unreadable(path, error) from error
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, OverflowError) as error:
        raise damaged(path) from error
    if declared > MAX_BYTES or declared > max(_RATIO_MATTERS_BYTES, _MAX_RATIO * path.stat().st_size):
        raise ModelError(
            f"{path.name} claims to hold {declared / (1 << 30):.1f} GiB, far more than the file itself.",
            "Do not use this file; fetch it again from its project.",
        )


def _read_torch(path: Path) -> object:
    try:
        with warnings.catch_warnings():
            # What PyTorch says about a damaged file's contents is no help to anybody.
            warnings.simplefilter("ignore")
            with torch.serialization.safe_globals(_LEFT_OUT):
                return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise _unreadable(path, error) from error
    except MemoryError as error:
        raise _no_room(path) from error
    except pickle.UnpicklingError as error:
        if "Unsupported global" in str(error):
            raise ModelError(
                f"The checkpoint {path.name} holds program code or objects, which SegStudio does not load.",
                "Save it again as a plain dictionary of tensors: torch.save(net.state_dict(), PATH).",
            ) from error
        raise damaged(path) from error
    except Exception as error:  # the border to an untrusted file: a damaged one can raise anything
        if "allocate memory" in str(error) or "tried to allocate" in str(error):
            raise _no_room(path) from error
        raise damaged(path) from error


def _read_safetensors(path: Path) -> object:
    try:
        return safetensors.torch.load_file(path, device="cpu")
    except OSError as error:
        raise _unreadable(path, error) from error
    except MemoryError as error:
        raise _no_room(path) from error
    except Exception as error:  # as above
        raise damaged(path) from error


def _no_room(path: Path) -> ModelError:
    return ModelError(f"The memory does not suffice to read {path.name}.", "Close other programs, then try again.")


def _check_tensors(data: Mapping[Any, Any], path: Path) -> None:
    """Refuses what only looks like tensors: without numbers, in a special layout, or repeating few numbers for ever."""
    declared = 0
    for key, value in _tensors(data):
        if value.is_meta or value.layout != torch.strided or value.is_quantized or value.is_complex():
            raise ModelError(f"{path.name} holds {key} in a form that no network here has.", "Choose another file.")
        declared += value.numel() * value.element_size()
    if declared > MAX_BYTES:
        raise ModelError(
            f"{path.name} describes {declared / (1 << 30):.1f} GiB of tensors, more than a checkpoint can hold.",
            "Do not use this file; fetch it again from its project.",
        )


def _tensors(data: Mapping[Any, Any]) -> list[tuple[str, torch.Tensor]]:
    """Every tensor with its key, in dictionaries inside dictionaries as well."""
    found: list[tuple[str, torch.Tensor]] = []
    seen: set[int] = set()
    waiting: list[Mapping[Any, Any]] = [data]
    while waiting:
        inner = waiting.pop()
        if id(inner) in seen:
            continue
        seen.add(id(inner))
        for key, value in inner.items():
            if isinstance(value, torch.Tensor):
                found.append((str(key), value))
            elif isinstance(value, Mapping):
                waiting.append(value)
    return found
