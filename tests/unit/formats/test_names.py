"""Names of images on their way out and back: no label ever finds another one's image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support import CATALOG, labelled_image, table

from segstudio.core.segmentmap import SegmentMap
from segstudio.formats.base import ImportedLabel, LoadRequest, load_for_image
from segstudio.formats.names import flat_stems, label_names, match_labels, unique_names
from segstudio.formats.regions import names_with_own_stems
from segstudio.formats.registry import FORMATS, format_named

ODD = (
    *("a.jpg", "a.png", "a-2.jpg", "sub/a.jpg", "sub_a.jpg", "x.y.z.png", " lead.png", "sp  ace .png", "ünï.jpg"),
    *("new\nline.png", "co:lon.png", "labels/in.png", "instances/in.png", "SegmentationClass/in.png", "train/in.png"),
    *("photo.jpg", "photo.jpg.jpg", "images/in.png"),
)
NUMBERED = {
    "voc": {"sub/a.jpg"},
    "pascal-context": {"sub/a.jpg"},
    "labelme": {"photo.jpg.jpg"},
    "yolo": {"photo.jpg.jpg", "images/in.png"},
}
"""Where a format can only number a name, or has to change a folder; the report of the export says so."""


@pytest.mark.parametrize("name", FORMATS)
def test_odd_names_come_back_to_their_own_images_in_every_format(name: str, tmp_path: Path) -> None:
    images = [
        labelled_image(tmp_path / "images", odd, SegmentMap.from_semantic(np.full((3 + index, 4), 7, dtype=np.uint8)))
        for index, odd in enumerate(ODD)
    ]
    report = format_named(name).export(images, CATALOG, tmp_path / "out")
    found = format_named(name).importer.read(tmp_path / "out")
    matches = match_labels(found.labels, ODD)
    for index, label in matches.pairs:  # no two images have one size, so a label of another one is refused
        labels = load_for_image(label, ODD[index], LoadRequest(table(found.classes), 4, 3 + index, 0))
        assert (labels.semantic() == 7).all()
    missing = set(ODD) - {ODD[index] for index, _ in matches.pairs}
    assert missing == NUMBERED.get(name, set())
    assert all(any(lost.rpartition("/")[2].rpartition(".")[0] in line for line in report.warnings) for lost in missing)


def test_a_number_that_makes_a_name_unique_is_not_one_that_another_name_has() -> None:
    assert unique_names(["A.jpg", "a.jpg", "a-2.jpg", "a.jpg"]) == ["A.jpg", "a-3.jpg", "a-2.jpg", "a-4.jpg"]
    assert unique_names(["a-2.jpg", "a.jpg", "A.jpg"]) == ["a-2.jpg", "a.jpg", "A-3.jpg"]


def test_flat_names_take_folders_and_suffixes_in_only_where_they_have_to() -> None:
    assert flat_stems(["p/a.jpg", "q/b.jpg"]) == ["a", "b"]
    assert flat_stems(["p/a.jpg", "q/a.jpg", "b.jpg"]) == ["p_a", "q_a", "b"]
    assert flat_stems(["p/a.jpg", "p/a.png", "q/a.png"]) == ["p_a_jpg", "p_a_png", "q_a"]
    assert flat_stems(["p/a.jpg", "q/a.jpg", "p_a.jpg"]) == ["p_a_jpg", "q_a", "p_a"]
    assert flat_stems(["photo.jpg.jpg", "photo.jpg"]) == ["photo.jpg_jpg", "photo"]
    assert flat_stems(["a.jpg", "A.jpg"]) == ["a_jpg", "A_jpg-2"]


def test_a_label_file_is_not_called_as_another_image_is() -> None:
    assert label_names(["photo.jpg", "photo.jpg.jpg"], ".png") == ["photo.png", "photo.jpg.jpg.png"]
    assert label_names(["photo.jpg", "photo.tif", "x.jpg"], ".png") == ["photo.jpg.png", "photo.tif.png", "x.png"]


def test_who_can_keep_a_name_keeps_it_whatever_the_order() -> None:
    names = ["photo.png", "photo.jpg", "photo.jpg.jpg"]
    assert names_with_own_stems(names)[2] == "photo.jpg.jpg"


def test_what_may_be_several_images_is_none_of_them(tmp_path: Path) -> None:
    labels = [ImportedLabel(name, lambda _: SegmentMap.empty(1, 1), tmp_path) for name in ("c", "p_a", "10_20")]
    matches = match_labels(labels, ["c.tif", "c.png", "p/a.png", "10:20.jpg"])
    assert [(index, label.name) for index, label in matches.pairs] == [(2, "p_a"), (3, "10_20")]
    assert matches.unmatched == ["c"]
