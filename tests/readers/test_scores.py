"""The figures of our evaluation are those that other projects' evaluations give for our exports."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest

from segstudio.evaluation.coco import CocoMode, CocoScore, instances_of
from segstudio.evaluation.coco_files import score_files
from segstudio.evaluation.evaluate import Metric

from .conftest import ReadForeign
from .expecting import exported
from .made_up import CATALOG, STREETS, LabelledData, busy, disturbed
from .scoring import evaluated, scored_results, stats_by_pycocotools

pytestmark = [
    # pycocotools was built for numpy 1; what it gives is right.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
]

TOLERANCE = 1e-6


@pytest.fixture
def truth(tmp_path: Path) -> LabelledData:
    return busy(tmp_path / "images", catalog=CATALOG)


# COCO's twelve figures


@pytest.mark.parametrize("mode", CocoMode)
@pytest.mark.parametrize("careless", [False, True], ids=["itself", "disturbed"])
def test_coco_figures_are_those_of_pycocotools(
    truth: LabelledData, tmp_path: Path, mode: CocoMode, careless: bool
) -> None:
    prediction = disturbed(truth) if careless else truth
    exports = [exported("coco", p, tmp_path / n) for p, n in ((truth, "truth"), (prediction, "prediction"))]
    documents = [out / "annotations" / "instances.json" for out in exports]
    results = scored_results(documents[1])
    (tmp_path / "results.json").write_text(json.dumps(results))
    theirs = stats_by_pycocotools(documents[0], results, mode)
    score, _ = score_files(documents[0], tmp_path / "results.json")
    ours = list(score.result(mode).figures.values())
    assert ours == pytest.approx(theirs, abs=TOLERANCE, nan_ok=True)
    assert (theirs[0] > 0.99) is not careless
    assert careless is (0.05 < theirs[0] < 0.95)


@pytest.mark.parametrize("mode", CocoMode)
def test_coco_figures_of_labels_are_those_of_their_exports(truth: LabelledData, tmp_path: Path, mode: CocoMode) -> None:
    prediction = disturbed(truth)
    out, other = exported("coco", truth, tmp_path / "truth"), exported("coco", prediction, tmp_path / "prediction")
    # Where boxes are given, areas are those of boxes; where masks are, boxes are ranked by the areas of masks.
    shape = "segmentation" if mode is CocoMode.MASKS else "bbox"
    results = scored_results(other / "annotations" / "instances.json", shape=shape)
    results = [r for r in results if r["segment_id"]]
    document = json.loads((out / "annotations" / "instances.json").read_text(encoding="utf-8"))
    document["annotations"] = [a for a in document["annotations"] if a["segment_id"]]
    (tmp_path / "objects.json").write_text(json.dumps(document))
    theirs = stats_by_pycocotools(tmp_path / "objects.json", results, mode)
    ours = CocoScore(truth.catalog.ids)
    for number, (predicted, true) in enumerate(zip(prediction.images, truth.images, strict=True), start=1):
        scores = {r["segment_id"]: r["score"] for r in results if r["image_id"] == number}
        ours.add(instances_of(predicted.load(), scores), instances_of(true.load()))
    assert list(ours.result(mode).figures.values()) == pytest.approx(theirs, abs=TOLERANCE, nan_ok=True)


# Panoptic quality


@pytest.mark.parametrize("careless", [False, True], ids=["itself", "disturbed"])
def test_panoptic_quality_is_that_of_panopticapi(
    truth: LabelledData, tmp_path: Path, run_foreign: ReadForeign, careless: bool
) -> None:
    prediction = disturbed(truth) if careless else truth
    arguments: list[Path] = []
    for project, name in ((truth, "truth"), (prediction, "prediction")):
        annotations = exported("panoptic", project, tmp_path / name) / "annotations"
        arguments += [annotations / "panoptic_train.json", annotations / "panoptic_train"]
    theirs = run_foreign("scorers", "panoptic_score", *arguments).data
    ours = evaluated(prediction, truth, Metric.PANOPTIC).panoptic
    assert ours is not None
    for key, means in (("All", ours.all), ("Things", ours.things), ("Stuff", ours.stuff)):
        assert means.classes == theirs[key]["n"]
        for figure in ("pq", "sq", "rq"):
            assert getattr(means, figure) == pytest.approx(theirs[key][figure], abs=TOLERANCE)
    categories = json.loads(arguments[0].read_text(encoding="utf-8"))["categories"]
    numbers = {category["class_id"]: str(category["id"]) for category in categories}
    for row in ours.classes:
        expected = theirs["per_class"][numbers[row.category_id]]
        assert [row.pq, row.sq, row.rq] == pytest.approx([expected[f] for f in ("pq", "sq", "rq")], abs=TOLERANCE)
    assert careless is (ours.all.pq < 0.95)


# Cityscapes


@pytest.mark.parametrize("careless", [False, True], ids=["itself", "disturbed"])
def test_cityscapes_figures_are_those_of_cityscapesscripts(
    tmp_path: Path, run_foreign: ReadForeign, careless: bool
) -> None:
    truth = busy(tmp_path / "images", catalog=STREETS)
    prediction = disturbed(truth) if careless else truth
    out = exported("cityscapes", truth, tmp_path / "truth")
    predicted = exported("cityscapes", prediction, tmp_path / "prediction")
    results = tmp_path / "results"  # what the benchmark takes: one PNG an image, nothing else
    results.mkdir()
    for path in predicted.rglob("*_labelIds.png"):
        shutil.copy(path, results)
    theirs = run_foreign("scorers", "cityscapes_score", out / "gtFine", results).data
    ours = evaluated(prediction, truth, Metric.CITYSCAPES).cityscapes
    assert ours is not None
    for rows, iou, iiou in (
        (ours.classes, "classScores", "classInstScores"),
        (ours.categories, "categoryScores", "categoryInstScores"),
    ):
        for row in rows:
            assert row.iou == pytest.approx(number(theirs[iou][row.name]), abs=TOLERANCE, nan_ok=True)
            assert row.iiou == pytest.approx(number(theirs[iiou][row.name]), abs=TOLERANCE, nan_ok=True)
    means = (ours.mean_iou, ours.mean_iiou, ours.mean_category_iou, ours.mean_category_iiou)
    keys = ("averageScoreClasses", "averageScoreInstClasses", "averageScoreCategories", "averageScoreInstCategories")
    assert means == pytest.approx([number(theirs[key]) for key in keys], abs=TOLERANCE, nan_ok=True)
    assert careless is (ours.mean_iou < 0.99)


def number(value: float | None) -> float:
    return math.nan if value is None else float(value)
