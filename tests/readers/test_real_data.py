"""Real data, imported into projects, exported to every format, and read back by us and by everybody else."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import pytest

import segstudio
from segstudio.core.catalog import Catalog, Kind
from segstudio.core.segmentmap import Segment, SegmentMap
from segstudio.evaluation.coco import CocoMode, CocoScore, instances_of
from segstudio.evaluation.evaluate import Metric
from segstudio.formats.base import LabelledImage
from segstudio.formats.options import ExportOptions, SeededSplit
from segstudio.formats.registry import FORMATS, format_named

from . import checks, yolo_checks
from .conftest import ReadEach
from .expecting import exported, same_regions, survivors
from .made_up import LabelledData
from .scoring import evaluated, scored_results, stats_by_pycocotools

pytestmark = [
    # pycocotools was built for numpy 1; what it gives is right.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
]

SPLIT: Final = SeededSplit(train=0.34, validation=0.33, test=0.33)
POLYGONS: Final = ("coco", "labelme", "yolo", "cvat")
KINDS: Final = {
    **{name: {} for name in FORMATS},
    **{f"{name} polygons": {"shapes": "polygons", "tolerance": 1.0} for name in POLYGONS},
}
"""Every export by name, with its options."""

NUCLEI: Final = ("train/a102535b0e88", "train/29780b28e6a7", "val/e856511ac1c3")  # of 375, 28 and 27 instances
STREETS: Final = ("train/0001TP_006690", "train/0006R0_f00930", "val/0016E5_07959")
# CamVid's classes in the order of their ids, as Cityscapes calls them.
STREET_NAMES: Final = (
    *("sky", "building", "pole", "road", "sidewalk", "vegetation"),
    *("traffic sign", "fence", "car", "person", "rider"),
)


@dataclass(frozen=True, slots=True)
class Real:
    """A project on real images: its labels, and the folder with an export of each of `KINDS`."""

    data: LabelledData
    exports: Path
    images: Path

    def out(self, kind: str) -> Path:
        """The export of that kind."""
        return self.exports / kind

    @staticmethod
    def options(kind: str) -> ExportOptions:
        """The options of the export of that kind."""
        return ExportOptions.of(split=SPLIT, **KINDS[kind])


Source = tuple[Path, Catalog, Callable[[segstudio.Project], object]]
"""A folder of images, the classes, and what labels a project on them."""


def _voc(data: Path, folder: Path) -> Source:
    catalog = Catalog.from_file(data / "voc-mini" / "class_names.txt")
    source = data / "voc-mini"
    return source / "JPEGImages", catalog, lambda project: project.import_labels(source, format="voc")


def _labelme(data: Path, folder: Path) -> Source:
    catalog = Catalog.from_file(data / "voc-mini" / "class_names.txt")
    source = data / "voc-mini" / "labelme"
    return source, catalog, lambda project: project.import_labels(source, format="labelme")


def _nuclei(data: Path, folder: Path) -> Source:
    folder.mkdir()
    for name in NUCLEI:
        part, stem = name.split("/")
        shutil.copy(data / "nuclei" / part / "images" / f"{stem}.png", folder)

    def label(project: segstudio.Project) -> None:
        for image in project.images:
            part = next(name.split("/")[0] for name in NUCLEI if name.endswith(Path(image.name).stem))
            numbers = cv2.imread(str(data / "nuclei" / part / "instances" / image.name), cv2.IMREAD_UNCHANGED)
            assert numbers.dtype == np.uint16
            ids = np.where(numbers > 0, numbers + 255, 0).astype(np.uint16)
            segments = {n + 255: Segment(n + 255, 1) for n in np.unique(numbers[numbers > 0]).tolist()}
            labels = SegmentMap(ids, np.ones(ids.shape, dtype=np.bool_), segments)
            project.set_annotation(image, labels, reviewed=True)

    return folder, Catalog.from_names(["background", "nucleus"]), label


def _streets(data: Path, folder: Path) -> Source:
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
        for name in STREETS:
            part, stem = name.split("/")
            suffix = ".jpg" if kind == "images" else ".png"
            shutil.copy(data / "camvid" / part / kind / f"{stem}{suffix}", folder / kind)
    shutil.copy(data / "camvid" / "classes.txt", folder / "labels")
    stuff = {"sky", "building", "road", "sidewalk", "vegetation", "fence"}
    named = Catalog.from_names(STREET_NAMES)
    catalog = Catalog(replace(c, kind=Kind.STUFF if c.name in stuff else Kind.THING) for c in named)
    source = folder / "labels"
    return folder / "images", catalog, lambda p: p.import_labels(source, format="index-png", by="id")


SOURCES: Final = {"voc": _voc, "labelme": _labelme, "nuclei": _nuclei, "camvid": _streets}


@pytest.fixture(scope="module")
def every_real(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Real]:
    """The projects by name, each exported to every format."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGSTUDIO_HOME", str(tmp_path_factory.mktemp("home")))
        return {name: _made(name, shared_data, tmp_path_factory.mktemp(name)) for name in SOURCES}


