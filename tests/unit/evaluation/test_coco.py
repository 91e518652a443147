"""COCO's figures equal what pycocotools says on its own about the same instances, in memory and from files."""

from __future__ import annotations

import contextlib
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from segstudio.core.errors import FormatError, UserError
from segstudio.core.segmentmap import Segment, SegmentMap
from segstudio.evaluation.coco import CocoInstance, CocoMode, CocoScore, instances_of
from segstudio.evaluation.coco_files import score_files
from segstudio.imaging import rle

Boxes = list[tuple[int, int, int, int, int, float]]  # left, top, width, height, class, score
_SIZE = (200, 240)


def _boxes(rng: np.random.Generator, count: int) -> Boxes:
    return [
        (
            int(rng.integers(0, 200)),
            int(rng.integers(0, 160)),
            int(rng.integers(2, 120)),
            int(rng.integers(2, 120)),
            int(rng.integers(1, 4)),
            float(rng.integers(0, 20)) / 20,  # ties on purpose
        )
        for _ in range(count)
    ]


def _shaken(rng: np.random.Generator, boxes: Boxes) -> Boxes:
    moved = []
    for left, top, width, height, class_id, _ in boxes:
        dx, dy, dw, dh = (int(v) for v in rng.integers(-6, 7, 4))
        wrong = rng.random() < 0.1
        moved.append(
            (
                max(0, left + dx),
                max(0, top + dy),
                max(1, width + dw),
                max(1, height + dh),
                class_id % 3 + 1 if wrong else class_id,
                float(rng.integers(0, 20)) / 20,
            )
        )
    return moved


def _mask(box: tuple[int, int, int, int, int, float]) -> npt.NDArray[np.bool_]:
    left, top, width, height = box[:4]
    mask = np.zeros(_SIZE, dtype=np.bool_)
    mask[top : top + height, left : left + width] = True
    mask[top : top + height // 3, left : left + width // 3] = False  # so that masks and boxes differ
    return mask


def _files(folder: Path, seed: int, *, with_boxes: bool, images: int = 6) -> tuple[Path, Path]:
    """A data set with crowds, polygons and run lengths of either kind, and results for it."""
    rng = np.random.default_rng(seed)
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for image_id in rng.permutation(images).tolist():
        true = _boxes(rng, int(rng.integers(0, 9)))
        for number, box in enumerate(true):
            packed = rle.encode(_mask(box))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": box[4],
                    "bbox": list(rle.bbox(packed)),
                    "area": rle.area(packed) + 0.5,
                    "iscrowd": int(number == 3),
                    "segmentation": _form(box, packed, number),
                }
            )
        for box in [*_shaken(rng, true), *_boxes(rng, 4)]:
            packed = rle.encode(_mask(box))
            if rle.area(packed):
                result = {"image_id": image_id, "category_id": box[4], "score": box[5], "segmentation": packed}
                results.append({**result, "bbox": list(rle.bbox(packed))} if with_boxes else result)
    dataset = {
        "images": [{"id": i, "height": _SIZE[0], "width": _SIZE[1], "file_name": f"{i}.jpg"} for i in range(images)],
        "categories": [{"id": i, "name": f"class {i}"} for i in (1, 2, 3, 5)],
        "annotations": annotations,
    }
    paths = folder / "truth.json", folder / "results.json"
    for path, content in zip(paths, (dataset, results), strict=True):
        path.write_text(json.dumps(content), encoding="utf-8")
    return paths


def _form(box: tuple[int, int, int, int, int, float], packed: rle.Rle, number: int) -> object:
    left, top, width, height = box[:4]
    if number == 3:
        runs = np.diff(np.flatnonzero(np.diff(_mask(box).T.ravel().astype(np.int8), prepend=0, append=0)), prepend=0)
        mask_pixels = _SIZE[0] * _SIZE[1]
        return {"size": list(_SIZE), "counts": [*runs.tolist(), mask_pixels - int(runs.sum())]}
    if number % 2:
        right, bottom = left + width + 0.25, top + height - 0.5
        return [[left, top, right, top, right, bottom], [left, top, right, bottom, left, bottom]]
    return packed


def _official(truth: Path, results: Path, mode: str, detections: tuple[int, int, int] = (1, 10, 100)) -> Any:
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(truth))
        evaluation = COCOeval(coco, coco.loadRes(str(results)), mode)
        evaluation.params.maxDets = list(detections)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


