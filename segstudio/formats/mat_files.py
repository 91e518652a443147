"""Label maps in MATLAB's files, known to fit before they are read.

Of the format, this reads what a label map needs, and checks every number: scipy's reader takes the type numbers of a
file on trust, so that a damaged one can end the process (MAT-File Format, MathWorks; level 5, and its appendix on 4).
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from segstudio.core.errors import FormatError
from segstudio.formats.base import LoadRequest
from segstudio.formats.sources import read_limited

_HEADER_BYTES: Final = 128
_TEXT_BYTES: Final = 116
_DESCRIPTION: Final = b"MATLAB 5.0 MAT-file, written by SegStudio"
_PIXEL_BYTES: Final = 16
_LEAST_LIMIT: Final = 16 << 20
_ORDERS: Final = {b"IM": "<", b"MI": ">"}
_HDF: Final = (b"\x00\x02IM", b"\x02\x00MI")
# Level 5: kinds of elements, and what arrays of numbers are stored as, which may be narrower than they are.
_MATRIX: Final = 14
_COMPRESSED: Final = 15
_STORED: Final = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_NUMERIC: Final = range(6, 16)  # classes of arrays
_COMPLEX: Final = 0x0800
# Level 4: a header of five numbers; the first says in its digits which machine, which numbers, and which kind.
_OLD_HEADER: Final = 20
_OLD_STORED: Final = ("f8", "f4", "i4", "i2", "u2", "u1")
_OLD_LARGEST: Final = 4052


@dataclass(frozen=True, slots=True)
class _Variable:
    """A variable of a file: its name, its sides, its numbers column by column; dtype None where they are none."""

    name: bytes
    sides: tuple[int, ...]
    dtype: np.dtype[Any] | None
    content: memoryview


def mat_bytes(name: str, array: npt.NDArray[np.uint16]) -> bytes:
    """A compressed MAT-file (level 5) with one variable."""
    from scipy.io import savemat

    buffer = io.BytesIO()
    savemat(buffer, {name: array}, do_compression=True)
    # The text at the beginning tells the hour, and equal labels should be equal files.
    return _DESCRIPTION.ljust(_TEXT_BYTES) + buffer.getvalue()[_TEXT_BYTES:]


def read_mat(path: Path, name: str, request: LoadRequest) -> npt.NDArray[np.uint16]:
    """(H, W) uint16, a variable of whole numbers 0-65535 of a MAT-file of level 4 or 5, of the size of its image.

    Raises:
        FormatError: The file is damaged, lacks the variable, or the variable is of another kind or size.
    """
    limit = max(_LEAST_LIMIT, _PIXEL_BYTES * request.width * request.height)
    data = read_limited(path, limit)
    try:
        variables = _variables(data, limit, path) if data[126:128] in _ORDERS else _old_variables(data)
        found = [variable for variable in variables if variable.name == name.encode()]
    except (ValueError, struct.error, zlib.error) as error:
        if data[124:128] in _HDF:
            raise FormatError(f"{path.name} is a MAT-file of version 7.3.", "Save it with MATLAB's -v7.") from error
        raise FormatError(f"{path.name} is no MAT-file, or a damaged one ({error}).", "Copy it again.") from error
    dtype = found[0].dtype if len(found) == 1 else None
    if dtype is None or len(found[0].sides) != 2:
        raise FormatError(f"{path.name} holds no array of numbers called {name}.", "Choose another folder.")
    rows, columns = found[0].sides
    request.check_size(columns, rows, path)
    if len(found[0].content) != rows * columns * dtype.itemsize:
        raise FormatError(f"{path.name} is a damaged MAT-file: its array is cut off.", "Copy it again.")
    return _whole_numbers(np.frombuffer(found[0].content, dtype=dtype).reshape(columns, rows).T, path)


def _variables(data: bytes, limit: int, path: Path) -> Iterator[_Variable]:
    """The variables of a file of level 5, decompressed to at most `limit` bytes in all."""
    if data[124:128] in _HDF:
        raise ValueError("it is an HDF5 file")
    order, size = _ORDERS[data[126:128]], 0
    for kind, content in _elements(memoryview(data)[_HEADER_BYTES:], order):
        if kind == _COMPRESSED:
            inflated = zlib.decompressobj().decompress(content, limit - size + 1)
            size += len(inflated)
            if size > limit:
                what = f"{path.name} holds far more than a label of its image."
                raise FormatError(what, "Check where it comes from.")
            kind, content = next(_elements(memoryview(inflated), order), (0, content))
        if kind == _MATRIX:
            yield _variable(content, order)


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """(kind, content) of the elements that lie one after the other; short ones share 8 bytes with their tag."""
    position = 0
    while position + 8 <= len(data):
        kind, size = struct.unpack_from(f"{order}II", data, position)
        begin = position + 8
        if kind >> 16:
            kind, size, begin = kind & 0xFFFF, kind >> 16, position + 4
            if size > 4:
                raise ValueError("an element has a length that is not possible")
        if begin + size > len(data):
            raise ValueError("it is cut off")
        yield kind, data[begin : begin + size]
        position = begin + size if kind == _COMPRESSED else begin + size + (-(begin + size) % 8)


def _variable(content: memoryview, order: str) -> _Variable:
    """A matrix: flags, sides, a name, and numbers."""
    parts = list(islice(_elements(content, order), 4))
    if len(parts) < 3:
        raise ValueError("an array is cut off")
    (_, flags), (_, sides), (_, name), *numbers = parts
    (flag,) = struct.unpack_from(f"{order}I", flags)
    dtype = None
    if numbers and flag & 0xFF in _NUMERIC and not flag & _COMPLEX and numbers[0][0] in _STORED:
        dtype = np.dtype(order + _STORED[numbers[0][0]])
    shape = tuple(np.frombuffer(sides, dtype=f"{order}i4").tolist())
    return _Variable(bytes(name), shape, dtype, numbers[0][1] if numbers else content[:0])


def _old_variables(data: bytes) -> Iterator[_Variable]:
    """The variables of a file of level 4."""
    position = 0
    while position < len(data):
        order = "<" if 0 <= struct.unpack_from("<i", data, position)[0] <= _OLD_LARGEST else ">"
        code, rows, columns, imaginary, name_length = struct.unpack_from(f"{order}5i", data, position)
        stored, kind = code // 10 % 10, code % 10
        if not 0 <= code <= _OLD_LARGEST or stored >= len(_OLD_STORED) or min(rows, columns, name_length) < 0:
            raise ValueError("its header makes no sense")
        dtype = np.dtype(order + _OLD_STORED[stored])
        begin = position + _OLD_HEADER + name_length
        position = begin + math.prod((rows, columns, dtype.itemsize, 2 if imaginary else 1))
        if position > len(data):
            raise ValueError("it is cut off")
        name = data[begin - name_length : begin].rstrip(b"\0")
        content = memoryview(data)[begin:position]
        yield _Variable(name, (rows, columns), None if kind or imaginary else dtype, content)


def _whole_numbers(array: npt.NDArray[Any], path: Path) -> npt.NDArray[np.uint16]:
    if array.dtype.kind not in "buif" or not np.array_equal(array, np.clip(np.trunc(array), 0, 65535)):
        raise FormatError(f"{path.name} holds values that are no numbers of classes.", "Use whole numbers 0 to 65535.")
    return np.ascontiguousarray(array, dtype=np.uint16)
