"""From an image to probabilities: with the device's fastest arithmetic, in tiles where the image is large."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from segstudio.core.errors import Cancelled, ModelError
from segstudio.core.geometry import Rect
from segstudio.imaging.tiling import Tile, plan_tiles
from segstudio.nets.base import SegmentationNet
from segstudio.nets.box_net import BoxNet
from segstudio.nets.box_scoring import score_box
from segstudio.nets.devices import free_memory, giving_back, is_out_of_memory, release_memory, resolve_device, trim_heap
from segstudio.nets.fast.arithmetic import Arithmetic, arithmetic_for
from segstudio.nets.fast.fuse import twin
from segstudio.nets.scoring import Ask, Image, members_of, scorer_for

Report = Callable[[float], None]
_Sink = Callable[[Rect, torch.Tensor], None]

_STORED_BYTES: Final = 64 << 20
# On a CPU, where the window, the project and a trainer live in the same memory: weights and working memory together of
# an image in tiles; of one that goes whole, which saves computing the tiles' margins; the least that is left for work.
_CPU_BYTES: Final = 7 << 28
_WHOLE_BYTES: Final = 4 << 30
_LEAST_WORK_BYTES: Final = 1 << 30
# Transformed and packed weights take more than twice their room.
_LARGE_BYTES: Final = 3 << 28
_FREE_SHARE: Final = 0.5
_HALF_SHARE: Final = 0.6
# Logits, their resized copy and probabilities: three float32 for each class.
_OUTPUT_BYTES: Final = 12
_SMALLEST_CORE_PX: Final = 64


@dataclass(frozen=True, slots=True)
class PredictorOutput:
    """One image's result, or that of a box in it.

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
    """A network kept ready on its device, in the form that predicts fastest there.

    `pixel_budget` is how many pixels go through at once; by default it follows from the network and free memory.
    With `consume` the numbers of `net` are moved, not copied, and `net` is of no use afterwards. `arithmetic` None
    takes what was measured to be the fastest.
    """

    def __init__(
        self,
        net: SegmentationNet,
        *,
        device: str | torch.device | None = None,
        pixel_budget: int | None = None,
        consume: bool = False,
        arithmetic: Arithmetic | None = None,
    ) -> None:
        self.device = resolve_device(device)
        self.arithmetic = arithmetic_for(self.device) if arithmetic is None else arithmetic
        large = self.device.type == "cpu" and _bytes_of(net) > _LARGE_BYTES
        make = self.arithmetic.lean.make if large else self.arithmetic.make
        fast = twin(net, make, release=consume)
        # Packed weights exist on the CPU only, and cannot be moved, not even to where they are.
        self.net = fast if self.device.type == "cpu" else fast.to(self.device)
        trim_heap()
        self._scorer = scorer_for(self.net, self.device)
        self._pixel_budget = pixel_budget
        self._held = _bytes_of(self.net)

    def probabilities(
        self, image: Image, *, cancelled: Ask | None = None, progress: Report | None = None
    ) -> npt.NDArray[np.float32]:
        """(C, H, W) float32 that sums to 1 over C, for `image` (H, W, 3) uint8 RGB.

        Raises:
            Cancelled: ``cancelled`` became true between two tiles.
            ModelError: Memory does not suffice for even the smallest tile.
        """
        out = np.empty((self.net.classes, *image.shape[:2]), np.float32)

        def keep(core: Rect, probabilities: torch.Tensor) -> None:
            out[(slice(None), *core.slices)] = probabilities.cpu().numpy()

        self._run(image, keep, 1, cancelled or _never, progress)
        return out

    def predict(self, image: Image, *, cancelled: Ask | None = None, progress: Report | None = None) -> PredictorOutput:
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
            _store(out, core, probabilities, factor)

        self._run(image, keep, factor, cancelled or _never, progress)
        return out

    def predict_box(
        self, image: Image, box: Rect, *, channel: int | None = None, cancelled: Ask | None = None
    ) -> PredictorOutput:
        """Labels, confidence and probabilities of the pixels of `box` alone; raises as `probabilities`.

        A network made for boxes answers for this box, one that answers for a single class for `channel`, the class it
        finds most likely where None. Any other looks at the box with the context it needs.

        Raises:
            ValueError: The box does not lie in the image.
        """
        if box.is_empty or box.clipped(*image.shape[:2]) != box:
            raise ValueError(f"{box} does not lie in an image of {image.shape[:2]}")
        if isinstance(self.net, BoxNet):
            with self._computing():
                probabilities = score_box(self.net, self.device, image, box, channel)
            return _output_of(probabilities)
        around = _around(box, max(m.margin + m.context for m in members_of(self.net)), self._multiple(1), image)
        part = self.probabilities(image[around.slices], cancelled=cancelled)
        inner = Rect(box.top - around.top, box.left - around.left, box.height, box.width)
        return _output_of(torch.from_numpy(part[(slice(None), *inner.slices)]))

    def _run(self, image: Image, keep: _Sink, factor: int, cancelled: Ask, progress: Report | None) -> None:
        """Hands the probabilities of each tile's core to `keep`; smaller tiles and anew where memory runs out."""
        height, width = image.shape[:2]
        core_side = self._core_side(height, width)
        while True:
            try:
                with self._computing():
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
        self, image: Image, keep: _Sink, core_side: int, factor: int, cancelled: Ask, progress: Report | None
    ) -> None:
        tiles = self._tiles(image, core_side, factor)
        if cancelled():
            raise Cancelled
        several = len(tiles) > 1 and self.device.type == "cpu"
        with giving_back() if several else nullcontext():
            self._scorer.open(image, tiles, cancelled)
            for done, tile in enumerate(tiles):
                if cancelled():
                    raise Cancelled
                keep(tile.core, self._scorer.probabilities(image, tile))
                if progress is not None:
                    progress((done + 1) / len(tiles))

    def _tiles(self, image: Image, core_side: int, factor: int) -> Sequence[Tile]:
        margin = max(member.margin for member in members_of(self.net))
        return plan_tiles(image.shape[0], image.shape[1], core_side, margin, self._multiple(factor))

    def _multiple(self, factor: int) -> int:
        # All are powers of two, so the largest is a multiple of the others.
        return max(factor, *(member.multiple for member in members_of(self.net)))

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """No gradients; what is not fused follows the fused layers' number format."""
        dtype = self.arithmetic.torch_dtype
        half = dtype != torch.float32
        with torch.inference_mode(), torch.autocast(self.device.type, dtype if half else None, enabled=half):
            yield

    def _core_side(self, height: int, width: int) -> int:
        """The longest side of a tile's core; that of the image where it goes through whole."""
        if height * width <= self._budget(_WHOLE_BYTES):
            return max(height, width) + self._multiple(1)
        budget = self._budget(_CPU_BYTES)
        margin = max(member.margin + member.context for member in members_of(self.net))
        return max(_SMALLEST_CORE_PX, math.isqrt(budget) - 2 * margin)

    def _budget(self, most: int) -> int:
        """How many pixels may go through at once; on a CPU they and the weights take at most `most` bytes."""
        if self._pixel_budget is not None:
            return self._pixel_budget
        allowed = int(free_memory(self.device) * _FREE_SHARE)
        if self.device.type == "cpu":
            allowed = min(allowed, max(_LEAST_WORK_BYTES, most - self._held))
        share = 1.0 if self.arithmetic.torch_dtype == torch.float32 else _HALF_SHARE
        return max(1, int(allowed / (self.net.pixel_bytes * share + _OUTPUT_BYTES * self.net.classes)))


