"""Figures for membranes in electron microscopy: pixel error, warping error, Rand and information scores.

Cells are what is compared: connected regions (4 neighbours) between membranes (8 neighbours), as in the ISBI 2012
challenge (Arganda-Carreras et al. 2015, "Crowdsourcing the creation of image segmentation algorithms for
connectomics").
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from segstudio.core.metrics import check_sizes, plain
from segstudio.evaluation.warping import Cells, split_and_merge_pixels, warped
from segstudio.imaging.contours import connected_components


@dataclass(frozen=True, slots=True, kw_only=True)
class EmResult:
    """Means over images, as the challenge takes them; parts of 1, NaN where no image defines them.

    Rand and information scores leave out images whose label has no cells.

    Attributes:
        images: How many.
        pixel_error: Part of the pixels that differ.
        warping_error: Part of the pixels that differ after warping (Jain et al. 2010, section 2).
        split_merge_error: Part of the pixels that still differ and split a cell or merge two: the challenge's figure.
        rand_error: 1 - F of the foreground-restricted Rand index, predicted membranes as they are; what papers of 2012
            to 2015 (U-Net) report as Rand error.
        v_rand: F of the foreground-restricted Rand score after thinning predicted membranes to lines.
        v_rand_split: Part of pixel pairs of one true cell left together.
        v_rand_merge: Part of pixel pairs of one predicted cell that belong together.
        v_info: F of the foreground-restricted information score after thinning.
    """

    images: int
    pixel_error: float
    warping_error: float
    split_merge_error: float
    rand_error: float
    v_rand: float
    v_rand_split: float
    v_rand_merge: float
    v_info: float

    def to_json(self) -> dict[str, Any]:
        """Plain figures, null where undefined."""
        return {"images": self.images, **{name: plain(getattr(self, name)) for name in _FIGURES}}


_FIGURES: Final = tuple(f.name for f in fields(EmResult) if f.name != "images")


class EmScore:
    """Means of the EM figures over images, each compared on its own."""

    def __init__(self) -> None:
        self._images = 0
        self._sums = np.zeros(len(_FIGURES))
        self._known = np.zeros(len(_FIGURES), dtype=np.int64)  # images in which each figure is defined

    def add(self, prediction: Cells, label: Cells) -> None:
        """Adds one image: (H, W) bool, True inside cells, False on membranes.

        Raises:
            UserError: The sizes differ.
        """
        check_sizes(prediction, label)
        if label.size == 0:
            raise ValueError("an image without pixels has no figures")
        moved = warped(label, prediction)
        true_cells, predicted_cells = cells_of(label), cells_of(prediction)
        thick = restricted_scores(predicted_cells, true_cells)
        thin = restricted_scores(thinned(predicted_cells), true_cells)
        self._images += 1
        figures = np.array(
            [
                np.mean(prediction != label),
                np.mean(prediction != moved),
                sum(split_and_merge_pixels(moved, prediction)) / label.size,
                1.0 - thick.rand,
                thin.rand,
                thin.rand_split,
                thin.rand_merge,
                thin.info,
            ]
        )
        self._sums += np.nan_to_num(figures)
        self._known += ~np.isnan(figures)

    def merge(self, other: EmScore) -> None:
        """Adds the images of another score."""
        self._images += other._images
        self._sums += other._sums
        self._known += other._known

    def result(self) -> EmResult:
        """The means over the images so far."""
        means = np.full(len(_FIGURES), math.nan)
        np.divide(self._sums, self._known, out=means, where=self._known > 0)
        return EmResult(images=self._images, **dict(zip(_FIGURES, means.tolist(), strict=True)))


@dataclass(frozen=True, slots=True, kw_only=True)
class RestrictedScores:
    """Foreground-restricted scores of one image: F scores, and the parts the Rand one is made of; 1 is perfect."""

    rand: float
    rand_split: float
    rand_merge: float
    info: float


def cells_of(inside: Cells) -> npt.NDArray[np.int32]:
    """(H, W) int32: cells 1..n of 4-connected pixels, 0 on membranes."""
    return connected_components(inside, connectivity=4)[0]


def thinned(cells: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """(H, W) int32: cells grown over the membranes until lines of about one pixel (0) part them (a watershed)."""
    from skimage.segmentation import watershed  # 0.2 s to import

    if not cells.any():
        return cells
    membranes = (cells == 0).astype(np.uint8)
    lines = watershed(membranes, markers=cells, connectivity=1, watershed_line=True)  # type: ignore[no-untyped-call]
    return np.asarray(lines, dtype=np.int32)


def restricted_scores(
    prediction: npt.NDArray[np.integer[Any]], label: npt.NDArray[np.integer[Any]]
) -> RestrictedScores:
    """Rand and information scores over the pixels of true segments (Arganda-Carreras et al. 2015, equations 3 to 6).

    Args:
        prediction: (H, W) segments; each pixel of 0 is a segment of its own.
        label: (H, W) segments; pixels of 0 do not count.
    """
    check_sizes(prediction, label)
    inside = label != 0
    total = int(np.count_nonzero(inside))
    if not total:
        return RestrictedScores(rand=math.nan, rand_split=math.nan, rand_merge=math.nan, info=math.nan)
    true, predicted = label[inside].astype(np.int64), prediction[inside].astype(np.int64)
    alone = np.count_nonzero(predicted == 0)
    known = predicted > 0
    codes, joint = np.unique(true[known] * (1 << 32) + predicted[known], return_counts=True)
    p_joint = joint / total
    p_true = np.bincount(np.unique(true, return_inverse=True)[1]) / total
    p_predicted = np.bincount(np.unique(codes & ((1 << 32) - 1), return_inverse=True)[1], weights=p_joint)
    singles = alone / total**2  # the sum of squares of `alone` segments of one pixel each
    together = float(np.sum(p_joint**2) + singles)
    split = together / float(np.sum(p_true**2))
    merge = together / float(np.sum(p_predicted**2) + singles)
    single_entropy = alone / total * math.log(total)
    h_true = _entropy(p_true)
    h_predicted = _entropy(p_predicted) + single_entropy
    mutual = h_true + h_predicted - (_entropy(p_joint) + single_entropy)
    return RestrictedScores(
        rand=2 * split * merge / (split + merge),
        rand_split=split,
        rand_merge=merge,
        info=_info_f(h_true, h_predicted, mutual),
    )


def _info_f(h_true: float, h_predicted: float, mutual: float) -> float:
    """F of mutual information over either entropy: 2 I / (H + H'); two single segments agree in full."""
    whole = h_true + h_predicted
    return min(1.0, max(0.0, 2 * mutual / whole)) if whole > 0 else 1.0


def _entropy(parts: npt.NDArray[Any]) -> float:
    return float(-np.sum(parts * np.log(parts)))