def _made(name: str, shared_data: Path, folder: Path) -> Real:
    images, catalog, label = SOURCES[name](shared_data, folder / "source")
    with segstudio.Project.create(folder / "project", images=images, classes=catalog) as project:
        label(project)
        splits = SPLIT.assign(len(project.images))
        labelled = []
        for item, split in zip(project.images, splits, strict=True):
            labels = project.annotation(item)
            assert labels.decided.all() and len(np.unique(labels.ids)) > 1
            labelled.append(
                LabelledImage(
                    name=item.name,
                    path=item.path,
                    load=labels.copy,
                    width=labels.width,
                    height=labels.height,
                    split=split,
                )
            )
        for kind, options in KINDS.items():
            report = project.export(folder / "exports" / kind, format=kind.split()[0], split=SPLIT, **options)
            assert report.images == len(labelled) == 3
    return Real(LabelledData(catalog, labelled), folder / "exports", images)


@pytest.fixture(params=SOURCES)
def real(every_real: dict[str, Real], request: pytest.FixtureRequest) -> Real:
    return every_real[request.param]


# Our own way back


def test_every_export_comes_back_as_the_report_foretells(real: Real, tmp_path: Path) -> None:
    data = real.data
    with segstudio.Project.create(tmp_path / "again", images=real.images, classes=data.catalog) as project:
        for kind in KINDS:
            name, options = kind.split()[0], real.options(kind)
            report = project.import_labels(real.out(kind), format=name)
            assert (report.images, report.unmatched, report.refused) == (len(data.images), [], []), kind
            foretold = survivors(name, data, options=options).labels
            losses = format_named(name).losses(data.images, data.catalog, options=options)
            changed = 0
            for item in project.images:
                before, back, after = data.labels[item.name], project.annotation(item), foretold[item.name]
                differs = (before.ids != after.ids) | (before.semantic() != after.semantic())
                changed += int(np.count_nonzero(differs))
                assert np.array_equal(back.semantic(), after.semantic()), kind
                if format_named(name).keeps_all(options):
                    assert np.array_equal(back.ids, before.ids), kind
                    assert back.used_segments() == before.used_segments(), kind
                elif name != "yolo":  # where parts nobody told apart become objects
                    assert same_regions(back, after, data.catalog), kind
            assert losses.changed == changed, kind
            assert losses.lossless is (changed == 0)


def test_labels_in_files_of_labelme_are_those_that_labelme_draws(
    every_real: dict[str, Real], shared_data: Path, run_each: ReadEach
) -> None:
    data = every_real["labelme"].data
    numbers = json.dumps(checks.labelme_numbers(data))
    (reading,) = run_each("labelme", "labelme_read", [(shared_data / "voc-mini" / "labelme", numbers)])
    assert len(reading.data) == len(data.images)
    for index, file in enumerate(reading.data):
        labels = data.labels_by_stem[Path(file["file"]).stem]
        assert np.array_equal(reading.arrays[f"{index}/class"], labels.semantic())
        drawn = reading.arrays[f"{index}/instance"]  # a number for each shape, since none has a group
        objects = {
            number
            for number, shape in enumerate(file["shapes"], start=1)
            if shape["label"] != "__ignore__" and (drawn == number).any()
        }
        assert len(labels.used_segments()) == len(objects)
        for number in objects:
            assert np.unique(labels.ids[drawn == number]).size == 1


