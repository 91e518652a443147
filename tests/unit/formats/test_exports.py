"""What other programs read from our exports: every pixel, every hole, every instance."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from pycocotools.coco import COCO

from segstudio.core.catalog import Catalog, Kind, LabelClass
from segstudio.core.errors import Cancelled, FormatError, UserError
from segstudio.core.jobs import Progress
from segstudio.core.segmentmap import Segment, SegmentMap
from segstudio.formats.base import LabelledImage
from segstudio.formats.registry import FORMATS, export_names, exporter_for, importer_for
from segstudio.formats.voc import VocExporter
from segstudio.imaging import rle
from segstudio.imaging.decode import read_labels

CATALOG = Catalog(
    [
        LabelClass(id=0, name="background", color=(96, 96, 96), kind=Kind.STUFF),
        LabelClass(id=1, name="cell", color=(10, 200, 30)),
        LabelClass(id=2, name="sky", color=(1, 2, 250), kind=Kind.STUFF),
        LabelClass(id=7, name='a "quoted" name é', color=(250, 2, 3)),
    ]
)
Image3 = npt.NDArray[np.uint8]


def labelled_map(height: int = 40, width: int = 60) -> SegmentMap:
    """Background, two touching cells (one a ring), two plain cells, sky, decided void and untouched pixels."""
    ids = np.zeros((height, width), dtype=np.uint16)
    ids[2:12, 2:12] = 256
    ids[5:9, 5:9] = 0  # a hole
    ids[2:12, 12:20] = 258
    ids[20:24, 3:8] = 1
    ids[28:30, 3:8] = 1
    ids[20:40, 30:40] = 2
    ids[0:3, 50:60] = 2
    ids[15, :] = 255
    ids[30:34, 50:55] = 7
    decided = np.ones(ids.shape, dtype=np.bool_)
    ids[36:, :20] = 255
    decided[36:, :20] = False
    return SegmentMap(ids, decided, {256: Segment(256, 1), 258: Segment(258, 1, crowd=True)})


def picture(height: int = 40, width: int = 60) -> Image3:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., LabelledImage]:
    """Makes an image file below tmp_path/in with a segment map."""

    def build(name: str, labels: SegmentMap | None = None, *, split: str = "train", **options: Any) -> LabelledImage:
        labels = labelled_map() if labels is None else labels
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(*labels.shape)).save(path, **options)
        return LabelledImage(
            name=name, path=path, load=lambda: labels, width=labels.width, height=labels.height, split=split
        )

    return build


def index_array(path: Path) -> npt.NDArray[Any]:
    with Image.open(path) as image:
        assert image.mode == "P"
        return np.asarray(image)


def test_torchvision_reads_every_pixel_of_a_voc_export(tmp_path: Path, make: Callable[..., LabelledImage]) -> None:
    from torchvision.datasets import VOCSegmentation

    images = [make("a.jpg"), make("deep/b.png", split="validation"), make("c c.tif")]
    report = exporter_for("voc").export(images, CATALOG, tmp_path / "out")
    assert report.images == 3
    expected = labelled_map().semantic()
    for image_set, count in (("train", 2), ("val", 1), ("trainval", 3)):
        dataset = VOCSegmentation(tmp_path / "out", year="2012", image_set=image_set)
        assert len(dataset) == count
        for image, mask in dataset:
            assert image.size == (60, 40)
            assert np.array_equal(np.asarray(mask), expected)
            assert mask.getpalette()[3:6] == [10, 200, 30]
            assert mask.getpalette()[765:] == [224, 224, 192]


def test_torchvision_reads_an_export_to_a_devkit_folder(tmp_path: Path, make: Callable[..., LabelledImage]) -> None:
    from torchvision.datasets import VOCSegmentation

    out = tmp_path / "root" / "VOCdevkit" / "VOC2012"
    VocExporter().export([make("a.jpg")], CATALOG, out)
    assert not (out / "VOCdevkit").exists()
    assert len(VOCSegmentation(tmp_path / "root", year="2012", image_set="train")) == 1


def test_voc_objects_keep_their_instances(tmp_path: Path, make: Callable[..., LabelledImage]) -> None:
    report = exporter_for("voc").export([make("a.jpg")], CATALOG, tmp_path / "out")
    objects = index_array(tmp_path / "out/SegmentationObject/a.png")
    labels = labelled_map()
    assert np.array_equal(objects == 1, labels.ids == 256)
    assert np.array_equal(objects == 3, labels.ids == 258)
    assert np.array_equal(objects == 255, labels.ids == 255)
    assert report.warnings == ["a.jpg has crowds, which VOC cannot mark."]


def test_voc_renumbers_high_instance_ids_into_8_bits(tmp_path: Path, make: Callable[..., LabelledImage]) -> None:
    labels = SegmentMap.from_semantic(np.zeros((8, 9), dtype=np.uint8))
    labels.ids[:2], labels.ids[4:] = 60_000, 700
    labels.segments.update({i: Segment(i, 1) for i in (60_000, 700)})
    exporter_for("voc").export([make("a.png", labels)], CATALOG, tmp_path / "out")
    objects = index_array(tmp_path / "out/SegmentationObject/a.png")
    assert objects[:, 0].tolist() == [2, 2, 0, 0, 1, 1, 1, 1]


def test_voc_keeps_more_than_254_instances_in_16_bits(tmp_path: Path, make: Callable[..., LabelledImage]) -> None:
    labels = SegmentMap.from_semantic(np.full((10, 30), 255, dtype=np.uint8))
    labels.ids[:] = np.arange(300).reshape(10, 30) + 256
    labels.ids[0, 0] = 255
    labels.segments.update({i: Segment(i, 1) for i in range(256, 556)})
    report = exporter_for("voc").export([make("a.png", labels)], CATALOG, tmp_path / "out")
    assert "16 bits" in report.warnings[0]
    again = importer_for("voc").read(tmp_path / "out", CATALOG).labels[0].load()
    assert again == labels


def test_voc_copies_upright_jpegs_byte_by_byte_and_turns_the_others(
    tmp_path: Path, make: Callable[..., LabelledImage]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    plain = make("plain.jpg")
    turned = make("turned.jpg", exif=exif)
    tall = labelled_map(60, 40)
    turned = LabelledImage(name=turned.name, path=turned.path, load=lambda: tall, width=40, height=60)
    exporter_for("voc").export([plain, turned], CATALOG, tmp_path / "out")
    assert (tmp_path / "out/JPEGImages/plain.jpg").read_bytes() == plain.path.read_bytes()
    with Image.open(tmp_path / "out/JPEGImages/turned.jpg") as image:
        assert image.size == (40, 60)
        assert image.getexif().get(0x0112) is None


def test_voc_makes_names_unique_and_says_so(tmp_path: Path, make: Callable[..., LabelledImage]) -> None:
    images = [make("x/a.jpg"), make("y/a.jpg"), make("y/A.png"), make("b.png")]
    report = exporter_for("voc").export(images, CATALOG, tmp_path / "out")
    names = (tmp_path / "out/ImageSets/Segmentation/trainval.txt").read_text().split()
    assert names == ["x_a", "y_a", "y_A-2", "b"]
    assert sorted(p.stem for p in (tmp_path / "out/SegmentationClass").iterdir()) == sorted(names)
    assert "a is x_a" in report.warnings[0]


def test_pycocotools_reads_every_pixel_of_a_coco_export(tmp_path: Path, make: Callable[..., LabelledImage]) -> None:
    images = [make("a.jpg"), make("deep/b.png", split="validation")]
    report = exporter_for("coco").export(images, CATALOG, tmp_path / "out")
    assert report.images == 2
    coco = COCO(tmp_path / "out/annotations/instances.json")
    labels = labelled_map()
    for record, image in zip(coco.loadImgs(coco.getImgIds()), images, strict=True):
        assert (tmp_path / "out/images" / record["file_name"]).read_bytes() == image.path.read_bytes()
        assert record["split"] == image.split
        semantic = np.zeros(labels.shape, dtype=np.uint8)
        ids = np.zeros(labels.shape, dtype=np.uint16)
        for annotation in coco.loadAnns(coco.getAnnIds(record["id"])):
            mask = rle.decode(annotation["segmentation"])
            assert not semantic[mask].any()
            assert annotation["area"] == mask.sum()
            assert annotation["bbox"] == tight_box(mask)
            category = coco.loadCats(annotation["category_id"])[0]
            semantic[mask] = category["class_id"]
            ids[mask] = annotation.get("segment_id", category["class_id"])
            assert annotation["iscrowd"] == int(annotation.get("segment_id") == 258)
        void = rle.decode(record["void"])
        semantic[void], ids[void] = 255, 255
        assert np.array_equal(semantic, labels.semantic())
        assert np.array_equal(ids, labels.ids)


def tight_box(mask: npt.NDArray[np.bool_]) -> list[int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return [
        int(columns[0]),
        int(rows[0]),
        int(columns[-1] - columns[0] + 1),
        int(rows[-1] - rows[0] + 1),
    ]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools under numpy 2
def test_pycocotools_own_masks_keep_holes(tmp_path: Path, make: Callable[..., LabelledImage]) -> None:
    exporter_for("coco").export([make("a.jpg")], CATALOG, tmp_path / "out")
    coco = COCO(tmp_path / "out/annotations/instances.json")
    ring = next(a for a in coco.loadAnns(coco.getAnnIds()) if a.get("segment_id") == 256)
    assert np.array_equal(coco.annToMask(ring) == 1, labelled_map().ids == 256)


def test_coco_counts_plain_things_by_parts_and_stuff_once(tmp_path: Path, make: Callable[..., LabelledImage]) -> None:
    exporter_for("coco").export([make("a.jpg")], CATALOG, tmp_path / "out")
    content = json.loads((tmp_path / "out/annotations/instances.json").read_text(encoding="utf-8"))
    plain = [a["category_id"] for a in content["annotations"] if "segment_id" not in a]
    assert sorted(plain) == [1, 1, 2, 7]
    assert [c["name"] for c in content["categories"]] == ["cell", "sky", 'a "quoted" name é']
    assert [a["id"] for a in content["annotations"]] == list(range(1, 7))


def test_coco_counts_categories_from_1_where_0_is_a_real_class(
    tmp_path: Path, make: Callable[..., LabelledImage]
) -> None:
    catalog = Catalog.from_names(["road", "car"])
    labels = SegmentMap.from_semantic(np.array([[0, 0, 1], [255, 0, 1]], dtype=np.uint8))
    exporter_for("coco").export([make("a.png", labels)], catalog, tmp_path / "out")
    content = json.loads((tmp_path / "out/annotations/instances.json").read_text())
    assert [(c["id"], c["class_id"]) for c in content["categories"]] == [(1, 0), (2, 1)]
    assert sorted((a["category_id"], a["area"]) for a in content["annotations"]) == [(1, 3), (2, 2)]


def test_coco_turns_rotated_images_upright(tmp_path: Path, make: Callable[..., LabelledImage]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    tall = labelled_map(60, 40)
    images = [
        LabelledImage(name=i.name, path=i.path, load=lambda: tall, width=40, height=60)
        for i in (make("a.jpg", exif=exif), make("b.tif", exif=exif))
    ]
    exporter_for("coco").export(images, CATALOG, tmp_path / "out")
    for name in ("a.jpg", "b.tif.png"):
        with Image.open(tmp_path / "out/images" / name) as image:
            assert image.size == (40, 60)


def test_index_png_export_mirrors_the_folders(tmp_path: Path, make: Callable[..., LabelledImage]) -> None:
    images = [make("x/a.jpg"), make("x/a.png"), make("b.bmp")]
    exporter_for("index-png").export(images, CATALOG, tmp_path / "out")
    written = sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.png"))
    assert written == ["b.png", "x/a.jpg.png", "x/a.png.png"]
    assert np.array_equal(read_labels(tmp_path / "out/b.png"), labelled_map().semantic())
    assert Catalog.from_file(tmp_path / "out/classes.toml") == CATALOG
    names = (tmp_path / "out/class_names.txt").read_text(encoding="utf-8").splitlines()
    assert names == ["background", "cell", "sky", "unused-3", "unused-4", "unused-5", "unused-6", CATALOG[7].name]


@pytest.mark.parametrize("name", export_names())
class TestEveryExporter:
    """What holds whatever the format."""

    def test_nothing_leaves_the_folder_even_with_strange_names(
        self, name: str, tmp_path: Path, make: Callable[..., LabelledImage]
    ) -> None:
        image = make("a.jpg")
        image = LabelledImage(name="../../../evil/a.jpg", path=image.path, load=image.load, width=60, height=40)
        exporter_for(name).export([image], CATALOG, tmp_path / "deep" / "out")
        assert sorted(p.name for p in tmp_path.iterdir()) == ["deep", "in"]
        assert [p.name for p in (tmp_path / "deep").iterdir()] == ["out"]

    def test_used_folder_is_refused_and_left_alone(self, name: str, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "mine.txt").write_text("mine")
        with pytest.raises(UserError, match="The folder out is not empty"):
            exporter_for(name).export([], CATALOG, tmp_path / "out")
        assert [p.name for p in tmp_path.rglob("*")] == ["out", "mine.txt"]
        with pytest.raises(UserError, match="is a file"):
            exporter_for(name).export([], CATALOG, tmp_path / "out" / "mine.txt")

    def test_empty_folder_is_used(self, name: str, tmp_path: Path, make: Callable[..., LabelledImage]) -> None:
        (tmp_path / "out").mkdir()
        assert exporter_for(name).export([make("a.png")], CATALOG, tmp_path / "out").images == 1
        assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out"]

    def test_full_disk_is_one_sentence_and_leaves_nothing(
        self, name: str, tmp_path: Path, make: Callable[..., LabelledImage], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        image = make("a.png")

        def full(*_: object, **__: object) -> None:
            raise OSError(28, os.strerror(28))

        monkeypatch.setattr(Path, "write_bytes", full)
        with pytest.raises(UserError, match="The disk is full; out was not written"):
            exporter_for(name).export([image], CATALOG, tmp_path / "out")
        assert [p.name for p in tmp_path.iterdir()] == ["in"]

    def test_cancelling_leaves_nothing(self, name: str, tmp_path: Path, make: Callable[..., LabelledImage]) -> None:
        seen: list[Progress] = []
        images = [make("a.png"), make("b.png")]
        with pytest.raises(Cancelled):
            exporter_for(name).export(
                images, CATALOG, tmp_path / "out", progress=seen.append, cancelled=lambda: len(seen) > 0
            )
        assert [p.text for p in seen] == ["a.png"]
        assert [p.name for p in tmp_path.iterdir()] == ["in"]

    def test_progress_ends_at_one(self, name: str, tmp_path: Path, make: Callable[..., LabelledImage]) -> None:
        seen: list[Progress] = []
        exporter_for(name).export([make("a.png"), make("b.png")], CATALOG, tmp_path / "out", progress=seen.append)
        assert [p.fraction for p in seen] == [0.0, 0.5, 1.0]

    def test_map_of_another_size_is_refused_with_both_sizes(
        self, name: str, tmp_path: Path, make: Callable[..., LabelledImage]
    ) -> None:
        image = make("a.png")
        wrong = LabelledImage(name="a.png", path=image.path, load=lambda: labelled_map(41, 60), width=60, height=40)
        with pytest.raises(FormatError, match=r"60 x 41 pixels, but its image a\.png is 60 x 40"):
            exporter_for(name).export([wrong], CATALOG, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_class_the_catalog_lacks_is_refused(
        self, name: str, tmp_path: Path, make: Callable[..., LabelledImage]
    ) -> None:
        with pytest.raises(FormatError, match=r"a\.png holds the value 7"):
            exporter_for(name).export([make("a.png")], CATALOG.without(7), tmp_path / "out")

    def test_one_image_at_a_time_is_loaded(self, name: str, tmp_path: Path, make: Callable[..., LabelledImage]) -> None:
        order: list[str] = []

        def loading(image: LabelledImage) -> LabelledImage:
            def load() -> SegmentMap:
                order.append(f"load {image.name}")
                return image.load()

            return LabelledImage(name=image.name, path=image.path, load=load, width=60, height=40)

        images = [loading(make(n)) for n in ("a.png", "b.png")]
        exporter_for(name).export(
            images, CATALOG, tmp_path / "out", progress=lambda p: order.append(f"begin {p.text}".strip())
        )
        assert order == ["begin a.png", "load a.png", "begin b.png", "load b.png", "begin"]


@pytest.mark.parametrize("name", ["voc", "coco"])
def test_damaged_image_is_left_out_with_a_warning(
    tmp_path: Path, make: Callable[..., LabelledImage], name: str
) -> None:
    bad, good = make("bad.png"), make("good.png")
    bad.path.write_bytes(b"")
    report = exporter_for(name).export([bad, good], CATALOG, tmp_path / "out")
    assert report.images == 1
    assert report.warnings[0] == "bad.png was left out: The image bad.png is empty (0 bytes)."


def test_formats_to_come_say_so() -> None:
    with pytest.raises(UserError) as error:
        exporter_for("panoptic")
    assert str(error.value) == "The format panoptic is not available yet; use voc, coco or index-png."
    with pytest.raises(UserError, match="Importing coco is not available yet; use voc or index-png"):
        importer_for("coco")
    with pytest.raises(UserError, match='There is no format "docx"; use voc, coco or index-png'):
        exporter_for("docx")


def test_every_format_of_the_command_line_is_known() -> None:
    known: Sequence[str] = tuple(FORMATS)
    assert known == (
        *("voc", "coco", "panoptic", "coco-stuff", "cityscapes", "pascal-context"),
        *("labelme", "yolo", "cvat", "index-png", "color-png", "numpy"),
    )
    assert len({info.title for info in FORMATS.values()}) == len(known)
