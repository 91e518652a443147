"""Image files as people have them: broken ones that are refused, and unusual ones that are read with a note."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

HEIGHT, WIDTH = 40, 60
GOOD = ("1 good.png", "2 good.jpg", "Zellkörper 細胞 ☂.png")
LOCKED = "locked"


@dataclass(frozen=True)
class Case:
    """A file: its name, what writes its bytes, what the program says, and the shape it is shown in."""

    name: str
    content: Callable[[], bytes]
    sentence: str
    shape: tuple[int, int] = (HEIGHT, WIDTH)


def pixels() -> npt.NDArray[np.uint8]:
    """(40, 60, 3) uint8 noise: nothing in it compresses away."""
    return np.random.default_rng(7).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def encoded(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    """The bytes of an image file."""
    stream = io.BytesIO()
    (image or Image.fromarray(pixels())).save(stream, format=kind, **options)
    return stream.getvalue()


def _converted(mode: str) -> Image.Image:
    return Image.fromarray(pixels()).convert(mode)


def _flipped() -> bytes:
    data = bytearray(encoded("PNG"))
    data[len(data) // 2] ^= 0x10
    return bytes(data)


def _noise_after(magic: bytes) -> bytes:
    return magic + np.random.default_rng(5).bytes(4000)


def _turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded("JPEG", exif=exif)


def _deep() -> bytes:
    ramp = np.linspace(1200, 60000, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
    return encoded("PNG", Image.fromarray(ramp))


@cache
def _huge() -> bytes:
    """A whole and valid PNG of 20,000 x 20,000 pixels, one bit each."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    squeeze = zlib.compressobj(1)
    rows = b"".join(squeeze.compress(bytes(100 * 2501)) for _ in range(200)) + squeeze.flush()
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


REFUSED = (
    Case("corrupt.png", _flipped, "The image corrupt.png is damaged and cannot be decoded."),
    Case(
        "corrupt.jpg",
        lambda: _noise_after(b"\xff\xd8\xff\xe0"),
        "The image corrupt.jpg is damaged and cannot be decoded.",
    ),
    Case(
        "truncated.jpg",
        lambda: encoded("JPEG")[:-900],
        "The image truncated.jpg is cut off: part of the file is missing.",
    ),
    Case(
        "truncated.png",
        lambda: encoded("PNG")[:3000],
        "The image truncated.png is cut off: part of the file is missing.",
    ),
    Case("zero.png", lambda: b"", "The image zero.png is empty (0 bytes)."),
    Case(
        "one pixel.png",
        lambda: encoded("PNG", Image.new("RGB", (1, 1))),
        "The image one pixel.png is a single pixel (1 x 1).",
    ),
    Case(
        "huge.png",
        _huge,
        "The image huge.png is too large: 20,000 x 20,000 pixels, and SegStudio opens up to 300 million.",
    ),
    Case(
        "letter.png",
        lambda: b"Dear all, please find the image attached.",
        "letter.png is not an image that SegStudio can read.",
    ),
)
SPECIAL = (
    Case("deep.png", _deep, "16-bit image, shown stretched from 1494 to 59705."),
    Case("grey.png", lambda: encoded("PNG", _converted("L")), "Greyscale image."),
    Case("palette.png", lambda: encoded("PNG", _converted("P")), "Palette image, shown in its palette's colours."),
    Case("print.jpg", lambda: encoded("JPEG", _converted("CMYK")), "CMYK image, converted to RGB."),
    Case(
        "glass.png",
        lambda: encoded("PNG", _converted("RGBA")),
        "The transparency of the image is left out; its colours are shown as stored.",
    ),
    Case("turned.jpg", _turned, "Turned upright by its EXIF orientation.", (WIDTH, HEIGHT)),
    Case("wrong ending.png", lambda: encoded("JPEG"), "The file is named .png but holds a JPEG image."),
)


def write_all(folder: Path) -> None:
    """Writes every file, good ones first, in the middle and last, and a sub-folder to lock."""
    folder.mkdir()
    (folder / LOCKED).mkdir()
    (folder / LOCKED / "inside.png").write_bytes(encoded("PNG"))
    for name in GOOD:
        (folder / name).write_bytes(encoded("JPEG" if name.endswith(".jpg") else "PNG"))
    for case in (*REFUSED, *SPECIAL):
        (folder / case.name).write_bytes(case.content())
