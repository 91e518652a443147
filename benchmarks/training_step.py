"""What a training step costs besides the network: the program's step against a bare PyTorch loop.

    python benchmarks/training_step.py [--model unet-small ...] [--device cpu] [--crop 192] [--seconds 20] [--rounds 4]

Both learn with the recipe for few images and the same arithmetic. The bare loop has its crops ready in memory and makes
nothing but the forward and backward pass and the optimizer's step; the program also cuts and varies new crops, clips
gradients, averages weights and watches the loss. They take turns (A B A B ...), each from the same state of the cache
and the same heat; the figure is the ratio of their median step times.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch

from segstudio.imaging.labels import write_index_png
from segstudio.nets.base import SegmentationNet
from segstudio.nets.card import find_card
from segstudio.nets.devices import prefers_channels_last, resolve_device
from segstudio.nets.registry import create_model
from segstudio.training.config import TrainConfig
from segstudio.training.dataset import Dataset, survey
from segstudio.training.manifest import ManifestItem
from segstudio.training.numerics import arithmetic
from segstudio.training.optimize import Stepper
from segstudio.training.recipes import for_card
from segstudio.training.sampling import CropSampler

CLASSES = 11
HEIGHT, WIDTH = 360, 480
IMAGES = 4
WARM_UP_STEPS = 3
FEWEST_STEPS = 3


def images(folder: Path) -> Dataset:
    """Photograph-sized noise with blocks of classes."""
    rng = np.random.default_rng(0)
    items = []
    for index in range(IMAGES):
        blocks = rng.integers(0, CLASSES, (HEIGHT // 40, WIDTH // 40)).astype(np.uint8)
        labels = cv2.resize(blocks, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)
        pixels = np.clip(labels[..., None] * 20 + rng.normal(0, 10, (HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8)
        image, mask = folder / f"{index}.png", folder / f"{index}-mask.png"
        cv2.imwrite(str(image), pixels)
        write_index_png(mask, labels)
        items.append(ManifestItem(image=image, mask=mask, split="train", name=image.name))
    return Dataset(items, classes=CLASSES)


@dataclass(frozen=True)
class Setting:
    """One network with its recipe on one device."""

    model: str
    config: TrainConfig
    data: Dataset
    device: torch.device

    def network(self) -> SegmentationNet:
        """The network, the same numbers each time."""
        torch.manual_seed(0)
        return create_model(self.model, classes=CLASSES)

    def sampler(self, net: SegmentationNet) -> CropSampler:
        """Crops, the same each time."""
        rng = np.random.default_rng(0)
        return CropSampler(self.data, survey(self.data, rng), rng, self.config, context=net.context)


def bare_loop(setting: Setting) -> Callable[[], float]:
    """A function that makes one step on crops in memory and gives its loss."""
    config, device = setting.config, setting.device
    net = setting.network().to(device).train()
    layout = torch.channels_last if prefers_channels_last(device) else torch.contiguous_format
    net.to(memory_format=layout)
    crops = setting.sampler(net).batch(config.batch, config.crop)
    x = torch.cat([net.preprocess(crop.pixels) for crop in crops]).to(device).contiguous(memory_format=layout)
    labels = torch.from_numpy(np.stack([crop.labels for crop in crops])).long().to(device)
    groups = net.parameter_groups(config.learning_rate, config.weight_decay)
    optimizer: torch.optim.Optimizer
    if config.optimizer == "sgd":
        optimizer = torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum, fused=True)
    else:
        optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        with arithmetic(device):
            loss = net.training_loss(x, labels)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def timed(step: Callable[[], float], seconds: float) -> list[float]:
    """The times of steps, in seconds, until `seconds` are over."""
    for _ in range(WARM_UP_STEPS):
        step()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < FEWEST_STEPS:
        begin = time.perf_counter()
        step()
        times.append(time.perf_counter() - begin)
    return times


def measure(setting: Setting, seconds: float, rounds: int) -> dict[str, object]:
    """The figures of one network."""
    bare = bare_loop(setting)
    net = setting.network()
    number = iter(range(10**9))
    with Stepper(
        net, setting.sampler(net), setting.config, device=setting.device, side=setting.config.crop, note=print
    ) as stepper:
        mine: list[float] = []
        theirs: list[float] = []
        for _ in range(rounds):
            theirs += timed(bare, seconds)
            mine += timed(lambda: stepper.step(next(number), 0.0)[0], seconds)
    ours, plain = statistics.median(mine), statistics.median(theirs)
    config = setting.config
    return {
        "model": setting.model,
        "device": str(setting.device),
        "crops": f"{config.batch} x {config.crop}",
        "bare_ms": round(plain * 1000, 1),
        "segstudio_ms": round(ours * 1000, 1),
        "ratio": round(ours / plain, 3),
        "steps": len(mine),
    }


def main() -> None:
    """Prints a line of JSON for each network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=["unet-small", "deeplabv3-resnet50", "fcn8s"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--crop", type=int)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    device = resolve_device(options.device)
    with tempfile.TemporaryDirectory() as folder:
        data = images(Path(folder))
        for model in options.model:
            card = find_card(model)
            config = for_card(card.family, card.options, device.type)
            if options.crop:
                config = replace(config, crop=options.crop)
            setting = Setting(model, config, data, device)
            print(json.dumps(measure(setting, options.seconds, options.rounds)), flush=True)


if __name__ == "__main__":
    main()
