"""COCO-Stuff: pixel maps and run lengths by class."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools.coco import COCO
from scipy.io import savemat
from support import CATALOG, labelled_image, load, read_back, segment_maps

from segstudio.core.catalog import IGNORE, Catalog
from segstudio.core.errors import FormatError
from segstudio.core.segmentmap import Segment, SegmentMap
from segstudio.formats.base import LabelledImage
from segstudio.formats.registry import format_named
from segstudio.imaging import rle

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools, numpy 2

FORMAT = format_named("coco-stuff")
Make = Callable[..., LabelledImage]


def labelled_map() -> SegmentMap:
    """Background, a cell, sky in two parts, void."""
    ids = np.zeros((20, 30), dtype=np.uint16)
    ids[2:8, 2:8] = 1
    ids[10:, 10:] = 2
    ids[:3, 20:] = 2
    ids[9] = IGNORE
    return SegmentMap(ids, np.ones(ids.shape, dtype=np.bool_))


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes an image file below tmp_path/in with a segment map."""

    def build(name: str, labels: SegmentMap | None = None, **options: Any) -> LabelledImage:
        return labelled_image(tmp_path / "in", name, labelled_map() if labels is None else labels, **options)

    return build


class TestExport:
    """What readers find."""

    def test_grey_pngs_hold_class_ids_by_list(self, tmp_path: Path, make: Make) -> None:
        FORMAT.export([make("a.jpg"), make("x/b.png", split="validation")], CATALOG, tmp_path / "out")
        for name in ("train/a", "val/x/b"):
            with Image.open(tmp_path / f"out/stuffthingmaps/{name}.png") as image:
                assert image.mode == "L"
                assert np.array_equal(np.asarray(image), labelled_map().semantic())
        assert (tmp_path / "out/images/train/a.jpg").is_file()
        assert (tmp_path / "out/images/val/x/b.png").is_file()
        assert (tmp_path / "out/labels.txt").read_text(encoding="utf-8").splitlines()[:3] == [
            "0: unlabeled",
            "1: background",
            "2: cell",
        ]

    def test_pycocotools_reads_one_mask_a_class_whose_category_is_the_pixel_plus_one(
        self, tmp_path: Path, make: Make
    ) -> None:
        FORMAT.export([make("a.jpg")], CATALOG, tmp_path / "out")
        coco = COCO(tmp_path / "out/annotations/stuff_train.json")
        found = {a["category_id"]: coco.annToMask(a) == 1 for a in coco.loadAnns(coco.getAnnIds())}
        classes = labelled_map().semantic()
        assert set(found) == {1, 2, 3}
        for number, mask in found.items():
            assert np.array_equal(mask, classes == number - 1)
        assert [(c["id"], c["class_id"], c["isthing"]) for c in coco.loadCats(coco.getCatIds())] == [
            (1, 0, 0),
            (2, 1, 1),
            (3, 2, 0),
            (8, 7, 1),
        ]

    def test_lost_instances_are_told(self, make: Make) -> None:
        labels = labelled_map()
        labels.ids[2:8, 2:5] = 256
        labels.segments[256] = Segment(256, 1)
        losses = FORMAT.losses([make("a.jpg", labels)], CATALOG)
        assert losses.changed == 18
        assert any("Instances that become their class: 1." in sentence for sentence in losses.sentences)


class TestRoundTrip:
    """Our own files come back, by either way."""

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(maps=st.lists(segment_maps(instances=False), min_size=1, max_size=3))
    def test_every_class_survives(self, tmp_path_factory: pytest.TempPathFactory, maps: list[SegmentMap]) -> None:
        folder = tmp_path_factory.mktemp("stuff")
        splits = ("train", "validation", "test")
        images = [labelled_image(folder / "in", f"{i}.png", m, split=splits[i]) for i, m in enumerate(maps)]
        FORMAT.export(images, CATALOG, folder / "out")
        stems = {str(i): labels for i, labels in enumerate(maps)}
        shapes = {name: labels.shape for name, labels in stems.items()}
        assert read_back("coco-stuff", folder / "out", shapes) == stems
        for i, short in enumerate(("train", "val", "test")[: len(maps)]):
            document = folder / f"out/annotations/stuff_{short}.json"
            again = read_back("coco-stuff", folder / "out", {f"{i}.png": maps[i].shape}, source=document)
            assert again == {f"{i}.png": maps[i]}

    @pytest.mark.parametrize("part", ["", "stuffthingmaps", "stuffthingmaps/train", "annotations"])
    def test_each_folder_may_be_chosen(self, tmp_path: Path, make: Make, part: str) -> None:
        FORMAT.export([make("a.jpg")], CATALOG, tmp_path / "out")
        found = FORMAT.importer.read(tmp_path / "out" / part)
        assert [c.name for c in found.classes] == list(CATALOG.names)
        assert load(found.labels[0], found.classes, (20, 30)) == labelled_map()

    def test_a_project_without_background_comes_back(self, tmp_path: Path, make: Make) -> None:
        catalog = Catalog.from_names(["road", "car"])
        labels = SegmentMap.from_semantic(np.array([[0, 0, 1], [255, 0, 1]], dtype=np.uint8))
        FORMAT.export([make("a.png", labels)], catalog, tmp_path / "out")
        document = tmp_path / "out/annotations/stuff_train.json"
        assert read_back("coco-stuff", tmp_path / "out", {"a": (2, 3)}, catalog=catalog) == {"a": labels}
        again = read_back("coco-stuff", document, {"a.png": (2, 3)}, catalog=catalog)
        assert again == {"a.png": labels}


