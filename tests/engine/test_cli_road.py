"""The whole job by commands, a process each: new, import, train, predict, evaluate, refine, tune, export."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from segstudio.imaging.decode import read_labels
from segstudio.project.project import Project

pytestmark = pytest.mark.slow

_COUNT = 4
_SIZE = 64


class Program:
    """Runs commands in one home of their own and checks what each leaves on its streams."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._environment = {
            **os.environ,
            "SEGSTUDIO_HOME": str(folder / "home"),
            "OMP_NUM_THREADS": "2",
            "PYTHONWARNINGS": "default",
        }

    def __call__(self, *arguments: str, status: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "segstudio", *arguments],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == status, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout if status == 0 else done.stderr


def _draw(folder: Path) -> None:
    """Four images of bright discs on dark noise, and their labels."""
    rng = np.random.default_rng(7)
    (folder / "images").mkdir()
    (folder / "labels").mkdir()
    for index in range(_COUNT):
        label = np.zeros((_SIZE, _SIZE), np.uint8)
        for x, y in rng.integers(12, _SIZE - 12, (3, 2)).tolist():
            cv2.circle(label, (x, y), 8, 1, -1)
        image = rng.integers(0, 60, (_SIZE, _SIZE, 3), dtype=np.uint8) + (label * 150)[..., None]
        cv2.imwrite(str(folder / "images" / f"disc{index}.png"), image)
        cv2.imwrite(str(folder / "labels" / f"disc{index}.png"), label)


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """A project with imported labels and one trained network."""
    folder = tmp_path_factory.mktemp("road")
    _draw(folder)
    (folder / "classes.txt").write_text("background\ndisc\n", encoding="utf-8")
    program = Program(folder)
    made = program("new", "discs", "--images", "images", "--classes", "classes.txt")
    assert "4 images, 2 classes" in made
    assert program("import", "discs.segstudio", "labels", "--format", "index-png") == "Labels of 4 images imported.\n"
    program("train", "discs.segstudio", "--model", "unet-small", "--steps", "3", "--device", "cpu", "--json", "t.json")
    return program


def test_training_reports_its_figures_and_puts_the_model_to_use(road: Program) -> None:
    figures = json.loads((road.folder / "t.json").read_text(encoding="utf-8"))
    assert figures["steps"] == 3
    assert figures["accepted"] is True
    assert 0 <= figures["best_miou"] <= 1
    assert figures["parent_miou"] is None
    assert figures["device"]


def test_predictions_are_class_ids_at_image_size_and_score_as_evaluate_says(road: Program) -> None:
    road("predict", "discs.segstudio", "--out", "guess", "--probabilities", "--device", "cpu")
    names = [f"disc{i}" for i in range(_COUNT)]
    assert sorted(p.stem for p in (road.folder / "guess").glob("*.png")) == names
    truth = np.stack([read_labels(road.folder / "labels" / f"{n}.png") for n in names])
    guess = np.stack([read_labels(road.folder / "guess" / f"{n}.png") for n in names])
    assert guess.shape == truth.shape
    assert set(np.unique(guess)) <= {0, 1}
    scores = np.load(road.folder / "guess" / "disc0.npy")
    assert scores.shape[0] == 2
    assert np.allclose(scores.astype(np.float32).sum(0), 1, atol=2e-3)
    folders = ("--predictions", "guess", "--labels", "labels", "--classes", "classes.txt")
    figures = json.loads(road("evaluate", *folders, "--json", "-"))
    assert figures["pixel_accuracy"] == pytest.approx(float((truth == guess).mean()))
    ious = [((truth == c) & (guess == c)).sum() / ((truth == c) | (guess == c)).sum() for c in (0, 1)]
    assert figures["mean_iou"] == pytest.approx(float(np.mean(ious)))


def test_a_project_is_scored_on_its_validation_images(road: Program) -> None:
    figures = json.loads(road("evaluate", "discs.segstudio", "--json", "-", "--device", "cpu"))
    assert figures["images"] == 1
    trained = json.loads((road.folder / "t.json").read_text(encoding="utf-8"))
    assert figures["mean_iou"] == pytest.approx(trained["best_miou"], abs=0.02)


def test_the_crf_sharpens_probabilities_of_another_program(road: Program) -> None:
    label = read_labels(road.folder / "labels" / "disc1.png")
    scores = np.stack([1.0 - label * 0.8, label * 0.8]).astype(np.float32)
    np.save(road.folder / "scores.npy", np.clip(scores, 0.05, 0.95))
    road("refine", "images/disc1.png", "scores.npy", "sharp.png")
    sharp = read_labels(road.folder / "sharp.png")
    assert sharp.shape == label.shape
    assert (sharp == label).mean() > 0.95
    road("refine", "images/disc1.png", "scores.npy", "exact.png", "--exact", "--temperature", "1.5")
    assert (read_labels(road.folder / "exact.png") == label).mean() > 0.95
    assert "no CRF engine named" in road(
        "refine", "images/disc1.png", "scores.npy", "o.png", "--engine", "magic", status=1
    )


def test_tuning_is_kept_and_predicting_goes_by_it(road: Program) -> None:
    said = road("tune", "discs.segstudio", "--per-class", "--json", "crf.json", "--device", "cpu")
    figures = json.loads((road.folder / "crf.json").read_text(encoding="utf-8"))
    # Only the validation image was not learnt from.
    assert (figures["searched"], figures["checked"], figures["held_out"], figures["learnt"]) == (1, 1, False, False)
    assert f"mean IoU {figures['before']['mean_iou']:.4f}" in said
    assert "disc " in said
    loses = {**figures, "after": figures["before"], "with_preset": figures["before"]}
    with Project.open(road.folder / "discs.segstudio") as project:
        assert project.setting("crf") == {"unet-small-run-1": figures}
        project.set_setting("crf", {"unet-small-run-1": loses})
    refused = road("predict", "discs.segstudio", "--crf", "--out", "sharp", "--device", "cpu", status=1)
    assert "does not help" in refused
    assert len(refused.strip().splitlines()) == 1
    assert not (road.folder / "sharp").exists()


def test_the_export_is_what_torchvision_reads(road: Program) -> None:
    road("export", "discs.segstudio", "voc", "--format", "voc", "--reviewed-only")
    names = (road.folder / "voc" / "ImageSets" / "Segmentation" / "trainval.txt").read_text(encoding="utf-8").split()
    assert names == [f"disc{i}" for i in range(_COUNT)]
    for name in names:
        exported = read_labels(road.folder / "voc" / "SegmentationClass" / f"{name}.png")
        assert (exported == read_labels(road.folder / "labels" / f"{name}.png")).all()


def test_an_error_of_a_person_is_one_line(road: Program) -> None:
    lines = road("export", "discs.segstudio", "labels", "--format", "voc", status=1).strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("segstudio: ")
