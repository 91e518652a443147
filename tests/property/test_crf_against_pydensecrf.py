"""The same energy as pydensecrf gives the same distribution, whatever the kernels, normalisation and compatibility.

Only what pydensecrf is known to survive is given to it: it ends the process on much else. Where the number of pixels is
no multiple of 4 it builds the lattice with up to three more pixels, whose features are all zero, and more lattice
points there change how its kernel blurs. Here the first pixel's features are zero, so that these points exist anyway.

The bounds hold for kernels up to four times as strong as the unary energies, at any number of iterations. Stronger ones
with labels that repel each other amplify rounding: 1.6e-4 after 20 iterations was the largest of 150 such models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segstudio.refine.dense_crf import DenseCrf, Normalization
from segstudio.refine.team import team

densecrf = pytest.importorskip("pydensecrf.densecrf", reason="pydensecrf is not installed")

_NORMALIZATIONS: Final[dict[Normalization, Any]] = {
    "none": densecrf.NO_NORMALIZATION,
    "before": densecrf.NORMALIZE_BEFORE,
    "after": densecrf.NORMALIZE_AFTER,
    "symmetric": densecrf.NORMALIZE_SYMMETRIC,
}
_STRONGEST: Final = 4.0
_MOST_APART: Final = 1e-4
_CLEAR: Final = 1e-3


@dataclass(frozen=True)
class _Kernel:
    """One kernel, and how it is drawn: everything else follows from the seed."""

    kind: str
    normalization: Normalization
    form: str
    scene: str
    dimensions: int


_kernels = st.builds(
    _Kernel,
    kind=st.sampled_from(["gaussian", "bilateral", "features"]),
    normalization=st.sampled_from(list(_NORMALIZATIONS)),
    form=st.sampled_from(["number", "vector", "matrix"]),
    scene=st.sampled_from(["noise", "flat", "blocks", "slope"]),
    dimensions=st.integers(1, 7),
)


@pytest.fixture(scope="module", autouse=True)
def _threads_of_the_process() -> None:
    """Started before any test, which would be blamed for leaving them."""
    team()


@settings(max_examples=80, deadline=None)  # the machine may be busy
@given(
    height=st.integers(1, 50),
    width=st.integers(1, 60),
    labels=st.integers(1, 40),
    kernels=st.lists(_kernels, min_size=1, max_size=3),
    iterations=st.integers(0, 20),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_model_gives_pydensecrf_s_distribution(
    height: int, width: int, labels: int, kernels: list[_Kernel], iterations: int, seed: int
) -> None:
    _assert_same(height, width, labels, kernels, iterations, seed)


@pytest.mark.parametrize("normalization", _NORMALIZATIONS)
@pytest.mark.parametrize("form", ["number", "vector", "matrix"])
@pytest.mark.parametrize("kind", ["gaussian", "bilateral", "features"])
def test_each_kernel_normalization_and_compatibility_gives_pydensecrf_s_distribution(
    kind: str, form: str, normalization: Normalization
) -> None:
    _assert_same(31, 44, 5, [_Kernel(kind, normalization, form, "slope", 3)], 7, 3)


@pytest.mark.parametrize(
    ("height", "width", "labels", "iterations"),
    [(600, 500, 4, 3), (333, 217, 21, 5), (1, 400, 9, 10), (257, 1, 33, 20)],
)
def test_large_and_thin_images_give_pydensecrf_s_distribution(
    height: int, width: int, labels: int, iterations: int
) -> None:
    kernels = [
        _Kernel("gaussian", "symmetric", "number", "slope", 2),
        _Kernel("bilateral", "symmetric", "number", "blocks", 5),
    ]
    _assert_same(height, width, labels, kernels, iterations, 7)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 2), (2, 1), (2, 2), (3, 5)])
@pytest.mark.parametrize("labels", [1, 2, 40])
def test_the_smallest_images_give_pydensecrf_s_distribution(height: int, width: int, labels: int) -> None:
    kernels = [
        _Kernel("gaussian", "symmetric", "number", "slope", 2),
        _Kernel("bilateral", "after", "vector", "noise", 5),
    ]
    _assert_same(height, width, labels, kernels, 5, 11)


def _assert_same(height: int, width: int, labels: int, kernels: list[_Kernel], iterations: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    energies = rng.gamma(1, 2, (labels, height * width)).astype(np.float32)
    ours, theirs = DenseCrf(height, width, labels), densecrf.DenseCRF2D(width, height, labels)
    ours.set_unary(energies)
    theirs.setUnaryEnergy(energies)
    for kernel in kernels:
        _add(rng, kernel, ours, theirs)
    expected = np.array(theirs.inference(iterations), np.float32).reshape(labels, height, width)
    result = ours.infer(iterations)
    assert np.abs(result - expected).max() <= _MOST_APART
    if labels > 1:
        top = np.partition(expected, labels - 2, axis=0)
        clear = top[-1] - top[-2] > _CLEAR
        assert np.array_equal(result.argmax(0)[clear], expected.argmax(0)[clear])


def _add(rng: np.random.Generator, kernel: _Kernel, ours: DenseCrf, theirs: Any) -> None:
    """One kernel to both."""
    compatibility = _compatibility(rng, kernel, ours.labels)
    more = {"compat": compatibility, "normalization": _NORMALIZATIONS[kernel.normalization]}
    if kernel.kind == "gaussian":
        xy = tuple(map(float, rng.uniform(0.5, 20, 2)))
        ours.add_gaussian(xy, compatibility, kernel.normalization)
        theirs.addPairwiseGaussian(sxy=xy, **more)
    elif kernel.kind == "bilateral":
        image = _scene(rng, kernel.scene, ours.height, ours.width)
        xy, rgb = tuple(map(float, rng.uniform(2, 80, 2))), tuple(map(float, rng.uniform(2, 40, 3)))
        ours.add_bilateral(image, xy, rgb, compatibility, kernel.normalization)
        theirs.addPairwiseBilateral(sxy=xy, srgb=rgb, rgbim=image, **more)
    else:
        spread = rng.uniform(0.1, 3)
        features = rng.normal(0, spread, (ours.height * ours.width, kernel.dimensions)).astype(np.float32)
        features[0] = 0
        ours.add_features(features, compatibility, kernel.normalization)
        theirs.addPairwiseEnergy(np.ascontiguousarray(features.T), **more)


def _compatibility(rng: np.random.Generator, kernel: _Kernel, labels: int) -> Any:
    """Mostly such that equal labels attract each other."""
    # Without normalisation a message is the sum over all pixels the kernel reaches, not their mean.
    strength = _STRONGEST * (0.02 if kernel.normalization == "none" else 1.0)
    if kernel.form == "number":
        return float(rng.uniform(-0.2, 1) * strength)
    shape = (labels,) if kernel.form == "vector" else (labels, labels)
    return (rng.uniform(-1, 0.2, shape) * strength).astype(np.float32)


def _scene(rng: np.random.Generator, name: str, height: int, width: int) -> npt.NDArray[np.uint8]:
    """A picture whose first pixel is black."""
    if name == "noise":
        picture = rng.integers(0, 256, (height, width, 3)).astype(np.float64)
    elif name == "flat":
        picture = np.zeros((height, width, 3))
    elif name == "blocks":
        coarse = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3))
        picture = np.kron(coarse, np.ones((8, 8, 1)))[:height, :width]
    else:
        slope = np.add.outer(np.arange(height) * 3, np.arange(width) * 2)[..., None]
        picture = slope + rng.normal(0, 4, (height, width, 3))
    picture[0, 0] = 0
    return np.ascontiguousarray(np.clip(picture, 0, 255), np.uint8)
