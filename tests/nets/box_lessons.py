"""What the tests of the networks for boxes share: a scene to learn, and an ear for what is taught."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from visible import noise

from segstudio.nets.base import SegmentationNet


def thin_net(kind: type[Any], thin: int = 32, **options: Any) -> Any:
    """The network with four classes and narrow layers, the same at every call."""
    torch.manual_seed(0)
    return kind(classes=4, thin=thin, **options)


class Told:
    """What a network's loss was asked about."""

    def __init__(self, net: SegmentationNet, monkeypatch: pytest.MonkeyPatch) -> None:
        self.labels: list[torch.Tensor] = []
        self.weights: list[torch.Tensor | None] = []

        def told(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
            self.labels.append(labels)
            self.weights.append(weights)
            return logits.sum() * 0

        monkeypatch.setattr(net, "score_loss", told)


def scene() -> tuple[torch.Tensor, torch.Tensor]:
    """An image with a red and a blue triangle, and its labels."""
    rows, columns = torch.meshgrid(torch.arange(96), torch.arange(128), indexing="ij")
    labels = torch.zeros(1, 96, 128, dtype=torch.long)
    labels[0][(rows >= 20) & (rows < 60) & (columns >= 15) & (columns < rows - 5)] = 1
    labels[0][(rows >= 40) & (rows < 80) & (columns >= 75) & (columns < 155 - rows)] = 2
    x = noise(96, 128) / 6
    x[0, 2] += 100 * (labels[0] == 1)
    x[0, 0] += 100 * (labels[0] == 2)
    return x, labels


def overfit(
    net: SegmentationNet, x: torch.Tensor, labels: torch.Tensor, *, steps: int, images: int, rate: float
) -> list[float]:
    """The loss of each step."""
    losses = []
    net.train()
    optimizer = torch.optim.AdamW(net.parameter_groups(rate, 1e-4), lr=rate)
    for step in range(steps):
        net.begin_step(step / steps)
        optimizer.zero_grad()
        loss = net.training_loss(x.expand(images, -1, -1, -1), labels.expand(images, -1, -1))
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses
