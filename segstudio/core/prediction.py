"""What a network (or the CRF after it) says about one image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from segstudio.core.geometry import Rect

NO_OPINION: Final = 255
"""The label of a pixel the network was not asked about: drawn as nothing and never accepted. No class has this id."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prediction:
    """A proposal for one image; nothing of it is in the segment map until a person accepts it.

    Attributes:
        labels: (H, W) uint8 class ids of the catalog; NO_OPINION (with confidence 0) where nothing is proposed.
        confidence: (H, W) uint8, probability of the winning class times 255.
        probabilities: (C, h, w) float16 summing to 1 over C, at the network's output grid (h <= H, w <= W), or None.
        class_ids: Channel k of `probabilities` is class ``class_ids[k]``.
        model_id: Card that made it.
        image_revision: Revision of the segment map when it was asked for.
        refined: True after a CRF refinement.
        trained: False where the network never learnt these classes, so the labels are random.
        refinement: What is known about the CRF's run; None where there was none or the proposal comes from disk.
    """

    labels: npt.NDArray[np.uint8]
    confidence: npt.NDArray[np.uint8]
    probabilities: npt.NDArray[np.float16] | None
    class_ids: tuple[int, ...]
    model_id: str
    image_revision: int = 0
    refined: bool = False
    trained: bool = True
    refinement: Refinement | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Refinement:
    """How a refined proposal came about.

    Attributes:
        before: The proposal as the network made it.
        live: Classes that were in play to the end; the automatic mode drops those that no pixel wants.
        uniform: Pixels whose probabilities were no distribution and counted as undecided.
    """

    before: Prediction
    live: tuple[int, ...]
    uniform: int = 0


def placed(part: Prediction, box: Rect, shape: tuple[int, int], former: Prediction | None) -> Prediction:
    """`part`, whose arrays cover `box` only, as a proposal for an image of `shape`.

    Around the box the former proposal stays; without one there is no opinion. Probabilities are kept where both have
    them from one network, else there are none.
    """
    labels = np.full(shape, NO_OPINION, np.uint8) if former is None else former.labels.copy()
    confidence = np.zeros(shape, np.uint8) if former is None else former.confidence.copy()
    labels[box.slices], confidence[box.slices] = part.labels, part.confidence
    return replace(
        part,
        labels=labels,
        confidence=confidence,
        probabilities=None if former is None else _joined(part, box, shape, former),
        trained=part.trained and (former is None or former.trained),
    )


def _joined(part: Prediction, box: Rect, shape: tuple[int, int], former: Prediction) -> npt.NDArray[np.float16] | None:
    """The former probabilities with those of the box in the cells whose middle lies in it."""
    around, inside = former.probabilities, part.probabilities
    if around is None or inside is None or (former.model_id, former.class_ids) != (part.model_id, part.class_ids):
        return None
    joined = around.copy()
    rows, from_rows = _cells(shape[0], around.shape[1], box.top, box.height, inside.shape[1])
    columns, from_columns = _cells(shape[1], around.shape[2], box.left, box.width, inside.shape[2])
    joined[:, rows[:, None], columns] = inside[:, from_rows[:, None], from_columns]
    return joined


def _cells(size: int, cells: int, start: int, length: int, source: int) -> tuple[npt.NDArray[np.intp], ...]:
    """Along one axis: the cells whose middle lies in the box, and where the box's own grid has them."""
    middles = ((np.arange(cells) + 0.5) * size / cells).astype(np.intp)
    found = np.flatnonzero((middles >= start) & (middles < start + length))
    return found, (middles[found] - start) * source // length
