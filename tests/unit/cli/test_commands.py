"""The commands through the table a person's arguments go through: results, sentences and exit codes."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from segstudio.cli.app import COMMANDS, run
from segstudio.core.items import Status
from segstudio.imaging.decode import read_labels
from segstudio.nets.card import find_card, save_card
from segstudio.project.project import Project
from segstudio.refine.params import CrfParams
from segstudio.refine.tuned import Score, Tuned
from segstudio.services.gain import remember_gain

Capture = pytest.CaptureFixture[str]


def _labels(folder: Path, name: str, labels: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / f"{name}.png"), labels)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(3):
        cv2.imwrite(str(folder / f"photo{index + 1}.jpg"), np.full((10, 12, 3), 60 * index, np.uint8))
    return folder


@pytest.fixture
def project(tmp_path: Path, images: Path, capsys: Capture) -> Path:
    """A project of three images with two classes, made by the command."""
    (tmp_path / "classes.txt").write_text("background\ncell\n", encoding="utf-8")
    classes = str(tmp_path / "classes.txt")
    assert run(["new", str(tmp_path / "street"), "--images", str(images), "--classes", classes]) == 0
    capsys.readouterr()
    return tmp_path / "street.segstudio"


def _one_line(capsys: Capture, *words: str) -> None:
    """Checks that a person's error is one line on the error stream, and nothing else."""
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("segstudio: ")
    assert "Traceback" not in captured.err
    assert captured.out == ""
    for word in words:
        assert word in lines[0]


# -- new -----------------------------------------------------------------------------------------------------------


def test_new_makes_a_project_and_says_what_is_in_it(tmp_path: Path, images: Path, capsys: Capture) -> None:
    assert run(["new", str(tmp_path / "a"), "--images", str(images), "--palette", "camvid"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{tmp_path / 'a.segstudio'}: 3 images, 11 classes\n"
    assert captured.err == ""
    with Project.open(tmp_path / "a.segstudio") as made:
        assert [i.name for i in made.images()] == ["photo1.jpg", "photo2.jpg", "photo3.jpg"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["new", "{tmp}/a", "--images", "{tmp}/nowhere"], ("nowhere",)),
        (["new", "{tmp}/a", "--images", "{photos}", "--palette", "rainbow"], ("rainbow", "camvid")),
        (["new", "{tmp}/a", "--images", "{photos}", "--classes", "{tmp}/none.txt"], ("none.txt",)),
        (["new", "{tmp}/street", "--images", "{photos}"], ("street",)),
        (["import", "{project}", "{tmp}/nowhere", "--format", "voc"], ("nowhere",)),
        (["import", "{project}", "{photos}", "--format", "yolo"], ("photos", "holds no")),
        (["import", "{project}", "{photos}", "--format", "nonsense"], ("nonsense",)),
        (["import", "{tmp}/no.segstudio", "{photos}", "--format", "voc"], ("no.segstudio",)),
        (["export", "{project}", "{tmp}/out", "--format", "voc"], ("No image is labelled yet",)),
        (["export", "{project}", "{tmp}/out", "--format", "cityscapes"], ("No image is labelled yet",)),
        (["export", "{project}", "{tmp}/out", "--format", "docx"], ("docx", "voc, coco")),
        (["export", "{project}", "{tmp}/out", "--format", "voc", "--split", "half"], ("half", "80/10/10")),
        (["export", "{project}", "{tmp}/out", "--format", "voc", "--border", "-1"], ("border",)),
        (["models", "show", "resnet-9000"], ("resnet-9000", "unet-small")),
        (["models", "import", "model.pth", "--as", "fcn8s"], ("There is no file model.pth",)),
        (["predict", "{tmp}/nowhere", "--model", "unet-small", "--out", "{tmp}/o"], ("nowhere",)),
        (["predict", "{photos}", "--model", "nonsense", "--out", "{tmp}/o"], ("nonsense",)),
        (["train", "{project}", "--steps", "1"], ("nothing to train on yet", "Label some pixels")),
        (["train", "{project}", "--model", "nonsense", "--steps", "1"], ("nonsense",)),
        (["evaluate", "{project}"], ("No labelled image is in the split validation",)),
        (["refine", "{photos}/photo1.jpg", "{tmp}/none.npy", "{tmp}/o.png"], ("none.npy",)),
        (["refine", "{photos}/photo1.jpg", "{photos}/photo1.jpg", "{tmp}/o.png"], ("photo1.jpg", "not a plain NumPy")),
        (["refine", "{photos}/photo1.jpg", "x.npy", "o.png", "--preset", "magic"], ("magic",)),
        (["refine", "{photos}/photo1.jpg", "x.npy", "o.png", "--temperature", "0"], ("temperature", "0.01")),
        (["tune", "{project}"], ("not trained",)),
        (["tune", "{project}", "--preset", "magic"], ("magic",)),
    ],
)
def test_a_persons_error_is_one_line_and_exit_code_1(
    tmp_path: Path, images: Path, project: Path, capsys: Capture, arguments: list[str], words: tuple[str, ...]
) -> None:
    given = [a.format(tmp=tmp_path, photos=images, project=project) for a in arguments]
    assert run(given) == 1
    _one_line(capsys, *words)


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["new", "a"],
        ["new", "a", "--images", "b", "--palette", "voc", "--classes", "c"],
        ["export", "p", "o"],
        ["predict"],
        ["predict", "image.png"],
        ["train", "p", "--steps", "many"],
        ["train", "p", "--recipe", "secret"],
        ["evaluate"],
        ["evaluate", "p", "--labels", "l"],
        ["evaluate", "--predictions", "p", "--labels", "l"],
        ["evaluate", "p", "--split", "sideways"],
        ["refine", "a"],
        ["tune"],
        ["tune", "a", "--images", "0"],
        ["info", "--nonsense"],
        ["models", "nonsense"],
    ],
)
def test_wrong_usage_is_exit_code_2_without_a_traceback(arguments: list[str], capsys: Capture) -> None:
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    assert "Error" in captured.err


