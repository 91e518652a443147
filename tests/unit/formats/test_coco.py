"""COCO instances: what other programs read from ours, and what we read from theirs."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from support import CATALOG, labelled_image, load, read_back, segment_maps

from segstudio.core.catalog import IGNORE, Catalog, Kind, LabelClass
from segstudio.core.errors import FormatError
from segstudio.core.segmentmap import Segment, SegmentMap
from segstudio.formats import coco_json
from segstudio.formats.base import ImportSource, LabelledImage
from segstudio.formats.coco_json import read_records
from segstudio.formats.options import ExportOptions, ImageFiles, MatchBy, Shapes, Unknown
from segstudio.formats.registry import format_named
from segstudio.imaging import rle

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools, numpy 2

FORMAT = format_named("coco")
Mask = npt.NDArray[np.bool_]
Make = Callable[..., LabelledImage]
Document = dict[str, Any]


def labelled_map(height: int = 40, width: int = 60) -> SegmentMap:
    """Background, two touching cells (one a ring, one a crowd), plain cells, sky in two parts, and void."""
    ids = np.zeros((height, width), dtype=np.uint16)
    ids[2:12, 2:12] = 256
    ids[5:9, 5:9] = 0
    ids[2:12, 12:20] = 258
    ids[20:24, 3:8] = 1
    ids[28:30, 3:8] = 1
    ids[20:40, 30:40] = 2
    ids[0:3, 50:60] = 2
    ids[15, :] = IGNORE
    ids[30:34, 50:55] = 7
    return SegmentMap(ids, np.ones(ids.shape, dtype=np.bool_), {256: Segment(256, 1), 258: Segment(258, 1, crowd=True)})


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes an image file below tmp_path/in with a segment map."""

    def build(name: str, labels: SegmentMap | None = None, **options: Any) -> LabelledImage:
        return labelled_image(tmp_path / "in", name, labelled_map() if labels is None else labels, **options)

    return build


def exported(tmp_path: Path, sources: list[LabelledImage], catalog: Catalog = CATALOG, **options: Any) -> Path:
    out = tmp_path / "out"
    FORMAT.export(sources, catalog, out, options=ExportOptions(**options))
    return out


def document_of(out: Path, name: str = "instances") -> Document:
    content: Document = json.loads((out / "annotations" / f"{name}.json").read_text(encoding="utf-8"))
    return content


def square(left: float, top: float, side: float) -> list[float]:
    return [left, top, left + side, top, left + side, top + side, left, top + side]


def stock(**changes: Any) -> Document:
    """A document as COCO's own are, 10 x 8 pixels, with one polygon."""
    content: Document = {
        "images": [{"id": 9, "file_name": "a.jpg", "width": 10, "height": 8}],
        "annotations": [
            {
                "id": 1,
                "image_id": 9,
                "category_id": 18,
                "segmentation": [square(1, 2, 3)],
                "area": 9,
                "bbox": [1, 2, 3, 3],
                "iscrowd": 0,
            }
        ],
        "categories": [{"id": 18, "name": "cell", "supercategory": "x"}, {"id": 19, "name": "sky"}],
    }
    return content | changes


def annotation(number: int, segmentation: Any, **changes: Any) -> dict[str, Any]:
    return {"id": number, "image_id": 9, "category_id": 18, "segmentation": segmentation, **changes}


