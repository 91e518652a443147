"""What a file says about its image before any pixel is decoded."""

from __future__ import annotations

import importlib
import os
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import Base as ExifTag

from segstudio.core.errors import ImageError
from segstudio.imaging import tiff
from segstudio.imaging.files import empty_error, read_error

DEFAULT_MAX_PIXELS: Final = 300_000_000
_MOST_BYTES: Final = 256 << 20  # of what is no pixel: a preview, a film, a profile
_MOST_PIXEL_BYTES: Final = 16

# What Pillow's readers raise on damaged files, found by feeding them damaged files.
PILLOW_ERRORS: Final = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    OverflowError,
    AttributeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
# Plain names for the content a file may have; the content decides, never the suffix.
_FORMATS: Final = {
    "JPEG": ("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif")),
    "MPO": ("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo")),  # a JPEG with a second view behind it
    "PNG": ("PNG", (".png",)),
    "TIFF": ("TIFF", (".tif", ".tiff")),
    "BMP": ("BMP", (".bmp", ".dib")),
    "WEBP": ("WebP", (".webp",)),
}
_TIFF_MAGIC: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# How content begins -> Pillow's name and reader. Naming the reader keeps Pillow from importing its forty others.
_MAGIC: Final = {
    b"\xff\xd8": ("JPEG", "JpegImagePlugin"),
    b"\x89PNG": ("PNG", "PngImagePlugin"),
    b"BM": ("BMP", "BmpImagePlugin"),
    b"RIFF": ("WEBP", "WebPImagePlugin"),
    **dict.fromkeys(_TIFF_MAGIC, ("TIFF", "TiffImagePlugin")),
}
_TURNED: Final = "Turned upright by its EXIF orientation."
_FIRST_PAGE: Final = "The first of {} pages is shown."
# Pillow's bomb guard and Python's warning filters are one per process.
_pillow_globals = threading.Lock()


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What an image's header says.

    Attributes:
        width: Pixels after EXIF rotation.
        height: As `width`.
        format: "JPEG", "PNG", "TIFF", "BMP" or "WebP", by content.
        mode: Pillow's name of the pixel layout, or numpy's type name with the channels ("float32x3").
        bits: Per channel, as stored.
        orientation: EXIF orientation 1-8; 1 = upright.
        note: A sentence worth showing beside the image, else None.
    """

    width: int
    height: int
    format: str
    mode: str
    bits: int = 8
    orientation: int = 1
    note: str | None = None


def probe(path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> ImageInfo:
    """What the header of an image file says; no pixel is decoded.

    Raises:
        ImageError: The file cannot be opened, is no image we know, or is too large or too small to label.
    """
    try:
        with path.open("rb") as stream:
            magic = stream.read(26)
            if not magic:
                raise empty_error(path)
            try:
                with open_pillow(stream) as image, quiet_pillow():
                    info = _describe(image, magic, path)
            except UnidentifiedImageError:
                if not magic.startswith(_TIFF_MAGIC):
                    raise
                info = _describe_tiff(stream)
            length = stream.seek(0, os.SEEK_END)
    except UnidentifiedImageError as error:
        raise unknown_error(path, magic) from error
    except ImageError:
        raise
    except OSError as error:
        raise (read_error(error, path) if error.errno else damaged_error(path)) from error
    except PILLOW_ERRORS as error:
        raise damaged_error(path) from error
    _check_size(info, path, max_pixels)
    _check_length(length, info, path)
    return info


def damaged_error(path: Path) -> ImageError:
    """The sentence for a file whose content makes no sense."""
    return ImageError(f"The image {path.name} is damaged and cannot be decoded.", "Copy it again from its source.")


def truncated_error(path: Path) -> ImageError:
    """The sentence for a file that ends too early."""
    return ImageError(
        f"The image {path.name} is cut off: part of the file is missing.", "Copy it again from its source."
    )


def unknown_error(path: Path, magic: bytes) -> ImageError:
    """The sentence for a file that is no image, or one that begins right and goes wrong."""
    if magic.startswith(tuple(_MAGIC)):
        return damaged_error(path)
    return ImageError(f"{path.name} is not an image that SegStudio can read.", "Use PNG, JPEG, TIFF, BMP or WebP.")


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Keeps back Pillow's warnings about odd metadata, which no pixel depends on; one thread at a time."""
    with _pillow_globals, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def open_pillow(stream: IO[bytes]) -> Iterator[Image.Image]:
    """A Pillow image of a stream, header read, closed at the end; our own size guard replaces Pillow's.

    Raises:
        UnidentifiedImageError: The content is none of the formats we know.
    """
    stream.seek(0)
    beginning = stream.read(4)
    found = next((entry for magic, entry in _MAGIC.items() if beginning.startswith(magic)), None)
    if found is None:
        raise UnidentifiedImageError
    name, reader = found
    importlib.import_module(f"PIL.{reader}")
    with quiet_pillow():
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(stream, formats=(name,))
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    with image:
        yield image


