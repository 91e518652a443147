"""COCO panoptic: PNGs of segment numbers, and what is said about them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from support import CATALOG, labelled_image, load, read_back, segment_maps

from segstudio.core.catalog import IGNORE, Catalog, Kind
from segstudio.core.errors import FormatError, ImageError
from segstudio.core.segmentmap import Segment, SegmentMap
from segstudio.formats.base import ImportSource, LabelledImage
from segstudio.formats.options import ExportOptions, MatchBy
from segstudio.formats.registry import format_named

FORMAT = format_named("panoptic")
Make = Callable[..., LabelledImage]


def labelled_map() -> SegmentMap:
    """Background, two touching cells (one a crowd), plain cells in two parts, a plain thing in one, sky, void."""
    ids = np.zeros((40, 60), dtype=np.uint16)
    ids[2:12, 2:12] = 256
    ids[2:12, 12:20] = 60_000
    ids[20:24, 3:8] = 1
    ids[28:30, 3:8] = 1
    ids[20:40, 30:40] = 2
    ids[0:3, 50:60] = 2
    ids[15, :] = IGNORE
    ids[30:34, 50:55] = 7
    return SegmentMap(
        ids, np.ones(ids.shape, dtype=np.bool_), {256: Segment(256, 1), 60_000: Segment(60_000, 1, crowd=True)}
    )


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes an image file below tmp_path/in with a segment map."""

    def build(name: str, labels: SegmentMap | None = None, **options: Any) -> LabelledImage:
        return labelled_image(tmp_path / "in", name, labelled_map() if labels is None else labels, **options)

    return build


def rgb2id(color: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    """panopticapi's own words (utils.py)."""
    wide = color.astype(np.int32)
    return wide[:, :, 0] + 256 * wide[:, :, 1] + 256 * 256 * wide[:, :, 2]


def pngs(folder: Path, name: str = "a.png") -> npt.NDArray[np.int32]:
    with Image.open(folder / name) as image:
        assert image.mode == "RGB"
        return rgb2id(np.array(image))


def document_of(out: Path, split: str = "train") -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / f"annotations/panoptic_{split}.json").read_text(encoding="utf-8"))
    return content


class TestExport:
    """What readers find."""

    def test_each_list_has_its_document_and_its_pngs_beside_it(self, tmp_path: Path, make: Make) -> None:
        FORMAT.export([make("a.jpg"), make("x/b.png", split="validation")], CATALOG, tmp_path / "out")
        for split, image_name, png in (("train", "a.jpg", "a.png"), ("val", "x/b.png", "x/b.png")):
            content = document_of(tmp_path / "out", split)
            (image,), (annotation,) = content["images"], content["annotations"]
            assert (image["file_name"], image["width"], image["height"]) == (image_name, 60, 40)
            assert (tmp_path / "out/images" / image_name).is_file()
            assert (annotation["image_id"], annotation["file_name"]) == (image["id"], png)
            assert (tmp_path / f"out/annotations/panoptic_{split}" / png).is_file()

    def test_segments_are_what_their_records_say(self, tmp_path: Path, make: Make) -> None:
        labels = labelled_map()
        FORMAT.export([make("a.jpg")], CATALOG, tmp_path / "out")
        content = document_of(tmp_path / "out")
        numbers = pngs(tmp_path / "out/annotations/panoptic_train")
        categories = {c["id"]: c for c in content["categories"]}
        semantic = np.full(labels.shape, IGNORE, dtype=np.uint8)
        segments = content["annotations"][0]["segments_info"]
        for segment in segments:
            mask = numbers == segment["id"]
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            assert segment["area"] == mask.sum()
            box = [columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1]
            assert segment["bbox"] == box
            semantic[mask] = categories[segment["category_id"]]["class_id"]
        assert np.array_equal(semantic, labels.semantic())
        assert {s["id"] for s in segments} == set(np.unique(numbers).tolist()) - {0}
        assert [s["id"] for s in segments if s["iscrowd"]] == [60_000]
        # two parts of plain cells, one of the quoted class, sky in one, background
        assert sorted(s["id"] for s in segments if s["segment_id"] == 0) == [1, 3, 8, 65_536, 65_537]

    def test_the_background_is_a_stuff_category_behind_all_others(self, tmp_path: Path, make: Make) -> None:
        FORMAT.export([make("a.jpg")], CATALOG, tmp_path / "out")
        categories = document_of(tmp_path / "out")["categories"]
        found = [(c["id"], c["class_id"], c["isthing"], c["color"]) for c in categories]
        assert found == [
            (8, 0, 0, [96, 96, 96]),
            (1, 1, 1, [10, 200, 30]),
            (2, 2, 0, [1, 2, 250]),
            (7, 7, 1, [250, 2, 3]),
        ]

    def test_panoptic_quality_against_itself_is_1(self, tmp_path: Path, make: Make) -> None:
        """With the counting of panopticapi (evaluation.py): IoU above one half, union without void."""
        FORMAT.export([make("a.jpg")], CATALOG, tmp_path / "out")
        numbers = pngs(tmp_path / "out/annotations/panoptic_train")
        segments = document_of(tmp_path / "out")["annotations"][0]["segments_info"]
        pairs, counts = np.unique(numbers.astype(np.int64) * (1 << 24) + numbers, return_counts=True)
        areas = {s["id"]: s["area"] for s in segments}
        ious = [
            count / areas[pair >> 24]
            for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True)
            if pair >> 24 in areas
        ]
        assert ious == [1.0] * len(segments)

    def test_label_and_image_differ_in_their_suffix_only(self, tmp_path: Path, make: Make) -> None:
        images = [make("a.jpg"), make("a.png"), make("b.tif")]
        FORMAT.export(images, CATALOG, tmp_path / "out")
        content = document_of(tmp_path / "out")
        stems = [
            (Path(i["file_name"]).stem, Path(a["file_name"]).stem)
            for i, a in zip(content["images"], content["annotations"], strict=True)
        ]
        assert stems == [("a.jpg", "a.jpg"), ("a.png", "a.png"), ("b", "b")]
        shapes = dict.fromkeys(("a.jpg", "a.png", "b.tif"), (40, 60))
        assert read_back("panoptic", tmp_path / "out", shapes) == dict.fromkeys(shapes, labelled_map())


