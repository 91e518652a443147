"""Panoptic quality against a second implementation that looks at every pair of segments."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segstudio.core.catalog import Catalog, Kind, LabelClass
from segstudio.core.errors import UserError
from segstudio.core.segmentmap import Segment, SegmentMap
from segstudio.evaluation import panoptic
from segstudio.evaluation.panoptic import PanopticMap, PanopticQuality, PanopticSegment

_THINGS = {1: True, 2: True, 7: False}


def _reference(images: list[tuple[PanopticMap, PanopticMap]]) -> dict[int, tuple[float, int, int, int]]:
    """(sum of IoU, TP, FP, FN) by category, one segment pair after the other (Kirillov et al. 2019, section 4)."""
    iou_sum: Counter[int] = Counter()
    tp: Counter[int] = Counter()
    fp: Counter[int] = Counter()
    fn: Counter[int] = Counter()
    for prediction, label in images:
        void = label.ids == 0
        missed = {i for i, s in label.segments.items() if not s.crowd}
        for predicted_id, predicted in prediction.segments.items():
            mask = prediction.ids == predicted_id
            match = None
            for true_id, true in label.segments.items():
                other = label.ids == true_id
                iou = (mask & other).sum() / ((mask & ~void) | other).sum()
                if true.category_id == predicted.category_id and not true.crowd and iou > 0.5:
                    match = true_id, iou
            if match is not None:
                tp[predicted.category_id] += 1
                iou_sum[predicted.category_id] += match[1]
                missed.discard(match[0])
                continue
            crowd = [i for i, s in label.segments.items() if s.crowd and s.category_id == predicted.category_id]
            excused = void | np.isin(label.ids, crowd[-1:])
            fp[predicted.category_id] += (mask & excused).sum() / mask.sum() <= 0.5
        fn.update(label.segments[i].category_id for i in missed)
    return {c: (iou_sum[c], tp[c], fp[c], fn[c]) for c in _THINGS}


@st.composite
def _maps(draw: st.DrawFn, *, crowds: bool) -> PanopticMap:
    pool = [0, 1, 2, 3, 70_000, 2_000_000]
    blocks = draw(st.lists(st.sampled_from(pool), min_size=30, max_size=30))
    ids = np.kron(np.array(blocks).reshape(5, 6), np.ones((2, 2), dtype=np.int64))
    noise = draw(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 11), st.sampled_from(pool)), max_size=20))
    for row, column, value in noise:
        ids[row, column] = value
    segments = {
        int(i): PanopticSegment(
            category_id=draw(st.sampled_from(sorted(_THINGS))), crowd=crowds and draw(st.booleans()) and i > 2
        )
        for i in np.unique(ids)
        if i
    }
    return PanopticMap(ids, segments)


@st.composite
def _images(draw: st.DrawFn) -> list[tuple[PanopticMap, PanopticMap]]:
    images = []
    for _ in range(draw(st.integers(1, 3))):
        label = draw(_maps(crowds=True))
        if draw(st.booleans()):
            prediction = draw(_maps(crowds=False))
        else:  # near the label, so that segments match
            ids = label.ids.copy()
            ids[0, :3] = draw(st.sampled_from([0, 1, 2]))
            categories = {
                int(i): label.segments[int(i)].category_id for i in np.unique(ids) if int(i) in label.segments
            }
            segments = {int(i): PanopticSegment(category_id=categories.get(int(i), 1)) for i in np.unique(ids) if i}
            prediction = PanopticMap(ids, segments)
        images.append((prediction, label))
    return images


@settings(max_examples=150, deadline=None)
@given(images=_images())
def test_counts_agree_with_a_look_at_every_pair(images: list[tuple[PanopticMap, PanopticMap]]) -> None:
    quality = PanopticQuality(_THINGS)
    for prediction, label in images:
        quality.add(prediction, label)
    found = {row.category_id: (row.iou_sum, row.tp, row.fp, row.fn) for row in quality.result().classes}
    assert found == {c: pytest.approx(row) for c, row in _reference(images).items()}


def _map(rows: list[list[int]], segments: Mapping[int, int | PanopticSegment]) -> PanopticMap:
    known = {i: s if isinstance(s, PanopticSegment) else PanopticSegment(category_id=s) for i, s in segments.items()}
    return PanopticMap(np.array(rows), known)


def test_figures_are_those_counted_by_hand() -> None:
    label = _map([[1, 1, 1, 1, 2, 2], [7, 7, 7, 7, 7, 7]], {1: 1, 2: 1, 7: 7})
    prediction = _map([[5, 5, 5, 6, 6, 6], [9, 9, 9, 9, 9, 9]], {5: 1, 6: 1, 9: 7})
    quality = PanopticQuality(_THINGS)
    quality.add(prediction, label)
    result = quality.result()
    # segment 5 meets 1 with 3/4, 6 meets 2 with 2/3, the stuff meets with 1; class 2 is nowhere and left out
    assert result.classes[0].pq == pytest.approx((3 / 4 + 2 / 3) / 2)
    assert (result.things.pq, result.things.classes) == (pytest.approx((3 / 4 + 2 / 3) / 2), 1)
    assert (result.stuff.pq, result.stuff.sq, result.stuff.rq, result.stuff.classes) == (1.0, 1.0, 1.0, 1)
    assert result.all.pq == pytest.approx((1 + (3 / 4 + 2 / 3) / 2) / 2)
    assert math.isnan(result.classes[1].pq)


def test_an_iou_of_one_half_is_no_match() -> None:
    quality = PanopticQuality(_THINGS)
    quality.add(_map([[1, 1, 0, 0]], {1: 1}), _map([[1, 1, 1, 1]], {1: 1}))
    row = quality.result().classes[0]
    assert (row.tp, row.fp, row.fn) == (0, 1, 1)
    assert (row.pq, row.sq, row.rq) == (0.0, 0.0, 0.0)


def test_a_prediction_mostly_on_void_or_a_crowd_of_its_class_costs_nothing() -> None:
    label = _map([[0, 0, 4, 4, 4, 1]], {4: PanopticSegment(category_id=2, crowd=True), 1: 1})
    quality = PanopticQuality(_THINGS)
    quality.add(_map([[8, 8, 8, 8, 8, 1]], {8: 2, 1: 1}), label)
    quality.add(_map([[8, 8, 8, 8, 8, 1]], {8: 7, 1: 1}), label)  # of another class: 2 of 5 on void, so it costs
    rows = {row.category_id: row for row in quality.result().classes}
    assert (rows[2].tp, rows[2].fp, rows[2].fn) == (0, 0, 0)
    assert rows[7].fp == 1
    assert rows[1].tp == 2


def test_merging_equals_adding() -> None:
    rng = np.random.default_rng(0)
    whole, parts = PanopticQuality(_THINGS), [PanopticQuality(_THINGS), PanopticQuality(_THINGS)]
    for index in range(6):
        ids = rng.integers(1, 4, (2, 8, 8))
        label, prediction = (PanopticMap(i, {1: _s(1), 2: _s(2), 3: _s(7)}) for i in ids)
        whole.add(prediction, label)
        parts[index % 2].add(prediction, label)
    parts[0].merge(parts[1])
    assert parts[0].result() == whole.result()
    with pytest.raises(ValueError, match="cannot be added"):
        whole.merge(PanopticQuality({1: True}))


def _s(category_id: int) -> PanopticSegment:
    return PanopticSegment(category_id=category_id)


@pytest.mark.parametrize(
    ("prediction", "message"),
    [
        (_map([[1, 3]], {1: 1}), "Segment 3 of a prediction is drawn but not listed"),
        (_map([[1, 1]], {1: 1, 2: 1}), "Segment 2 of a prediction is listed but not drawn"),
        (_map([[1, 1]], {1: 5}), "category 5"),
        (_map([[1, 1, 1]], {1: 1}), "3 x 1"),
    ],
)
def test_predictions_that_do_not_hang_together_are_refused(prediction: PanopticMap, message: str) -> None:
    with pytest.raises(UserError, match=message):
        PanopticQuality(_THINGS).add(prediction, _map([[1, 1]], {1: 1}))


def test_a_segment_map_becomes_instances_and_one_segment_per_plain_class() -> None:
    catalog = Catalog(
        [
            LabelClass(id=0, name="road", color=(1, 1, 1), kind=Kind.STUFF),
            LabelClass(id=3, name="car", color=(2, 2, 2), kind=Kind.THING),
        ]
    )
    ids = np.array([[0, 0, 3, 300, 300], [255, 9, 301, 302, 0]], dtype=np.uint16)
    segments = {300: Segment(300, 3), 301: Segment(301, 3, crowd=True), 302: Segment(302, 9), 303: Segment(303, 3)}
    found = PanopticMap.of(SegmentMap(ids, np.ones(ids.shape, dtype=np.bool_), segments), catalog)
    assert found.ids.tolist() == [[1, 1, 4, 300, 300], [0, 0, 301, 0, 1]]
    assert found.segments == {
        1: PanopticSegment(category_id=0),
        4: PanopticSegment(category_id=3),
        300: PanopticSegment(category_id=3),
        301: PanopticSegment(category_id=3, crowd=True),
    }
    quality = PanopticQuality.for_catalog(catalog)
    quality.add(found, found)
    assert quality.result().all.pq == 1.0
    assert [row.thing for row in quality.result().classes] == [False, True]


def test_thousands_of_segments_are_counted_without_a_table_of_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panoptic, "_TABLE_IDS", 50)
    ids: npt.NDArray[np.int64] = np.arange(1, 101).reshape(10, 10)
    whole = PanopticMap(ids, {int(i): _s(1) for i in ids.ravel()})
    quality = PanopticQuality(_THINGS)
    quality.add(whole, whole)
    assert quality.result().classes[0].tp == 100


def test_the_result_is_json_without_nan() -> None:
    written = json.loads(json.dumps(PanopticQuality(_THINGS).result().to_json(), allow_nan=False))
    assert written["all"] == {"pq": None, "sq": None, "rq": None, "classes": 0}
    assert len(written["classes"]) == 3