def _describe(image: Image.Image, magic: bytes, path: Path) -> ImageInfo:
    name, suffixes = _FORMATS[image.format or ""]
    # A PNG's own getexif() decodes the whole image to look behind it; what stands in front is all we ask for.
    exif = Image.Image.getexif(image) if name == "PNG" else image.getexif()
    orientation = exif.get(ExifTag.Orientation, 1)
    if orientation not in range(1, 9):
        orientation = 1
    width, height = image.size
    # Pillow swaps the sides of a TIFF on opening it, and those of no other format.
    if orientation >= 5 and name != "TIFF":
        width, height = height, width
    bits = _bits(image, name, magic)
    notes = [_mode_note(image, bits)]
    if path.suffix and path.suffix.lower() not in suffixes:
        notes.append(f"The file is named {path.suffix} but holds a {name} image.")
    if orientation != 1:
        notes.append(_TURNED)
    if name == "TIFF" and getattr(image, "n_frames", 1) > 1:
        notes.append(_FIRST_PAGE.format(image.n_frames))  # type: ignore[attr-defined]
    return ImageInfo(width, height, name, image.mode, bits, orientation, " ".join(filter(None, notes)) or None)


def _bits(image: Image.Image, name: str, magic: bytes) -> int:
    """Bits per channel as stored: Pillow halves 16-bit RGB without a word, so ask the file."""
    if name == "PNG":
        return magic[24]
    if name == "TIFF":
        depths = image.tag_v2.get(ExifTag.BitsPerSample, (1,))  # type: ignore[attr-defined]
        return int(max(depths))
    return 1 if image.mode == "1" else 8


def _mode_note(image: Image.Image, bits: int) -> str | None:
    if bits > 8:
        return None  # said with its range once the pixels are known
    if image.mode in ("1", "L"):
        return "Greyscale image."
    if image.mode == "P":
        return "Palette image, shown in its palette's colours."
    if image.mode == "CMYK":
        return "CMYK image, converted to RGB."
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        return "The transparency of the image is left out; its colours are shown as stored."
    return None


def _describe_tiff(stream: IO[bytes]) -> ImageInfo:
    header = tiff.read_header(stream)
    width, height = header.width, header.height
    if header.orientation >= 5:
        width, height = height, width
    notes = []
    if header.orientation != 1:
        notes.append(_TURNED)
    if header.pages > 1:
        notes.append(_FIRST_PAGE.format(header.pages))
    return ImageInfo(
        width,
        height,
        "TIFF",
        f"{header.dtype}x{header.channels}",
        max(header.bits, 16),  # whatever Pillow cannot name goes the way of deep pixels
        header.orientation,
        " ".join(notes) or None,
    )


def _check_size(info: ImageInfo, path: Path, max_pixels: int) -> None:
    if info.width * info.height > max_pixels:
        raise ImageError(
            f"The image {path.name} is too large: {info.width:,} x {info.height:,} pixels,"
            f" and SegStudio opens up to {max_pixels // 1_000_000:,} million.",
            "Cut it into smaller images.",
        )
    if info.width * info.height <= 1:
        raise ImageError(f"The image {path.name} is a single pixel (1 x 1).", "There is nothing to label in it.")


def _check_length(length: int, info: ImageInfo, path: Path) -> None:
    """A TIFF may hold any number of pages; of other files, what lies behind the pixels is read with them."""
    if info.format != "TIFF" and length > _MOST_BYTES + _MOST_PIXEL_BYTES * info.width * info.height:
        raise ImageError(
            f"The image {path.name} has {length >> 20:,} MiB,"
            f" far more than {info.width:,} x {info.height:,} pixels need.",
            "Save it again.",
        )
