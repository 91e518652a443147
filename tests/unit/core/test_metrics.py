"""Figures of a confusion matrix under each convention for absent classes, and tables of counted pairs."""

from __future__ import annotations

import json
import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segstudio.core.metrics import AbsentClasses, ConfusionMatrix, plain

_PIXELS = hnp.arrays(
    np.uint8, st.shared(st.integers(0, 60), key="size"), elements=st.sampled_from([0, 1, 2, 3, 7, 255])
)


@pytest.fixture
def matrix() -> ConfusionMatrix:
    """Class 0 and 1 occur; 2 is only predicted; 3 is nowhere."""
    counted = ConfusionMatrix(4)
    counted.update(np.array([0, 0, 1, 2, 1, 1]), np.array([0, 0, 0, 1, 1, 1]))
    return counted


def test_a_class_that_is_only_predicted_counts_with_zero_by_default(matrix: ConfusionMatrix) -> None:
    summary = matrix.summary()
    assert summary.absent is AbsentClasses.PREDICTED_COUNT_ZERO
    assert summary.counted == (True, True, True, False)
    assert summary.iou[:3] == pytest.approx((2 / 3, 2 / 4, 0.0))
    assert math.isnan(summary.iou[3])
    assert summary.mean_iou == matrix.mean_iou == pytest.approx((2 / 3 + 2 / 4 + 0) / 3)
    assert summary.mean_accuracy == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert summary.mean_dice == pytest.approx((4 / 5 + 4 / 6 + 0) / 3)


def test_every_class_counts_where_absent_ones_are_zero(matrix: ConfusionMatrix) -> None:
    summary = matrix.summary(AbsentClasses.COUNT_ZERO)
    assert summary.counted == (True,) * 4
    assert summary.mean_iou == pytest.approx((2 / 3 + 2 / 4) / 4)
    assert summary.mean_accuracy == pytest.approx((2 / 3 + 2 / 3) / 4)


def test_only_true_classes_count_where_absent_ones_are_left_out(matrix: ConfusionMatrix) -> None:
    summary = matrix.summary(AbsentClasses.LEFT_OUT)
    assert summary.counted == (True, True, False, False)
    assert summary.mean_iou == pytest.approx((2 / 3 + 2 / 4) / 2)
    assert summary.mean_dice == pytest.approx((4 / 5 + 4 / 6) / 2)


def test_the_conventions_change_means_alone(matrix: ConfusionMatrix) -> None:
    summaries = [matrix.summary(absent) for absent in AbsentClasses]
    assert len({(s.pixel_accuracy, s.frequency_weighted_iou, s.true_pixels, s.pixels) for s in summaries}) == 1
    assert len({s.mean_iou for s in summaries}) == 3


def test_every_convention_says_what_it_is_in_a_sentence() -> None:
    sentences = {absent.sentence for absent in AbsentClasses}
    assert len(sentences) == len(AbsentClasses)
    assert all(sentence.endswith(".") for sentence in sentences)


def test_a_summary_without_pixels_is_undefined_and_still_json() -> None:
    summary = ConfusionMatrix(2).summary()
    assert math.isnan(summary.mean_iou)
    written = json.loads(json.dumps(summary.to_json(), allow_nan=False))
    assert written["mean_iou"] is None
    assert written["iou"] == [None, None]
    assert written["absent_classes"] == "predicted_count_zero"
    assert ConfusionMatrix(2).summary(AbsentClasses.COUNT_ZERO).mean_iou == 0.0


def _table(prediction: npt.NDArray[np.uint8], label: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    return np.bincount(label.astype(np.int64) * 256 + prediction, minlength=65536).reshape(256, 256)


@given(prediction=_PIXELS, label=_PIXELS)
def test_a_table_of_pairs_counts_like_the_pixels(
    prediction: npt.NDArray[np.uint8], label: npt.NDArray[np.uint8]
) -> None:
    by_pixel, by_table = ConfusionMatrix(4), ConfusionMatrix(4)
    by_pixel.update(prediction, label)
    by_table.add_table(_table(prediction, label))
    assert (by_pixel._counts == by_table._counts).all()


def test_a_table_is_read_by_the_values_that_stand_for_classes() -> None:
    prediction, label = np.array([7, 7, 3, 9, 7], dtype=np.uint8), np.array([7, 3, 3, 3, 255], dtype=np.uint8)
    matrix = ConfusionMatrix(2)
    matrix.add_table(_table(prediction, label), class_ids=[3, 7])
    assert matrix.matrix.tolist() == [[1, 1], [0, 1]]
    assert matrix.total == 4  # the 9 is a miss of class 3; the 255 is void


@pytest.mark.parametrize("class_ids", [[3, 3], [0, 1, 2], [-1, 3]])
def test_values_that_cannot_stand_for_the_classes_are_refused(class_ids: list[int]) -> None:
    with pytest.raises(ValueError, match="values for 2 classes"):
        ConfusionMatrix(2).add_table(np.zeros((256, 256), dtype=np.int64), class_ids=class_ids)


def test_json_holds_no_nan() -> None:
    assert plain(math.nan) is None
    assert plain(0.25) == 0.25
