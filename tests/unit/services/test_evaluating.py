"""Evaluations of folders, exports and a project's models: figures counted by hand, predictions made once, sentences."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from segstudio.core.catalog import Catalog, Kind, LabelClass
from segstudio.core.errors import Cancelled, FormatError, ModelError, UserError
from segstudio.core.items import Split, Status
from segstudio.core.jobs import ErrorKind, ErrorReport, JobState, Progress
from segstudio.core.metrics import AbsentClasses
from segstudio.core.segmentmap import Segment, SegmentMap
from segstudio.engine.protocol import Failed
from segstudio.formats.base import LabelledImage
from segstudio.formats.registry import format_named
from segstudio.imaging.rle import encode_regions
from segstudio.nets.card import save_card
from segstudio.services.evaluating import (
    Comparison,
    EvaluationOptions,
    Metric,
    Scored,
    evaluate_models,
    evaluated_folders,
    write_html,
)
from segstudio.services.scoring import REGIONS_SENTENCE, coco_evaluation, labelled_items
from segstudio.services.tasks import QueueDispatcher
from segstudio.services.workspace import Workspace

NAMES = Catalog.from_names(["background", "cell", "wall"])


def _write(folder: Path, name: str, labels: list[list[int]], kind: type = np.uint8) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.array(labels, kind))


# -------------------------------------------------------------------------------------------------------- folders


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """(predictions, labels) of two images, eight pixels in all, one of them ignored."""
    _write(tmp_path / "truth", "a.png", [[0, 0], [1, 255]])
    _write(tmp_path / "truth", "deep/b.png", [[1, 1], [1, 0]])
    _write(tmp_path / "guess", "a.png", [[0, 1], [1, 1]])
    _write(tmp_path / "guess", "deep/b.png", [[1, 1], [0, 0]])
    return tmp_path / "guess", tmp_path / "truth"


def _evaluated(predictions: Path, labels: Path, catalog: Catalog = NAMES, **options: Any) -> Scored:
    with evaluated_folders([predictions], labels, catalog, **options) as scored:
        return scored[0]


def test_folders_give_the_figures_counted_by_hand(folders: tuple[Path, Path]) -> None:
    shown: list[Progress] = []
    # Class 0: 2 found, 1 missed, 1 too many. Class 1: 3 found, 1 missed, 1 too many. Class 2: nowhere.
    figures = _evaluated(*folders, progress=shown.append).evaluation.to_json()
    assert figures["title"] == "guess"
    assert figures["images"] == 2
    assert figures["pixels"] == 7
    assert figures["confusion"] == [[2, 1, 0], [1, 3, 0], [0, 0, 0]]
    assert [c["iou"] for c in figures["classes"]] == [pytest.approx(2 / 4), pytest.approx(3 / 5), None]
    assert figures["mean_iou"] == pytest.approx((2 / 4 + 3 / 5) / 2)
    assert figures["pixel_accuracy"] == pytest.approx(5 / 7)
    assert figures["mean_accuracy"] == pytest.approx((2 / 3 + 3 / 4) / 2)
    assert figures["frequency_weighted_iou"] == pytest.approx((3 * 2 / 4 + 4 * 3 / 5) / 7)
    assert [c["dice"] for c in figures["classes"]][:2] == [pytest.approx(4 / 6), pytest.approx(6 / 8)]
    assert [p.fraction for p in shown] == [0.5, 1.0]


def test_sixteen_bit_labels_above_255_stand_for_no_class(tmp_path: Path) -> None:
    _write(tmp_path / "truth", "a.png", [[0, 256, 300, 1]], np.uint16)
    _write(tmp_path / "guess", "a.png", [[0, 0, 1, 257]], np.uint16)
    evaluation = _evaluated(tmp_path / "guess", tmp_path / "truth").evaluation
    assert evaluation.pixels == 2
    assert evaluation.matrix.matrix.tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_several_folders_are_compared_and_told_apart_by_name(folders: tuple[Path, Path], tmp_path: Path) -> None:
    guess, truth = folders
    _write(tmp_path / "other" / "guess", "a.png", [[0, 0], [1, 1]])
    _write(tmp_path / "other" / "guess", "deep/b.png", [[1, 1], [1, 0]])
    shown: list[Progress] = []
    both = [guess, tmp_path / "other" / "guess"]
    with evaluated_folders(both, truth, NAMES, progress=shown.append) as scored:
        comparison = Comparison(tuple(s.evaluation for s in scored))
    assert [e.title for e in comparison.evaluations] == [f"{tmp_path.name}/guess", "other/guess"]
    assert comparison.evaluations[1].summary.mean_iou == 1.0
    assert [m.name for m in comparison.moved()[0]] == ["a", "deep/b"]
    assert [p.fraction for p in shown] == [0.25, 0.5, 0.75, 1.0]


def test_a_missing_prediction_is_one_sentence_that_names_it(folders: tuple[Path, Path]) -> None:
    guess, truth = folders
    (guess / "deep" / "b.png").unlink()
    with pytest.raises(FormatError, match=r"1 of 2 labels have no prediction \(deep/b is the first\)"):
        _evaluated(guess, truth)


def test_a_prediction_of_another_size_is_one_sentence_that_names_both(folders: tuple[Path, Path]) -> None:
    guess, truth = folders
    _write(guess, "a.png", [[0, 1, 1], [1, 1, 1]])
    with pytest.raises(FormatError, match=r"a\.png is 3 x 2 pixels, its label 2 x 2"):
        _evaluated(guess, truth)


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_without_labels_is_one_sentence(tmp_path: Path, there: bool) -> None:
    if there:
        (tmp_path / "labels").mkdir()
    (tmp_path / "guess").mkdir()
    with pytest.raises(FormatError, match="no label images"):
        _evaluated(tmp_path / "guess", tmp_path / "labels")


def test_a_folder_of_predictions_that_is_not_there_is_one_sentence(folders: tuple[Path, Path]) -> None:
    with pytest.raises(FormatError, match="2 of 2 labels have no prediction"):
        _evaluated(folders[0].parent / "nowhere", folders[1])


def test_images_beside_are_found_for_the_pictures(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "photos" / "deep").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "photos" / "deep" / "b.jpg"), np.zeros((2, 2, 3), np.uint8))
    scored = _evaluated(*folders, images=tmp_path / "photos")
    assert [s.image for s in scored.samples] == [None, tmp_path / "photos" / "deep" / "b.jpg"]
    write_html(tmp_path / "report.html", [scored])
    assert "deep/b" in (tmp_path / "report.html").read_text(encoding="utf-8")


# -------------------------------------------------------------------------------------------------------- exports

OBJECTS = Catalog(
    [
        LabelClass(id=0, name="background", color=(96, 96, 96), kind=Kind.STUFF),
        LabelClass(id=2, name="cell", color=(10, 200, 30)),
    ]
)


def _objects(*boxes: tuple[int, int, int, int]) -> SegmentMap:
    """A map of 40 x 50 with a cell in each (top, left, height, width)."""
    made = SegmentMap.from_semantic(np.zeros((40, 50), dtype=np.uint8))
    for number, (top, left, height, width) in enumerate(boxes, start=256):
        made.ids[top : top + height, left : left + width] = number
        made.segments[number] = Segment(number, 2)
    return made


def _export(folder: Path, name: str, maps: list[SegmentMap], catalog: Catalog = OBJECTS) -> Path:
    images = []
    for index, segment_map in enumerate(maps):
        path = folder.parent / f"{folder.name}-images" / f"p{index}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), np.zeros((*segment_map.shape, 3), np.uint8))
        image = LabelledImage(name=path.name, path=path, load=segment_map.copy, width=50, height=40)
        images.append(image)
    format_named(name).export(images, catalog, folder)
    return folder


def test_two_exports_are_scored_with_their_instances(tmp_path: Path) -> None:
    truth = _export(tmp_path / "truth", "voc", [_objects((2, 2, 10, 10), (20, 20, 10, 10)), _objects((5, 5, 8, 8))])
    guess = _export(tmp_path / "guess", "voc", [_objects((2, 2, 10, 9), (20, 20, 10, 3)), _objects()])
    options = EvaluationOptions(metrics=frozenset({Metric.PANOPTIC, Metric.COCO}))
    result = _evaluated(guess, truth, OBJECTS, format_name="voc", options=options).evaluation
    assert result.images == 2
    assert result.panoptic is not None
    cells = next(row for row in result.panoptic.classes if row.category_id == 2)
    # The first cell is found with an IoU of 0.9; of the second too little; the third not at all.
    assert (cells.tp, cells.fp, cells.fn) == (1, 1, 2)
    assert cells.iou_sum == pytest.approx(0.9)
    assert result.coco is not None
    # One of three is found, and first: precision is 1 up to a recall of a third, 34 of 101 points.
    assert result.coco.ap50 == pytest.approx(34 / 101)
    assert result.matrix.matrix[1, 0] == 10 + 70 + 64


def test_classes_of_an_export_are_matched_by_name(tmp_path: Path) -> None:
    renumbered = Catalog([OBJECTS[0], LabelClass(id=7, name="Cell", color=(1, 2, 3))])
    truth = _export(tmp_path / "truth", "voc", [_objects((2, 2, 10, 10))])
    guess = _export(tmp_path / "guess", "voc", [_objects((2, 2, 10, 10))])
    result = _evaluated(guess, truth, renumbered, format_name="voc").evaluation
    assert result.class_ids == (0, 7)
    assert result.matrix.matrix.tolist() == [[1900, 0], [0, 100]]


def test_an_export_with_a_class_that_is_not_in_the_classes_file_is_refused(tmp_path: Path) -> None:
    export = _export(tmp_path / "truth", "voc", [_objects((2, 2, 10, 10))])
    with pytest.raises(FormatError, match='"cell"'):
        _evaluated(export, export, NAMES.without(1), format_name="voc")


def test_an_export_that_lacks_an_image_is_refused(tmp_path: Path) -> None:
    truth = _export(tmp_path / "truth", "voc", [_objects(), _objects()])
    guess = _export(tmp_path / "guess", "voc", [_objects()])
    with pytest.raises(FormatError, match="1 of 2 labels have no prediction"):
        _evaluated(guess, truth, OBJECTS, format_name="voc")


def test_labels_that_do_not_say_their_size_take_that_of_the_images(tmp_path: Path) -> None:
    truth = _export(tmp_path / "truth", "yolo", [_objects((2, 2, 10, 10))])
    guess = _export(tmp_path / "guess", "yolo", [_objects((2, 2, 10, 5))])
    with pytest.raises(FormatError, match="does not say how large p0 is"):
        _evaluated(guess, truth, OBJECTS, format_name="yolo")
    result = _evaluated(guess, truth, OBJECTS, format_name="yolo", images=tmp_path / "truth-images").evaluation
    assert result.matrix.matrix.tolist() == [[1900, 0], [50, 50]]


def test_scored_results_are_scored_as_coco_does(tmp_path: Path) -> None:
    label = _objects((2, 2, 10, 10), (20, 20, 10, 10))
    regions = encode_regions(label.ids, lowest=256)
    rles = [{"size": [40, 50], "counts": r.rle["counts"]} for r in regions]
    truth = {
        "images": [{"id": 1, "width": 50, "height": 40, "file_name": "a.png"}],
        "categories": [{"id": 5, "name": "cell"}, {"id": 9, "name": ""}],
        "annotations": [
            {
                "id": i,
                "image_id": 1,
                "category_id": 5,
                "segmentation": rle,
                "area": 100,
                "bbox": [0, 0, 1, 1],
                "iscrowd": 0,
            }
            for i, rle in enumerate(rles, start=1)
        ],
    }
    results = [{"image_id": 1, "category_id": 5, "segmentation": rles[0], "score": 0.9}]
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "results.json").write_text(json.dumps(results))
    evaluation = coco_evaluation(tmp_path / "results.json", tmp_path / "truth.json")
    assert evaluation.coco is not None
    # Found one of two: the precision is 1 up to a recall of one half, 51 of 101 points.
    assert evaluation.coco.ap == pytest.approx(51 / 101)
    assert evaluation.coco.class_ap[0] == evaluation.coco.ap
    assert evaluation.class_names == ("cell", "category 9")
    assert evaluation.images == evaluation.pixels == 0
    write_html(tmp_path / "report.html", [Scored(evaluation=evaluation, samples=())])
    assert "COCO average precision" in (tmp_path / "report.html").read_text(encoding="utf-8")


# -------------------------------------------------------------------------------------------------------- projects


@pytest.fixture
def labelled(workspace: Workspace) -> Workspace:
    """The first three of four images labelled: the right half, and one column more, is a cell."""
    project = workspace.project
    for item in project.images()[:3]:
        labels = np.zeros((40, 60), dtype=np.uint8)
        labels[:, 29:] = 1
        project.save_map(item.id, SegmentMap.from_semantic(labels), action="test", status=Status.REVIEWED)
    workspace.refresh_images()
    return workspace


def _scored(workspace: Workspace, *models: str, split: str = "all", **options: Any) -> list[Scored]:
    cards = [workspace.models.find(name) for name in models or ("unet-small",)]
    return evaluate_models(
        workspace.engine,
        workspace.project,
        workspace.catalog,
        cards,
        split=split,
        options=EvaluationOptions(**options),
    )


def _asked(workspace: Workspace) -> int:
    predictions: list[Any] = workspace.engine.predictions  # type: ignore[attr-defined]
    return len(predictions)


def test_a_model_is_scored_on_the_labelled_images_of_a_split(labelled: Workspace) -> None:
    scored = _scored(labelled)[0]
    # The engine says cell where the right half is red: the column 29 is missed in each image.
    assert scored.evaluation.matrix.matrix.tolist() == [[3 * 29 * 40, 0], [3 * 40, 3 * 30 * 40]]
    assert len(scored.image_ids) == 3
    assert labelled.engine.predictions[0].want_probabilities is False  # type: ignore[attr-defined]
    validation = _scored(labelled, split="validation")[0]
    assert [labelled.item(i).split for i in validation.image_ids] == [Split.VALIDATION]


def test_undecided_pixels_of_images_in_progress_count_nowhere(labelled: Workspace) -> None:
    project = labelled.project
    item = project.images()[3]
    decided = np.zeros((40, 60), dtype=np.bool_)
    decided[:10, 25:35] = True
    labels = np.ones((40, 60), dtype=np.uint8)
    segment_map = SegmentMap.from_semantic(labels, decided)
    project.save_map(item.id, segment_map, action="test", status=Status.IN_PROGRESS)
    before = project.load_map(item.id)
    scored = _scored(labelled)[0]
    assert scored.evaluation.per_image[3].pixels == 100
    assert scored.evaluation.per_image[3].pixels_of(1, 0) == 50
    assert scored.samples[3].load()[1].semantic()[30, 30] == 255
    assert project.load_map(item.id) == before


def test_predictions_are_made_once_and_again_where_the_image_the_model_or_the_classes_changed(
    labelled: Workspace,
) -> None:
    _scored(labelled)
    assert _asked(labelled) == 3
    again = _scored(labelled, metrics=frozenset({Metric.BOUNDARY}))[0]
    assert _asked(labelled) == 3
    assert again.evaluation.boundary is not None

    path = labelled.project.images()[0].path
    cv2.imwrite(str(path), np.zeros((40, 60, 3), np.uint8))
    os.utime(path, ns=(1, 1))
    changed = _scored(labelled)[0]
    assert _asked(labelled) == 4
    assert changed.evaluation.per_image[0].pixels_of(1, 1) == 0

    _scored(labelled, _other_model(labelled))
    assert _asked(labelled) == 7
    labelled.set_catalog(labelled.catalog.with_new("wall"))
    _scored(labelled)
    assert _asked(labelled) == 10


def _other_model(workspace: Workspace) -> str:
    return next(info.card.id for info in workspace.models.cards() if info.card.id != "unet-small")


def test_the_cache_holds_one_file_an_image_and_eight_models(labelled: Workspace, tmp_path: Path) -> None:
    root = labelled.project.path / "cache" / "evaluation"
    path = labelled.project.images()[0].path
    for stamp in range(3):
        os.utime(path, ns=(stamp, stamp))
        _scored(labelled)
    (folder,) = root.iterdir()
    assert len(list(folder.iterdir())) == 3
    base = labelled.models.find("unet-small")
    for number in range(9):
        card = save_card(base, tmp_path / f"card{number}.toml")
        evaluate_models(
            labelled.engine,
            labelled.project,
            labelled.catalog,
            [card],
            split="all",
            options=EvaluationOptions(),
        )
    assert len(list(root.iterdir())) == 8
    assert not folder.exists()


def test_a_damaged_prediction_is_a_sentence_not_a_figure(labelled: Workspace) -> None:
    scored = _scored(labelled)[0]
    for file in (labelled.project.path / "cache" / "evaluation").rglob("*.png"):
        file.write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(UserError):
        scored.samples[0].semantic()


def test_images_that_cannot_be_read_are_left_out_of_every_model_with_a_sentence(labelled: Workspace) -> None:
    _scored(labelled)  # the first model has its prediction already
    labelled.project.images()[1].path.write_bytes(b"no image")
    first, second = _scored(labelled, "unet-small", _other_model(labelled))
    assert first.image_ids == second.image_ids
    assert len(first.image_ids) == 2
    assert any("image2.png" in sentence for sentence in first.evaluation.warnings)
    Comparison((first.evaluation, second.evaluation))


def test_where_labels_have_instances_regions_of_predictions_are_objects(labelled: Workspace) -> None:
    project = labelled.project
    for item in project.images()[:3]:
        segment_map = SegmentMap.from_semantic(np.zeros((40, 60), dtype=np.uint8))
        segment_map.ids[:, 30:] = 256
        segment_map.segments[256] = Segment(256, 1)
        project.save_map(item.id, segment_map, action="test", status=Status.REVIEWED)
    result = _scored(labelled, metrics=frozenset({Metric.PANOPTIC, Metric.COCO}))[0].evaluation
    assert REGIONS_SENTENCE in result.warnings
    assert result.panoptic is not None
    assert result.panoptic.things.pq == 1.0
    assert result.coco is not None
    assert result.coco.ap == pytest.approx(1.0)


def test_labels_without_instances_are_not_split_into_regions(labelled: Workspace) -> None:
    result = _scored(labelled, metrics=frozenset({Metric.PANOPTIC}))[0].evaluation
    assert REGIONS_SENTENCE not in result.warnings
    assert result.panoptic is not None
    assert result.panoptic.things.rq == 1.0


def test_nothing_labelled_or_an_unknown_split_is_a_sentence(workspace: Workspace) -> None:
    with pytest.raises(UserError, match="No labelled image is in the split validation"):
        labelled_items(workspace.images, "validation")
    with pytest.raises(UserError, match='no split "sideways"'):
        labelled_items(workspace.images, "sideways")


def test_a_model_that_cannot_run_is_its_own_sentence_and_the_job_is_let_go(
    labelled: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = labelled.engine.predict

    def fails(spec: Any, image: Any, listener: Any, *, interactive: bool = True) -> Any:
        handle = real(spec, image, lambda _event: None, interactive=interactive)
        listener(Failed(ErrorReport(ErrorKind.USER, "The weights are gone.", "Fetch them.")))
        return handle

    monkeypatch.setattr(labelled.engine, "predict", fails)
    with pytest.raises(UserError, match="The weights are gone"):
        _scored(labelled)
    assert labelled.engine.cancelled == []  # type: ignore[attr-defined]


def test_cancelling_in_the_middle_of_a_prediction_ends_the_engines_job(labelled: Workspace) -> None:
    labelled.engine.hold = True  # type: ignore[attr-defined]
    with pytest.raises(Cancelled):
        evaluate_models(
            labelled.engine,
            labelled.project,
            labelled.catalog,
            [labelled.models.find("unet-small")],
            split="all",
            options=EvaluationOptions(),
            cancelled=lambda: _asked(labelled) == 1,
        )
    assert labelled.engine.cancelled == [1]  # type: ignore[attr-defined]


# ------------------------------------------------------------------------------------------------------ the window


def _run(
    workspace: Workspace, dispatcher: QueueDispatcher, models: list[str], **options: Any
) -> Comparison | BaseException:
    ends: list[Any] = []
    split = options.pop("split", "all")
    workspace.evaluating.start(
        models, split=split, options=EvaluationOptions(**options), on_done=ends.append, on_error=ends.append
    )
    assert workspace.evaluating.busy
    assert dispatcher.run_until(lambda: bool(ends), timeout=30)
    assert not workspace.evaluating.busy
    end: Comparison | BaseException = ends[0]
    return end


def test_the_window_gets_results_progress_and_the_way_to_the_pixels(
    labelled: Workspace, dispatcher: QueueDispatcher
) -> None:
    service = labelled.evaluating
    assert (service.results, service.comparison) == ((), None)
    comparison = _run(labelled, dispatcher, ["unet-small", _other_model(labelled)])
    assert isinstance(comparison, Comparison)
    assert service.results == comparison.evaluations
    job = labelled.jobs.records[-1]
    assert job.title.startswith("Evaluating ")
    assert job.state is JobState.DONE
    found = service.images_with(1, 0)
    assert [f.pixels for f in found] == [40, 40, 40]
    assert [f.name for f in found] == ["image1.png", "image2.png", "image3.png"]
    mask = service.confused(found[0].image_id, 1, 0, result=1)
    assert mask is not None
    assert np.flatnonzero(mask.any(axis=0)).tolist() == [29]
    assert service.confused(99_999, 1, 0) is None


def test_another_convention_is_shown_without_another_run(labelled: Workspace, dispatcher: QueueDispatcher) -> None:
    labelled.set_catalog(labelled.catalog.with_new("wall"))
    _run(labelled, dispatcher, ["unet-small"])
    asked, before = _asked(labelled), labelled.evaluating.results[0].summary.mean_iou
    labelled.evaluating.set_absent(AbsentClasses.COUNT_ZERO)
    assert labelled.evaluating.results[0].summary.mean_iou == pytest.approx(before * 2 / 3)
    assert _asked(labelled) == asked


def test_a_failure_is_told_once_and_earlier_results_stay(labelled: Workspace, dispatcher: QueueDispatcher) -> None:
    _run(labelled, dispatcher, ["unet-small"])
    before = labelled.evaluating.results
    error = _run(labelled, dispatcher, ["unet-small"], split="nonsense")
    assert isinstance(error, UserError)
    assert labelled.evaluating.results == before
    assert labelled.jobs.records[-1].state is JobState.FAILED
    with pytest.raises(ModelError):
        labelled.evaluating.start(["no-such-model"])


def test_cancelling_from_the_window_leaves_no_result(labelled: Workspace, dispatcher: QueueDispatcher) -> None:
    labelled.engine.hold = True  # type: ignore[attr-defined]
    heard: list[Any] = []
    labelled.evaluating.start(["unet-small"], split="all", on_done=heard.append, on_error=heard.append)
    assert dispatcher.run_until(lambda: _asked(labelled) == 1, timeout=20)
    labelled.evaluating.cancel()
    assert not labelled.evaluating.busy
    assert labelled.jobs.records[-1].state is JobState.CANCELLED
    assert dispatcher.run_until(lambda: labelled.tasks.idle, timeout=20)
    assert (heard, labelled.evaluating.results) == ([], ())


def test_closing_the_project_ends_an_evaluation(labelled: Workspace, dispatcher: QueueDispatcher) -> None:
    labelled.engine.hold = True  # type: ignore[attr-defined]
    labelled.evaluating.start(["unet-small"], split="all")
    assert dispatcher.run_until(lambda: _asked(labelled) == 1, timeout=20)
    labelled.close()
    assert labelled.engine.cancelled == [1]  # type: ignore[attr-defined]


def test_the_report_is_written_in_the_background(
    labelled: Workspace, dispatcher: QueueDispatcher, tmp_path: Path
) -> None:
    _run(labelled, dispatcher, ["unet-small"])
    written: list[Path] = []
    failed: list[BaseException] = []
    start: Callable[..., Any] = labelled.evaluating.write_report
    start(tmp_path / "report.html", on_done=written.append, on_error=failed.append)
    assert dispatcher.run_until(lambda: bool(written or failed), timeout=30)
    assert (written, failed) == ([tmp_path / "report.html"], [])
    assert "image1.png" in written[0].read_text(encoding="utf-8")
    start(tmp_path / "no" / "report.html", on_done=written.append, on_error=failed.append)
    assert dispatcher.run_until(lambda: bool(failed), timeout=30)
    assert isinstance(failed[0], UserError)
