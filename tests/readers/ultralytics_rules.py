"""How ultralytics reads a segmentation data set, written down anew from what it documents and does.

`data.yaml` names a folder of images for each list, relative to its own folder. The label file of an image has "labels"
in place of the last "images" of its path and the suffix .txt (`img2label_paths`). A row is a class and fractions of
width and height. Where any row of a file has more than six values, its rows are polygons, else boxes, which have no
masks; rows with the same class and box are taken for one (`verify_image_label`). Vertices times size are cut to whole
numbers and filled with their outline (`polygon2mask`); smaller masks lie over larger ones (`polygons2masks_overlap`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
import yaml
from PIL import Image

_SUFFIXES: Final = {".bmp", ".dng", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp"}


@dataclass(frozen=True, slots=True)
class YoloImage:
    """An image and its objects: class names and masks in the order of rows, and each pixel's object (row + 1, or 0)."""

    path: Path
    names: list[str]
    masks: list[npt.NDArray[np.bool_]]
    owners: npt.NDArray[np.int32]


def read_dataset(description: Path, part: str) -> list[YoloImage]:
    """The images of a list ("train", "val" or "test") of a data set."""
    data: dict[str, Any] = yaml.safe_load(description.read_text(encoding="utf-8"))
    folder = description.parent / data[part]
    names = {int(number): name for number, name in dict(data["names"]).items()}
    assert sorted(names) == list(range(data["nc"]))
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    return [_read_image(path, names) for path in paths]


def _label_path(image: Path) -> Path:
    images, labels = f"{os.sep}images{os.sep}", f"{os.sep}labels{os.sep}"
    return Path(labels.join(str(image).rsplit(images, 1))).with_suffix(".txt")


def _read_image(path: Path, names: dict[int, str]) -> YoloImage:
    with Image.open(path) as image:
        width, height = image.size
    rows = [line.split() for line in _label_path(path).read_text(encoding="utf-8").splitlines() if line]
    if not any(len(row) > 6 for row in rows):
        return YoloImage(path, [], [], np.zeros((height, width), dtype=np.int32))
    numbers = np.array([row[0] for row in rows], dtype=np.float32)
    polygons = [np.array(row[1:], dtype=np.float32).reshape(-1, 2) for row in rows]
    boxes = np.array([[*p.min(axis=0), *p.max(axis=0)] for p in polygons])
    assert boxes.min() >= 0 and boxes.max() <= 1, "coordinates are not fractions"
    assert numbers.max() < len(names), "a class has no name"
    _, kept = np.unique(np.column_stack((numbers, boxes)), axis=0, return_index=True)
    kept = np.sort(kept)
    masks = [_polygon_mask(polygons[row] * np.float32([width, height]), height, width) for row in kept]
    owners = np.zeros((height, width), dtype=np.int32)
    for place in np.argsort([-mask.sum() for mask in masks], kind="stable"):
        owners[masks[place]] = place + 1
    return YoloImage(path, [names[int(numbers[row])] for row in kept], masks, owners)


def _polygon_mask(points: npt.NDArray[np.float32], height: int, width: int) -> npt.NDArray[np.bool_]:
    mask = np.zeros((height, width), dtype=np.uint8)
    cv2.fillPoly(mask, [points.astype(np.int32)], color=1)
    return mask.astype(np.bool_)
