"""Polygons that others wrote are imported as ultralytics reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from segstudio.core.catalog import Catalog, LabelClass
from segstudio.core.segmentmap import SegmentMap
from segstudio.formats.base import LabelledImage

from .expecting import imported, same_regions
from .made_up import LabelledData
from .ultralytics_rules import read_dataset
from .yolo_checks import as_labels

CATALOG = Catalog([LabelClass(id=0, name="leaf", color=(1, 2, 3)), LabelClass(id=1, name="stem", color=(4, 5, 6))])


def test_overlapping_polygons_are_imported_as_ultralytics_reads_them(tmp_path: Path) -> None:
    project = drawn_by_others(tmp_path / "data")
    back = imported("yolo", tmp_path / "data", project)
    found = read_dataset(tmp_path / "data" / "data.yaml", "train")
    assert len(found) == len(back) == 2
    for image in found:
        assert same_regions(as_labels(image, CATALOG), back[image.path.name], CATALOG)


def drawn_by_others(folder: Path) -> LabelledData:
    """Stars that overlap, with any fractions as vertices, in a layout without lists."""
    rng = np.random.default_rng(5)
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    (folder / "data.yaml").write_text("train: images\nval: images\nnc: 2\nnames: {0: leaf, 1: stem}\n")
    images = []
    for number, (width, height) in enumerate([(64, 48), (111, 77)]):
        name = f"photo {number}.png"
        Image.new("RGB", (width, height)).save(folder / "images" / name)
        rows = []
        for _ in range(12):
            angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
            radius = rng.uniform(0.05, 0.3, (9, 1)) * rng.uniform(0.2, 1)
            points = rng.uniform(0.1, 0.9, 2) + radius * np.column_stack((np.cos(angles), np.sin(angles)))
            text = " ".join(repr(float(v)) for v in np.clip(points, 0, 1).ravel())
            rows.append(f"{rng.integers(2)} {text}\n")
        (folder / "labels" / name).with_suffix(".txt").write_text("".join(rows))
        load = SegmentMap.empty(height, width).copy
        images.append(LabelledImage(name=name, path=folder / "images" / name, load=load, width=width, height=height))
    return LabelledData(CATALOG, images)