def imported(tmp_path: Path, content: Document | str | bytes) -> ImportSource:
    path = tmp_path / "labels.json"
    if isinstance(content, dict):
        content = json.dumps(content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return FORMAT.importer.read(path)


def loaded(found: ImportSource, **options: Any) -> SegmentMap:
    """The first label of a source, for an image of 10 x 8 pixels."""
    return load(found.labels[0], found.classes, (8, 10), **options)


class TestExport:
    """What readers find."""

    def test_pycocotools_reads_every_pixel(self, tmp_path: Path, make: Make) -> None:
        images = [make("a.jpg"), make("deep/b.png", split="validation")]
        out = exported(tmp_path, images)
        coco = COCO(out / "annotations/instances.json")
        labels = labelled_map()
        for record, image in zip(coco.loadImgs(coco.getImgIds()), images, strict=True):
            assert (out / "images" / record["file_name"]).read_bytes() == image.path.read_bytes()
            assert record["split"] == image.split
            semantic, ids = np.zeros(labels.shape, dtype=np.uint8), np.zeros(labels.shape, dtype=np.uint16)
            for found in coco.loadAnns(coco.getAnnIds(record["id"])):
                mask = coco.annToMask(found) == 1
                assert not semantic[mask].any()
                assert found["area"] == mask.sum()
                assert found["bbox"] == tight_box(mask)
                semantic[mask] = coco.loadCats(found["category_id"])[0]["class_id"]
                ids[mask] = found["segment_id"] or semantic[mask]
                assert found["iscrowd"] == int(found["segment_id"] == 258)
            void = rle.decode(record["void"])
            semantic[void], ids[void] = IGNORE, IGNORE
            assert np.array_equal(semantic, labels.semantic())
            assert np.array_equal(ids, labels.ids)

    @pytest.mark.parametrize("shapes", Shapes)
    def test_an_export_scores_ap_1_against_itself(self, tmp_path: Path, make: Make, shapes: Shapes) -> None:
        out = exported(tmp_path, [make("a.jpg"), make("b.jpg")], shapes=shapes)
        truth = COCO(out / "annotations/instances.json")
        results = [
            {
                "image_id": a["image_id"],
                "category_id": a["category_id"],
                "segmentation": truth.annToRLE(a),
                "score": 0.9,
            }
            for a in truth.loadAnns(truth.getAnnIds())
            if not a["iscrowd"]
        ]
        evaluation = COCOeval(truth, truth.loadRes(results), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        assert evaluation.stats[0] == pytest.approx(1.0)
        assert evaluation.stats[8] == pytest.approx(1.0)

    def test_torchvision_reads_each_list(self, tmp_path: Path, make: Make) -> None:
        from torchvision.datasets import CocoDetection

        images = [make("a.jpg"), make("deep/b.png", split="validation"), make("c.jpg", split="validation")]
        out = exported(tmp_path, images)
        for title, count in (("instances", 3), ("instances_train", 1), ("instances_val", 2)):
            dataset = CocoDetection(out / "images", str(out / "annotations" / f"{title}.json"))
            assert len(dataset) == count
            for image, target in dataset:
                assert image.size == (60, 40)
                assert sorted(a["category_id"] for a in target) == [1, 1, 1, 1, 2, 7]
        assert not (out / "annotations/instances_test.json").exists()

    def test_ids_are_unique_over_all_lists(self, tmp_path: Path, make: Make) -> None:
        images = [make(f"{i}.png", split=["train", "validation", "test"][i % 3]) for i in range(5)]
        content = document_of(exported(tmp_path, images))
        assert sorted(image["id"] for image in content["images"]) == [1, 2, 3, 4, 5]
        assert sorted(a["id"] for a in content["annotations"]) == list(range(1, 31))

    def test_one_list_has_a_document_of_its_own_too(self, tmp_path: Path, make: Make) -> None:
        out = exported(tmp_path, [make("a.png", split="validation")])
        names = sorted(path.name for path in (out / "annotations").iterdir())
        assert names == ["instances.json", "instances_val.json"]

    def test_plain_things_count_by_parts_and_stuff_once(self, tmp_path: Path, make: Make) -> None:
        content = document_of(exported(tmp_path, [make("a.jpg")]))
        assert sorted(a["category_id"] for a in content["annotations"] if a["segment_id"] == 0) == [1, 1, 2, 7]
        assert [c["name"] for c in content["categories"]] == ["cell", "sky", 'a "quoted" name é']
        assert [a["id"] for a in content["annotations"]] == list(range(1, 7))

    def test_categories_count_from_1_where_0_is_a_real_class(self, tmp_path: Path, make: Make) -> None:
        catalog = Catalog.from_names(["road", "car"])
        labels = SegmentMap.from_semantic(np.array([[0, 0, 1], [255, 0, 1]], dtype=np.uint8))
        out = exported(tmp_path, [make("a.png", labels)], catalog)
        content = document_of(out)
        assert [(c["id"], c["class_id"]) for c in content["categories"]] == [(1, 0), (2, 1)]
        assert sorted((a["category_id"], a["area"]) for a in content["annotations"]) == [(1, 3), (2, 2)]
        for by in (MatchBy.NAME, MatchBy.NUMBER):
            found = FORMAT.importer.read(out)
            assert load(found.labels[0], found.classes, (2, 3), catalog=catalog, by=by) == labels

    def test_rotated_images_become_upright_and_are_found_again(self, tmp_path: Path, make: Make) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        tall = labelled_map(60, 40)
        images = [
            LabelledImage(name=i.name, path=i.path, load=tall.copy, width=40, height=60)
            for i in (make("a.jpg", exif=exif), make("b.tif", exif=exif))
        ]
        out = exported(tmp_path, images)
        for name in ("a.jpg", "b.tif.png"):
            with Image.open(out / "images" / name) as image:
                assert image.size == (40, 60)
        assert read_back("coco", out, {"a.jpg": (60, 40), "b.tif": (60, 40)}) == {"a.jpg": tall, "b.tif": tall}

    def test_referred_images_are_found_again_by_their_own_names(self, tmp_path: Path, make: Make) -> None:
        images = [make("x/a.png"), make("y/a.png")]
        out = exported(tmp_path, images, images=ImageFiles.REFERENCE)
        assert [i["file_name"] for i in document_of(out)["images"]] == [str(i.path) for i in images]
        assert set(read_back("coco", out, {"x/a.png": (40, 60), "y/a.png": (40, 60)})) == {"x/a.png", "y/a.png"}

    def test_holes_and_parts_of_one_instance_stay_together_as_polygons(self, tmp_path: Path, make: Make) -> None:
        labels = labelled_map()
        labels.ids[38:, 56:] = 256
        content = document_of(exported(tmp_path, [make("a.png", labels)], shapes=Shapes.POLYGONS, tolerance=0))
        (ring,) = [a for a in content["annotations"] if a["segment_id"] == 256]
        assert len(ring["segmentation"]) == 2
        mask = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(ring["segmentation"], 40, 60)))
        assert np.array_equal(mask == 1, labels.ids == 256)
        (crowd,) = [a for a in content["annotations"] if a["segment_id"] == 258]
        assert isinstance(crowd["segmentation"]["counts"], str)
        assert [a["iscrowd"] for a in content["annotations"]].count(0) == len(content["annotations"]) - 1

    def test_polygons_with_a_tolerance_are_shorter_and_their_area_is_what_pycocotools_fills(
        self, tmp_path: Path, make: Make
    ) -> None:
        rows, columns = np.mgrid[:200, :300]
        disc = (rows - 100) ** 2 + (columns - 150) ** 2 < 80**2
        labels = SegmentMap.from_semantic(disc.astype(np.uint8))
        labels.ids[0, 0] = 1  # a dot, which would vanish
        content = document_of(exported(tmp_path, [make("a.png", labels)], shapes=Shapes.POLYGONS, tolerance=2))
        for found in content["annotations"]:
            mask = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(found["segmentation"], 200, 300))) == 1
            assert found["area"] == mask.sum()
            assert found["bbox"] == tight_box(mask)
        sizes = sorted((len(a["segmentation"][0]), a["area"]) for a in content["annotations"])
        assert sizes[0][1] == 1
        assert 0 < sizes[1][0] < 60

    def test_the_importer_gets_exactly_what_the_loss_report_foresees(self, tmp_path: Path, make: Make) -> None:
        rng = np.random.default_rng(3)
        seeds = rng.integers(0, 200, (40, 2))
        rows, columns = np.mgrid[:200, :200]
        nearest = ((rows[..., None] - seeds[:, 0]) ** 2 + (columns[..., None] - seeds[:, 1]) ** 2).argmin(axis=2)
        values = np.array([0, 1, 2, 7, IGNORE, *range(256, 291)], dtype=np.uint16)
        segments = {i: Segment(i, 1 if i % 2 else 7, crowd=i == 260) for i in range(256, 291)}
        labels = SegmentMap(values[nearest], np.ones((200, 200), dtype=np.bool_), segments)
        options = ExportOptions(shapes=Shapes.POLYGONS, tolerance=1.5)
        losses = FORMAT.losses([make("a.png", labels)], CATALOG, options=options)
        assert 0 < losses.changed < 4000
        FORMAT.export([make("a.png", labels)], CATALOG, tmp_path / "out", options=options)
        (again,) = read_back("coco", tmp_path / "out", {"a.png": (200, 200)}).values()
        assert int((again.ids != labels.ids).sum()) == losses.changed
        assert again.used_segments() == labels.used_segments()