# -- import and export ---------------------------------------------------------------------------------------------


def test_labels_go_in_and_come_out_again(tmp_path: Path, project: Path, capsys: Capture) -> None:
    rng = np.random.default_rng(0)
    expected = {f"photo{n}": rng.choice(np.array([0, 1, 255], np.uint8), (10, 12)) for n in (1, 2)}
    for name, labels in expected.items():
        _labels(tmp_path / "labels", name, labels)
    assert run(["import", str(project), str(tmp_path / "labels"), "--format", "index-png"]) == 0
    assert capsys.readouterr().out == "Labels of 2 images imported.\n"
    assert run(["export", str(project), str(tmp_path / "out"), "--format", "index-png", "--reviewed-only"]) == 0
    kept = "Every one of 240 pixels in 2 images survives.\n"  # said of formats that may lose something
    assert capsys.readouterr().out == f"{kept}2 images written to {tmp_path / 'out'}\n"
    for name, labels in expected.items():
        assert (read_labels(tmp_path / "out" / f"{name}.png") == labels).all()
    with Project.open(project) as opened:
        assert [i.status for i in opened.images()] == [Status.REVIEWED, Status.REVIEWED, Status.NEW]


@pytest.mark.parametrize("name", ["voc", "coco"])
def test_every_written_format_comes_from_the_command(tmp_path: Path, project: Path, capsys: Capture, name: str) -> None:
    _labels(tmp_path / "labels", "photo1", np.ones((10, 12), np.uint8))
    assert run(["import", str(project), str(tmp_path / "labels"), "-f", "index-png"]) == 0
    assert run(["export", str(project), str(tmp_path / "out"), "-f", name]) == 0
    assert capsys.readouterr().out.endswith(f"1 image written to {tmp_path / 'out'}\n")
    assert any((tmp_path / "out").rglob("*"))


