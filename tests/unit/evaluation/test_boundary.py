"""Boundary F score and trimap against distances measured pair by pair."""

from __future__ import annotations

import json
import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segstudio.core.errors import UserError
from segstudio.core.metrics import AbsentClasses, ConfusionMatrix
from segstudio.evaluation.boundary import BoundaryScore, TrimapIou, border_distance
from segstudio.imaging.contours import outline

Labels = npt.NDArray[np.uint8]
_IMAGE = hnp.arrays(
    np.uint8,
    st.shared(hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), key="shape"),
    elements=st.sampled_from([0, 0, 0, 1, 1, 2, 255]),
)
_CLASSES = (0, 1, 2)


def _slow_border(labels: Labels, class_id: int) -> list[tuple[int, int]]:
    height, width = labels.shape
    return [
        (r, c)
        for r in range(height)
        for c in range(width)
        if labels[r, c] == class_id
        and any(
            0 <= r + dr < height and 0 <= c + dc < width and labels[r + dr, c + dc] != class_id
            for dr, dc in ((0, 1), (1, 0), (0, -1), (-1, 0))
        )
    ]


def _slow_score(prediction: Labels, label: Labels, class_id: int, allowed: float) -> tuple[float, float, float] | None:
    predicted, true = _slow_border(prediction, class_id), _slow_border(label, class_id)
    right = [p for p in predicted if any(math.dist(p, t) <= allowed for t in true)]
    judged = [p for p in predicted if p in right or label[p] != 255]
    found = [t for t in true if any(math.dist(p, t) <= allowed for p in predicted)]
    if not judged and not true:
        return None
    precision = len(right) / len(judged) if judged else 0.0
    recall = len(found) / len(true) if true else 0.0
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0, precision, recall


@settings(max_examples=60, deadline=None)
@given(prediction=_IMAGE, label=_IMAGE, allowed=st.sampled_from([0, 1, 1.5, 2, 3]))
def test_border_scores_agree_with_distances_measured_one_by_one(
    prediction: Labels, label: Labels, allowed: float
) -> None:
    score = BoundaryScore(_CLASSES, tolerance_px=allowed)
    score.add(prediction, label)
    result = score.result()
    for index, class_id in enumerate(_CLASSES):
        expected = _slow_score(prediction, label, class_id, allowed)
        assert result.images[index] == (expected is not None)
        if expected is not None:
            found = (result.f_score[index], result.precision[index], result.recall[index])
            assert found == pytest.approx(expected)
        else:
            assert math.isnan(result.f_score[index])


def test_a_perfect_prediction_scores_one_and_the_image_edge_is_no_border() -> None:
    label = np.zeros((20, 30), dtype=np.uint8)
    label[:, 15:] = 1
    score = BoundaryScore((0, 1, 2))
    score.add(label, label)
    assert score.result().f_score[:2] == (1.0, 1.0)
    assert score.result().mean_f_score == 1.0
    assert outline(label).sum() == 2 * 20


def test_the_default_tolerance_is_three_quarters_of_a_percent_of_the_diagonal() -> None:
    label = np.zeros((300, 400), dtype=np.uint8)  # diagonal 500, so 3.75 pixels
    label[:, 200:] = 1
    for shift, f_score in ((3, 1.0), (4, 0.0)):
        prediction = np.roll(label, shift, axis=1)
        prediction[:, :shift] = 0
        score = BoundaryScore((0, 1))
        score.add(prediction, label)
        assert score.result().f_score == (f_score, f_score)


def test_a_border_in_the_void_band_of_a_voc_label_is_right() -> None:
    label = np.zeros((40, 40), dtype=np.uint8)
    label[10:30, 10:30] = 1
    label[outline(label)] = 255
    prediction = np.zeros((40, 40), dtype=np.uint8)
    prediction[10:30, 10:30] = 1
    score = BoundaryScore((0, 1), tolerance_px=2)
    score.add(prediction, label)
    assert score.result().f_score == (1.0, 1.0)


def test_a_class_drawn_where_it_is_not_scores_zero() -> None:
    label, prediction = np.zeros((9, 9), dtype=np.uint8), np.zeros((9, 9), dtype=np.uint8)
    prediction[3:6, 3:6] = 1
    score = BoundaryScore((0, 1, 2))
    score.add(prediction, label)
    assert score.result().images == (1, 1, 0)
    assert score.result().f_score[1] == 0.0
    assert score.result().mean_f_score == 0.0


