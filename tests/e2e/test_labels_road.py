"""Labels of other programs in, labels for other programs out, and figures, in a real window."""

from __future__ import annotations

import io
import json
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as masks

from segstudio.core.catalog import Catalog
from segstudio.services.opening import new_project

pytestmark = pytest.mark.slow


@pytest.mark.real_window
@pytest.mark.timeout(240)
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools 2.0.11, not ours
@pytest.mark.parametrize("environment", ["xcb"], indirect=True)
def test_labels_go_in_and_out_through_the_dialogs_of_a_real_window(
    drive: Callable[..., subprocess.CompletedProcess[str]], shared_data: Path, tmp_path: Path
) -> None:
    source, out = shared_data / "voc-mini", tmp_path / "out"
    out.mkdir()
    with new_project(
        tmp_path / "p", images=source / "JPEGImages", catalog=Catalog.from_names(["background", "person"])
    ) as project:
        path = project.path
    result = drive("labels_road.py", str(path), str(source), str(out), timeout=200)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == "", "the program wrote to standard error"
    facts = json.loads((out / "facts.json").read_text(encoding="utf-8"))
    truth = {path.stem: np.load(path) for path in sorted((out / "truth").glob("*.npy"))}
    assert facts["recognised"] == "voc"
    assert facts["undecided"] == ["bottle", "bus", "car", "chair", "sofa"]
    assert facts["import_waits"] and not facts["import_again"]
    assert facts["imported"].startswith("Labels of 3 images imported. 3 classes added:")
    assert facts["reviewed"] == 3
    _labels_are_those_of_the_source(source / "SegmentationClass", truth, facts["classes"])
    assert facts["loss_shown"] and not facts["early"]
    assert 0 < facts["changed"] == _polygons_differ(out / "polygons", truth)
    _zip_agrees(out / "masks.zip", truth)
    assert facts["evaluated"] == 3 and 0 < facts["mean_iou"] < 1
    assert facts["cell"][0] == facts["cell"][1]
    assert facts["open_after_esc"] and not facts["torch_in_window"]
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "Confusion matrix" in report and 'src="http' not in report


def _labels_are_those_of_the_source(folder: Path, truth: dict[str, np.ndarray], classes: dict[str, int]) -> None:
    """VOC's numbers as they were given in the dialog: bus is a person, car is ignored, three are new."""
    names = {0: "background", 5: "bottle", 6: "person", 9: "chair", 15: "person", 18: "sofa"}
    table = np.full(256, 255, np.uint8)
    for number, name in names.items():
        table[number] = classes[name]
    assert sorted(truth) == sorted(path.stem for path in folder.glob("*.png"))
    for name, ids in truth.items():
        with Image.open(folder / f"{name}.png") as image:
            assert (table[np.asarray(image)] == ids).all(), name


def _polygons_differ(folder: Path, truth: dict[str, np.ndarray]) -> int:
    """How many pixels pycocotools reads as another class than the project has."""
    from pycocotools.coco import COCO

    coco = COCO(str(folder / "annotations" / "instances.json"))
    assert {Path(record["file_name"]).stem for record in coco.imgs.values()} == set(truth)
    changed = 0
    for record in coco.imgs.values():
        labels = np.zeros((record["height"], record["width"]), dtype=np.uint8)
        for annotation in coco.loadAnns(coco.getAnnIds(imgIds=record["id"])):
            assert isinstance(annotation["segmentation"], list), "polygons"
            labels[coco.annToMask(annotation).astype(bool)] = coco.cats[annotation["category_id"]]["class_id"]
        if "void" in record:
            labels[masks.decode(record["void"]).astype(bool)] = 255
        changed += int((labels != truth[Path(record["file_name"]).stem]).sum())
    return changed


def _zip_agrees(path: Path, truth: dict[str, np.ndarray]) -> None:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        for name, ids in truth.items():
            with Image.open(io.BytesIO(archive.read(f"{name}.png"))) as image:
                assert (np.asarray(image) == ids).all(), name
