"""Which files of a folder are images, and in which order."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from segstudio.imaging.decode import find_images, natural_key


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_numbers_in_names_count_as_numbers() -> None:
    names = ["image10.png", "Image9.png", "image1b.png", "image1.png", "10.png", "9.png", "ä.png"]
    assert sorted(names, key=natural_key) == [
        "9.png",
        "10.png",
        "image1.png",
        "image1b.png",
        "Image9.png",
        "image10.png",
        "ä.png",
    ]


def test_images_come_in_natural_order_files_before_folders(tmp_path: Path) -> None:
    touch(tmp_path, "10.png", "9.JPG", "notes.txt", "b2/1.tif", "b10/1.webp", "b2/deep/x.bmp")
    scan = find_images(tmp_path)
    assert [p.relative_to(tmp_path).as_posix() for p in scan.paths] == [
        "9.JPG",
        "10.png",
        "b2/1.tif",
        "b2/deep/x.bmp",
        "b10/1.webp",
    ]
    assert scan.problems == []


def test_hidden_entries_and_projects_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, ".hidden.png", ".cache/a.png", "my.segstudio/cache/b.png", "c.png")
    assert [p.name for p in find_images(tmp_path).paths] == ["c.png"]


def test_folder_named_as_an_image_is_searched_not_listed(tmp_path: Path) -> None:
    touch(tmp_path, "folder.png/inside.png")
    assert [p.name for p in find_images(tmp_path).paths] == ["inside.png"]


def test_linked_folders_end(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png", "elsewhere/2.png")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "again").symlink_to(tmp_path / "a")
    names = [p.relative_to(tmp_path).as_posix() for p in find_images(tmp_path).paths]
    assert names == ["a/1.png", "again/1.png", "elsewhere/2.png"]


def test_unreadable_folder_is_one_sentence_and_the_rest_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "locked/1.png", "open/2.png")
    real = os.scandir

    def scandir(path: str) -> object:
        if path.endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    scan = find_images(tmp_path)
    assert [p.name for p in scan.paths] == ["2.png"]
    assert scan.problems == ["The folder locked cannot be read (Permission denied)."]


def test_missing_folder_is_a_problem_not_a_crash(tmp_path: Path) -> None:
    scan = find_images(tmp_path / "gone")
    assert scan.paths == []
    assert "gone" in scan.problems[0]


def test_20000_files_are_found_in_well_under_a_second(tmp_path: Path) -> None:
    for index in range(20_000):
        os.close(os.open(tmp_path / f"image_{index}.png", os.O_CREAT))
    started = time.perf_counter()
    scan = find_images(tmp_path)
    seconds = time.perf_counter() - started
    assert [scan.paths[2].name, scan.paths[-1].name] == ["image_2.png", "image_19999.png"]
    assert len(scan.paths) == 20_000
    assert seconds < 1.0
