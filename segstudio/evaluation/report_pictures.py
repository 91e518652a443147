"""Pictures of mistakes for a report: what is there, what was predicted, and the pixels where the two differ."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import VOID_COLOR
from segstudio.core.errors import ImageError
from segstudio.core.geometry import Rect
from segstudio.evaluation.counting import VALUES, Labels
from segstudio.evaluation.evaluate import Sample
from segstudio.evaluation.outcome import Evaluation
from segstudio.imaging.contours import components_with_rects
from segstudio.imaging.decode import read_image

Rgb = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

MAX_SIDE: Final = 480
_MIN_SIDE: Final = 160  # of a crop, in pixels of the image: less shows no context
_SMALL_SIDE: Final = 240  # crops smaller than this are enlarged
_ASPECT: Final = 4 / 3  # at least, where the image is wide enough: strips line up
# Colours at full resolution: single marked pixels would fade otherwise.
_JPEG: Final = [
    *(cv2.IMWRITE_JPEG_QUALITY, 80),
    *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
]
_LEAST_MARK: Final = 0.7
_MARK: Final = np.array((255, 32, 128), dtype=np.uint8)
_DIM: Final = 0.45


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One picture of a strip: its caption and its file as a data URI, with its size in pixels."""

    caption: str
    uri: str
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A strip that is wanted: of the pixels of one class predicted as another, or of all wrong pixels (None).

    Attributes:
        sample: Place of the image among the samples.
        cell: (true id, predicted id): a crop around them. None shows the whole image.
    """

    sample: int
    cell: tuple[int, int] | None = None


def color_table(evaluation: Evaluation) -> Rgb:
    """(256, 3) uint8 RGB by class id; what is no class has the colour of void."""
    table = np.full((VALUES, 3), VOID_COLOR, dtype=np.uint8)
    table[list(evaluation.class_ids)] = evaluation.colors
    return table


def strips_of(sample: Sample, wishes: Sequence[Wish], colors: Rgb, class_ids: Sequence[int]) -> list[list[Tile]]:
    """The tiles of every wish about one sample, which is read once: image, label, prediction, mistakes.

    The first is left out where there is no picture, or none of the label's size that can be read.
    """
    prediction, label = sample.semantic()
    rgb = _picture(sample, label.shape)
    known = np.zeros(VALUES, dtype=np.bool_)
    known[list(class_ids)] = True
    return [_strip(rgb, prediction, label, _wrong(prediction, label, wish, known), wish, colors) for wish in wishes]


def _picture(sample: Sample, shape: tuple[int, ...]) -> Rgb | None:
    if sample.image is None:
        return None
    try:
        rgb = read_image(sample.image).rgb
    except ImageError:
        return None  # the figures hold without it, and the report shows the other tiles
    return rgb if rgb.shape[:2] == shape else None


def _wrong(prediction: Labels, label: Labels, wish: Wish, known: npt.NDArray[np.bool_]) -> Mask:
    if wish.cell is None:
        return np.asarray(known[label] & (prediction != label))
    true_id, predicted_id = wish.cell
    return np.asarray((label == true_id) & (prediction == predicted_id))


def _strip(rgb: Rgb | None, prediction: Labels, label: Labels, wrong: Mask, wish: Wish, colors: Rgb) -> list[Tile]:
    height, width = label.shape
    rect = Rect(0, 0, height, width) if wish.cell is None else _crop(wrong)
    longest = max(rect.height, rect.width)
    scale = min(MAX_SIDE, max(_SMALL_SIDE, longest)) / longest
    size = max(1, round(rect.width * scale)), max(1, round(rect.height * scale))
    part = rect.slices
    true, predicted = (_resized(labels[part], size, colors) for labels in (label, prediction))
    ground = true if rgb is None else _scaled(rgb[part], size)
    marked = _marked(ground, wrong[part], size)
    tiles = [] if rgb is None else [_tile("Image", ground)]
    what = "All mistakes" if wish.cell is None else "Confused pixels"
    return [*tiles, _tile("Label", true), _tile("Prediction", predicted), _tile(what, marked)]


def _crop(wrong: Mask) -> Rect:
    """Where the largest connected part is, with some of what lies around it."""
    height, width = wrong.shape
    parts, rects = components_with_rects(wrong)
    if not rects:
        return Rect(0, 0, height, width)
    sizes = np.bincount(parts.ravel(), minlength=len(rects) + 1)[1:]
    found = rects[int(np.argmax(sizes))]
    tall = min(height, max(_MIN_SIDE, found.height * 2, found.width))
    wide = min(width, max(found.width * 2, round(tall * _ASPECT)))
    top = int(np.clip(found.top + found.height // 2 - tall // 2, 0, height - tall))
    left = int(np.clip(found.left + found.width // 2 - wide // 2, 0, width - wide))
    return Rect(top, left, tall, wide)


def _scaled(rgb: Rgb, size: tuple[int, int]) -> Rgb:
    smaller = size[0] < rgb.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb, size, interpolation=how), dtype=np.uint8)


def _resized(labels: Labels, size: tuple[int, int], colors: Rgb) -> Rgb:
    small = cv2.resize(np.ascontiguousarray(labels), size, interpolation=cv2.INTER_NEAREST)
    return np.asarray(colors[small], dtype=np.uint8)


def _marked(ground: Rgb, wrong: Mask, size: tuple[int, int]) -> Rgb:
    """The picture in dim grey with the wrong pixels bright; not one of them is lost in making it smaller."""
    grey = cv2.cvtColor(ground, cv2.COLOR_RGB2GRAY)
    base = np.repeat((grey * _DIM).astype(np.uint8)[:, :, None], 3, axis=2)
    area = cv2.INTER_AREA if size[0] < wrong.shape[1] else cv2.INTER_NEAREST
    part = cv2.resize(wrong.astype(np.float32), size, interpolation=area)
    weight = np.where(part > 0, np.maximum(part, _LEAST_MARK), 0.0)[:, :, None]
    return np.asarray(base * (1 - weight) + _MARK * weight, dtype=np.uint8)


def _tile(caption: str, rgb: Rgb) -> Tile:
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    jpeg = _encoded(".jpg", bgr, _JPEG)
    png = _encoded(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 6])
    # Flat colours are sharper as PNG, and mostly smaller as well.
    kind, data = ("png", png) if len(png) <= len(jpeg) else ("jpeg", jpeg)
    text = base64.b64encode(data).decode("ascii")
    return Tile(caption=caption, uri=f"data:image/{kind};base64,{text}", width=rgb.shape[1], height=rgb.shape[0])


def _encoded(suffix: str, bgr: npt.NDArray[Any], options: list[int]) -> bytes:
    done, data = cv2.imencode(suffix, bgr, options)
    assert done
    return bytes(data.tobytes())
