"""What a network made for boxes says of one box that a person drew."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch

from segstudio.core.geometry import Rect
from segstudio.nets.box_net import BoxNet, aggregate
from segstudio.nets.scoring import Image

_CERTAIN: Final = 0.5


def score_box(net: BoxNet, place: torch.device, image: Image, box: Rect, channel: int | None) -> torch.Tensor:
    """Probabilities (C, box.height, box.width) float32 on the CPU, from the box enlarged as the network wants it."""
    seen = net.look(net.preprocess(image).to(place))
    edges = np.array([[box.top, box.left, box.bottom, box.right]], np.float32)
    grown = (edges[:, 2:] - edges[:, :2]) * (net.enlargement - 1) / 2
    edges += np.concatenate((-grown, grown), axis=1)
    boxes = torch.from_numpy(edges)
    scores = net.box_scores(seen, boxes.to(place)).float().cpu()
    logits = aggregate(scores, boxes, box)
    return _of_one_class(logits, channel, net.threshold) if net.one_class else logits.softmax(0)


def _of_one_class(logits: torch.Tensor, channel: int | None, threshold: float) -> torch.Tensor:
    """The object's channel against what is left, channel 0; `threshold` becomes the even chance."""
    heat = logits.sigmoid()
    best = int(heat[1:].mean(dim=(1, 2)).argmax()) + 1 if channel is None or channel == 0 else channel
    object_ = heat[best]
    sure = torch.where(
        object_ < threshold,
        object_ / threshold * _CERTAIN,
        _CERTAIN + (object_ - threshold) / (1 - threshold) * (1 - _CERTAIN),
    )
    out = torch.zeros_like(logits)
    out[0], out[best] = 1 - sure, sure
    return out
