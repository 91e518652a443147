"""Label maps in MATLAB's files, known to fit before they are read."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from segstudio.core.errors import FormatError
from segstudio.formats.base import check_size
from segstudio.formats.sources import read_limited

_HEADER_BYTES: Final = 128
_TEXT_BYTES: Final = 116
_DESCRIPTION: Final = b"MATLAB 5.0 MAT-file, written by SegStudio"
_COMPRESSED: Final = 15  # miCOMPRESSED (MAT-File Format, level 5)
_PIXEL_BYTES: Final = 16
_LEAST_LIMIT: Final = 16 << 20
_NUMERIC: Final = frozenset(
    {"uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "single", "double", "logical"}
)
_DAMAGED: Final = (
    ValueError,
    TypeError,
    LookupError,
    OverflowError,
    MemoryError,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    zlib.error,
)


def mat_bytes(name: str, array: npt.NDArray[np.uint16]) -> bytes:
    """A compressed MAT-file (level 5) with one variable."""
    from scipy.io import savemat

    buffer = io.BytesIO()
    savemat(buffer, {name: array}, do_compression=True)
    # The text at the beginning tells the hour, and equal labels should be equal files.
    return _DESCRIPTION.ljust(_TEXT_BYTES) + buffer.getvalue()[_TEXT_BYTES:]


def read_mat(path: Path, name: str, *, width: int, height: int) -> npt.NDArray[np.uint16]:
    """(height, width) uint16, a variable of whole numbers 0-65535 of a MAT-file of level 4 or 5.

    Raises:
        FormatError: The file is damaged, lacks the variable, or the variable is of another kind or size.
    """
    from scipy.io import loadmat, matlab, whosmat

    limit = max(_LEAST_LIMIT, _PIXEL_BYTES * width * height)
    data = read_limited(path, limit)
    try:
        stream = io.BytesIO(_inflated(data, limit, path))
        found = [entry for entry in whosmat(stream) if entry[0] == name]
        if len(found) != 1 or found[0][2] not in _NUMERIC or len(found[0][1]) != 2:
            raise FormatError(f"{path.name} holds no array of numbers called {name}.", "Choose another folder.")
        rows, columns = found[0][1]
        check_size((columns, rows), path.name, width, height)
        stream.seek(0)
        array = np.asarray(loadmat(stream, variable_names=[name])[name])
    except FormatError:
        raise
    except (*_DAMAGED, matlab.MatReadError) as error:
        if data[124:128] in (b"\x00\x02IM", b"\x02\x00MI"):
            raise FormatError(f"{path.name} is a MAT-file of version 7.3.", "Save it with MATLAB's -v7.") from error
        raise FormatError(f"{path.name} is no MAT-file, or a damaged one ({error}).", "Copy it again.") from error
    return _whole_numbers(array, path)


def _inflated(data: bytes, limit: int, path: Path) -> bytes:
    """A MAT-file of level 5 with its variables decompressed, to at most `limit` bytes; other files as they are."""
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None:
        return data
    parts, position, size = [data[:_HEADER_BYTES]], _HEADER_BYTES, 0
    while position + 8 <= len(data):
        kind, count = struct.unpack_from(f"{order}II", data, position)
        end = position + 8 + count
        if kind == _COMPRESSED:
            parts.append(zlib.decompressobj().decompress(data[position + 8 : end], limit - size + 1))
        else:
            parts.append(data[position:end])
        size += len(parts[-1])
        if size > limit:
            raise FormatError(f"{path.name} holds far more than a label of its image.", "Check where it comes from.")
        position = end
    return b"".join(parts)


def _whole_numbers(array: npt.NDArray[Any], path: Path) -> npt.NDArray[np.uint16]:
    if array.dtype.kind not in "buif" or not np.array_equal(array, np.clip(np.trunc(array), 0, 65535)):
        raise FormatError(f"{path.name} holds values that are no numbers of classes.", "Use whole numbers 0 to 65535.")
    return np.ascontiguousarray(array, dtype=np.uint16)
