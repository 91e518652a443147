"""What a network (or the CRF after it) says about one image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prediction:
    """A proposal for one image; nothing of it is in the segment map until a person accepts it.

    Attributes:
        labels: (H, W) uint8 class ids of the catalog.
        confidence: (H, W) uint8, probability of the winning class times 255.
        probabilities: (C, h, w) float16 summing to 1 over C, at the network's output grid (h <= H, w <= W), or None.
        class_ids: Channel k of `probabilities` is class ``class_ids[k]``.
        model_id: Card that made it.
        image_revision: Revision of the segment map when it was asked for.
        refined: True after a CRF refinement.
        trained: False where the network never learnt these classes, so the labels are random.
    """

    labels: npt.NDArray[np.uint8]
    confidence: npt.NDArray[np.uint8]
    probabilities: npt.NDArray[np.float16] | None
    class_ids: tuple[int, ...]
    model_id: str
    image_revision: int = 0
    refined: bool = False
    trained: bool = True
