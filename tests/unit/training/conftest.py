"""Run folders made of small synthetic images, and the smallest U-Net to train on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch

from segstudio.imaging.labels import write_index_png
from segstudio.nets.card import ModelCard, save_card
from segstudio.training.config import AugmentConfig, TrainConfig
from segstudio.training.manifest import Manifest, ManifestItem

SIDE = 64
CLASSES = ("background", "disc")


def disc_image(seed: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """A bright disc on dark noise, (64, 64, 3) uint8, and its complete labels (64, 64) uint8."""
    rng = np.random.default_rng(seed)
    row, column = rng.integers(20, 44, 2)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    disc = (rows - row) ** 2 + (columns - column) ** 2 < 14**2
    grey = np.where(disc, 190, 60) + rng.normal(0, 8, (SIDE, SIDE))
    rgb = np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    return rgb, disc.astype(np.uint8)


def sparse(labels: npt.NDArray[np.uint8], seed: int, share: float = 0.1) -> npt.NDArray[np.uint8]:
    """The labels with all but a share of the pixels undecided (255)."""
    keep = np.random.default_rng(seed).random(labels.shape) < share
    return np.where(keep, labels, 255).astype(np.uint8)


@dataclass
class RunMaker:
    """Collects images and writes run folders."""

    root: Path
    items: list[tuple[str, str, npt.NDArray[np.uint8]]] = field(default_factory=list)

    def add(self, split: str, rgb: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8]) -> None:
        name = f"{split}-{len(self.items)}"
        cv2.imwrite(str(self.root / f"{name}.png"), rgb[..., ::-1])
        self.items.append((name, split, labels))

    def card(self, name: str = "tiny", width: int = 6) -> Path:
        path = self.root / f"{name}.toml"
        save_card(ModelCard(id=name, family="unet", options={"width": width}), path)
        return path

    def folder(self, name: str, config: TrainConfig, *, model: Path | None = None, parent: Path | None = None) -> Path:
        folder = self.root / name
        (folder / "masks").mkdir(parents=True)
        entries = []
        for stem, split, labels in self.items:
            mask = folder / "masks" / f"{stem}.png"
            write_index_png(mask, labels)
            entries.append(ManifestItem(image=self.root / f"{stem}.png", mask=mask, split=split, name=stem))
        manifest = Manifest(
            items=tuple(entries), class_names=CLASSES, model_card=model or self.card(), parent_card=parent
        )
        manifest.save(folder)
        config.save(folder)
        return folder


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    # Images of 64 px gain nothing from a second thread, and waiting for one on a busy computer takes seconds.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def runs(tmp_path: Path) -> RunMaker:
    return RunMaker(tmp_path)


@pytest.fixture
def discs(runs: RunMaker) -> RunMaker:
    """Four sparsely labelled training images and one fully labelled validation image."""
    for seed in range(4):
        rgb, labels = disc_image(seed)
        runs.add("train", rgb, sparse(labels, seed))
    rgb, labels = disc_image(9)
    runs.add("validation", rgb, labels)
    return runs


@pytest.fixture
def quick() -> Callable[..., TrainConfig]:
    """Settings for a run of a few steps on the CPU, without colour changes."""

    def make(**changes: object) -> TrainConfig:
        values: dict[str, object] = {
            "steps": 4,
            "crop": 64,
            "batch": 2,
            "learning_rate": 1e-2,
            "warmup": 2,
            "average": 0.9,
            "device": "cpu",
            "augment": AugmentConfig(scale=1.0, rotate=0.0, brightness=0.0, contrast=0.0, noise=0.0),
        }
        return TrainConfig(**{**values, **changes})  # type: ignore[arg-type]

    return make