class TestRoundTrip:
    """Our own files come back."""

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(maps=st.lists(segment_maps(), min_size=1, max_size=3))
    def test_masks_keep_everything(self, tmp_path_factory: pytest.TempPathFactory, maps: list[SegmentMap]) -> None:
        folder = tmp_path_factory.mktemp("coco")
        images = [labelled_image(folder / "in", f"{i}.png", labels) for i, labels in enumerate(maps)]
        FORMAT.export(images, CATALOG, folder / "out")
        names = [image.name for image in images]
        again = read_back("coco", folder / "out", dict(zip(names, (m.shape for m in maps), strict=True)))
        assert again == dict(zip(names, maps, strict=True))

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(labels=segment_maps(), tolerance=st.sampled_from([0.0, 0.5, 1.0, 3.0]))
    def test_polygons_come_back_as_foreseen(
        self, tmp_path_factory: pytest.TempPathFactory, labels: SegmentMap, tolerance: float
    ) -> None:
        folder = tmp_path_factory.mktemp("coco")
        image = labelled_image(folder / "in", "a.png", labels)
        options = ExportOptions(shapes=Shapes.POLYGONS, tolerance=tolerance)
        losses = FORMAT.losses([image], CATALOG, options=options)
        FORMAT.export([image], CATALOG, folder / "out", options=options)
        again = read_back("coco", folder / "out", {"a.png": labels.shape})["a.png"]
        assert int(((again.ids != labels.ids) | (again.semantic() != labels.semantic())).sum()) == losses.changed
        if tolerance == 0:
            assert again == labels

    def test_a_project_without_background_comes_back(self, tmp_path: Path, make: Make) -> None:
        catalog = Catalog.from_names(["road", "car"])
        labels = SegmentMap.from_semantic(np.array([[0, 0, 1], [255, 0, 1]], dtype=np.uint8))
        out = exported(tmp_path, [make("a.png", labels)], catalog)
        assert read_back("coco", out, {"a.png": (2, 3)}, catalog=catalog) == {"a.png": labels}


