"""`import segstudio`: what a program sees of a project, and how light it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import segstudio
from segstudio.core.errors import ProjectError, ProjectLocked, UserError
from segstudio.core.items import Status


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("b", "a"):
        cv2.imwrite(str(folder / f"{name}.png"), np.full((6, 8, 3), 40, np.uint8))
    return folder


def test_a_project_made_by_a_program_opens_again_with_its_labels(tmp_path: Path, images: Path) -> None:
    with segstudio.Project.create(tmp_path / "p", images=images, classes=["background", "cell"]) as project:
        assert project.path == tmp_path / "p.segstudio"
        assert [i.name for i in project.images] == ["a.png", "b.png"]
        first = project.images[0]
        empty = project.annotation(first)
        assert empty.shape == (6, 8)
        assert not empty.decided.any()
        labels = np.eye(6, 8, dtype=np.uint8)
        project.set_annotation(first, segstudio.SegmentMap.from_semantic(labels), reviewed=True)
    with segstudio.Project.open(tmp_path / "p.segstudio") as again:
        assert (again.annotation(again.images[0].id).semantic() == labels).all()
        assert again.images[0].status is Status.REVIEWED
        assert again.catalog.names == ("background", "cell")


def test_labels_go_out_and_come_in_again(tmp_path: Path, images: Path) -> None:
    labels = np.eye(6, 8, dtype=np.uint8)
    with segstudio.Project.create(tmp_path / "p", images=images, classes=["background", "cell"]) as project:
        project.set_annotation(project.images[1], segstudio.SegmentMap.from_semantic(labels))
        assert project.images[1].status is Status.IN_PROGRESS
        assert project.export(tmp_path / "out", format="index-png").images == 1
        with pytest.raises(UserError, match="No image is reviewed"):
            project.export(tmp_path / "out2", reviewed_only=True)
        project.set_annotation(project.images[1], segstudio.SegmentMap.empty(6, 8))
        assert project.import_labels(tmp_path / "out", format="index-png").images == 1
        assert (project.annotation(project.images[1]).semantic() == labels).all()


@pytest.mark.parametrize("kind", ["names", "file", "palette", "catalog", "none"])
def test_classes_can_be_given_in_every_way(tmp_path: Path, images: Path, kind: str) -> None:
    (tmp_path / "classes.txt").write_text("background\ncell\n", encoding="utf-8")
    given: dict[str, tuple[object, int]] = {
        "names": (["background", "cell"], 2),
        "file": (tmp_path / "classes.txt", 2),
        "palette": ("camvid", len(segstudio.Catalog.from_palette("camvid"))),
        "catalog": (segstudio.Catalog.from_names(["a", "b", "c"]), 3),
        "none": (None, 2),
    }
    classes, count = given[kind]
    with segstudio.Project.create(tmp_path / "p", images=images, classes=classes) as project:  # type: ignore[arg-type]
        assert len(project.catalog) == count


def test_labels_of_a_class_the_project_lacks_are_refused(tmp_path: Path, images: Path) -> None:
    with segstudio.Project.create(tmp_path / "p", images=images, classes=["background", "cell"]) as project:
        strange = segstudio.SegmentMap.from_semantic(np.full((6, 8), 7, np.uint8))
        with pytest.raises(UserError, match="value 7"):
            project.set_annotation(project.images[0], strange)
        undecided = segstudio.SegmentMap.from_semantic(np.full((6, 8), 7, np.uint8), np.zeros((6, 8), bool))
        with pytest.raises(UserError, match="value 7"):
            project.set_annotation(project.images[0], undecided, reviewed=True)
        assert project.images[0].revision == 0


def test_labels_of_another_size_are_refused(tmp_path: Path, images: Path) -> None:
    with segstudio.Project.create(tmp_path / "p", images=images, classes=["background", "cell"]) as project:
        small = segstudio.SegmentMap.from_semantic(np.zeros((3, 3), np.uint8))
        with pytest.raises(UserError, match="3 x 3"):
            project.set_annotation(project.images[0], small)
        assert project.images[0].revision == 0


def test_a_project_in_use_or_missing_is_one_sentence(tmp_path: Path, images: Path) -> None:
    with (
        segstudio.Project.create(tmp_path / "p", images=images),
        pytest.raises(ProjectLocked, match="already open"),
    ):
        segstudio.Project.open(tmp_path / "p.segstudio")
    with pytest.raises(ProjectError):
        segstudio.Project.open(tmp_path / "nothing.segstudio")


def test_every_public_name_is_there_and_others_are_not() -> None:
    light = set(segstudio.__all__) - {"create_model", "load_model", "predict"}
    assert all(getattr(segstudio, name) is not None for name in light)
    assert set(segstudio.__all__) <= set(dir(segstudio))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = segstudio.nonsense  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("import segstudio", ("torch", "PySide6", "cv2")),
        ("import segstudio; segstudio.Project", ("torch", "PySide6", "pydensecrf")),
        ("import segstudio; segstudio.refine", ("torch", "PySide6")),
        ("import segstudio.services.workspace", ("torch", "PySide6", "pydensecrf")),
        ("import segstudio.services.engines", ("torch", "PySide6", "pydensecrf")),
        ("import segstudio.cli.app", ("torch", "PySide6", "pydensecrf")),
        ("import segstudio.__main__", ("torch", "PySide6", "typer", "numpy")),
        ("import segstudio.gui.app, segstudio.gui.workbench", ("torch", "torchvision", "pydensecrf", "typer")),
    ],
)
def test_importing_pulls_nothing_heavy(statement: str, heavy: tuple[str, ...]) -> None:
    code = f"{statement}\nimport sys\nprint([n for n in {heavy!r} if n in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip() == "[]"
