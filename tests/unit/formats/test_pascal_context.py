"""PASCAL-Context: MAT-files, both protocols, and the names that differ between its lists."""

from __future__ import annotations

import io
import struct
import tempfile
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hostile import write_png_bomb
from hypothesis import given, settings
from scipy.io import loadmat, savemat
from support import CATALOG, labelled_image, load, read_back, segment_maps

from segstudio.core.catalog import Catalog, LabelClass
from segstudio.core.errors import FormatError, ImageError
from segstudio.core.segmentmap import Segment, SegmentMap
from segstudio.formats.classes import SourceClass
from segstudio.formats.options import Unknown
from segstudio.formats.pascal_context import context_classes
from segstudio.formats.registry import format_named
from segstudio.imaging.decode import read_labels, write_index_png

CONTEXT = format_named("pascal-context")
OFFICIAL = Catalog(
    LabelClass(id=number, name=name, color=(number, 9, 9))
    for number, name in {0: "background", 1: "table", 2: "Sky", 7: "bedcloth"}.items()
)
SOURCES = {"own": CATALOG, "official": OFFICIAL}
# The ids of the 60 classes in trainval_merged.json of the Detail API, the background's first.
RAW = [0, 2, 259, 260, 415, 324, 9, 258, 144, 18, 19, 22, 23, 397, 25, 284, 158, 159, 416, 33, 162, 420, 454, 295, 296]
RAW += [427, 44, 45, 46, 308, 59, 440, 445, 31, 232, 65, 354, 424, 68, 326, 72, 458, 34, 207, 80, 355, 85, 347, 220]
RAW += [349, 360, 98, 187, 104, 105, 366, 189, 368, 113, 115]


def save_mat(path: Path, values: npt.NDArray[Any], *, key: str = "LabelMap", **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {key: values}, **options)


def load_only(folder: Path, shape: tuple[int, int], catalog: Catalog = CATALOG, **options: Any) -> SegmentMap:
    found = CONTEXT.importer.read(folder)
    return load(found.labels[0], found.classes, shape, catalog=catalog, **options)


@pytest.mark.parametrize("classes", SOURCES)
@settings(max_examples=15, deadline=None)
@given(labels=segment_maps(instances=False))
def test_every_pixel_comes_back(classes: str, labels: SegmentMap) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        CONTEXT.export([labelled_image(root / "in", "a.jpg", labels)], SOURCES[classes], root / "out")
        again = read_back("pascal-context", root / "out", {"a": labels.shape}, catalog=SOURCES[classes])
        assert again["a"] == labels


@pytest.mark.parametrize("classes", SOURCES)
@pytest.mark.parametrize("part", ["trainval", "context59"])
def test_what_other_folders_cannot_tell_from_void_is_void(tmp_path: Path, classes: str, part: str) -> None:
    values = np.array([[0, 1, 2, 7, 255]], dtype=np.uint8)
    image = labelled_image(tmp_path / "in", "a.jpg", SegmentMap.from_semantic(values))
    CONTEXT.export([image], SOURCES[classes], tmp_path / "out")
    if not (tmp_path / "out" / part).is_dir():
        return
    shapes = {"a": (1, 5)}
    source = tmp_path / "out" / part
    again = read_back("pascal-context", tmp_path / "out", shapes, catalog=SOURCES[classes], source=source)
    expected = np.where(values == 0, 255, values) if classes == "official" else values
    assert again["a"].ids.tolist() == expected.tolist()


def test_the_59_classes_have_their_published_numbers() -> None:
    classes = context_classes()
    assert [c.number for c in sorted(classes, key=lambda c: c.full)] == sorted(RAW)[1:]
    assert [c.name for c in classes[:20]] == [c.name for c in Catalog.from_palette("voc")][1:]
    assert [c.name for c in classes[20:24]] == ["bag", "bed", "bench", "book"]
    assert classes[58].name == "wood"
    differing = {c.name: c.full for c in classes if c.name != c.full}
    assert differing == {"diningtable": "table", "clothes": "cloth", "bedcloth": "bedclothes"}


def test_official_classes_are_written_in_all_three_numberings(tmp_path: Path) -> None:
    values = np.array([[0, 1, 2, 7, 255]], dtype=np.uint8)
    images = [
        labelled_image(tmp_path / "in", "a.jpg", SegmentMap.from_semantic(values)),
        labelled_image(tmp_path / "in", "b.png", SegmentMap.from_semantic(values), split="validation"),
    ]
    CONTEXT.export(images, OFFICIAL, tmp_path / "out")
    label_map = loadmat(tmp_path / "out/trainval/a.mat")["LabelMap"]
    assert label_map.dtype == np.uint16
    assert label_map.tolist() == [[0, 397, 360, 19, 0]]
    names = ["background", *(c.name for c in context_classes())]
    sixty = read_labels(tmp_path / "out/context60/a.png")[0]
    assert [names[value] for value in sixty[:4]] == ["background", "diningtable", "sky", "bedcloth"]
    assert sixty[4] == 255
    assert read_labels(tmp_path / "out/context59/a.png")[0].tolist() == [255, *(sixty[1:4] - 1).tolist(), 255]
    lines = (tmp_path / "out/labels.txt").read_text().splitlines()
    assert len(lines) == 59
    assert lines[0] == "2: aeroplane"
    assert "397: table" in lines
    assert (tmp_path / "out/splits/val.txt").read_text() == "b\n"
    assert (tmp_path / "out/JPEGImages/b.jpg").is_file()


