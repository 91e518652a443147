"""YOLO's polygons, there and back, as others write them, and as nobody should."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segstudio.core.catalog import IGNORE, Catalog, Kind, LabelClass
from segstudio.core.errors import FormatError
from segstudio.core.segmentmap import Segment, SegmentMap
from segstudio.formats.base import ImportSource
from segstudio.formats.names import match_labels
from segstudio.formats.options import ExportOptions, ImageFiles, Shapes
from segstudio.formats.registry import format_named
from segstudio.formats.stage import Streams
from segstudio.formats.writer import ExportContext, Survival
from segstudio.formats.yolo import YoloWriter
from segstudio.formats.yolo_yaml import read_names, write_yaml
from tests.unit.formats.support import CATALOG, labelled_image, load, read_back, segment_maps

SHAPE = (30, 40)


def ring_map() -> SegmentMap:
    """An instance with two holes, one of which holds another instance; a crowd; void; a class in two parts."""
    ids = np.zeros(SHAPE, dtype=np.uint16)
    ids[2:28, 2:30] = 256
    ids[5:10, 5:10] = 0
    ids[14:20, 14:20] = 300
    ids[0:1, 32:40] = ids[4:6, 32:34] = 2
    ids[28:, 30:] = IGNORE
    ids[10:14, 34:38] = 301
    segments = {256: Segment(256, 1), 300: Segment(300, 7), 301: Segment(301, 1, crowd=True)}
    return SegmentMap(ids, np.ones(SHAPE, dtype=np.bool_), segments)


def survival(labels: SegmentMap, options: ExportOptions, catalog: Catalog = CATALOG) -> Survival:
    context = ExportContext(Path("x"), Path("x"), catalog, options, Streams(Path("x")))
    found = YoloWriter(context).survives(labels)
    assert found is not None
    return found


def export(folder: Path, labels: SegmentMap, options: ExportOptions | None = None, *, name: str = "a.png") -> list[str]:
    image = labelled_image(folder, name, labels)
    return format_named("yolo").export([image], CATALOG, folder / "out", options=options).warnings


def as_ultralytics(path: Path, height: int, width: int) -> tuple[npt.NDArray[np.int32], list[int]]:
    """A second reading of a label file, after ultralytics' verify_image_label and polygons2masks_overlap: (line number
    + 1 of each pixel, class of each line).
    """
    rows = [line.split() for line in path.read_text().splitlines()]
    classes = [int(row[0]) for row in rows]
    masks = []
    for row in rows:
        points = np.array(row[1:], dtype=np.float32).reshape(-1, 2)
        assert points.max(initial=0) <= 1.0
        points = points * np.array([width, height], dtype=np.float32)
        mask = np.zeros((height, width), dtype=np.uint8)
        cv2.fillPoly(mask, np.asarray([points.reshape(-1)], dtype=np.int32).reshape(1, -1, 2), color=1)
        masks.append(mask)
    overlap = np.zeros((height, width), dtype=np.int32)
    for index in sorted(range(len(masks)), key=lambda index: -int(masks[index].sum())):
        overlap[masks[index] == 1] = index + 1
    return overlap, classes


def assert_same_objects(back: SegmentMap, expected: SegmentMap) -> None:
    """The same classes everywhere, and the same pixels together in each instance that is expected."""
    assert np.array_equal(back.semantic(), expected.semantic())
    known = expected.ids >= 256
    pairs = {(int(a), int(b)) for a, b in zip(expected.ids[known], back.ids[known], strict=True)}
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


@settings(deadline=None, max_examples=50)
@given(labels=segment_maps(), tolerance=st.sampled_from([0.0, 1.0, 3.0]))
def test_what_survives_is_what_an_import_and_ultralytics_read(
    tmp_path_factory: pytest.TempPathFactory, labels: SegmentMap, tolerance: float
) -> None:
    folder = tmp_path_factory.mktemp("t")
    options = ExportOptions(shapes=Shapes.POLYGONS, tolerance=tolerance)
    export(folder, labels, options)
    expected = survival(labels, options).labels
    assert_same_objects(read_back("yolo", folder / "out", {"a": labels.shape})["a"], expected)
    overlap, classes = as_ultralytics(folder / "out/labels/train/a.txt", *labels.shape)
    seen = np.array([0, *[(1, 2, 7)[number] for number in classes]])[overlap]
    assert np.array_equal(seen, expected.semantic())


@settings(deadline=None, max_examples=50)
@given(labels=segment_maps(crowds=False))
def test_regions_without_holes_come_back_exactly(tmp_path_factory: pytest.TempPathFactory, labels: SegmentMap) -> None:
    folder = tmp_path_factory.mktemp("t")
    export(folder, labels)
    found = survival(labels, ExportOptions())
    lost = found.counts["Holes filled"] + found.counts["Pixels of ignore that become background"]
    back = read_back("yolo", folder / "out", {"a": labels.shape})["a"]
    if not lost:
        assert np.array_equal(back.semantic(), labels.semantic())


@pytest.mark.parametrize("size", [(2, 2), (7, 5000), (3000, 11), (4096, 4096), (9999, 13)])
def test_every_corner_of_a_large_image_comes_back_exactly(tmp_path: Path, size: tuple[int, int]) -> None:
    height, width = size
    rng = np.random.default_rng(height)
    labels = SegmentMap.from_semantic(np.zeros(size, dtype=np.uint8))
    labels.ids[0, 0] = labels.ids[-1, -1] = labels.ids[height // 3 :, width // 7 : width // 7 + 3] = 1
    for row, column in zip(rng.integers(0, height, 200).tolist(), rng.integers(0, width, 200).tolist(), strict=True):
        labels.ids[row, column] = 1
    export(tmp_path, labels)
    overlap, _ = as_ultralytics(tmp_path / "out/labels/train/a.txt", height, width)
    expected = survival(labels, ExportOptions()).labels
    assert np.array_equal(overlap > 0, expected.ids == 1)


def test_losses_are_counted_before_and_after(tmp_path: Path) -> None:
    counts = {
        "Holes filled": 1,
        "Parts that become objects of their own": 1,
        "Crowds that become plain objects": 1,
        "Pixels of ignore that become background": 20,
        "Instances of stuff that become their class": 0,
    }
    assert survival(ring_map(), ExportOptions()).counts == counts
    warnings = export(tmp_path, ring_map())
    assert [w for w in warnings if "list" not in w] == [
        "Crowds that become plain objects: 1.",
        "Holes filled: 1.",
        "Parts that become objects of their own: 1.",
        "Pixels of ignore that become background: 20.",
    ]


def test_the_largest_part_of_an_instance_keeps_its_number() -> None:
    labels = SegmentMap.from_semantic(np.zeros(SHAPE, dtype=np.uint8))
    labels.ids[:2, :2] = labels.ids[10:20, 10:20] = 256
    labels.ids[25:, 25:] = 257
    labels.segments.update({256: Segment(256, 1), 257: Segment(257, 2)})
    after = survival(labels, ExportOptions()).labels
    assert after.ids[15, 15] == 256
    assert after.ids[0, 0] == 258
    assert after.ids[26, 26] == 2  # sky is no thing


def test_an_export_is_laid_out_as_ultralytics_wants_it(tmp_path: Path) -> None:
    names = ["a.png", "a.jpg", "images/b.png", "sp ace/ü 'q'.jfif"]
    splits = ["train", "validation", "test", "train"]
    images = [
        labelled_image(tmp_path, n, ring_map(), split=s, format="PNG") for n, s in zip(names, splits, strict=True)
    ]
    format_named("yolo").export(images, CATALOG, tmp_path / "out")
    out = tmp_path / "out"
    for image in ("train/a.png.png", "val/a.jpg.jpg", "test/images_/b.png", "train/sp ace/ü 'q'.jfif.jpg"):
        assert (out / "images" / image).is_file()
        assert (out / "labels" / image).with_suffix(".txt").is_file()
    assert (out / "data.yaml").read_text() == (
        "train: images/train\nval: images/val\ntest: images/test\nnc: 3\nnames:\n"
        '  0: "cell"\n  1: "sky"\n  2: "a \\"quoted\\" name é"\n'
    )
    shapes = dict.fromkeys(("a.png", "a.jpg", "images_/b", "sp ace/ü 'q'.jfif"), SHAPE)
    back = read_back("yolo", out, shapes)
    assert set(back) == set(shapes)
    matches = match_labels(read(out).labels, names[::-1])
    assert not matches.unmatched
    assert sorted((names[::-1][index], label.name) for index, label in matches.pairs) == [
        ("a.jpg", "a.jpg"),
        ("a.png", "a.png"),
        ("images/b.png", "images_/b"),
        ("sp ace/ü 'q'.jfif", "sp ace/ü 'q'.jfif"),
    ]
    for label in back.values():
        assert_same_objects(label, survival(ring_map(), ExportOptions()).labels)


@pytest.mark.parametrize("source", [".", "labels", "labels/train", "data.yaml"])
def test_an_import_starts_from_the_folder_its_labels_or_its_description(tmp_path: Path, source: str) -> None:
    export(tmp_path, ring_map())
    found = format_named("yolo").importer.read(tmp_path / "out" / source)
    assert [label.name for label in found.labels] == ["a"]
    assert [(c.number, c.name, c.kind) for c in found.classes] == [
        (0, "cell", Kind.THING),
        (1, "sky", Kind.STUFF),
        (2, 'a "quoted" name é', Kind.THING),
    ]


def test_a_missing_list_and_references_are_told(tmp_path: Path) -> None:
    notes = export(tmp_path, ring_map(), ExportOptions(images=ImageFiles.REFERENCE))
    assert "No image is in the list val: data.yaml names images/train for it." in notes
    assert "Readers of YOLO look for images beside the labels: copy or link them." in notes
    assert "a" in read_back("yolo", tmp_path / "out", {"a": SHAPE})


@settings(deadline=None, max_examples=50)
@given(names=st.lists(st.text(min_size=1, max_size=12).filter(str.strip), max_size=5))
def test_any_name_survives_in_the_description(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    path = tmp_path_factory.mktemp("t") / "data.yaml"
    write_yaml(path, {"train": "images/train"}, names)
    assert read_names(path) == dict(enumerate(names))


@pytest.mark.parametrize(
    "text",
    [
        "names: ['a b', \"c\", d's]\nnc: 3",
        "names:\n- a b # first\n- 'c'\n- d's\nnc: 3",
        'nc: 3\nnames:\n  - a b\n\n  # comment\n  - "c"  # second\n  - d\'s',
        'names:\n  0: a b\n  1: c\n  2: "d\'s"\n',
        "'names': {0: a b, 1: 'c', 2: 'd''s'}",
        "names: [\n  a b,\n  c,\n  d's,\n]\ntrain: x",
        'names: # these\n  "0": a b\n  1: c\n  2: d\'s\ndownload: |\n  x: 4',
    ],
)
def test_every_usual_form_of_names_is_understood(tmp_path: Path, text: str) -> None:
    (tmp_path / "data.yaml").write_text(text)
    assert read_names(tmp_path / "data.yaml") == {0: "a b", 1: "c", 2: "d's"}


@pytest.mark.parametrize("text", ["names: &a [b]", "names: [a, [b]]", "names: [a", "names:\n  ? x", "names: {a: 1, [}"])
def test_names_in_another_form_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(FormatError, match=r"names in data\.yaml cannot be understood"):
        read_names(tmp_path / "data.yaml")


def write(folder: Path, text: str | bytes, name: str = "labels/a.txt") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def read(source: Path) -> ImportSource:
    return format_named("yolo").importer.read(source)


def loaded(source: Path) -> SegmentMap:
    found = read(source)
    return load(found.labels[0], found.classes, SHAPE)


SQUARE = "1 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5"


def test_a_data_set_without_names_has_numbers(tmp_path: Path) -> None:
    labels = loaded(write(tmp_path, f"\ufeff{SQUARE}\n\n"))
    assert np.count_nonzero(labels.semantic() == 1) == (20 - 4 + 1) * (15 - 3 + 1)


def test_names_come_from_a_list_where_there_is_no_description(tmp_path: Path) -> None:
    write(tmp_path, SQUARE)
    write(tmp_path, "tree\nsky\n", "classes.txt")
    assert set(np.unique(loaded(tmp_path).ids)) == {0, 2}
    write(tmp_path, "names: [sky, cell]", "dataset.yml")
    assert set(np.unique(loaded(tmp_path).semantic())) == {0, 1}


def test_the_layout_of_other_exporters_is_read(tmp_path: Path) -> None:
    for name in ("train/labels/a.txt", "valid/labels/b.txt", "labels/train2017/c.txt"):
        write(tmp_path, SQUARE, name)
    write(tmp_path, "x", "README.txt")
    write(tmp_path, "./images/train2017/c.jpg", "train.txt")
    assert [label.name for label in read(tmp_path).labels] == ["train2017/c", "a", "b"]


def test_smaller_objects_lie_over_larger_ones_whatever_their_order(tmp_path: Path) -> None:
    small = "0 0.2 0.2 0.3 0.2 0.3 0.3"
    for text in (f"{small}\n{SQUARE}", f"{SQUARE}\n{small}"):
        write(tmp_path, text)
        write(tmp_path, "names: [cell, sky]", "data.yaml")
        assert loaded(tmp_path).ids[7, 11] == 256


def test_a_project_class_that_is_missing_is_not_dropped(tmp_path: Path) -> None:
    write(tmp_path, SQUARE.replace("1", "9", 1))
    with pytest.raises(FormatError, match="holds the class 9"):
        loaded(tmp_path)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("1 0.5 0.5 0.2 0.2", "it is a box"),
        ("1 0.1 0.1 0.5 0.1 0.5 0.5 0.9", "pairs"),
        ("1 0.1 0.1 0.5 0.1", "it is a box"),
        ("1", "0 points"),
        ("1 0.1 0.1", "1 points"),
        ("1 0.1 nan 0.5 0.1 0.5 0.5", "not finite"),
        ("1 0.1 inf 0.5 0.1 0.5 0.5", "no fractions"),
        ("1 0.1 1e99 0.5 0.1 0.5 0.5", "no fractions"),
        ("1 0.1 1e999 0.5 0.1 0.5 0.5", "no fractions"),
        ("1 10 10 50 10 50 50", "no fractions"),
        ("cell 0.1 0.1 0.5 0.1 0.5 0.5", "not all of it are numbers"),
        ("-1 0.1 0.1 0.5 0.1 0.5 0.5", "no class number"),
        ("1.5 0.1 0.1 0.5 0.1 0.5 0.5", "no class number"),
        ("nan 0.1 0.1 0.5 0.1 0.5 0.5", "no class number"),
        ("1 0.1 x 0.5 0.1 0.5 0.5", "not all of it are numbers"),
        ("1" + " 0.1" * 2_000_002, "more than 1,000,000 points"),
    ],
)
def test_a_bad_line_refuses_its_label_in_one_sentence(tmp_path: Path, line: str, sentence: str) -> None:
    with pytest.raises(FormatError, match=sentence) as refused:
        loaded(write(tmp_path, f"{SQUARE}\n{line}\n"))
    assert refused.value.message.startswith("Line 2 of a.txt cannot be used: ")


def test_a_polygon_that_leaves_the_image_is_cut_off(tmp_path: Path) -> None:
    labels = loaded(write(tmp_path, "1 -1.5 -1.5 1.5 -1.5 1.5 0.5 -1.5 0.5"))
    assert np.array_equal(np.unique(np.nonzero(labels.ids)[0]), np.arange(16))


@pytest.mark.parametrize(("text", "sentence"), [(b"\xff\xfe\x00", "no text"), (b"0\n" * 100_001, "100,000 lines")])
def test_a_file_of_something_else_is_refused(tmp_path: Path, text: bytes, sentence: str) -> None:
    with pytest.raises(FormatError, match=sentence):
        loaded(write(tmp_path, text))


def test_a_folder_without_labels_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "a\n", "classes.txt")
    with pytest.raises(FormatError, match="holds no label file of YOLO"):
        read(tmp_path)


def test_classes_are_numbered_by_their_ids_whatever_their_order(tmp_path: Path) -> None:
    catalog = Catalog([LabelClass(id=i, name=f"c{i}", color=(i, 0, 0)) for i in (9, 0, 4)])
    labels = SegmentMap.from_semantic(np.full(SHAPE, 4, dtype=np.uint8))
    image = labelled_image(tmp_path, "a.png", labels)
    format_named("yolo").export([image], catalog, tmp_path / "out")
    assert read_names(tmp_path / "out/data.yaml") == {0: "c0", 1: "c4", 2: "c9"}
    assert (tmp_path / "out/labels/train/a.txt").read_text().startswith("1 ")
