"""Refining a prediction with a dense CRF: one call, several engines."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from segstudio.core.errors import UserError
from segstudio.core.jobs import Progress
from segstudio.refine.energy import checked_image, checked_probabilities
from segstudio.refine.params import CrfParams

# Named by string: the window process asks which engines exist and must load none of them.
_BACKENDS = {"pydensecrf": "segstudio.refine.pydensecrf_backend"}
_LATER = {"native": "The CRF engine “native” is not part of this version; it follows in a later one."}


class _Backend(Protocol):
    """What a backend module offers."""

    def unavailable_reason(self) -> str | None: ...

    def minimise(
        self,
        image: npt.NDArray[np.uint8],
        probabilities: npt.NDArray[np.float32],
        params: CrfParams,
        *,
        progress: Callable[[Progress], None],
        cancelled: Callable[[], bool],
    ) -> npt.NDArray[np.float32]: ...


def available_backends() -> dict[str, str | None]:
    """Every engine by name: None where it can be used, else the reason with how to add it."""
    return {name: _load(name).unavailable_reason() for name in _BACKENDS}


def refine(
    image: npt.NDArray[np.uint8],
    probabilities: npt.NDArray[Any],
    params: CrfParams | None = None,
    *,
    backend: str = "pydensecrf",
    progress: Callable[[Progress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> npt.NDArray[np.float32]:
    """The refined probabilities (C, H, W) float32, summing to 1 at every pixel.

    Args:
        image: (H, W, 3) uint8 RGB.
        probabilities: (C, h, w) floating point of any scale; resampled to the image's size.
        params: The kernels; DeepLab v2's published values if left out.
        backend: The engine, a name of `available_backends`.
        progress: Told before every iteration.
        cancelled: Asked before every iteration.

    Raises:
        UserError: the input, a parameter or the backend cannot be used.
        Cancelled: `cancelled` said so.
    """
    chosen = _usable(backend)
    params = params or CrfParams()
    checked = checked_image(image)
    height, width = checked.shape[:2]
    params.validate_for(height, width)
    start = checked_probabilities(probabilities, height, width)
    return chosen.minimise(checked, start, params, progress=progress or _ignore_progress, cancelled=cancelled or _never)


def _usable(name: str) -> _Backend:
    if name in _LATER:
        raise UserError(_LATER[name], f"Use {' or '.join(_BACKENDS)}.")
    if name not in _BACKENDS:
        raise UserError(f"There is no CRF engine named “{name}”.", f"Use {' or '.join(_BACKENDS)}.")
    backend = _load(name)
    reason = backend.unavailable_reason()
    if reason is not None:
        message, _, hint = reason.partition(". ")
        raise UserError(f"{message}.", hint)
    return backend


def _load(name: str) -> _Backend:
    return cast("_Backend", importlib.import_module(_BACKENDS[name]))


def _ignore_progress(progress: Progress) -> None:
    """For callers who do not watch."""


def _never() -> bool:
    return False
