"""Optimiser groups with the multipliers of the Caffe releases."""

from __future__ import annotations

from typing import Any, Final

from torch import nn

from segstudio.nets.base import parameter_group

_BIAS_SCALE: Final = 2.0
_CLASSIFIER_SCALE: Final = 10.0


def caffe_groups(
    net: nn.Module, lr: float, weight_decay: float, *, classifiers: tuple[str, ...] = ()
) -> list[dict[str, Any]]:
    """Everything that learns: weights at `lr`, biases at twice the rate and without decay.

    Parameters whose name begins with one of `classifiers` learn ten times as fast: at 10 and 20 times `lr`. Empty
    groups are left out.
    """
    groups = []
    for prefix, scale in (("", 1.0), ("classifier ", _CLASSIFIER_SCALE)):
        chosen = [
            (name, parameter)
            for name, parameter in net.named_parameters()
            if parameter.requires_grad and name.startswith(classifiers) == bool(prefix)
        ]
        weights = [parameter for name, parameter in chosen if not name.endswith("bias")]
        biases = [parameter for name, parameter in chosen if name.endswith("bias")]
        groups.append(parameter_group(f"{prefix}weights", weights, lr, weight_decay, scale=scale))
        groups.append(parameter_group(f"{prefix}biases", biases, lr, 0.0, scale=scale * _BIAS_SCALE))
    return [group for group in groups if group["params"]]