class TestRoundTrip:
    """Our own files come back."""

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(maps=st.lists(segment_maps(), min_size=1, max_size=3))
    def test_everything_survives(self, tmp_path_factory: pytest.TempPathFactory, maps: list[SegmentMap]) -> None:
        folder = tmp_path_factory.mktemp("panoptic")
        splits = ("train", "validation", "test")
        images = [labelled_image(folder / "in", f"{i}.png", labels, split=splits[i]) for i, labels in enumerate(maps)]
        FORMAT.export(images, CATALOG, folder / "out")
        names = [image.name for image in images]
        again = read_back("panoptic", folder / "out", dict(zip(names, (m.shape for m in maps), strict=True)))
        assert again == dict(zip(names, maps, strict=True))

    @pytest.mark.parametrize("by", [MatchBy.NAME, MatchBy.NUMBER, MatchBy.COLOR])
    def test_a_project_without_background_comes_back(self, tmp_path: Path, make: Make, by: MatchBy) -> None:
        catalog = Catalog.from_names(["road", "car"])
        labels = SegmentMap.from_semantic(np.array([[0, 0, 1], [255, 0, 1]], dtype=np.uint8))
        FORMAT.export([make("a.png", labels)], catalog, tmp_path / "out")
        assert [c["id"] for c in document_of(tmp_path / "out")["categories"]] == [1, 2]
        found = FORMAT.importer.read(tmp_path / "out")
        assert load(found.labels[0], found.classes, (2, 3), catalog=catalog, by=by) == labels

    def test_nothing_is_lost(self, tmp_path: Path, make: Make) -> None:
        losses = FORMAT.losses([make("a.png")], CATALOG)
        assert losses.lossless
        assert FORMAT.keeps_all(ExportOptions())