class TestStockFiles:
    """Other people's files, as they are."""

    @pytest.mark.parametrize("crowd", [0, False, None, "missing"])
    def test_polygons_are_filled_as_pycocotools_fills_them(self, tmp_path: Path, crowd: Any) -> None:
        content = stock()
        content["annotations"] = [annotation(1, [[1.3, 2.2, 6.8, 2.9, 4.1, 7.7]], iscrowd=crowd, segment_id="x")]
        if crowd == "missing":
            del content["annotations"][0]["iscrowd"]
        labels = loaded(imported(tmp_path, content))
        expected = coco_mask.decode(coco_mask.frPyObjects([[1.3, 2.2, 6.8, 2.9, 4.1, 7.7]], 8, 10)[0]) == 1
        assert np.array_equal(labels.ids == 256, expected)
        assert labels.decided.all()
        assert labels.segments == {256: Segment(256, 1)}

    @pytest.mark.parametrize("crowd", [1, True])
    def test_crowds_of_both_kinds_of_run_lengths(self, tmp_path: Path, crowd: Any) -> None:
        mask = np.zeros((8, 10), dtype=np.bool_)
        mask[1:4, 2:9] = True
        runs = {"size": [8.0, 10.0], "counts": [17, *[3, 5] * 6, 3, 12]}
        for segmentation in (runs, rle.encode(mask)):
            found = imported(tmp_path, stock(annotations=[annotation(1, segmentation, iscrowd=crowd)]))
            labels = loaded(found)
            assert np.array_equal(labels.ids == 256, mask)
            assert labels.segments[256].crowd

    def test_stuff_of_the_project_is_painted_plain(self, tmp_path: Path) -> None:
        labels = loaded(imported(tmp_path, stock(annotations=[annotation(1, [square(1, 2, 3)], category_id=19)])))
        assert (labels.ids[2:5, 1:4] == 2).all()
        assert not labels.segments

    def test_smaller_objects_lie_over_larger_ones_and_all_over_crowds(self, tmp_path: Path) -> None:
        content = stock(
            annotations=[
                annotation(1, [square(4, 3, 2)], area=4),
                annotation(2, [square(2, 1, 6)], area=36),
                annotation(3, rle.encode(np.ones((8, 10), dtype=np.bool_)), area=1, iscrowd=1),
            ]
        )
        labels = loaded(imported(tmp_path, content))
        areas = {segment.crowd: int((labels.ids == i).sum()) for i, segment in labels.segments.items() if i != 258}
        assert areas == {True: 80 - 36, False: 32}
        assert int((labels.ids == 258).sum()) == 4

    def test_images_without_annotations_are_background(self, tmp_path: Path) -> None:
        found = imported(tmp_path, stock(annotations=[]))
        assert found.warnings == ["labels.json: 1 images have no annotation, nor has any other."]
        labels = loaded(found)
        assert not labels.ids.any()
        assert labels.decided.all()

    def test_boxes_without_masks_are_void_and_counted(self, tmp_path: Path) -> None:
        content = stock()
        content["annotations"] += [
            annotation(2, [], bbox=[0.5, 1.5, 5, 3.2]),
            annotation(3, None),
            {"id": 4, "category_id": 18},
        ]
        found = imported(tmp_path, content)
        assert found.warnings == [
            "labels.json: 1 annotations have a box but no mask; their boxes are void where nothing else lies.",
            "labels.json: 1 annotations have neither mask nor box; they are left out.",
            "labels.json: 1 annotations name no image; they are left out.",
        ]
        ids = loaded(found).ids
        assert (ids[2:5, 1:4] == 256).all()
        assert int((ids == IGNORE).sum()) == 6 * 4 - 9

    @pytest.mark.parametrize(
        ("record", "name"),
        [
            ({"file_name": "train2017/000.jpg"}, "train2017/000.jpg"),
            ({"file_name": "./a b.jpg"}, "a b.jpg"),
            ({"file_name": "..\\..\\evil\\a.jpg"}, "evil/a.jpg"),
            ({"file_name": "C:\\data\\a.jpg"}, "C_/data/a.jpg"),
            ({"file_name": "/abs/a.jpg"}, "abs/a.jpg"),
            ({"file_name": "https://host/x/a.jpg?size=3"}, "a.jpg"),
            ({"coco_url": "http://images.cocodataset.org/train2017/7.jpg"}, "7.jpg"),
            ({"file_name": "http://[/7.jpg"}, "7.jpg"),
        ],
    )
    def test_names_of_images_lead_nowhere(self, tmp_path: Path, record: dict[str, Any], name: str) -> None:
        found = imported(tmp_path, stock(images=[{"id": 9, "width": 10.0, "height": 8.0, **record}]))
        assert [label.name for label in found.labels] == [name]
        assert found.labels[0].size == (10, 8)

    def test_lists_may_come_in_any_order_and_more_may_be_there(self, tmp_path: Path) -> None:
        content = stock()
        text = json.dumps(
            {
                "annotations": content["annotations"],
                "type": "instances",
                "extra": [[1], {"a": "é"}],
                "images": content["images"],
                "categories": [*content["categories"], {"id": 20, "name": "Bär ü 漢"}],
            },
            ensure_ascii=False,
            indent=3,
        )
        found = imported(tmp_path, "\ufeff" + text)
        assert int((loaded(found).ids == 256).sum()) == 9
        assert found.classes[2].name == "Bär ü 漢"

    def test_annotations_of_unknown_images_are_counted(self, tmp_path: Path) -> None:
        found = imported(tmp_path, stock(annotations=[annotation(1, [square(1, 1, 2)], image_id=77)]))
        assert found.warnings == [
            "labels.json: 1 annotations belong to images the file does not list; they are left out."
        ]

    def test_points_and_lines_among_polygons_cover_nothing(self, tmp_path: Path) -> None:
        content = stock(annotations=[annotation(1, [[1, 1, 5, 5], [3, 3], square(1, 2, 3)])])
        assert int((loaded(imported(tmp_path, content)).ids == 256).sum()) == 9

    def test_numbers_may_be_written_as_floats_and_ids_as_text(self, tmp_path: Path) -> None:
        content = stock(annotations=[annotation(1.0, [square(1, 2, 3)], image_id=9.0, category_id=18.0)])
        assert int((loaded(imported(tmp_path, content)).ids == 256).sum()) == 9
        content = stock(annotations=[annotation("x", [square(1, 2, 3)], image_id="nine")])
        content["images"][0]["id"] = "nine"
        assert int((loaded(imported(tmp_path, content)).ids == 256).sum()) == 9

    def test_a_flat_polygon_is_one_polygon(self, tmp_path: Path) -> None:
        content = stock(annotations=[annotation(1, square(1, 2, 3))])
        assert int((loaded(imported(tmp_path, content)).ids == 256).sum()) == 9

    def test_unknown_categories_are_refused_or_ignored_by_choice(self, tmp_path: Path) -> None:
        found = imported(tmp_path, stock(annotations=[annotation(1, [square(1, 2, 3)], category_id=5)]))
        with pytest.raises(FormatError, match=r"The label a\.jpg holds the class 5, which this project lacks"):
            loaded(found)
        assert int((loaded(found, unknown=Unknown.IGNORE).ids == IGNORE).sum()) == 9

    def test_a_folder_gives_its_instances(self, tmp_path: Path) -> None:
        folder = tmp_path / "set" / "annotations"
        folder.mkdir(parents=True)
        (folder / "captions.json").write_text("{}")
        (folder / "instances_val2017.json").write_text(json.dumps(stock()))
        assert len(FORMAT.importer.read(tmp_path / "set").labels) == 1
        (folder / "instances_train2017.json").write_text(json.dumps(stock()))
        with pytest.raises(FormatError, match=r"several JSON files: instances_train2017\.json, instances_val"):
            FORMAT.importer.read(tmp_path / "set")
        (folder / "instances.json").write_text(json.dumps(stock()))
        assert len(FORMAT.importer.read(tmp_path / "set").labels) == 1

    def test_colours_and_kinds_of_categories_are_declared(self, tmp_path: Path) -> None:
        categories = [
            {"id": 18, "name": " cell ", "color": [1, 2, 3], "isthing": 1},
            {"id": 19, "name": 5, "color": [1, 2, 999], "isthing": 0},
        ]
        first, second = imported(tmp_path, stock(categories=categories)).classes
        assert (first.number, first.name, first.color, first.kind) == (18, "cell", (1, 2, 3), Kind.THING)
        assert (second.number, second.name, second.color, second.kind) == (19, "", None, Kind.STUFF)


