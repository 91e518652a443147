"""The score of a network on decided pixels; one piece of code for child and parent, so that the gate compares alike."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from segstudio.core.catalog import IGNORE
from segstudio.core.errors import Cancelled
from segstudio.core.metrics import ConfusionMatrix
from segstudio.nets.base import SegmentationNet
from segstudio.nets.predictor import Predictor
from segstudio.training.dataset import Dataset

_SMALLEST_PROBABILITY: Final = 1e-7


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How well a network agrees with a person: mIoU and IoU per class (None where absent), mean cross entropy."""

    miou: float
    per_class: tuple[float | None, ...]
    loss: float
    pixels: int


def evaluate(net: SegmentationNet, dataset: Dataset, *, device: torch.device, cancelled: Callable[[], bool]) -> Score:
    """The score over all images' decided pixels together, in one confusion matrix.

    Whole images are predicted, in tiles where they are large, exactly as the window shows them.

    Raises:
        Cancelled: ``cancelled`` became true.
    """
    ready = Predictor(net, device=device)
    matrix = ConfusionMatrix(dataset.classes)
    surprise = 0.0
    pixels = 0
    for index in range(len(dataset)):
        if cancelled():
            raise Cancelled
        pair = dataset[index]
        decided = pair.labels != IGNORE
        if not decided.any():
            continue
        probabilities = ready.probabilities(pair.image, cancelled=cancelled)
        matrix.update(probabilities.argmax(axis=0).astype(np.uint8), pair.labels)
        surprise += _cross_entropy(probabilities, pair.labels, decided)
        pixels += int(decided.sum())
    per_class = tuple(float(value) if math.isfinite(value) else None for value in matrix.iou)
    return Score(
        miou=float(matrix.mean_iou) if pixels else math.nan,
        per_class=per_class,
        loss=surprise / pixels if pixels else math.nan,
        pixels=pixels,
    )


def _cross_entropy(
    probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.uint8], decided: npt.NDArray[np.bool_]
) -> float:
    """The sum of -log p(label) over the decided pixels."""
    rows, columns = np.nonzero(decided)
    chosen = probabilities[labels[rows, columns], rows, columns]
    return float(-np.log(np.maximum(chosen, _SMALLEST_PROBABILITY)).sum(dtype=np.float64))
