"""What a minute of learning does in the demo: mIoU on images nobody labelled, before and after.

    python benchmarks/demo_learning.py [--minutes 1] [--model objects-unet-small] [--pictures FOLDER] [--device cpu]

Trains on the demo's labelled images exactly as the program does and scores the others with the labels in
``benchmarks/demo_labels``, which the program never sees.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import skimage

from segstudio.core.metrics import ConfusionMatrix
from segstudio.core.runs import TrainEvent, TrainStep, TrainValidation
from segstudio.imaging.decode import read_image
from segstudio.imaging.labels import read_labels
from segstudio.nets.base import SegmentationNet
from segstudio.nets.card import find_card
from segstudio.nets.checkpoint import load_model
from segstudio.nets.predictor import Predictor
from segstudio.training.loop import run_training
from segstudio.training.manifest import Manifest, ManifestItem
from segstudio.training.recipes import for_card

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "resources" / "demo"
HIDDEN = Path(__file__).parent / "demo_labels"
SOURCES = Path(skimage.__file__).parent / "data"
OUTLINE = (255, 80, 40)


def cut_images(demo: dict[str, Any], folder: Path) -> dict[str, Path]:
    """The demo's images as PNG files, by name."""
    paths = {}
    for entry in demo["images"]:
        top, left, height, width = entry["crop"]
        rgb = read_image(SOURCES / entry["source"]).rgb[top : top + height, left : left + width]
        paths[entry["name"]] = folder / entry["name"]
        cv2.imwrite(str(paths[entry["name"]]), rgb[..., ::-1])
    return paths


def prepare_run(demo: dict[str, Any], paths: dict[str, Path], folder: Path, options: argparse.Namespace) -> None:
    """Writes the run folder that the program would write from the demo project."""
    (folder / "masks").mkdir(parents=True)
    items = []
    for entry in demo["images"]:
        if "labels" in entry:
            mask = folder / "masks" / entry["labels"]
            mask.write_bytes((DEMO / entry["labels"]).read_bytes())
            items.append(ManifestItem(image=paths[entry["name"]], mask=mask, split=entry["split"], name=entry["name"]))
    names = tuple(entry["name"] for entry in demo["classes"])
    card = find_card(options.model)
    assert card.path is not None
    Manifest(items=tuple(items), class_names=names, model_card=card.path, parent_card=card.path).save(folder)
    config = for_card(card.family, card.options, "cpu" if options.device == "cpu" else "cuda")
    dataclasses.replace(config, model=card.id, minutes=options.minutes, device=options.device).save(folder)


def draw(rgb: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The image, enlarged, with the outline of class 1."""
    big = cv2.resize(rgb, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    mask = cv2.resize((labels == 1).astype(np.uint8), None, fx=3, fy=3, interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(big, contours, -1, OUTLINE, 2)
    return np.asarray(big, np.uint8)


def score(net: SegmentationNet, paths: dict[str, Path], classes: int, pictures: Path | None, stage: str) -> None:
    """Prints the mIoU of each unlabelled image and of all of them together."""
    predictor = Predictor(net)
    total = ConfusionMatrix(classes)
    figures = {}
    for name, path in paths.items():
        rgb = read_image(path).rgb
        labels = predictor.predict(rgb).labels
        if pictures is not None:
            cv2.imwrite(str(pictures / f"{stage}-{name}"), draw(rgb, labels)[..., ::-1])
        if (HIDDEN / name).is_file():
            one = ConfusionMatrix(classes)
            one.update(labels, read_labels(HIDDEN / name))
            total.merge(one)
            figures[name] = round(one.mean_iou, 4)
    print(json.dumps({"stage": stage, "miou": round(total.mean_iou, 4), **figures}))


def main() -> None:
    """Before, a minute of training, after."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--model", default="")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    demo = tomllib.loads((DEMO / "demo.toml").read_text(encoding="utf-8"))
    options.model = options.model or demo["model"]
    classes = len(demo["classes"])
    if options.pictures is not None:
        options.pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        paths = cut_images(demo, Path(scratch))
        folder = Path(scratch) / "run"
        prepare_run(demo, paths, folder, options)
        score(load_model(find_card(options.model), classes=classes), paths, classes, options.pictures, "before")
        steps: list[TrainStep] = []

        def report(event: TrainEvent) -> None:
            if isinstance(event, TrainStep):
                steps.append(event)
            elif isinstance(event, TrainValidation):
                print(f"step {event.step}  validation mIoU {event.miou:.4f}  loss {event.loss:.4f}", flush=True)

        result = run_training(folder, report=report, cancelled=lambda: False)
        print(result.reason)
        print(f"{result.steps} steps in {result.seconds:.1f} s, {result.steps / result.seconds:.2f} steps/s")
        if result.card is not None:
            score(load_model(result.card), paths, classes, options.pictures, "after")


if __name__ == "__main__":
    main()
