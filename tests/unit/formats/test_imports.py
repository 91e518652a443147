"""Labels from other programs: every pixel decided, every instance found, every mistake named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from segstudio.core.catalog import Catalog
from segstudio.core.errors import FormatError, ImageError
from segstudio.core.segmentmap import Segment, SegmentMap
from segstudio.formats.base import ImportedLabel, LabelledImage, load_for_image, match_labels
from segstudio.formats.registry import exporter_for, importer_for
from segstudio.imaging.decode import read_labels, write_index_png

CATALOG = Catalog.from_names(["background", "cell", "nucleus"])
SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"


def random_map(seed: int) -> SegmentMap:
    generator = np.random.default_rng(seed)
    ids = generator.choice(np.array([0, 1, 2, 255, 256, 257, 300], dtype=np.uint16), (17, 23))
    segments = {256: Segment(256, 1), 257: Segment(257, 2), 300: Segment(300, 2)}
    return SegmentMap(ids, np.ones(ids.shape, dtype=np.bool_), segments)


def write(path: Path, labels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_index_png(path, labels)
    return path


def test_voc_export_is_imported_with_every_pixel_and_instance(tmp_path: Path) -> None:
    maps = {name: random_map(seed) for seed, name in enumerate(["a", "b", "c"])}
    images = []
    for name, labels in maps.items():
        Image.fromarray(np.zeros((17, 23, 3), dtype=np.uint8)).save(tmp_path / f"{name}.png")
        images.append(
            LabelledImage(name=f"{name}.png", path=tmp_path / f"{name}.png", load=lambda m=labels: m)  # type: ignore[misc]
        )
    exporter_for("voc").export(images, CATALOG, tmp_path / "out")
    for source in (tmp_path / "out", tmp_path / "out/VOCdevkit/VOC2012", tmp_path / "out/SegmentationClass"):
        found = importer_for("voc").read(source, CATALOG)
        assert found.warnings == []
        assert [label.name for label in found.labels] == ["a", "b", "c"]
        for label in found.labels:
            assert label.load() == maps[label.name]
    assert importer_for("voc").read(tmp_path / "out", None).classes == CATALOG


def test_voc_without_objects_gives_plain_classes_and_decided_void(tmp_path: Path) -> None:
    classes = np.array([[0, 1, 255], [2, 2, 255]], dtype=np.uint8)
    write(tmp_path / "VOCdevkit/VOC2012/SegmentationClass/x.png", classes)
    labels = importer_for("voc").read(tmp_path, CATALOG).labels[0].load()
    assert labels == SegmentMap.from_semantic(classes)
    assert labels.decided.all()


def test_voc_class_png_wins_where_the_object_png_disagrees(tmp_path: Path) -> None:
    write(tmp_path / "SegmentationClass/x.png", np.array([[1, 1, 2, 0, 255]], dtype=np.uint8))
    write(tmp_path / "SegmentationObject/x.png", np.array([[1, 1, 1, 1, 1]], dtype=np.uint8))
    labels = importer_for("voc").read(tmp_path, CATALOG).labels[0].load()
    assert labels.ids.tolist() == [[256, 256, 2, 0, 255]]
    assert labels.segments == {256: Segment(256, 1)}


def test_voc_masks_of_two_sizes_are_refused_with_both(tmp_path: Path) -> None:
    write(tmp_path / "SegmentationClass/x.png", np.zeros((4, 5), dtype=np.uint8))
    write(tmp_path / "SegmentationObject/x.png", np.zeros((4, 6), dtype=np.uint8))
    with pytest.raises(FormatError, match=r"6 x 4 pixels, but SegmentationClass/x\.png is 5 x 4"):
        importer_for("voc").read(tmp_path, CATALOG).labels[0].load()


def test_folder_that_is_no_voc_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="is not a VOC folder"):
        importer_for("voc").read(tmp_path, CATALOG)
    (tmp_path / "SegmentationClass").mkdir()
    with pytest.raises(FormatError, match="holds no PNG"):
        importer_for("voc").read(tmp_path, CATALOG)


def test_classes_are_matched_by_name_when_numbers_differ(tmp_path: Path) -> None:
    write(tmp_path / "SegmentationClass/x.png", np.array([[0, 1, 2, 255]], dtype=np.uint8))
    (tmp_path / "class_names.txt").write_text("background\nnucleus\ncell\n")
    found = importer_for("voc").read(tmp_path, CATALOG)
    assert found.labels[0].load().ids.tolist() == [[0, 2, 1, 255]]
    assert found.classes is not None
    assert found.classes.names == ("background", "nucleus", "cell")


def test_classes_of_another_name_keep_their_number_and_say_so(tmp_path: Path) -> None:
    write(tmp_path / "x.png", np.array([[0, 1]], dtype=np.uint8))
    (tmp_path / "classes.txt").write_text("background\nZelle\n")
    found = importer_for("index-png").read(tmp_path, CATALOG)
    assert found.labels[0].load().ids.tolist() == [[0, 1]]
    assert found.warnings == ['Classes matched by number, not by name: 1 ("Zelle" there, "cell" here).']


def test_index_png_folder_is_imported_in_natural_order(tmp_path: Path) -> None:
    labels = np.array([[0, 1], [255, 2]], dtype=np.uint8)
    for name in ("10.png", "9.png", "deep/1.png"):
        write(tmp_path / name, labels)
    found = importer_for("index-png").read(tmp_path, CATALOG)
    assert [label.name for label in found.labels] == ["9", "10", "deep/1"]
    assert found.classes is None
    loaded = found.labels[2].load()
    assert loaded == SegmentMap.from_semantic(labels)
    assert loaded.decided.all()


def test_labels_sub_folder_is_preferred(tmp_path: Path) -> None:
    write(tmp_path / "labels/a.png", np.zeros((2, 2), dtype=np.uint8))
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    found = importer_for("index-png").read(tmp_path, CATALOG)
    assert [label.name for label in found.labels] == ["a"]
    assert found.labels[0].source.parent.name == "labels"


def test_16_bit_index_png_with_small_values_is_imported(tmp_path: Path) -> None:
    write(tmp_path / "a.png", np.array([[0, 1], [2, 255]], dtype=np.uint16))
    assert importer_for("index-png").read(tmp_path, CATALOG).labels[0].load().ids.tolist() == [[0, 1], [2, 255]]


@pytest.mark.parametrize("value", [3, 254, 300])
def test_value_that_is_no_class_is_named_with_its_file(tmp_path: Path, value: int) -> None:
    write(tmp_path / "a.png", np.array([[0, value]], dtype=np.uint8 if value < 256 else np.uint16))
    label = importer_for("index-png").read(tmp_path, CATALOG).labels[0]
    with pytest.raises(FormatError, match=rf"a\.png holds the value {value}, which is no class"):
        label.load()


def test_coloured_mask_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    label = importer_for("index-png").read(tmp_path, CATALOG).labels[0]
    with pytest.raises(ImageError, match=r"a\.png holds colours"):
        label.load()


def test_mask_of_another_size_than_its_image_names_both_sizes(tmp_path: Path) -> None:
    write(tmp_path / "a.png", np.zeros((4, 5), dtype=np.uint8))
    label = importer_for("index-png").read(tmp_path, CATALOG).labels[0]
    with pytest.raises(FormatError, match=r"label a\.png is 5 x 4 pixels, but its image photos/a\.jpg is 5 x 6"):
        load_for_image(label, "photos/a.jpg", 5, 6)
    assert load_for_image(label, "photos/a.jpg", 5, 4).shape == (4, 5)


def test_folder_without_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="holds no label PNG"):
        importer_for("index-png").read(tmp_path, CATALOG)
    with pytest.raises(FormatError, match="is not a folder"):
        importer_for("index-png").read(tmp_path / "gone", CATALOG)


def test_labels_match_images_by_path_then_by_a_name_that_is_unique(tmp_path: Path) -> None:
    def label(name: str) -> ImportedLabel:
        return ImportedLabel(name, lambda: SegmentMap.empty(1, 1), tmp_path)

    names = ["x/a.jpg", "y/a.jpg", "y/b.jpg", "c.tif", "c.png", "d.e.png"]
    labels = [label(n) for n in ("y/a", "a", "b", "c.png", "d.e", "other/b", "nothing")]
    matches = match_labels(labels, names)
    assert [(names[i], found.name) for i, found in matches.pairs] == [
        ("y/a.jpg", "y/a"),
        ("y/b.jpg", "b"),
        ("c.png", "c.png"),
        ("d.e.png", "d.e"),
    ]
    assert matches.unmatched == ["a", "other/b", "nothing"]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data folder is not there")
def test_real_voc_and_camvid_labels_are_imported_pixel_by_pixel() -> None:
    found = importer_for("voc").read(SHARED / "voc-mini", None)
    assert found.classes is not None
    assert len(found.classes) == 21
    for label in found.labels:
        assert np.array_equal(label.load().semantic(), read_labels(label.source))
    camvid = importer_for("index-png").read(SHARED / "camvid" / "val", Catalog.from_names(map(str, range(11))))
    assert len(camvid.labels) == 101
    first = camvid.labels[0]
    assert np.array_equal(first.load().semantic(), read_labels(first.source))
