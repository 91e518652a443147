"""Files that ask for far more than they are."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np


def write_png_bomb(path: Path, side: int = 100_000, *, color: int = 0) -> None:
    """A small PNG whose header promises `side` x `side` pixels, grey (color 0) or RGB (2)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, color, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))


def npy_header(shape: tuple[int, ...], dtype: str = "|u1", *, fortran: bool = False) -> bytes:
    """The beginning of a .npy file."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": fortran, "shape": shape})
    return buffer.getvalue()


def write_npz_bomb(path: Path, header: bytes, zeros: int) -> None:
    """A small .npz whose array unpacks to `zeros` bytes behind its header."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("arr_0.npy", "w") as member:
        member.write(header)
        for _ in range(zeros >> 20):
            member.write(bytes(1 << 20))
