"""Colour PNGs: exact colours, tables of every kind, and what is no label."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hostile import write_png_bomb
from hypothesis import given, settings
from PIL import Image
from support import CATALOG, labelled_image, load, read_back, segment_maps

from segstudio.core.catalog import VOID_COLOR, Catalog, LabelClass
from segstudio.core.errors import FormatError, ImageError
from segstudio.core.segmentmap import Segment, SegmentMap
from segstudio.formats.options import Unknown
from segstudio.formats.registry import format_named

COLOR = format_named("color-png")
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def paint(path: Path, *colors: tuple[int, int, int]) -> None:
    """A PNG with one row of colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array([colors], dtype=np.uint8)).save(path)


@settings(max_examples=25, deadline=None)
@given(segment_maps(instances=False))
def test_every_pixel_comes_back(labels: SegmentMap) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        COLOR.export([labelled_image(root / "in", "deep/a.jpg", labels)], CATALOG, root / "out")
        assert read_back("color-png", root / "out", {"deep/a": labels.shape})["deep/a"] == labels


def test_pixels_have_the_colours_of_their_classes(tmp_path: Path) -> None:
    labels = SegmentMap.from_semantic(np.array([[0, 1, 2, 7, 255]], dtype=np.uint8))
    COLOR.export([labelled_image(tmp_path / "in", "a.png", labels)], CATALOG, tmp_path / "out")
    with Image.open(tmp_path / "out/a.png") as image:
        assert image.mode == "RGB"
        assert np.asarray(image)[0].tolist() == [*(list(c.color) for c in CATALOG), list(VOID_COLOR)]
    lines = (tmp_path / "out/colormap.txt").read_text(encoding="utf-8").splitlines()
    assert lines == [
        "background 96 96 96",
        "cell 10 200 30",
        "sky 1 2 250",
        'a "quoted" name é 250 2 3',
        "void 224 224 192",
    ]


def test_colormap_alone_is_enough_to_read_an_export(tmp_path: Path) -> None:
    labels = SegmentMap.from_semantic(np.array([[0, 1, 2, 7, 255]], dtype=np.uint8))
    COLOR.export([labelled_image(tmp_path / "in", "a.png", labels)], CATALOG, tmp_path / "out")
    (tmp_path / "out/classes.toml").unlink()
    (tmp_path / "out/class_names.txt").unlink()
    assert read_back("color-png", tmp_path / "out", {"a": (1, 5)})["a"] == labels


def test_losses_tell_of_instances(tmp_path: Path) -> None:
    labels = SegmentMap.from_semantic(np.zeros((2, 3), dtype=np.uint8))
    labels.ids[0] = 256
    labels.segments[256] = Segment(256, 1)
    report = COLOR.losses([labelled_image(tmp_path / "in", "a.png", labels)], CATALOG)
    assert report.changed == 3
    assert report.counts == {"Instances that become their class": 1}


@pytest.mark.parametrize(("color", "other"), [(CATALOG[1].color, '"cell"'), (VOID_COLOR, '"void"')])
def test_classes_that_share_a_colour_are_refused(tmp_path: Path, color: tuple[int, int, int], other: str) -> None:
    catalog = CATALOG.with_class(LabelClass(id=9, name="double", color=color))
    image = labelled_image(tmp_path / "in", "a.png", SegmentMap.empty(3, 4))
    with pytest.raises(FormatError, match=rf'{other} and "double" have one colour in the project'):
        COLOR.export([image], catalog, tmp_path / "out")
    assert not (tmp_path / "out").exists()