def test_a_label_of_another_size_is_told_and_the_others_are_imported(
    tmp_path: Path, project: Path, capsys: Capture
) -> None:
    _labels(tmp_path / "labels", "photo1", np.ones((10, 12), np.uint8))
    _labels(tmp_path / "labels", "photo2", np.ones((9, 12), np.uint8))
    _labels(tmp_path / "labels", "stranger", np.ones((10, 12), np.uint8))
    assert run(["import", str(project), str(tmp_path / "labels"), "--format", "index-png"]) == 1
    told = capsys.readouterr()
    assert told.out == "Labels of 1 image imported.\n"
    assert told.err.count("12 x 9") == 1
    assert "stranger was left out: it matches no image." in told.err.splitlines()


@pytest.mark.parametrize("name", ["voc", "coco"])
def test_an_image_that_an_export_leaves_out_is_named_and_gives_exit_code_1(
    tmp_path: Path, images: Path, project: Path, capsys: Capture, name: str
) -> None:
    for photo in ("photo1", "photo2"):
        _labels(tmp_path / "labels", photo, np.ones((10, 12), np.uint8))
    assert run(["import", str(project), str(tmp_path / "labels"), "-f", "index-png"]) == 0
    (images / "photo2.jpg").write_bytes(b"no image any more")
    capsys.readouterr()
    assert run(["export", str(project), str(tmp_path / "out"), "-f", name]) == 1
    told = capsys.readouterr()
    assert told.out == f"1 image written to {tmp_path / 'out'}\n"
    assert "photo2.jpg was left out" in told.err


def test_a_project_open_elsewhere_is_one_line(tmp_path: Path, project: Path, capsys: Capture) -> None:
    with Project.open(project):
        assert run(["export", str(project), str(tmp_path / "out"), "--format", "voc"]) == 1
    _one_line(capsys, "already open")


# -- models --------------------------------------------------------------------------------------------------------


def test_models_are_listed_by_id(capsys: Capture) -> None:
    assert run(["models", "list"]) == 0
    listed = capsys.readouterr().out
    assert run(["models"]) == 0
    assert capsys.readouterr().out == listed
    ids = [line.split()[0] for line in listed.splitlines()]
    assert {"unet", "unet-small", "fcn8s", "deeplabv2-resnet101"} <= set(ids)
    assert ids == sorted(ids)


