"""One optimizer step on random crops, with fewer of them at a time when memory runs out."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import TracebackType
from typing import Final

import torch
from torch import nn

from segstudio.core.errors import UserError
from segstudio.nets.base import SegmentationNet
from segstudio.nets.devices import is_out_of_memory, prefers_channels_last, release_memory
from segstudio.training.batches import BatchSource
from segstudio.training.config import TrainConfig
from segstudio.training.numerics import AveragedWeights, arithmetic
from segstudio.training.sampling import CropSampler
from segstudio.training.schedule import rate_factor

_SMALLEST_SIDE: Final = 64
_SIDE_STEP: Final = 32
_MOST_BROKEN_STEPS: Final = 10
_TRUNKS: Final = ("trunk", "backbone", "encoder")


class Stepper:
    """The network being trained, its optimizer and its averaged weights; a context, for its thread must end.

    Attributes:
        count: Crops that go through the network together.
        accumulate: How many times that many make one step.
        side: Of a crop, in pixels.
    """

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
        _prepare(self.net, config)
        channels_last = prefers_channels_last(device)
        if channels_last:
            self.net.to(memory_format=torch.channels_last)
        self.average = AveragedWeights(self.net, config.average)
        self.side = side
        self.count = config.batch
        self.accumulate = config.accumulate
        self._source = BatchSource(sampler, self.net, device=device, channels_last=channels_last)
        self._config = config
        self._device = device
        self._note = note
        self._optimizer = _build_optimizer(self.net, config, device)
        self._base_rates = [float(group["lr"]) for group in self._optimizer.param_groups]
        self._learning = [parameter for group in self._optimizer.param_groups for parameter in group["params"]]
        self._broken = 0

    def __enter__(self) -> Stepper:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._source.close()

    def step(self, number: int, fraction: float) -> tuple[float, float]:
        """(loss, learning rate) of one step; ``number`` counts from 0, ``fraction`` of the run is over.

        Raises:
            UserError: Memory does not suffice for even the smallest crop, or the loss stays infinite.
        """
        factor = rate_factor(self._config, fraction=fraction, step=number)
        for group, base in zip(self._optimizer.param_groups, self._base_rates, strict=True):
            group["lr"] = base * factor
        self.net.begin_step(fraction)
        while True:
            try:
                loss = self._learn()
                break
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
            self._shrink()
        self._watch(loss)
        return loss, self._config.learning_rate * factor

    def _learn(self) -> float:
        self._optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for _ in range(self.accumulate):
            batch = self._source.take(self.count, self.side).to(self._device)
            with arithmetic(self._device):
                loss = self.net.training_loss(batch.x, batch.labels, batch.weights)
            value = float(loss.detach())
            if not math.isfinite(value):
                return value
            torch.autograd.backward(loss / self.accumulate)
            total += value
        self._clip()
        self._optimizer.step()
        self.average.update()
        return total / self.accumulate

    def _clip(self) -> None:
        """Shortens long gradients; torch's own function multiplies short ones by 1, a pass over all of them."""
        if not self._config.clip_norm:
            return
        gradients = [parameter.grad for parameter in self._learning if parameter.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if not norm <= self._config.clip_norm:
            nn.utils.clip_grads_with_norm_(self._learning, self._config.clip_norm, norm)

    def _shrink(self) -> None:
        """Fewer crops at a time, as many for a step; then smaller ones."""
        self._optimizer.zero_grad(set_to_none=True)
        release_memory(self._device)
        if self.count > 1:
            self.count //= 2
            self.accumulate *= 2
        elif self.side > _SMALLEST_SIDE:
            self.side = max(_SMALLEST_SIDE, self.side // 2 // _SIDE_STEP * _SIDE_STEP)
        else:
            raise UserError(
                "The memory does not suffice to train this model.", "Close other programs or choose a smaller model."
            )
        self._note(f"Memory ran out; training goes on with {self.count} crop(s) of {self.side} pixels at a time.")

    def _watch(self, loss: float) -> None:
        if math.isfinite(loss):
            self._broken = 0
            return
        self._broken += 1
        if self._broken >= _MOST_BROKEN_STEPS:
            raise UserError("The training diverged: its loss is no longer a number.", "Use a smaller learning rate.")


def _prepare(net: SegmentationNet, config: TrainConfig) -> None:
    """Sets the loss's normalisation and what batch normalisation does."""
    net.reduction = "images" if config.reduction == "images" else "pixels"
    if config.batch_norm_momentum is not None:
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = config.batch_norm_momentum
    if config.freeze_batch_norm:
        freeze_loaded_norms(net)


def freeze_loaded_norms(net: SegmentationNet) -> None:
    """Fixes the batch normalisation that came with a trunk or a checkpoint; what is random goes on learning."""
    if net.loaded.trunk == "checkpoint":
        net.freeze_batch_norm()
    elif net.loaded.trunk == "imagenet":
        for part in (child for name, child in net.named_children() if name in _TRUNKS):
            net.freeze_batch_norm(part)


def _build_optimizer(net: SegmentationNet, config: TrainConfig, device: torch.device) -> torch.optim.Optimizer:
    """Built once: a new one in each step would forget its momentum."""
    groups = net.parameter_groups(config.learning_rate, config.weight_decay)
    rate, fused = config.learning_rate, device.type in ("cpu", "cuda")
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=config.momentum, fused=fused)
    if config.optimizer == "rmsprop":
        return torch.optim.RMSprop(groups, lr=rate, momentum=config.momentum)
    return torch.optim.AdamW(groups, lr=rate, fused=fused)


def fitting_side(largest: int, crop: int) -> int:
    """The crop's side: as configured, or just as large as the largest image needs."""
    return min(crop, max(_SMALLEST_SIDE, math.ceil(largest / _SIDE_STEP) * _SIDE_STEP))
