"""One optimizer step on random crops, with less of them when memory runs out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import torch

from segstudio.core.errors import UserError
from segstudio.nets.base import SegmentationNet
from segstudio.nets.devices import is_out_of_memory, prefers_channels_last, release_memory
from segstudio.training.config import TrainConfig
from segstudio.training.numerics import AveragedWeights, arithmetic
from segstudio.training.sampling import CropSampler
from segstudio.training.schedule import rate_factor

_SMALLEST_SIDE: Final = 64
_SIDE_STEP: Final = 32
_MOST_BROKEN_STEPS: Final = 10


class Stepper:
    """The network being trained, its optimizer and its averaged weights."""

    def __init__(
        self,
        net: SegmentationNet,
        sampler: CropSampler,
        config: TrainConfig,
        *,
        device: torch.device,
        side: int,
        note: Callable[[str], None],
    ) -> None:
        self.net = net.to(device).train()
        self._channels_last = prefers_channels_last(device)
        if self._channels_last:
            self.net.to(memory_format=torch.channels_last)
        self.average = AveragedWeights(self.net, config.average)
        self.side = side
        self.count = config.batch
        self._sampler = sampler
        self._config = config
        self._device = device
        self._note = note
        self._optimizer = _build_optimizer(self.net, config)
        self._base_rates = [float(group["lr"]) for group in self._optimizer.param_groups]
        self._broken = 0

    def step(self, number: int, fraction: float) -> tuple[float, float]:
        """(loss, learning rate) of one step; ``number`` counts from 0.

        Raises:
            UserError: Memory does not suffice for even the smallest crop, or the loss stays infinite.
        """
        config = self._config
        factor = rate_factor(config.schedule, fraction=fraction, step=number, warmup=config.warmup)
        for group, base in zip(self._optimizer.param_groups, self._base_rates, strict=True):
            group["lr"] = base * factor
        while True:
            try:
                loss = self._learn()
                break
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
            self._shrink()
        self._watch(loss)
        return loss, config.learning_rate * factor

    def _learn(self) -> float:
        images, stacked = self._sampler.batch(self.count, self.side)
        x = torch.cat([self.net.preprocess(image) for image in images]).to(self._device)
        if self._channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        labels = torch.from_numpy(stacked).long().to(self._device)
        self._optimizer.zero_grad(set_to_none=True)
        with arithmetic(self._device):
            loss = self.net.training_loss(x, labels)
        value = float(loss.detach())
        if math.isfinite(value):
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), self._config.clip_norm)
            self._optimizer.step()
            self.average.update(self.net)
        return value

    def _shrink(self) -> None:
        """Fewer crops, then smaller ones."""
        self._optimizer.zero_grad(set_to_none=True)
        release_memory(self._device)
        if self.count > 1:
            self.count //= 2
        elif self.side > _SMALLEST_SIDE:
            self.side = max(_SMALLEST_SIDE, self.side // 2 // _SIDE_STEP * _SIDE_STEP)
        else:
            raise UserError(
                "The memory does not suffice to train this model.", "Close other programs or choose a smaller model."
            )
        self._note(f"Memory ran out; training goes on with {self.count} crop(s) of {self.side} pixels a step.")

    def _watch(self, loss: float) -> None:
        if math.isfinite(loss):
            self._broken = 0
            return
        self._broken += 1
        if self._broken >= _MOST_BROKEN_STEPS:
            raise UserError("The training diverged: its loss is no longer a number.", "Use a smaller learning rate.")


def _build_optimizer(net: SegmentationNet, config: TrainConfig) -> torch.optim.Optimizer:
    groups = net.parameter_groups(config.learning_rate, config.weight_decay)
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum)
    return torch.optim.AdamW(groups, lr=config.learning_rate)


def fitting_side(largest: int, crop: int) -> int:
    """The crop's side: as configured, or just as large as the largest image needs."""
    return min(crop, max(_SMALLEST_SIDE, math.ceil(largest / _SIDE_STEP) * _SIDE_STEP))
