"""3 x 3 convolutions by Winograd's minimal filtering F(4 x 4, 3 x 3): a quarter of the products.

Lavin, Gray: Fast Algorithms for Convolutional Neural Networks, CVPR 2016. Each 4 x 4 block of outputs comes from a
6 x 6 block of inputs: ``Y = A^T ((G w G^T) * (B^T x B)) A``, the products in the middle summed over input channels as
36 matrix products over all blocks. The transforms are numba kernels on channels-last float32, the products torch's. It
pays on processors without matrix units.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
import torch

from segstudio.nets.fast.conv import Folded, FusedConv, PackedConv

_LOG = logging.getLogger(__name__)
_BLOCK: Final = 4
_TAPS: Final = 36
# Narrower layers leave the matrix products too little to do for what the transforms cost.
_FEWEST_CHANNELS: Final = 64
_LANES: Final = 16
_PATIENCE_S: Final = 3.0
# Transformed inputs and outputs of one strip: smaller ones make the products slower, larger ones leave the cache.
_STRIP_BYTES: Final = 32 << 20
_G: Final = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)


def winograd_works() -> bool:
    """Whether the transforms are compiled, or can be now; False while `prepare_in_background` goes on compiling.

    Compiling takes seconds once for each version of numba; after that they come from its cache on disk within a second
    or two. That is waited for: a network that is loaded before would have to be loaded again.
    """
    return _prepared.wait(max(0.0, _patient_until - time.monotonic())) and _compiles()


def prepare_in_background() -> None:
    """Loads the transforms on a thread of their own, or compiles them, for which nobody waits longer than a moment."""
    global _patient_until

    def prepare() -> None:
        try:
            _compiles()
        finally:
            _prepared.set()

    _prepared.clear()
    _patient_until = time.monotonic() + _PATIENCE_S
    threading.Thread(target=prepare, name="winograd-compiler", daemon=True).start()


_prepared: Final = threading.Event()
_prepared.set()
_patient_until = 0.0


@cache
def _compiles() -> bool:
    """Whether numba turns the kernels into what a direct convolution gives."""
    if importlib.util.find_spec("numba") is None:
        return False
    what = Folded(torch.ones(_LANES, _LANES, 3, 3), torch.ones(_LANES), (1, 1), (1, 1), (1, 1), 1)
    try:
        with torch.inference_mode():
            out = WinogradConv(what, relu=True, dtype=torch.float32)(torch.ones(1, _LANES, 5, 5))
    except Exception as error:  # noqa: BLE001 - numba's errors are of many kinds, and without it everything still works
        _LOG.info("Winograd's method is left out, its kernels do not compile here: %s", error)
        return False
    return abs(float(out[0, 0, 2, 2]) - (9 * _LANES + 1)) < 1e-2


def winograd_fits(what: Folded) -> bool:
    """Whether a convolution can be computed this way, and is wide enough to gain."""
    outputs, inputs = what.weight.shape[:2]
    return (
        what.weight.shape[2:] == (3, 3)
        and what.stride == (1, 1)
        and what.groups == 1
        and what.dilation[0] == what.dilation[1]
        and min(inputs, outputs) >= _FEWEST_CHANNELS
        and inputs % _LANES == outputs % _LANES == 0
    )


# Of the outputs computed, the share that has to lie in the image for the method to gain.
_LEAST_WANTED: Final = 0.6


class WinogradConv(FusedConv):
    """A fused 3 x 3 convolution with stride 1 in float32 on the CPU; dilated ones as several interleaved images."""

    def prepared(self, weight: torch.Tensor) -> torch.Tensor:
        """(36, inputs, outputs): each filter transformed, in float64, since G's entries are no binary fractions."""
        transform = torch.tensor(_G, dtype=torch.float64)
        spread = torch.einsum("ia,kcab,jb->ijck", transform, weight.double(), transform)
        return spread.reshape(_TAPS, weight.shape[1], weight.shape[0]).float().contiguous()

    def forward(self, x: torch.Tensor, summand: torch.Tensor | None = None) -> torch.Tensor:
        """(N, outputs, h, w) float32, channels last."""
        pixels = x.float().permute(0, 2, 3, 1).contiguous()
        added = None if summand is None else summand.float().permute(0, 2, 3, 1).contiguous()
        count, height, width, _ = pixels.shape
        reach = 2 * self.how.dilation[0]
        rows, columns = height + 2 * self.how.padding[0] - reach, width + 2 * self.how.padding[1] - reach
        out = torch.empty(count, rows, columns, self.weight.shape[2])
        for index in range(count):
            self._convolve(pixels[index], None if added is None else added[index], out[index])
        return out.permute(0, 3, 1, 2)

    def _convolve(self, x: torch.Tensor, summand: torch.Tensor | None, out: torch.Tensor) -> None:
        inputs, outputs = self.weight.shape[1:]
        tops = _starts(out.shape[0], self.how.dilation[0])
        lefts = _starts(out.shape[1], self.how.dilation[1])
        strip = max(1, _STRIP_BYTES // (_TAPS * len(lefts) * (inputs + outputs) * 4))
        blocks = min(strip, len(tops)) * len(lefts)
        spread, product = _scratch(_TAPS * blocks * inputs, _TAPS * blocks * outputs)
        bias = torch.zeros(outputs) if self.bias is None else self.bias
        flat, flat_out = x.view(-1).numpy(), out.view(-1).numpy()
        flat_sum = flat_out if summand is None else summand.view(-1).numpy()
        for first in range(0, len(tops), strip):
            some = tops[first : first + strip]
            blocks = len(some) * len(lefts)
            v = spread[: _TAPS * blocks * inputs]
            m = product[: _TAPS * blocks * outputs]
            where = (some, lefts, self.how.dilation[0])
            _in_parallel(
                partial(_kernels().spread, flat, tuple(x.shape), v.numpy(), *where, self.how.padding), len(some)
            )
            torch.bmm(v.view(_TAPS, blocks, inputs), self.weight, out=m.view(_TAPS, blocks, outputs))
            gather = partial(
                _kernels().gather, m.numpy(), bias.numpy(), flat_sum, flat_out, tuple(out.shape), *where,
                summand is not None, self.relu,
            )  # fmt: skip
            _in_parallel(gather, len(some))


class DilatedConv(FusedConv):
    """A dilated 3 x 3 convolution: by Winograd's method where the image is large enough for it, else through oneDNN.

    With a dilation of 24, each of 24 x 24 interleaved images of a map of 47 x 63 px is 2 x 3 px, of which blocks of
    4 x 4 would mostly compute what nobody needs.
    """

    def __init__(self, what: Folded, *, relu: bool, dtype: torch.dtype) -> None:
        super().__init__(what, relu=relu, dtype=dtype)
        self._direct = PackedConv(what, relu=relu, dtype=dtype)
        self._winograd: WinogradConv | None = None

    def prepared(self, weight: torch.Tensor) -> torch.Tensor:
        """Nothing: the ways that are used hold their own."""
        return weight.new_empty(0)

    def forward(self, x: torch.Tensor, summand: torch.Tensor | None = None) -> torch.Tensor:
        """(N, outputs, h, w) float32, channels last."""
        dilation = self.how.dilation[0]
        rows, columns = (x.shape[axis] + 2 * self.how.padding[axis - 2] - 2 * dilation for axis in (2, 3))
        wanted = rows * columns / (len(_starts(rows, dilation)) * len(_starts(columns, dilation)) * _BLOCK**2)
        if wanted < _LEAST_WANTED:
            return cast("torch.Tensor", self._direct(x, summand))
        if self._winograd is None:
            what = dataclasses.replace(self.how, weight=self._direct.weight, bias=self._direct.bias)
            self._winograd = WinogradConv(what, relu=self.relu, dtype=self.dtype)
        return cast("torch.Tensor", self._winograd(x, summand))


def _scratch(*sizes: int) -> list[torch.Tensor]:
    """Uninitialised float32 numbers, the same memory at each call: fresh pages would cost more than filling them."""
    held = getattr(_OWN, "scratch", None)
    if held is None or held.numel() < sum(sizes):
        held = _OWN.scratch = torch.empty(sum(sizes))
    return list(torch.split(held[: sum(sizes)], list(sizes)))


_OWN: Final = threading.local()


def _starts(length: int, dilation: int) -> npt.NDArray[np.int64]:
    """Where the output blocks of one axis begin: each residue of the dilation is an image of its own."""
    return np.concatenate(
        [np.arange(phase, length, dilation * _BLOCK, dtype=np.int64) for phase in range(min(dilation, length))]
    )


def _in_parallel(kernel: Any, rows: int) -> None:
    """Runs `kernel(begin, end)` over `rows` in as many parts as torch has threads; kernels release the GIL."""
    parts = min(torch.get_num_threads(), rows)
    cuts = [rows * part // parts for part in range(parts + 1)]
    pairs = list(itertools.pairwise(cuts))
    waiting = [_pool().submit(kernel, begin, end) for begin, end in pairs[1:]]
    kernel(*pairs[0])
    for other in waiting:
        other.result()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=max(1, torch.get_num_threads()), thread_name_prefix="winograd")


@cache
def _kernels() -> Any:
    """The compiled kernels; loading numba costs a quarter of a second, which only this kind of convolution needs."""
    from segstudio.nets.fast import winograd_kernels

    return winograd_kernels
