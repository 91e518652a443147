"""One step: what goes into it, and what the recipe's settings do to the network."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from segstudio.core.errors import UserError
from segstudio.nets.base import Loaded, SegmentationNet
from segstudio.nets.registry import build
from segstudio.training.config import TrainConfig
from segstudio.training.dataset import Dataset, survey
from segstudio.training.manifest import Manifest
from segstudio.training.numerics import AveragedWeights
from segstudio.training.optimize import Stepper, freeze_loaded_norms
from segstudio.training.sampling import CropSampler

Quick = Callable[..., TrainConfig]
Make = Callable[[SegmentationNet, TrainConfig], Stepper]


@pytest.fixture
def make(discs: object, tmp_path: Path, quick: Quick) -> Iterator[Make]:
    """Makes steppers on four images of discs and ends them."""
    folder = discs.folder("run", quick())  # type: ignore[attr-defined]
    data = Dataset(Manifest.load(folder).train, classes=2)
    open_steppers: list[Stepper] = []

    def build_stepper(net: SegmentationNet, config: TrainConfig) -> Stepper:
        rng = np.random.default_rng(config.seed)
        sampler = CropSampler(data, survey(data, rng), rng, config, context=net.context)
        stepper = Stepper(net, sampler, config, device=torch.device("cpu"), side=64, note=lambda _text: None)
        open_steppers.append(stepper)
        return stepper

    yield build_stepper
    for stepper in open_steppers:
        stepper.__exit__(None, None, None)


def unet() -> SegmentationNet:
    torch.manual_seed(0)
    return build("unet", classes=2, options={"width": 2})


def original() -> SegmentationNet:
    torch.manual_seed(0)
    return build("unet-original", classes=2, options={"width": 2}).eval()


def test_accumulated_batches_make_the_step_of_their_mean(make: Make, quick: Quick) -> None:
    """Without normalisation and dropout, two batches of one crop are one batch of two."""
    settings = {"optimizer": "sgd", "momentum": 0.0, "reduction": "images", "learning_rate": 1e-6, "clip_norm": 0.0}
    after = []
    for batch, accumulate in ((2, 1), (1, 2)):
        stepper = make(original(), quick(batch=batch, accumulate=accumulate, **settings))
        stepper.net.eval()
        loss, _ = stepper.step(5, 0.0)
        after.append((loss, [p.detach().clone() for p in stepper.net.parameters()]))

    assert after[0][0] == pytest.approx(after[1][0], rel=1e-5)
    for one, other in zip(after[0][1], after[1][1], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


def test_a_loss_per_image_is_larger_by_the_pixels_of_an_image(make: Make, quick: Quick) -> None:
    values = {}
    for reduction in ("pixels", "images"):
        stepper = make(original(), quick(batch=1, reduction=reduction, learning_rate=0.0))
        stepper.net.eval()
        values[reduction] = stepper.step(0, 0.0)[0]
        assert stepper.net.reduction == reduction

    assert values["images"] > 50 * values["pixels"]


def test_the_network_hears_how_much_of_the_run_is_over(make: Make, quick: Quick) -> None:
    net = unet()
    heard: list[float] = []
    net.begin_step = heard.append  # type: ignore[method-assign,assignment]
    stepper = make(net, quick())
    stepper.step(0, 0.25)
    stepper.step(1, 0.75)

    assert heard == [0.25, 0.75]


def test_momentum_survives_a_change_of_the_learning_rate(make: Make, quick: Quick) -> None:
    """One optimizer for the whole run: with a rate of nearly nothing the weights go on moving."""
    config = quick(optimizer="sgd", momentum=0.9, schedule="step", step_every=1, gamma=0.0, warmup=0, clip_norm=0.0)
    stepper = make(original(), config)
    stepper.step(0, 0.0)
    buffers = [state["momentum_buffer"].clone() for state in stepper._optimizer.state.values()]
    stepper.step(1, 0.0)
    again = [state["momentum_buffer"] for state in stepper._optimizer.state.values()]

    assert any(bool(buffer.any()) for buffer in buffers)
    assert len(again) == len(buffers)
    assert stepper._optimizer.param_groups[0]["lr"] == 0.0


def test_running_statistics_follow_at_the_recipes_pace(make: Make, quick: Quick) -> None:
    stepper = make(unet(), quick(batch_norm_momentum=0.0003))
    norms = [m for m in stepper.net.modules() if isinstance(m, nn.BatchNorm2d)]
    stepper.step(0, 0.0)

    assert {norm.momentum for norm in norms} == {0.0003}
    assert all(float((norm.running_var - 1).abs().max()) < 0.1 for norm in norms if norm.running_var is not None)


def test_only_normalisation_that_was_loaded_is_frozen() -> None:
    def frozen(net: SegmentationNet) -> set[str]:
        freeze_loaded_norms(net)
        net.train()
        norms = ((name, m) for name, m in net.named_modules() if isinstance(m, nn.BatchNorm2d))
        return {name.split(".")[0] for name, m in norms if not m.training and not m.weight.requires_grad}

    def deeplab(loaded: Loaded) -> SegmentationNet:
        net = build("deeplabv3", classes=2, options={"trunk": "resnet50", "thin": 16})
        net.loaded = loaded
        return net

    assert frozen(deeplab(Loaded())) == set()
    assert frozen(deeplab(Loaded(trunk="imagenet"))) == {"trunk"}
    assert frozen(deeplab(Loaded(trunk="checkpoint"))) == {"trunk", "aspp"}


def test_without_averaging_the_last_weights_are_what_is_kept(make: Make, quick: Quick) -> None:
    stepper = make(unet(), quick(average=0.0))
    assert stepper.average.net is stepper.net

    averaged = make(unet(), quick(average=0.9))
    averaged.step(0, 0.0)
    assert averaged.average.net is not averaged.net


def test_the_average_takes_in_counts_and_running_statistics() -> None:
    net = unet()
    average = AveragedWeights(net, 0.5)
    norm = net.get_submodule("inc.double_conv.1")
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.num_batches_tracked is not None
    norm.running_mean.fill_(1.0)
    norm.num_batches_tracked.fill_(7)
    average.update()

    state = average.net.state_dict()
    assert float(state["inc.double_conv.1.running_mean"][0]) == pytest.approx(1 - 2 / 11)
    assert int(state["inc.double_conv.1.num_batches_tracked"]) == 7


def test_fewer_crops_at_a_time_are_still_as_many_a_step(
    make: Make, quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    stepper = make(unet(), quick(batch=4, accumulate=3))
    learn = stepper._learn

    def hungry() -> float:
        if stepper.count > 1:
            raise MemoryError
        return learn()

    monkeypatch.setattr(stepper, "_learn", hungry)
    stepper.step(0, 0.0)

    assert (stepper.count, stepper.accumulate) == (1, 12)


def test_a_file_that_vanishes_during_a_run_is_told_by_the_next_step(make: Make, quick: Quick) -> None:
    stepper = make(unet(), quick())
    data = stepper._source._sampler._dataset
    data._cache.clear()
    data.items = tuple(dataclasses.replace(item, image=item.image.with_name("gone.png")) for item in data.items)

    with pytest.raises(UserError, match="gone"):
        for number in range(3):
            stepper.step(number, 0.0)


def test_the_thread_that_makes_crops_ends_with_the_stepper(make: Make, quick: Quick) -> None:
    stepper = make(unet(), quick())
    with stepper:
        stepper.step(0, 0.0)
        assert any(thread.name.startswith("segstudio crops") for thread in threading.enumerate())

    assert not any(thread.name.startswith("segstudio crops") for thread in threading.enumerate())


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "rmsprop"])
def test_every_optimizer_learns(make: Make, quick: Quick, optimizer: str) -> None:
    stepper = make(unet(), quick(optimizer=optimizer, learning_rate=2e-3, weight_decay=0.0))
    values = [stepper.step(number, 0.0)[0] for number in range(20)]

    assert np.mean(values[-5:]) < np.mean(values[:5])
