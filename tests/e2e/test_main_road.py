"""The whole job in a real window, and what other people's readers find in the exports."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow


@pytest.mark.real_window
@pytest.mark.timeout(400)
@pytest.mark.parametrize("environment", ["xcb"], indirect=True)
def test_the_main_job_works_in_a_real_window(
    drive: Callable[..., subprocess.CompletedProcess[str]], shared_data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    result = drive("road.py", str(shared_data / "nuclei" / "val" / "images"), str(out), timeout=360)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == "", "the program wrote to standard error"
    facts = json.loads((out / "facts.json").read_text(encoding="utf-8"))
    assert not facts["torch_in_window"]
    assert facts["images"] == 80
    assert facts["painted"] > 100
    assert facts["stroke_kept"]
    assert facts["training_while_painting"]
    assert facts["accepted"], facts
    assert facts["reviewed"] == 3
    truth = {path.stem: np.load(path) for path in (out / "truth").glob("*.npy")}
    assert len(truth) == 3
    _voc_agrees(out / "voc", truth)
    _coco_agrees(out / "coco", truth)


def _voc_agrees(folder: Path, truth: dict[str, Any]) -> None:
    from torchvision.datasets import VOCSegmentation

    data_set = VOCSegmentation(str(folder), year="2012", image_set="trainval")
    assert len(data_set) == len(truth)
    for (image, label), path in zip(data_set, data_set.masks, strict=True):
        assert image.size == label.size
        assert (np.array(label) == truth[Path(path).stem]).all()


def _coco_agrees(folder: Path, truth: dict[str, Any]) -> None:
    from pycocotools import mask as masks
    from pycocotools.coco import COCO

    coco = COCO(str(folder / "annotations" / "instances.json"))
    assert len(coco.imgs) == len(truth)
    for record in coco.imgs.values():
        # Background is what no annotation claims, as COCO has it; void pixels stand in the record itself.
        labels = np.zeros((record["height"], record["width"]), dtype=np.uint8)
        for annotation in coco.loadAnns(coco.getAnnIds(imgIds=record["id"])):
            labels[_decoded(masks, annotation["segmentation"])] = coco.cats[annotation["category_id"]]["class_id"]
        if "void" in record:
            labels[_decoded(masks, record["void"])] = 255
        assert (labels == truth[Path(record["file_name"]).stem]).all()


def _decoded(masks: Any, rle: dict[str, Any]) -> np.ndarray:
    import warnings

    with warnings.catch_warnings():
        # pycocotools 2.0.11 implements __array__ in a way numpy 2.4 calls deprecated; nothing of ours.
        warnings.simplefilter("ignore", DeprecationWarning)
        return np.asarray(masks.decode(rle)).astype(bool)
