"""Every family learns: a narrowed network gets four images right, through the program's own steps.

Scaled down, because two cores have seconds for each: layers are up to 16 times narrower than published, images have
96 x 72 px, two classes are told apart (road or not), learning rates are high, and nothing is varied or averaged. What
is shown is that gradients, losses, parameter groups and normalisation of a family work together, not how good it is.
The networks that look at single boxes see discs, whose boxes are theirs alone; without CamVid all networks do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch

from segstudio.core.metrics import ConfusionMatrix
from segstudio.imaging.labels import read_labels, write_index_png
from segstudio.nets.base import SegmentationNet
from segstudio.nets.box_net import BoxNet
from segstudio.nets.box_scoring import score_box
from segstudio.nets.object_boxes import labelled_objects
from segstudio.nets.registry import FAMILIES, build
from segstudio.nets.registry_names import OptionValue
from segstudio.training.config import AugmentConfig, TrainConfig
from segstudio.training.dataset import Dataset, survey
from segstudio.training.manifest import ManifestItem
from segstudio.training.optimize import Stepper
from segstudio.training.sampling import CropSampler

CAMVID = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "camvid" / "train"
ROAD, PAVEMENT = 3, 4
ENOUGH = 0.9


@dataclass(frozen=True)
class Row:
    """One network: its options, how many steps it gets, and what else differs."""

    family: str
    options: Mapping[str, OptionValue]
    steps: int
    rate: float
    settings: Mapping[str, Any] = field(default_factory=dict)
    size: tuple[int, int] = (96, 72)
    discs: bool = False

    def __str__(self) -> str:
        return "-".join([self.family, *(str(value) for value in self.options.values() if isinstance(value, str))])


# A few steps are too few for running statistics at their usual pace.
NORMED: Mapping[str, Any] = {"batch": 4, "whole_images": False, "batch_norm_momentum": 0.3}

ROWS = (
    Row("unet", {"width": 6}, 80, 1e-2, NORMED),
    Row("unet-original", {"width": 8}, 100, 1e-3, size=(64, 48)),
    Row("fcn", {"variant": "8s", "thin": 16}, 60, 3e-3),
    Row("parsenet", {"thin": 16}, 80, 3e-3),
    Row("deeplabv1", {"head": "largefov", "thin": 16}, 80, 3e-3),
    Row("deeplabv2", {"trunk": "vgg16", "head": "aspp-l", "scales": "single", "thin": 16}, 80, 2e-3),
    Row("deeplabv2", {"trunk": "resnet101", "thin": 16}, 25, 2e-3),
    Row("deeplabv3", {"trunk": "resnet50", "thin": 8}, 50, 3e-3, NORMED),
    Row("deeplabv3plus", {"trunk": "resnet50", "thin": 8}, 50, 3e-3, NORMED),
    Row("deconvnet", {"thin": 16}, 110, 1e-2, {"batch_norm_momentum": 0.3}, size=(64, 64), discs=True),
    Row("edeconvnet", {"thin": 16}, 30, 5e-3, {"batch_norm_momentum": 0.3}, size=(64, 64), discs=True),
    Row("hypercolumn", {"freeze_trunk": False, "thin": 16}, 40, 5e-3, size=(64, 64), discs=True),
    Row("torchvision", {"model": "lraspp_mobilenet_v3_large", "aux": False, "thin": 2}, 100, 1e-2, NORMED),
    Row("smp", {"model": "fpn", "encoder": "resnet18", "thin": 8}, 60, 1e-2, NORMED),
)


def _street(size: tuple[int, int]) -> Iterator[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]]:
    """Four scenes of CamVid as BGR images and labels: 1 = road or pavement."""
    for path in sorted((CAMVID / "images").iterdir())[::90][:4]:
        labels = cv2.resize(read_labels(CAMVID / "labels" / f"{path.stem}.png"), size, interpolation=cv2.INTER_NEAREST)
        taught = np.where(labels == 255, 255, np.isin(labels, (ROAD, PAVEMENT)))
        yield cv2.resize(cv2.imread(str(path)), size, interpolation=cv2.INTER_AREA), taught.astype(np.uint8)


def _discs(size: tuple[int, int]) -> Iterator[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]]:
    """Four bright discs on dark noise; 1 = disc."""
    width, height = size
    rows, columns = np.mgrid[:height, :width]
    for seed in range(4):
        rng = np.random.default_rng(seed)
        row, column = (int(rng.integers(side // 3, 2 * side // 3)) for side in (height, width))
        disc = (rows - row) ** 2 + (columns - column) ** 2 < (height // 4) ** 2
        grey = np.where(disc, 190, 60) + rng.normal(0, 8, (height, width))
        yield np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2), disc.astype(np.uint8)


def _dataset(folder: Path, row: Row) -> Dataset:
    items = []
    pictures = _discs(row.size) if row.discs or not CAMVID.is_dir() else _street(row.size)
    for index, (pixels, labels) in enumerate(pictures):
        image, mask = folder / f"{index}.png", folder / f"{index}-mask.png"
        cv2.imwrite(str(image), pixels)
        write_index_png(mask, labels)
        items.append(ManifestItem(image=image, mask=mask, split="train", name=image.name))
    return Dataset(items, classes=2)


def _config(row: Row) -> TrainConfig:
    """The table's settings; the rest as for every network here."""
    nothing = AugmentConfig(
        flip=False, quarter_turns=False, scale=1.0, rotate=0.0, brightness=0.0, contrast=0.0, noise=0.0
    )
    settings: dict[str, Any] = {"batch": 1, "whole_images": True, **row.settings}
    config = TrainConfig(
        steps=row.steps,
        learning_rate=row.rate,
        crop=max(row.size),
        weight_decay=0.0,
        warmup=5,
        average=0.0,
        class_balance=0.0,
        augment=nothing,
        **settings,
    )
    config.validate()
    return config


def _pixel_accuracy(net: SegmentationNet, data: Dataset) -> float:
    """Over the images, or over the boxes around their objects for a network that looks at boxes."""
    matrix = ConfusionMatrix(data.classes)
    net.eval()
    with torch.inference_mode():
        for pair in (data[index] for index in range(len(data))):
            if not isinstance(net, BoxNet):
                scores = net(net.preprocess(pair.image))[0]
                matrix.update(scores.argmax(0).numpy().astype(np.uint8), pair.labels)
                continue
            for found in labelled_objects(torch.from_numpy(pair.labels)):
                scores = score_box(net, torch.device("cpu"), pair.image, found.rect, found.kind)
                matrix.update(scores.argmax(0).numpy().astype(np.uint8), pair.labels[found.rect.slices])
    return matrix.pixel_accuracy


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    # Layers this narrow gain nothing from a second thread, and waiting for one on a busy computer takes seconds.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_every_family_has_a_row() -> None:
    assert {row.family for row in ROWS} == set(FAMILIES)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_narrowed_network_gets_four_images_right(row: Row, tmp_path: Path) -> None:
    if row.family == "smp":
        pytest.importorskip("segmentation_models_pytorch", reason="the optional library is not installed")
    torch.manual_seed(0)
    data, config, rng = _dataset(tmp_path, row), _config(row), np.random.default_rng(0)
    net = build(row.family, classes=2, options=row.options)
    sampler = CropSampler(data, survey(data, rng), rng, config, context=net.context)
    with Stepper(net, sampler, config, device=torch.device("cpu"), side=config.crop, note=pytest.fail) as stepper:
        for number in range(row.steps):
            stepper.step(number, number / row.steps)

    assert _pixel_accuracy(stepper.average.net, data) > ENOUGH
