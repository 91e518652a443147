"""Image files as upright RGB arrays, or one clear sentence why not.

Pillow reads the header and the rarer layouts; OpenCV decodes 8-bit JPEG and PNG, which is what nearly every data set
holds. EXIF rotation is applied here and nowhere else. Alpha is left out and the stored colours are kept: compositing
would invent pixels that neither other tools nor the networks see.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from segstudio.core.errors import ImageError
from segstudio.imaging import tiff
from segstudio.imaging.files import read_bytes
from segstudio.imaging.header import (
    DEFAULT_MAX_PIXELS,
    PILLOW_ERRORS,
    ImageInfo,
    damaged_error,
    open_pillow,
    probe,
    quiet_pillow,
    truncated_error,
)
from segstudio.imaging.integrity import check_whole
from segstudio.imaging.labels import read_labels, write_index_png
from segstudio.imaging.scan import IMAGE_SUFFIXES, FolderScan, find_images, natural_key
from segstudio.imaging.stretch import stretch

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "IMAGE_SUFFIXES",
    "FolderScan",
    "ImageInfo",
    "Picture",
    "find_images",
    "natural_key",
    "probe",
    "read_image",
    "read_labels",
    "write_index_png",
]

_KEEP_TURNED: Final = cv2.IMREAD_IGNORE_ORIENTATION  # OpenCV would otherwise rotate, and we again


@dataclass(frozen=True, slots=True)
class Picture:
    """An image ready to show: `rgb` (H, W, 3) uint8, C-contiguous; `note` a sentence on how it was read, or None."""

    rgb: npt.NDArray[np.uint8]
    note: str | None = None


def read_image(path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Picture:
    """The image of a file, upright, 8 bits, RGB.

    Raises:
        ImageError: The file cannot be opened, decoded in full, or is larger than `max_pixels`.
    """
    info = probe(path, max_pixels=max_pixels)
    data = read_bytes(path)
    check_whole(data, info.format, path)
    try:
        if info.bits > 8:
            picture = _read_deep(data, info, path)
        elif info.format in ("JPEG", "PNG") and info.mode != "CMYK":
            picture = Picture(_read_fast(data, info, path), info.note)
        else:
            picture = Picture(_read_with_pillow(data, path), info.note)
    except MemoryError as error:
        raise ImageError(
            f"There is not enough memory to open {path.name} ({info.width:,} x {info.height:,} pixels).",
            "Close other programs, or cut the image into smaller ones.",
        ) from error
    if picture.rgb.shape != (info.height, info.width, 3):
        raise damaged_error(path)
    return picture


def _read_fast(data: npt.NDArray[np.uint8], info: ImageInfo, path: Path) -> npt.NDArray[np.uint8]:
    bgr = _decode_cv(data, cv2.IMREAD_COLOR | _KEEP_TURNED, path)
    return turn_upright(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=bgr), info.orientation)


def _read_with_pillow(data: npt.NDArray[np.uint8], path: Path) -> npt.NDArray[np.uint8]:
    from PIL import ImageOps

    try:
        with open_pillow(io.BytesIO(data.data)) as image, quiet_pillow():
            image.load()
            # Pillow turns a TIFF while loading it and then forgets the tag, so nothing is turned twice.
            upright = ImageOps.exif_transpose(image)
            return np.array(upright.convert("RGB"), dtype=np.uint8)
    except PILLOW_ERRORS as error:
        raise (truncated_error(path) if "truncated" in str(error) else damaged_error(path)) from error


def _read_deep(data: npt.NDArray[np.uint8], info: ImageInfo, path: Path) -> Picture:
    if info.format == "TIFF":
        deep = _decode_tiff(data, info, path)
    else:
        deep = turn_upright(_bgr_to_rgb(_decode_cv(data, cv2.IMREAD_UNCHANGED | _KEEP_TURNED, path)), info.orientation)
    channels = 1 if deep.ndim == 2 else deep.shape[2]
    if channels == 2:  # grey with alpha, or two stains: the first is the picture
        deep, channels = deep[:, :, 0], 1
    eight, low, high = stretch(deep if channels == 1 else deep[:, :, :3])
    rgb = cv2.cvtColor(eight, cv2.COLOR_GRAY2RGB) if eight.ndim == 2 else np.ascontiguousarray(eight)
    kind = "floating-point" if deep.dtype.kind == "f" else f"{deep.dtype.itemsize * 8}-bit"
    digits = ".6g" if deep.dtype.kind == "f" else ".0f"
    note = f"{kind.capitalize()} image, shown stretched from {low:{digits}} to {high:{digits}}."
    if channels > 3:
        note += f" The first three of {channels} channels are shown."
    return Picture(np.asarray(rgb, dtype=np.uint8), " ".join(filter(None, (note, info.note))))


def _decode_tiff(data: npt.NDArray[np.uint8], info: ImageInfo, path: Path) -> npt.NDArray[Any]:
    """(H, W) or (H, W, C) in the file's own type, upright."""
    try:
        array = tiff.read_pixels(data)
    except tiff.MissingCodec:
        # LZW and its kind need OpenCV, which also applies the orientation of a TIFF, whatever it is asked.
        return _bgr_to_rgb(_decode_cv(data, cv2.IMREAD_UNCHANGED, path))
    except (ValueError, *PILLOW_ERRORS) as error:
        raise truncated_error(path) from error
    if array.dtype.kind not in "uif" or array.ndim not in (2, 3):
        raise ImageError(
            f"The pixels of {path.name} are of a kind SegStudio cannot show ({array.dtype}, {array.ndim} axes).",
            "Convert it to 8 or 16 bits.",
        )
    return turn_upright(array, info.orientation)


def _decode_cv(data: npt.NDArray[np.uint8], flags: int, path: Path) -> npt.NDArray[Any]:
    try:
        array = cv2.imdecode(data, flags)
    except cv2.error as error:
        raise damaged_error(path) from error
    if array is None:
        raise damaged_error(path)
    return array


def _bgr_to_rgb(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return array[:, :, (2, 1, 0)] if array.ndim == 3 and array.shape[2] >= 3 else array


def turn_upright(array: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """The array (H, W[, C]) turned and mirrored as its EXIF orientation (1-8) asks, C-contiguous."""
    if orientation in (5, 6, 7, 8):
        array = np.swapaxes(array, 0, 1)
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return np.ascontiguousarray(array)
