"""labelme's JSON, there and back, as others write it, and as nobody should."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segstudio.core.catalog import IGNORE, Catalog
from segstudio.core.errors import FormatError
from segstudio.core.segmentmap import Segment, SegmentMap
from segstudio.formats.base import ImportSource
from segstudio.formats.labelme import LabelmeWriter
from segstudio.formats.names import match_labels, safe_name
from segstudio.formats.options import ExportOptions, ImageFiles, Shapes
from segstudio.formats.regions import names_with_own_stems
from segstudio.formats.registry import format_named
from segstudio.formats.stage import Streams
from segstudio.formats.writer import ExportContext
from tests.unit.formats.support import CATALOG, labelled_image, load, read_back, segment_maps

WITHOUT_BACKGROUND = Catalog([c for c in CATALOG if c.id])
SHAPE = (30, 40)


def ring_map() -> SegmentMap:
    """An instance with a hole that holds background, in which lies another instance with a hole of its own."""
    ids = np.zeros(SHAPE, dtype=np.uint16)
    ids[2:28, 2:30] = 256
    ids[5:25, 5:25] = 0
    ids[8:20, 8:20] = 300
    ids[10:12, 10:12] = 0
    ids[0, 0] = ids[1, 1] = 1
    ids[28:, 30:] = IGNORE
    return SegmentMap(ids, np.ones(SHAPE, dtype=np.bool_), {256: Segment(256, 1), 300: Segment(300, 7, crowd=True)})


def survivor(labels: SegmentMap, catalog: Catalog, options: ExportOptions) -> SegmentMap:
    context = ExportContext(Path("x"), Path("x"), catalog, options, Streams(Path("x")))
    survival = LabelmeWriter(context).survives(labels)
    return labels if survival is None else survival.labels


def round_trip(
    folder: Path, labels: SegmentMap, options: ExportOptions, *, name: str = "a.png", catalog: Catalog = CATALOG
) -> SegmentMap:
    image = labelled_image(folder, name, labels)
    format_named("labelme").export([image], catalog, folder / "out", options=options)
    (back,) = read_back("labelme", folder / "out", {name: labels.shape}, catalog=catalog).values()
    return back


def without_background(labels: SegmentMap) -> SegmentMap:
    ids = labels.ids.copy()
    ids[ids == 0] = IGNORE
    return SegmentMap(ids, labels.decided, labels.segments)


@settings(deadline=None, max_examples=50)
@given(labels=segment_maps())
def test_masks_bring_back_every_pixel_instance_crowd_and_ignore(
    tmp_path_factory: pytest.TempPathFactory, labels: SegmentMap
) -> None:
    assert round_trip(tmp_path_factory.mktemp("t"), labels, ExportOptions()) == labels


@settings(deadline=None, max_examples=50)
@given(labels=segment_maps())
def test_polygons_that_follow_every_edge_bring_back_every_pixel(
    tmp_path_factory: pytest.TempPathFactory, labels: SegmentMap
) -> None:
    options = ExportOptions(shapes=Shapes.POLYGONS, tolerance=0)
    assert round_trip(tmp_path_factory.mktemp("t"), labels, options) == labels


@settings(deadline=None, max_examples=50)
@given(labels=segment_maps(), tolerance=st.sampled_from([0.0, 0.7, 1.5, 4.0]), background=st.booleans())
def test_what_survives_in_polygons_is_what_an_import_reads(
    tmp_path_factory: pytest.TempPathFactory, labels: SegmentMap, tolerance: float, *, background: bool
) -> None:
    options = ExportOptions(shapes=Shapes.POLYGONS, tolerance=tolerance)
    catalog = CATALOG if background else WITHOUT_BACKGROUND
    labels = labels if background else without_background(labels)
    back = round_trip(tmp_path_factory.mktemp("t"), labels, options, catalog=catalog)
    assert back == survivor(labels, catalog, options)


def test_holes_survive_in_polygons_since_what_lies_inside_is_drawn_later(tmp_path: Path) -> None:
    options = ExportOptions(shapes=Shapes.POLYGONS, tolerance=0)
    assert round_trip(tmp_path, ring_map(), options) == ring_map()
    document = json.loads((tmp_path / "out/a.json").read_text())
    assert [s["label"] for s in document["shapes"] if s["label"] == "_background_"] == ["_background_"] * 2


def test_a_file_is_what_labelme_writes(tmp_path: Path) -> None:
    image = labelled_image(tmp_path, "deep er/ü 'q'.png", ring_map())
    format_named("labelme").export([image], CATALOG, tmp_path / "out")
    document = json.loads((tmp_path / "out/deep er/ü 'q'.json").read_text())
    assert document["imagePath"] == "ü 'q'.png"
    assert document["imageData"] is None
    assert (document["imageWidth"], document["imageHeight"]) == (40, 30)
    shape = next(s for s in document["shapes"] if s["group_id"] == 256)
    assert shape["shape_type"] == "mask"
    assert shape["points"] == [[2, 2], [29, 27]]
    mask = np.asarray(Image.open(io.BytesIO(base64.b64decode(shape["mask"]))))
    assert np.array_equal(mask.astype(bool), ring_map().ids[2:28, 2:30] == 256)
    assert set(shape) == {
        "label",
        "points",
        "group_id",
        "description",
        "shape_type",
        "flags",
        "mask",
        "segstudio",
    }
    assert (tmp_path / "out/labels.txt").read_text().splitlines()[:3] == ["__ignore__", "_background_", "cell"]


def test_plain_things_are_one_shape_a_part_and_touch_no_instance(tmp_path: Path) -> None:
    labels = SegmentMap.from_semantic(np.zeros(SHAPE, dtype=np.uint8))
    labels.ids[2:4, 2:4] = labels.ids[10:14, 2:4] = 1
    labels.ids[20:22] = labels.ids[25:27] = 2
    assert round_trip(tmp_path, labels, ExportOptions()) == labels
    shapes = json.loads((tmp_path / "out/a.json").read_text())["shapes"]
    assert sorted(s["label"] for s in shapes) == ["cell", "cell", "sky"]
    assert {s["group_id"] for s in shapes} == {None}


def test_images_that_differ_in_their_suffix_get_a_file_each(tmp_path: Path) -> None:
    maps = {"a.png": ring_map(), "a.jpg": SegmentMap.from_semantic(np.full(SHAPE, 2, dtype=np.uint8))}
    images = [labelled_image(tmp_path, name, labels) for name, labels in maps.items()]
    format_named("labelme").export(images, CATALOG, tmp_path / "out")
    assert {p.name for p in (tmp_path / "out").glob("*.*g")} == {"a.png.png", "a.jpg.jpg"}
    back = read_back("labelme", tmp_path / "out", {"a.png.png": SHAPE, "a.jpg.jpg": SHAPE})
    assert back["a.png.png"] == maps["a.png"]
    assert back["a.jpg.jpg"] == maps["a.jpg"]
    matches = match_labels(read(tmp_path / "out").labels, ["a.jpg", "a.png"])
    assert [(index, label.name) for index, label in matches.pairs] == [(0, "a.jpg.jpg"), (1, "a.png.png")]


@given(
    names=st.lists(
        st.builds(
            "".join, st.lists(st.sampled_from(["a", "A", "b", ".png", ".jpg", "/"]), min_size=1, max_size=5)
        ).filter(lambda name: not name.startswith("/") and name.strip("./")),
        max_size=8,
    )
)
def test_no_two_names_share_a_stem(names: list[str]) -> None:
    unique = [PurePosixPath(name) for name in names_with_own_stems([safe_name(name) for name in names])]
    assert len({path.with_suffix("").as_posix().casefold() for path in unique}) == len(names)
    assert [path.suffix for path in unique] == [PurePosixPath(safe_name(name)).suffix for name in names]


def test_a_reference_names_the_original_image(tmp_path: Path) -> None:
    image = labelled_image(tmp_path, "x/a.png", ring_map())
    format_named("labelme").export(
        [image], CATALOG, tmp_path / "out", options=ExportOptions(images=ImageFiles.REFERENCE)
    )
    assert json.loads((tmp_path / "out/x/a.json").read_text())["imagePath"] == image.path.as_posix()
    assert read_back("labelme", tmp_path / "out", {"x/a.png": SHAPE})["x/a.png"] == ring_map()


def write(folder: Path, shapes: Any, name: str = "a.json", **more: Any) -> Path:
    document = {"version": "5.0.1", "flags": {}, "shapes": shapes, "imagePath": "a.jpg", "imageData": None, **more}
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(document))
    return folder


def shape(label: Any = "cell", points: Any = ((1, 1), (8, 1), (8, 6), (1, 6)), **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "group_id": None, "shape_type": "polygon", "flags": {}, **more}


def read(source: Path) -> ImportSource:
    return format_named("labelme").importer.read(source)


def loaded(source: Path, **options: Any) -> SegmentMap:
    found = read(source)
    return load(found.labels[0], found.classes, SHAPE, **options)


def png(mask: np.ndarray[Any, Any], mode: str | None = None) -> str:
    buffer = io.BytesIO()
    image = Image.fromarray(mask)
    (image.convert(mode) if mode else image).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def test_later_shapes_lie_over_earlier_ones_and_groups_are_one_instance(tmp_path: Path) -> None:
    shapes = [
        shape(group_id=4),
        shape(points=[[20, 1], [24, 1], [24, 6]], group_id=4),
        shape(points=[[4, 4], [12, 4], [12, 10], [4, 10]]),
        shape("__ignore__", points=[[0, 20], [39, 20], [39, 22], [0, 22]]),
        shape("sky", points=[[0, 25], [39, 25], [39, 29], [0, 29]]),
    ]
    labels = loaded(write(tmp_path / "in", shapes))
    assert labels.ids[2, 2] == labels.ids[2, 23] >= 256
    assert labels.ids[5, 6] == labels.ids[9, 9] not in (0, labels.ids[2, 2])
    assert labels.ids[21, 5] == IGNORE
    assert labels.ids[27, 5] == 2
    assert labels.decided.all()


@pytest.mark.parametrize(
    ("kind", "points", "area"),
    [
        ("rectangle", [[2, 3], [6, 9]], 5 * 7),
        ("rectangle", [[6, 9], [2, 3]], 5 * 7),
        ("rectangle", [[2, 3], [6, 3], [6, 9], [2, 9]], 5 * 7),
        ("oriented_rectangle", [[2, 3], [6, 3], [6, 9], [2, 9]], 5 * 7),
        ("circle", [[15, 15], [15, 18]], 37),
        ("point", [[15, 15]], 97),
        ("points", [[15, 15], [30, 15]], 2 * 97),
        ("line", [[10, 15], [20, 15]], 110),
        ("linestrip", [[10, 15], [20, 15], [20, 16]], 131),
        (None, [[2, 3], [6, 3], [6, 9], [2, 9]], 5 * 7),
    ],
)
def test_every_kind_of_shape_is_filled(tmp_path: Path, kind: str | None, points: Any, area: int) -> None:
    labels = loaded(write(tmp_path / "in", [shape(points=points, shape_type=kind)]))
    assert np.count_nonzero(labels.ids) == pytest.approx(area, abs=12 if kind in ("line", "linestrip", "circle") else 0)


@pytest.mark.parametrize("mode", [None, "1", "P"])
def test_masks_are_placed_with_both_corners_inside_and_cut_to_the_image(tmp_path: Path, mode: str | None) -> None:
    mask = np.zeros((4, 6), dtype=np.uint8)
    mask[0] = mask[:, 5] = 255 if mode == "1" else 1
    shapes = [
        shape(points=[[3, 2], [8, 5]], shape_type="mask", mask=png(mask, mode)),
        shape("sky", points=[[36.4, 27.6], [41.4, 30.6]], shape_type="mask", mask=png(mask, mode)),
    ]
    labels = loaded(write(tmp_path / "in", shapes))
    assert np.array_equal(labels.ids[2:6, 3:9] >= 256, mask.astype(bool))
    assert (labels.ids == 2).nonzero()[1].tolist() == [36, 37, 38, 39]


def test_classes_are_numbered_by_the_alphabet_or_by_a_list_of_labels(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", [shape("zebra"), shape("cell"), shape("_background_")])
    assert [(c.number, c.name) for c in read(folder).classes] == [(0, "_background_"), (1, "cell"), (2, "zebra")]
    (folder / "labels.txt").write_text("__ignore__\n_background_\nsky\nzebra\n")
    classes = read(folder).classes
    assert [(c.number, c.name) for c in classes] == [
        (-1, "__ignore__"),
        (0, "_background_"),
        (1, "sky"),
        (2, "zebra"),
        (256, "cell"),
    ]
    assert classes[0].void


def test_a_class_that_the_project_lacks_is_not_dropped(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match='"zebra"'):
        loaded(write(tmp_path / "in", [shape("zebra")]))


@pytest.mark.parametrize(
    ("image_path", "name"),
    [
        ("../../etc/passwd.jpg", "sub/passwd.jpg"),
        ("/abs/b.jpg", "sub/b.jpg"),
        ("..\\x\\c.jpg", "sub/c.jpg"),
        ("..", "sub/a"),
        (7, "sub/a"),
        (None, "sub/a"),
    ],
)
def test_only_the_file_name_of_an_image_path_counts(tmp_path: Path, image_path: Any, name: str) -> None:
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "sub", [shape()], imagePath=image_path)
    assert [label.name for label in read(tmp_path / "in").labels] == [name]


def test_embedded_images_are_never_decoded(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", [shape()], imageData="!" * 1000, imageWidth=40, imageHeight=30)
    assert read(folder).labels[0].size == (40, 30)
    assert loaded(folder / "a.json").ids.max() == 256


def test_two_sizes_that_differ_are_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"41 x 30 pixels, but its image .* is 40 x 30"):
        loaded(write(tmp_path / "in", [shape()], imageWidth=41, imageHeight=30))


BIG = png(np.ones((31, 3), dtype=np.uint8))
SMALL = png(np.ones((2, 2), dtype=np.uint8))
CORNERS = ((0, 0), (3, 3))


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ("text", "no object"),
        (shape(None), "no label"),
        (shape(points=None), "points are a list"),
        (shape(points=[]), "0 points"),
        (shape(points=[[0, 0], [float("nan"), 1], [2, 2]]), "not finite"),
        (shape(points=[[0, 0], [10**400, 1], [2, 2]]), "not finite"),
        (shape(points=[[0, 0], ["1", 1], [2, 2]]), "not numbers"),
        (shape(points=[[0, 0], [1], [2, 2]]), "pairs of numbers"),
        (shape(points=[[[[[0]]]]]), "pairs of numbers"),
        (shape(shape_type="circle"), "points where 2 to 2"),
        (shape(points=[[0, 0], [1e9, 0]], shape_type="circle"), "radius"),
        (shape(shape_type="teapot"), "teapot"),
        (shape(shape_type=4), "shape_type is no text"),
        (shape(group_id="7"), "group_id"),
        (shape(points=CORNERS, shape_type="mask"), "two points and a PNG"),
        (shape(points=CORNERS, shape_type="mask", mask="////"), "no PNG"),
        (shape(points=CORNERS, shape_type="mask", mask="ü"), "cannot be used"),
        (shape(points=CORNERS, shape_type="mask", mask=SMALL), "its mask is 2 x 2 pixels, but its box 4 x 4"),
        (shape(points=CORNERS, shape_type="mask", mask=BIG), "3 x 31 pixels, but the image 40 x 30"),
        (shape(points=CORNERS, shape_type="mask", mask=SMALL[:60]), "damaged"),
        (
            shape(points=CORNERS, shape_type="mask", mask=png(np.ones((4, 4, 3), dtype=np.uint8))),
            "in colour",
        ),
    ],
)
def test_a_bad_shape_refuses_its_label_in_one_sentence(tmp_path: Path, bad: Any, sentence: str) -> None:
    folder = write(tmp_path / "in", [shape(), bad])
    with pytest.raises(FormatError, match=sentence) as refused:
        loaded(folder)
    assert refused.value.message.startswith("Shape 2 of a.json")


def test_points_far_outside_are_cut_off(tmp_path: Path) -> None:
    labels = loaded(write(tmp_path / "in", [shape(points=[[-1e9, -1e9], [1e9, -1e9], [1e9, 5], [-1e9, 5]])]))
    assert np.array_equal(np.unique(np.nonzero(labels.ids)[0]), np.arange(6))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "no valid JSON"),
        ("[" * 100_000, "no valid JSON"),
        ('{"imagePath": "a.jpg", "shapes": 5}', "no list of shapes"),
        ('{"imagePath": "a.jpg"}', "no list of shapes"),
        (f'{{"shapes": [{"0," * 4_000_000}0]}}', "more than 4,000,000 values"),
    ],
)
def test_a_damaged_file_refuses_its_label_and_no_other(tmp_path: Path, text: str, sentence: str) -> None:
    folder = write(tmp_path / "in", [shape()], name="good.json", imagePath="good.jpg")
    (folder / "bad.json").write_text(text)
    found = read(folder)
    assert [label.name for label in found.labels] == ["bad", "good.jpg"]
    with pytest.raises(FormatError, match=sentence):
        load(found.labels[0], found.classes, SHAPE)
    assert load(found.labels[1], found.classes, SHAPE).ids.max() == 256


def test_json_of_other_programs_is_passed_over_with_a_warning(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", [shape()])
    for name, text in (("b.json", "[]"), ("c.json", '{"images": []}')):
        (folder / name).write_text(text)
    found = read(folder)
    assert len(found.labels) == 1
    assert found.warnings == ["2 JSON files are not labelme's and were passed over."]
    (folder / "a.json").unlink()
    with pytest.raises(FormatError, match="holds no JSON of labelme"):
        read(folder)


def test_the_polygons_of_published_files_are_read(shared_data: Path) -> None:
    folder = shared_data / "voc-mini" / "labelme"
    found = read(folder)
    assert [label.name for label in found.labels] == [f"2011_00000{n}.jpg" for n in (3, 6)] + ["2011_000025.jpg"]
    catalog = Catalog.from_names(["background", *(c.name for c in found.classes if not c.void)])
    for label in found.labels:
        assert label.size is not None
        labels = load(label, found.classes, label.size[::-1], catalog=catalog)
        assert len(labels.used_segments()) >= 1
        assert {0} < set(np.unique(labels.semantic()).tolist())