class TestStockFiles:
    """COCO-Stuff as published, and what is no such thing."""

    def maps(self, tmp_path: Path) -> Path:
        folder = tmp_path / "set" / "stuffthingmaps" / "val2017"
        folder.mkdir(parents=True)
        Image.fromarray(np.array([[0, 156, 255]], dtype=np.uint8)).save(folder / "0001.png")
        (tmp_path / "set/labels.txt").write_text("0: unlabeled\n1: person\n157: sky-other\n")
        return tmp_path / "set"

    def test_values_are_category_ids_less_one(self, tmp_path: Path) -> None:
        catalog = Catalog.from_names(["background", "sky other", "person"])
        found = FORMAT.importer.read(self.maps(tmp_path))
        assert [(c.number, c.name) for c in found.classes] == [(0, "person"), (156, "sky-other")]
        assert [label.name for label in found.labels] == ["0001"]
        labels = load(found.labels[0], found.classes, (1, 3), catalog=catalog)
        assert labels.ids.tolist() == [[2, 1, IGNORE]]

    def test_mat_files_of_the_10k_release(self, tmp_path: Path) -> None:
        catalog = Catalog.from_names(["background", "sky other", "person"])
        folder = self.maps(tmp_path)
        (folder / "stuffthingmaps").rename(folder / "elsewhere")
        (folder / "annotations").mkdir()
        values = np.array([[1, 157], [0, 1]], dtype=np.uint16)
        savemat(folder / "annotations/COCO_train2014_1.mat", {"S": values, "names": ["x"]}, do_compression=True)
        found = FORMAT.importer.read(folder)
        labels = load(found.labels[0], found.classes, (2, 2), catalog=catalog)
        assert labels.ids.tolist() == [[2, 1], [IGNORE, 2]]
        with pytest.raises(FormatError, match=r"is 2 x 2 pixels, but its image .* is 3 x 2"):
            load(found.labels[0], found.classes, (2, 3), catalog=catalog)

    def test_stuff_documents_are_painted_plain_whatever_the_class(self, tmp_path: Path) -> None:
        mask = np.array([[True, False, False]])
        content = {
            "images": [{"id": 1, "file_name": "a.jpg", "width": 3, "height": 1}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 157, "segmentation": rle.encode(mask)}],
            "categories": [{"id": 157, "name": "cell"}],
        }
        (tmp_path / "stuff_val2017.json").write_text(json.dumps(content))
        found = FORMAT.importer.read(tmp_path)
        labels = load(found.labels[0], found.classes, (1, 3))
        assert labels.ids.tolist() == [[1, 0, 0]]
        assert not labels.segments

    def test_unknown_values_and_sizes_are_refused(self, tmp_path: Path) -> None:
        found = FORMAT.importer.read(self.maps(tmp_path))
        with pytest.raises(FormatError, match="which this project lacks"):
            load(found.labels[0], found.classes, (1, 3))
        with pytest.raises(FormatError, match=r"3 x 1 pixels, but its image .* is 4 x 1"):
            load(found.labels[0], found.classes, (1, 4))

    def test_lists_of_names_that_make_no_sense_are_refused(self, tmp_path: Path) -> None:
        folder = self.maps(tmp_path)
        (folder / "labels.txt").write_text("person\n")
        with pytest.raises(FormatError, match=r"labels\.txt cannot be understood"):
            FORMAT.importer.read(folder)

    def test_captions_and_empty_folders_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(FormatError, match="holds no JSON file"):
            FORMAT.importer.read(tmp_path)
        content = {
            "images": [{"id": 1, "file_name": "a.jpg", "width": 3, "height": 1}],
            "annotations": [{"id": 1, "image_id": 1, "caption": "a cat"}],
        }
        (tmp_path / "captions.json").write_text(json.dumps(content))
        with pytest.raises(FormatError, match=r"captions\.json holds neither masks nor boxes"):
            FORMAT.importer.read(tmp_path)
