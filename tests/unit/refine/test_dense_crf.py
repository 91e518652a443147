"""What poisons pydensecrf's result or misleads its caller gives the right answer here."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pytest

import segstudio
from segstudio.core.errors import Cancelled
from segstudio.core.jobs import Progress
from segstudio.refine.dense_crf import DenseCrf

_HEIGHT, _WIDTH, _LABELS = 6, 8, 3
_PIXELS: Final = _HEIGHT * _WIDTH
_NAN, _INF = float("nan"), float("inf")


def _image() -> npt.NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (_HEIGHT, _WIDTH, 3)).astype(np.uint8)


def _energies() -> npt.NDArray[np.float32]:
    return np.random.default_rng(2).gamma(1, 2, (_LABELS, _HEIGHT, _WIDTH)).astype(np.float32)


def _features() -> npt.NDArray[np.float32]:
    return np.random.default_rng(3).normal(0, 1, (_HEIGHT, _WIDTH, 4)).astype(np.float32)


def _crf(energies: Any = None) -> DenseCrf:
    """A model of all three kinds of kernels."""
    crf = DenseCrf(_HEIGHT, _WIDTH, _LABELS)
    crf.set_unary(_energies() if energies is None else energies)
    crf.add_gaussian(2, 1.5)
    crf.add_bilateral(_image(), 10, 40, 2)
    crf.add_features(_features(), 1)
    return crf


def _softmax(logits: npt.NDArray[Any]) -> npt.NDArray[Any]:
    raised = np.exp(logits - logits.max(0))
    return np.asarray(raised / raised.sum(0))


def _with(value: float, *place: int, of: npt.NDArray[Any]) -> npt.NDArray[Any]:
    changed = of.copy()
    changed[place] = value
    return changed


# -- pixels without a usable value ----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [_NAN, -_INF, (_INF,) * 3, (_NAN,) * 3, (_NAN, _INF, 0), (-_INF, _INF, 1)], ids=str)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_pixel_that_says_nothing_usable_becomes_uniform_and_is_counted(value: Any, dtype: Any) -> None:
    spoilt, mended = _energies().astype(dtype), _energies().astype(dtype)
    spoilt[: np.size(value), 2, 3] = value
    mended[:, 2, 3] = 0
    crf = _crf(spoilt)
    assert crf.uniform == 1
    assert np.array_equal(crf.infer(5), _crf(mended).infer(5))


def test_every_pixel_may_say_nothing() -> None:
    crf = _crf(np.full((_LABELS, _PIXELS), np.nan))
    assert crf.uniform == _PIXELS
    assert np.allclose(crf.infer(5), 1 / _LABELS, atol=1e-6)


def test_a_new_unary_forgets_the_old_one_and_its_count() -> None:
    crf = _crf(np.full((_LABELS, _PIXELS), np.nan))
    crf.set_unary(_energies())
    assert crf.uniform == 0
    assert np.array_equal(crf.infer(5), _crf().infer(5))


@pytest.mark.parametrize("value", [_NAN, -0.5, _INF, -_INF])
def test_a_pixel_that_is_no_distribution_becomes_uniform_and_is_counted(value: float) -> None:
    probabilities = _softmax(-_energies())
    crf = DenseCrf(_HEIGHT, _WIDTH, _LABELS)
    crf.set_probabilities(_with(value, 1, 2, 3, of=probabilities))
    assert crf.uniform == 1
    result = crf.infer(0)
    assert np.allclose(result[:, 2, 3], 1 / _LABELS)
    probabilities[:, 2, 3] = 1 / _LABELS
    assert np.allclose(result, probabilities, atol=1e-5)


@pytest.mark.parametrize("forbidden", [_INF, 1e30, 1e38, np.float64(1e300)])
def test_infinite_energies_hold_a_pixel_at_its_label(forbidden: float) -> None:
    energies = _energies().astype(np.float64)
    energies[:, 2, 3] = forbidden
    energies[1, 2, 3] = 4
    crf = _crf(energies)
    result = crf.infer(5)
    assert crf.uniform == 0
    assert result[:, 2, 3].tolist() == [0, 1, 0]
    assert np.isfinite(result).all()


def test_a_label_forbidden_everywhere_is_nowhere() -> None:
    energies = _energies()
    energies[1] = np.inf
    result = _crf(energies).infer(5)
    assert not result[1].any()
    assert np.allclose(result.sum(0), 1, atol=1e-5)


@pytest.mark.parametrize("common", [1e6, -1e6, 1e30, -1e30])
def test_only_differences_between_energies_matter(common: float) -> None:
    energies = np.round(_energies().astype(np.float64))
    if abs(common) > 1e9:  # no digits are left for the differences
        energies[:] = 0
    assert np.allclose(_crf(energies + common).infer(5), _crf(energies).infer(5), atol=1e-6)


# -- layouts and number types ---------------------------------------------------------------------------------------


def _layouts(array: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """The same numbers, differently laid out in memory."""
    read_only = array.copy()
    read_only.flags.writeable = False
    return {
        "read-only": read_only,
        "fortran": np.asfortranarray(array),
        "transposed": np.ascontiguousarray(array.transpose(2, 1, 0)).transpose(2, 1, 0),
        "mirrored": np.ascontiguousarray(array[..., ::-1])[..., ::-1],
        "strided": np.repeat(array, 2, axis=1)[:, ::2],
        "big-endian": array.astype(array.dtype.newbyteorder(">")) if array.dtype.itemsize > 1 else array,
    }


@pytest.mark.parametrize("layout", _layouts(np.zeros((1, 1, 1), np.float32)))
def test_any_layout_gives_the_same_bits(layout: str) -> None:
    crf = DenseCrf(_HEIGHT, _WIDTH, _LABELS)
    crf.set_unary(_layouts(_energies())[layout])
    crf.add_gaussian(2, 1.5)
    crf.add_bilateral(_layouts(_image())[layout], 10, 40, 2)
    crf.add_features(_layouts(_features())[layout], 1)
    assert np.array_equal(crf.infer(5), _crf().infer(5))


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int64, np.float16, np.float64, np.longdouble])
def test_any_number_type_gives_the_same_bits(dtype: Any) -> None:
    energies, features = np.round(_energies()) > 1, np.round(_features()) > 0
    results = []
    for kind in (np.float32, dtype):
        crf = DenseCrf(_HEIGHT, _WIDTH, _LABELS)
        crf.set_unary(energies.astype(kind))
        crf.add_features(features.astype(kind), 1)
        results.append(crf.infer(5))
    assert np.array_equal(*results)


def test_small_integers_do_not_overflow() -> None:
    energies = np.zeros((_LABELS, _PIXELS), np.int8)
    energies[0], energies[1] = -128, 127
    assert DenseCrf(_HEIGHT, _WIDTH, _LABELS).uniform == 0
    assert (_crf(energies).infer(0).argmax(0) == 0).all()
    assert not _crf(energies).infer(0)[1].any()


def test_lists_and_flat_arrays_will_do() -> None:
    crf = DenseCrf(_HEIGHT, _WIDTH, _LABELS)
    crf.set_unary(_energies().reshape(_LABELS, -1).tolist())
    crf.add_gaussian([2, 2], np.float32(1.5))
    crf.add_bilateral(_image(), np.array([10, 10]), (40, 40, 40), np.array(2))  # type: ignore[arg-type]
    crf.add_features(_features().reshape(-1, 4), 1)
    assert np.array_equal(crf.infer(5), _crf().infer(5))


def test_what_was_given_may_change_afterwards() -> None:
    energies, image, features = _energies(), _image(), _features()
    crf = DenseCrf(_HEIGHT, _WIDTH, _LABELS)
    crf.set_unary(energies)
    crf.add_gaussian(2, 1.5)
    crf.add_bilateral(image, 10, 40, 2)
    crf.add_features(features, 1)
    energies[:], image[:], features[:] = 0, 0, 0
    assert np.array_equal(crf.infer(5), _crf().infer(5))
    assert not energies.any()


def test_one_array_may_serve_two_models() -> None:
    energies = _energies()
    first, second = _crf(energies), _crf(energies)
    assert np.array_equal(first.infer(5), second.infer(5))
    assert np.array_equal(first.infer(5), _crf().infer(5))


# -- what the answer is ---------------------------------------------------------------------------------------------


def test_no_iteration_gives_the_softmax_of_the_energies() -> None:
    assert np.allclose(_crf().infer(0), _softmax(-_energies()), atol=1e-6)


def test_a_model_without_kernels_stays_at_the_softmax_of_the_energies() -> None:
    crf = DenseCrf(_HEIGHT, _WIDTH, _LABELS)
    crf.set_unary(_energies())
    assert np.allclose(crf.infer(5), _softmax(-_energies()), atol=1e-6)


def test_probabilities_are_energies_of_their_logarithm() -> None:
    probabilities = _softmax(-_energies())
    crf = _crf()
    crf.set_probabilities(7 * probabilities, temperature=2)
    assert np.allclose(crf.infer(5), _crf(-np.log(probabilities) / 2).infer(5), atol=1e-5)


@pytest.mark.parametrize("labels", [1, 2, 17, 33])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1)])
def test_one_pixel_and_one_label_are_no_special_case(shape: tuple[int, int], labels: int) -> None:
    crf = DenseCrf(*shape, labels)
    crf.set_unary(np.arange(labels * shape[0] * shape[1]).reshape(labels, -1) % 3)
    crf.add_gaussian(2, 1)
    crf.add_bilateral(np.zeros((*shape, 3), np.uint8), 10, 3)
    result = crf.infer(5)
    assert result.shape == (labels, *shape)
    assert np.allclose(result.sum(0), 1, atol=1e-5)


def test_the_result_is_plain_memory_of_its_own() -> None:
    crf = _crf()
    result = crf.infer(3)
    assert result.dtype == np.float32
    assert result.flags.c_contiguous
    assert result.flags.writeable
    again = crf.infer(3)
    assert np.array_equal(result, again)
    result[:] = 7
    assert np.array_equal(crf.infer(3), again)


def test_a_potts_weight_is_its_negative_along_the_diagonal() -> None:
    results = []
    for compatibility in (1.5, np.full(_LABELS, -1.5), -1.5 * np.eye(_LABELS)):
        crf = DenseCrf(_HEIGHT, _WIDTH, _LABELS)
        crf.set_unary(_energies())
        crf.add_gaussian(2, compatibility)
        results.append(crf.infer(5))
    assert np.allclose(results[0], results[1], atol=1e-6)
    assert np.array_equal(results[1], results[2])


def test_a_matrix_is_made_symmetric() -> None:
    matrix = np.random.default_rng(4).uniform(-1, 1, (_LABELS, _LABELS))
    results = []
    for compatibility in (matrix, matrix.T, (matrix + matrix.T) / 2):
        crf = DenseCrf(_HEIGHT, _WIDTH, _LABELS)
        crf.set_unary(_energies())
        crf.add_gaussian(2, compatibility)
        results.append(crf.infer(5))
    assert np.array_equal(results[0], results[1])
    assert np.allclose(results[0], results[2], atol=1e-6)


def test_the_order_of_kernels_does_not_matter() -> None:
    crf = DenseCrf(_HEIGHT, _WIDTH, _LABELS)
    crf.add_features(_features(), 1)
    crf.add_bilateral(_image(), 10, 40, 2)
    crf.add_gaussian(2, 1.5)
    crf.set_unary(_energies())
    assert np.allclose(crf.infer(5), _crf().infer(5), atol=1e-5)


def test_the_automatic_mode_drops_labels_nobody_has_and_the_exact_one_keeps_them() -> None:
    energies = np.full((24, 20, 20), 7.0, np.float32)
    energies[3, :, :10], energies[7, :, 10:] = 0, 0
    crf = DenseCrf(20, 20, 24)
    crf.set_unary(energies)
    crf.add_gaussian(2, 3)
    automatic, exact = crf.infer(5, exact=False), crf.infer(5)
    assert np.array_equal(automatic.argmax(0), exact.argmax(0))
    assert np.abs(automatic - exact).max() < 1e-2
    assert not automatic[0].any()
    assert exact[0].all()


def test_a_subclass_works() -> None:
    class Mine(DenseCrf):
        def infer_labels(self) -> npt.NDArray[np.intp]:
            return self.infer(3).argmax(0)

    crf = Mine(_HEIGHT, _WIDTH, _LABELS)
    crf.set_unary(_energies())
    assert crf.infer_labels().shape == (_HEIGHT, _WIDTH)


def test_the_package_hands_it_out() -> None:
    assert segstudio.DenseCrf is DenseCrf


def test_progress_comes_before_every_iteration_and_cancel_stops_between_two() -> None:
    crf, seen = _crf(), list[Progress]()
    crf.infer(4, progress=seen.append)
    assert [p.fraction for p in seen] == [0, 0.25, 0.5, 0.75, 1]
    seen.clear()
    with pytest.raises(Cancelled):
        crf.infer(4, progress=seen.append, cancelled=lambda: len(seen) >= 2)
    assert len(seen) == 2