# Everybody else's way


def test_torchvision_pycocotools_and_scipy_read_every_export(real: Real) -> None:
    checks.check_voc_in_torchvision(real.out("voc"), real.data)
    checks.check_masks_of_coco(real.out("coco"), real.data)
    checks.check_polygons_of_coco(real.out("coco polygons"), real.data, real.options("coco polygons"))
    checks.check_coco_in_torchvision(real.out("coco"), real.data)
    checks.check_coco_stuff(real.out("coco-stuff"), real.data)
    checks.check_cityscapes_in_torchvision(real.out("cityscapes"), real.data)
    checks.check_mat_files(real.out("pascal-context"), real.data)
    checks.check_bare_labels(*(real.out(name) for name in ("index-png", "color-png", "numpy")), real.data)
    for kind in ("yolo", "yolo polygons"):
        yolo_checks.check_by_rules(real.out(kind), real.data, real.options(kind))


def test_datumaro_reads_every_export(every_real: dict[str, Real], tmp_path: Path, run_each: ReadEach) -> None:
    kinds = {"coco": "coco_instances", "panoptic": "coco_panoptic", "coco-stuff": "coco_stuff"}
    kinds |= dict.fromkeys(("cvat", "cvat polygons"), "cvat")
    calls: list[tuple[str, Path]] = []
    for name, real in every_real.items():
        voc = shutil.copytree(real.out("voc"), tmp_path / name, symlinks=True)
        calls += [("voc_segmentation", voc), *((kind, real.out(out)) for out, kind in kinds.items())]
    readings = iter(run_each("datasets", "datumaro_read", calls))
    for real in every_real.values():
        checks.check_objects_of_voc(next(readings), real.data)
        checks.check_coco_in_datumaro(next(readings), real.data)
        checks.check_panoptic_in_datumaro(next(readings), real.data)
        checks.check_coco_stuff_in_datumaro(next(readings), real.data)
        for kind in ("cvat", "cvat polygons"):
            checks.check_cvat_in_datumaro(next(readings), real.data, real.options(kind))


def test_supervision_reads_coco_voc_and_yolo(every_real: dict[str, Real], run_each: ReadEach) -> None:
    calls: list[tuple[Any, ...]] = []
    lists = ("train", "val", "test")
    for real in every_real.values():
        coco, voc = real.out("coco"), real.out("voc")
        calls += [("coco", coco / "images", coco / "annotations" / f"instances_{part}.json") for part in lists]
        calls += [("voc", voc / "JPEGImages", voc / "Annotations"), *yolo_checks.folders(real.out("yolo"))]
    readings = iter(run_each("datasets", "supervision_read", calls))
    for real in every_real.values():
        checks.check_coco_in_supervision([next(readings) for _ in lists], real.data)
        checks.check_voc_in_supervision(next(readings), real.data)
        yolo_checks.check_in_supervision(real.out("yolo"), [next(readings) for _ in lists], real.data)


def test_labelme_draws_every_export(every_real: dict[str, Real], tmp_path: Path, run_each: ReadEach) -> None:
    jobs = [(real, kind) for real in every_real.values() for kind in ("labelme", "labelme polygons")]
    calls = []
    for number, (real, kind) in enumerate(jobs):
        out = shutil.copytree(real.out(kind), tmp_path / str(number))
        calls.append((out, json.dumps(checks.labelme_numbers(real.data))))
    for (real, kind), reading in zip(jobs, run_each("labelme", "labelme_read", calls), strict=True):
        checks.check_labelme(reading, real.data, real.options(kind))


