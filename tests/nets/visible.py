"""Networks and images for tests of structure: scores that can be told apart, without training."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from segstudio.nets.base import SegmentationNet


def visible(net: SegmentationNet, seed: int = 0) -> Any:
    """`net` in evaluation mode with random classifiers: published ones start at zero or close to it."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in net.named_parameters():
        if name.startswith(net.head_prefixes) and parameter.requires_grad:
            nn.init.normal_(parameter, std=0.1, generator=generator)
    return net.eval()


def noise(height: int, width: int) -> torch.Tensor:
    """(1, 3, height, width) with the spread of a photograph after its mean was taken off; the same at every call."""
    return 60 * torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(height + width))
