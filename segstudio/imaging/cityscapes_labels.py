"""The 35 labels of Cityscapes: ids, training ids, categories and colours, as its own tools define them."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from segstudio.core.paths import resources_dir

VOID_TRAIN_ID: Final = 255
INSTANCES_EACH: Final = 1000
"""An instance's value in instanceIds images is its label's id times this, and its own number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CityscapesLabel:
    """One label of Cityscapes (Cordts et al. 2016; cityscapesScripts, helpers/labels.py).

    Attributes:
        name: As in the polygons' JSON, e.g. "traffic light"; "...group" there stands for a crowd.
        id: Value in labelIds images, 0-33; -1 for the license plate, which is never drawn.
        train_id: Value in trainIds images: 0-18, 255 = void, -1 = never drawn.
        category: One of void, flat, construction, object, nature, sky, human, vehicle.
        category_id: 0 (void) to 7.
        has_instances: Single objects are told apart: instanceIds images hold id * 1000 + number.
        ignore_in_eval: Pixels of this true label cost nothing in the evaluation.
        color: RGB, 0-255.
        mean_size: Pixels of the average instance of the training set, None where the label has none. Weighs the iIoU.
    """

    name: str
    id: int
    train_id: int
    category: str
    category_id: int
    has_instances: bool
    ignore_in_eval: bool
    color: tuple[int, int, int]
    mean_size: float | None = None


@functools.cache
def cityscapes_labels() -> tuple[CityscapesLabel, ...]:
    """All 35 labels in their published order: ids 0-33, then the license plate (-1)."""
    text = (resources_dir() / "cityscapes_labels.toml").read_text(encoding="utf-8")
    return tuple(_label(row) for row in tomllib.loads(text)["label"])


def _label(row: dict[str, Any]) -> CityscapesLabel:
    red, green, blue = row["color"]
    return CityscapesLabel(**{**row, "color": (red, green, blue)})


@functools.cache
def train_ids_by_id() -> npt.NDArray[np.uint8]:
    """(256,) uint8 train id (0-18, 255 = void) of each value of a labelIds image; values of no label are void."""
    table = np.full(256, VOID_TRAIN_ID, dtype=np.uint8)
    for label in cityscapes_labels():
        if label.id >= 0:
            table[label.id] = label.train_id
    table.flags.writeable = False
    return table


@functools.cache
def ids_by_train_id() -> npt.NDArray[np.uint8]:
    """(256,) uint8 label id of each value of a trainIds image; values of no class become 0, "unlabeled"."""
    table = np.zeros(256, dtype=np.uint8)
    for label in cityscapes_labels():
        if 0 <= label.train_id < VOID_TRAIN_ID:
            table[label.train_id] = label.id
    table.flags.writeable = False
    return table
