"""Cityscapes: its names and numbers to the letter, and everything it has no place for."""

from __future__ import annotations

import csv
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hostile import write_png_bomb
from hypothesis import given, settings
from PIL import Image, ImageDraw
from support import CATALOG, labelled_image, load, read_back, segment_maps

from segstudio.core.catalog import Catalog, Kind, LabelClass
from segstudio.core.errors import FormatError, ImageError, UserError
from segstudio.core.segmentmap import Segment, SegmentMap
from segstudio.formats.cityscapes import cityscapes_names
from segstudio.formats.names import match_labels
from segstudio.formats.options import Unknown
from segstudio.formats.registry import format_named
from segstudio.imaging.cityscapes_labels import cityscapes_labels
from segstudio.imaging.decode import read_labels, write_index_png

CITYSCAPES = format_named("cityscapes")
STEM = "aachen_000000_000019"


def catalog(*names: str) -> Catalog:
    """Classes 0, 1, 2 and 7."""
    return Catalog(
        LabelClass(id=number, name=name, color=(number, 0, 0), kind=Kind.STUFF if number in (0, 2) else Kind.THING)
        for number, name in zip((0, 1, 2, 7), names, strict=True)
    )


OFFICIAL = catalog("background", "person", "Sky", "traffic_sign")
HIDDEN = catalog("unlabeled", "license plate", "sky", "car")
SOURCES = {"own": CATALOG, "official": OFFICIAL, "hidden": HIDDEN}


def scene() -> SegmentMap:
    """Two persons, a crowd of them, a plain one, a traffic sign of its own, sky, background and void."""
    ids = np.zeros((20, 30), dtype=np.uint16)
    ids[:6] = 2
    ids[8:14, 2:8] = 256
    ids[10:12, 4:6] = 0
    ids[8:14, 8:12] = 257
    ids[15:18, 2:12] = 258
    ids[15:18, 14:20] = 1
    ids[8:12, 20:24] = 300
    ids[19] = 255
    segments = {256: Segment(256, 1), 257: Segment(257, 1), 258: Segment(258, 1, crowd=True), 300: Segment(300, 7)}
    return SegmentMap(ids, np.ones(ids.shape, dtype=np.bool_), segments)


def exported(folder: Path, labels: SegmentMap, classes: Catalog, *, name: str = "a.png", **image: Any) -> Path:
    """The export of one image, and where its files are but for their last part."""
    CITYSCAPES.export([labelled_image(folder / "in", name, labels, **image)], classes, folder / "out")
    return next((folder / "out").glob("gtFine/*/*/*_labelIds.png")).parent


def write(folder: Path, kind: str, values: npt.NDArray[Any], *, mode: str = "gtFine", stem: str = STEM) -> None:
    path = folder / mode / "train" / stem.split("_")[0] / f"{stem}_{mode}_{kind}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_index_png(path, values)


def write_polygons(folder: Path, content: object, *, stem: str = STEM) -> None:
    path = folder / "gtFine/train/aachen" / f"{stem}_gtFine_polygons.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def drawn_as_their_tools_do(path: Path, numbers: dict[str, int], void: int) -> npt.NDArray[np.uint8]:
    """(H, W) label ids of a polygons' JSON, as cityscapesscripts' json2labelImg draws it."""
    content = json.loads(path.read_text(encoding="utf-8"))
    image = Image.new("L", (content["imgWidth"], content["imgHeight"]), void)
    for shape in content["objects"]:
        label = shape["label"]
        number = numbers.get(label, numbers.get(label.removesuffix("group"), -1))
        if number >= 0:
            ImageDraw.Draw(image).polygon([tuple(point) for point in shape["polygon"]], fill=number)
    return np.asarray(image)


@pytest.mark.parametrize("classes", SOURCES)
@settings(max_examples=15, deadline=None)
@given(labels=segment_maps())
def test_every_pixel_instance_and_crowd_comes_back(classes: str, labels: SegmentMap) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        image = labelled_image(root / "in", "deep/a.png", labels)
        CITYSCAPES.export([image], SOURCES[classes], root / "out")
        again = read_back("cityscapes", root / "out", {"deep/a.png": labels.shape}, catalog=SOURCES[classes])
        assert again["deep/a.png"] == labels


