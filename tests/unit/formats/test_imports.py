"""Labels from other programs: every pixel decided, every instance found, every mistake named."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from support import labelled_image, load, table

from segstudio.core.catalog import Catalog, LabelClass
from segstudio.core.errors import Cancelled, FormatError, ImageError
from segstudio.core.geometry import Rect
from segstudio.core.segmentmap import Segment, SegmentMap
from segstudio.formats.base import ImportedLabel, ImportSource, LabelledImage, LoadRequest, load_for_image
from segstudio.formats.classes import ClassTable, SourceClass, class_for, named_classes, source_classes
from segstudio.formats.names import match_labels
from segstudio.formats.options import MatchBy, Unknown
from segstudio.formats.painting import MapPainter
from segstudio.formats.registry import format_named
from segstudio.imaging.decode import probe, read_labels, write_index_png

CATALOG = Catalog.from_names(["background", "cell", "nucleus"])


def random_map(seed: int) -> SegmentMap:
    generator = np.random.default_rng(seed)
    ids = generator.choice(np.array([0, 1, 2, 255, 256, 257, 300], dtype=np.uint16), (17, 23))
    segments = {256: Segment(256, 1), 257: Segment(257, 2), 300: Segment(300, 2)}
    return SegmentMap(ids, np.ones(ids.shape, dtype=np.bool_), segments)


def write(path: Path, labels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_index_png(path, labels)
    return path


def loaded(found: ImportSource, label: ImportedLabel | None = None, **options: Any) -> SegmentMap:
    """A label of a source, the first by default, for an image of the size of its file."""
    label = label or found.labels[0]
    info = probe(label.source)
    request = LoadRequest(ClassTable(found.classes, CATALOG, **options), info.width, info.height, 0)
    return label.load(request)


def first(name: str, source: Path) -> SegmentMap:
    """The first label of a source."""
    return loaded(format_named(name).importer.read(source))


def test_voc_export_is_imported_with_every_pixel_and_instance(tmp_path: Path) -> None:
    maps = {name: random_map(seed) for seed, name in enumerate(["a", "b", "c"])}
    images = []
    for name, labels in maps.items():
        Image.fromarray(np.zeros((17, 23, 3), dtype=np.uint8)).save(tmp_path / f"{name}.png")
        images.append(
            LabelledImage(name=f"{name}.png", path=tmp_path / f"{name}.png", load=lambda m=labels: m)  # type: ignore[misc]
        )
    format_named("voc").export(images, CATALOG, tmp_path / "out")
    for source in (tmp_path / "out", tmp_path / "out/VOCdevkit/VOC2012", tmp_path / "out/SegmentationClass"):
        found = format_named("voc").importer.read(source)
        assert found.warnings == []
        assert [label.name for label in found.labels] == ["a", "b", "c"]
        for label in found.labels:
            assert loaded(found, label) == maps[label.name]
    assert found.classes == source_classes(CATALOG)


def test_voc_without_objects_gives_plain_classes_and_decided_void(tmp_path: Path) -> None:
    classes = np.array([[0, 1, 255], [2, 2, 255]], dtype=np.uint8)
    write(tmp_path / "VOCdevkit/VOC2012/SegmentationClass/x.png", classes)
    labels = first("voc", tmp_path)
    assert labels == SegmentMap.from_semantic(classes)
    assert labels.decided.all()


def test_voc_class_png_wins_where_the_object_png_disagrees(tmp_path: Path) -> None:
    write(tmp_path / "SegmentationClass/x.png", np.array([[1, 1, 2, 0, 255]], dtype=np.uint8))
    write(tmp_path / "SegmentationObject/x.png", np.array([[1, 1, 1, 1, 1]], dtype=np.uint8))
    labels = first("voc", tmp_path)
    assert labels.ids.tolist() == [[256, 256, 2, 0, 255]]
    assert labels.segments == {256: Segment(256, 1)}


def test_voc_masks_of_two_sizes_are_refused_with_both(tmp_path: Path) -> None:
    write(tmp_path / "SegmentationClass/x.png", np.zeros((4, 5), dtype=np.uint8))
    write(tmp_path / "SegmentationObject/x.png", np.zeros((4, 6), dtype=np.uint8))
    with pytest.raises(FormatError, match=r"6 x 4 pixels, but SegmentationClass/x\.png is 5 x 4"):
        first("voc", tmp_path)


def test_folder_that_is_no_voc_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="is not a VOC folder"):
        format_named("voc").importer.read(tmp_path)
    (tmp_path / "SegmentationClass").mkdir()
    with pytest.raises(FormatError, match="holds no PNG"):
        format_named("voc").importer.read(tmp_path)


def test_classes_are_matched_by_name_when_numbers_differ(tmp_path: Path) -> None:
    write(tmp_path / "SegmentationClass/x.png", np.array([[0, 1, 2, 255]], dtype=np.uint8))
    (tmp_path / "class_names.txt").write_text("background\nnucleus\ncell\n")
    found = format_named("voc").importer.read(tmp_path)
    assert loaded(found).ids.tolist() == [[0, 2, 1, 255]]
    assert [c.name for c in found.classes] == ["background", "nucleus", "cell"]


def test_a_class_the_project_lacks_is_refused_added_or_ignored_and_never_dropped(tmp_path: Path) -> None:
    write(tmp_path / "x.png", np.array([[0, 1, 2]], dtype=np.uint8))
    (tmp_path / "classes.txt").write_text("Background\nCELL\nplastid\nnever-used\n")
    found = format_named("index-png").importer.read(tmp_path)
    with pytest.raises(FormatError, match=r'x\.png holds the class "plastid" \(2\), which this project lacks'):
        loaded(found)
    assert loaded(found, unknown=Unknown.IGNORE).ids.tolist() == [[0, 1, 255]]
    made: list[LabelClass] = []

    def add(source: SourceClass) -> LabelClass:
        made.append(class_for(source, CATALOG))
        return made[-1]

    assert loaded(found, unknown=Unknown.ADD, add=add).ids.tolist() == [[0, 1, 3]]
    assert [(c.id, c.name) for c in made] == [(3, "plastid")]
    assert loaded(found, by=MatchBy.NUMBER).ids.tolist() == [[0, 1, 2]]
    assert loaded(found, given={2: 1}).ids.tolist() == [[0, 1, 1]]


def test_names_match_whatever_separates_their_words_and_background_has_many_spellings() -> None:
    catalog = Catalog.from_names(["background", "traffic light"])
    table = ClassTable(named_classes(["__background__", "Traffic_Light", "__ignore__"]), catalog)
    assert [table.of(number, "x") for number in range(3)] == [0, 1, 255]
    assert table.unmatched == ()


def test_classes_are_matched_by_colour_when_asked(tmp_path: Path) -> None:
    (tmp_path / "classes.toml").write_text('[[classes]]\nid = 4\nname = "x"\ncolor = [128, 0, 0]\n')
    write(tmp_path / "a.png", np.array([[4, 4]], dtype=np.uint8))
    found = format_named("index-png").importer.read(tmp_path)
    assert CATALOG[1].color == (128, 0, 0)
    assert loaded(found, by=MatchBy.COLOR).ids.tolist() == [[1, 1]]


def test_index_png_folder_is_imported_in_natural_order(tmp_path: Path) -> None:
    labels = np.array([[0, 1], [255, 2]], dtype=np.uint8)
    for name in ("10.png", "9.png", "deep/1.png"):
        write(tmp_path / name, labels)
    found = format_named("index-png").importer.read(tmp_path)
    assert [label.name for label in found.labels] == ["9", "10", "deep/1"]
    assert found.classes == ()
    deep = loaded(found, found.labels[2])
    assert deep == SegmentMap.from_semantic(labels)
    assert deep.decided.all()


def test_labels_sub_folder_is_preferred(tmp_path: Path) -> None:
    write(tmp_path / "labels/a.png", np.zeros((2, 2), dtype=np.uint8))
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    found = format_named("index-png").importer.read(tmp_path)
    assert [label.name for label in found.labels] == ["a"]
    assert found.labels[0].source.parent.name == "labels"


def test_instance_pngs_become_objects_of_one_class(tmp_path: Path) -> None:
    numbers = np.array([[0, 7, 7], [300, 300, 0]], dtype=np.uint16)
    write(tmp_path / "instances/a.png", numbers)
    catalog = Catalog.from_names(["background", "object"])
    for source in (tmp_path, tmp_path / "instances"):
        found = format_named("index-png").importer.read(source)
        labels = load(found.labels[0], found.classes, numbers.shape, catalog=catalog)
        assert labels.ids.tolist() == [[0, 262, 262], [555, 555, 0]]
        assert labels.segments == {262: Segment(262, 1), 555: Segment(555, 1)}
    assert loaded(found, given={0: 0, 1: 2}).semantic().tolist() == [[0, 2, 2], [2, 2, 0]]


def test_16_bit_index_png_with_small_values_is_imported(tmp_path: Path) -> None:
    write(tmp_path / "a.png", np.array([[0, 1], [2, 255]], dtype=np.uint16))
    assert first("index-png", tmp_path).ids.tolist() == [[0, 1], [2, 255]]


@pytest.mark.parametrize("value", [3, 254, 300])
def test_value_that_is_no_class_is_named_with_its_file(tmp_path: Path, value: int) -> None:
    write(tmp_path / "a.png", np.array([[0, value]], dtype=np.uint8 if value < 256 else np.uint16))
    with pytest.raises(FormatError, match=rf"a\.png holds the class {value}, which this project lacks"):
        first("index-png", tmp_path)


def test_coloured_mask_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"a\.png holds colours"):
        first("index-png", tmp_path)


def test_mask_of_another_size_than_its_image_names_both_sizes(tmp_path: Path) -> None:
    write(tmp_path / "a.png", np.zeros((4, 5), dtype=np.uint8))
    label = format_named("index-png").importer.read(tmp_path).labels[0]
    with pytest.raises(FormatError, match=r"label a\.png is 5 x 4 pixels, but its image photos/a\.jpg is 5 x 6"):
        load_for_image(label, "photos/a.jpg", LoadRequest(table(()), 5, 6))
    assert load_for_image(label, "photos/a.jpg", LoadRequest(table(()), 5, 4)).shape == (4, 5)


def test_folder_without_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="holds no label PNG"):
        format_named("index-png").importer.read(tmp_path)
    with pytest.raises(FormatError, match="is not a folder"):
        format_named("index-png").importer.read(tmp_path / "gone")


def test_labels_match_images_by_path_then_by_a_name_that_is_unique(tmp_path: Path) -> None:
    def label(name: str) -> ImportedLabel:
        return ImportedLabel(name, lambda _request: SegmentMap.empty(1, 1), tmp_path)

    names = ["x/a.jpg", "y/a.jpg", "y/b.jpg", "c.tif", "c.png", "d.e.png", "f.jpg", "g.png"]
    labels = [label(n) for n in ("y/a", "a", "b", "c.png", "d.e", "other/b", "nothing", "z/f.jpg", "g.2")]
    matches = match_labels(labels, names)
    assert [(names[i], found.name) for i, found in matches.pairs] == [
        ("y/a.jpg", "y/a"),
        ("y/b.jpg", "b"),
        ("c.png", "c.png"),
        ("d.e.png", "d.e"),
        ("f.jpg", "z/f.jpg"),
    ]
    assert matches.unmatched == ["a", "other/b", "nothing", "g.2"]


def test_real_voc_and_camvid_labels_are_imported_pixel_by_pixel(shared_data: Path) -> None:
    found = format_named("voc").importer.read(shared_data / "voc-mini")
    voc = Catalog.from_palette("voc")
    for label in found.labels:
        stored = read_labels(label.source)
        assert np.array_equal(load(label, found.classes, stored.shape, catalog=voc).semantic(), stored)
    found = format_named("index-png").importer.read(shared_data / "camvid" / "val")
    camvid = Catalog.from_names(map(str, range(11)))
    assert len(found.labels) == 101
    stored = read_labels(found.labels[0].source)
    again = load(found.labels[0], found.classes, stored.shape, catalog=camvid)
    assert np.array_equal(again.semantic(), stored)


def test_an_index_png_export_is_read_as_one_whatever_it_and_its_folders_are_called(tmp_path: Path) -> None:
    images = []
    for place, name in enumerate(["labels/a.png", "instances/b.png", "c.png"]):
        classes = np.full((2, 3), place, dtype=np.uint8)
        images.append(labelled_image(tmp_path / "images", name, SegmentMap.from_semantic(classes)))
    out = tmp_path / "instances"
    format_named("index-png").export(images, CATALOG, out)
    found = format_named("index-png").importer.read(out)
    assert {label.name: set(loaded(found, label).ids.ravel().tolist()) for label in found.labels} == {
        "labels/a": {0},
        "instances/b": {1},
        "c": {2},
    }


def test_a_choice_of_a_class_that_the_project_lacks_is_refused() -> None:
    with pytest.raises(FormatError, match="no class 77"):
        ClassTable((), CATALOG, given={1: 77})
    assert ClassTable((), CATALOG, given={1: 255}).of(1, "x") == 255


def test_shapes_without_ids_never_join_one_that_has_theirs() -> None:
    painter = MapPainter(LoadRequest(table(named_classes(["background", "cell"])), 3, 1, 0), "x")
    dot = np.ones((1, 1), dtype=np.bool_)
    painter.paint(dot, Rect(0, 0, 1, 1), 1)
    painter.paint(dot, Rect(0, 1, 1, 1), 1, segment_id=256)
    painter.paint(dot, Rect(0, 2, 1, 1), 1, segment_id=300)
    assert painter.finish().ids.tolist() == [[256, 257, 300]]


@pytest.mark.parametrize("name", ["coco", "coco-stuff", "panoptic", "labelme", "cvat"])
def test_reading_files_of_any_size_can_be_cancelled(tmp_path: Path, name: str) -> None:
    image = labelled_image(tmp_path / "images", "a.png", SegmentMap.from_semantic(np.ones((4, 5), np.uint8)))
    format_named(name).export([image], CATALOG, tmp_path / "out")
    if name == "coco-stuff":  # of the pixel maps, none is opened
        shutil.rmtree(tmp_path / "out/stuffthingmaps")
    importer = format_named(name).importer
    assert len(importer.read(tmp_path / "out", cancelled=lambda: False).labels) == 1
    with pytest.raises(Cancelled):
        importer.read(tmp_path / "out", cancelled=lambda: True)
