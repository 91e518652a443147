"""From a network's probabilities to the unary energy of the dense CRF, with every check its engines need.

The checks are not politeness: pydensecrf ends the process on several of these inputs and turns a single
not-a-number pixel into not-a-number over most of the image.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segstudio.core.errors import UserError

MIN_PROBABILITY = 1e-5
# Below this everywhere a label no longer moves any other pixel: the automatic mode drops it.
PRUNED_BELOW = 1e-2
_MAX_ENTRIES = 2**31 - 1


def checked_image(image: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """The image (H, W, 3) uint8 RGB, C-contiguous and not empty.

    Raises:
        UserError: another shape or dtype.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise UserError(
            f"The CRF cannot use an image of shape {tuple(image.shape)} and type {image.dtype}.",
            "Give RGB as (height, width, 3) of type uint8.",
        )
    # Writable too: for what is read-only numba would compile its kernels a second time.
    return np.require(image, requirements=("C", "W"))


def checked_probabilities(probabilities: npt.NDArray[Any], height: int, width: int) -> npt.NDArray[np.float32]:
    """Probabilities (C, height, width) float32, C-contiguous.

    Smaller or larger ones (C, h, w) are resampled bilinearly. Pixels that are no distribution are an engine's affair
    (`as_distributions`); before resampling they become uniform, so that they do not spoil their neighbours.

    Raises:
        UserError: not three-dimensional, empty, not a number type, or too large for 32-bit indices.
    """
    if probabilities.ndim != 3 or 0 in probabilities.shape or not np.issubdtype(probabilities.dtype, np.floating):
        raise UserError(
            f"The CRF cannot use probabilities of shape {tuple(probabilities.shape)} and type {probabilities.dtype}.",
            "Give floating point numbers as (classes, height, width).",
        )
    classes = probabilities.shape[0]
    if classes * height * width > _MAX_ENTRIES:
        raise UserError(
            f"An image of {width} x {height} pixels with {classes} classes is too large for the CRF.",
            "Refine a smaller image, or use fewer classes.",
        )
    if probabilities.shape[1:] == (height, width):
        return np.require(probabilities, np.float32, ("C", "W"))
    clean, _ = as_distributions(probabilities.astype(np.float32, order="C"))
    resized = np.empty((classes, height, width), dtype=np.float32)
    for channel in range(classes):
        cv2.resize(clean[channel], (width, height), dst=resized[channel], interpolation=cv2.INTER_LINEAR)
    return resized


def as_distributions(probabilities: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], int]:
    """A copy of (C, H, W) in which each pixel sums to 1, and how many pixels could not: these are uniform.

    A pixel cannot with a value that is negative or not finite, or without any mass.
    """
    total = probabilities.sum(axis=0)
    unusable = ~np.isfinite(total) | (total <= 0) | (probabilities.min(axis=0) < 0)
    clean = probabilities.copy()
    if unusable.any():
        clean[:, unusable] = 1.0
        total[unusable] = clean.shape[0]
    clean /= total
    return clean, int(unusable.sum())


def unary_energy(probabilities: npt.NDArray[np.float32], temperature: float = 1.0) -> npt.NDArray[np.float32]:
    """The energies -log P / T as (C, H W) float32, C-contiguous and finite; P is clipped at 1e-5 as in pydensecrf."""
    energy = np.maximum(probabilities, np.float32(MIN_PROBABILITY))
    np.log(energy, out=energy)
    energy *= np.float32(-1.0 / temperature)
    return energy.reshape(probabilities.shape[0], -1)


def pruned_below(labels: int) -> float:
    """Below which maximum over the image the automatic mode drops one of so many labels; no pixel ever loses its best.

    With more than a hundred labels a pixel's best may be below 1e-2.
    """
    return min(PRUNED_BELOW, 0.99 / labels)