@pytest.mark.parametrize("classes", SOURCES)
@settings(max_examples=15, deadline=None)
@given(labels=segment_maps())
def test_polygons_alone_give_every_pixel_to_us_and_to_their_tools(classes: str, labels: SegmentMap) -> None:
    with tempfile.TemporaryDirectory() as folder:
        part = exported(Path(folder), labels, SOURCES[classes])
        stem = "images_000000_000000_gtFine"
        polygons = part / f"{stem}_polygons.json"
        numbers = {label.name: label.id for label in cityscapes_labels()}
        if classes == "own":
            numbers = {c.name: c.id for c in CATALOG} | {"unlabeled": 255}
        if classes != "hidden":  # a license plate is drawn nowhere
            drawn = drawn_as_their_tools_do(polygons, numbers, 0)
            assert np.array_equal(drawn, read_labels(part / f"{stem}_labelIds.png"))
            for path in part.glob("*.png"):
                path.unlink()
            again = read_back("cityscapes", Path(folder) / "out", {"a.png": labels.shape}, catalog=SOURCES[classes])
            assert np.array_equal(again["a.png"].semantic(), labels.semantic())


def test_files_hold_the_published_numbers(tmp_path: Path) -> None:
    part = exported(tmp_path, scene(), OFFICIAL, name="aachen_000003_000019_leftImg8bit.png", split="validation")
    assert part == tmp_path / "out/gtFine/val/aachen"
    assert (tmp_path / "out/leftImg8bit/val/aachen/aachen_000003_000019_leftImg8bit.png").is_file()
    stem = part / "aachen_000003_000019_gtFine_"
    ids = read_labels(Path(f"{stem}labelIds.png"))
    corners = {"sky": (0, 0), "void": (19, 0), "background": (7, 0), "person": (8, 2), "sign": (8, 20)}
    assert {name: int(ids[at]) for name, at in corners.items()} == {
        "sky": 23,
        "void": 0,
        "background": 4,
        "person": 24,
        "sign": 20,
    }
    trained = read_labels(Path(f"{stem}labelTrainIds.png"))
    assert {name: int(trained[at]) for name, at in corners.items()} == {
        "sky": 10,
        "void": 255,
        "background": 255,
        "person": 11,
        "sign": 7,
    }
    instances = read_labels(Path(f"{stem}instanceIds.png"))
    assert instances.dtype == np.uint16
    assert [int(instances[at]) for at in ((8, 2), (8, 8), (15, 2), (15, 14), (8, 20))] == [24001, 24002, 24, 24, 20]
    with Image.open(f"{stem}color.png") as image:
        assert image.getpixel((2, 8)) == (220, 20, 60)
    objects = json.loads(Path(f"{stem}polygons.json").read_text())["objects"]
    assert [o["label"] for o in objects].count("persongroup") == 1
    assert {o["label"] for o in objects} == {"static", "sky", "person", "persongroup", "traffic sign", "unlabeled"}


def test_objects_without_a_number_are_counted(tmp_path: Path) -> None:
    ids = np.arange(1100, dtype=np.uint16).reshape(11, 100) + 256
    labels = SegmentMap(ids, np.ones(ids.shape, dtype=np.bool_), {i: Segment(i, 1) for i in range(256, 1356)})
    image = labelled_image(tmp_path / "in", "a.png", labels)
    report = CITYSCAPES.export([image], OFFICIAL, tmp_path / "out")
    assert report.warnings == ["Instances that Cityscapes has no number for: their class to other programs: 101."]
    values = read_labels(next((tmp_path / "out").rglob("*_instanceIds.png")))
    assert (values.max(), int(np.count_nonzero(values == 24))) == (24999, 101)
    assert read_back("cityscapes", tmp_path / "out", {"a.png": (11, 100)}, catalog=OFFICIAL)["a.png"] == labels


def test_own_classes_keep_their_ids_and_say_so(tmp_path: Path) -> None:
    image = labelled_image(tmp_path / "in", "a.png", scene())
    report = CITYSCAPES.export([image], CATALOG, tmp_path / "out")
    assert "the ids are the project's" in report.warnings[0]
    part = tmp_path / "out/gtFine/train/images/images_000000_000000_gtFine_"
    assert np.array_equal(read_labels(Path(f"{part}labelIds.png")), scene().semantic())
    assert np.unique(read_labels(Path(f"{part}labelTrainIds.png"))).tolist() == [0, 1, 2, 3, 255]
    assert np.unique(read_labels(Path(f"{part}instanceIds.png"))).tolist() == [0, 1, 2, 255, 1001, 1002, 7001]