def test_models_as_json_hold_what_the_cards_say(capsys: Capture) -> None:
    assert run(["models", "list", "--json"]) == 0
    cards = {card["id"]: card for card in json.loads(capsys.readouterr().out)}
    assert cards["fcn8s"]["parameters"] == 134_489_759
    assert run(["models", "show", "fcn8s", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == cards["fcn8s"]


def test_a_model_is_shown_by_id_or_path(tmp_path: Path, capsys: Capture) -> None:
    assert run(["models", "show", "unet-small"]) == 0
    assert "Ronneberger" in capsys.readouterr().out
    save_card(replace(find_card("unet-small"), id="mine", license="CC0-1.0"), tmp_path / "card.toml")
    assert run(["models", "show", str(tmp_path / "card.toml")]) == 0
    assert "CC0-1.0" in capsys.readouterr().out


# -- evaluate ------------------------------------------------------------------------------------------------------


@pytest.fixture
def scored(tmp_path: Path) -> list[str]:
    """Arguments that score one image of four pixels: three right, one wrong."""
    _labels(tmp_path / "truth", "a", np.array([[0, 0], [1, 1]], np.uint8))
    _labels(tmp_path / "guess", "a", np.array([[0, 0], [1, 0]], np.uint8))
    (tmp_path / "classes.txt").write_text("background\ncell\n", encoding="utf-8")
    folders = ["--predictions", str(tmp_path / "guess"), "--labels", str(tmp_path / "truth")]
    return ["evaluate", *folders, "--classes", str(tmp_path / "classes.txt")]


def test_figures_go_to_a_file_or_the_screen_as_json(scored: list[str], tmp_path: Path, capsys: Capture) -> None:
    assert run([*scored, "--json", "-"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["mean_iou"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert run([*scored, "--json", str(tmp_path / "figures.json")]) == 0
    assert json.loads((tmp_path / "figures.json").read_text(encoding="utf-8")) == figures
    assert "0.5833" in capsys.readouterr().out


def test_figures_that_cannot_be_written_are_one_line(scored: list[str], tmp_path: Path, capsys: Capture) -> None:
    assert run([*scored, "--json", str(tmp_path / "no" / "figures.json")]) == 1
    _one_line(capsys, "figures.json cannot be written")


def test_a_missing_prediction_is_one_line_that_names_it(scored: list[str], tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "guess" / "a.png").rename(tmp_path / "guess" / "b.png")
    assert run(scored) == 1
    _one_line(capsys, "1 of 1 labels have no prediction (a is the first)")


# -- predict: the CRF ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "params"),
    [((), None), (("--crf",), CrfParams(bilateral_weight=2)), (("--crf-anyway",), CrfParams(bilateral_weight=2))],
)
def test_predicting_refines_with_the_values_tuned_for_the_model(
    project: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], params: CrfParams | None
) -> None:
    asked: list[CrfParams | None] = []

    def predict_images(*_arguments: object, crf: CrfParams | None, **_options: object) -> list[object]:
        asked.append(crf)
        return []

    monkeypatch.setattr("segstudio.cli.predict.predict_images", predict_images)
    score, worse = Score(0.7, (0.7, 0.7)), Score(0.6, (0.6, 0.6))
    with Project.open(project) as opened:
        tuned = Tuned(
            params=CrfParams(bilateral_weight=2),
            preset=CrfParams(),
            before=worse,
            with_preset=worse,
            after=score,
            class_names=("background", "cell"),
            searched=1,
            checked=1,
            held_out=False,
        )
        remember_gain(opened, "unet-small", tuned)
    assert run(["predict", str(project), *options]) == 0
    assert asked == [params]


# -- help and the rest ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [*COMMANDS, "models", "models list", "models show", "models import"])
def test_the_help_of_every_command_shows_an_example(command: str, capsys: Capture) -> None:
    assert run([*command.split(), "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"Example: segstudio {command}" in text


def test_the_help_names_every_command(capsys: Capture) -> None:
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f" {name} " in text for name in [*COMMANDS, "models"])


def test_every_command_is_known_to_the_program_without_loading_the_command_line() -> None:
    from segstudio.__main__ import _COMMANDS

    assert {*COMMANDS, "models"} == _COMMANDS


def test_two_paths_are_wrong_usage(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    from segstudio.__main__ import main

    monkeypatch.setattr(sys, "argv", ["segstudio", "one", "two"])
    assert main() == 2
    assert "one is no command" in capsys.readouterr().err


def test_progress_is_plain_lines_where_there_is_no_terminal(capsys: Capture) -> None:
    from segstudio.cli.console import steps

    with steps("Predicting", 30) as shown:
        for _ in range(30):
            shown.step("x.png")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Predicting: 3 of 30"
    assert lines[-1] == "Predicting: 30 of 30"
    assert len(lines) == 10


def test_a_name_that_looks_like_markup_is_printed_as_it_is(tmp_path: Path, capsys: Capture) -> None:
    assert run(["export", str(tmp_path / "[bold]x[/bold]"), "out", "--format", "voc"]) == 1
    _one_line(capsys, "[bold]x[/bold]")


def test_an_interrupt_is_one_line_and_exit_code_130(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    def interrupted(*_args: object, **_kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("segstudio.cli.models.list_cards", interrupted)
    assert run(["models", "list"]) == 130
    assert capsys.readouterr().err == "segstudio: stopped.\n"


def test_a_programming_error_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: object, **_kwargs: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("segstudio.cli.models.list_cards", broken)
    with pytest.raises(ZeroDivisionError):
        run(["models", "list"])
