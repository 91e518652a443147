"""Formats are recognised by cheap looks, and only where they are clear."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segstudio.core.segmentmap import Segment, SegmentMap
from segstudio.formats.registry import FORMATS
from segstudio.services.detecting import Target, detect_format, target_state
from segstudio.services.exporting import export_project
from segstudio.services.workspace import Workspace


def _png(mode: str) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (4, 3)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def labelled(workspace: Workspace) -> Workspace:
    ids = np.zeros((40, 60), np.uint16)
    ids[5:20, 5:30] = 256
    for item in workspace.images:
        made = SegmentMap(ids.copy(), np.ones(ids.shape, np.bool_), {256: Segment(256, 1)})
        workspace.project.save_map(item.id, made, action="test")
    return workspace


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_export_is_recognised_with_its_marker_and_by_its_looks(
    labelled: Workspace, tmp_path: Path, name: str
) -> None:
    export_project(labelled.project, labelled.catalog, name, tmp_path / "out")
    assert detect_format(tmp_path / "out") == name
    (tmp_path / "out" / ".segstudio-export").unlink()
    assert detect_format(tmp_path / "out") == name


def test_real_folders_are_recognised(shared_data: Path) -> None:
    assert detect_format(shared_data / "voc-mini") == "voc"
    assert detect_format(shared_data / "voc-mini" / "SegmentationClass") == "voc"
    assert detect_format(shared_data / "voc-mini" / "labelme") == "labelme"
    assert detect_format(shared_data / "nuclei" / "train") == "index-png"
    assert detect_format(shared_data / "camvid" / "val") == "index-png"
    assert detect_format(shared_data / "nuclei" / "train" / "images") is None


@pytest.mark.parametrize(("mode", "expected"), [("P", "index-png"), ("L", None), ("RGB", None), ("I;16", None)])
def test_only_palettes_are_labels_beyond_doubt(tmp_path: Path, mode: str, expected: str | None) -> None:
    (tmp_path / "a.png").write_bytes(_png(mode))
    assert detect_format(tmp_path) == expected


@pytest.mark.parametrize(("mode", "expected"), [("L", "index-png"), ("RGB", "color-png")])
def test_a_class_table_beside_them_makes_pictures_labels(tmp_path: Path, mode: str, expected: str) -> None:
    (tmp_path / "a.png").write_bytes(_png(mode))
    (tmp_path / "classes.txt").write_text("sky\n")
    assert detect_format(tmp_path) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"images": [], "annotations": [{"segmentation": []}], "categories": []}, "coco"),
        ({"images": [], "annotations": [{"segments_info": []}], "categories": [{"isthing": 1}]}, "panoptic"),
        ({"shapes": [], "imagePath": "a.png"}, "labelme"),
        ({"something": "else"}, None),
    ],
)
def test_a_json_file_is_known_by_its_keys(tmp_path: Path, content: object, expected: str | None) -> None:
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert detect_format(tmp_path / "a.json") == expected


def test_keys_at_the_end_of_a_large_file_count(tmp_path: Path) -> None:
    images = [{"id": n, "file_name": f"{n:06}.jpg"} for n in range(5000)]
    content = {"images": images, "annotations": [{"segments_info": []}], "categories": []}
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert detect_format(tmp_path / "a.json") == "panoptic"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 3}', '{"format": "../x"}'])
def test_a_broken_marker_is_no_guess(tmp_path: Path, text: str) -> None:
    (tmp_path / ".segstudio-export").write_text(text)
    assert detect_format(tmp_path) is None


def test_what_is_not_there_or_empty_is_not_recognised(tmp_path: Path) -> None:
    assert detect_format(tmp_path) is None
    assert detect_format(tmp_path / "absent") is None
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    (tmp_path / "a.json").write_bytes(b"\xff\x00")
    assert detect_format(tmp_path) is None


def test_a_target_is_free_ours_or_taken(tmp_path: Path) -> None:
    assert target_state(tmp_path / "new", as_zip=False) is Target.FREE
    assert target_state(tmp_path, as_zip=False) is Target.FREE
    (tmp_path / "note").write_text("mine")
    assert target_state(tmp_path, as_zip=False) is Target.TAKEN
    assert target_state(tmp_path / "note", as_zip=False) is Target.TAKEN
    assert target_state(tmp_path / "note", as_zip=True) is Target.TAKEN
    (tmp_path / ".segstudio-export").write_text("{}")
    assert target_state(tmp_path, as_zip=False) is Target.EARLIER_EXPORT
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(".segstudio-export", "{}")
    assert target_state(tmp_path / "a.zip", as_zip=True) is Target.EARLIER_EXPORT


@pytest.mark.parametrize("folder", ["labels", "instances", "masks"])
def test_grey_pngs_in_a_folder_of_masks_are_index_pngs_whatever_the_images_beside_are(
    tmp_path: Path, folder: str
) -> None:
    for name, picture in (("images", Image.new("RGB", (4, 4))), (folder, Image.new("I;16", (4, 4)))):
        (tmp_path / name).mkdir()
        picture.save(tmp_path / name / "a.png")
    assert detect_format(tmp_path) == "index-png"
    assert detect_format(tmp_path / folder) == "index-png"
    assert detect_format(tmp_path / "images") is None
