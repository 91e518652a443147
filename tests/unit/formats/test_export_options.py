"""What a person may choose about an export, and what each choice does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import CATALOG, labelled_image, picture

from segstudio.core.catalog import Catalog
from segstudio.core.errors import FormatError
from segstudio.core.segmentmap import Segment, SegmentMap
from segstudio.formats.exporting import prepared, with_border
from segstudio.formats.options import ExportOptions, ImageFiles, SeededSplit, Undecided
from segstudio.formats.output import place_image
from segstudio.formats.registry import format_named
from segstudio.imaging.decode import read_image, read_labels


def half_done() -> SegmentMap:
    """Left: decided cell; middle: undecided class 2 (a proposal's remains); right: nobody looked."""
    ids = np.full((4, 9), 255, dtype=np.uint16)
    ids[:, :3], ids[:, 3:6] = 1, 2
    decided = np.zeros(ids.shape, dtype=np.bool_)
    decided[:, :3] = True
    return SegmentMap(ids, decided)


@pytest.mark.parametrize(
    ("reviewed", "undecided", "expected"),
    [
        (True, Undecided.VOID, [1, 2, 255]),
        (True, Undecided.BACKGROUND, [1, 2, 0]),
        (False, Undecided.VOID, [1, 255, 255]),
        (False, Undecided.BACKGROUND, [1, 0, 0]),
    ],
)
def test_undecided_pixels_are_void_or_background_and_a_review_vouches_for_classes(
    tmp_path: Path, reviewed: bool, undecided: Undecided, expected: list[int]
) -> None:
    image = labelled_image(tmp_path, "a.png", half_done(), reviewed=reviewed)
    labels = prepared(image, CATALOG, ExportOptions(undecided=undecided))
    assert labels.ids[0, ::3].tolist() == expected


def test_decided_ignore_stays_void_whatever_becomes_of_undecided_pixels(tmp_path: Path) -> None:
    labels = SegmentMap.from_semantic(np.full((2, 2), 255, dtype=np.uint8))
    image = labelled_image(tmp_path, "a.png", labels)
    assert (prepared(image, CATALOG, ExportOptions(undecided=Undecided.BACKGROUND)).ids == 255).all()


def test_undecided_pixels_cannot_be_background_where_there_is_none(tmp_path: Path) -> None:
    image = labelled_image(tmp_path, "a.png", SegmentMap.empty(2, 2))
    with pytest.raises(FormatError, match="no class 0 called background"):
        prepared(image, Catalog.from_names(["road"]), ExportOptions(undecided=Undecided.BACKGROUND))


@pytest.mark.parametrize(("border", "width"), [(0, 0), (1, 2), (2, 4), (3, 6)])
def test_a_border_is_void_on_both_sides_of_an_edge_and_nowhere_else(border: int, width: int) -> None:
    ids = np.zeros((21, 40), dtype=np.uint16)
    ids[:, 20:] = 256
    labels = with_border(SegmentMap(ids, np.ones(ids.shape, np.bool_), {256: Segment(256, 1)}), border)
    void = labels.ids[10] == 255
    assert void.sum() == width
    assert void[20 - border : 20 + border].all()
    assert (labels.ids[:, :10] == 0).all()


def test_two_touching_instances_of_one_class_are_parted_by_a_border() -> None:
    ids = np.full((5, 10), 256, dtype=np.uint16)
    ids[:, 5:] = 257
    segments = {256: Segment(256, 1), 257: Segment(257, 1)}
    labels = with_border(SegmentMap(ids, np.ones(ids.shape, np.bool_), segments), 1)
    assert labels.semantic()[0].tolist() == [1, 1, 1, 1, 255, 255, 1, 1, 1, 1]


def test_seeded_lists_have_the_parts_asked_for_and_are_the_same_every_time(tmp_path: Path) -> None:
    lists = SeededSplit(train=0.7, validation=0.2, test=0.1, seed=3).assign(50)
    assert [lists.count(name) for name in ("train", "validation", "test")] == [35, 10, 5]
    assert lists == SeededSplit(train=0.7, validation=0.2, test=0.1, seed=3).assign(50)
    assert lists != SeededSplit(train=0.7, validation=0.2, test=0.1, seed=4).assign(50)
    with pytest.raises(FormatError, match="do not add up to 1"):
        SeededSplit(train=0.7, validation=0.7, test=0.1)
    labels = SegmentMap.from_semantic(np.zeros((4, 5), np.uint8))
    images = [labelled_image(tmp_path / "in", f"{n}.png", labels, split="validation") for n in range(10)]
    options = ExportOptions(split=SeededSplit(train=0.5, validation=0.3, test=0.2))
    format_named("voc").export(images, CATALOG, tmp_path / "out", options=options)
    sets = tmp_path / "out/ImageSets/Segmentation"
    sizes = {p.stem: len(p.read_text().split()) for p in sets.iterdir()}
    assert sizes == {"train": 5, "val": 3, "test": 2, "trainval": 8}


def test_images_are_copied_linked_or_referred_to(tmp_path: Path) -> None:
    path = tmp_path / "in" / "a.png"
    path.parent.mkdir()
    Image.fromarray(picture()).save(path)
    copied = place_image(path, tmp_path / "c", "deep/a.png", ImageFiles.COPY)
    linked = place_image(path, tmp_path / "l", "deep/a.png", ImageFiles.LINK)
    named = place_image(path, tmp_path / "r", "deep/a.png", ImageFiles.REFERENCE)
    assert (tmp_path / "c/deep/a.png").stat().st_ino != path.stat().st_ino
    assert (tmp_path / "l/deep/a.png").stat().st_ino == path.stat().st_ino
    assert not (tmp_path / "r").exists()
    assert (copied.file, linked.file, named.file) == ("deep/a.png", "deep/a.png", path.as_posix())
    assert {(p.width, p.height) for p in (copied, linked, named)} == {(60, 40)}


def test_a_link_that_cannot_be_made_is_a_copy_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = SegmentMap.from_semantic(np.zeros((4, 5), np.uint8))
    image = labelled_image(tmp_path / "in", "a.jpg", labels)
    monkeypatch.setattr("segstudio.formats.output._link", lambda _source, _target: False)
    report = format_named("voc").export(
        [image], CATALOG, tmp_path / "out", options=ExportOptions(images=ImageFiles.LINK)
    )
    assert report.warnings == ["Images copied, since links do not reach their drive: 1."]
    assert (tmp_path / "out/JPEGImages/a.jpg").read_bytes() == image.path.read_bytes()


def test_a_turned_image_is_never_linked_and_a_reference_to_it_is_warned_about(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    labels = SegmentMap.from_semantic(np.zeros((6, 4), np.uint8))
    image = labelled_image(tmp_path / "in", "a.jpg", SegmentMap.empty(4, 6), exif=exif)
    image = replace(image, load=labels.copy, width=4, height=6)
    placed = place_image(image.path, tmp_path / "l", "a.jpg", ImageFiles.LINK)
    assert (placed.width, placed.height, placed.turned) == (4, 6, False)
    with Image.open(tmp_path / "l/a.jpg") as written:
        assert written.size == (4, 6)
    assert read_image(image.path).rgb.shape == (6, 4, 3)
    options = ExportOptions(images=ImageFiles.REFERENCE)
    report = format_named("voc").export([image], CATALOG, tmp_path / "out", options=options)
    assert report.warnings[0].startswith("Images turned by EXIF")
    assert read_labels(tmp_path / "out/SegmentationClass/a.png").shape == (6, 4)


def test_options_are_given_as_plain_words_and_checked() -> None:
    assert ExportOptions.of(images="link", tolerance=2) == ExportOptions(images=ImageFiles.LINK, tolerance=2)
    with pytest.raises(FormatError, match="not possible"):
        ExportOptions.of(images="fax")
    with pytest.raises(FormatError, match="not possible"):
        ExportOptions.of(colour="red")
    with pytest.raises(FormatError, match="tolerance of -1"):
        ExportOptions.of(tolerance=-1)
