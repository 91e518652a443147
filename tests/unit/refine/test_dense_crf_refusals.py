"""What ends pydensecrf's process, or makes it read beyond its arrays, gives a sentence here, in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pytest

from segstudio.core.errors import UserError
from segstudio.refine.dense_crf import DenseCrf

_HEIGHT, _WIDTH, _LABELS = 6, 8, 3
_PIXELS: Final = _HEIGHT * _WIDTH
_NAN, _INF = float("nan"), float("inf")


def _image() -> npt.NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (_HEIGHT, _WIDTH, 3)).astype(np.uint8)


def _energies() -> npt.NDArray[np.float32]:
    return np.random.default_rng(2).gamma(1, 2, (_LABELS, _HEIGHT, _WIDTH)).astype(np.float32)


def _features(value: float = 1.0) -> npt.NDArray[np.float32]:
    """With one feature of one pixel as given."""
    features = np.random.default_rng(3).normal(0, 1, (_HEIGHT, _WIDTH, 4)).astype(np.float32)
    features[2, 3, 1] = value
    return features


def _crf() -> DenseCrf:
    crf = DenseCrf(_HEIGHT, _WIDTH, _LABELS)
    crf.set_unary(_energies())
    crf.add_bilateral(_image(), 10, 40, 2)
    return crf


_REFUSED: Final[dict[str, Callable[[DenseCrf], Any]]] = {
    # a size
    "no rows": lambda _: DenseCrf(0, 8, 3),
    "no columns": lambda _: DenseCrf(6, 0, 3),
    "no labels": lambda _: DenseCrf(6, 8, 0),
    "one negative side": lambda _: DenseCrf(6, -8, 3),
    "two negative sides": lambda _: DenseCrf(-4, -5, 3),
    "a broken number of rows": lambda _: DenseCrf(6.5, 8, 3),  # type: ignore[arg-type]
    "text for a size": lambda _: DenseCrf("6", 8, 3),  # type: ignore[arg-type]
    "nothing for a size": lambda _: DenseCrf(None, 8, 3),  # type: ignore[arg-type]
    "more entries than 32 bits count": lambda _: DenseCrf(20_000, 20_000, 21),
    "more pixels than 32 bits count": lambda _: DenseCrf(2**20, 2**20, 1),
    "an absurd number of labels": lambda _: DenseCrf(100, 100, 2**40),
    # unary energies
    "no unary energies": lambda crf: crf.set_unary(None),  # type: ignore[arg-type]
    "energies of a missing label": lambda crf: crf.set_unary(np.zeros((2, _PIXELS))),
    "energies of a missing pixel": lambda crf: crf.set_unary(np.zeros((3, _PIXELS - 1))),
    "energies with labels last": lambda crf: crf.set_unary(np.zeros((_HEIGHT, _WIDTH, 3))),
    "energies by pixel": lambda crf: crf.set_unary(np.zeros((_PIXELS, 3))),
    "energies of width by height": lambda crf: crf.set_unary(np.zeros((3, _WIDTH, _HEIGHT))),
    "a single energy": lambda crf: crf.set_unary(1.0),
    "an empty array of energies": lambda crf: crf.set_unary(np.zeros((3, 0))),
    "energies in ragged lists": lambda crf: crf.set_unary([[1.0], [1.0, 2.0]]),  # type: ignore[list-item]
    "complex energies": lambda crf: crf.set_unary(np.zeros((3, _PIXELS), complex)),
    "text for energies": lambda crf: crf.set_unary(np.full((3, _PIXELS), "1")),
    "probabilities of a missing label": lambda crf: crf.set_probabilities(np.ones((2, _HEIGHT, _WIDTH))),
    "no probabilities": lambda crf: crf.set_probabilities(None),  # type: ignore[arg-type]
    "temperature zero": lambda crf: crf.set_probabilities(_energies(), temperature=0),
    "a temperature that is no number": lambda crf: crf.set_probabilities(_energies(), temperature=_NAN),
    # the reach of a kernel
    "a reach of zero": lambda crf: crf.add_gaussian(0),
    "a negative reach": lambda crf: crf.add_gaussian(-1),
    "a reach that is no number": lambda crf: crf.add_gaussian(_NAN),
    "an infinite reach": lambda crf: crf.add_gaussian(_INF),
    "a reach of zero in y": lambda crf: crf.add_gaussian((3, 0)),
    "a reach of three numbers": lambda crf: crf.add_gaussian((3, 3, 3)),
    "no reach": lambda crf: crf.add_gaussian(None),  # type: ignore[arg-type]
    "text for a reach": lambda crf: crf.add_gaussian("3"),  # type: ignore[arg-type]
    "a reach too short for the image": lambda crf: crf.add_gaussian(1e-9),
    "a reach below the smallest number": lambda crf: crf.add_gaussian(1e-60),
    "a colour reach of zero": lambda crf: crf.add_bilateral(_image(), 10, 0),
    "a colour reach that is no number": lambda crf: crf.add_bilateral(_image(), 10, (3, _NAN, 3)),
    "a colour reach of two numbers": lambda crf: crf.add_bilateral(_image(), 10, (3, 3)),
    "a bilateral reach of zero": lambda crf: crf.add_bilateral(_image(), 0, 3),
    # the image
    "no image": lambda crf: crf.add_bilateral(None, 10, 3),  # type: ignore[arg-type]
    "a grey image": lambda crf: crf.add_bilateral(_image()[..., 0], 10, 3),
    "an image with alpha": lambda crf: crf.add_bilateral(np.zeros((_HEIGHT, _WIDTH, 4), np.uint8), 10, 3),
    "an image of floats": lambda crf: crf.add_bilateral(_image().astype(np.float32), 10, 3),  # type: ignore[arg-type]
    "an image of integers": lambda crf: crf.add_bilateral(_image().astype(np.int64), 10, 3),  # type: ignore[arg-type]
    "an image of width by height": lambda crf: crf.add_bilateral(np.zeros((_WIDTH, _HEIGHT, 3), np.uint8), 10, 3),
    "an image of another size": lambda crf: crf.add_bilateral(np.zeros((60, 80, 3), np.uint8), 10, 3),
    # features
    "no features": lambda crf: crf.add_features(None, 1),  # type: ignore[arg-type]
    "a single feature": lambda crf: crf.add_features(1.0, 1),
    "features without a dimension": lambda crf: crf.add_features(np.zeros(_PIXELS), 1),
    "features of no dimension": lambda crf: crf.add_features(np.zeros((_PIXELS, 0)), 1),
    "too many features": lambda crf: crf.add_features(np.zeros((_PIXELS, 17)), 1),
    "features of a missing pixel": lambda crf: crf.add_features(np.zeros((_PIXELS - 1, 4)), 1),
    "features by dimension": lambda crf: crf.add_features(np.zeros((4, _PIXELS)), 1),
    "features of width by height": lambda crf: crf.add_features(np.zeros((_WIDTH, _HEIGHT, 4)), 1),
    "a feature that is no number": lambda crf: crf.add_features(_features(_NAN), 1),
    "an infinite feature": lambda crf: crf.add_features(_features(_INF), 1),
    "an enormous feature": lambda crf: crf.add_features(_features(1e13), 1),
    "a feature beyond float32": lambda crf: crf.add_features(np.full((_PIXELS, 2), 1e300), 1),
    "complex features": lambda crf: crf.add_features(np.zeros((_PIXELS, 2), complex), 1),
    # compatibility and normalisation
    "compatibility of too few labels": lambda crf: crf.add_gaussian(2, np.ones(2)),
    "compatibility of too many labels": lambda crf: crf.add_gaussian(2, np.ones(4)),
    "a matrix of too few labels": lambda crf: crf.add_gaussian(2, np.ones((2, 2))),
    "a matrix that is not square": lambda crf: crf.add_gaussian(2, np.ones((3, 4))),
    "a compatibility of three dimensions": lambda crf: crf.add_gaussian(2, np.ones((3, 3, 3))),
    "a compatibility that is no number": lambda crf: crf.add_gaussian(2, _NAN),
    "an infinite compatibility": lambda crf: crf.add_features(_features(), [1, _INF, 1]),
    "an enormous compatibility": lambda crf: crf.add_bilateral(_image(), 10, 3, 1e30),
    "no compatibility": lambda crf: crf.add_gaussian(2, None),  # type: ignore[arg-type]
    "text for a compatibility": lambda crf: crf.add_gaussian(2, "strong"),
    "an unknown normalization": lambda crf: crf.add_gaussian(2, 1, "both"),  # type: ignore[arg-type]
    "a number for a normalization": lambda crf: crf.add_gaussian(2, 1, 3),  # type: ignore[arg-type]
    # inference
    "negative iterations": lambda crf: crf.infer(-1),
    "half an iteration": lambda crf: crf.infer(1.5),  # type: ignore[arg-type]
    "no iterations given": lambda crf: crf.infer(None),  # type: ignore[arg-type]
    "an absurd number of iterations": lambda crf: crf.infer(10**9),
    "no energies at all": lambda _: DenseCrf(_HEIGHT, _WIDTH, _LABELS).infer(),
}


@pytest.mark.parametrize("probe", _REFUSED.values(), ids=_REFUSED)
def test_what_cannot_be_used_gives_a_sentence_and_leaves_the_model_as_it_was(
    probe: Callable[[DenseCrf], Any],
) -> None:
    crf = _crf()
    expected = crf.infer(3)
    with pytest.raises(UserError) as caught:
        probe(crf)
    assert caught.value.message.endswith(".")
    assert caught.value.hint.endswith(".")
    assert len(caught.value.message) < 200
    assert np.array_equal(crf.infer(3), expected)


def test_a_thousand_refusals_leave_no_kernel_behind() -> None:
    crf = DenseCrf(_HEIGHT, _WIDTH, _LABELS)
    for _ in range(1000):
        with pytest.raises(UserError):
            crf.add_gaussian(2, np.ones(4))
    assert crf.kernels == 0