def _bytes_of(net: SegmentationNet) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in (*net.parameters(), *net.buffers()))


def predict(
    net: SegmentationNet,
    image: Image,
    *,
    device: str | torch.device | None = None,
    cancelled: Ask | None = None,
    progress: Report | None = None,
) -> npt.NDArray[np.float32]:
    """Probabilities (C, H, W) float32 that sum to 1, for `image` (H, W, 3) uint8 RGB; `device` None = where `net` is.

    The network's fast form is kept for the next image, until its numbers change or it is let go.

    Raises:
        Cancelled: ``cancelled`` became true between two tiles.
        ModelError: Memory does not suffice, or the device is not there.
    """
    where = resolve_device(next(net.parameters()).device if device is None else device)
    return _ready(net, where).probabilities(image, cancelled=cancelled, progress=progress)


_READY: Final[weakref.WeakKeyDictionary[SegmentationNet, tuple[object, Predictor]]] = weakref.WeakKeyDictionary()


def _ready(net: SegmentationNet, device: torch.device) -> Predictor:
    """The network's predictor, made anew where its numbers are not those it was made from."""
    tensors = (*net.parameters(), *net.buffers())
    state = (str(device), tuple((tensor.data_ptr(), tensor._version) for tensor in tensors))
    known = _READY.get(net)
    if known is None or known[0] != state:
        known = (state, Predictor(net, device=device))
        _READY.clear()  # one at a time: a fast form takes as much memory as its network
        _READY[net] = known
    return known[1]


def stored_factor(classes: int, height: int, width: int) -> int:
    """The smallest power of two by which (C, H, W) float16 must shrink to fit 64 MiB."""
    factor = 1
    while classes * -(-height // factor) * -(-width // factor) * 2 > _STORED_BYTES:
        factor *= 2
    return factor


def _never() -> bool:
    return False


def _store(out: PredictorOutput, core: Rect, probabilities: torch.Tensor, factor: int) -> None:
    best, winner = probabilities.max(0)
    out.labels[core.slices] = winner.to(torch.uint8).cpu().numpy()
    out.confidence[core.slices] = best.mul(255).round().to(torch.uint8).cpu().numpy()
    if factor > 1:
        probabilities = F.avg_pool2d(probabilities, factor, ceil_mode=True, count_include_pad=False)
    top, left = core.top // factor, core.left // factor
    rows, columns = probabilities.shape[1:]
    target = out.probabilities[:, top : top + rows, left : left + columns]
    target[...] = probabilities.to(torch.float16).cpu().numpy()


def _output_of(probabilities: torch.Tensor) -> PredictorOutput:
    """The output of one rectangle from its probabilities (C, H, W)."""
    classes, height, width = probabilities.shape
    factor = stored_factor(classes, height, width)
    out = PredictorOutput(
        np.empty((height, width), np.uint8),
        np.empty((height, width), np.uint8),
        np.empty((classes, -(-height // factor), -(-width // factor)), np.float16),
    )
    _store(out, Rect(0, 0, height, width), probabilities, factor)
    return out


def _around(box: Rect, margin: int, multiple: int, image: Image) -> Rect:
    """The box with its context, beginning on the network's grid."""
    grown = box.grown(margin).clipped(*image.shape[:2])
    top, left = grown.top // multiple * multiple, grown.left // multiple * multiple
    return Rect(top, left, grown.bottom - top, grown.right - left)
