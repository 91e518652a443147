"""DeepLab v3 and v3+: the papers' structure, its variants, their trunks, and files of other projects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from published import described_keys, shapes_only
from torch import nn

from segstudio.core.errors import ModelError
from segstudio.nets.backbones.xception import XceptionTrunk
from segstudio.nets.base import SegmentationNet
from segstudio.nets.blocks import GlobalPool, PooledBatchNorm2d
from segstudio.nets.card import find_card
from segstudio.nets.checkpoint import load_model
from segstudio.nets.importers.rules import recognise
from segstudio.nets.registry import build, create_model
from segstudio.nets.registry_names import OptionValue

Options = dict[str, OptionValue]
MOBILE: Options = {"trunk": "mobilenetv2", "layout": "unpadded", "multi_grid": False, "upsampling": "centres"}


def _net(family: str = "deeplabv3plus", *, classes: int = 3, thin: int = 16, **options: OptionValue) -> SegmentationNet:
    torch.manual_seed(0)
    net = build(family, classes=classes, options={"trunk": "resnet50", **options, "thin": thin}).eval()
    for name, parameter in net.named_parameters():
        if name.startswith("classifier.") and parameter.ndim == 4:
            nn.init.normal_(parameter)
    return net


def _input(height: int, width: int) -> torch.Tensor:
    return torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(height * width))


def _dilations(net: SegmentationNet, prefix: str) -> list[int]:
    return [
        module.dilation[0]
        for name, module in net.named_modules()
        if name.startswith(prefix) and isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3)
    ]


@pytest.mark.parametrize(
    ("family", "options", "count"),
    [
        ("deeplabv3plus", {"trunk": "xception65", "layout": "rectified", "multi_grid": False}, 54_705_317),
        ("deeplabv3", {"trunk": "resnet50", "layout": "torchvision", "convolutions": 1}, 39_638_869),
        ("deeplabv3plus", {"layout": "torchvision", "convolutions": 1}, 58_753_973),
        ("deeplabv3plus", {**MOBILE, "convolutions": 1}, 5_225_717),
        ("deeplabv3plus", {"layout": "caffe"}, 59_344_309),
    ],
)
def test_variants_have_as_many_parameters_as_the_published_ones(family: str, options: Options, count: int) -> None:
    with torch.device("meta"):
        net = build(family, classes=21, options=options)
    assert sum(parameter.numel() for parameter in net.parameters()) == count


@pytest.mark.parametrize(("stride", "grid", "rates"), [(16, [2, 4, 8], [6, 12, 18]), (8, [4, 8, 16], [12, 24, 36])])
def test_rates_double_at_output_stride_eight(stride: int, grid: list[int], rates: list[int]) -> None:
    for card in ("deeplabv3-resnet101", "deeplabv3plus-resnet101"):
        with torch.device("meta"):
            net = create_model(card, output_stride=stride, thin=16)
            assert _dilations(net, "trunk.layer4") == grid
            assert _dilations(net, "aspp.") == rates
            _, deep = net.trunk.stages(torch.zeros(1, 3, 513, 513))  # type: ignore[union-attr, operator]
        assert deep.shape == (1, 2048 // 16, 512 // stride + 1, 512 // stride + 1)


def test_decoder_joins_48_low_level_channels_at_stride_four() -> None:
    with torch.device("meta"):
        net = create_model("deeplabv3plus-resnet101")
        assert net.get_parameter("low.0.weight").shape == (48, 256, 1, 1)
        assert net.get_parameter("decoder.0.0.weight").shape == (256, 304, 3, 3)
        assert net.get_parameter("decoder.1.0.weight").shape == (256, 256, 3, 3)
        assert net.native(torch.zeros(1, 3, 513, 513)).shape == (1, 21, 129, 129)


def test_separable_form_splits_every_3x3_convolution_of_pyramid_and_decoder() -> None:
    with torch.device("meta"):
        net = create_model("deeplabv3plus-resnet101-separable")
    first = net.get_parameter("decoder.0.0.weight"), net.get_parameter("decoder.0.3.weight")
    assert [tuple(weight.shape) for weight in first] == [(304, 1, 3, 3), (256, 304, 1, 1)]
    assert sum(weight.numel() for weight in first) == 80_560
    spatial = [
        module
        for name, module in net.named_modules()
        if name.startswith(("aspp.", "decoder.")) and isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1)
    ]
    assert len(spatial) == 5
    assert all(module.groups == module.in_channels for module in spatial)


def test_normalisation_has_the_usual_momentum_and_spares_a_single_pooled_value() -> None:
    net = _net()
    assert all(module.momentum == 0.1 for module in net.modules() if isinstance(module, nn.BatchNorm2d))
    assert isinstance(net.get_submodule("aspp.pool.0"), GlobalPool)
    pooled = net.get_submodule("aspp.pool.2")
    assert isinstance(pooled, PooledBatchNorm2d)
    net.train()
    net.training_loss(_input(65, 65), torch.zeros(1, 65, 65, dtype=torch.long))
    assert pooled.running_mean is not None
    assert not bool(pooled.running_mean.any())


def test_padded_upsampling_is_exact_at_whole_cells_and_differs_from_stretching_elsewhere() -> None:
    padded, corners = _net(upsampling="padded"), _net(upsampling="corners")
    with torch.inference_mode():
        assert torch.equal(padded(_input(33, 65)), corners(_input(33, 65)))
        x = _input(41, 50)
        assert not torch.allclose(padded(x), corners(x))
        whole = torch.nn.functional.pad(x, (0, 15, 0, 8))
        assert torch.equal(padded(x), corners(whole)[..., :41, :50])


def test_loss_sees_labels_at_full_size() -> None:
    net = _net("deeplabv3")
    outputs = net.training_outputs(_input(50, 70))
    assert [(tuple(out.logits.shape), out.step, out.weight) for out in outputs] == [((1, 3, 50, 70), 1, 1.0)]


def test_three_scales_are_fused_by_their_maximum_and_each_has_a_loss() -> None:
    one = _net("deeplabv3", layout="caffe", upsampling="centres")
    three = _net("deeplabv3", layout="caffe", upsampling="centres", scales="multi")
    three.load_state_dict(one.state_dict())
    x = _input(128, 96)
    with torch.inference_mode():
        fused, whole = three.native(x), one.native(x)
        outputs = three.training_outputs(x)
    assert bool((fused >= whole).all())
    assert bool((fused > whole).any())
    assert [tuple(out.logits.shape) for out in outputs] == [(1, 3, 128, 96)] * 4


def test_groups_follow_the_authors_release() -> None:
    net = _net(trunk="xception65", multi_grid=False, separable=True)
    groups = {group["name"]: group for group in net.parameter_groups(1e-2, 4e-5)}
    scales = {name: (group["lr_scale"], group["weight_decay"]) for name, group in groups.items()}
    assert scales == {
        "filters": (1.0, 4e-5),
        "depthwise filters and normalisation": (1.0, 0.0),
        "bias": (2.0, 0.0),
    }
    ids = {id(parameter) for parameter in groups["depthwise filters and normalisation"]["params"]}
    assert id(net.get_parameter("trunk.exit.convs.0.0.weight")) in ids
    assert id(net.get_parameter("trunk.exit.convs.0.3.weight")) not in ids


def test_xception_follows_the_paper_and_taps_the_second_entry_block_before_its_stride() -> None:
    trunk = XceptionTrunk(layout="aligned", output_stride=16, thin=16).eval()
    with torch.inference_mode():
        low, deep = trunk.stages(_input(65, 97))
    assert low.shape == (1, 256 // 16, 17, 25)
    assert deep.shape == (1, 2048 // 16, 5, 7)
    assert bool((low < 0).any())
    rectified = XceptionTrunk(layout="rectified", output_stride=8, thin=16).eval()
    with torch.inference_mode():
        low, deep = rectified.stages(_input(65, 97))
    assert low.shape == (1, 128 // 16, 17, 25)
    assert deep.shape == (1, 2048 // 16, 9, 13)
    assert bool((low >= 0).all())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"trunk": "vgg16"}, "no trunk"),
        ({"layout": "lagging"}, "no layout"),
        ({"output_stride": 4}, "no output stride"),
        ({"upsampling": "nearest"}, "no upsampling"),
        ({"scales": "two"}, "no scales"),
        ({"scales": "multi"}, "cells centred"),
        ({**MOBILE, "multi_grid": True}, "no multi-grid"),
    ],
)
def test_what_no_published_network_has_is_refused_in_a_sentence(options: Options, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        build("deeplabv3plus", classes=3, options=options)


@pytest.mark.parametrize(("trunk", "layout"), [("resnet50", "aligned"), ("mobilenetv2", "unpadded")])
def test_imagenet_fills_the_whole_trunk(trunk: str, layout: str) -> None:
    source = {"resnet50": torchvision.models.resnet50, "mobilenetv2": torchvision.models.mobilenet_v2}[trunk]
    torch.manual_seed(1)
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in source(weights=None).state_dict().items()}
    state = {key: torch.full(shape, float(place)) for place, (key, shape) in enumerate(shapes.items(), 1)}
    net = build("deeplabv3", classes=2, options={"trunk": trunk, "layout": layout, "multi_grid": False})
    net.load_imagenet(state)
    numbers = sorted({float(value.flatten()[0]) for value in net.trunk.state_dict().values()})  # type: ignore[union-attr]
    unused = ("fc.", "classifier.", "features.18.")
    assert numbers == [float(place) for place, key in enumerate(shapes, 1) if not key.startswith(unused)]


def test_xception_has_no_imagenet_start() -> None:
    net = _net(trunk="xception65", multi_grid=False, thin=16)
    assert create_model("deeplabv3plus-xception65", thin=16).imagenet is None
    with pytest.raises(ModelError, match="no ImageNet trunk"):
        net.load_imagenet({})


# -- files of other projects: numbers are compared in test_parity_deeplab_v3 ------------------------------------------


@pytest.mark.parametrize("name", ["DeepLabV3_ResNet101_MSC", "DeepLabV3Plus_ResNet101_MSC"])
def test_described_checkpoints_of_kazuto1011_are_recognised(name: str) -> None:
    keys = described_keys("kazuto").get(f"kazuto/{name}")
    if keys is None:
        pytest.skip("the key dumps are not beside this checkout")
    found = recognise(shapes_only(keys), Path("x.pth"))
    assert found.family == ("deeplabv3plus" if "Plus" in name else "deeplabv3")
    with torch.device("meta"):
        net = build(found.family, classes=found.classes, options=found.options)
    ours = {key: value.shape for key, value in net.state_dict().items() if not key.endswith("num_batches_tracked")}
    assert ours == {key: value.shape for key, value in found.state.items()}


def _jfzhang95(net: SegmentationNet) -> dict[str, torch.Tensor]:
    """The state of a ResNet network as jfzhang95 names it."""
    plain = {"aspp.project.0": "aspp.conv1", "aspp.project.1": "aspp.bn1", "low.0": "decoder.conv1"}
    plain |= {"low.1": "decoder.bn1", "aspp.pool": "aspp.global_avg_pool", "classifier": "decoder.last_conv.8"}
    for index in range(4):
        plain |= {f"aspp.branches.{index}.{i}": f"aspp.aspp{index + 1}.{('atrous_conv', 'bn')[i]}" for i in (0, 1)}
    for index in range(2):
        plain |= {f"decoder.{index}.{i}": f"decoder.last_conv.{4 * index + i}" for i in (0, 1)}
    state = {}
    for key, value in net.state_dict().items():
        ours = next((name for name in plain if key.startswith(f"{name}.")), None)
        state[key.replace("trunk.", "backbone.", 1) if ours is None else plain[ours] + key.removeprefix(ours)] = value
    return state


@pytest.fixture(scope="module")
def foreign() -> dict[str, torch.Tensor]:
    return _jfzhang95(_net(trunk="resnet101", classes=21))


def test_output_stride_is_what_the_person_says_or_the_name_or_sixteen(foreign: dict[str, torch.Tensor]) -> None:
    def stride(name: str, card: str | None = None) -> tuple[OptionValue, str]:
        found = recognise({"state_dict": foreign}, Path(name), find_card(card) if card else None)
        return found.options["output_stride"], " ".join(found.sentences)

    assert stride("best_voc_os8.pth") == (8, "Its name says output stride 8.")
    assert stride("best-os16.pth.tar")[0] == 16
    assert stride("photos80.pth") == (16, stride("plain.pth")[1])
    assert "16 is assumed" in stride("plain.pth")[1]
    assert stride("plain.pth", "deeplabv3plus-resnet101-os8") == (8, "")


def test_numpy_numbers_beside_the_tensors_are_left_out(foreign: dict[str, torch.Tensor], tmp_path: Path) -> None:
    """The training loops of several projects save their best score as a NumPy number."""
    path = tmp_path / "model_best.pth.tar"
    torch.save({"epoch": 49, "state_dict": foreign, "optimizer": {}, "best_pred": np.float64(0.78)}, path)
    net = load_model(path)
    assert (net.family, net.loaded.head, net.class_names[15]) == ("deeplabv3plus", "checkpoint", "person")


def test_trunks_without_a_network_here_are_refused_by_name(foreign: dict[str, torch.Tensor]) -> None:
    drn = {key.replace("backbone.conv1", "backbone.layer0.0"): value for key, value in foreign.items()}
    with pytest.raises(ModelError, match="with a DRN"):
        recognise(drn, Path("drn.pth"))
    head = {"classifier.aspp.convs.0.0.weight": torch.zeros(1, 1, 1, 1)}
    hrnet = {"backbone.conv1.weight": torch.zeros(1, 3, 3, 3), "backbone.stage4.0.weight": torch.zeros(1), **head}
    with pytest.raises(ModelError, match="such as HRNet"):
        recognise(hrnet, Path("hrnet.pth"))
    separable = {
        "backbone.conv1.weight": torch.zeros(1, 3, 3, 3),
        "classifier.classifier.0.body.0.weight": torch.zeros(1),
    }
    with pytest.raises(ModelError, match="separable convolutions without"):
        recognise({**separable, **head}, Path("separable.pth"))


def test_a_file_that_lacks_tensors_is_named_as_incomplete(foreign: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save({key: value for key, value in foreign.items() if "bn3" not in key}, tmp_path / "cut.pth")
    with pytest.raises(ModelError, match=r"lacks \d+ tensors"):
        load_model(tmp_path / "cut.pth")