def test_torchvision_reads_all_four_targets(tmp_path: Path) -> None:
    from torchvision.datasets import Cityscapes

    images = [
        labelled_image(tmp_path / "in", "ulm/one.jpg", scene()),
        labelled_image(tmp_path / "in", "b.png", scene(), split="validation"),
    ]
    CITYSCAPES.export(images, OFFICIAL, tmp_path / "out")
    kinds = ["semantic", "instance", "color", "polygon"]
    for split, city in (("train", "ulm"), ("val", "images")):
        data = Cityscapes(tmp_path / "out", split=split, mode="fine", target_type=kinds)
        image, (semantic, instance, color, polygon) = data[0]
        assert len(data) == 1
        assert f"/{city}/{city}_000000_000000_leftImg8bit.png" in data.images[0]
        assert image.size == (30, 20)
        assert np.array_equal(np.asarray(semantic) == 24, scene().semantic() == 1)
        assert np.array_equal(np.asarray(instance) == 24001, scene().ids == 256)
        assert np.asarray(color)[0, 0].tolist() == [70, 130, 180]
        assert (polygon["imgWidth"], polygon["imgHeight"]) == (30, 20)


def test_names_are_kept_where_they_are_official_and_numbered_where_not() -> None:
    names = [
        "leftImg8bit/train/bad-honnef/bad-honnef_000002_000011_leftImg8bit.png",
        "aachen_000000_000019.png",
        "other/aachen_000000_000019.jpg",
        "Old Town/x.png",
        "Old Town/y.png",
        "städte/z.png",
        "../../etc/passwd.png",
        "x/images_000000_000000.png",
        "plain.png",
    ]
    assert cityscapes_names(names) == [
        "bad-honnef_000002_000011",
        "aachen_000000_000019",
        "other_000000_000000",
        "Old-Town_000000_000000",
        "Old-Town_000000_000001",
        "st-dte_000000_000000",
        "etc_000000_000000",
        "images_000000_000000",
        "images_000000_000001",
    ]


def test_labels_find_images_by_the_names_these_had(tmp_path: Path) -> None:
    names = ['deep/ä, "b".png', "c.png"]
    images = [labelled_image(tmp_path / "in", name, scene()) for name in names]
    CITYSCAPES.export(images, OFFICIAL, tmp_path / "out")
    with (tmp_path / "out/names.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file))[1] == ['deep/ä, "b".png', "deep_000000_000000"]
    found = CITYSCAPES.importer.read(tmp_path / "out").labels
    assert match_labels(found, names).unmatched == []


def test_published_labels_find_their_images() -> None:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), "labelIds", np.zeros((2, 2), dtype=np.uint8))
        (label,) = CITYSCAPES.importer.read(Path(folder)).labels
    for name in (f"train/aachen/{STEM}_leftImg8bit.png", f"{STEM}_leftImg8bit.png", f"aachen/{STEM}_leftImg8bit.png"):
        assert match_labels([label], [name, "other.png"]).pairs == [(0, label)]


def test_published_instances_become_segments_and_groups_crowds(tmp_path: Path) -> None:
    write(tmp_path, "instanceIds", np.array([[24000, 24001, 24, 23, 0, 26005, 4]], dtype=np.uint16))
    write(tmp_path, "labelIds", np.zeros((1, 7), dtype=np.uint8))  # says less, so it is not read
    found = CITYSCAPES.importer.read(tmp_path)
    classes = Catalog.from_names(["background", "car", "person", "sky"])
    labels = load(found.labels[0], found.classes, (1, 7), catalog=classes)
    assert labels.semantic().tolist() == [[2, 2, 2, 3, 255, 1, 255]]
    crowds = {i: (s.class_id, s.crowd) for i, s in labels.segments.items()}
    assert crowds == {256: (2, True), 257: (2, False), 258: (2, False), 259: (1, False)}


