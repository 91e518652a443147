"""Importing a checkpoint and starting a project from a model's classes, as commands and the window do it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from segstudio.cli.app import run
from segstudio.core.catalog import Catalog
from segstudio.core.errors import ModelError, UserError
from segstudio.core.jobs import Progress
from segstudio.engine.inline import InlineEngine
from segstudio.nets.registry import build
from segstudio.project.project import Project
from segstudio.services.importing_models import card_for_checkpoint, classes_of_model, import_model

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[InlineEngine]:
    """The engine of the test, which commands get as well."""
    running = InlineEngine()
    monkeypatch.setattr("segstudio.engine.host.ProcessEngine", lambda: running)
    yield running
    running.close()


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "fcn16s_from_caffe.pth"
    torch.save(build("fcn", classes=21, options={"variant": "16s", "thin": 32}).state_dict(), path)
    return path


def test_the_engine_writes_the_card_among_the_persons_own(
    engine: InlineEngine, checkpoint: Path, segstudio_home: Path
) -> None:
    heard: list[Progress] = []
    imported = import_model(engine, checkpoint, on_progress=heard.append)
    assert imported.card == str(segstudio_home / "data" / "cards" / "fcn16s-from-caffe.toml")
    assert "FCN-16s of wkentaro/pytorch-fcn, with 21 classes: background, aeroplane" in imported.sentences[0]
    assert [progress.text for progress in heard] == ["Reading fcn16s_from_caffe.pth", "Writing the model"]


def test_what_is_wrong_with_a_file_arrives_as_a_sentence(engine: InlineEngine, checkpoint: Path) -> None:
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(UserError, match="damaged or cut short"):
        import_model(engine, checkpoint)
    with pytest.raises(ModelError, match="There is no file"):
        import_model(engine, checkpoint.with_name("none.pth"))


def test_the_command_says_what_came_in_and_what_to_do_next(
    engine: InlineEngine, checkpoint: Path, capsys: Capture
) -> None:
    assert run(["models", "import", str(checkpoint)]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    lines = captured.out.splitlines()
    assert "FCN-16s" in lines[0]
    assert lines[-2].startswith("Card: ")
    assert lines[-1] == "Next: segstudio predict photos --model fcn16s-from-caffe --out labels"
    assert run(["models", "list"]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("fcn16s-from-caffe "))
    assert "trained" in row.split()
    assert "wkentaro/pytorch-fcn" in row
    assert run(["models", "show", "fcn16s-from-caffe"]) == 0
    shown = capsys.readouterr().out
    assert "wkentaro/pytorch-fcn" in shown
    assert "CVPR" not in shown  # its narrowed layers are no published network


def test_the_command_gives_figures_as_json(engine: InlineEngine, checkpoint: Path, capsys: Capture) -> None:
    assert run(["models", "import", str(checkpoint), "--as", "fcn16s", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["id"], data["trained"], len(data["classes"])) == ("fcn16s-from-caffe", True, 21)
    assert data["sentences"]


def test_a_wrong_file_is_one_line_and_exit_code_1(engine: InlineEngine, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    assert run(["models", "import", str(tmp_path / "notes.txt")]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "segstudio: notes.txt is no checkpoint. Choose a file of PyTorch (.pth, .pt) or safetensors."
    ]


def test_a_project_starts_with_the_classes_of_a_model(
    engine: InlineEngine, checkpoint: Path, tmp_path: Path, capsys: Capture
) -> None:
    import_model(engine, checkpoint)
    photos = tmp_path / "photos"
    photos.mkdir()
    cv2.imwrite(str(photos / "a.png"), np.zeros((40, 40, 3), np.uint8))
    made = str(tmp_path / "pets")
    assert run(["new", made, "--images", str(photos), "--classes-of", "fcn16s-from-caffe"]) == 0
    assert "1 images, 21 classes" in capsys.readouterr().out
    with Project.open(tmp_path / "pets.segstudio") as project:
        assert project.catalog == Catalog.from_palette("voc")
    out = str(tmp_path / "out")
    assert run(["predict", f"{made}.segstudio", "--model", "fcn16s-from-caffe", "--out", out]) == 0
    assert "trained on other classes" not in capsys.readouterr().err


def test_a_model_for_any_classes_gives_none() -> None:
    assert classes_of_model("objects-unet-small").sorted_names == ("background", "object")
    with pytest.raises(ModelError, match="has no classes of its own"):
        classes_of_model("unet")


def test_a_checkpoints_path_works_wherever_a_model_is_asked_for(
    engine: InlineEngine, checkpoint: Path, tmp_path: Path, capsys: Capture
) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((30, 40, 3), np.uint8))
    given = ["predict", str(tmp_path / "a.png"), "--out", str(tmp_path / "out"), "--model"]
    assert run([*given, str(checkpoint)]) == 0
    assert "FCN-16s of wkentaro/pytorch-fcn" in capsys.readouterr().err
    assert (tmp_path / "out" / "a.png").is_file()
    card = next((tmp_path / "segstudio-home" / "data" / "cards").glob("*.toml"))
    found = card_for_checkpoint(engine, str(card.with_suffix(".pt")))
    assert found is not None
    assert found.card == str(card)
    assert card_for_checkpoint(engine, str(card)) is None
    assert card_for_checkpoint(engine, "unet-small") is None
    (tmp_path / "notes.txt").write_text("nothing")
    assert run([*given, str(tmp_path / "notes.txt")]) == 1
    assert "notes.txt is no checkpoint" in capsys.readouterr().err
