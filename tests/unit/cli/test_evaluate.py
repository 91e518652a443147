"""`segstudio evaluate`: tables, files, comparisons and exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from segstudio.cli import evaluate
from segstudio.cli.app import run
from segstudio.core.catalog import Catalog
from segstudio.core.items import Status
from segstudio.core.segmentmap import SegmentMap
from segstudio.engine.base import JobHandle
from segstudio.engine.protocol import Finished, PredictionArrays
from segstudio.formats.base import LabelledImage
from segstudio.formats.registry import format_named
from segstudio.project.project import Project
from segstudio.services.opening import new_project

Capture = pytest.CaptureFixture[str]


class _Engine:
    """Says cell (1) where an image is bright."""

    def __init__(self) -> None:
        self.cards: list[str] = []

    def predict(self, spec: Any, image: Any, listener: Any, *, interactive: bool = True) -> JobHandle:
        self.cards.append(spec.card)
        labels = (image[..., 0] > 127).astype(np.uint8)
        scores = np.zeros((2, 1, 1), np.float16)
        listener(Finished(PredictionArrays(labels, np.full(labels.shape, 200, np.uint8), scores, (0, 1))))
        return JobHandle(1, lambda _job: None)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> _Engine:
    made = _Engine()

    @contextmanager
    def running() -> Iterator[_Engine]:
        yield made

    monkeypatch.setattr(evaluate, "engine", running)
    return made


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    """The arguments for predictions in `guess`, better ones in `better`, and labels of two images."""
    rows = {
        "truth": ([[0, 0], [1, 255]], [[1, 1], [1, 0]]),
        "guess": ([[0, 1], [1, 1]], [[1, 1], [0, 0]]),
        "better": ([[0, 0], [1, 1]], [[1, 1], [0, 0]]),
    }
    for folder, (first, second) in rows.items():
        for name, labels in (("a", first), ("b", second)):
            (tmp_path / folder).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / folder / f"{name}.png"), np.array(labels, np.uint8))
    (tmp_path / "classes.txt").write_text("background\ncell\nwall\n", encoding="utf-8")
    options = {"predictions": "guess", "labels": "truth", "classes": "classes.txt"}
    return [text for key, name in options.items() for text in (f"--{key}", str(tmp_path / name))]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Three images, the third (which validates) and the first labelled."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for index in range(3):
        picture = np.zeros((10, 12, 3), np.uint8)
        picture[:, 6:] = 220
        cv2.imwrite(str(photos / f"photo{index + 1}.png"), picture)
    made = new_project(tmp_path / "street", images=photos, catalog=Catalog.from_names(["background", "cell"]))
    with made:
        for item in (made.images()[0], made.images()[2]):
            labels = np.zeros((10, 12), np.uint8)
            labels[:, 5:] = 1
            made.save_map(item.id, SegmentMap.from_semantic(labels), action="test", status=Status.REVIEWED)
        return made.path


def test_folders_give_a_table_of_classes_and_figures_with_the_convention(folders: list[str], capsys: Capture) -> None:
    assert run(["evaluate", *folders]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2 images, 7 labelled pixels"
    assert lines[1].split() == ["class", "IoU", "Accuracy", "Dice"]
    assert lines[2].split() == ["background", "0.5000", "0.6667", "0.6667"]
    assert lines[3].split() == ["cell", "0.6000", "0.7500", "0.7500"]
    assert lines[4].split() == ["wall", "absent", "absent", "absent"]
    assert ["Mean", "IoU", "0.5500"] in [line.split() for line in lines]
    assert lines[-1].startswith("Classes that neither occur nor are predicted are left out")


def test_json_keeps_its_keys_and_another_convention_is_named(folders: list[str], capsys: Capture) -> None:
    assert run(["evaluate", *folders, "--json", "-", "--absent", "count_zero", "--metrics", "boundary,trimap"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert {
        *("images", "pixels", "mean_iou", "pixel_accuracy", "mean_accuracy", "frequency_weighted_iou"),
        *("absent_classes", "classes", "confusion", "boundary", "trimap"),
    } <= set(figures)
    assert figures["mean_iou"] == pytest.approx((0.5 + 0.6 + 0) / 3)
    assert figures["absent_classes"].startswith("Every class counts")


def test_folders_are_compared_with_signs(folders: list[str], tmp_path: Path, capsys: Capture) -> None:
    against, written = str(tmp_path / "better"), tmp_path / "figures.json"
    assert run(["evaluate", *folders, "--against", against, "--json", str(written)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["IoU", "of", "class", "guess", "better", "difference"] in rows
    assert ["background", "0.5000", "0.7500", "+0.2500"] in rows
    assert ["wall", "absent", "absent"] in rows
    figures = json.loads(written.read_text(encoding="utf-8"))
    assert [e["title"] for e in figures["evaluations"]] == ["guess", "better"]
    assert figures["headline"][0]["differences"][1] == pytest.approx(0.75 / 2 + 0.75 / 2 - 0.55)


def test_a_report_is_written_with_the_images_of_a_folder(folders: list[str], tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.jpg"), np.zeros((2, 2, 3), np.uint8))
    target = tmp_path / "report.html"
    assert run(["evaluate", *folders, "--html", str(target), "--images", str(tmp_path / "images")]) == 0
    text = target.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert ">Image</figcaption>" in text
    assert "report.html" in capsys.readouterr().err


def test_metrics_that_do_not_apply_are_told_beside_the_figures(folders: list[str], capsys: Capture) -> None:
    assert run(["evaluate", *folders, "--metrics", "all", "--tolerance", "2"]) == 0
    captured = capsys.readouterr()
    assert "Boundary F score" in captured.out
    assert "guess, Cityscapes IoU: Needs Cityscapes' own class names" in captured.err


def test_two_exports_are_scored_in_their_format(tmp_path: Path, capsys: Capture) -> None:
    catalog = Catalog.from_names(["background", "cell"])
    photo = tmp_path / "p.png"
    cv2.imwrite(str(photo), np.zeros((20, 30, 3), np.uint8))
    for name, column in (("truth", 10), ("guess", 12)):
        labels = np.zeros((20, 30), np.uint8)
        labels[:, column:] = 1
        segment_map = SegmentMap.from_semantic(labels)
        image = LabelledImage(name="p.png", path=photo, load=segment_map.copy, width=30, height=20)
        format_named("voc").export([image], catalog, tmp_path / name)
    (tmp_path / "classes.txt").write_text("background\ncell\n", encoding="utf-8")
    options = {"predictions": "guess", "labels": "truth", "classes": "classes.txt"}
    given = [text for key, name in options.items() for text in (f"--{key}", str(tmp_path / name))]
    assert run(["evaluate", *given, "--format", "voc", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["confusion"] == [[200, 0], [40, 360]]


def test_scored_results_need_no_classes_but_the_coco_metric(tmp_path: Path, capsys: Capture) -> None:
    box = {"image_id": 1, "category_id": 5, "bbox": [2, 3, 10, 10]}
    square = [[2, 3, 12, 3, 12, 13, 2, 13]]
    truth = {
        "images": [{"id": 1, "width": 40, "height": 30}],
        "categories": [{"id": 5, "name": "cell"}],
        "annotations": [{**box, "id": 1, "segmentation": square, "area": 100, "iscrowd": 0}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "found.json").write_text(json.dumps([{**box, "segmentation": square, "score": 0.8}]))
    given = ["evaluate", "--predictions", str(tmp_path / "found.json"), "--labels", str(tmp_path / "truth.json")]
    assert run([*given, "--metrics", "coco", "--html", str(tmp_path / "r.html")]) == 0
    captured = capsys.readouterr()
    assert ["COCO", "AP", "1.0000"] in [line.split() for line in captured.out.splitlines()]
    assert "pixels are not counted" in captured.err
    assert run(given) == 1
    assert "Add --metrics coco" in capsys.readouterr().err


def test_a_project_is_scored_on_its_validation_images(project: Path, engine: _Engine, capsys: Capture) -> None:
    assert run(["evaluate", str(project), "--json", "-"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["images"] == 1
    assert figures["confusion"] == [[50, 0], [10, 60]]
    assert len(engine.cards) == 1
    assert run(["evaluate", str(project), "--split", "all", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 2
    assert len(engine.cards) == 2, "the prediction for the validation image is used again"
    with Project.open(project) as opened:
        assert [i.name for i in opened.images()] == ["photo1.png", "photo2.png", "photo3.png"]


def test_models_of_a_project_are_compared(project: Path, engine: _Engine, tmp_path: Path, capsys: Capture) -> None:
    report = tmp_path / "report.html"
    given = ["evaluate", str(project), "--model", "unet-small", "--against", "unet", "--html", str(report)]
    assert run(given) == 0
    assert "+0.0000" in capsys.readouterr().out
    assert len(set(engine.cards)) == 2
    assert "photo3.png" in report.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--predictions", "nowhere"], "2 of 2 labels have no prediction"),
        (["--labels", "nowhere"], "no label images"),
        (["--classes", "none.txt"], "none.txt"),
        (["--format", "nonsense"], "nonsense"),
        (["--format", "voc"], "SegmentationClass"),
        (["--against", "nowhere"], "2 of 2 labels have no prediction"),
        (["--html", "no/such/folder/report.html"], "report.html cannot be written"),
    ],
)
def test_a_persons_error_is_a_sentence_and_exit_code_1(
    folders: list[str], change: list[str], words: str, capsys: Capture
) -> None:
    assert run(["evaluate", *folders, *change]) == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("segstudio: ")
    assert words in last


@pytest.mark.parametrize(
    "arguments",
    [
        ["--metrics", "beauty"],
        ["--absent", "maybe"],
        ["--tolerance", "-1"],
        ["--tolerance", "near"],
        ["--model", "unet-small"],
    ],
)
def test_wrong_usage_is_exit_code_2(folders: list[str], arguments: list[str], capsys: Capture) -> None:
    assert run(["evaluate", *folders, *arguments]) == 2
    assert "Traceback" not in capsys.readouterr().err