def test_scores_of_images_are_averaged_and_merging_equals_adding() -> None:
    pairs = np.random.default_rng(0).integers(0, 3, (6, 2, 12, 12), dtype=np.uint8)
    whole, parts = BoundaryScore(_CLASSES), [BoundaryScore(_CLASSES), BoundaryScore(_CLASSES)]
    singles = []
    for index, (prediction, label) in enumerate(pairs):
        whole.add(prediction, label)
        parts[index % 2].add(prediction, label)
        single = BoundaryScore(_CLASSES)
        single.add(prediction, label)
        singles.append(single.result().f_score)
    parts[0].merge(parts[1])
    assert parts[0].result().f_score == pytest.approx(whole.result().f_score)
    assert whole.result().f_score == pytest.approx(np.mean(singles, axis=0))
    with pytest.raises(ValueError, match="cannot be added"):
        whole.merge(BoundaryScore(_CLASSES, tolerance_px=2))


def _slow_distance(labels: Labels) -> npt.NDArray[np.float64]:
    distance = np.full(labels.shape, np.inf)
    for place in np.ndindex(labels.shape):
        others = np.argwhere(labels != labels[place])
        if len(others):
            distance[place] = np.sqrt(((others - place) ** 2).sum(axis=1)).min()
    return distance


@settings(max_examples=60, deadline=None)
@given(labels=_IMAGE)
def test_distances_to_other_labels_agree_with_a_search_of_all_pixels(labels: Labels) -> None:
    np.testing.assert_allclose(border_distance(labels), _slow_distance(labels), rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(prediction=_IMAGE, label=_IMAGE)
def test_each_trimap_counts_the_pixels_within_its_radius(prediction: Labels, label: Labels) -> None:
    radii = (1, 2, 4)
    trimap = TrimapIou(_CLASSES, radii)
    trimap.add(prediction, label)
    distance = _slow_distance(label)
    for radius, band in zip(radii, trimap.result().bands, strict=True):
        expected = ConfusionMatrix(3)
        expected.update(prediction, np.where(distance <= radius + 1e-9, label, 255))
        assert json.dumps(band.to_json()) == json.dumps(expected.summary().to_json())


def test_a_wide_trimap_is_the_whole_image() -> None:
    prediction, label = np.random.default_rng(0).integers(0, 3, (2, 30, 30), dtype=np.uint8)
    trimap, whole = TrimapIou(_CLASSES), ConfusionMatrix(3)
    trimap.add(prediction, label)
    whole.update(prediction, label)
    result = trimap.result(AbsentClasses.LEFT_OUT)
    assert result.radii == tuple(range(1, 41))
    assert result.bands[-1] == whole.summary(AbsentClasses.LEFT_OUT)


def test_merged_trimaps_equal_one() -> None:
    pairs = np.random.default_rng(0).integers(0, 2, (4, 2, 12, 12), dtype=np.uint8)
    whole, parts = TrimapIou((0, 1), (1, 3)), [TrimapIou((0, 1), (1, 3)), TrimapIou((0, 1), (1, 3))]
    for index, (prediction, label) in enumerate(pairs):
        whole.add(prediction, label)
        parts[index % 2].add(prediction, label)
    parts[0].merge(parts[1])
    assert parts[0].result() == whole.result()
    with pytest.raises(ValueError, match="cannot be added"):
        whole.merge(TrimapIou((0, 1), (1, 2)))


@pytest.mark.parametrize("radii", [(), (0, 1), (3, 2), (2, 2)])
def test_radii_that_are_no_bands_are_refused(radii: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="ascending"):
        TrimapIou((0, 1), radii)


@pytest.mark.parametrize("score", [BoundaryScore((0, 1)), TrimapIou((0, 1))])
def test_sizes_that_differ_are_refused(score: BoundaryScore | TrimapIou) -> None:
    with pytest.raises(UserError, match=r"2 x 2.*3 x 2"):
        score.add(np.zeros((2, 2), dtype=np.uint8), np.zeros((2, 3), dtype=np.uint8))


def test_results_are_json_without_nan() -> None:
    assert json.loads(json.dumps(BoundaryScore((0,)).result().to_json(), allow_nan=False))["f_score"] == [None]
    assert json.loads(json.dumps(TrimapIou((0,), (1,)).result().to_json(), allow_nan=False))["radii"] == [1]
