"""PASCAL VOC: masks, objects and boxes, as VOC publishes them and as we write them."""

from __future__ import annotations

import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from hostile import write_png_bomb
from hypothesis import given, settings
from PIL import Image
from support import CATALOG, labelled_image, load, read_back, segment_maps

from segstudio.core.catalog import Catalog
from segstudio.core.errors import FormatError, ImageError
from segstudio.core.segmentmap import Segment, SegmentMap
from segstudio.formats.options import ExportOptions
from segstudio.formats.registry import format_named
from segstudio.formats.voc_xml import read_annotation
from segstudio.imaging.decode import write_index_png

VOC = format_named("voc")


def square(size: int = 8) -> SegmentMap:
    """Background, an instance in rows 2-4 and columns 1-5, and a crowd in the last row."""
    ids = np.zeros((size, size + 2), dtype=np.uint16)
    ids[2:5, 1:6] = 256
    ids[-1] = 300
    segments = {256: Segment(256, 1), 300: Segment(300, 7, crowd=True)}
    return SegmentMap(ids, np.ones(ids.shape, dtype=np.bool_), segments)


def masks(folder: Path, name: str, classes: list[list[int]], objects: list[list[int]] | None = None) -> None:
    """A class PNG, and an object PNG if given."""
    for part, values in (("SegmentationClass", classes), ("SegmentationObject", objects)):
        if values is not None:
            (folder / part).mkdir(parents=True, exist_ok=True)
            write_index_png(folder / part / f"{name}.png", np.array(values, dtype=np.uint8))


def annotate(folder: Path, name: str, text: str) -> None:
    (folder / "Annotations").mkdir(exist_ok=True)
    (folder / "Annotations" / f"{name}.xml").write_text(text, encoding="utf-8")


@settings(max_examples=25, deadline=None)
@given(segment_maps())
def test_every_pixel_instance_and_crowd_comes_back(labels: SegmentMap) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        VOC.export([labelled_image(root / "in", "a.jpg", labels)], CATALOG, root / "out")
        assert read_back("voc", root / "out", {"a": labels.shape})["a"] == labels


def test_segment_ids_that_8_bits_cannot_hold_come_back(tmp_path: Path) -> None:
    labels = SegmentMap.from_semantic(np.zeros((8, 9), dtype=np.uint8))
    labels.ids[:2], labels.ids[4:] = 60_000, 700
    labels.segments.update({60_000: Segment(60_000, 1), 700: Segment(700, 7)})
    VOC.export([labelled_image(tmp_path / "in", "a.png", labels)], CATALOG, tmp_path / "out")
    assert read_back("voc", tmp_path / "out", {"a": (8, 9)})["a"] == labels


def test_torchvision_reads_the_boxes_of_instances(tmp_path: Path) -> None:
    from torchvision.datasets import VOCDetection

    images = [
        labelled_image(tmp_path / "in", "a & b.jpg", square()),
        labelled_image(tmp_path / "in", "c.jpg", SegmentMap.empty(8, 10), split="validation"),
    ]
    VOC.export(images, CATALOG, tmp_path / "out")
    image, target = VOCDetection(tmp_path / "out", year="2012", image_set="train")[0]
    annotation = target["annotation"]
    assert image.size == (10, 8)
    assert annotation["size"] == {"width": "10", "height": "8", "depth": "3"}
    assert annotation["filename"] == "a & b.jpg"
    assert [o["name"] for o in annotation["object"]] == ["cell", CATALOG[7].name]
    assert annotation["object"][0]["bndbox"] == {"xmin": "2", "ymin": "3", "xmax": "6", "ymax": "5"}
    assert annotation["object"][1]["bndbox"] == {"xmin": "1", "ymin": "8", "xmax": "10", "ymax": "8"}
    empty = VOCDetection(tmp_path / "out", year="2012", image_set="val")[0][1]
    assert empty["annotation"]["object"] == []


def test_torchvision_reads_an_export_with_borders(tmp_path: Path) -> None:
    from torchvision.datasets import VOCSegmentation

    image = labelled_image(tmp_path / "in", "a.jpg", square())
    VOC.export([image], CATALOG, tmp_path / "out", options=ExportOptions(border=1))
    mask = np.asarray(VOCSegmentation(tmp_path / "out", year="2012", image_set="train")[0][1])
    assert mask[2:5, 1:6].tolist() == [[255] * 5, [255, 1, 1, 1, 255], [255] * 5]


