"""CVAT's XML, there and back, as CVAT writes it, and as nobody should."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from segstudio.core.catalog import IGNORE, Catalog
from segstudio.core.errors import Cancelled, FormatError
from segstudio.core.segmentmap import Segment, SegmentMap
from segstudio.formats.base import ImportSource
from segstudio.formats.cvat import CvatWriter
from segstudio.formats.cvat_shapes import run_lengths
from segstudio.formats.options import ExportOptions, ImageFiles, Shapes
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


def round_trip(folder: Path, labels: SegmentMap, options: ExportOptions, catalog: Catalog = CATALOG) -> SegmentMap:
    image = labelled_image(folder, "a.png", labels)
    format_named("cvat").export([image], catalog, folder / "out", options=options)
    return read_back("cvat", folder / "out", {"a.png": labels.shape}, catalog=catalog)["a.png"]


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
    if not background:
        labels.ids[labels.ids == 0] = IGNORE
    context = ExportContext(Path("x"), Path("x"), catalog, options, Streams(Path("x")))
    survival = CvatWriter(context).survives(labels)
    assert survival is not None
    assert round_trip(tmp_path_factory.mktemp("t"), labels, options, catalog) == survival.labels


@settings(deadline=None, max_examples=50)
@given(
    mask=st.integers(1, 2**20 - 1).map(lambda bits: np.array([bits >> i & 1 for i in range(20)], bool).reshape(4, 5))
)
def test_run_lengths_are_those_of_cvat(mask: npt.NDArray[np.bool_]) -> None:
    # CVAT hands them to pycocotools as the columns of the mask turned over.
    counts = [int(run) for run in run_lengths(mask).split(", ")]
    packed = coco_mask.frPyObjects([{"counts": counts, "size": [5, 4]}], 4, 5)[0]
    width, height = packed["size"]
    assert (width, height) == (5, 4)
    flat = np.repeat(np.arange(len(counts)) % 2, counts)
    assert np.array_equal(flat.reshape(4, 5), mask)


def test_a_file_is_what_cvat_writes(tmp_path: Path) -> None:
    names = ["deep er/ü 'q' & \"d\".png", "b<c.png"]
    splits = ["train", "test"]
    images = [labelled_image(tmp_path, n, ring_map(), split=s) for n, s in zip(names, splits, strict=True)]
    format_named("cvat").export(images, CATALOG, tmp_path / "out")
    root = ElementTree.parse(tmp_path / "out/annotations.xml").getroot()
    assert [element.tag for element in root] == ["version", "meta", "image", "image"]
    assert not any((element.tail or "").strip() for element in root)
    assert root.findtext("version") == "1.1"
    assert [e.findtext("name") for e in root.iter("label")] == [
        "_background_",
        "cell",
        "sky",
        'a "quoted" name é',
        "__ignore__",
    ]
    assert next(e.findtext("color") for e in root.iter("label") if e.findtext("name") == "cell") == "#0ac81e"
    first, second = root.findall("image")
    assert first.attrib == {"id": "0", "name": "deep er/ü 'q' & _d_.png", "width": "40", "height": "30"}
    assert second.attrib["id"] == "1"
    assert (tmp_path / "out/images" / first.attrib["name"]).is_file()
    mask = next(e for e in first if e.attrib.get("group_id") == "256")
    assert mask.tag == "mask"
    assert [mask.attrib[key] for key in ("left", "top", "width", "height", "z_order", "occluded")] == [
        "2",
        "2",
        "28",
        "26",
        "0",
        "0",
    ]
    assert mask.attrib["rle"].startswith("0, 87, 20, 8, 20")
    assert (tmp_path / "out/splits/test.txt").read_text() == "b_c.png\n"


def test_holes_survive_in_polygons_since_what_lies_inside_is_drawn_later(tmp_path: Path) -> None:
    options = ExportOptions(shapes=Shapes.POLYGONS, tolerance=0)
    assert round_trip(tmp_path, ring_map(), options) == ring_map()
    image = ElementTree.parse(tmp_path / "out/annotations.xml").getroot().find("image")
    assert image is not None
    assert [e.attrib["label"] for e in image].count("_background_") == 2
    assert [int(e.attrib["z_order"]) for e in image] == list(range(len(image)))


def test_an_interrupted_export_goes_on_with_the_next_number(tmp_path: Path) -> None:
    images = [labelled_image(tmp_path, f"{i}.png", ring_map()) for i in range(6)]
    asked = 0

    def killed() -> bool:
        nonlocal asked
        asked += 1
        return asked == 4

    writer = format_named("cvat")
    with pytest.raises(Cancelled):
        writer.export(images, CATALOG, tmp_path / "out", cancelled=killed)
    writer.export(images, CATALOG, tmp_path / "out")
    root = ElementTree.parse(tmp_path / "out/annotations.xml").getroot()
    assert [e.attrib["id"] for e in root.findall("image")] == list("012345")


def test_an_export_without_an_image_is_xml(tmp_path: Path) -> None:
    format_named("cvat").export([], CATALOG, tmp_path / "out")
    with pytest.raises(FormatError, match="lists no image"):
        format_named("cvat").importer.read(tmp_path / "out")


def test_references_keep_the_names_of_the_project(tmp_path: Path) -> None:
    image = labelled_image(tmp_path, "x/a.png", ring_map())
    options = ExportOptions(images=ImageFiles.REFERENCE)
    format_named("cvat").export([image], CATALOG, tmp_path / "out", options=options)
    assert read_back("cvat", tmp_path / "out", {"x/a.png": SHAPE})["x/a.png"] == ring_map()


META = (
    "<meta><task><id>7</id><labels>"
    "<label><name>sky</name><color>#0102fa</color><attributes><attribute><name>x</name></attribute></attributes></label>"
    "<label><name>cell</name></label><label><name>ignore</name></label></labels></task></meta>"
)
POLYGON = '<polygon label="cell" source="manual" occluded="0" points="1.00,1.00;9.00,1.00;9.00,6.00;1.00,6.00"/>'


def document(*shapes: str, image: str = 'id="0" name="a.jpg" width="40" height="30"', before: str = "") -> str:
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n{before}<annotations>\n<version>1.1</version>\n{META}\n'
        f"<image {image}>\n{''.join(shapes)}\n</image>\n</annotations>\n"
    )


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "annotations.xml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(source: Path) -> ImportSource:
    return format_named("cvat").importer.read(source)


def loaded(source: Path) -> SegmentMap:
    found = read(source)
    return load(found.labels[0], found.classes, SHAPE)


def shape(kind: str, **attributes: object) -> str:
    return f"<{kind} {' '.join(f'{k}={str(v)!r}' for k, v in ({'label': 'cell'} | attributes).items())}></{kind}>"


def test_labels_are_numbered_in_their_order_with_their_colours(tmp_path: Path) -> None:
    classes = read(write(tmp_path, document(POLYGON, shape("polygon", label="zoo", points="1,1;2,2;3,1")))).classes
    assert [(c.number, c.name, c.color, c.void) for c in classes] == [
        (0, "sky", (1, 2, 250), False),
        (1, "cell", None, False),
        (2, "ignore", None, True),
        (256, "zoo", None, False),
    ]
    with pytest.raises(FormatError, match='"zoo"'):
        loaded(tmp_path)


def test_polygons_are_filled_up_to_their_edges(tmp_path: Path) -> None:
    for source in (write(tmp_path, document(POLYGON)), tmp_path):
        labels = loaded(source)
        assert np.array_equal(np.nonzero(labels.ids >= 256)[0].reshape(5, 8)[:, 0], np.arange(1, 6))
    assert read(tmp_path).labels[0].size == (40, 30)


def test_shapes_of_a_higher_z_order_lie_over_the_others_and_groups_are_one_instance(tmp_path: Path) -> None:
    shapes = [
        shape("box", xtl=2, ytl=2, xbr=10, ybr=10, z_order=5, group_id=3),
        shape("box", xtl=0, ytl=0, xbr=20, ybr=20, label="sky", z_order=4),
        shape("box", xtl=30, ytl=2, xbr=33, ybr=4, z_order=-1, group_id=3),
        shape("box", xtl=5, ytl=5, xbr=7, ybr=7, label="ignore", z_order=5),
    ]
    labels = loaded(write(tmp_path, document(*shapes)))
    assert labels.ids[3, 3] == labels.ids[3, 31] >= 256
    assert labels.ids[15, 15] == 2
    assert labels.ids[6, 6] == IGNORE


def test_boxes_and_ellipses_are_turned(tmp_path: Path) -> None:
    box = loaded(write(tmp_path, document(shape("box", xtl=10, ytl=14, xbr=20, ybr=16, rotation=90)))).ids > 0
    assert np.count_nonzero(box) == 20
    assert box[10:20, 14:16].all()
    flat = loaded(write(tmp_path, document(shape("ellipse", cx=20, cy=15, rx=8, ry=3)))).ids > 0
    turned = loaded(write(tmp_path, document(shape("ellipse", cx=20, cy=15, rx=8, ry=3, rotation=90)))).ids > 0
    assert flat[15, 12:29].all()
    assert not flat[15, 11]
    assert turned[7:24, 20].all()
    clipped = loaded(write(tmp_path, document(shape("ellipse", cx=0, cy=0, rx=8, ry=3)))).ids > 0
    assert np.array_equal(clipped[:4, :9], flat[15:19, 20:29])


def test_masks_are_cut_to_the_image(tmp_path: Path) -> None:
    mask = shape("mask", rle="0,2,1,3", left=38, top=-1, width=3, height=2)
    labels = loaded(write(tmp_path, document(mask)))
    assert np.argwhere(labels.ids).tolist() == [[0, 38], [0, 39]]


def test_what_means_no_pixels_is_counted(tmp_path: Path) -> None:
    shapes = [shape("polyline", points="1,1;2,2")] * 2 + [shape("points", points="1,1"), shape("tag"), shape("new")]
    found = read(write(tmp_path, document(POLYGON, *shapes)))
    assert found.warnings == [
        "1 elements of unknown kinds mean no pixels and are left out.",
        "1 points elements mean no pixels and are left out.",
        "2 polyline elements mean no pixels and are left out.",
        "1 tag elements mean no pixels and are left out.",
    ]
    assert load(found.labels[0], found.classes, SHAPE).ids.max() == 256


def test_images_without_shapes_are_background(tmp_path: Path) -> None:
    found = read(write(tmp_path, document().replace(">\n\n</image>", "/>")))
    assert not load(found.labels[0], found.classes, SHAPE).ids.any()


def test_other_encodings_are_read_where_they_are_declared(tmp_path: Path) -> None:
    text = document(POLYGON.replace("cell", "ü")).replace("utf-8", "iso-8859-1").replace("a.jpg", "ü.jpg")
    found = read(write(tmp_path, text.encode("latin-1")))
    assert found.labels[0].name == "ü.jpg"
    assert load(found.labels[0], found.classes, SHAPE, given={256: 1}).ids.max() == 256
    assert read(write(tmp_path, b"\xef\xbb\xbf" + document(POLYGON).encode())).labels[0].name == "a.jpg"
    with pytest.raises(FormatError, match="UTF-16"):
        read(write(tmp_path, document(POLYGON).encode("utf-16")))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("../../etc/passwd", "etc/passwd"),
        ("/abs/a.jpg", "abs/a.jpg"),
        ("..\\x\\a.jpg", "x/a.jpg"),
        ("a b/c.png", "a b/c.png"),
    ],
)
def test_names_stay_inside_the_folder(tmp_path: Path, name: str, expected: str) -> None:
    found = read(write(tmp_path, document(POLYGON, image=f'id="0" name="{name}"')))
    assert [label.name for label in found.labels] == [expected]
    assert found.labels[0].size is None


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        (shape("mask", left=0, top=0, width=2, height=2), "run lengths are no list"),
        (shape("mask", rle="1,3", left=0, top=0, width=2), "height is no whole number"),
        (shape("mask", rle="1,3", left="x", top=0, width=2, height=2), "left is no whole number"),
        (shape("mask", rle="1,2", left=0, top=0, width=2, height=2), "make 3 pixels, but its box 2 x 2"),
        (shape("mask", rle="9999999999,9999999999", left=0, top=0, width=2, height=2), "make 19999999998 pixels"),
        (shape("mask", rle="1,-3,6", left=0, top=0, width=2, height=2), "no list"),
        (shape("mask", rle="1,,3", left=0, top=0, width=2, height=2), "no list"),
        (shape("mask", rle="1 3", left=0, top=0, width=2, height=2), "no list"),
        (shape("mask", rle="0," * 9 + "4", left=0, top=0, width=2, height=2), "too long"),
        (shape("mask", rle="1" * 30, left=0, top=0, width=2, height=2), "no list"),
        (shape("mask", rle="1", left=0, top=0, width=999999999, height=999999999), "999999999 x 999999999 pixels"),
        (shape("mask", rle="1", left=0, top=0, width=0, height=1), "0 x 1 pixels"),
        (shape("polygon"), "pairs"),
        (shape("polygon", points="1,1;2"), "pairs"),
        (shape("polygon", points="1,1;2,2"), "2 points"),
        (shape("polygon", points="1,1;nan,2;3,3"), "not finite"),
        (shape("polygon", points="1,1;x,2;3,3"), "could not convert"),
        (shape("polygon", points="1,1;2,2;3,3", z_order="high"), "z_order"),
        (shape("polygon", points="1,1;2,2;3,3", group_id="1.5"), "group_id"),
        (shape("box", xtl=1, ytl=1, xbr=2), "no ybr"),
        (shape("box", xtl=1, ytl=1, xbr=2, ybr="inf"), "ybr is inf"),
        (shape("ellipse", cx=1, cy=1, rx=-2, ry=2), "radius"),
        (shape("ellipse", cx=1, cy=1, rx=1e12, ry=2), "rx is"),
    ],
)
def test_a_bad_shape_refuses_its_label_in_one_sentence(tmp_path: Path, bad: str, sentence: str) -> None:
    with pytest.raises(FormatError, match=sentence) as refused:
        loaded(write(tmp_path, document(POLYGON, bad)))
    assert refused.value.message.startswith("Shape 2 of a.jpg in annotations.xml cannot be used: ")


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
EXTERNAL = '<!DOCTYPE x SYSTEM "file:///etc/passwd">'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (document(before=BOMB), "declares a document type"),
        (document(before=EXTERNAL), "declares a document type"),
        (document(before='<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'), "declares a document type"),
        ("", "no valid XML"),
        ("{}", "no valid XML"),
        (document(POLYGON)[:-30], "no valid XML"),
        (document('<mask label="a&#0;"/>'), "no valid XML"),
        ('<?xml version="1.0" encoding="klingon"?><annotations/>', "no valid XML"),
        ("<annotation><folder/></annotation>", "begins with <annotation>"),
        ('<annotations><track id="0"/></annotations>', "CVAT for video"),
        (document("<a>" * 100 + "</a>" * 100), "nested deeper"),
        (document(f'<mask label="{"x" * 5000}"/>'), "name is too long"),
        (document(*(f'<mask label="{i}"/>' for i in range(10_001))), "too many labels"),
        ("<annotations/>", "lists no image"),
    ],
)
def test_a_file_of_something_else_is_refused_in_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(FormatError, match=sentence):
        read(write(tmp_path, text))


def test_a_folder_without_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"holds no annotations\.xml"):
        read(tmp_path)


def test_a_file_that_changed_meanwhile_is_refused(tmp_path: Path) -> None:
    found = read(write(tmp_path, document(POLYGON)))
    write(tmp_path, document(POLYGON).replace("cell", "tree"))
    with pytest.raises(FormatError, match="has changed"):
        load(found.labels[0], found.classes, SHAPE)
    for text in ("x" * 5000, document(POLYGON)[:-60], "<image>" * 1000):
        write(tmp_path, text)
        with pytest.raises(FormatError, match=r"has changed|no valid XML"):
            load(found.labels[0], found.classes, SHAPE)


def test_memory_does_not_grow_with_the_shapes_of_a_file(tmp_path: Path) -> None:
    def parts() -> Iterable[str]:
        yield document(POLYGON).partition("<image")[0]
        for i in range(200):
            points = ";".join(f"{x}.25,{x % 7}.50" for x in range(6_000))
            yield f'<image name="{i}.jpg"><polygon label="cell" points="{points}"/></image>\n'
        yield "</annotations>"

    path = tmp_path / "annotations.xml"
    with path.open("w") as file:
        file.writelines(parts())
    assert path.stat().st_size > 14 << 20
    tracemalloc.start()
    try:
        found = read(path)
        assert len(found.labels) == 200
        load(found.labels[150], found.classes, SHAPE)
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()
