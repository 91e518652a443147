"""Batches ready for the network, made on a thread of their own while the network learns from the one before."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from segstudio.nets.base import SegmentationNet
from segstudio.training.sampling import Crop, CropSampler


@dataclass(frozen=True, slots=True)
class Batch:
    """Inputs (N, c, H, W) float32, labels (N, h, w) int64 and weights (N, h, w) float32 or None."""

    x: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor | None

    def to(self, device: torch.device) -> Batch:
        """The batch on a device; the copy goes on while the program does."""
        weights = None if self.weights is None else self.weights.to(device, non_blocking=True)
        return Batch(self.x.to(device, non_blocking=True), self.labels.to(device, non_blocking=True), weights)


class BatchSource:
    """Endless batches of a sampler for a network; the order is the sampler's, whatever the thread does."""

    def __init__(
        self, sampler: CropSampler, net: SegmentationNet, *, device: torch.device, channels_last: bool
    ) -> None:
        self._sampler = sampler
        self._net = net
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self._pinned = device.type == "cuda"
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="segstudio crops")
        self._next: tuple[tuple[int, int], Future[Batch]] | None = None

    def take(self, count: int, side: int) -> Batch:
        """A batch of ``count`` crops of ``side`` px; the one after it is begun."""
        wanted = (count, side)
        ahead = self._next
        future = ahead[1] if ahead is not None and ahead[0] == wanted else self._begin(wanted)
        batch = future.result()
        self._next = (wanted, self._begin(wanted))
        return batch

    def _begin(self, wanted: tuple[int, int]) -> Future[Batch]:
        return self._thread.submit(self._make, *wanted)

    def _make(self, count: int, side: int) -> Batch:
        crops = self._sampler.batch(count, side)
        x = torch.cat([self._net.preprocess(crop.pixels) for crop in crops]).contiguous(memory_format=self._format)
        labels = torch.from_numpy(np.stack([crop.labels for crop in crops])).long()
        batch = Batch(x, labels, _weights(crops))
        return _pinned(batch) if self._pinned else batch

    def close(self) -> None:
        """Waits for the thread to end."""
        self._thread.shutdown(wait=True, cancel_futures=True)


def _weights(crops: list[Crop]) -> torch.Tensor | None:
    weights = [crop.weights for crop in crops if crop.weights is not None]
    return torch.from_numpy(np.stack(weights)) if weights else None


def _pinned(batch: Batch) -> Batch:
    weights = None if batch.weights is None else batch.weights.pin_memory()
    return Batch(batch.x.pin_memory(), batch.labels.pin_memory(), weights)
