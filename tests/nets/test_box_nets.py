"""The networks that look at boxes, and above all DeconvNet and its ensemble with FCN-8s."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from box_lessons import Told, overfit, scene, thin_net
from torch import nn
from visible import noise

from segstudio.nets.base import SegmentationNet
from segstudio.nets.box_net import BoxNet
from segstudio.nets.families.deconvnet import DeconvNet
from segstudio.nets.families.edeconvnet import EDeconvNet
from segstudio.nets.families.hypercolumn import Hypercolumn

BOX_NETS: list[type[BoxNet]] = [DeconvNet, Hypercolumn]
BOXES = torch.tensor([[10.0, 20, 60, 100], [-8, -4, 40, 36], [33, 77, 99, 121]])


@pytest.mark.parametrize("kind", BOX_NETS)
def test_the_whole_image_is_one_box(kind: type[BoxNet]) -> None:
    net = thin_net(kind).eval()
    x = noise(90, 140)
    with torch.inference_mode():
        scores = net.box_scores(net.look(x), torch.tensor([[0.0, 0.0, 90.0, 140.0]]))
        assert scores.shape == (1, 4, net.side, net.side)
        torch.testing.assert_close(net.native(x), scores)


@pytest.mark.parametrize("kind", BOX_NETS)
def test_a_box_gets_the_same_scores_alone_and_among_others(kind: type[BoxNet]) -> None:
    net = thin_net(kind).eval()
    x = noise(90, 140)
    with torch.inference_mode():
        seen = net.look(x)
        together = net.box_scores(seen, BOXES.repeat(2, 1))
        for place, box in enumerate(BOXES):
            torch.testing.assert_close(net.box_scores(seen, box[None])[0], together[place], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [*BOX_NETS, EDeconvNet])
def test_training_repeats_itself_from_the_same_seed(kind: type[SegmentationNet]) -> None:
    net = thin_net(kind).train()
    x, labels = scene()
    losses = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        losses.append(float(net.training_loss(x, labels).detach()))
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


@pytest.mark.parametrize("kind", BOX_NETS)
def test_pixels_without_weight_teach_nothing(kind: type[BoxNet]) -> None:
    net = thin_net(kind).train()
    x, labels = scene()
    assert float(net.training_loss(x, labels, torch.zeros(labels.shape)).detach()) == 0.0
    assert float(net.training_loss(x, labels, torch.ones(labels.shape)).detach()) > 0.0


def test_deconvnet_has_the_papers_layers() -> None:
    """Outputs of the paper's table for 224 x 224, channels and side."""
    with torch.device("meta"):
        net = DeconvNet(classes=21).eval()
        sizes: dict[str, tuple[int, int]] = {}
        for name, module in net.named_children():
            module.register_forward_hook(
                lambda _module, _inputs, out, name=name: (
                    sizes.update({name: tuple(out[0].shape[-3:])[::2]}) if isinstance(out, torch.Tensor) else None
                )
            )
        assert net(torch.zeros(1, 3, 224, 224)).shape == (1, 21, 224, 224)
    assert sizes["conv1_2"] == (64, 224)
    assert sizes["conv5_3"] == (512, 14)
    assert (sizes["fc6"], sizes["fc7"], sizes["fc6_deconv"]) == ((4096, 1), (4096, 1), (512, 7))
    assert [sizes[f"deconv{block}_1"] for block in (5, 4, 3, 2, 1)] == [
        (512, 14),
        (512, 28),
        (256, 56),
        (128, 112),
        (64, 224),
    ]
    assert [sizes[f"deconv{name}"] for name in ("4_3", "3_3", "2_2", "1_2")] == [
        (256, 28),
        (128, 56),
        (64, 112),
        (64, 224),
    ]


def test_deconvnet_starts_as_published() -> None:
    net = thin_net(DeconvNet, thin=4)
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 29
    assert all(bool((norm.weight == 1).all()) and bool((norm.bias == 0.001).all()) for norm in norms)
    for deconv in (module for module in net.modules() if isinstance(module, nn.ConvTranspose2d)):
        assert float(deconv.weight.detach().std()) == pytest.approx(0.01, rel=0.1)
    weights, biases = net.parameter_groups(0.1, 5e-4)
    assert (weights["lr_scale"], biases["lr_scale"], biases["weight_decay"]) == (1.0, 2.0, 0.0)
    # All of normalisation decays and learns at the plain rate.
    assert len(biases["params"]) == 30
    assert {id(parameter) for norm in norms for parameter in norm.parameters()} <= {id(p) for p in weights["params"]}


