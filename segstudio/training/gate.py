"""The gate: whether a new model replaces the one in use."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether the child is accepted, and the sentence that tells a person why."""

    accepted: bool
    reason: str


def judge(*, child: float | None, parent: float | None, on_training_images: bool) -> Verdict:
    """The verdict on a child's mIoU against its parent's, both scored on the same decided pixels.

    ``parent`` is None where nothing trained is in use: then any finite score wins. A tie keeps the parent: a change
    that shows nothing is not worth a change of what a person has learnt to expect.
    """
    where = "on the validation images"
    if on_training_images:
        where = "on the training images, for want of a labelled validation image"
    if child is None or not math.isfinite(child):
        return Verdict(accepted=False, reason=f"Kept the model in use: the new one has no score {where}.")
    if parent is None or not math.isfinite(parent):
        reached = f"{child:.1%} mIoU {where}"
        return Verdict(
            accepted=True,
            reason=f"The new model is in use now: {reached}. No model trained on these classes was in use before.",
        )
    change = f"{parent:.1%} to {child:.1%} mIoU {where}"
    if child > parent:
        return Verdict(accepted=True, reason=f"The new model is better and in use now: {change}.")
    return Verdict(accepted=False, reason=f"Kept the model in use, the new one is not better: {change}.")