@pytest.mark.parametrize("source", ["", "gtFine", "gtFine/train", "gtFine/train/aachen"])
def test_any_folder_of_the_tree_may_be_chosen(tmp_path: Path, source: str) -> None:
    write(tmp_path, "labelIds", np.array([[24, 23]], dtype=np.uint8))
    found = CITYSCAPES.importer.read(tmp_path / source)
    classes = Catalog.from_names(["sky", "person"])
    assert load(found.labels[0], found.classes, (1, 2), catalog=classes).ids.tolist() == [[1, 0]]


@pytest.mark.parametrize("source", ["", "gtFine", "gtFine/train", "gtFine/train/images"])
def test_our_own_ids_are_never_taken_for_published_ones(tmp_path: Path, source: str) -> None:
    exported(tmp_path, scene(), CATALOG)
    again = read_back("cityscapes", tmp_path / "out", {"a.png": (20, 30)}, source=tmp_path / "out" / source)
    assert again == {"a.png": scene()}


def test_coarse_labels_count_where_there_are_no_fine_ones(tmp_path: Path) -> None:
    sky, road = np.full((1, 2), 23, dtype=np.uint8), np.full((1, 2), 7, dtype=np.uint8)
    write(tmp_path, "instanceIds", sky, mode="gtCoarse")
    write(tmp_path, "labelIds", road)
    write(tmp_path, "labelIds", sky, mode="gtCoarse", stem="ulm_000000_000000")
    found = CITYSCAPES.importer.read(tmp_path)
    classes = Catalog.from_names(["sky", "road"])
    values = {label.name: load(label, found.classes, (1, 2), catalog=classes).ids[0, 0] for label in found.labels}
    assert values == {f"aachen/{STEM}_leftImg8bit": 1, "ulm/ulm_000000_000000_leftImg8bit": 0}


@pytest.mark.parametrize("kind", ["labelTrainIds", "color"])
@pytest.mark.parametrize("classes", ["own", "official"])
def test_train_ids_and_colours_are_read_where_there_is_nothing_better(tmp_path: Path, kind: str, classes: str) -> None:
    labels = scene()
    part = exported(tmp_path, labels, SOURCES[classes])
    for path in part.iterdir():
        if kind not in path.name:
            path.unlink()
    again = read_back("cityscapes", tmp_path / "out", {"a.png": labels.shape}, catalog=SOURCES[classes])["a.png"]
    expected = labels.semantic()
    if classes == "official":  # neither tells the background from void
        expected = np.where(expected == 0, 255, expected)
    assert np.array_equal(again.semantic(), expected)


