"""Trains the checkpoint that ships with SegStudio: ``objects-unet-small``, background and object.

    python benchmarks/train_demo_checkpoint.py NUCLEI_FOLDER [--minutes 12] [--out models] [--start WEIGHTS]

NUCLEI_FOLDER holds ``train`` and ``val``, each with ``images/*.png`` and 16-bit ``instances/*.png`` (0 = background):
stage 1 of the 2018 Data Science Bowl with the community's fixes, CC0. With ``--with-demo`` the demo's labelled training
images (scikit-image's coins, our own labels) are learnt too. The training code is the program's own.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
import tomllib
from pathlib import Path

import cv2
import numpy as np
import skimage
import torch

from segstudio.imaging.decode import read_image, read_labels
from segstudio.imaging.labels import write_index_png
from segstudio.nets.base import SegmentationNet
from segstudio.nets.card import ModelCard, WeightsRef, file_sha256, save_card
from segstudio.nets.checkpoint import load_model, save_checkpoint
from segstudio.nets.devices import resolve_device
from segstudio.nets.families.unet import UNet
from segstudio.training.budget import Budget
from segstudio.training.config import AugmentConfig, TrainConfig
from segstudio.training.dataset import Dataset, survey
from segstudio.training.evaluate import evaluate
from segstudio.training.manifest import ManifestItem
from segstudio.training.optimize import Stepper
from segstudio.training.sampling import CropSampler

MODEL_ID = "objects-unet-small"
WIDTH = 16
CLASSES = ("background", "object")
# Most training images are grey fluorescence; stained tissue is drawn this many times as often as its share.
STAINED_WEIGHT = 3
STAINED_SATURATION = 20.0
# With --with-demo each of the demo's few labelled images stands this many times in the list.
DEMO_WEIGHT = 80
ROOT = Path(__file__).resolve().parent.parent
CONFIG = TrainConfig(
    model=MODEL_ID,
    crop=128,
    batch=8,
    learning_rate=3e-3,
    weight_decay=1e-2,
    warmup=50,
    average=0.998,
    class_balance=0.3,
    seed=7,
    # Fluorescence is dark, its nuclei often 20 grey levels above the ground: more noise than this would bury them.
    augment=AugmentConfig(
        scale=2.0, rotate=45.0, brightness=15.0, contrast=0.4, noise=3.0, tint=0.15, blur=1.2, invert=0.3, stretch=0.6
    ),
)


def semantic_items(folder: Path, scratch: Path, split: str) -> list[ManifestItem]:
    """The images of one split with their instance masks turned into channel masks under ``scratch``."""
    items = []
    for path in sorted((folder / "images").glob("*.png")):
        instances = read_labels(folder / "instances" / path.name)
        mask = scratch / f"{split}-{path.name}"
        write_index_png(mask, (instances > 0).astype(np.uint8))
        items.append(ManifestItem(image=path, mask=mask, split=split, name=path.name))
    return items


def demo_items(scratch: Path) -> list[ManifestItem]:
    """The demo's labelled training images; its validation image and the unlabelled ones are never learnt."""
    folder = ROOT / "resources" / "demo"
    items = []
    for row in tomllib.loads((folder / "demo.toml").read_text(encoding="utf-8"))["images"]:
        if "labels" in row and row["split"] == "train":
            top, left, height, width = row["crop"]
            rgb = read_image(Path(skimage.__file__).parent / "data" / row["source"]).rgb
            path = scratch / f"demo-{row['name']}"
            cv2.imwrite(str(path), rgb[top : top + height, left : left + width, ::-1])
            items.append(ManifestItem(image=path, mask=folder / row["labels"], split="train", name=path.name))
    return items


def is_stained(item: ManifestItem) -> bool:
    """Whether the image has colour, as stained tissue has and fluorescence has not."""
    hsv = cv2.cvtColor(read_image(item.image).rgb, cv2.COLOR_RGB2HSV)
    return float(hsv[..., 1].mean()) > STAINED_SATURATION


