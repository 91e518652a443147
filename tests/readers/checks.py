"""What must hold of an export as one reader sees it: the same for a made-up project and for real data."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from pycocotools.coco import COCO
from scipy.io import loadmat
from torchvision.datasets import Cityscapes, CocoDetection, VOCDetection, VOCSegmentation

from segstudio.core.catalog import IGNORE, Catalog
from segstudio.core.segmentmap import SegmentMap
from segstudio.formats.options import ExportOptions, Shapes

from .expecting import (
    VOID,
    Named,
    background,
    boxes,
    classes,
    fingerprint,
    fingerprint_of_bits,
    instances,
    parts,
    survivors,
)
from .foreign import Reading
from .made_up import LabelledData

_MOST_OBJECTS = 254
LISTS = {"train": "train", "validation": "val", "test": "test"}
_SPECIAL = {"_background_": 0, "__ignore__": IGNORE}


def lists_of(project: LabelledData) -> list[str]:
    """The lists that hold an image, as readers call them."""
    return [part for split, part in LISTS.items() if any(image.split == split for image in project.images)]


def read_png(path: Path) -> npt.NDArray[Any]:
    """What Pillow says a file holds: numbers of a palette, not their colours."""
    with Image.open(path) as image:
        return np.asarray(image)


def _numbers(catalog: Catalog) -> dict[str, int]:
    return {c.name: c.id for c in catalog} | _SPECIAL


def _canvas(project: LabelledData, labels: SegmentMap) -> npt.NDArray[np.uint8]:
    value = project.catalog.background_id
    return np.full(labels.shape, IGNORE if value is None else value, dtype=np.uint8)


def unpacked(bits: npt.NDArray[np.uint8], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """The mask (H, W) that a script answered with eight pixels to a byte."""
    return np.unpackbits(bits, count=shape[0] * shape[1]).reshape(shape).astype(np.bool_)


def _masks_of(reading: Reading, *, ignoring: str = "") -> dict[str, list[Named]]:
    """Label and mask of each segment datumaro found, sorted, by the image's file name without suffix."""
    found = {}
    for index, item in enumerate(reading.data["images"]):
        masks = reading.arrays[f"{index}/masks"]
        segments = [s for s in item["segments"] if "mask" in s and s["label"] != ignoring]
        found[Path(item["id"]).name] = sorted((s["label"], fingerprint_of_bits(masks[s["mask"]])) for s in segments)
    return found


# VOC


def check_objects_of_voc(reading: Reading, project: LabelledData) -> None:
    """Datumaro finds every instance, but for images with more than 8 bits can number."""
    found = _masks_of(reading, ignoring=VOID)
    assert found.keys() == project.labels_by_stem.keys()
    for name, labels in project.labels_by_stem.items():
        expected = instances(labels, project.catalog)
        assert (found[name] == expected) is (len(expected) <= _MOST_OBJECTS), name


def check_classes_of_voc(reading: Reading, project: LabelledData) -> None:
    """Datumaro finds every class, which it looks for where there are no objects."""
    expected = {name: classes(labels.semantic(), project.catalog) for name, labels in project.labels_by_stem.items()}
    assert _masks_of(reading) == expected


def check_voc_in_torchvision(out: Path, project: LabelledData) -> None:
    """VOCSegmentation gives every class id, VOCDetection every box, in the lists of the project."""
    labels_of = project.labels_by_stem
    for split, part in (("train", "train"), ("validation", "val")):
        names = {Path(image.name).stem for image in project.images if image.split == split}
        segmentation = VOCSegmentation(str(out), year="2012", image_set=part)
        assert {Path(path).stem for path in segmentation.images} == names
        for path, (image, target) in zip(segmentation.images, segmentation, strict=True):
            assert image.size == target.size
            assert np.array_equal(np.asarray(target), labels_of[Path(path).stem].semantic())
        detection = VOCDetection(str(out), year="2012", image_set=part)
        for path, (image, target) in zip(detection.images, detection, strict=True):
            annotation = target["annotation"]
            assert (int(annotation["size"]["width"]), int(annotation["size"]["height"])) == image.size
            found = [
                (o["name"], *(int(o["bndbox"][key]) - one for key, one in _CORNERS.items()))
                for o in annotation.get("object", [])
            ]
            assert sorted(found) == boxes(labels_of[Path(path).stem], project.catalog)


