"""From an image to probabilities: in 16 bit where the device has it, in tiles where the image is large."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from segstudio.core.errors import Cancelled, ModelError
from segstudio.core.geometry import Rect
from segstudio.imaging.tiling import plan_tiles
from segstudio.nets.base import SegmentationNet
from segstudio.nets.devices import (
    fast_dtype,
    free_memory,
    is_out_of_memory,
    prefers_channels_last,
    release_memory,
    resolve_device,
)

Ask = Callable[[], bool]
Report = Callable[[float], None]
_Sink = Callable[[Rect, torch.Tensor], None]

_STORED_BYTES: Final = 64 << 20
# On a CPU a larger working set is not faster, and the window, the project and a trainer live beside it.
_CPU_WORK_BYTES: Final = 1 << 30
_FREE_SHARE: Final = 0.5
_HALF_SHARE: Final = 0.6
# Logits, their resized copy and probabilities: three float32 for each class.
_OUTPUT_BYTES: Final = 12
_SMALLEST_CORE_PX: Final = 64


@dataclass(frozen=True, slots=True)
class PredictorOutput:
    """One image's result.

    Attributes:
        labels: (H, W) uint8, index of the winning channel.
        confidence: (H, W) uint8, its probability, 255 = 1.
        probabilities: (C, h, w) float16; h and w are H and W divided by a power of two, so that it takes 64 MiB at
            most.
    """

    labels: npt.NDArray[np.uint8]
    confidence: npt.NDArray[np.uint8]
    probabilities: npt.NDArray[np.float16]


class Predictor:
    """A network kept ready on its device.

    `pixel_budget` is how many pixels go through at once; by default it follows from the network and free memory.
    """

    def __init__(
        self, net: SegmentationNet, *, device: str | torch.device | None = None, pixel_budget: int | None = None
    ) -> None:
        self.device = resolve_device(device)
        self.net = net.to(self.device)
        self._channels_last = prefers_channels_last(self.device)
        if self._channels_last:
            self.net = self.net.to(memory_format=torch.channels_last)
        self._dtype = fast_dtype(self.device)
        self._pixel_budget = pixel_budget

    def probabilities(
        self, image: npt.NDArray[np.uint8], *, cancelled: Ask | None = None, progress: Report | None = None
    ) -> npt.NDArray[np.float32]:
        """(C, H, W) float32 that sums to 1 over C, for `image` (H, W, 3) uint8 RGB.

        Raises:
            Cancelled: ``cancelled`` became true between two tiles.
            ModelError: Memory does not suffice for even the smallest tile.
        """
        out = np.empty((self.net.classes, *image.shape[:2]), np.float32)

        def keep(core: Rect, probabilities: torch.Tensor) -> None:
            out[(slice(None), *core.slices)] = probabilities.cpu().numpy()

        self._run(image, keep, 1, cancelled, progress)
        return out

    def predict(
        self, image: npt.NDArray[np.uint8], *, cancelled: Ask | None = None, progress: Report | None = None
    ) -> PredictorOutput:
        """Labels, confidence and stored probabilities for `image` (H, W, 3) uint8 RGB; raises as `probabilities`."""
        height, width = image.shape[:2]
        factor = stored_factor(self.net.classes, height, width)
        small = (-(-height // factor), -(-width // factor))
        out = PredictorOutput(
            np.empty((height, width), np.uint8),
            np.empty((height, width), np.uint8),
            np.empty((self.net.classes, *small), np.float16),
        )

        def keep(core: Rect, probabilities: torch.Tensor) -> None:
            best, winner = probabilities.max(0)
            out.labels[core.slices] = winner.to(torch.uint8).cpu().numpy()
            out.confidence[core.slices] = best.mul(255).round().to(torch.uint8).cpu().numpy()
            if factor > 1:
                probabilities = F.avg_pool2d(probabilities, factor, ceil_mode=True, count_include_pad=False)
            top, left = core.top // factor, core.left // factor
            rows, columns = probabilities.shape[1:]
            target = out.probabilities[:, top : top + rows, left : left + columns]
            target[...] = probabilities.to(torch.float16).cpu().numpy()

        self._run(image, keep, factor, cancelled, progress)
        return out

    def _run(
        self, image: npt.NDArray[np.uint8], keep: _Sink, factor: int, cancelled: Ask | None, progress: Report | None
    ) -> None:
        """Hands the probabilities of each tile's core to `keep`; smaller tiles and anew where memory runs out."""
        height, width = image.shape[:2]
        core_side = self._core_side(height, width)
        while True:
            try:
                with _evaluating(self.net), torch.inference_mode():
                    self._run_tiles(image, keep, core_side, factor, cancelled, progress)
                return
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                # Only the text is needed below: the error's traceback would keep the tile's tensors alive.
            release_memory(self.device)
            if core_side <= _SMALLEST_CORE_PX:
                raise ModelError(
                    f"The memory of {self.device} does not suffice to predict with {self.net.card.id}.",
                    "Close other programs, or choose a smaller model or the CPU.",
                )
            core_side = max(_SMALLEST_CORE_PX, core_side // 2)

    def _run_tiles(
        self,
        image: npt.NDArray[np.uint8],
        keep: _Sink,
        core_side: int,
        factor: int,
        cancelled: Ask | None,
        progress: Report | None,
    ) -> None:
        height, width = image.shape[:2]
        # Both are powers of two, so the larger is a multiple of the smaller.
        multiple = max(self.net.multiple, factor)
        tiles = plan_tiles(height, width, core_side, self.net.margin, multiple)
        for done, tile in enumerate(tiles):
            if cancelled is not None and cancelled():
                raise Cancelled
            probabilities = self._tile(image[tile.padded.slices])
            top, left = tile.core.top - tile.padded.top, tile.core.left - tile.padded.left
            inner = probabilities[:, top : top + tile.core.height, left : left + tile.core.width]
            keep(tile.core, inner)
            if progress is not None:
                progress((done + 1) / len(tiles))

    def _tile(self, pixels: npt.NDArray[np.uint8]) -> torch.Tensor:
        """(C, h, w) float32 on the device."""
        x = self.net.preprocess(pixels).to(self.device)
        if self._channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, self._dtype or torch.bfloat16, enabled=self._dtype is not None):
            logits: torch.Tensor = self.net(x)
        return logits[0].float().softmax(0)

    def _core_side(self, height: int, width: int) -> int:
        """The longest side of a tile's core; that of the image where it goes through whole."""
        budget = self._budget()
        if height * width <= budget:
            return max(height, width) + self.net.multiple
        side = math.isqrt(budget) - 2 * self.net.margin
        return max(_SMALLEST_CORE_PX, side)

    def _budget(self) -> int:
        if self._pixel_budget is not None:
            return self._pixel_budget
        allowed = int(free_memory(self.device) * _FREE_SHARE)
        if self.device.type == "cpu":
            allowed = min(allowed, _CPU_WORK_BYTES)
        share = 1.0 if self._dtype is None else _HALF_SHARE
        return max(1, int(allowed / (self.net.pixel_bytes * share + _OUTPUT_BYTES * self.net.classes)))


def predict(
    net: SegmentationNet,
    image: npt.NDArray[np.uint8],
    *,
    device: str | torch.device | None = None,
    cancelled: Ask | None = None,
    progress: Report | None = None,
) -> npt.NDArray[np.float32]:
    """Probabilities (C, H, W) float32 that sum to 1, for `image` (H, W, 3) uint8 RGB; `device` None = where `net` is.

    Raises:
        Cancelled: ``cancelled`` became true between two tiles.
        ModelError: Memory does not suffice, or the device is not there.
    """
    where = next(net.parameters()).device if device is None else device
    return Predictor(net, device=where).probabilities(image, cancelled=cancelled, progress=progress)


def stored_factor(classes: int, height: int, width: int) -> int:
    """The smallest power of two by which (C, H, W) float16 must shrink to fit 64 MiB."""
    factor = 1
    while classes * -(-height // factor) * -(-width // factor) * 2 > _STORED_BYTES:
        factor *= 2
    return factor


@contextmanager
def _evaluating(net: SegmentationNet) -> Iterator[None]:
    """Evaluation mode inside, each module's own mode restored after."""
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