def test_names_in_annotations_are_valid_xml_whatever_they_are(tmp_path: Path) -> None:
    catalog = Catalog.from_names(["background", "<&>\"' \x07é"])
    labels = square()
    labels.segments[300] = Segment(300, 1)
    VOC.export([labelled_image(tmp_path / "in", "a.jpg", labels)], catalog, tmp_path / "out")
    root = ET.parse(tmp_path / "out/Annotations/a.xml").getroot()
    assert root.findtext("object/name") == "<&>\"' é"


def test_published_numbers_are_matched_by_the_names_of_voc(tmp_path: Path) -> None:
    masks(tmp_path, "2007_000032", [[0, 1, 15, 255]], [[0, 1, 2, 255]])
    (tmp_path / "ImageSets/Segmentation").mkdir(parents=True)
    (tmp_path / "JPEGImages").mkdir()
    found = VOC.importer.read(tmp_path)
    assert [c.name for c in found.classes][:2] == ["background", "aeroplane"]
    catalog = Catalog.from_names(["background", "person", "aeroplane"])
    labels = load(found.labels[0], found.classes, (1, 4), catalog=catalog)
    assert labels.semantic().tolist() == [[0, 2, 1, 255]]
    assert labels.segments == {256: Segment(256, 2), 257: Segment(257, 1)}


def test_numbers_stay_numbers_where_the_folder_is_not_the_published_one(tmp_path: Path) -> None:
    masks(tmp_path, "street", [[0, 1]])
    (tmp_path / "ImageSets/Segmentation").mkdir(parents=True)
    (tmp_path / "JPEGImages").mkdir()
    found = VOC.importer.read(tmp_path)
    assert found.classes == ()
    assert load(found.labels[0], (), (1, 2)).ids.tolist() == [[0, 1]]


@pytest.mark.parametrize(("first", "number"), [("__ignore__", 0), ("_background_", 1)])
def test_lists_of_names_may_begin_with_ignore(tmp_path: Path, first: str, number: int) -> None:
    masks(tmp_path, "a", [[number, 255]])
    (tmp_path / "class_names.txt").write_text(f"{first}\ncell\n")
    found = VOC.importer.read(tmp_path)
    labels = load(found.labels[0], found.classes, (1, 2), catalog=Catalog.from_names(["background", "x", "cell"]))
    assert labels.ids.tolist() == [[2, 255]]


def test_labelmaps_of_cvat_name_the_numbers(tmp_path: Path) -> None:
    masks(tmp_path, "a", [[0, 1]])
    (tmp_path / "labelmap.txt").write_text("# label:color_rgb:parts:actions\nbackground:0,0,0::\nsky:9,9,9:a,b:c\n")
    found = VOC.importer.read(tmp_path)
    assert load(found.labels[0], found.classes, (1, 2)).ids.tolist() == [[0, 2]]


def test_masks_in_colours_are_refused_with_the_format_that_reads_them(tmp_path: Path) -> None:
    (tmp_path / "SegmentationClass").mkdir()
    Image.new("RGB", (4, 3), (128, 0, 0)).save(tmp_path / "SegmentationClass/a.png")
    label = VOC.importer.read(tmp_path).labels[0]
    with pytest.raises(ImageError, match=r"a\.png holds colours.*color-png"):
        load(label, (), (3, 4))


def test_boxes_alone_are_refused(tmp_path: Path) -> None:
    annotate(tmp_path, "a", "<annotation/>")
    with pytest.raises(FormatError, match="boxes alone are no labels of pixels"):
        VOC.importer.read(tmp_path)


def test_annotations_of_another_size_are_refused_with_both(tmp_path: Path) -> None:
    masks(tmp_path, "a", [[0, 1]])
    annotate(tmp_path, "a", "<annotation><size><width>5</width><height>4</height></size></annotation>")
    with pytest.raises(FormatError, match=r"Annotations/a\.xml is 5 x 4 pixels, but its image a\.png is 2 x 1"):
        load(VOC.importer.read(tmp_path).labels[0], (), (1, 2))