def test_published_polygons_are_drawn_in_order(tmp_path: Path) -> None:
    content = {
        "imgWidth": 10,
        "imgHeight": 6,
        "objects": [
            {"label": "sky", "polygon": [[0, 0], [9, 0], [9, 5], [0, 5]]},
            {"label": "cargroup", "polygon": [[0, 4], [3, 4], [3, 5], [0, 5]]},
            {"label": "car", "polygon": [[5, 2], [8, 2], [8, 4], [5, 4]], "date": "x", "verified": 1, "id": 7},
            {"label": "license plate", "polygon": [[6, 3], [7, 3], [7, 4]]},
            {"label": "car", "polygon": [[0, 0], [9, 0], [9, 5]], "deleted": 1},
            {"label": "out of roi", "polygon": [[0, 0], [9, 0]]},
            {"label": "pole", "polygon": [[20, -30], [30, 2], [1e5, 1e9]]},
        ],
    }
    write_polygons(tmp_path, content)
    found = CITYSCAPES.importer.read(tmp_path)
    labels = load(found.labels[0], found.classes, (6, 10), catalog=Catalog.from_names(["sky", "car", "pole"]))
    expected = np.zeros((6, 10), dtype=np.uint8)
    expected[4:, :4] = 1
    expected[2:5, 5:9] = 1
    expected[0] = 255
    assert np.array_equal(labels.semantic(), expected)
    assert labels.segments == {256: Segment(256, 1, crowd=True), 257: Segment(257, 1)}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"imgWidth": 11}, "is 11 x 6 pixels, but its image .* is 10 x 6"),
        ({"imgWidth": "10"}, "says no imgWidth"),
        ({"objects": None}, "says no imgWidth"),
        ({"objects": [5]}, "an object without a label"),
        ({"objects": [{"label": []}]}, "an object without a label"),
        ({"objects": [{"label": "zebra", "polygon": []}]}, 'the label "zebra"'),
        ({"objects": [{"label": "sky"}]}, 'The polygon of "sky" in .* is broken'),
        ({"objects": [{"label": "sky", "polygon": [[1, 2], [3]]}]}, "is broken"),
        ({"objects": [{"label": "sky", "polygon": [[0, 0], [float("nan"), 1], [2, 2]]}]}, "is broken"),
        ({"objects": [{"label": "sky", "polygon": [["0", "0"], ["1", "1"], ["2", "3"]]}]}, "is broken"),
        ({"objects": [{"label": "bridge", "polygon": [[0, 0], [1, 1], [2, 3]]}]}, "which this project lacks"),
    ],
)
def test_polygons_that_make_no_sense_are_refused(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    write_polygons(tmp_path, {"imgWidth": 10, "imgHeight": 6, "objects": []} | change)
    found = CITYSCAPES.importer.read(tmp_path)
    with pytest.raises(FormatError, match=sentence):
        load(found.labels[0], found.classes, (6, 10), catalog=Catalog.from_names(["sky"]))


@pytest.mark.parametrize("text", ["", "[]", "[" * 200_000, '{"imgWidth": 1e999}'])
def test_damaged_json_is_refused(tmp_path: Path, text: str) -> None:
    write_polygons(tmp_path, text)
    found = CITYSCAPES.importer.read(tmp_path)
    with pytest.raises(FormatError, match=r"polygons\.json"):
        load(found.labels[0], found.classes, (6, 10))


@pytest.mark.parametrize(
    "segments",
    [
        5,
        [5],
        [{"id": "256"}],
        [{"id": 12}],
        [{"id": 70_000, "value": 1001}],
        [{"id": 256, "value": 1001}, {"id": 256, "value": 1002}],
        [{"id": 256, "rle": [1]}],
        [{"id": 256, "label": "cell", "rle": {"size": [20, 30], "counts": "~~~~"}}],
        [{"id": 256, "label": "cell", "rle": {"size": [9999, 9999], "counts": "0"}}],
        [{"id": 256, "label": "nothing we know", "rle": {"size": [20, 30], "counts": []}}],
    ],
)
def test_our_own_additions_are_not_trusted(tmp_path: Path, segments: object) -> None:
    part = exported(tmp_path, scene(), CATALOG)
    path = next(part.glob("*.json"))
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"segments": segments}))
    with pytest.raises(FormatError, match=r"polygons\.json|instanceIds\.png"):
        read_back("cityscapes", tmp_path / "out", {"a.png": (20, 30)})


def test_unknown_labels_are_ignored_only_when_asked(tmp_path: Path) -> None:
    write(tmp_path, "labelIds", np.array([[15, 23, 255]], dtype=np.uint8))
    found = CITYSCAPES.importer.read(tmp_path)
    classes = Catalog.from_names(["sky"])
    with pytest.raises(FormatError, match=r'holds the class "bridge" \(15\)'):
        load(found.labels[0], found.classes, (1, 3), catalog=classes)
    labels = load(found.labels[0], found.classes, (1, 3), catalog=classes, unknown=Unknown.IGNORE)
    assert labels.ids.tolist() == [[255, 0, 255]]


def test_bombs_and_wrong_sizes_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "labelIds", np.zeros((2, 3), dtype=np.uint8))
    found = CITYSCAPES.importer.read(tmp_path)
    with pytest.raises(FormatError, match="3 x 2 pixels, but its image"):
        load(found.labels[0], found.classes, (4, 4))
    write_png_bomb(found.labels[0].source)
    with pytest.raises(ImageError, match="too large: 100,000 x 100,000"):
        load(found.labels[0], found.classes, (4, 4))


@pytest.mark.parametrize(
    "names", ["", "a,b\n1,2\n", "image,cityscapes\nx\n", f"image,cityscapes\n../../x.png,{STEM}\n"]
)
def test_odd_tables_of_names_lead_nowhere(tmp_path: Path, names: str) -> None:
    write(tmp_path, "labelIds", np.zeros((2, 3), dtype=np.uint8))
    (tmp_path / "names.csv").write_text(names)
    (label,) = CITYSCAPES.importer.read(tmp_path).labels
    assert match_labels([label], ["secret.png"]).pairs == []
    assert tmp_path in label.source.parents


def test_a_folder_without_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Choose the folder that holds leftImg8bit and gtFine"):
        CITYSCAPES.importer.read(tmp_path)