class TestHostileFiles:
    """One sentence each; one bad annotation costs one image."""

    @pytest.mark.parametrize(
        "segmentation",
        [
            [[float("nan"), 1, 2, 2, 3, 3]],
            [[float("inf"), 1, 2, 2, 3, 3]],
            [[10**400, 1, 2, 2, 3, 3]],
            [[1, 2, 3, 4, 5, 6, 7]],
            [["1", "2", "3", "4", "5", "6"]],
            [{"x": 1}],
            [[[[1]]]],
            "text",
            7,
            {"size": [8, 10], "counts": [81]},
            {"size": [8, 10], "counts": [-1, 81]},
            {"size": [8, 10], "counts": [2**62, 2**62, 2**62]},
            {"size": [8, 10], "counts": "ooooooooooooooooooo"},
            {"size": [8, 10], "counts": "PPPPPPPP"},
            {"size": [10, 8], "counts": [0, 80]},
            {"size": [2**31, 2**31], "counts": [0, 2**62]},
            {"size": "8x10", "counts": [80]},
            {"size": [8, 10]},
            {"counts": [80]},
        ],
    )
    def test_a_bad_mask_refuses_its_image_only(self, tmp_path: Path, segmentation: Any) -> None:
        content = stock()
        content["images"].append({"id": 10, "file_name": "b.jpg", "width": 10, "height": 8})
        content["annotations"].append(annotation(2, segmentation))
        content["annotations"].append(annotation(3, [square(0, 0, 2)], image_id=10))
        found = imported(tmp_path, content)
        with pytest.raises(FormatError, match=r"^Annotation 2 of a\.jpg cannot be drawn: .+\.$"):
            try:
                load(found.labels[0], found.classes, (8, 10))
            except FormatError as error:
                raise FormatError(error.message) from error
        assert int((load(found.labels[1], found.classes, (8, 10)).ids == 256).sum()) == 4

    @pytest.mark.parametrize("far", [-(10**9), 10**9, 1e300])
    def test_coordinates_far_away_are_cut_off(self, tmp_path: Path, far: float) -> None:
        content = stock(annotations=[annotation(1, [[-abs(far), 2, abs(far), 2, abs(far), 5, -abs(far), 5]])])
        ids = loaded(imported(tmp_path, content)).ids
        assert (ids[2:5] == 256).all()
        assert int((ids == 256).sum()) == 30

    def test_two_annotations_with_one_id_in_one_image_are_refused(self, tmp_path: Path) -> None:
        found = imported(tmp_path, stock(annotations=[annotation(1, [square(1, 2, 3)])] * 2))
        with pytest.raises(FormatError, match=r"a\.jpg has two annotations 1"):
            loaded(found)

    def test_two_images_with_one_id_are_refused_by_both_names(self, tmp_path: Path) -> None:
        images = [{"id": 9, "file_name": name, "width": 10, "height": 8} for name in ("a.jpg", "b.jpg")]
        with pytest.raises(FormatError, match=r"a\.jpg and b\.jpg have the same id \(9\)"):
            loaded(imported(tmp_path, stock(images=images)))

    def test_two_categories_with_one_number_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(FormatError, match='two categories 18, "cell" and "sky"'):
            imported(tmp_path, stock(categories=[{"id": 18, "name": "cell"}, {"id": 18, "name": "sky"}]))

    @pytest.mark.parametrize("number", [None, "x", True, 1.5, [1], {"a": 1}])
    def test_wrong_types_everywhere_crash_nothing(self, tmp_path: Path, number: Any) -> None:
        with pytest.raises(FormatError, match="a category without a number"):
            imported(tmp_path, stock(categories=[{"id": number, "name": "x"}]))
        found = imported(tmp_path, stock(annotations=[annotation(1, [square(1, 1, 2)], category_id=number)]))
        with pytest.raises(FormatError, match=r"Annotation 1 of a\.jpg has no category"):
            loaded(found)
        for image in ({"id": number}, number, {"id": 9, "file_name": ""}):
            found = imported(tmp_path, stock(images=[*stock()["images"], image]))
            assert int((loaded(found).ids == 256).sum()) == 9
        values = {"id": number, "area": number, "bbox": number, "iscrowd": number, "segment_id": number}
        content = stock(annotations=[annotation(1, [square(1, 2, 3)]) | values])
        assert int((loaded(imported(tmp_path, content)).ids >= 256).sum()) == 9

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            (b"", "is no valid JSON"),
            (b"[1, 2]", "is a list, not a COCO file"),
            (b"{}", "lists no images"),
            (b'{"images": [{"id": 1', "is no valid JSON"),
            (b'{"images": [1 2]}', "is no valid JSON"),
            (b'{"images": {"a": 1}, "annotations": 5}', "lists no images"),
            (b'{"images": [' + b"[" * 100_000 + b"]" * 100_000 + b"]}", "is no valid JSON"),
            (b'{"images": [' + b"9" * 10_000 + b"]}", "is no valid JSON"),
            (b'{"images": [{"id": 1, "file_name": "\xff\xfe"}]}', "is not UTF-8"),
            ('{"images": []}'.encode("utf-16"), "is no valid JSON"),
            (b'{"images": [], "images": [{}]} trailing', "lists no images"),
        ],
    )
    def test_what_is_no_document_is_refused_in_a_sentence(self, tmp_path: Path, content: bytes, sentence: str) -> None:
        with pytest.raises(FormatError, match=sentence):
            imported(tmp_path, content)

    @pytest.mark.parametrize("character", [b"x", b"[", b"1", b" "])
    def test_endless_tokens_are_refused_with_bounded_memory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, character: bytes
    ) -> None:
        monkeypatch.setattr(coco_json, "MAX_RECORD", 4 << 20)
        opening = b'"' if character == b"x" else b"[" if character == b"1" else b""
        path = tmp_path / "labels.json"
        path.write_bytes(b'{"images": [' + opening + character * (16 << 20))
        with pytest.raises(FormatError, match=r"a record that is too large|is no valid JSON"):
            FORMAT.importer.read(path)

    def test_reading_takes_the_memory_of_a_record_not_of_the_file(self, tmp_path: Path) -> None:
        polygon = [[(i * 7919 % 10007) / 16 for i in range(2000)]]
        content = stock(annotations=[annotation(i, polygon, image_id=9 if i == 0 else 10) for i in range(800)])
        path = tmp_path / "labels.json"
        path.write_text(json.dumps(content))
        size = path.stat().st_size
        del content
        tracemalloc.start()
        try:
            FORMAT.importer.read(path)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert size > 10e6
        assert peak < 8e6

    def test_a_file_that_changed_is_refused(self, tmp_path: Path) -> None:
        found = imported(tmp_path, stock())
        (tmp_path / "labels.json").write_bytes(b"{}")
        with pytest.raises(FormatError, match=r"labels\.json changed while it was imported"):
            loaded(found)
        (tmp_path / "labels.json").unlink()
        with pytest.raises(FormatError, match=r"labels\.json changed while it was imported"):
            loaded(found)

    def test_sizes_that_disagree_are_named(self, tmp_path: Path) -> None:
        found = imported(tmp_path, stock())
        with pytest.raises(FormatError, match=r"is 10 x 8 pixels, but its image a\.jpg is 20 x 8"):
            load(found.labels[0], found.classes, (8, 20))

    def test_folders_without_documents_say_so(self, tmp_path: Path) -> None:
        with pytest.raises(FormatError, match="holds no JSON file"):
            FORMAT.importer.read(tmp_path)
        with pytest.raises(FormatError):
            FORMAT.importer.read(tmp_path / "missing.json")