def train(items: list[ManifestItem], minutes: float, start: Path | None) -> tuple[SegmentationNet, int]:
    """The averaged network after ``minutes`` of learning, and its steps; ``start`` are weights to go on from."""
    config = dataclasses.replace(CONFIG, minutes=minutes)
    if start is not None:
        config = dataclasses.replace(config, learning_rate=config.learning_rate * 0.7, seed=config.seed + 1)
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    dataset = Dataset(items, classes=len(CLASSES))
    sampler = CropSampler(
        dataset, survey(dataset, rng), rng, augment=config.augment, class_balance=config.class_balance
    )
    net = UNet(classes=len(CLASSES), width=WIDTH) if start is None else load_model(start)
    device = resolve_device("auto")
    stepper = Stepper(net, sampler, config, device=device, side=config.crop, note=print)
    budget = Budget(config)
    step, recent, begin = 0, 0.0, time.monotonic()
    while not budget.spent(step):
        loss, rate = stepper.step(step, budget.fraction(step))
        recent = loss if step == 0 else 0.98 * recent + 0.02 * loss
        step += 1
        if step % 50 == 0:
            speed = step / (time.monotonic() - begin)
            print(f"step {step}  loss {recent:.3f}  rate {rate:.2g}  {speed:.2f} steps/s", flush=True)
    return stepper.average.net, step


def write_card(out: Path, digest: str, metrics: dict[str, float], parameters: int) -> None:
    """Writes the card of the shipped checkpoint."""
    card = ModelCard(
        id=MODEL_ID,
        title="Round objects, U-Net small",
        family="unet",
        options={"width": WIDTH},
        classes=CLASSES,
        preprocessing="UNIT",
        weights=WeightsRef(file=f"../weights/{MODEL_ID}.pt", sha256=digest, license="CC0-1.0"),
        trained=True,
        license="Weights CC0-1.0, trained by the SegStudio project.",
        paper="Ronneberger, Fischer, Brox: U-Net, MICCAI 2015",
        description=(
            "Tells round objects from their background. Learnt from cell nuclei in fluorescence and stained tissue "
            "(2018 Data Science Bowl, stage 1, CC0) and from two labelled pictures of the demo's coins."
        ),
        parameters=parameters,
        metrics=metrics,
    )
    path = out / "cards" / f"{MODEL_ID}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_card(card, path)


def score(items: list[ManifestItem], weights: Path) -> dict[str, float]:
    """mIoU, nucleus IoU and loss of the stored checkpoint, loaded as the program loads it."""
    device = resolve_device("auto")
    net = load_model(weights, device=device)
    result = evaluate(net, Dataset(items, classes=len(CLASSES)), device=device, cancelled=lambda: False)
    nucleus = result.per_class[1]
    return {
        "nuclei_miou": round(result.miou, 4),
        "nuclei_iou": round(nucleus if nucleus is not None else 0.0, 4),
        "nuclei_images": float(len(items)),
    }


def main() -> None:
    """Trains, stores as float16, measures what was stored, and writes the card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nuclei", type=Path)
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--out", type=Path, default=Path("models"))
    parser.add_argument("--start", type=Path, help="weights to go on from instead of random numbers")
    parser.add_argument("--with-demo", action="store_true", help="also learn the demo's labelled training images")
    parser.add_argument("--score-only", action="store_true", help="measure the weights already in OUT")
    options = parser.parse_args()
    weights = options.out / "weights" / f"{MODEL_ID}.pt"
    with tempfile.TemporaryDirectory() as scratch:
        if not options.score_only:
            items = semantic_items(options.nuclei / "train", Path(scratch), "train")
            items += [item for item in items if is_stained(item) for _ in range(STAINED_WEIGHT - 1)]
            if options.with_demo:
                items += demo_items(Path(scratch)) * DEMO_WEIGHT
            print(f"{len(items)} entries")
            net, steps = train(items, options.minutes, options.start)
            weights.parent.mkdir(parents=True, exist_ok=True)
            net.class_names = CLASSES
            net.card = dataclasses.replace(net.card, id=MODEL_ID, classes=CLASSES)
            save_checkpoint(net, weights, half=True)
            print(f"{steps} steps, {weights.stat().st_size / 1e6:.2f} MB")
        parameters = sum(value.numel() for value in UNet(classes=len(CLASSES), width=WIDTH).parameters())
        digest = file_sha256(weights)
        metrics = score(semantic_items(options.nuclei / "val", Path(scratch), "validation"), weights)
        write_card(options.out, digest, metrics, parameters)
        print(json.dumps(metrics))


if __name__ == "__main__":
    main()