def test_cityscapesscripts_draws_the_polygons_of_streets(every_real: dict[str, Real], run_each: ReadEach) -> None:
    out = every_real["camvid"].out("cityscapes")
    (reading,) = run_each("scorers", "cityscapes_draw", [(out / "gtFine",)])
    checks.check_polygons_of_cityscapes(reading, out)


# Figures


def careless(data: LabelledData) -> LabelledData:
    """Everything moved by a pixel, every fifth object forgotten, all in one list."""
    images = []
    for image in data.images:
        labels = image.load()
        ids = np.roll(labels.ids, (1, 0), axis=(0, 1))
        ids[np.isin(ids, sorted(labels.segments)[::5])] = 0
        changed = SegmentMap(ids, labels.decided, labels.segments)
        used = SegmentMap(ids, labels.decided, changed.used_segments())
        images.append(replace(image, load=used.copy))
    return replace(data, images=images)


def in_one_list(data: LabelledData) -> LabelledData:
    return replace(data, images=[replace(image, split="train") for image in data.images])


def test_figures_of_nuclei_are_those_of_pycocotools_and_panopticapi(
    every_real: dict[str, Real], tmp_path: Path, run_each: ReadEach
) -> None:
    truth = in_one_list(every_real["nuclei"].data)
    prediction = careless(truth)
    coco = [exported("coco", d, tmp_path / f"coco {i}") for i, d in enumerate((truth, prediction))]
    documents = [out / "annotations" / "instances.json" for out in coco]
    results = scored_results(documents[1])
    ours = CocoScore(truth.catalog.ids)
    for number, (predicted, true) in enumerate(zip(prediction.images, truth.images, strict=True), start=1):
        scores = {r["segment_id"]: r["score"] for r in results if r["image_id"] == number}
        ours.add(instances_of(predicted.load(), scores), instances_of(true.load()))
    theirs = stats_by_pycocotools(documents[0], results, CocoMode.MASKS)
    assert 0.1 < theirs[0] < 0.9
    assert list(ours.result().figures.values()) == pytest.approx(theirs, abs=1e-6, nan_ok=True)

    paths: list[Path] = []
    for number, data in enumerate((truth, prediction)):
        annotations = exported("panoptic", data, tmp_path / f"panoptic {number}") / "annotations"
        paths += [annotations / "panoptic_train.json", annotations / "panoptic_train"]
    (reading,) = run_each("scorers", "panoptic_score", [paths])
    found = evaluated(prediction, truth, Metric.PANOPTIC).panoptic
    assert found is not None
    means = {"All": found.all, "Things": found.things, "Stuff": found.stuff}
    for key, mean in means.items():
        expected = [reading.data[key][figure] for figure in ("pq", "sq", "rq")]
        assert [mean.pq, mean.sq, mean.rq] == pytest.approx(expected, abs=1e-6)


def test_figures_of_streets_are_those_of_cityscapesscripts(
    every_real: dict[str, Real], tmp_path: Path, run_each: ReadEach
) -> None:
    truth = every_real["camvid"].data
    prediction = careless(truth)
    results = tmp_path / "results"
    results.mkdir()
    for path in exported("cityscapes", prediction, tmp_path / "prediction").rglob("*_labelIds.png"):
        shutil.copy(path, results)
    (reading,) = run_each("scorers", "cityscapes_score", [(every_real["camvid"].out("cityscapes") / "gtFine", results)])
    found = evaluated(prediction, truth, Metric.CITYSCAPES).cityscapes
    assert found is not None
    for rows, key in ((found.classes, "classScores"), (found.categories, "categoryScores")):
        expected = [math.nan if (v := reading.data[key][row.name]) is None else v for row in rows]
        assert [row.iou for row in rows] == pytest.approx(expected, abs=1e-6, nan_ok=True)
    assert found.mean_iou == pytest.approx(reading.data["averageScoreClasses"], abs=1e-6)