@settings(max_examples=100, deadline=None)
@given(
    records=st.lists(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
            lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
            max_leaves=10,
        ),
        max_size=6,
    ),
    chunk=st.integers(1, 40),
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 1]),
)
def test_records_are_what_they_are_wherever_the_file_is_cut(
    tmp_path_factory: pytest.TempPathFactory, records: list[Any], chunk: int, ascii_only: bool, indent: int | None
) -> None:
    path = tmp_path_factory.mktemp("json") / "x.json"
    content = {"before": {"a": [1]}, "images": records, "number": 12, "é": [], "annotations": records[:1]}
    path.write_text(json.dumps(content, ensure_ascii=ascii_only, indent=indent), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coco_json, "_CHUNK", chunk)
        found = list(read_records(path))
    assert [(r.key, r.value) for r in found] == [
        *(("images", record) for record in records),
        *(("annotations", record) for record in records[:1]),
    ]
    data = path.read_bytes()
    assert [json.loads(data[r.place.offset : r.place.offset + r.place.length]) for r in found] == [
        r.value for r in found
    ]


def tight_box(mask: Mask) -> list[int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return [int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)]


def test_the_quoted_class_of_the_catalog_survives(tmp_path: Path, make: Make) -> None:
    catalog = Catalog([LabelClass(id=254, name="last", color=(0, 0, 0), kind=Kind.STUFF)])
    labels = SegmentMap.from_semantic(np.full((4, 5), 254, dtype=np.uint8))
    out = exported(tmp_path, [make("a.png", labels)], catalog)
    assert read_back("coco", out, {"a.png": (4, 5)}, catalog=catalog)["a.png"] == labels


def test_instances_of_the_background_become_background_and_are_told_of(tmp_path: Path, make: Make) -> None:
    labels = labelled_map()
    labels.ids[36:40, 0:9] = 400
    labels.segments[400] = Segment(400, 0)
    report = FORMAT.export([make("a.jpg", labels)], CATALOG, tmp_path / "out")
    assert report.warnings == ["Instances of the background, which has no category: 1."]
    losses = FORMAT.losses([make("a.jpg", labels)], CATALOG)
    assert losses.changed == 36
    expected = labelled_map()
    assert read_back("coco", tmp_path / "out", {"a.jpg": (40, 60)})["a.jpg"] == expected
