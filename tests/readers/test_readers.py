"""Other projects read what we write, to the pixel."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segstudio.formats.options import ExportOptions, Shapes

from . import checks, yolo_checks
from .conftest import ReadEach, ReadForeign
from .expecting import exported, fingerprint, imported
from .made_up import LabelledData, made_up, streets, without_background

pytestmark = [
    # pycocotools was built for numpy 1; what it gives is right.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
]

Make = Callable[[Path], LabelledData]

MASKS = ExportOptions()
EXACT = ExportOptions(shapes=Shapes.POLYGONS, tolerance=0)
SIMPLIFIED = ExportOptions(shapes=Shapes.POLYGONS, tolerance=1.5)


@pytest.fixture(params=[made_up, without_background], ids=["background", "no background"])
def project(tmp_path: Path, request: pytest.FixtureRequest) -> LabelledData:
    make: Make = request.param
    return make(tmp_path / "images")


def test_datumaro_reads_objects_and_classes_of_voc(project: LabelledData, tmp_path: Path, run_each: ReadEach) -> None:
    out = exported("voc", project, tmp_path / "out")
    bare = shutil.copytree(out, tmp_path / "bare", symlinks=True)
    shutil.rmtree(bare / "SegmentationObject")  # where objects are, datumaro gives those alone
    objects, plain = run_each("datasets", "datumaro_read", [("voc_segmentation", out), ("voc_segmentation", bare)])
    checks.check_objects_of_voc(objects, project)
    checks.check_classes_of_voc(plain, project)


def test_torchvision_reads_voc(project: LabelledData, tmp_path: Path) -> None:
    checks.check_voc_in_torchvision(exported("voc", project, tmp_path / "out"), project)


def test_supervision_reads_the_boxes_of_voc(project: LabelledData, tmp_path: Path, run_foreign: ReadForeign) -> None:
    out = exported("voc", project, tmp_path / "out")
    reading = run_foreign("datasets", "supervision_read", "voc", out / "JPEGImages", out / "Annotations")
    checks.check_voc_in_supervision(reading, project)


def test_pycocotools_draws_the_masks_of_coco(project: LabelledData, tmp_path: Path) -> None:
    checks.check_masks_of_coco(exported("coco", project, tmp_path / "out"), project)


@pytest.mark.parametrize("options", [EXACT, SIMPLIFIED], ids=["exact", "simplified"])
def test_pycocotools_draws_the_polygons_of_coco_as_foretold(
    project: LabelledData, tmp_path: Path, options: ExportOptions
) -> None:
    out = exported("coco", project, tmp_path / "out", options=options)
    checks.check_polygons_of_coco(out, project, options)


def test_torchvision_reads_coco(project: LabelledData, tmp_path: Path) -> None:
    checks.check_coco_in_torchvision(exported("coco", project, tmp_path / "out"), project)


def test_supervision_reads_the_masks_of_coco(project: LabelledData, tmp_path: Path, run_each: ReadEach) -> None:
    out = exported("coco", project, tmp_path / "out")
    documents = [out / "annotations" / f"instances_{part}.json" for part in checks.lists_of(project)]
    readings = run_each("datasets", "supervision_read", [("coco", out / "images", path) for path in documents])
    checks.check_coco_in_supervision(readings, project)


def test_datumaro_reads_all_of_coco(project: LabelledData, tmp_path: Path, run_each: ReadEach) -> None:
    kinds = {"coco": "coco_instances", "panoptic": "coco_panoptic", "coco-stuff": "coco_stuff"}
    calls = [(kind, exported(name, project, tmp_path / name)) for name, kind in kinds.items()]
    readings = run_each("datasets", "datumaro_read", calls)
    checks.check_coco_in_datumaro(readings[0], project)
    checks.check_panoptic_in_datumaro(readings[1], project)
    checks.check_coco_stuff_in_datumaro(readings[2], project)
    for reading in readings:
        assert {item["subset"] for item in reading.data["images"]} >= {"train", "val", "test"}


def test_pycocotools_and_pillow_read_coco_stuff(project: LabelledData, tmp_path: Path) -> None:
    checks.check_coco_stuff(exported("coco-stuff", project, tmp_path / "out"), project)


@pytest.mark.parametrize("make", [made_up, streets])
def test_torchvision_reads_cityscapes(make: Make, tmp_path: Path) -> None:
    project = make(tmp_path / "images")
    checks.check_cityscapes_in_torchvision(exported("cityscapes", project, tmp_path / "out"), project)


def test_cityscapesscripts_draws_our_polygons_as_our_pngs(tmp_path: Path, run_foreign: ReadForeign) -> None:
    project = streets(tmp_path / "images")
    out = exported("cityscapes", project, tmp_path / "out")
    reading = run_foreign("scorers", "cityscapes_draw", out / "gtFine")
    checks.check_polygons_of_cityscapes(reading, out)


def test_polygons_alone_are_imported_with_the_objects_that_cityscapesscripts_draws(
    tmp_path: Path, run_foreign: ReadForeign
) -> None:
    project = streets(tmp_path / "images")
    out = exported("cityscapes", project, tmp_path / "out")
    reading = run_foreign("scorers", "cityscapes_draw", out / "gtFine")
    for path in (out / "gtFine").rglob("*.png"):
        path.unlink()
    back = imported("cityscapes", out, project)
    names = checks.official_names(out)
    for index, file in enumerate(reading.data):
        labels = back[names[file.removesuffix("_gtFine_polygons.json")]]
        theirs = reading.arrays[f"{index}/instanceIds"]
        single = [s.id for s in labels.used_segments().values() if not s.crowd]
        drawn = {fingerprint(theirs == value) for value in np.unique(theirs) if value >= 1000}
        assert drawn == {fingerprint(labels.ids == number) for number in single}


def test_labelme_draws_our_files(project: LabelledData, tmp_path: Path, run_each: ReadEach) -> None:
    kinds = {"masks": MASKS, "exact": EXACT, "simplified": SIMPLIFIED}
    calls = []
    for kind, options in kinds.items():
        out = exported("labelme", project, tmp_path / kind, options=options)
        calls.append((out, json.dumps(checks.labelme_numbers(project))))
    for options, reading in zip(kinds.values(), run_each("labelme", "labelme_read", calls), strict=True):
        checks.check_labelme(reading, project, options)


def test_datumaro_reads_cvat(project: LabelledData, tmp_path: Path, run_each: ReadEach) -> None:
    kinds = {"masks": MASKS, "exact": EXACT, "simplified": SIMPLIFIED}
    calls = [("cvat", exported("cvat", project, tmp_path / kind, options=o)) for kind, o in kinds.items()]
    for options, reading in zip(kinds.values(), run_each("datasets", "datumaro_read", calls), strict=True):
        checks.check_cvat_in_datumaro(reading, project, options)


@pytest.mark.parametrize("options", [MASKS, SIMPLIFIED], ids=["exact", "simplified"])
def test_ultralytics_rules_give_what_we_foretell_and_import(
    project: LabelledData, tmp_path: Path, options: ExportOptions
) -> None:
    out = exported("yolo", project, tmp_path / "out", options=options)
    yolo_checks.check_by_rules(out, project, options)


def test_supervision_reads_every_object_of_yolo(project: LabelledData, tmp_path: Path, run_each: ReadEach) -> None:
    out = exported("yolo", project, tmp_path / "out")
    readings = run_each("datasets", "supervision_read", yolo_checks.folders(out))
    yolo_checks.check_in_supervision(out, readings, project)


def test_scipy_reads_the_mat_files_of_pascal_context(project: LabelledData, tmp_path: Path) -> None:
    checks.check_mat_files(exported("pascal-context", project, tmp_path / "out"), project)


def test_pillow_and_numpy_read_the_bare_labels(project: LabelledData, tmp_path: Path) -> None:
    folders = [exported(name, project, tmp_path / name) for name in ("index-png", "color-png", "numpy")]
    checks.check_bare_labels(*folders, project)