_CORNERS = {"xmin": 1, "ymin": 1, "xmax": 0, "ymax": 0}  # VOC counts pixels from 1, and the last one lies inside


def check_voc_in_supervision(reading: Reading, project: LabelledData) -> None:
    """Supervision finds every box."""
    names = reading.data["classes"]
    found = {
        Path(image["image"]).stem: sorted(
            (names[number], *map(int, box)) for number, box in zip(image["classes"], image["boxes"], strict=True)
        )
        for image in reading.data["images"]
    }
    assert found == {name: boxes(labels, project.catalog) for name, labels in project.labels_by_stem.items()}


# COCO


def coco_masks(path: Path) -> dict[str, list[tuple[dict[str, Any], npt.NDArray[np.bool_]]]]:
    """Annotation and mask of each object of a file as pycocotools draws it, by the image's name without suffix."""
    coco = COCO(str(path))
    names = {number: category["name"] for number, category in coco.cats.items()}
    return {
        Path(image["file_name"]).stem: [
            (annotation | {"name": names[annotation["category_id"]]}, coco.annToMask(annotation).astype(bool))
            for annotation in coco.imgToAnns[image["id"]]
        ]
        for image in coco.imgs.values()
    }


def check_masks_of_coco(out: Path, project: LabelledData) -> None:
    """Pycocotools draws every part, in the document of all lists and in those of each; areas and crowds are right."""
    documents = [out / "annotations" / f"instances_{part}.json" for part in lists_of(project)]
    for found in (coco_masks(out / "annotations" / "instances.json"), _merged(documents)):
        assert found.keys() == project.labels_by_stem.keys()
        for name, labels in project.labels_by_stem.items():
            drawn = [(annotation["name"], fingerprint(mask)) for annotation, mask in found[name]]
            assert sorted(drawn) == parts(labels, project.catalog)
            crowds = {fingerprint(mask) for annotation, mask in found[name] if annotation["iscrowd"]}
            assert crowds == {fingerprint(labels.ids == s.id) for s in labels.segments.values() if s.crowd}
            for annotation, mask in found[name]:
                assert annotation["area"] == mask.sum()


def _merged(documents: list[Path]) -> dict[str, list[tuple[dict[str, Any], npt.NDArray[np.bool_]]]]:
    return {name: found for path in documents if path.is_file() for name, found in coco_masks(path).items()}


def check_polygons_of_coco(out: Path, project: LabelledData, options: ExportOptions) -> None:
    """Pycocotools draws what the report foretells."""
    found = coco_masks(out / "annotations" / "instances.json")
    foretold = survivors("coco", project, options=options).labels_by_stem
    numbers = _numbers(project.catalog)
    for name, labels in project.labels_by_stem.items():
        if options.tolerance == 0:
            assert sorted((a["name"], fingerprint(mask)) for a, mask in found[name]) == parts(labels, project.catalog)
        drawn = _canvas(project, labels)
        for annotation, mask in sorted(found[name], key=lambda pair: (-pair[0]["iscrowd"], -pair[0]["area"])):
            drawn[mask] = numbers[annotation["name"]]
        drawn[labels.semantic() == IGNORE] = IGNORE  # which no annotation says, but a key of the image
        assert np.array_equal(drawn, foretold[name].semantic())


def check_coco_in_torchvision(out: Path, project: LabelledData) -> None:
    """CocoDetection gives each image with all its parts."""
    seen = 0
    for part in lists_of(project):
        dataset = CocoDetection(str(out / "images"), str(out / "annotations" / f"instances_{part}.json"))
        for number, (image, target) in zip(dataset.ids, dataset, strict=True):
            labels = project.labels_by_stem[Path(dataset.coco.imgs[number]["file_name"]).stem]
            assert image.size == (labels.width, labels.height)
            assert sorted(fingerprint(dataset.coco.annToMask(a)) for a in target) == sorted(
                mask for _, mask in parts(labels, project.catalog)
            )
            seen += 1
    assert seen == len(project.images)