@pytest.mark.parametrize("with_boxes", [True, False])
@pytest.mark.parametrize("mode", list(CocoMode))
@pytest.mark.parametrize("seed", range(3))
def test_two_files_score_exactly_as_pycocotools_scores_them(
    tmp_path: Path, seed: int, mode: CocoMode, with_boxes: bool
) -> None:
    truth, results = _files(tmp_path, seed, with_boxes=with_boxes)
    score, names = score_files(truth, results)
    expected = [math.nan if v == -1 else v for v in _official(truth, results, str(mode)).stats]
    assert list(score.result(mode).figures.values()) == pytest.approx(expected, abs=1e-12, nan_ok=True)
    assert names == {1: "class 1", 2: "class 2", 3: "class 3", 5: "class 5"}


def test_nothing_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    score, _ = score_files(*_files(tmp_path, 0, with_boxes=False))
    capsys.readouterr()
    score.result()
    assert capsys.readouterr().out == ""


def _map(blocks: list[tuple[int, int, int, int]], classes: dict[int, int], crowd: int | None = None) -> SegmentMap:
    ids = np.zeros((60, 60), dtype=np.uint16)
    for segment_id, top, left, side in blocks:
        ids[top : top + side, left : left + side] = segment_id
    segments = {i: Segment(i, c, crowd=i == crowd) for i, c in classes.items()}
    return SegmentMap(ids, np.ones(ids.shape, dtype=np.bool_), segments)


def test_instances_of_a_map_carry_class_crowd_score_and_mask() -> None:
    segment_map = _map([(300, 5, 10, 20), (256, 40, 0, 5)], {300: 2, 256: 1, 400: 1}, crowd=300)
    small, large = instances_of(segment_map, {256: 0.25})
    assert (small.class_id, small.crowd, small.score, small.area) == (1, False, 0.25, 25)
    assert (large.class_id, large.crowd, large.score, large.bbox) == (2, True, 1.0, (10, 5, 20, 20))
    assert large.rle is not None
    assert (rle.decode(large.rle) == (segment_map.ids == 300)).all()


@pytest.mark.parametrize("mode", list(CocoMode))
def test_a_perfect_prediction_scores_one(mode: CocoMode) -> None:
    segment_map = _map([(256, 0, 0, 10), (257, 20, 20, 35)], {256: 1, 257: 2})
    score = CocoScore([1, 2, 3])
    score.add(instances_of(segment_map), instances_of(segment_map))
    result = score.result(mode)
    assert (result.ap, result.ap50, result.ar, result.ap_small, result.ap_medium) == pytest.approx((1.0,) * 5)
    assert math.isnan(result.ap_large)
    assert result.class_ap[1] == pytest.approx(1.0)
    assert math.isnan(result.class_ap[3])


def test_a_missed_and_an_invented_instance_lower_recall_and_precision() -> None:
    true = instances_of(_map([(256, 0, 0, 10), (257, 20, 20, 10)], {256: 1, 257: 1}))
    found = instances_of(_map([(256, 0, 0, 10), (257, 45, 45, 10)], {256: 1, 257: 1}), {256: 0.9, 257: 0.8})
    score = CocoScore([1])
    score.add(found, true)
    assert score.result().ar == 0.5
    assert score.result().ap == pytest.approx(51 / 101)


def test_images_with_more_objects_than_a_hundred_need_more_detections() -> None:
    ids = np.arange(256, 256 + 150, dtype=np.uint16).repeat(4).reshape(10, 60)
    whole = SegmentMap(ids, np.ones(ids.shape, dtype=np.bool_), {i: Segment(i, 1) for i in range(256, 406)})
    for detections, ar in (((1, 10, 100), 100 / 150), ((1, 10, 1000), 1.0)):
        score = CocoScore([1], max_detections=detections)
        score.add(instances_of(whole), instances_of(whole))
        assert score.result().ar == pytest.approx(ar)
        assert score.result().max_detections == detections