def test_unpooling_puts_values_where_the_maxima_were() -> None:
    net = thin_net(DeconvNet)
    x = torch.randn(1, 2, 6, 8)
    pooled, places = net.pool(x)
    back = net.unpool(pooled * 10, places)
    maxima = F.interpolate(pooled, scale_factor=2) == x
    assert int(maxima.sum()) == pooled.numel()
    torch.testing.assert_close(back, torch.where(maxima, x * 10, 0.0))


def test_deconvnet_computes_the_published_network() -> None:
    """Against the layers spelt out; a deconvolution of stride 1 is a convolution with the filter turned round."""
    net = thin_net(DeconvNet).eval()
    for norm in (module for module in net.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2.0)
    state, x = net.state_dict(), noise(224, 224)

    def normalised(y: torch.Tensor, name: str) -> torch.Tensor:
        mean, variance, scale, shift = (
            state[f"{name}.1.{key}"].view(-1, 1, 1) for key in ("running_mean", "running_var", "weight", "bias")
        )
        return ((y - mean) / (variance + 1e-9).sqrt() * scale + shift).relu()

    y, places = x, []
    for block, count in enumerate((2, 2, 3, 3, 3), start=1):
        for name in (f"conv{block}_{index}" for index in range(1, count + 1)):
            y = normalised(F.conv2d(y, state[f"{name}.0.weight"], state[f"{name}.0.bias"], padding=1), name)
        y, place = F.max_pool2d(y, 2, return_indices=True)
        places.append(place)
    for name in ("fc6", "fc7"):
        y = normalised(F.conv2d(y, state[f"{name}.0.weight"], state[f"{name}.0.bias"]), name)
    y = normalised(F.conv_transpose2d(y, state["fc6_deconv.0.weight"], state["fc6_deconv.0.bias"]), "fc6_deconv")
    for block, count in ((5, 3), (4, 3), (3, 3), (2, 2), (1, 2)):
        empty = y.new_zeros(*y.shape[:2], 4 * y.shape[2] * y.shape[3])
        y = empty.scatter(2, places.pop().flatten(2), y.flatten(2)).view(*y.shape[:2], 2 * y.shape[2], -1)
        for name in (f"deconv{block}_{index}" for index in range(1, count + 1)):
            turned = state[f"{name}.0.weight"].transpose(0, 1).flip(2, 3)
            y = normalised(F.conv2d(y, turned, state[f"{name}.0.bias"], padding=1), name)
    y = F.conv2d(y, state["seg_score.weight"], state["seg_score.bias"])
    with torch.inference_mode():
        torch.testing.assert_close(net.native(x), y, rtol=1e-4, atol=1e-6)


def test_imagenet_fills_the_convolutional_half_of_deconvnet() -> None:
    net = thin_net(DeconvNet, thin=16)
    places = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    names = [f"conv{block}_{index}" for block, count in enumerate((2, 2, 3, 3, 3), 1) for index in range(1, count + 1)]
    sources = {**{n: f"features.{p}" for n, p in zip(names, places, strict=True)}, "fc6": "classifier.0"}
    sources["fc7"] = "classifier.3"
    state = {}
    for number, (name, source) in enumerate(sources.items(), start=1):
        weight = net.state_dict()[f"{name}.0.weight"]
        state[f"{source}.weight"] = torch.full_like(weight, number)
        state[f"{source}.bias"] = torch.full((len(weight),), -float(number))
    for key in ("classifier.0.weight", "classifier.3.weight"):
        state[key] = state[key].flatten(1)
    net.load_imagenet(state)
    ours = net.state_dict()
    for number, name in enumerate(sources, start=1):
        if number > 1:
            assert bool((ours[f"{name}.0.weight"] == number).all()), name
            assert bool((ours[f"{name}.0.bias"] == -number).all()), name
    # Trained on red, green, blue from 0 to 1; fed blue, green, red from 0 to 255.
    assert float(ours["conv1_1.0.weight"][0, 2, 0, 0]) == pytest.approx(1 / (255 * 0.229))


