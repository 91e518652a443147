"""Refining a prediction with a dense CRF: one call, several engines."""

from __future__ import annotations

import importlib
import importlib.util
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

import numpy as np
import numpy.typing as npt

from segstudio.core.errors import UserError
from segstudio.core.jobs import Progress
from segstudio.refine.energy import checked_image, checked_probabilities
from segstudio.refine.params import CrfParams

DEFAULT_BACKEND: Final = "native"
# Named by string: the window process asks which engines exist and must load none of them.
_BACKENDS: Final = {
    "native": "segstudio.refine.native_backend",
    "torch": "segstudio.refine.torch_backend",
    "pydensecrf": "segstudio.refine.pydensecrf_backend",
}
_HOW_TO_ADD: Final = 'Add it with: pip install "segstudio[pydensecrf]" (it needs a C compiler and Python 3.11 or 3.12).'


@dataclass(frozen=True, slots=True, eq=False)
class Refined:
    """What a CRF made of a prediction.

    Attributes:
        probabilities: (C, H, W) float32, summing to 1 at every pixel.
        live: Channels that were still in play at the end; the automatic mode drops labels nobody has.
        uniform: Pixels whose input was no distribution (not a number, negative, no mass) and was taken as uniform.
    """

    probabilities: npt.NDArray[np.float32]
    live: tuple[int, ...]
    uniform: int = 0


class Minimise(Protocol):
    """What a backend module offers as `minimise`: the mean-field distribution of checked arrays of one size."""

    def __call__(
        self,
        image: npt.NDArray[np.uint8],
        probabilities: npt.NDArray[np.float32],
        params: CrfParams,
        *,
        exact: bool,
        progress: Callable[[Progress], None],
        cancelled: Callable[[], bool],
    ) -> Refined:
        """Raises `Cancelled` before an iteration where `cancelled` says so."""
        ...


def available_backends() -> dict[str, str | None]:
    """Every engine by name, the default first: None where it can be used, else the reason with how to add it.

    Loads nothing: the window asks.
    """
    return {"native": _missing("numba"), "torch": _missing("torch"), "pydensecrf": _pydensecrf_reason()}


def refine(
    image: npt.NDArray[np.uint8],
    probabilities: npt.NDArray[Any],
    params: CrfParams | None = None,
    *,
    backend: str = DEFAULT_BACKEND,
    exact: bool = False,
    progress: Callable[[Progress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> npt.NDArray[np.float32]:
    """The refined probabilities (C, H, W) float32, summing to 1 at every pixel.

    Args:
        image: (H, W, 3) uint8 RGB.
        probabilities: (C, h, w) floating point of any scale; resampled to the image's size.
        params: The kernels; DeepLab v2's published values if left out.
        backend: The engine, a name of `available_backends`.
        exact: Keep every label to the end. The automatic mode drops a label once it is below 0.01 at every pixel.
        progress: Told before every iteration.
        cancelled: Asked before every iteration.

    Raises:
        UserError: the input, a parameter or the backend cannot be used.
        Cancelled: `cancelled` said so.
    """
    return refined(
        image, probabilities, params, backend=backend, exact=exact, progress=progress, cancelled=cancelled
    ).probabilities


def refined(
    image: npt.NDArray[np.uint8],
    probabilities: npt.NDArray[Any],
    params: CrfParams | None = None,
    *,
    backend: str = DEFAULT_BACKEND,
    exact: bool = False,
    progress: Callable[[Progress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Refined:
    """As `refine`, with what else there is to know."""
    minimise = _usable(backend)
    params = params or CrfParams()
    checked = checked_image(image)
    height, width = checked.shape[:2]
    params.validate()
    start = checked_probabilities(probabilities, height, width)
    return minimise(
        checked, start, params, exact=exact, progress=progress or ignore_progress, cancelled=cancelled or never
    )


def _usable(name: str) -> Minimise:
    known = available_backends()
    if name == DEFAULT_BACKEND and known[name] is not None and known["torch"] is None:
        name = "torch"
    if name not in known:
        raise UserError(f"There is no CRF engine named “{name}”.", f"Use {' or '.join(known)}.")
    reason = known[name]
    if reason is not None:
        message, _, hint = reason.partition(". ")
        raise UserError(f"{message}.", hint)
    return cast("Minimise", importlib.import_module(_BACKENDS[name]).minimise)


def _missing(library: str) -> str | None:
    if importlib.util.find_spec(library) is not None:
        return None
    return f"{library} is not installed. Install SegStudio again: it belongs to it."


def _pydensecrf_reason() -> str | None:
    if importlib.util.find_spec("pydensecrf") is not None:
        return None
    if sys.version_info >= (3, 13):
        version = platform.python_version()
        return f"pydensecrf is not installed and cannot be built for Python {version}. {_HOW_TO_ADD}"
    return f"pydensecrf is not installed. {_HOW_TO_ADD}"


def ignore_progress(progress: Progress) -> None:
    """For callers who do not watch."""


def never() -> bool:
    return False