def check_coco_in_supervision(readings: list[Reading], project: LabelledData) -> None:
    """Supervision finds every part."""
    found: dict[str, list[Named]] = {}
    for reading in readings:
        for index, image in enumerate(reading.data["images"]):
            names = [reading.data["classes"][number] for number in image["classes"]]
            masks = [fingerprint_of_bits(bits) for bits in reading.arrays[f"{index}/masks"]]
            found[Path(image["image"]).stem] = sorted(zip(names, masks, strict=True))
    assert found == {name: parts(labels, project.catalog) for name, labels in project.labels_by_stem.items()}


def check_coco_in_datumaro(reading: Reading, project: LabelledData) -> None:
    """Datumaro finds every part."""
    expected = {name: parts(labels, project.catalog) for name, labels in project.labels_by_stem.items()}
    assert _masks_of(reading) == expected


def check_panoptic_in_datumaro(reading: Reading, project: LabelledData) -> None:
    """Datumaro finds every part, the background among them."""
    assert _masks_of(reading) == {
        name: sorted(parts(labels, project.catalog) + background(labels, project.catalog))
        for name, labels in project.labels_by_stem.items()
    }


def check_coco_stuff_in_datumaro(reading: Reading, project: LabelledData) -> None:
    """Datumaro finds every class, the background among them."""
    assert _masks_of(reading) == _classes_but_void(project)


def check_coco_stuff(out: Path, project: LabelledData) -> None:
    """Pillow and pycocotools see every class by COCO-Stuff's rule: a pixel holds its category less one."""
    found: dict[str, list[Named]] = {}
    for part in lists_of(project):
        coco = COCO(str(out / "annotations" / f"stuff_{part}.json"))
        for image in coco.imgs.values():
            png = read_png(out / "stuffthingmaps" / part / Path(image["file_name"]).with_suffix(".png"))
            with Image.open(out / "images" / part / image["file_name"]) as picture:
                assert picture.size == (image["width"], image["height"]) == png.shape[::-1]
            masks = []
            for annotation in coco.imgToAnns[image["id"]]:
                mask = coco.annToMask(annotation).astype(bool)
                assert np.array_equal(mask, png == annotation["category_id"] - 1)
                masks.append((coco.cats[annotation["category_id"]]["name"], fingerprint(mask)))
            found[Path(image["file_name"]).stem] = sorted(masks)
    assert found == _classes_but_void(project)


def _classes_but_void(project: LabelledData) -> dict[str, list[Named]]:
    return {
        name: [pair for pair in classes(labels.semantic(), project.catalog) if pair[0] != VOID]
        for name, labels in project.labels_by_stem.items()
    }


# Cityscapes


def official_names(folder: Path) -> dict[str, str]:
    """The image of each Cityscapes name."""
    rows = csv.DictReader((folder / "names.csv").read_text(encoding="utf-8").splitlines())
    return {row["cityscapes"]: row["image"] for row in rows}


def check_cityscapes_in_torchvision(out: Path, project: LabelledData) -> None:
    """Torchvision's Cityscapes gives every image with its classes and instances."""
    names, seen = official_names(out), 0
    for part in lists_of(project):
        dataset = Cityscapes(
            str(out), split=part, mode="fine", target_type=["semantic", "instance", "color", "polygon"]
        )
        for path, (image, targets) in zip(dataset.images, dataset, strict=True):
            semantic, instance, color = map(np.asarray, targets[:3])  # which closes the files
            labels = project.labels[names[Path(path).name.removesuffix("_leftImg8bit.png")]]
            assert np.asarray(image).shape == (*labels.shape, 3)
            assert semantic.shape == instance.shape == color.shape[:2] == labels.shape
            assert (targets[3]["imgHeight"], targets[3]["imgWidth"]) == labels.shape
            assert _masks_by_value(semantic) == _masks_by_value(labels.semantic())
            single = [s.id for s in labels.used_segments().values() if not s.crowd]
            values = np.unique(instance[instance >= 1000])
            assert {fingerprint(instance == value) for value in values} == {
                fingerprint(labels.ids == i) for i in single
            }
            seen += 1
    assert seen == len(project.images)


def _masks_by_value(array: npt.NDArray[Any]) -> set[str]:
    return {fingerprint(array == value) for value in np.unique(array)}