@pytest.mark.parametrize(
    "size", ["", "<size><width>0</width><height>0</height></size>", "<size><width>x</width></size>"]
)
def test_annotations_that_say_no_size_do_not_matter(tmp_path: Path, size: str) -> None:
    masks(tmp_path, "a", [[0, 1]], [[0, 1]])
    annotate(
        tmp_path, "a", f"<annotation>{size}<object><name>cell</name><difficult>1</difficult></object></annotation>"
    )
    assert load(VOC.importer.read(tmp_path).labels[0], (), (1, 2)).ids.tolist() == [[0, 256]]


@pytest.mark.parametrize(
    "marks",
    [
        [(1, 300, 0), (2, 300, 0)],  # one id for two objects
        [(1, 300, 0)],  # the second is missing
        [(1, 3, 0), (2, 400, 0)],  # a class' number
        [(1, 70_000, 0), (2, 400, 0)],
    ],
)
def test_segment_ids_that_make_no_sense_are_passed_over(tmp_path: Path, marks: list[tuple[int, int, int]]) -> None:
    masks(tmp_path, "a", [[0, 1, 7]], [[0, 1, 2]])
    objects = "".join(
        f"<object><number>{n}</number><segment>{s}</segment><crowd>{c}</crowd></object>" for n, s, c in marks
    )
    annotate(tmp_path, "a", f"<annotation>{objects}</annotation>")
    labels = load(VOC.importer.read(tmp_path).labels[0], (), (1, 3))
    assert labels.segments == {256: Segment(256, 1), 257: Segment(257, 7)}


BOMB = '<!DOCTYPE a [<!ENTITY b "bbbbbbbb">]><annotation><size><width>&b;</width></size></annotation>'
EXTERNAL = '<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotation/>'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (BOMB, "declares a document type or entities"),
        (EXTERNAL, "declares a document type or entities"),
        ("<annotation>", "is no valid XML"),
        ('<?xml version="1.0" encoding="no-such"?><a/>', "is no valid XML"),
        ("", "is no valid XML"),
    ],
)
def test_hostile_annotations_are_refused_in_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    annotate(tmp_path, "a", text)
    with pytest.raises(FormatError, match=sentence):
        read_annotation(tmp_path / "Annotations/a.xml")


def test_deeply_nested_annotations_do_not_overflow(tmp_path: Path) -> None:
    annotate(tmp_path, "a", "<a>" * 50_000 + "</a>" * 50_000)
    assert read_annotation(tmp_path / "Annotations/a.xml").size is None


def test_png_bombs_are_refused_before_anything_is_decoded(tmp_path: Path) -> None:
    (tmp_path / "SegmentationClass").mkdir()
    write_png_bomb(tmp_path / "SegmentationClass/a.png")
    with pytest.raises(ImageError, match=r"a\.png is too large: 100,000 x 100,000"):
        load(VOC.importer.read(tmp_path).labels[0], (), (3, 4))


def test_cut_off_masks_are_refused(tmp_path: Path) -> None:
    masks(tmp_path, "a", np.random.default_rng(0).integers(0, 3, (40, 40)).tolist())
    path = tmp_path / "SegmentationClass/a.png"
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(ImageError, match=r"a\.png"):
        load(VOC.importer.read(tmp_path).labels[0], (), (40, 40))


def test_values_beyond_8_bits_are_named(tmp_path: Path) -> None:
    (tmp_path / "SegmentationClass").mkdir()
    write_index_png(tmp_path / "SegmentationClass/a.png", np.array([[0, 4000]], dtype=np.uint16))
    with pytest.raises(FormatError, match=r"a\.png holds the class 4000"):
        load(VOC.importer.read(tmp_path).labels[0], (), (1, 2))


def test_real_voc_masks_survive_import_export_and_import(tmp_path: Path, shared_data: Path) -> None:
    source = shared_data / "voc-mini"
    found = VOC.importer.read(source)
    catalog = Catalog.from_palette("voc")
    for label in found.labels:
        with Image.open(source / "SegmentationClass" / f"{label.name}.png") as image:
            expected = np.asarray(image)
        labels = load(label, found.classes, expected.shape, catalog=catalog)
        assert np.array_equal(labels.semantic(), expected)
        image = labelled_image(tmp_path / "in", f"{label.name}.jpg", labels)
        VOC.export([image], catalog, tmp_path / label.name)
        again = read_back("voc", tmp_path / label.name, {label.name: labels.shape}, catalog=catalog)
        assert again[label.name] == labels
