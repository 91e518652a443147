"""NumPy arrays: every pixel and instance, every kind of integer, and nothing that could run or explode."""

from __future__ import annotations

import io
import tempfile
import tracemalloc
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hostile import npy_header, write_npz_bomb
from hypothesis import given, settings
from support import CATALOG, labelled_image, load, read_back, segment_maps

from segstudio.core.errors import FormatError, UserError
from segstudio.core.segmentmap import Segment, SegmentMap
from segstudio.formats.numpy_arrays import NumpyWriter
from segstudio.formats.options import ExportOptions
from segstudio.formats.registry import format_named
from segstudio.formats.stage import Streams
from segstudio.formats.writer import Entry, ExportContext

NUMPY = format_named("numpy")
VALUES = [[0, 1, 2], [7, 1, 0]]


def save(path: Path, array: npt.NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)


def load_only(folder: Path, shape: tuple[int, int] = (2, 3)) -> SegmentMap:
    found = NUMPY.importer.read(folder)
    return load(found.labels[0], found.classes, shape)


@settings(max_examples=25, deadline=None)
@given(segment_maps())
def test_every_pixel_instance_and_crowd_comes_back(labels: SegmentMap) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        NUMPY.export([labelled_image(root / "in", "deep/a.jpg", labels)], CATALOG, root / "out")
        for source in (root / "out", root / "out/labels"):
            assert read_back("numpy", source, {"deep/a": labels.shape})["deep/a"] == labels


def test_plain_numpy_reads_an_export(tmp_path: Path) -> None:
    labels = SegmentMap.from_semantic(np.array([[0, 1, 255]], dtype=np.uint8))
    with_instance = labels.copy()
    with_instance.ids[0, 1] = 60_000
    with_instance.segments[60_000] = Segment(60_000, 7)
    images = [labelled_image(tmp_path / "in", "a.png", labels), labelled_image(tmp_path / "in", "b.png", with_instance)]
    NUMPY.export(images, CATALOG, tmp_path / "out")
    classes = np.load(tmp_path / "out/labels/b.npy")
    assert classes.dtype == np.uint8
    assert classes.tolist() == [[0, 7, 255]]
    assert np.load(tmp_path / "out/instances/b.npy").tolist() == [[0, 60_000, 0]]
    assert not (tmp_path / "out/instances/a.npy").exists()
    assert (tmp_path / "out/splits/train.txt").read_text() == "a.npy\nb.npy\n"


