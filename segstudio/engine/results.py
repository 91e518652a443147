"""From probabilities to the arrays of a proposal, and the room these take."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segstudio.engine.protocol import MAX_PROBABILITY_BYTES, PredictionArrays, Stored
from segstudio.engine.shm import Slot


def result_bytes(pixels: int, channels: int) -> int:
    """Room for labels, confidence and stored probabilities of an image of so many pixels."""
    return 2 * pixels + min(MAX_PROBABILITY_BYTES, 2 * channels * pixels)


def fetched(slot: Slot, stored: Stored) -> PredictionArrays:
    """A result's arrays, copied out of its slot."""
    kept = stored.prediction
    return PredictionArrays(
        labels=slot.read(kept.labels),
        confidence=slot.read(kept.confidence),
        probabilities=slot.read(kept.probabilities) if kept.probabilities is not None else None,
        class_ids=kept.class_ids,
        trained=kept.trained,
        note=kept.note,
        live=kept.live,
        uniform=kept.uniform,
    )


def proposal_from(probabilities: npt.NDArray[np.float32], class_ids: tuple[int, ...], note: str) -> PredictionArrays:
    """Labels, confidence and stored probabilities of (C, H, W) float32 that sum to 1 over C."""
    winner = probabilities.argmax(axis=0)
    best = np.take_along_axis(probabilities, winner[None], axis=0)[0]
    return PredictionArrays(
        labels=np.asarray(class_ids, dtype=np.uint8)[winner],
        confidence=np.rint(np.clip(best, 0, 1) * 255).astype(np.uint8),
        probabilities=stored_probabilities(probabilities),
        class_ids=class_ids,
        note=note,
    )


def stored_probabilities(
    probabilities: npt.NDArray[Any], limit: int = MAX_PROBABILITY_BYTES
) -> npt.NDArray[np.float16]:
    """(C, h, w) float16 of at most `limit` bytes: (C, H, W) averaged over squares of a power of two."""
    channels, height, width = probabilities.shape
    factor = 1
    while channels * -(-height // factor) * -(-width // factor) * 2 > limit:
        factor *= 2
    if factor == 1:
        return probabilities.astype(np.float16)
    size = (-(-width // factor), -(-height // factor))
    reduced = np.empty((channels, size[1], size[0]), dtype=np.float16)
    for channel in range(channels):
        plane = np.ascontiguousarray(probabilities[channel], dtype=np.float32)
        reduced[channel] = cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
    return reduced
