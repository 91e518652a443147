"""Staged training: a network that starts with everything a simpler one has learnt."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from segstudio.core.errors import ModelError
from segstudio.nets.base import SegmentationNet


def take_former_stage(
    net: SegmentationNet, state: Mapping[str, torch.Tensor], *, former: str, new: tuple[str, ...]
) -> None:
    """Fills `net` with the tensors `state` of the network `former`, except what lies under the prefixes `new`.

    Raises:
        ModelError: A tensor is missing or has another shape, for instance because the classes differ; `net` is
            unchanged then.
    """
    taken = {}
    for key, target in net.state_dict().items():
        if key in state and state[key].shape == target.shape:
            taken[key] = state[key]
        elif not key.startswith(new):
            problem = f"it lacks {key}"
            if key in state:
                problem = f"its {key} is {tuple(state[key].shape)} instead of {tuple(target.shape)}"
            raise ModelError(
                f"These weights are not those of {former} with {net.classes} classes: {problem}.",
                f"Train {former} with the same classes first.",
            )
    net.load_state_dict(taken, strict=False)
