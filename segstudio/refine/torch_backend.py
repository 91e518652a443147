"""The CRF engine for graphics processors, and for the CPU where numba is missing: exact mean field in torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from segstudio.core.errors import Cancelled, UserError
from segstudio.core.jobs import Progress
from segstudio.refine.api import Refined
from segstudio.refine.energy import MIN_PROBABILITY, pruned_below
from segstudio.refine.params import CrfParams
from segstudio.refine.recent import Recent, fingerprint
from segstudio.refine.torch_lattice import Lattice, build_lattice

_OUT_OF_MEMORY: Final = ("can't allocate memory", "not enough memory", "out of memory")
_cache: Final[Recent[Lattice]] = Recent()


def minimise(
    image: npt.NDArray[np.uint8],
    probabilities: npt.NDArray[np.float32],
    params: CrfParams,
    *,
    exact: bool,
    progress: Callable[[Progress], None],
    cancelled: Callable[[], bool],
    device: str | None = None,
) -> Refined:
    """The mean-field distribution of checked input of the same height and width.

    `device` is one of torch's; left out, it is the best there is. Results are the same bits from run to run, save on
    a device without weighted sums of rows (`torch_lattice.has_bags`).

    Raises:
        Cancelled: `cancelled` said so before the first or between two iterations.
        UserError: the device's memory does not suffice, or a reach is too short for an image this large.
    """
    place = torch.device(device or best_device())
    try:
        with torch.inference_mode():
            unary, uniform = _logits(probabilities, params.temperature, place)
            progress(Progress(0.0, "Building the lattices"))
            kernels = _kernels(image, params, place)
            if cancelled():
                raise Cancelled
            field = _MeanField(unary, kernels, pruned=not exact)
            for number in range(params.iterations):
                if cancelled():
                    raise Cancelled
                progress(Progress(number / params.iterations, f"CRF iteration {number + 1} of {params.iterations}"))
                field.step()
            result = field.planes()
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, RuntimeError) and not any(words in str(error).lower() for words in _OUT_OF_MEMORY):
            raise
        raise _shortage(probabilities.shape, place) from error
    progress(Progress(1.0, "CRF done"))
    return Refined(result.reshape(probabilities.shape), tuple(field.live), uniform)


def best_device() -> str:
    """CUDA, else MPS, else the CPU."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def forget() -> None:
    """Drops the lattices that are kept for the next call."""
    _cache.clear()


class _MeanField:
    """The state of one inference (Kraehenbuehl and Koltun 2011, algorithm 1): a row of live labels for each pixel."""

    def __init__(self, unary: torch.Tensor, kernels: list[tuple[float, Lattice]], *, pruned: bool) -> None:
        """`unary` are logits (N, M); a kernel comes with its Potts weight."""
        self.live = list(range(unary.shape[1]))
        self._labels = unary.shape[1]
        self._pruned = pruned
        self._unary = unary
        self._kernels = kernels
        self._set(unary)

    def step(self) -> None:
        """One update of every pixel at once."""
        logits = self._unary
        for weight, lattice in self._kernels:
            logits = logits.add(lattice.filter(self._q), alpha=weight)
        self._set(logits)

    def planes(self) -> npt.NDArray[np.float32]:
        """The distribution (labels, N); that of a dropped label is zero."""
        planes = np.zeros((self._labels, len(self._q)), np.float32)
        planes[self.live] = self._q.t().contiguous().cpu().numpy()
        return planes

    def _set(self, logits: torch.Tensor) -> None:
        """Takes the distribution of these logits, and drops labels that are improbable at every pixel."""
        # Label by label: along rows of a few numbers torch's softmax is several times slower on a CPU.
        planes = logits.t().softmax(0)
        # In exact mode too: it waits for the device, so that a request to stop is heard between two updates.
        peaks = planes.amax(1).tolist()
        least = pruned_below(self._labels) if self._pruned else 0.0
        kept = [row for row, peak in enumerate(peaks) if peak >= least]
        if len(kept) < len(peaks):
            self.live = [self.live[row] for row in kept]
            index = torch.tensor(kept, device=logits.device)
            planes, self._unary = planes.index_select(0, index), self._unary.index_select(1, index)
        self._q = planes.t().contiguous()


def _logits(
    probabilities: npt.NDArray[np.float32], temperature: float, device: torch.device
) -> tuple[torch.Tensor, int]:
    """Rows (N, C) of log P / T, and how many pixels were no distribution: `energy`'s checks, on the device."""
    # Copied: torch warns of a read-only array it would share.
    planes = torch.tensor(probabilities, device=device).flatten(1)
    mass = planes.sum(0)
    unusable = ~mass.isfinite() | (mass <= 0) | (planes.amin(0) < 0)
    planes.masked_fill_(unusable, 1.0)
    planes /= mass.masked_fill_(unusable, len(planes))
    rows = planes.clamp_(min=MIN_PROBABILITY).log_().div_(temperature).t().contiguous()
    return rows, int(unusable.sum())


def _kernels(image: npt.NDArray[np.uint8], params: CrfParams, device: torch.device) -> list[tuple[float, Lattice]]:
    """The spatial and the bilateral kernel of an image with their weights; one of weight zero is left out."""
    kernels = []
    size = image.shape[:2]
    for weight, xy, rgb in params.kernels():
        key = (device, size, xy) if rgb is None else (device, size, xy, rgb, fingerprint(image))
        kernels.append((weight, _cache.get(key, partial(_image_lattice, image, xy, rgb, device))))
    return kernels


def _image_lattice(image: npt.NDArray[np.uint8], xy: float, rgb: float | None, device: torch.device) -> Lattice:
    """The lattice of an image's positions, and of its colours too where `rgb` gives their reach."""
    # MPS sorts 64-bit numbers only on some systems, so the CPU builds for it.
    builder = torch.device("cpu") if device.type == "mps" else device
    height, width = image.shape[:2]
    y, x = torch.meshgrid(*(torch.arange(n, device=builder) for n in (height, width)), indexing="ij")
    planes, reach = [x, y], [xy, xy]
    if rgb is not None:
        planes += torch.tensor(image, device=builder).unbind(2)
        reach += [rgb] * 3
    # A number as divisor would be a factor on a graphics processor, which rounds differently.
    features = (
        torch.stack([plane.float() for plane in planes]).flatten(1) / torch.tensor(reach, device=builder)[:, None]
    )
    return build_lattice(features).to(device)


def _shortage(shape: tuple[int, ...], device: torch.device) -> UserError:
    """What to say where memory ran out; frees what can be freed."""
    forget()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
    classes, height, width = shape
    return UserError(
        f"The memory of {device} does not suffice to refine an image of {width} x {height} pixels "
        f"with {classes} classes.",
        "Close other programs, refine a smaller image, or choose another CRF engine.",
    )
