"""Spans say what the pixels say."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from segstudio.core.spans import counts_in, spans_of, values_in

MAPS = arrays.arrays(
    st.sampled_from([np.uint8, np.uint16]),
    arrays.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=12),
    elements=st.integers(0, 5),
)


@given(MAPS)
def test_spans_rebuild_the_array_and_no_two_neighbours_are_equal(labels: npt.NDArray[np.uint16]) -> None:
    starts, values = spans_of(labels)
    lengths = np.diff(starts, append=labels.size)
    assert np.array_equal(np.repeat(values, lengths), labels.ravel())
    assert (values[1:] != values[:-1]).all()


@given(MAPS)
def test_values_and_counts_are_those_of_the_pixels(labels: npt.NDArray[np.uint16]) -> None:
    assert np.array_equal(values_in(labels), np.unique(labels))
    assert np.array_equal(counts_in(labels, 4), np.bincount(labels.ravel(), minlength=4))


def test_a_view_that_skips_pixels_is_read_row_by_row() -> None:
    labels = np.arange(24, dtype=np.uint8).reshape(4, 6) // 6
    assert counts_in(labels[::2, ::3].T).tolist() == [2, 0, 2]
