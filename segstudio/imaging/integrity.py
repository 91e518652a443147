"""Is a JPEG or PNG whole? OpenCV decodes half a file without a word, so this is asked first.

Both checks walk the container only and cost a small part of decoding.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from segstudio.imaging.header import damaged_error, truncated_error

_PNG_SIGNATURE: Final = 8
_CHUNK_FRAME: Final = 12  # length, type and checksum
_START_OF_SCAN: Final = 0xDA
_END_OF_IMAGE: Final = b"\xff\xd9"
_STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length


def check_whole(data: npt.NDArray[np.uint8], image_format: str, path: Path) -> None:
    """Returns for a JPEG or PNG that is all there, and for every other format.

    Raises:
        ImageError: The file is cut off or damaged.
    """
    if image_format == "JPEG":
        _check_jpeg(data.data, path)
    elif image_format == "PNG":
        _check_png(data.data, path)


def _check_jpeg(data: memoryview, path: Path) -> None:
    """Looks for the end marker behind the first scan: one in front of it belongs to an embedded preview."""
    scan = _first_scan(data)
    if scan is None:
        raise truncated_error(path)
    # Nearly every JPEG ends with the marker, at most followed by a little padding.
    if bytes(data[max(scan, len(data) - 64) :]).rfind(_END_OF_IMAGE) >= 0:
        return
    if bytes(data[scan:]).rfind(_END_OF_IMAGE) < 0:
        raise truncated_error(path)


def _first_scan(data: memoryview) -> int | None:
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            position += 1  # stray bytes between segments are legal to skip
            continue
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
        elif marker in _STANDALONE:
            position += 2
        elif marker == _START_OF_SCAN:
            return position
        else:
            position += 2 + (data[position + 2] << 8 | data[position + 3])
    return None


def _check_png(data: memoryview, path: Path) -> None:
    """Walks the chunks to IEND and compares the checksums of those that pixels depend on."""
    position = _PNG_SIGNATURE
    while position + _CHUNK_FRAME <= len(data):
        length = int.from_bytes(data[position : position + 4])
        kind = bytes(data[position + 4 : position + 8])
        end = position + _CHUNK_FRAME + length
        if end > len(data):
            raise truncated_error(path)
        if kind[:1].isupper() and zlib.crc32(data[position + 4 : end - 4]) != int.from_bytes(data[end - 4 : end]):
            raise damaged_error(path)
        if kind == b"IEND":
            return
        position = end
    raise truncated_error(path)