def test_a_deconvnet_box_shows_its_pixels_and_the_mean_colour_beyond_the_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = thin_net(DeconvNet)
    shown: list[torch.Tensor] = []
    monkeypatch.setattr(net, "_scores", lambda x: shown.append(x) or x)
    columns = torch.arange(300.0).expand(1, 3, 250, 300) + 1
    net.box_scores((columns,), torch.tensor([[10.0, 20, 122, 132], [0, -150, 250, 150], [0, 0, 224, 224]]))
    double, half_outside, plain = torch.cat(shown)[:, 0]
    torch.testing.assert_close(plain, columns[0, 0, :224, :224])
    # Two pixels for each of the image's, whose centres lie a quarter beside its own.
    torch.testing.assert_close(double[7, 1:-1], 21.25 + 0.5 * torch.arange(222.0))
    assert bool((half_outside[:, :111] == 0).all())
    torch.testing.assert_close(half_outside[3, 114:-1], 0.5 + torch.arange(2.5, 111.5) * 300 / 224, rtol=0, atol=0.1)


def test_the_first_stage_knows_one_object_and_the_second_all(monkeypatch: pytest.MonkeyPatch) -> None:
    net = thin_net(DeconvNet).train()
    x, labels = torch.zeros(8, 3, 64, 64), torch.zeros(8, 64, 64, dtype=torch.uint8)
    # Wherever a box lies around the one object, some of the other is in it, too.
    labels[:, 16:48, 16:32], labels[:, 16:48, 32:48] = 1, 2
    labels[:, 30:34, 30:34] = 255
    told = Told(net, monkeypatch)
    for fraction in (0.0, 0.33, 0.34, 1.0):
        net.begin_step(fraction)
        net.training_loss(x, labels)
    kinds = [[set(torch.unique(target).tolist()) - {0, 255} for target in batch] for batch in told.labels]
    assert all(batch.shape == (8, 224, 224) for batch in told.labels)
    for stage in kinds[:2]:
        assert all(len(seen) == 1 for seen in stage)
        assert set().union(*stage) == {1, 2}
    assert all({1, 2} <= set().union(*stage) for stage in kinds[2:])
    assert all(any(len(seen) == 2 for seen in stage) for stage in kinds[2:])
    assert all(bool((batch == 255).any()) for batch in told.labels)


def test_a_crop_without_an_object_is_shown_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    net = thin_net(DeconvNet).train()
    labels = torch.zeros(1, 64, 80, dtype=torch.uint8)
    labels[:, :, 40:] = 255
    told = Told(net, monkeypatch)
    net.training_loss(torch.zeros(1, 3, 64, 80), labels)
    target = told.labels[0]
    assert set(torch.unique(target).tolist()) == {0, 255}
    assert float((target == 255).float().mean()) == pytest.approx(0.5, abs=0.07)


def test_pixels_outside_the_crop_are_not_taught(monkeypatch: pytest.MonkeyPatch) -> None:
    net = thin_net(DeconvNet).train()
    labels = torch.zeros(1, 40, 40, dtype=torch.uint8)
    labels[:, :30, :30] = 3
    told = Told(net, monkeypatch)
    net.training_loss(torch.zeros(1, 3, 40, 40), labels, torch.ones(1, 40, 40))
    assert bool((told.labels[0] == 255).any())
    assert told.weights[0] is not None
    assert torch.equal(told.weights[0] == 0, told.labels[0] == 255)


def test_the_ensemble_is_the_mean_of_both_networks_probabilities() -> None:
    net = thin_net(EDeconvNet).eval()
    nn.init.normal_(net.fcn8s.score_fr.weight, std=0.5)
    nn.init.normal_(net.deconvnet.seg_score.weight, std=5.0)
    x = noise(60, 70)
    with torch.inference_mode():
        first, second = (member(x).softmax(1) for member in net.members)
        together = net(x).softmax(1)
    assert float((first - second).abs().max()) > 0.1
    torch.testing.assert_close(together, (first + second) / 2)


def test_the_ensemble_learns_both_losses_and_passes_on_the_stage() -> None:
    net = thin_net(EDeconvNet).train()
    x, labels = scene()
    torch.manual_seed(3)
    own = sum(member.training_loss(x, labels) for member in net.members)
    torch.manual_seed(3)
    torch.testing.assert_close(net.training_loss(x, labels), own)
    net.begin_step(0.9)
    assert not net.deconvnet._single_objects
    assert all(group["name"].startswith(("deconvnet ", "fcn ")) for group in net.parameter_groups(1.0, 0.0))


@pytest.mark.slow
def test_deconvnet_learns_two_objects_through_both_stages() -> None:
    net, (x, labels) = thin_net(DeconvNet, thin=8), scene()
    losses = overfit(net, x, labels.clamp(max=1), steps=36, images=4, rate=1e-2)
    assert sum(losses[-6:]) < 0.6 * sum(losses[:6])