def check_polygons_of_cityscapes(reading: Reading, out: Path) -> None:
    """Cityscapesscripts draws from our polygons the very PNGs that we wrote."""
    ours = sorted((out / "gtFine").rglob("*_polygons.json"))
    assert reading.data == [path.name for path in ours]
    for index, path in enumerate(ours):
        for kind, key in (("labelIds", "ids"), ("labelTrainIds", "trainIds")):
            png = path.with_name(path.name.replace("polygons.json", f"{kind}.png"))
            assert np.array_equal(read_png(png), reading.arrays[f"{index}/{key}"]), png.name


# labelme and CVAT


def check_labelme(reading: Reading, project: LabelledData, options: ExportOptions) -> None:
    """Labelme draws the classes and instances that the report foretells."""
    foretold = survivors("labelme", project, options=options).labels_by_stem
    assert {Path(file["file"]).stem for file in reading.data} == foretold.keys()
    for index, file in enumerate(reading.data):
        labels = foretold[Path(file["file"]).stem]
        assert Path(file["image"]).stem == Path(file["file"]).stem
        drawn = np.where(labels.decided, labels.semantic(), 0)  # labelme has no number for what no shape covers
        assert np.array_equal(reading.arrays[f"{index}/class"], drawn), file["file"]
        # labelme numbers what it draws; shapes of one label and group are one instance.
        groups = dict.fromkeys(
            (shape["label"], shape["group_id"] or f"shape {place}") for place, shape in enumerate(file["shapes"])
        )
        drawn = reading.arrays[f"{index}/instance"]
        for number, (_, group) in enumerate(groups, start=1):
            if isinstance(group, int):
                assert np.array_equal(drawn == number, labels.ids == group)


def labelme_numbers(project: LabelledData) -> dict[str, int]:
    """The class id of each label, as labelme wants to be told."""
    return _numbers(project.catalog)


def check_cvat_in_datumaro(reading: Reading, project: LabelledData, options: ExportOptions) -> None:
    """Datumaro finds every mask; polygons drawn in their order give what the report foretells."""
    foretold = survivors("cvat", project, options=options).labels_by_stem
    if options.shapes is Shapes.MASKS:
        expected = {name: parts(labels, project.catalog) for name, labels in foretold.items()}
        assert _masks_of(reading, ignoring="__ignore__") == expected
    numbers = _numbers(project.catalog)
    for index, item in enumerate(reading.data["images"]):
        labels = foretold[Path(item["id"]).name]
        drawn = _canvas(project, labels)
        for segment in item["segments"]:  # datumaro keeps the file's order, which is that of z_order
            mask = unpacked(reading.arrays[f"{index}/masks"][segment["mask"]], labels.shape)
            drawn[mask] = numbers[segment["label"]]
            if segment["group"] and options.shapes is Shapes.MASKS:
                assert np.array_equal(mask, labels.ids == segment["group"])
        assert np.array_equal(drawn, labels.semantic())


# Bare arrays


def check_bare_labels(index: Path, color: Path, arrays: Path, project: LabelledData) -> None:
    """Pillow sees every class id and colour, numpy every class id and segment id."""
    colors = project.catalog.color_table()
    for name, labels in project.labels.items():
        png, semantic = Path(name).with_suffix(".png"), labels.semantic()
        assert np.array_equal(read_png(index / png), semantic)
        assert np.array_equal(read_png(color / png), colors[semantic])
        assert np.array_equal(np.load(arrays / "labels" / png.with_suffix(".npy")), semantic)
        if labels.used_segments():
            assert np.array_equal(np.load(arrays / "instances" / png.with_suffix(".npy")), labels.instance_ids())


def check_mat_files(out: Path, project: LabelledData) -> None:
    """Scipy sees every class, numbered as the list says."""
    lines = (out / "labels.txt").read_text(encoding="utf-8").splitlines()
    names = {int(number): name for number, name in (line.split(": ", 1) for line in lines)}
    found = {}
    for name in project.labels_by_stem:
        numbers = loadmat(out / "trainval" / f"{name}.mat")["LabelMap"]
        found[name] = sorted((names[n], fingerprint(numbers == n)) for n in np.unique(numbers).tolist() if n)
    assert found == _classes_but_void(project)
