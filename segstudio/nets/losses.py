"""Losses in which an undecided or ignored pixel does not exist: no value, no denominator, exactly zero gradient."""

from __future__ import annotations

from typing import Final, Literal

import torch
import torch.nn.functional as F

IGNORE: Final = 255
Reduction = Literal["pixels", "images"]


def usable_labels(labels: torch.Tensor, classes: int) -> torch.Tensor:
    """`labels` (N, H, W) as int64 in which everything outside 0..classes-1 is `IGNORE`."""
    labels = labels.long()
    return torch.where((labels >= 0) & (labels < classes), labels, IGNORE)


def masked_cross_entropy(
    logits: torch.Tensor,
    labels: torch.Tensor,
    weights: torch.Tensor | None = None,
    *,
    reduction: Reduction = "pixels",
) -> torch.Tensor:
    """Cross-entropy over the usable pixels of `logits` (N, C, H, W) and `labels` (N, H, W); 0 where none is.

    Each pixel counts `weights` times (N, H, W), once where None. The sum is divided by the number of usable pixels, or
    by N where `reduction` is "images" (the unnormalised loss of the Caffe releases).
    """
    labels = usable_labels(labels, logits.shape[1])
    if weights is None:
        total = F.cross_entropy(logits.float(), labels, ignore_index=IGNORE, reduction="sum")
    else:
        total = (F.cross_entropy(logits.float(), labels, ignore_index=IGNORE, reduction="none") * weights).sum()
    if reduction == "images":
        return total / logits.shape[0]
    return total / (labels != IGNORE).sum().clamp(min=1)


def masked_dice(logits: torch.Tensor, labels: torch.Tensor, *, smooth: float = 1.0) -> torch.Tensor:
    """1 - mean Dice of the classes that occur in `labels`, over usable pixels only; 0 where none is.

    `logits` (N, C, H, W), `labels` (N, H, W). Sums run over the whole batch, so that a class missing from one image
    does not count as perfectly or badly found there.
    """
    classes = logits.shape[1]
    labels = usable_labels(labels, classes)
    valid = labels != IGNORE
    probabilities = logits.float().softmax(1) * valid.unsqueeze(1)
    target = F.one_hot(labels.where(valid, 0), classes).permute(0, 3, 1, 2) * valid.unsqueeze(1)
    overlap = (probabilities * target).sum(dim=(0, 2, 3))
    target_sum = target.sum(dim=(0, 2, 3))
    size = probabilities.sum(dim=(0, 2, 3)) + target_sum
    present = (target_sum > 0).to(logits.device)
    dice = (2 * overlap + smooth) / (size + smooth)
    return ((1 - dice) * present).sum() / present.sum().clamp(min=1)
