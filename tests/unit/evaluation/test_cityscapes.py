"""Cityscapes' figures against a second implementation that goes pixel by pixel and instance by instance."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segstudio.core.errors import UserError
from segstudio.evaluation.cityscapes import CityscapesScore
from segstudio.imaging.cityscapes_labels import cityscapes_labels

Image = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.int32]]
_LABELS = {label.id: label for label in cityscapes_labels() if label.id >= 0}
_EVALUATED = [i for i, label in _LABELS.items() if not label.ignore_in_eval]


def _reference(images: list[Image]) -> tuple[dict[str, tuple[float, float]], dict[str, tuple[float, float]]]:
    """(IoU, iIoU) by class and by category (Cordts et al. 2016, section 4.1)."""
    pairs = [
        (int(t), int(p)) for prediction, label, _ in images for t, p in zip(label.flat, prediction.flat, strict=True)
    ]
    judged = [(t, p) for t, p in pairs if t in _EVALUATED]
    classes = {}
    for own in _EVALUATED:
        tp = sum(t == own == p for t, p in judged)
        fn = sum(t == own != p for t, p in judged)
        fp = sum(t != own == p for t, p in judged)
        weighted = _weighted(images, lambda i, own=own: i == own, lambda p, own=own: p == own)
        iiou = _ratio(weighted[0], sum(weighted) + fp) if _LABELS[own].has_instances else math.nan
        classes[_LABELS[own].name] = _ratio(tp, tp + fn + fp), iiou
    categories = {}
    for name in dict.fromkeys(_LABELS[i].category for i in _EVALUATED):
        kin = [i for i in _EVALUATED if _LABELS[i].category == name]
        every = [i for i, label in _LABELS.items() if label.category == name]
        tp = sum(t in kin and p in kin for t, p in judged)
        fn = sum(t in kin and p not in kin for t, p in judged)
        fp = sum(t not in kin and p in kin for t, p in judged)
        near = sum(t not in kin and p in every for t, p in judged)
        weighted = _weighted(images, lambda i, kin=kin: i in kin, lambda p, every=every: p in every)
        iiou = _ratio(weighted[0], sum(weighted) + near) if name in ("human", "vehicle") else math.nan
        categories[name] = _ratio(tp, tp + fn + fp), iiou
    return classes, categories


def _weighted(images: list[Image], own: Any, hit: Any) -> tuple[float, float]:
    found = missed = 0.0
    for prediction, _, instances in images:
        for instance in np.unique(instances):
            if instance > 1000 and own(instance // 1000):
                inside = prediction[instances == instance]
                weight = (_LABELS[instance // 1000].mean_size or 0) / inside.size
                hits = sum(hit(int(p)) for p in inside)
                found += weight * hits
                missed += weight * (inside.size - hits)
    return found, missed


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


@st.composite
def _image(draw: st.DrawFn) -> Image:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pool = draw(st.lists(st.integers(0, 33), min_size=1, max_size=6))
    label = np.kron(rng.choice(pool, (3, 4)), np.ones((2, 2), dtype=np.int64)).astype(np.uint8)
    prediction = np.where(rng.random(label.shape) < 0.6, label, rng.choice([*pool, 29, 0, 24], label.shape))
    number = rng.integers(-1, 3, label.shape)  # -1: a group region, which keeps the plain id
    instances = np.where((label >= 24) & (number >= 0), label.astype(np.int32) * 1000 + number, label)
    return prediction.astype(np.uint8), label, instances.astype(np.int32)


@settings(max_examples=60, deadline=None)
@given(images=st.lists(_image(), min_size=1, max_size=3))
def test_figures_agree_with_a_count_pixel_by_pixel(images: list[Image]) -> None:
    score = CityscapesScore()
    for image in images:
        score.add(*image)
    result = score.result()
    classes, categories = _reference(images)
    for rows, expected in ((result.classes, classes), (result.categories, categories)):
        assert [row.name for row in rows] == list(expected)
        for row in rows:
            assert (row.iou, row.iiou) == pytest.approx(expected[row.name], nan_ok=True)
    known = [iou for iou, _ in classes.values() if not math.isnan(iou)]
    assert result.mean_iou == pytest.approx(sum(known) / len(known) if known else math.nan, nan_ok=True)


def test_pixels_of_ignored_true_labels_cost_nothing() -> None:
    label = np.array([[7, 7, 4, 9]], dtype=np.uint8)  # road, road, static, parking
    score = CityscapesScore()
    score.add(np.array([[7, 9, 7, 7]], dtype=np.uint8), label)
    rows = {row.name: row for row in score.result().classes}
    assert rows["road"].iou == 1 / 2  # the parking predicted on road is a miss
    assert math.isnan(rows["sidewalk"].iou)


def test_small_instances_weigh_as_much_as_large_ones() -> None:
    label = np.full((1, 100), 26, dtype=np.uint8)
    instances = np.full((1, 100), 26_000, dtype=np.int32)
    instances[0, :4] = 26_001
    prediction = label.copy()
    prediction[0, :4] = 7
    score = CityscapesScore()
    score.add(prediction, label, np.where(instances == 26_000, 26_002, instances))
    car = next(row for row in score.result().classes if row.name == "car")
    assert car.iou == 0.96
    assert car.iiou == pytest.approx(0.5)


def test_without_instances_the_iiou_is_undefined() -> None:
    label = np.full((2, 2), 26, dtype=np.uint8)
    score = CityscapesScore()
    score.add(label, label, np.full((2, 2), 26_001))
    assert score.result().mean_iiou == 1.0
    score.add(label, label)
    assert math.isnan(score.result().mean_iiou)
    assert score.result().mean_iou == 1.0


def test_merging_equals_adding() -> None:
    rng = np.random.default_rng(0)
    whole, parts = CityscapesScore(), [CityscapesScore(), CityscapesScore()]
    for index in range(4):
        prediction, label = rng.integers(20, 34, (2, 10, 10), dtype=np.uint8)
        instances = np.where(label >= 24, label.astype(np.int32) * 1000 + 1, label)
        whole.add(prediction, label, instances)
        parts[index % 2].add(prediction, label, instances)
    parts[0].merge(parts[1])
    assert (parts[0].confusion == whole.confusion).all()
    assert parts[0].result().mean_iiou == pytest.approx(whole.result().mean_iiou)
    assert parts[0].result().mean_category_iiou == pytest.approx(whole.result().mean_category_iiou)
    assert parts[0].result().mean_category_iou == whole.result().mean_category_iou


def test_values_that_are_no_labels_are_refused() -> None:
    road = np.full((1, 2), 7, dtype=np.uint8)
    void = np.full((1, 2), 255, dtype=np.uint8)
    with pytest.raises(UserError, match="prediction holds the value 255"):
        CityscapesScore().add(void, road)
    with pytest.raises(UserError, match="label holds the value 255"):
        CityscapesScore().add(road, void)
    with pytest.raises(UserError, match="id 99001"):
        CityscapesScore().add(road, road, np.full((1, 2), 99_001))
    with pytest.raises(UserError, match='no instances of "road"'):
        CityscapesScore().add(road, road, np.full((1, 2), 7_001))
    with pytest.raises(UserError, match=r"1 x 1.*2 x 1"):
        CityscapesScore().add(road, road, np.full((1, 1), 7))


def test_the_result_is_json_without_nan() -> None:
    written = json.loads(json.dumps(CityscapesScore().result().to_json(), allow_nan=False))
    assert written["mean_iou"] is None
    assert len(written["classes"]) == 19
    assert len(written["categories"]) == 7
