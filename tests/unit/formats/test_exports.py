"""What other programs read from our exports: every pixel, every hole, every instance."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from support import CATALOG, picture, read_back

from segstudio.core.catalog import Catalog
from segstudio.core.errors import Cancelled, FormatError, UserError
from segstudio.core.jobs import Progress
from segstudio.core.ordered import THREADS
from segstudio.core.segmentmap import Segment, SegmentMap
from segstudio.formats.base import LabelledImage
from segstudio.formats.registry import FORMATS, format_named
from segstudio.imaging.decode import read_labels


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
    report = format_named("voc").export(images, CATALOG, tmp_path / "out")
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
    format_named("voc").export([make("a.jpg")], CATALOG, out)
    assert not (out / "VOCdevkit").exists()
    assert len(VOCSegmentation(tmp_path / "root", year="2012", image_set="train")) == 1


def test_voc_objects_keep_their_instances(tmp_path: Path, make: Callable[..., LabelledImage]) -> None:
    report = format_named("voc").export([make("a.jpg")], CATALOG, tmp_path / "out")
    objects = index_array(tmp_path / "out/SegmentationObject/a.png")
    labels = labelled_map()
    assert np.array_equal(objects == 1, labels.ids == 256)
    assert np.array_equal(objects == 3, labels.ids == 258)
    assert np.array_equal(objects == 255, labels.ids == 255)
    assert report.warnings == ["Crowds that are plain objects to other programs: 1."]


def test_voc_renumbers_high_instance_ids_into_8_bits(tmp_path: Path, make: Callable[..., LabelledImage]) -> None:
    labels = SegmentMap.from_semantic(np.zeros((8, 9), dtype=np.uint8))
    labels.ids[:2], labels.ids[4:] = 60_000, 700
    labels.segments.update({i: Segment(i, 1) for i in (60_000, 700)})
    format_named("voc").export([make("a.png", labels)], CATALOG, tmp_path / "out")
    objects = index_array(tmp_path / "out/SegmentationObject/a.png")
    assert objects[:, 0].tolist() == [2, 2, 0, 0, 1, 1, 1, 1]


def test_voc_keeps_more_than_254_instances_in_16_bits(tmp_path: Path, make: Callable[..., LabelledImage]) -> None:
    labels = SegmentMap.from_semantic(np.full((10, 30), 255, dtype=np.uint8))
    labels.ids[:] = np.arange(300).reshape(10, 30) + 256
    labels.ids[0, 0] = 255
    labels.segments.update({i: Segment(i, 1) for i in range(256, 556)})
    report = format_named("voc").export([make("a.png", labels)], CATALOG, tmp_path / "out")
    assert "16 bits" in report.warnings[0]
    assert read_back("voc", tmp_path / "out", {"a": labels.shape})["a"] == labels


def test_voc_copies_upright_jpegs_byte_by_byte_and_turns_the_others(
    tmp_path: Path, make: Callable[..., LabelledImage]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    plain = make("plain.jpg")
    turned = make("turned.jpg", exif=exif)
    tall = labelled_map(60, 40)
    turned = LabelledImage(name=turned.name, path=turned.path, load=lambda: tall, width=40, height=60)
    format_named("voc").export([plain, turned], CATALOG, tmp_path / "out")
    assert (tmp_path / "out/JPEGImages/plain.jpg").read_bytes() == plain.path.read_bytes()
    with Image.open(tmp_path / "out/JPEGImages/turned.jpg") as image:
        assert image.size == (40, 60)
        assert image.getexif().get(0x0112) is None


def test_voc_makes_names_unique_and_says_so(tmp_path: Path, make: Callable[..., LabelledImage]) -> None:
    images = [make("x/a.jpg"), make("y/a.jpg"), make("y/A.png"), make("b.png")]
    report = format_named("voc").export(images, CATALOG, tmp_path / "out")
    names = (tmp_path / "out/ImageSets/Segmentation/trainval.txt").read_text().split()
    assert names == ["x_a", "y_a_jpg", "y_A_png", "b"]
    assert sorted(p.stem for p in (tmp_path / "out/SegmentationClass").iterdir()) == sorted(names)
    assert "a is x_a" in report.warnings[0]


def test_index_png_export_mirrors_the_folders(tmp_path: Path, make: Callable[..., LabelledImage]) -> None:
    images = [make("x/a.jpg"), make("x/a.png"), make("b.bmp")]
    format_named("index-png").export(images, CATALOG, tmp_path / "out")
    written = sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.png"))
    assert written == ["b.png", "x/a.jpg.png", "x/a.png.png"]
    assert np.array_equal(read_labels(tmp_path / "out/b.png"), labelled_map().semantic())
    assert Catalog.from_file(tmp_path / "out/classes.toml") == CATALOG
    names = (tmp_path / "out/class_names.txt").read_text(encoding="utf-8").splitlines()
    assert names == ["background", "cell", "sky", "unused-3", "unused-4", "unused-5", "unused-6", CATALOG[7].name]


@pytest.mark.parametrize("name", tuple(FORMATS))
class TestEveryExporter:
    """What holds whatever the format."""

    def test_nothing_leaves_the_folder_even_with_strange_names(
        self, name: str, tmp_path: Path, make: Callable[..., LabelledImage]
    ) -> None:
        image = make("a.jpg")
        image = LabelledImage(name="../../../evil/a.jpg", path=image.path, load=image.load, width=60, height=40)
        format_named(name).export([image], CATALOG, tmp_path / "deep" / "out")
        assert sorted(p.name for p in tmp_path.iterdir()) == ["deep", "in"]
        assert [p.name for p in (tmp_path / "deep").iterdir()] == ["out"]

    def test_used_folder_is_refused_and_left_alone(self, name: str, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "mine.txt").write_text("mine")
        with pytest.raises(UserError, match="The folder out is not empty"):
            format_named(name).export([], CATALOG, tmp_path / "out")
        assert [p.name for p in tmp_path.rglob("*")] == ["out", "mine.txt"]
        with pytest.raises(UserError, match="is a file"):
            format_named(name).export([], CATALOG, tmp_path / "out" / "mine.txt")

    def test_empty_folder_is_used(self, name: str, tmp_path: Path, make: Callable[..., LabelledImage]) -> None:
        (tmp_path / "out").mkdir()
        assert format_named(name).export([make("a.png")], CATALOG, tmp_path / "out").images == 1
        assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out"]

    def test_full_disk_is_one_sentence_and_leaves_nothing(
        self, name: str, tmp_path: Path, make: Callable[..., LabelledImage], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        image = make("a.png")

        def full(*_: object, **__: object) -> None:
            raise OSError(28, os.strerror(28))

        monkeypatch.setattr(Path, "write_bytes", full)
        with pytest.raises(UserError, match="The disk is full; out was not written"):
            format_named(name).export([image], CATALOG, tmp_path / "out")
        assert [p.name for p in tmp_path.iterdir()] == ["in"]

    def test_cancelling_leaves_nothing(self, name: str, tmp_path: Path, make: Callable[..., LabelledImage]) -> None:
        seen: list[Progress] = []
        images = [make("a.png"), make("b.png")]
        with pytest.raises(Cancelled):
            format_named(name).export(
                images, CATALOG, tmp_path / "out", progress=seen.append, cancelled=lambda: len(seen) > 0
            )
        assert [p.text for p in seen] == ["a.png"]
        assert [p.name for p in tmp_path.iterdir()] == ["in"]

    def test_progress_ends_at_one(self, name: str, tmp_path: Path, make: Callable[..., LabelledImage]) -> None:
        seen: list[Progress] = []
        format_named(name).export([make("a.png"), make("b.png")], CATALOG, tmp_path / "out", progress=seen.append)
        assert [p.fraction for p in seen] == [0.0, 0.5, 1.0]

    def test_map_of_another_size_is_refused_with_both_sizes(
        self, name: str, tmp_path: Path, make: Callable[..., LabelledImage]
    ) -> None:
        image = make("a.png")
        wrong = LabelledImage(name="a.png", path=image.path, load=lambda: labelled_map(41, 60), width=60, height=40)
        with pytest.raises(FormatError, match=r"60 x 41 pixels, but its image a\.png is 60 x 40"):
            format_named(name).export([wrong], CATALOG, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_class_the_catalog_lacks_is_refused(
        self, name: str, tmp_path: Path, make: Callable[..., LabelledImage]
    ) -> None:
        with pytest.raises(FormatError, match=r"a\.png holds the value 7"):
            format_named(name).export([make("a.png")], CATALOG.without(7), tmp_path / "out")

    def test_only_a_few_images_at_a_time_are_loaded(
        self, name: str, tmp_path: Path, make: Callable[..., LabelledImage]
    ) -> None:
        loaded: list[str] = []
        image = make("a.png")

        def load() -> SegmentMap:
            loaded.append("")
            return image.load()

        images = [replace(image, name=f"{n}.png", load=load) for n in range(30)]
        most: list[int] = []

        def progress(now: Progress) -> None:
            most.append(len(loaded) - round((now.fraction or 0) * len(images)))

        format_named(name).export(images, CATALOG, tmp_path / "out", progress=progress)
        assert len(loaded) == len(images)
        assert max(most) <= THREADS * 2


@pytest.mark.parametrize("name", ["voc", "coco"])
def test_damaged_image_is_left_out_with_a_warning(
    tmp_path: Path, make: Callable[..., LabelledImage], name: str
) -> None:
    bad, good = make("bad.png"), make("good.png")
    bad.path.write_bytes(b"")
    report = format_named(name).export([bad, good], CATALOG, tmp_path / "out")
    assert report.images == 1
    assert report.warnings[0] == "bad.png was left out: The image bad.png is empty (0 bytes)."


def test_a_format_nobody_knows_is_one_sentence() -> None:
    with pytest.raises(UserError, match='There is no format "docx"') as error:
        format_named("docx")
    assert "Use voc, coco" in str(error.value)


def test_every_format_of_the_command_line_is_known() -> None:
    known: Sequence[str] = tuple(FORMATS)
    assert known == (
        *("voc", "coco", "panoptic", "coco-stuff", "cityscapes", "pascal-context"),
        *("labelme", "yolo", "cvat", "index-png", "color-png", "numpy"),
    )
    assert len({info.title for info in FORMATS.values()}) == len(known)


def test_an_instance_of_no_class_is_refused(tmp_path: Path, make: Callable[..., LabelledImage]) -> None:
    labels = labelled_map()
    labels.segments[256] = Segment(256, 255)
    with pytest.raises(FormatError, match=r"a\.png holds the value 255, which is no class"):
        format_named("voc").export([make("a.png", labels)], CATALOG, tmp_path / "out")
