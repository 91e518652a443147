"""Evaluations: every figure as its own score would count it image by image, and the way back to the mistakes."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from segstudio.core.catalog import Catalog, Kind, LabelClass
from segstudio.core.errors import Cancelled, UserError
from segstudio.core.jobs import Progress
from segstudio.core.metrics import AbsentClasses, ConfusionMatrix
from segstudio.core.segmentmap import Segment, SegmentMap
from segstudio.evaluation.boundary import BoundaryScore, TrimapIou
from segstudio.evaluation.cityscapes import CityscapesScore
from segstudio.evaluation.coco import CocoScore, instances_of
from segstudio.evaluation.em import EmScore
from segstudio.evaluation.evaluate import Comparison, Evaluation, Metric, Sample, confused_pixels, evaluate
from segstudio.evaluation.panoptic import PanopticMap, PanopticQuality
from segstudio.evaluation.regions import with_regions

Labels = npt.NDArray[np.uint8]
CATALOG = Catalog.from_names(["background", "cell", "wall"])
OBJECTS = Catalog(
    [
        LabelClass(id=0, name="background", color=(96, 96, 96), kind=Kind.STUFF),
        LabelClass(id=4, name="car", color=(1, 2, 3)),
        LabelClass(id=9, name="person", color=(4, 5, 6)),
    ]
)


def _labels(rows: list[list[int]]) -> Labels:
    return np.array(rows, dtype=np.uint8)


def _sample(name: str, prediction: Labels, label: Labels) -> Sample:
    return Sample.of_labels(name, None, lambda: (prediction, label))


def _random_pair(seed: int, ids: tuple[int, ...], shape: tuple[int, int] = (37, 53)) -> tuple[Labels, Labels]:
    rng = np.random.default_rng(seed)
    blocks = rng.choice(np.array([*ids, 255], dtype=np.uint8), (6, 6))
    label = np.kron(blocks, np.ones((9, 9), np.uint8))[: shape[0], : shape[1]].copy()
    prediction = np.roll(label, rng.integers(0, 4, 2), axis=(0, 1))
    noise = rng.random(shape) < 0.05
    prediction[noise] = rng.choice(np.array([*ids, 200], dtype=np.uint8), noise.sum())
    return prediction, label


def _random_maps(seed: int) -> tuple[SegmentMap, SegmentMap]:
    """A prediction and a label with a few overlapping objects of classes 4 and 9 on background."""
    rng = np.random.default_rng(seed)
    label = SegmentMap.from_semantic(np.zeros((60, 80), dtype=np.uint8))
    prediction = label.copy()
    for number in range(256, 262):
        top, left = rng.integers(0, 40), rng.integers(0, 60)
        class_id = int(rng.choice([4, 9]))
        for segment_map, shift in ((label, 0), (prediction, int(rng.integers(0, 4)))):
            segment_map.ids[top : top + 15, left + shift : left + 15 + shift] = number
            segment_map.segments[number] = Segment(number, class_id, crowd=segment_map is label and number == 261)
    return prediction, label


# ------------------------------------------------------------------------------------------- the confusion matrix


def test_two_images_give_the_figures_counted_by_hand() -> None:
    first = _sample("a", _labels([[0, 1], [1, 1]]), _labels([[0, 0], [1, 255]]))
    second = _sample("b", _labels([[1, 1], [0, 0]]), _labels([[1, 1], [1, 0]]))
    result = evaluate([first, second], CATALOG, title="by hand")
    # Class 0: 2 found, 1 missed, 1 too many. Class 1: 3 found, 1 missed, 1 too many. Class 2: nowhere.
    assert (result.images, result.pixels, result.title) == (2, 7, "by hand")
    assert result.matrix.matrix.tolist() == [[2, 1, 0], [1, 3, 0], [0, 0, 0]]
    assert result.summary.mean_iou == pytest.approx((2 / 4 + 3 / 5) / 2)
    assert [image.pixels for image in result.per_image] == [3, 4]
    assert [image.pixel_accuracy for image in result.per_image] == [pytest.approx(2 / 3), pytest.approx(3 / 4)]
    assert [image.mean_iou for image in result.per_image] == [pytest.approx((1 / 2 + 1 / 2) / 2), pytest.approx(7 / 12)]


def test_class_ids_with_gaps_are_scored_under_their_own_names_and_strangers_are_misses() -> None:
    catalog = Catalog.from_json([{"id": 9, "name": "wall"}, {"id": 4, "name": "cell"}])
    result = evaluate([_sample("a", _labels([[4, 9, 9, 0, 4]]), _labels([[4, 4, 9, 9, 7]]))], catalog, title="gaps")
    assert (result.class_ids, result.class_names) == ((4, 9), ("cell", "wall"))
    assert result.matrix.iou.tolist() == [pytest.approx(1 / 2), pytest.approx(1 / 3)]
    # The label 7 is no class: nothing predicted there counts.
    assert result.pixels == 4
    assert result.per_image[0].pixels == 4


def test_the_matrix_is_the_one_fcns_score_counts_and_the_sum_of_its_images() -> None:
    pairs = [_random_pair(seed, (0, 1, 2)) for seed in range(9)]
    expected = ConfusionMatrix(3)
    for prediction, label in pairs:
        expected.update(prediction, label)
    result = evaluate([_sample(str(i), *pair) for i, pair in enumerate(pairs)], CATALOG, title="x")
    assert result.matrix.matrix.tolist() == expected.matrix.tolist()
    assert result.summary == expected.summary()
    for true in range(3):
        for predicted in range(3):
            cells = [image.pixels_of(true, predicted) for image in result.per_image]
            assert sum(cells) == expected.matrix[true, predicted]
            assert cells == [int(((la == true) & (p == predicted)).sum()) for p, la in pairs]


def test_another_convention_needs_no_other_run() -> None:
    pair = (_labels([[0, 2], [1, 0]]), _labels([[0, 1], [1, 0]]))
    result = evaluate([_sample("a", *pair)], CATALOG, title="x", metrics={Metric.TRIMAP})
    assert result.summary.absent is AbsentClasses.PREDICTED_COUNT_ZERO
    for absent in AbsentClasses:
        again = evaluate([_sample("a", *pair)], CATALOG, title="x", metrics={Metric.TRIMAP}, absent=absent)
        assert repr(result.summary_for(absent)) == repr(again.summary)  # as NaN is no NaN's equal
        assert repr(result.with_absent(absent).trimap) == repr(again.trimap)
        assert result.with_absent(absent).summary.absent is absent
    assert result.summary_for(AbsentClasses.LEFT_OUT).mean_iou > result.summary.mean_iou


# ------------------------------------------------------------------------------------------------ the other figures


def test_boundary_and_trimap_are_those_of_the_images_added_one_after_the_other() -> None:
    pairs = [_random_pair(seed, (0, 1, 2)) for seed in range(11)]
    boundary, trimap = BoundaryScore((0, 1, 2), tolerance_px=2.0), TrimapIou((0, 1, 2))
    for pair in pairs:
        boundary.add(*pair)
        trimap.add(*pair)
    samples = [_sample(str(i), *pair) for i, pair in enumerate(pairs)]
    result = evaluate(samples, CATALOG, title="x", metrics={Metric.BOUNDARY, Metric.TRIMAP}, tolerance_px=2.0)
    # Equal to the last bit: what the threads do first must not matter.
    assert result.boundary == boundary.result()
    assert repr(result.trimap) == repr(trimap.result())
    assert (result.panoptic, result.coco, result.em, result.notes) == (None, None, None, {})


def test_panoptic_and_coco_are_those_of_the_images_added_one_after_the_other() -> None:
    maps = [_random_maps(seed) for seed in range(7)]
    panoptic, coco = PanopticQuality.for_catalog(OBJECTS), CocoScore(OBJECTS.sorted_ids)
    for prediction, label in maps:
        panoptic.add(PanopticMap.of(prediction, OBJECTS), PanopticMap.of(label, OBJECTS))
        coco.add(instances_of(prediction), instances_of(label))
    samples = [Sample(name=str(i), image=None, load=lambda pair=pair: pair) for i, pair in enumerate(maps)]  # type: ignore[misc]
    result = evaluate(samples, OBJECTS, title="x", metrics={Metric.PANOPTIC, Metric.COCO})
    assert repr(result.panoptic) == repr(panoptic.result())
    assert result.coco is not None
    assert repr(result.coco) == repr(coco.result())
    assert 0 < result.coco.ap < 1
    assert "no scores" in result.notes[Metric.COCO]


def test_cityscapes_figures_are_found_by_the_names_of_classes() -> None:
    catalog = Catalog.from_palette("cityscapes")
    car, road = catalog.by_name("car"), catalog.by_name("road")
    assert car is not None
    assert road is not None
    label = SegmentMap.from_semantic(np.full((20, 30), road.id, dtype=np.uint8))
    label.ids[2:10, 2:12] = 256
    label.ids[2:10, 16:20] = 257
    label.ids[12:14, 2:12] = 258
    label.segments = {256: Segment(256, car.id), 257: Segment(257, car.id), 258: Segment(258, car.id, crowd=True)}
    label.ids[18:] = 255
    prediction = SegmentMap.from_semantic(np.roll(label.semantic(), 1, axis=1))
    sample = Sample(name="a", image=None, load=lambda: (prediction, label))
    result = evaluate([sample], catalog, title="x", metrics={Metric.CITYSCAPES})

    score = CityscapesScore()
    instances = np.full((20, 30), 7)
    instances[2:10, 2:12], instances[2:10, 16:20], instances[12:14, 2:12], instances[18:] = 26001, 26002, 26, 0
    ids = np.where(instances > 1000, instances // 1000, instances).astype(np.uint8)
    score.add(np.roll(ids, 1, axis=1), ids, instances)
    assert repr(result.cityscapes) == repr(score.result())
    assert result.cityscapes is not None
    assert not math.isnan(result.cityscapes.mean_iiou)


def test_without_instances_cityscapes_has_no_weighted_figures_and_says_so() -> None:
    catalog = Catalog.from_palette("cityscapes")
    result = evaluate([_sample("a", *_random_pair(0, (0, 13)))], catalog, title="x", metrics={Metric.CITYSCAPES})
    assert result.cityscapes is not None
    assert not math.isnan(result.cityscapes.mean_iou)
    assert math.isnan(result.cityscapes.mean_iiou)
    assert "no instances" in result.notes[Metric.CITYSCAPES]


@pytest.mark.parametrize(("names", "membrane"), [(["cell", "membrane"], 1), (["background", "cell"], 0)])
def test_em_figures_take_the_class_that_parts_cells(names: list[str], membrane: int) -> None:
    prediction, label = _random_pair(3, (0, 1))
    prediction[prediction > 1] = 0
    score = EmScore()
    score.add(prediction != membrane, np.where(label == 255, prediction, label) != membrane)
    result = evaluate([_sample("a", prediction, label)], Catalog.from_names(names), title="x", metrics={Metric.EM})
    assert result.em == score.result()


@pytest.mark.parametrize(
    ("metric", "sentence"),
    [
        (Metric.EM, "Needs a class that parts cells"),
        (Metric.CITYSCAPES, 'these are none: "background", "cell"'),
        (Metric.COCO, "the labels hold none"),
    ],
)
def test_a_figure_that_does_not_apply_is_left_out_with_its_reason(metric: Metric, sentence: str) -> None:
    result = evaluate([_sample("a", *_random_pair(0, (0, 1, 2)))], CATALOG, title="x", metrics={metric})
    assert getattr(result, metric.value) is None
    assert sentence in result.notes[metric]
    assert not math.isnan(result.summary.mean_iou)


def test_predictions_without_instances_are_said_to_be_so() -> None:
    _, label = _random_maps(0)
    plain = SegmentMap.from_semantic(label.semantic())
    sample = Sample(name="a", image=None, load=lambda: (plain, label))
    result = evaluate([sample], OBJECTS, title="x", metrics={Metric.COCO})
    assert result.coco is not None
    assert result.coco.ap == 0
    assert result.notes[Metric.COCO] == "The predictions hold no instances."


def test_more_instances_than_coco_looks_at_are_mentioned() -> None:
    ids = np.repeat(np.arange(256, 256 + 120, dtype=np.uint16), 4).reshape(20, 24)
    crowded = SegmentMap(ids, np.ones(ids.shape, dtype=np.bool_), {i: Segment(i, 4) for i in range(256, 376)})
    sample = Sample(name="a", image=None, load=lambda: (crowded, crowded))
    result = evaluate([sample], OBJECTS, title="x", metrics={Metric.COCO})
    assert "In 1 image more than 100 instances" in result.notes[Metric.COCO]


def test_connected_regions_of_things_become_objects_and_stuff_stays() -> None:
    labels = _labels([[4, 4, 0, 4], [0, 0, 0, 4], [9, 0, 9, 0], [0, 9, 0, 255]])
    found = with_regions(SegmentMap.from_semantic(labels), OBJECTS)
    assert found.semantic().tolist() == labels.tolist()
    assert sorted(s.class_id for s in found.used_segments().values()) == [4, 4, 9]
    assert len({found.ids[2, 0], found.ids[3, 1], found.ids[2, 2]}) == 1, "corners touch"
    assert found.ids[0, 2] == 0
    assert found.ids[3, 3] == 255


def test_more_regions_than_a_map_can_hold_keep_their_class() -> None:
    labels = np.zeros((520, 520), dtype=np.uint8)
    labels[::2, ::2] = 4
    found = with_regions(SegmentMap.from_semantic(labels), OBJECTS)
    assert len(found.segments) == 65_280
    assert np.array_equal(found.semantic(), labels)


# --------------------------------------------------------------------------------------------- finding the mistakes


def test_the_pixels_of_a_cell_are_found_again() -> None:
    pairs = [_random_pair(seed, (0, 1, 2)) for seed in range(6)]
    samples = [_sample(str(i), *pair) for i, pair in enumerate(pairs)]
    result = evaluate(samples, CATALOG, title="x")
    true_id, predicted_id, pixels = result.confusions()[0]
    assert true_id != predicted_id
    found = result.images_with(true_id, predicted_id)
    assert [n for _, n in found] == sorted((n for _, n in found), reverse=True)
    masks = [confused_pixels(samples[index], true_id, predicted_id) for index, _ in found]
    assert [int(mask.sum()) for mask in masks] == [n for _, n in found]
    assert sum(n for _, n in found) == pixels
    assert result.images_with(true_id, predicted_id, most=2) == found[:2]


def test_a_noisy_image_keeps_its_largest_cells_only_and_its_figures_whole() -> None:
    rng = np.random.default_rng(0)
    catalog = Catalog.from_names([f"class {i}" for i in range(255)])
    prediction, label = (rng.integers(0, 255, (300, 300)).astype(np.uint8) for _ in range(2))
    prediction[:50] = label[:50] = 7
    result = evaluate([_sample("a", prediction, label)], catalog, title="x")
    image = result.per_image[0]
    assert image.cells.size == 1024
    assert image.pixels_of(7, 7) == int(((label == 7) & (prediction == 7)).sum())
    assert image.pixels == 90_000
    assert image.pixel_accuracy == result.summary.pixel_accuracy


# -------------------------------------------------------------------------------------------------- how it is done


def test_class_ids_alone_are_asked_for_where_instances_do_not_matter() -> None:
    def load() -> tuple[SegmentMap, SegmentMap]:
        raise AssertionError("no segment map is needed")

    pair = _random_pair(0, (0, 1, 2))
    sample = Sample(name="a", image=None, load=load, load_semantic=lambda: pair)
    evaluate([sample], CATALOG, title="x", metrics={Metric.BOUNDARY, Metric.TRIMAP})
    assert confused_pixels(sample, 0, 1).shape == pair[0].shape
    with pytest.raises(AssertionError, match="no segment map"):
        evaluate([sample], CATALOG, title="x", metrics={Metric.PANOPTIC})


def test_two_threads_work_and_few_images_are_loaded_ahead() -> None:
    threads: set[str] = set()
    both = threading.Barrier(2, timeout=20)
    loaded, seen = 0, [0]

    def load(index: int) -> Callable[[], tuple[Labels, Labels]]:
        def pair() -> tuple[Labels, Labels]:
            nonlocal loaded
            if index < 2:
                both.wait()
            threads.add(threading.current_thread().name)
            loaded += 1
            seen[0] = max(seen[0], loaded - len(told))
            return _random_pair(index, (0, 1, 2))

        return pair

    told: list[Progress] = []
    samples = [Sample.of_labels(str(i), None, load(i)) for i in range(40)]
    evaluate(samples, CATALOG, title="x", progress=told.append)
    assert len(threads) == 2
    assert seen[0] <= 6
    assert [p.text for p in told] == [str(i) for i in range(40)]
    assert told[-1].fraction == 1.0


def test_cancelling_stops_between_images() -> None:
    told: list[Progress] = []
    samples = [_sample(str(i), *_random_pair(i, (0, 1))) for i in range(30)]
    with pytest.raises(Cancelled):
        evaluate(samples, CATALOG, title="x", progress=told.append, cancelled=lambda: len(told) >= 3)
    assert len(told) == 3


def test_nothing_to_evaluate_and_sizes_that_differ_are_sentences() -> None:
    with pytest.raises(UserError, match="nothing to evaluate"):
        evaluate([], CATALOG, title="x")
    with pytest.raises(UserError, match="3 x 1 cannot be compared with a label of 2 x 1"):
        evaluate([_sample("a", _labels([[0, 0, 0]]), _labels([[0, 0]]))], CATALOG, title="x")


def test_an_image_without_labelled_pixels_has_no_figures_of_its_own() -> None:
    result = evaluate([_sample("a", _labels([[0, 1]]), _labels([[255, 255]]))], CATALOG, title="x")
    assert math.isnan(result.per_image[0].mean_iou)
    assert result.to_json()["per_image"] == [{"name": "a", "pixels": 0, "pixel_accuracy": None, "mean_iou": None}]


def test_the_figures_are_plain_json_with_every_metric_asked_for() -> None:
    maps = [_random_maps(seed) for seed in range(3)]
    samples = [Sample(name=str(i), image=Path("x.png"), load=lambda pair=pair: pair) for i, pair in enumerate(maps)]  # type: ignore[misc]
    result = evaluate(samples, OBJECTS, title="x", metrics=frozenset(Metric), warnings=["careful"], tolerance_px=3.0)
    figures = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert {"boundary", "trimap", "panoptic", "coco"} <= set(figures)
    assert set(figures["notes"]) == {"coco", "cityscapes", "em"}
    assert figures["absent_classes"] == AbsentClasses.PREDICTED_COUNT_ZERO.sentence
    assert [c["name"] for c in figures["classes"]] == ["background", "car", "person"]
    assert figures["boundary"]["tolerance_px"] == 3.0
    assert figures["warnings"] == ["careful"]
    assert figures["confusion"] == result.matrix.matrix.tolist()


# --------------------------------------------------------------------------------------------------- side by side


def _two() -> tuple[Evaluation, Evaluation]:
    pairs = [_random_pair(seed, (0, 1, 2)) for seed in range(5)]
    better = [
        (np.where(la == 255, 0, la).astype(np.uint8), la) if i < 3 else (p, la) for i, (p, la) in enumerate(pairs)
    ]
    better[4] = (np.full_like(pairs[4][0], 200), pairs[4][1])
    first, second = (
        evaluate([_sample(f"i{n}", *pair) for n, pair in enumerate(run)], CATALOG, title=title)
        for title, run in (("old", pairs), ("new", better))
    )
    return first, second


def test_a_comparison_gives_differences_by_figure_and_class() -> None:
    old, new = _two()
    comparison = Comparison((old, new))
    rows = {row.key: row for row in comparison.headline}
    assert rows["mean_iou"].values == (old.summary.mean_iou, new.summary.mean_iou)
    assert rows["mean_iou"].differences == (0.0, new.summary.mean_iou - old.summary.mean_iou)
    classes = comparison.classes("dice")
    assert [row.title for row in classes] == ["background", "cell", "wall"]
    assert [row.values[1] for row in classes] == list(new.summary.dice)
    json.dumps(comparison.to_json(), allow_nan=False)


def test_images_that_moved_are_listed_by_how_far() -> None:
    better, worse = Comparison(_two()).moved()
    assert {m.name for m in better} == {"i0", "i1", "i2"}
    assert all(m.after == 1.0 and m.difference == 1.0 - m.before for m in better)
    assert [m.difference for m in better] == sorted((m.difference for m in better), reverse=True)
    assert [(m.name, m.index, m.after) for m in worse] == [("i4", 4, 0.0)]
    assert len(Comparison(_two()).moved(most=1)[0]) == 1


def test_metrics_are_compared_where_all_evaluations_have_them() -> None:
    pair = _random_pair(0, (0, 1, 2))
    plain = evaluate([_sample("a", *pair)], CATALOG, title="plain")
    more = evaluate([_sample("a", *pair)], CATALOG, title="more", metrics={Metric.BOUNDARY})
    assert "boundary_f" not in {row.key for row in Comparison((plain, more)).headline}
    assert "boundary_f" in {row.key for row in Comparison((more, more)).headline}


def test_different_images_or_classes_are_not_compared() -> None:
    pair = _random_pair(0, (0, 1, 2))
    first = evaluate([_sample("a", *pair)], CATALOG, title="first")
    with pytest.raises(UserError, match="first and second were evaluated on different images"):
        Comparison((first, evaluate([_sample("b", *pair)], CATALOG, title="second")))
    others = Catalog.from_names(["background", "cell", "fence"])
    with pytest.raises(UserError, match="different classes"):
        Comparison((first, evaluate([_sample("a", *pair)], others, title="second")))
