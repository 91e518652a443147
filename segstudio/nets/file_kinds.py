"""Which kind of file lies there, told by its first bytes and its name, with what to do about the wrong kinds."""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

HEAD_BYTES: Final = 512

Readable = Literal["zip", "safetensors", "torch"]
_ZIP: Final = b"PK\x03\x04"
_EMPTY_ZIP: Final = b"PK\x05\x06"
_PICKLE: Final = b"\x80"
_TAR: Final = b"ustar"
_TAR_AT: Final = 257
_TENSORFLOW_NAME: Final = re.compile(r"\.data-\d{5}-of-\d{5}$|\.ckpt(-\d+)?\.(index|meta)$")
# An ONNX model begins with its format's version and then the name of its maker.
_ONNX: Final = re.compile(rb"\x08[\x01-\x1f]\x12")
# A Caffe model begins with the network's name: its length, then printable letters.
_CAFFE: Final = re.compile(rb"\x0a([\x01-\x7f])([ -~]{4,})", re.DOTALL)

_CONVERT: Final = "Choose the PyTorch version of this network, if its project has one."


@dataclass(frozen=True, slots=True)
class FileKind:
    """A kind of file that is not read: what it is, and what to do instead."""

    what: str
    hint: str = _CONVERT


_SCRIPT: Final = FileKind(
    "a TorchScript archive, which is a program",
    "Save the network's tensors instead: torch.save(net.state_dict(), PATH).",
)
_KERAS: Final = FileKind("a Keras file (HDF5)")
_CAFFE_KIND: Final = FileKind(
    "a Caffe model", "Choose a conversion to PyTorch, such as wkentaro/pytorch-fcn or kazuto1011/deeplab-pytorch offer."
)
_ONNX_KIND: Final = FileKind("an ONNX model")
_TENSORFLOW: Final = FileKind("part of a TensorFlow checkpoint")
_ARRAYS: Final = FileKind("a file of NumPy arrays")
_PACKED: Final = FileKind("a packed archive", "Unpack it and choose the checkpoint inside.")
_PAGE: Final = FileKind(
    "a web page, not the file itself", "Download the file again; its host may ask a question first."
)
_UNKNOWN: Final = FileKind("no checkpoint", "Choose a file of PyTorch (.pth, .pt) or safetensors.")
_POINTER: Final = FileKind("a Git LFS pointer, not the file itself", "Fetch the file with: git lfs pull.")

_HEADS: Final = (
    (b"\x89HDF\r\n\x1a\n", _KERAS),
    (b"\x93NUMPY", _ARRAYS),
    (b"\x1f\x8b", _PACKED),
    (b"BZh", _PACKED),
    (b"\xfd7zXZ\x00", _PACKED),
    (b"7z\xbc\xaf\x27\x1c", _PACKED),
    (b"Rar!", _PACKED),
    (b"version https://git-lfs", _POINTER),
)
_SUFFIXES: Final = {
    ".h5": _KERAS,
    ".hdf5": _KERAS,
    ".caffemodel": _CAFFE_KIND,
    ".onnx": _ONNX_KIND,
    ".pb": _TENSORFLOW,
    ".tflite": FileKind("a TensorFlow Lite model"),
}


def other_kind(path: Path, head: bytes) -> FileKind | Readable:
    """The kind of a file that begins with `head`: one that can be read, or one to be refused."""
    by_head = next((kind for magic, kind in _HEADS if head.startswith(magic)), None)
    if by_head is not None:
        return by_head
    if head[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR:
        return _PACKED
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return _PAGE
    if head.startswith((_ZIP, _EMPTY_ZIP)) or _ZIP.startswith(head):
        return _archive(path)
    if _is_safetensors(path, head):
        return "safetensors"
    if head.startswith(_PICKLE):
        return "torch"
    return _by_name(path) or _by_content(head) or _UNKNOWN


def _archive(path: Path) -> FileKind | Readable:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return "zip"
    inner = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inner or any(name.startswith("code/") for name in inner):
        return _SCRIPT
    if "model.weights.h5" in names:
        return FileKind("a Keras model")
    if names and all(name.endswith(".npy") for name in names):
        return _ARRAYS
    if "data.pkl" not in inner:
        return _PACKED
    return "zip"


def _is_safetensors(path: Path, head: bytes) -> bool:
    if path.suffix == ".safetensors":
        return True
    size = int.from_bytes(head[:8], "little")
    return head[8:9] == b"{" and 0 < size <= path.stat().st_size


def _by_name(path: Path) -> FileKind | None:
    if _TENSORFLOW_NAME.search(path.name):
        return _TENSORFLOW
    return _SUFFIXES.get(path.suffix.lower())


def _by_content(head: bytes) -> FileKind | None:
    if _ONNX.match(head):
        return _ONNX_KIND
    named = _CAFFE.match(head)
    if named is not None and len(named.group(2)) >= named.group(1)[0]:
        return _CAFFE_KIND
    return FileKind("a TensorFlow Lite model") if head[4:8] == b"TFL3" else None
