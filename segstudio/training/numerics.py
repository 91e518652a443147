"""What a run asks of its process and its device, and the average of its weights."""

from __future__ import annotations

import contextlib
import copy
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import torch
from torch import nn

from segstudio.nets.devices import fast_dtype

_NICENESS: Final = 5

Net = TypeVar("Net", bound=nn.Module)


def step_aside() -> None:
    """Lowers this process's priority, so that the window gets a core whenever it wants one.

    Measured on two cores: leaving one of them to the window costs the training a fifth to a half of its speed all
    the time (3.0 to 3.8 against 4.6 to 5.7 steps/s); yielding by priority costs it nothing while the window is idle.
    Windows has no niceness; its scheduler favours the window in the foreground.
    """
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            os.nice(max(0, _NICENESS - os.nice(0)))


@contextlib.contextmanager
def arithmetic(device: torch.device) -> Iterator[None]:
    """bfloat16 inside where the hardware has it; float16 is left out, its gradients would need scaling."""
    fast = fast_dtype(device) == torch.bfloat16
    with torch.autocast(device.type, torch.bfloat16, enabled=fast):
        yield


class AveragedWeights(Generic[Net]):
    """An exponential moving average of a network's weights and running statistics.

    Sparse corrections make single steps swing; their average does not. The average starts as a plain mean
    (factor (1 + t) / (10 + t)), so that a short run is not held back by its first weights. With a ``decay`` of 0 it is
    the network itself.
    """

    def __init__(self, net: Net, decay: float) -> None:
        self.net: Net = net
        self._decay = decay
        self._steps = 0
        if decay:
            self.net = copy.deepcopy(net).eval()
            self.net.requires_grad_(requires_grad=False)
        self._own, self._others = _tensors(self.net), _tensors(net)

    @torch.no_grad()
    def update(self) -> None:
        """Takes in the weights after one optimizer step."""
        if not self._decay:
            return
        self._steps += 1
        weight = 1.0 - min(self._decay, (1 + self._steps) / (10 + self._steps))
        torch._foreach_lerp_(self._own.floats, self._others.floats, weight)
        for own, other in zip(self._own.counts, self._others.counts, strict=True):
            own.copy_(other)


@dataclass(frozen=True, slots=True)
class _Tensors:
    """What a network consists of: numbers that can be averaged, and counts that cannot."""

    floats: list[torch.Tensor]
    counts: list[torch.Tensor]


def _tensors(net: nn.Module) -> _Tensors:
    tensors = [tensor.detach() for tensor in (*net.parameters(), *net.buffers())]
    return _Tensors([t for t in tensors if t.is_floating_point()], [t for t in tensors if not t.is_floating_point()])