TABLES = {
    "colormap.txt": "# ours\ncell 255 0 0\nblue sky 0 0 255\nVoid 0 0 0\n",
    "label_colors.txt": "255 0 0\tcell\n0 0 255\t\tblue sky\n0 0 0 Void\n",
    "class_dict.csv": "name,r,g,b\ncell, 255, 0, 0\nblue sky,0,0,255\nVoid,0,0,0\n",
    "labelmap.txt": "# label:color_rgb:parts:actions\ncell:255,0,0::\nblue sky:0,0,255:a,b:c\nvoid:0,0,0::\n",
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_of_other_programs_are_understood(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(TABLES[name], encoding="utf-8-sig")
    folder = "SegmentationClass" if name == "labelmap.txt" else "labels"
    paint(tmp_path / folder / "a.png", RED, BLUE, (0, 0, 0), VOID_COLOR)
    found = COLOR.importer.read(tmp_path)
    assert [(c.name.lower(), c.color, c.void) for c in found.classes] == [
        ("cell", RED, False),
        ("blue sky", BLUE, False),
        ("void", (0, 0, 0), True),
    ]
    catalog = Catalog.from_names(["Blue_Sky", "cell"])
    assert load(found.labels[0], found.classes, (1, 4), catalog=catalog).ids.tolist() == [[1, 0, 255, 255]]


def test_the_projects_colours_count_where_there_is_no_table(tmp_path: Path) -> None:
    paint(tmp_path / "a.png", CATALOG[7].color, CATALOG[2].color, VOID_COLOR)
    (tmp_path / "classes.txt").write_text("names\nalone\n")
    found = COLOR.importer.read(tmp_path)
    assert found.classes == ()
    assert load(found.labels[0], (), (1, 3)).ids.tolist() == [[7, 2, 255]]


def test_unknown_colours_are_named_with_their_file(tmp_path: Path) -> None:
    paint(tmp_path / "deep/a.png", CATALOG[7].color, (1, 2, 3))
    label = COLOR.importer.read(tmp_path).labels[0]
    with pytest.raises(FormatError, match=r"a\.png holds the colour \(1, 2, 3\), which is no class's"):
        load(label, (), (1, 2))
    assert load(label, (), (1, 2), unknown=Unknown.IGNORE).ids.tolist() == [[7, 255]]


def test_palettes_count_as_their_colours(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1]], dtype=np.uint8), mode="P")
    image.putpalette([*CATALOG[2].color, *CATALOG[1].color])
    image.save(tmp_path / "a.png")
    assert load(COLOR.importer.read(tmp_path).labels[0], (), (1, 2)).ids.tolist() == [[2, 1]]


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("colormap.txt", "cell 255 0\n", "cannot be understood"),
        ("colormap.txt", "cell 256 0 0\n", "not between 0 and 255"),
        ("colormap.txt", "a" * 5000 + " 1 2 3\n", "cannot be understood"),
        ("colormap.txt", "\n\n", "holds 0 classes"),
        ("colormap.txt", "a 1 2 3\nb 1 2 3\n", '"a" and "b" have one colour'),
        ("class_dict.csv", "name,r,g,b\ncell,1,2\n", "cannot be understood"),
    ],
)
def test_tables_that_make_no_sense_are_refused(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    (tmp_path / name).write_text(text)
    paint(tmp_path / "a.png", RED)
    with pytest.raises(FormatError, match=sentence):
        COLOR.importer.read(tmp_path)


def test_labels_of_another_size_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    paint(tmp_path / "a.png", RED, GREEN)
    with pytest.raises(FormatError, match=r"2 x 1 pixels, .* is 9 x 9"):
        load(COLOR.importer.read(tmp_path).labels[0], (), (9, 9))


def test_bombs_jpegs_deep_and_cut_off_files_are_refused(tmp_path: Path) -> None:
    write_png_bomb(tmp_path / "bomb.png", color=2)
    Image.new("RGB", (4, 3)).save(tmp_path / "jpeg.png", format="JPEG")
    Image.fromarray(np.zeros((3, 4), dtype=np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (3, 4, 3), dtype=np.uint8)).save(tmp_path / "short.png")
    (tmp_path / "short.png").write_bytes((tmp_path / "short.png").read_bytes()[:-30])
    labels = {label.name: label for label in COLOR.importer.read(tmp_path).labels}
    for name, sentence in {
        "bomb": "too large: 100,000 x 100,000",
        "jpeg": "is a JPEG",
        "deep": "16 bits a channel",
        "short": "short.png",
    }.items():
        with pytest.raises(ImageError, match=sentence):
            load(labels[name], (), (3, 4))


def test_a_photograph_is_no_label(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    with pytest.raises(FormatError, match="it is a picture, not a label"):
        load(COLOR.importer.read(tmp_path).labels[0], (), (80, 80), unknown=Unknown.IGNORE)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="holds no label PNG"):
        COLOR.importer.read(tmp_path)


def test_void_of_a_voc_export_is_read_by_its_colour_without_our_table(tmp_path: Path) -> None:
    labels = SegmentMap.from_semantic(np.array([[0, 1, 255]], dtype=np.uint8))
    format_named("voc").export([labelled_image(tmp_path / "in", "a.png", labels)], CATALOG, tmp_path / "out")
    for name in ("classes.toml", "class_names.txt"):
        (tmp_path / "out" / name).unlink()
    assert "ignored:224,224,192" in (tmp_path / "out/labelmap.txt").read_text()
    assert read_back("color-png", tmp_path / "out", {"a": (1, 3)})["a"] == labels
