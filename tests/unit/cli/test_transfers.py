"""The options of `import` and `export` as a person gives them."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from segstudio.cli.app import run
from segstudio.core.items import Status
from segstudio.formats.registry import FORMATS
from segstudio.imaging.decode import read_labels
from segstudio.project.project import Project

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def project(tmp_path: Path, capsys: Capture) -> Path:
    """Ten reviewed images: background, a cell with a hole, and some ignore."""
    photos, labels = tmp_path / "photos", tmp_path / "labels"
    photos.mkdir()
    labels.mkdir()
    for number in range(10):
        cv2.imwrite(str(photos / f"photo{number}.jpg"), np.full((20, 24, 3), 20 * number, np.uint8))
        mask = np.zeros((20, 24), np.uint8)
        mask[3:15, 4:18] = 1
        mask[7:10, 8:12] = 0
        mask[18:] = 255
        cv2.imwrite(str(labels / f"photo{number}.png"), mask)
    (labels / "classes.txt").write_text("background\ncell\n", encoding="utf-8")
    made = str(tmp_path / "cells")
    assert run(["new", made, "--images", str(photos), "--classes", str(labels / "classes.txt")]) == 0
    assert run(["import", f"{made}.segstudio", str(labels), "--format", "index-png"]) == 0
    capsys.readouterr()
    return tmp_path / "cells.segstudio"


@pytest.fixture
def strangers(tmp_path: Path) -> Path:
    """Labels of a class called "moon", which the project lacks."""
    folder = tmp_path / "strangers"
    folder.mkdir()
    cv2.imwrite(str(folder / "photo0.png"), np.full((20, 24), 1, np.uint8))
    (folder / "classes.toml").write_text('[[classes]]\nid = 1\nname = "moon"\ncolor = [9, 8, 7]\n', encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_goes_out_and_comes_back_with_its_classes(
    tmp_path: Path, project: Path, capsys: Capture, name: str
) -> None:
    out = tmp_path / "out"
    assert run(["export", str(project), str(out), "--format", name]) == 0
    assert f"10 images written to {out}" in capsys.readouterr().out
    assert run(["import", str(project), str(out), "--format", name]) == 0
    assert "Labels of 10 images imported." in capsys.readouterr().out
    with Project.open(project) as opened:
        for item in opened.images():
            labels = opened.load_map(item.id)
            assert labels is not None
            assert (labels.semantic()[3:7, 4:18] == 1).all()
            assert (labels.semantic()[:3] == 0).all()


def test_what_is_lost_is_said_before_anything_is_written(tmp_path: Path, project: Path, capsys: Capture) -> None:
    assert run(["export", str(project), "--format", "yolo", "--check", "--json", str(tmp_path / "loss.json")]) == 0
    told = capsys.readouterr().out
    assert "Holes filled: 10." in told
    assert "Pixels of ignore that become background: 480." in told
    figures = json.loads((tmp_path / "loss.json").read_text(encoding="utf-8"))
    assert figures["changed_pixels"] == 10 * (12 + 48)
    assert figures["lost"]["Holes filled"] == 10
    assert not (tmp_path / "out").exists()
    assert run(["export", str(project), str(tmp_path / "out"), "--format", "yolo"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("600 of 4,800 pixels (12.500%) change")
    assert lines[-1] == f"10 images written to {tmp_path / 'out'}"


def test_a_place_to_write_to_is_needed_unless_one_only_checks(project: Path) -> None:
    assert run(["export", str(project), "--format", "voc"]) == 2


def test_new_lists_are_drawn_by_parts_and_seed(tmp_path: Path, project: Path) -> None:
    lists = {}
    for seed in ("1", "1", "2"):
        out = tmp_path / f"out{len(lists)}-{seed}"
        arguments = ["--format", "voc", "--split", "60/20/20", "--seed", seed]
        assert run(["export", str(project), str(out), *arguments]) == 0
        sets = out / "ImageSets/Segmentation"
        lists[out] = [(sets / f"{part}.txt").read_text().split() for part in ("train", "val", "test")]
    first, again, other = lists.values()
    assert [len(part) for part in first] == [6, 2, 2]
    assert first == again
    assert first != other


def test_bare_masks_go_into_one_zip(tmp_path: Path, project: Path, capsys: Capture) -> None:
    assert run(["export", str(project), str(tmp_path / "masks"), "--format", "index-png", "--zip"]) == 0
    assert "masks.zip" in capsys.readouterr().out.replace("\n", "")
    with zipfile.ZipFile(tmp_path / "masks.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".png")]
        assert len(names) == 10
        with archive.open("photo3.png") as member, Image.open(member) as image:
            assert set(np.unique(np.asarray(image)).tolist()) == {0, 1, 255}
    capsys.readouterr()
    assert run(["export", str(project), str(tmp_path / "masks"), "--format", "index-png", "--zip"]) == 1
    assert "masks.zip exists already" in capsys.readouterr().err
    assert run(["export", str(project), str(tmp_path / "masks"), "--format", "index-png", "--zip", "--replace"]) == 0


def test_borders_are_void_and_an_earlier_export_is_replaced_when_asked(
    tmp_path: Path, project: Path, capsys: Capture
) -> None:
    out = str(tmp_path / "out")
    assert run(["export", str(project), out, "--format", "voc"]) == 0
    assert run(["export", str(project), out, "--format", "voc", "--border", "1"]) == 1
    assert "holds an earlier export" in capsys.readouterr().err
    assert run(["export", str(project), out, "--format", "voc", "--border", "1", "--replace"]) == 0
    labels = read_labels(tmp_path / "out/SegmentationClass/photo0.png")
    assert (labels[2:4, 5:17] == 255).all()
    assert (labels[0] == 0).all()


def test_links_take_no_second_copy(tmp_path: Path, project: Path) -> None:
    assert run(["export", str(project), str(tmp_path / "out"), "--format", "coco", "--images", "link"]) == 0
    photo = tmp_path / "photos/photo0.jpg"
    assert (tmp_path / "out/images/photo0.jpg").samefile(photo)


def test_a_class_the_project_lacks_is_refused_unless_one_says_what_it_becomes(
    project: Path, strangers: Path, capsys: Capture
) -> None:
    given = ["import", str(project), str(strangers), "--format", "index-png"]
    assert run(given) == 1
    told = capsys.readouterr()
    assert 'photo0.png holds the class "moon" (1), which this project lacks' in told.err
    assert 'Give "moon" (1) a class with --map, or --unknown add or --unknown ignore for all.' in told.err
    assert "Labels of 0 images imported." in told.out

    def first() -> tuple[np.ndarray, list[str]]:
        with Project.open(project) as opened:
            labels = opened.load_map(opened.images()[0].id)
            assert labels is not None
            return np.unique(labels.semantic()), list(opened.catalog.names)

    assert run([*given, "--unknown", "ignore"]) == 0
    assert first()[0].tolist() == [255]
    assert run([*given, "--map", "moon=cell"]) == 0
    assert first()[0].tolist() == [1]
    assert run([*given, "--map", "1=background", "--in-progress"]) == 0
    assert first()[0].tolist() == [0]
    assert run([*given, "--by", "id"]) == 0
    assert first()[0].tolist() == [1]
    capsys.readouterr()
    assert run([*given, "--unknown", "add"]) == 0
    assert "1 class added: moon." in capsys.readouterr().out
    assert first()[0].tolist() == [2]
    assert first()[1] == ["background", "cell", "moon"]


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ("moon", "maps nothing"),
        ("sun=cell", 'no class "sun"'),
        ("moon=sea", 'no class "sea"'),
        ("moon=²", 'no class "²"'),
        ("--5=cell", 'no class "--5"'),
    ],
)
def test_a_mapping_that_makes_no_sense_is_one_sentence(
    project: Path, strangers: Path, capsys: Capture, wish: str, words: str
) -> None:
    assert run(["import", str(project), str(strangers), "--format", "index-png", "--map", wish]) == 1
    assert words in capsys.readouterr().err


def test_images_can_stay_in_progress(project: Path, tmp_path: Path) -> None:
    given = ["import", str(project), str(tmp_path / "labels"), "--format", "index-png", "--in-progress"]
    assert run(given) == 0
    with Project.open(project) as opened:
        assert {item.status for item in opened.images()} == {Status.IN_PROGRESS}


def test_the_format_of_labels_is_recognised_unless_it_is_given(tmp_path: Path, project: Path, capsys: Capture) -> None:
    assert run(["export", str(project), str(tmp_path / "out"), "--format", "coco"]) == 0
    assert run(["import", str(project), str(tmp_path / "out")]) == 0
    told = capsys.readouterr()
    assert "Recognised as COCO instances." in told.err
    assert "Labels of 10 images imported." in told.out
    (tmp_path / "notes.txt").write_text("hello", encoding="utf-8")
    assert run(["import", str(project), str(tmp_path / "notes.txt")]) == 1
    assert "notes.txt holds no labels that were recognised." in capsys.readouterr().err
    assert run(["export", str(project), str(tmp_path / "pack"), "--format", "coco", "--zip"]) == 0
    assert run(["import", str(project), str(tmp_path / "pack.zip")]) == 1
    assert "pack.zip is a zip file. Unpack it, and choose the folder." in capsys.readouterr().err


@pytest.mark.parametrize("given", [[], ["--format", "voc"]])
def test_labels_that_are_not_there_are_called_so(project: Path, capsys: Capture, given: list[str]) -> None:
    assert run(["import", str(project), "/nowhere/labels", *given]) == 1
    assert "There is no folder or file /nowhere/labels." in capsys.readouterr().err


def test_classes_without_colours_are_not_matched_by_colour(tmp_path: Path, project: Path, capsys: Capture) -> None:
    folder = tmp_path / "VOC" / "SegmentationClass"
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "photo0.png"), np.zeros((20, 24), np.uint8))
    (tmp_path / "VOC" / "class_names.txt").write_text("background\n", encoding="utf-8")
    assert run(["import", str(project), str(tmp_path / "VOC"), "--by", "color"]) == 1
    assert "have no colours. Match them by name or by id." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["coco", "--tolerance", "2"], "--tolerance needs --polygons"),
        (["voc", "--polygons"], "leave --polygons out"),
        (["coco", "--border", "2"], "leave --border out"),
        (["coco", "--json", "loss.json"], "--json needs --check"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(
    tmp_path: Path, project: Path, capsys: Capture, options: list[str], words: str
) -> None:
    assert run(["export", str(project), str(tmp_path / "out"), "--format", *options]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_taken_target_is_refused_before_losses_are_looked_for(tmp_path: Path, project: Path, capsys: Capture) -> None:
    assert run(["export", str(project), str(tmp_path / "photos"), "--format", "yolo"]) == 1
    told = capsys.readouterr()
    assert "not empty" in told.err
    assert "Checking" not in told.err and not told.out
