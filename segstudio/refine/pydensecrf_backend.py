"""The reference engine: pydensecrf, iterated from here so that it can be stopped and can report progress."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from segstudio.core.errors import Cancelled, UserError
from segstudio.core.jobs import Progress
from segstudio.refine.api import Refined
from segstudio.refine.energy import as_distributions, unary_energy
from segstudio.refine.params import CrfParams

_HOW_TO_MEND = 'Build it again: pip install --force-reinstall --no-cache-dir "segstudio[pydensecrf]".'


def minimise(
    image: npt.NDArray[np.uint8],
    probabilities: npt.NDArray[np.float32],
    params: CrfParams,
    *,
    exact: bool,
    progress: Callable[[Progress], None],
    cancelled: Callable[[], bool],
) -> Refined:
    """The mean-field distribution of checked input of the same height and width; it is always exact.

    Raises:
        Cancelled: `cancelled` said so before the first or between two iterations.
        UserError: pydensecrf is installed but does not load, or a reach is too short for its lattice keys.
    """
    del exact
    classes, height, width = probabilities.shape
    params.validate_for(height, width)
    clean, uniform = as_distributions(probabilities)
    crf = _prepared(image, clean, params)
    if cancelled():
        raise Cancelled
    current, scratch_a, scratch_b = crf.startInference()
    for iteration in range(params.iterations):
        if cancelled():
            raise Cancelled
        # A step on a large image takes seconds; the first also builds the lattices, hence the early report.
        progress(Progress(iteration / params.iterations, f"CRF iteration {iteration + 1} of {params.iterations}"))
        crf.stepInference(current, scratch_a, scratch_b)
    progress(Progress(1.0, "CRF done"))
    # Copied: the result is a Fortran-ordered view into memory that belongs to the library.
    result: npt.NDArray[np.float32] = np.array(current, dtype=np.float32, order="C", copy=True)
    return Refined(result.reshape(classes, height, width), tuple(range(classes)), uniform)


def _library() -> Any:
    try:
        return importlib.import_module("pydensecrf.densecrf")
    except ImportError as error:
        raise UserError(f"pydensecrf is installed but does not load ({error}).", _HOW_TO_MEND) from error


def _prepared(image: npt.NDArray[np.uint8], probabilities: npt.NDArray[np.float32], params: CrfParams) -> Any:
    """A pydensecrf model with unary and both kernels set (a kernel of weight zero is left out: same energy)."""
    densecrf = _library()
    classes, height, width = probabilities.shape
    crf = densecrf.DenseCRF2D(width, height, classes)
    crf.setUnaryEnergy(unary_energy(probabilities, params.temperature))
    if params.spatial_weight > 0:
        crf.addPairwiseGaussian(sxy=float(params.spatial_xy), compat=float(params.spatial_weight))
    if params.bilateral_weight > 0:
        crf.addPairwiseBilateral(
            sxy=float(params.bilateral_xy),
            srgb=float(params.bilateral_rgb),
            rgbim=image,
            compat=float(params.bilateral_weight),
        )
    return crf