@pytest.mark.parametrize("kind", ["u1", "<i2", ">u2", "<i4", ">i8", "<u8", "i1", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_every_whole_kind_and_order_are_read(tmp_path: Path, kind: str, order: str) -> None:
    values = np.array(VALUES if kind != "?" else [[0, 1, 1], [1, 1, 0]])
    save(tmp_path / "a.npy", np.array(values, dtype=kind, order=order))
    assert load_only(tmp_path).ids.tolist() == values.tolist()


@pytest.mark.parametrize("kind", ["i1", "<i8"])
def test_minus_one_is_ignore_and_no_object(tmp_path: Path, kind: str) -> None:
    save(tmp_path / "labels/a.npy", np.array([[-1, 1, 1]], dtype=kind))
    save(tmp_path / "instances/a.npy", np.array([[-1, -1, 3]], dtype=kind))
    labels = load_only(tmp_path, (1, 3))
    assert labels.ids.tolist() == [[255, 1, 258]]
    assert labels.decided.all()


def test_archives_of_one_array_are_read(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", labels=np.array(VALUES))
    assert load_only(tmp_path).ids.tolist() == VALUES
    np.savez(tmp_path / "a.npz", one=np.array(VALUES), two=np.array(VALUES))
    with pytest.raises(FormatError, match=r"a\.npz holds 2 arrays, not one"):
        load_only(tmp_path)


def test_object_numbers_of_others_become_instances(tmp_path: Path) -> None:
    save(tmp_path / "labels/a.npy", np.array([[0, 1, 1, 7]]))
    save(tmp_path / "instances/a.npy", np.array([[1, 1, 1, 2]]))
    labels = load_only(tmp_path, (1, 4))
    assert labels.ids.tolist() == [[0, 256, 256, 257]]
    assert labels.segments == {256: Segment(256, 1), 257: Segment(257, 7)}


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.array([[{}]], dtype=object), "Python objects, which are never loaded"),
        (np.zeros((2, 3)), "holds float64, not whole numbers"),
        (np.zeros((2, 3), dtype="<U2"), "not whole numbers"),
        (np.zeros((2, 3), dtype=[("a", "u1")]), "not whole numbers"),
        (np.zeros((2, 3), dtype=[("ä", "u1")]), "not whole numbers"),
        (np.zeros((1, 2, 3), dtype=np.uint8), "has 3 axes, not 2"),
        (np.uint8(3), "has 0 axes, not 2"),
        (np.zeros((0, 3), dtype=np.uint8), "is empty"),
        (np.full((2, 3), -2), "holds the value -2"),
        (np.full((2, 3), 2**63, dtype=np.uint64), "holds the value 9223372036854775808"),
        (np.full((2, 3), 9, dtype=np.uint16), "holds the class 9"),
        (np.zeros((3, 2), dtype=np.uint8), "is 2 x 3 pixels, but its image .* is 3 x 2"),
    ],
)
def test_arrays_that_are_no_labels_are_refused(tmp_path: Path, array: npt.NDArray[Any], sentence: str) -> None:
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array(file, np.asanyarray(array), version=(3, 0) if "ä" in str(array.dtype) else None)
    with pytest.raises(FormatError, match=sentence):
        load_only(tmp_path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00\xff\xff{",
        b"\x93NUMPY\x09\x00" + bytes(200),
        b"\x93NUMPY\x01\x00" + (2000).to_bytes(2, "little") + b"(" * 2000,
        npy_header((2, 3), "|u1").replace(b"(2, 3)", b"(2, a)"),
        npy_header((2, 3), "|u1").replace(b"|u1", b"zzz"),
        npy_header((2, 3)) + b"ab",
        b"not an array at all",
    ],
)
def test_damaged_arrays_are_refused_in_one_sentence(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(UserError, match=r"a\.npy"):
        load_only(tmp_path)


def test_headers_that_promise_too_much_cost_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(npy_header((1 << 40, 1 << 20), "<u8"))
    write_npz_bomb(tmp_path / "b.npz", npy_header((30_000, 30_000)), 64 << 20)
    write_npz_bomb(tmp_path / "c.npz", npy_header((2, 3)), 64 << 20)
    labels = NUMPY.importer.read(tmp_path).labels
    tracemalloc.start()
    for label in labels[:2]:
        with pytest.raises(FormatError, match="pixels, but its image"):
            load(label, (), (2, 3))
    assert load(labels[2], (), (2, 3)).ids.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_archives_damaged_anywhere_are_read_or_refused(tmp_path: Path, compression: int) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("arr_0.npy", npy_header((2, 3)) + bytes(6))
    whole = buffer.getvalue()
    for place in range(len(whole)):
        (tmp_path / "a.npz").write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        with suppress(UserError):
            load_only(tmp_path)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04" + bytes(100), b"nothing"])
def test_damaged_archives_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(FormatError, match=r"a\.npz is damaged"):
        load_only(tmp_path)


@pytest.mark.parametrize("text", ["[", "[" * 100_000, "[1]", "NaN"])
def test_damaged_tables_of_instances_are_refused(tmp_path: Path, text: str) -> None:
    save(tmp_path / "labels/a.npy", np.array(VALUES))
    save(tmp_path / "instances/a.npy", np.array(VALUES))
    (tmp_path / "instances/a.json").write_text(text)
    with pytest.raises(FormatError, match=r"a\.json"):
        load_only(tmp_path)


def test_tables_with_odd_entries_are_passed_over(tmp_path: Path) -> None:
    save(tmp_path / "labels/a.npy", np.array([[1, 1, 7]]))
    save(tmp_path / "instances/a.npy", np.array([[1, 1, 2]]))
    (tmp_path / "instances/a.json").write_text('{"1": 5, "²": {}, "-7": {}, "2": {"crowd": "yes"}, "99999999": {}}')
    assert load_only(tmp_path, (1, 3)).segments == {256: Segment(256, 1), 257: Segment(257, 7)}


def test_a_folder_without_arrays_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"holds no \.npy file"):
        NUMPY.importer.read(tmp_path)


def test_instances_deleted_since_an_interruption_do_not_come_back(tmp_path: Path) -> None:
    plain = SegmentMap.from_semantic(np.ones((2, 3), dtype=np.uint8))
    cells = SegmentMap(np.full((2, 3), 256, dtype=np.uint16), plain.decided.copy(), {256: Segment(256, 1)})
    image = labelled_image(tmp_path / "in", "a.png", cells)
    context = ExportContext(tmp_path / "out", tmp_path / "out", CATALOG, ExportOptions(), Streams(tmp_path / "streams"))
    writer = NumpyWriter(context)
    writer.write(Entry(0, "a.npy", image), cells)
    writer.write(Entry(0, "a.npy", image), plain)
    assert read_back("numpy", tmp_path / "out", {"a": (2, 3)})["a"] == plain
