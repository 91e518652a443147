"""TIFFs that Pillow has no word for: 16-bit RGB, floating point, many channels."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from PIL.ExifTags import Base as ExifTag

if TYPE_CHECKING:
    import tifffile

_CODEC_PACKAGE: Final = "imagecodecs"


class MissingCodec(Exception):
    """The compression of a TIFF needs another reader."""


@dataclass(frozen=True, slots=True)
class TiffHeader:
    """What the first page of a TIFF says; width and height as stored, before any rotation."""

    width: int
    height: int
    channels: int
    dtype: str
    bits: int
    orientation: int
    pages: int


def read_header(stream: IO[bytes]) -> TiffHeader:
    """The header of the first page.

    Raises:
        ValueError: The file is damaged.
    """
    with _first_page(stream) as (tiff, page):
        tag = page.tags.get(int(ExifTag.Orientation))
        orientation = tag.value if tag is not None and tag.value in range(1, 9) else 1
        return TiffHeader(
            int(page.imagewidth),
            int(page.imagelength),
            int(page.samplesperpixel),
            str(page.dtype),
            int(page.bitspersample),
            int(orientation),
            len(tiff.pages),
        )


def read_pixels(data: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
    """(H, W) or (H, W, C) in the file's own type, as stored: no rotation.

    Raises:
        MissingCodec: The compression is none that tifffile knows by itself.
        ValueError: The file is damaged.
    """
    try:
        with _first_page(io.BytesIO(data.data)) as (_, page):
            array = np.asarray(page.asarray())
            return np.moveaxis(array, 0, -1) if page.axes.startswith("S") else array
    except (KeyError, ValueError) as error:
        if _CODEC_PACKAGE in str(error):
            raise MissingCodec from error
        raise ValueError(str(error)) from error


@contextmanager
def _first_page(stream: IO[bytes]) -> Iterator[tuple[tifffile.TiffFile, tifffile.TiffPage]]:
    import tifffile  # slow to import, and few images need it

    # It logs each oddity of a damaged file as an error; the sentence we raise says it once.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    stream.seek(0)
    try:
        with tifffile.TiffFile(stream) as tiff:
            page = tiff.pages.first
            if not isinstance(page, tifffile.TiffPage):
                raise ValueError("no page")
            yield tiff, page
    except (tifffile.TiffFileError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise (error if _CODEC_PACKAGE in str(error) else ValueError(str(error))) from error