def test_own_classes_are_listed_by_position(tmp_path: Path) -> None:
    values = np.array([[0, 1, 2, 7, 255]], dtype=np.uint8)
    CONTEXT.export(
        [labelled_image(tmp_path / "in", "a.jpg", SegmentMap.from_semantic(values))], CATALOG, tmp_path / "out"
    )
    assert loadmat(tmp_path / "out/trainval/a.mat")["LabelMap"].tolist() == [[1, 2, 3, 4, 0]]
    lines = (tmp_path / "out/labels.txt").read_text(encoding="utf-8").splitlines()
    assert lines == ["1: background", "2: cell", "3: sky", '4: a "quoted" name é']
    assert read_labels(tmp_path / "out/classes/a.png").tolist() == values.tolist()


def test_losses_tell_of_instances(tmp_path: Path) -> None:
    labels = SegmentMap.from_semantic(np.zeros((2, 3), dtype=np.uint8))
    labels.ids[0] = 256
    labels.segments[256] = Segment(256, 1)
    report = CONTEXT.losses([labelled_image(tmp_path / "in", "a.png", labels)], CATALOG)
    assert (report.changed, dict(report.counts)) == (3, {"Instances that become their class": 1})


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("source", ["", "trainval"])
def test_published_mat_files_are_read_by_name(tmp_path: Path, listed: bool, source: str) -> None:
    save_mat(tmp_path / "trainval/2008_000002.mat", np.array([[397, 80, 0, 19, 360]], dtype=np.uint16))
    if listed:
        (tmp_path / "labels.txt").write_text("1: accordion\n19: bedclothes\n80: cloth\n360: sky\n397: table\n")
    catalog = Catalog.from_names(["sky", "bedcloth", "clothes", "diningtable"])
    assert load_only(tmp_path / source, (1, 5), catalog).ids.tolist() == [[3, 2, 255, 1, 0]]


def test_labels_beyond_the_59_are_ignored_only_when_asked(tmp_path: Path) -> None:
    save_mat(tmp_path / "a.mat", np.array([[360, 1]], dtype=np.uint16))
    catalog = Catalog.from_names(["sky"])
    with pytest.raises(FormatError, match=r"a\.mat holds the class 1, which this project lacks"):
        load_only(tmp_path, (1, 2), catalog)
    assert load_only(tmp_path, (1, 2), catalog, unknown=Unknown.IGNORE).ids.tolist() == [[0, 255]]


@pytest.mark.parametrize(
    ("part", "values"),
    [("context60", [0, 1, 59, 255]), ("context59", [255, 0, 58, 255]), ("SegmentationClassContext", [0, 1, 59, 255])],
)
def test_pngs_of_the_protocols_are_read_by_name(tmp_path: Path, part: str, values: list[int]) -> None:
    (tmp_path / part).mkdir()
    write_index_png(tmp_path / part / "a.png", np.array([values], dtype=np.uint8))
    catalog = Catalog.from_names(["background", "wood", "aeroplane"])
    first = 255 if part == "context59" else 0
    assert load_only(tmp_path, (1, 4), catalog).ids.tolist() == [[first, 2, 1, 255]]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        *((kind, options) for kind in ("u1", "i4", "f8", "u8", "?") for options in ({}, {"do_compression": True})),
        *((kind, {"format": "4"}) for kind in ("u1", "i4", "f8")),
    ],
)
def test_label_maps_of_any_number_kind_are_read(tmp_path: Path, kind: str, options: dict[str, Any]) -> None:
    save_mat(tmp_path / "a.mat", np.array([[1, 0], [1, 1]], dtype=kind), **options)
    (tmp_path / "labels.txt").write_text("1: cell\n")
    assert load_only(tmp_path, (2, 2)).ids.tolist() == [[1, 255], [1, 1]]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (np.array([[1.5, 2]]), "no numbers of classes"),
        (np.array([[np.nan, 2]]), "no numbers of classes"),
        (np.array([[-1, 2]]), "no numbers of classes"),
        (np.array([[70_000, 2]]), "no numbers of classes"),
        (np.array([[1j, 2]]), "holds no array of numbers called LabelMap"),
        (np.array([["a", "b"]]), "holds no array of numbers called LabelMap"),
        (np.array([["a", [1]]], dtype=object), "holds no array of numbers called LabelMap"),
        (np.zeros((2, 2, 2)), "holds no array of numbers called LabelMap"),
        (np.zeros((3, 2)), "is 2 x 3 pixels, but its image a is 2 x 1"),
    ],
)
def test_label_maps_that_are_none_are_refused(tmp_path: Path, values: npt.NDArray[Any], sentence: str) -> None:
    save_mat(tmp_path / "a.mat", values)
    with pytest.raises(FormatError, match=sentence):
        load_only(tmp_path, (1, 2))


