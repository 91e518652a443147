"""Counting pairs: exact, from several threads, and stopped by the first failure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segstudio.core.errors import UserError
from segstudio.evaluation import counting
from segstudio.evaluation.counting import count_pairs

Labels = npt.NDArray[np.uint8]
_IMAGE = hnp.arrays(np.uint8, st.shared(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0), key="shape"))


def _bincount(prediction: Labels, label: Labels) -> npt.NDArray[np.int64]:
    codes = label.ravel().astype(np.int64) * 256 + prediction.ravel()
    return np.bincount(codes, minlength=65536).reshape(256, 256)


@given(prediction=_IMAGE, label=_IMAGE)
def test_pairs_are_counted_as_bincount_counts_them(prediction: Labels, label: Labels) -> None:
    table = count_pairs(prediction, label)
    assert table.dtype == np.int64
    assert (table == _bincount(prediction, label)).all()


@given(prediction=_IMAGE, label=_IMAGE, times=st.sampled_from([1, 30, 60]))
def test_large_areas_are_counted_by_their_runs(prediction: Labels, label: Labels, times: int) -> None:
    prediction, label = (np.repeat(a, times, axis=-1) for a in (prediction, label))
    assert (count_pairs(prediction, label) == _bincount(prediction, label)).all()


def test_images_that_are_parts_of_others_are_counted() -> None:
    whole = np.random.default_rng(0).integers(0, 256, (40, 60), dtype=np.uint8)
    prediction, label = whole[::2, 5:25], whole.T[:20, ::2]
    assert (count_pairs(prediction, label) == _bincount(prediction, label)).all()


def test_more_pixels_than_a_float_can_count_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "_EXACT_PX", 100)
    prediction, label = np.random.default_rng(0).integers(0, 9, (2, 30, 41), dtype=np.uint8)
    assert (count_pairs(prediction, label) == _bincount(prediction, label)).all()


def test_a_bin_holds_sixteen_million_pixels_exactly() -> None:
    ones = np.ones((4097, 4096), dtype=np.uint8)
    assert count_pairs(ones, ones)[1, 1] == 4097 * 4096 > 2**24


def test_sizes_that_differ_are_refused_naming_both() -> None:
    with pytest.raises(UserError, match=r"4 x 3.*5 x 3"):
        count_pairs(np.zeros((3, 4), dtype=np.uint8), np.zeros((3, 5), dtype=np.uint8))


def test_values_wider_than_a_byte_are_refused() -> None:
    with pytest.raises(ValueError, match="uint16"):
        count_pairs(np.zeros((3, 4), dtype=np.uint8), np.zeros((3, 4), dtype=np.uint16))  # type: ignore[arg-type]