def test_merging_equals_adding() -> None:
    rng = np.random.default_rng(0)
    whole, parts = CocoScore([1, 2, 3]), [CocoScore([1, 2, 3]), CocoScore([1, 2, 3])]
    for index in range(4):
        boxes = _boxes(rng, 6)
        true, found = ([_instance(b) for b in some] for some in (boxes, _shaken(rng, boxes)))
        whole.add(found, true)
        parts[index // 2].add(found, true)
    parts[0].merge(parts[1])
    assert parts[0].result() == whole.result()
    with pytest.raises(ValueError, match="cannot be added"):
        whole.merge(CocoScore([1]))


def _instance(box: tuple[int, int, int, int, int, float]) -> CocoInstance:
    packed = rle.encode(_mask(box))
    return CocoInstance(class_id=box[4], bbox=rle.bbox(packed), area=rle.area(packed), rle=packed, score=box[5])


def test_nothing_to_compare_is_undefined_and_still_json() -> None:
    for score in (CocoScore([]), CocoScore([1])):
        written = json.loads(json.dumps(score.result().to_json(), allow_nan=False))
        assert written["ap"] is None
    empty = CocoScore([1])
    empty.add([], [])
    assert math.isnan(empty.result().ap)


def test_boxes_without_masks_are_compared_as_boxes_only() -> None:
    box = CocoInstance(class_id=1, bbox=(0, 0, 10, 10), area=100)
    score = CocoScore([1])
    score.add([box], [box])
    assert score.result(CocoMode.BOXES).ap == pytest.approx(1.0)
    with pytest.raises(UserError, match="boxes but no masks"):
        score.result()


def test_a_data_set_can_be_compared_with_another(tmp_path: Path) -> None:
    truth, _ = _files(tmp_path, 1, with_boxes=False)
    score, _ = score_files(truth, truth)
    assert score.result().ar == pytest.approx(1.0)


_IMAGES = [{"id": 1, "height": 10, "width": 10}]
_CATEGORIES = [{"id": 1, "name": "cell"}]


def _annotation(**changes: object) -> dict[str, Any]:
    return {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 2, 2], "area": 4, "iscrowd": 0, **changes}


def test_a_file_that_is_far_larger_in_memory_is_not_decoded(tmp_path: Path) -> None:
    path = tmp_path / "truth.json"
    path.write_text(f"[{'[],' * 10_000_001}[]]")
    with pytest.raises(FormatError, match=r"truth\.json holds too many lists"):
        score_files(path, path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{not json", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        ("3", "holds no COCO results"),
        ("[3]", "not a table"),
        ('{"annotations": 3}', 'no list of "annotations"'),
        ([{"image_id": 2}], "image 2, which is not known"),
        ([{"image_id": "1"}], '"image_id" is not a whole number'),
        ([_annotation(category_id=None)], '"category_id" is not a whole number'),
        ([_annotation(bbox=[0, 0, 2])], "bbox is not"),
        ([_annotation(bbox=[0, 0, -2, 2])], "negative size"),
        ([_annotation(bbox=[0, 0, float("nan"), 2])], "not a finite number"),
        ([_annotation(bbox=[0, 0, 10**400, 2])], "not a finite number"),
        ([_annotation(score="high")], "score is not a number"),
        ([_annotation(bbox=[])], "neither a mask nor a box"),
        ([_annotation(segmentation=7)], "neither a list of polygons nor run lengths"),
        ([_annotation(segmentation=[[0, 0, float("inf"), 3, 3, 3]])], "not finite"),
        ([_annotation(segmentation={"size": [9, 9], "counts": [81]})], "9 x 9"),
        ([_annotation(segmentation={"size": [10, 10], "counts": [2**40]})], "run length"),
        ([_annotation(segmentation={"size": [10, 10], "counts": "~~"})], "Instance 0 of results.json cannot be used"),
    ],
)
def test_what_is_no_result_is_refused_in_a_sentence(tmp_path: Path, content: object, message: str) -> None:
    truth, results = tmp_path / "truth.json", tmp_path / "results.json"
    truth.write_text(json.dumps({"images": _IMAGES, "categories": _CATEGORIES, "annotations": [_annotation()]}))
    results.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(FormatError, match=message):
        score_files(truth, results)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": [{"id": 1, "height": 10**9, "width": 10}]}, "10 x 1000000000 pixels"),
        ({"images": [{"id": 1}]}, '"height" is not a whole number'),
        ({"categories": {}}, 'no list of "categories"'),
        ({"annotations": [_annotation(area="large")]}, "area is not a number"),
    ],
)
def test_what_is_no_data_set_is_refused_in_a_sentence(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = tmp_path / "truth.json"
    path.write_text(json.dumps({"images": _IMAGES, "categories": _CATEGORIES, "annotations": []} | changes))
    with pytest.raises(FormatError, match=message):
        score_files(path, path)


def test_files_that_are_too_large_or_missing_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FormatError, match=r"none\.json cannot be read"):
        score_files(tmp_path / "none.json", tmp_path / "none.json")
    monkeypatch.setattr("segstudio.evaluation.coco_files._MAX_BYTES", 1000)
    truth, results = _files(tmp_path, 0, with_boxes=False)
    with pytest.raises(FormatError, match="is larger than"):
        score_files(truth, results)
