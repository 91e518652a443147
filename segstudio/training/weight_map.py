"""The weight map of U-Net (Ronneberger, Fischer, Brox, MICCAI 2015, equation 2): thin gaps between cells count more.

``w(x) = w_c(x) + w0 * exp(-(d1(x) + d2(x))^2 / (2 sigma^2))``, with d1 and d2 the distances to the borders of the
nearest and the second nearest cell, and w_c the balance between the classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import IGNORE

Labels = npt.NDArray[np.uint8]
Instances = npt.NDArray[np.uint16]
# At d1 + d2 = 6 sigma the second term has fallen to 1.5e-8 of w0.
_REACH_SIGMAS: Final = 6.0
# A class of a few pixels would otherwise outweigh everything else, the gaps included.
_HIGHEST_BALANCE: Final = 10.0
_FAR_PX: Final = 1e6


def class_weights(counts: Sequence[int]) -> npt.NDArray[np.float32]:
    """w_c of each class, for its number of pixels in the training images; 0 for one that does not occur.

    Inverse to the frequency, such that the mean over all pixels is 1 unless a weight reaches its limit of 10.
    """
    sizes = np.asarray(counts, np.float64)
    present = sizes > 0
    ideal = sizes.sum() / max(1, int(present.sum())) / np.maximum(sizes, 1)
    return np.where(present, np.minimum(ideal, _HIGHEST_BALANCE), 0.0).astype(np.float32)


def separated(labels: Labels, instances: Instances, background: int) -> tuple[Labels, Instances]:
    """Labels and instances in which a gap, a pixel wide on either side, parts instances of one class that touch.

    The gap is `background` in the labels and 0 in the instances (section 3: the separation border is found by
    morphological operations). Everything is (H, W).
    """
    gap = np.zeros(labels.shape, np.bool_)
    kernel = np.ones((3, 3), np.uint8)
    for k in np.unique(labels[instances > 0]):
        own = np.where(labels == k, instances, 0).astype(np.uint16)
        highest = cv2.dilate(own, kernel)
        lowest = cv2.erode(np.where(own > 0, own, np.iinfo(np.uint16).max).astype(np.uint16), kernel)
        gap |= (own > 0) & (highest != lowest)
    return np.where(gap, background, labels).astype(np.uint8), np.where(gap, 0, instances).astype(np.uint16)


def weight_map(
    labels: Labels,
    balance: npt.NDArray[np.float32],
    *,
    background: int | None,
    instances: Instances | None = None,
    strength: float = 10.0,
    sigma: float = 5.0,
) -> npt.NDArray[np.float32]:
    """The weight (H, W) of each pixel, 0 where `labels` ignore it; `strength` is w0, `sigma` in pixels.

    A cell is an instance or, of pixels that belong to none, a connected piece of one class other than `background`.
    With fewer than two cells nearby only the balance is left.
    """
    table = np.zeros(256, np.float32)
    table[: len(balance)] = balance
    table[IGNORE] = 0.0
    weights: npt.NDArray[np.float32] = table[labels]
    nearest = np.full(labels.shape, _FAR_PX, np.float32)
    second = nearest.copy()
    cells = _cells(labels, instances, background)
    for number, window in _windows(cells, int(np.ceil(_REACH_SIGMAS * sigma))):
        distance = _to_border(cells[window] == number)
        second[window] = np.minimum(second[window], np.maximum(nearest[window], distance))
        nearest[window] = np.minimum(nearest[window], distance)
    weights += np.float32(strength) * np.exp(-np.square(nearest + second) / np.float32(2 * sigma * sigma))
    weights[labels == IGNORE] = 0.0
    return weights


def _cells(labels: Labels, instances: Instances | None, background: int | None) -> npt.NDArray[np.int32]:
    """(H, W) with a number from 1 for each cell and 0 outside of them."""
    cells = np.zeros(labels.shape, np.int32)
    if instances is not None:
        cells[...] = np.unique(instances, return_inverse=True)[1].reshape(labels.shape)
        if instances.min() > 0:
            cells += 1
    open_pixels = cells == 0
    for k in np.unique(labels):
        if k not in (background, IGNORE):
            pieces = cv2.connectedComponents(((labels == k) & open_pixels).astype(np.uint8), connectivity=4)[1]
            cells += np.where(pieces > 0, pieces + int(cells.max()), 0)
    return cells


def _windows(cells: npt.NDArray[np.int32], reach: int) -> Iterator[tuple[int, tuple[slice, slice]]]:
    """(number, window) of each cell, the window `reach` pixels wider than the cell on each side."""
    rows, columns = np.nonzero(cells)
    numbers = cells[rows, columns]
    order = np.argsort(numbers, kind="stable")
    starts = np.flatnonzero(np.diff(numbers[order], prepend=0))
    for part in np.split(order, starts[1:]) if len(order) else ():
        top, left = max(0, int(rows[part].min()) - reach), max(0, int(columns[part].min()) - reach)
        bottom, right = int(rows[part].max()) + reach + 1, int(columns[part].max()) + reach + 1
        yield int(numbers[part[0]]), (slice(top, bottom), slice(left, right))


def _to_border(cell: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Each pixel's distance to the nearest pixel on the other side of the cell's border."""
    inside = cell.astype(np.uint8)
    within, beyond = (cv2.distanceTransform(m, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for m in (inside, 1 - inside))
    return np.asarray(np.minimum(within + beyond, _FAR_PX), np.float32)