def stock(tmp_path: Path, numbers: npt.NDArray[Any], segments: Any, **changes: Any) -> Path:
    """A document as COCO's own are, with a PNG of (8, 10) numbers; its file."""
    folder = tmp_path / "panoptic_val2017"
    folder.mkdir(exist_ok=True)
    rgb = np.stack([numbers % 256, numbers // 256 % 256, numbers // 65536], axis=-1).astype(np.uint8)
    Image.fromarray(rgb).save(folder / "a.png")
    content = {
        "images": [{"id": 9, "file_name": "a.jpg", "width": 10, "height": 8}],
        "annotations": [{"image_id": 9, "file_name": "a.png", "segments_info": segments}],
        "categories": [{"id": 1, "name": "cell", "isthing": 1}, {"id": 200, "name": "sky", "isthing": 0}],
    }
    path = tmp_path / "annotations" / "panoptic_val2017.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content | changes))
    return path


def blocks() -> npt.NDArray[np.uint32]:
    numbers = np.zeros((8, 10), dtype=np.uint32)
    numbers[:2], numbers[2:4], numbers[4:6] = 3_226_956, 5, 16_777_215
    return numbers


SEGMENTS = [
    {"id": 3_226_956, "category_id": 1, "iscrowd": 0, "area": 20, "bbox": [0, 0, 10, 2]},
    {"id": 5, "category_id": 200, "iscrowd": 0},
    {"id": 16_777_215, "category_id": 1, "iscrowd": 1},
]


def loaded(found: ImportSource) -> SegmentMap:
    return load(found.labels[0], found.classes, (8, 10))


class TestStockFiles:
    """Other people's files."""

    @pytest.mark.parametrize("root", ["", "annotations", "annotations/panoptic_val2017.json"])
    def test_things_stuff_crowds_and_void(self, tmp_path: Path, root: str) -> None:
        stock(tmp_path, blocks(), SEGMENTS)
        found = FORMAT.importer.read(tmp_path / root)
        assert [c.kind for c in found.classes] == [Kind.THING, Kind.STUFF]
        labels = loaded(found)
        classes = {i: (s.class_id, s.crowd) for i, s in labels.segments.items()}
        assert classes[int(labels.ids[0, 0])] == (1, False)
        assert (labels.ids[2:4] == 2).all()
        assert classes[int(labels.ids[4, 0])] == (1, True)
        assert (labels.ids[6:] == IGNORE).all()
        assert labels.decided.all()

    def test_images_without_annotation_are_left_out_with_a_count(self, tmp_path: Path) -> None:
        images = [{"id": i, "file_name": f"{i}.jpg", "width": 10, "height": 8} for i in (9, 10)]
        found = FORMAT.importer.read(stock(tmp_path, blocks(), SEGMENTS, images=images))
        assert [label.name for label in found.labels] == ["9.jpg"]
        assert found.warnings == ["panoptic_val2017.json: 1 images have no annotation; they are left out."]


class TestHostileFiles:
    """One sentence each."""

    @pytest.mark.parametrize(
        ("segments", "sentence"),
        [
            (SEGMENTS[:2], "holds the segment 16777215, which segments_info does not list"),
            ([*SEGMENTS, SEGMENTS[0]], "Two segments of a.jpg have the id 3226956"),
            ([{"id": "x", "category_id": 1}], "has no id or no category"),
            ([{"id": 5, "category_id": None}], "has no id or no category"),
            ([7], "has no id or no category"),
            ([{**SEGMENTS[0], "category_id": 77}, *SEGMENTS[1:]], "holds the class 77"),
        ],
    )
    def test_bad_segments_refuse_their_image(self, tmp_path: Path, segments: Any, sentence: str) -> None:
        found = FORMAT.importer.read(stock(tmp_path, blocks(), segments))
        with pytest.raises(FormatError, match=sentence):
            loaded(found)

    @pytest.mark.parametrize("file_name", ["../../secret.png", "/etc/secret.png", "..\\secret.png", 5, None])
    def test_names_of_pngs_lead_nowhere(self, tmp_path: Path, file_name: Any) -> None:
        Image.new("RGB", (10, 8)).save(tmp_path / "secret.png")
        annotations = [{"image_id": 9, "file_name": file_name, "segments_info": SEGMENTS}]
        found = FORMAT.importer.read(stock(tmp_path, blocks(), SEGMENTS, annotations=annotations))
        with pytest.raises((FormatError, ImageError), match=r"is not there any more|names no PNG"):
            loaded(found)

    def test_pngs_of_another_size_or_kind_are_refused_before_they_are_decoded(self, tmp_path: Path) -> None:
        found = FORMAT.importer.read(stock(tmp_path, blocks(), SEGMENTS))
        png = tmp_path / "panoptic_val2017/a.png"
        Image.new("RGB", (5000, 8)).save(png)
        with pytest.raises(FormatError, match=r"a\.png is 5000 x 8 pixels, but its image a\.jpg is 10 x 8"):
            loaded(found)
        Image.new("P", (10, 8)).save(png)
        with pytest.raises(FormatError, match=r"a\.png is no RGB PNG \(PNG, P\)"):
            loaded(found)
        png.write_bytes(b"")
        with pytest.raises(ImageError, match="empty"):
            loaded(found)

    def test_two_annotations_of_one_image_are_refused(self, tmp_path: Path) -> None:
        annotation = {"image_id": 9, "file_name": "a.png", "segments_info": SEGMENTS}
        found = FORMAT.importer.read(stock(tmp_path, blocks(), SEGMENTS, annotations=[annotation] * 2))
        with pytest.raises(FormatError, match=r"a\.jpg has two annotations"):
            loaded(found)

    def test_other_documents_and_missing_folders_are_named(self, tmp_path: Path) -> None:
        path = stock(tmp_path, blocks(), SEGMENTS, annotations=[{"image_id": 9, "segmentation": []}, 5])
        with pytest.raises(FormatError, match="is not a panoptic file"):
            FORMAT.importer.read(path)
        path = stock(tmp_path, blocks(), SEGMENTS)
        (tmp_path / "panoptic_val2017").rename(tmp_path / "elsewhere")
        with pytest.raises(FormatError, match=r"The PNGs of panoptic_val2017\.json are not there"):
            FORMAT.importer.read(path)