def test_other_variables_are_no_label_map(tmp_path: Path) -> None:
    save_mat(tmp_path / "a.mat", np.zeros((1, 2)), key="Something")
    with pytest.raises(FormatError, match="called LabelMap"):
        load_only(tmp_path, (1, 2))


def mat_bomb(rows: int, columns: int, unpacked: int) -> bytes:
    """A small MAT-file: a compressed LabelMap whose data unpack to many bytes."""
    buffer = io.BytesIO()
    savemat(buffer, {"LabelMap": np.zeros((1, 1), dtype=np.uint8)})
    head = buffer.getvalue()[:128]

    def element(kind: int, data: bytes) -> bytes:
        return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)

    flags = element(6, struct.pack("<II", 9, 0))
    shape = element(5, struct.pack("<ii", rows, columns))
    inner = flags + shape + element(1, b"LabelMap") + element(2, bytes(unpacked))
    packed = zlib.compress(struct.pack("<II", 14, len(inner)) + inner)
    return head + struct.pack("<II", 15, len(packed)) + packed


@pytest.mark.parametrize("shape", [(1, 2), (60_000, 60_000)])
def test_mat_bombs_cost_little(tmp_path: Path, shape: tuple[int, int]) -> None:
    (tmp_path / "a.mat").write_bytes(mat_bomb(*shape, 200 << 20))
    tracemalloc.start()
    with pytest.raises(FormatError, match="holds far more than a label"):
        load_only(tmp_path, (1, 2))
    assert tracemalloc.get_traced_memory()[1] < 60 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nothing",
        bytes(128),
        b"x" * 124 + b"\x00\x01IM" + b"\x0f\x00\x00\x00\xff\xff\xff\xff" + b"abcd",
        b"x" * 124 + b"\x00\x01IM" + b"\x0e\x00\x00\x00\xff\xff\xff\x7f" + bytes(40),
        mat_bomb(1, 2, 2)[:-4],
        mat_bomb(-1, -2, 2),
        mat_bomb(5, 5, 2),
    ],
)
def test_damaged_mat_files_are_refused_in_one_sentence(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.mat").write_bytes(data)
    with pytest.raises(FormatError, match=r"a\.mat"):
        load_only(tmp_path, (5, 5))


@pytest.mark.parametrize("compressed", [False, True])
def test_mat_files_with_any_type_number_are_read_or_refused(tmp_path: Path, *, compressed: bool) -> None:
    values = np.array([[1, 0, 2, 2], [1, 1, 0, 2]], dtype=np.uint8)
    buffer = io.BytesIO()
    savemat(buffer, {"LabelMap": values})
    whole = buffer.getvalue()
    numbers = whole.rindex(struct.pack("<II", 2, values.size))
    for kind in (*range(40), 255, 1 << 15, 1 << 31, 0xFFFFFFFF):
        data = whole[:numbers] + struct.pack("<I", kind) + whole[numbers + 4 :]
        if compressed:
            packed = zlib.compress(data[128:])
            data = data[:128] + struct.pack("<II", 15, len(packed)) + packed
        (tmp_path / "a.mat").write_bytes(data)
        (label,) = CONTEXT.importer.read(tmp_path).labels
        classes = [SourceClass(number=n, name=c.name) for n, c in enumerate(CATALOG)]
        if kind in {1, 2}:
            load(label, classes, (2, 4))
        else:
            with pytest.raises(FormatError, match=r"a\.mat"):
                load(label, classes, (2, 4))


def test_mat_files_of_version_7_3_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "a.mat").write_bytes(b"MATLAB 7.3".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(FormatError, match=r"version 7\.3.*-v7"):
        load_only(tmp_path, (5, 5))


def test_png_bombs_are_refused(tmp_path: Path) -> None:
    (tmp_path / "context59").mkdir()
    write_png_bomb(tmp_path / "context59/a.png")
    with pytest.raises(ImageError, match="too large: 100,000 x 100,000"):
        load_only(tmp_path, (5, 5))


@pytest.mark.parametrize("text", ["", "accordion\n", "1: a\n2:\n", "1: " + "a" * 2000 + "\n"])
def test_lists_of_labels_that_make_no_sense_are_refused(tmp_path: Path, text: str) -> None:
    save_mat(tmp_path / "a.mat", np.zeros((1, 2), dtype=np.uint16))
    (tmp_path / "labels.txt").write_text(text)
    with pytest.raises(FormatError, match=r"labels\.txt cannot be understood"):
        CONTEXT.importer.read(tmp_path)


def test_a_folder_without_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="holds no folder trainval of MAT-files"):
        CONTEXT.importer.read(tmp_path)
