"""ParseNet, DeepLab v1 and DeepLab v2 on VGG-16: the facts of their papers and releases."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from visible import noise, visible

from segstudio.core.errors import ModelError
from segstudio.nets.backbones.vgg16_atrous import AtrousVgg16, reduced_fc6, reduced_fc7
from segstudio.nets.base import SegmentationNet
from segstudio.nets.blocks import GlobalPool, L2Norm
from segstudio.nets.families.deeplab_v1 import DeepLabV1
from segstudio.nets.families.deeplab_v2 import DeepLabV2
from segstudio.nets.families.fcn import FCN
from segstudio.nets.families.parsenet import ParseNet
from segstudio.nets.registry import create_model

ONE_SCALE = (
    "fcn32s",
    "fcn8s",
    "parsenet",
    "deeplabv1",
    "deeplabv1-7x7",
    "deeplabv1-msc-largefov",
    "deeplabv2-vgg16-aspp-s",
    "deeplabv2-vgg16-aspp-l",
)


def test_atrous_vgg_has_the_published_layers() -> None:
    trunk = AtrousVgg16(thin=64)
    for name, layer in trunk.named_children():
        if isinstance(layer, nn.Conv2d):
            dilation = 2 if name.startswith("conv5") else 1
            assert (layer.kernel_size, layer.stride) == ((3, 3), (1, 1))
            assert (layer.dilation, layer.padding) == ((dilation, dilation), (dilation, dilation))
    shrink, keep = trunk.shrink, trunk.keep
    assert (shrink.kernel_size, shrink.stride, shrink.padding, shrink.ceil_mode) == (3, 2, 1, True)
    assert (keep.kernel_size, keep.stride, keep.padding) == (3, 1, 1)
    parsenet = AtrousVgg16(pool_size=2, thin=64)
    assert (parsenet.shrink.kernel_size, parsenet.shrink.padding, parsenet.shrink.ceil_mode) == (2, 0, True)
    assert (parsenet.keep.kernel_size, parsenet.keep.stride) == (3, 1)


def test_only_the_released_largefov_averages_after_the_last_pool() -> None:
    with torch.device("meta"):
        averaged = [
            create_model(card).trunk.pool5a
            for card in ("deeplabv1-largefov", "deeplabv1-msc-largefov", "deeplabv1", "deeplabv1-7x7")
        ]
        other = [create_model(card).trunk.pool5a for card in ("deeplabv2-vgg16-largefov", "parsenet")]
    assert [type(layer) for layer in averaged] == [nn.AvgPool2d, nn.AvgPool2d, nn.Identity, nn.Identity]
    assert [type(layer) for layer in other] == [nn.Identity, nn.Identity]
    assert (averaged[0].kernel_size, averaged[0].stride, averaged[0].padding) == (3, 1, 1)
    assert averaged[0].count_include_pad


@pytest.mark.parametrize(("side", "cells"), [(224, 29), (256, 33), (321, 41), (375, 48), (500, 64), (513, 65)])
def test_score_maps_have_the_published_sizes(side: int, cells: int) -> None:
    with torch.device("meta"):
        x = torch.zeros(1, 3, side, side)
        assert DeepLabV1(classes=2, msc=True, thin=16).native(x).shape[-2:] == (cells, cells)
        assert DeepLabV2(classes=2, trunk="vgg16", head="aspp-s", thin=16).native(x).shape[-1] == cells
        assert ParseNet(classes=2, thin=16).native(x).shape[-1] == ceil(side / 8)
        pools = AtrousVgg16(thin=16).pools(torch.zeros(1, 3, 321, 321))
    assert [pool.shape[-1] for pool in pools] == [161, 81, 41, 41, 41]


@pytest.mark.parametrize(
    ("card", "branch", "filters", "size", "dilation", "padding"),
    [
        ("deeplabv1", "head", 4096, 4, 4, 6),
        ("deeplabv1-7x7", "head", 4096, 7, 4, 12),
        ("deeplabv1-msc-largefov", "head", 1024, 3, 12, 12),
        ("deeplabv2-vgg16-largefov", "aspp.c0", 1024, 3, 12, 12),
        ("deeplabv2-vgg16-aspp-s", "aspp.c0", 1024, 3, 2, 2),
        ("deeplabv2-vgg16-aspp-l", "aspp.c3", 1024, 3, 24, 24),
        ("parsenet", "top", 1024, 3, 12, 12),
    ],
)
def test_fc6_sees_what_was_published(
    card: str, branch: str, filters: int, size: int, dilation: int, padding: int
) -> None:
    with torch.device("meta"):
        top = create_model(card).get_submodule(branch)
    assert top.fc6.weight.shape == (filters, 512, size, size)
    assert (top.fc6.dilation, top.fc6.padding) == ((dilation, dilation), (padding, padding))
    assert top.fc7.weight.shape == (filters, filters, 1, 1)
    assert type(top.dropout) is nn.Dropout


@pytest.mark.parametrize(
    ("filters", "size", "every", "taps"),
    [(1024, 3, 4, [0, 3, 6]), (4096, 4, 1, [0, 2, 4, 6]), (4096, 7, 1, [0, 1, 2, 3, 4, 5, 6])],
)
def test_fully_connected_layers_are_reduced_to_exactly_these_filters_and_taps(
    filters: int, size: int, every: int, taps: list[int]
) -> None:
    rows = torch.arange(4096)[:, None]
    places = torch.arange(512 * 49).view(512, 7, 7)
    assert reduced_fc6(rows.expand(-1, 512 * 49), filters, size)[:, 0, 0, 0].tolist() == list(range(0, 4096, every))
    taken = reduced_fc6(places.flatten().expand(4096, -1), filters, size)
    assert taken.shape == (filters, 512, size, size)
    assert torch.equal(taken[-1], places[:, taps][:, :, taps])
    assert torch.equal(reduced_fc7(rows.expand(-1, 4096), filters)[:, 0, 0, 0], rows[::every, 0])
    assert torch.equal(reduced_fc7(rows.T.expand(4096, -1), filters)[0, :, 0, 0], rows[::every, 0])


@pytest.mark.parametrize(
    ("card", "branches"),
    [
        ("deeplabv1-largefov", ["head"]),
        ("deeplabv2-vgg16-aspp-s", ["aspp.c0", "aspp.c1", "aspp.c2", "aspp.c3"]),
        ("parsenet", ["top"]),
    ],
)
def test_imagenet_fills_convolutions_and_every_branch(card: str, branches: list[str]) -> None:
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in torchvision.models.vgg16(weights=None).state_dict().items()}
    state = {
        key: torch.arange(float(shape[0])).view(-1, *[1] * (len(shape) - 1)).expand(shape)
        for key, shape in shapes.items()
    }
    net = create_model(card, classes=2)
    net.load_imagenet(state)
    ours = net.state_dict()
    assert ours["trunk.conv5_3.weight"][:, 7, 1, 2].tolist() == list(range(512))
    assert ours["trunk.conv5_3.bias"].tolist() == list(range(512))
    for branch in branches:
        for name in (f"{branch}.fc6", f"{branch}.fc7"):
            assert torch.equal(ours[f"{name}.weight"][:, 5, 0, 0], torch.arange(0.0, 4096, 4))
            assert torch.equal(ours[f"{name}.bias"], torch.arange(0.0, 4096, 4))


def test_classifiers_start_small_and_learn_ten_and_twenty_times_as_fast() -> None:
    plain = DeepLabV1(classes=21, thin=4)
    assert float(plain.head.fc8.weight.detach().std()) == pytest.approx(0.01, rel=0.1)
    assert not bool(plain.head.fc8.bias.any())
    published = [(1.0, 5e-4), (2.0, 0.0), (10.0, 5e-4), (20.0, 0.0)]
    with torch.device("meta"):
        nets = [create_model(card) for card in ("deeplabv1-msc-largefov", "deeplabv2-vgg16-aspp-l")]
        parsenet = create_model("parsenet").parameter_groups(1e-3, 5e-4)
    for net, classifiers in zip(nets, (6, 4), strict=True):
        groups = net.parameter_groups(1e-3, 5e-4)
        assert [(group["lr_scale"], group["weight_decay"]) for group in groups] == published
        assert [group["lr"] for group in groups] == pytest.approx([1e-3, 2e-3, 1e-2, 2e-2])
        assert len(groups[2]["params"]) == classifiers
    assert [(group["lr_scale"], group["weight_decay"]) for group in parsenet] == [(1.0, 5e-4), (2.0, 0.0)]


def test_multi_scale_branches_bring_five_sources_to_the_scores_cells() -> None:
    with torch.device("meta"):
        net = DeepLabV1(classes=21, head="base", msc=True)
        x = torch.zeros(1, 3, 321, 321)
        features = [x, *net.trunk.pools(x)[:4]]
        scores = [branch(source) for branch, source in zip(net.fine.values(), features, strict=True)]
    assert list(net.fine) == ["image", "pool1", "pool2", "pool3", "pool4"]
    assert [branch.conv.in_channels for branch in net.fine.values()] == [3, 64, 128, 256, 512]
    assert [branch.conv.stride[0] for branch in net.fine.values()] == [8, 4, 2, 1, 1]
    assert {score.shape for score in scores} == {(1, 21, 41, 41)}
    assert sum(parameter.numel() for parameter in net.fine.parameters()) == 1_206_016
    assert all(type(branch.dropout) is nn.Dropout for branch in net.fine.values())


def test_multi_scale_scores_add_up_like_one_classifier_of_all_features() -> None:
    net = visible(DeepLabV1(classes=3, msc=True, thin=16))
    x = noise(41, 65)
    with torch.inference_mode():
        *pools, deep = net.trunk.pools(x)
        tops = [super(type(net.head), net.head).forward(deep)]
        tops += [branch.fc(branch.conv(source)) for branch, source in zip(net.fine.values(), (x, *pools), strict=True)]
        weight = torch.cat([net.head.fc8.weight, *(branch.score.weight for branch in net.fine.values())], 1)
        together = F.conv2d(torch.cat(tops, 1), weight, net.head.fc8.bias)
        assert torch.allclose(net.native(x), together, atol=1e-4)


def test_multi_scale_network_goes_on_from_the_same_head() -> None:
    before = visible(DeepLabV1(classes=3, thin=16))
    after = DeepLabV1(classes=3, msc=True, fixed_trunk=True, thin=16).eval()
    after.load_stage(before.state_dict(), before.options)
    with torch.inference_mode():
        want, got = before(noise(40, 60)), after(noise(40, 60))
    assert float((got - want).abs().max()) < 1e-3 * float(want.abs().max())
    learning = {name for name, parameter in after.named_parameters() if parameter.requires_grad}
    assert all(name.startswith(("fine.", "head.fc8.")) for name in learning)
    assert len(learning) == 5 * 5 + 2
    for net, given, message in (
        (after, DeepLabV1(classes=3, head="base", thin=16), "head largefov"),
        (after, DeepLabV1(classes=4, thin=16), "fc8"),
        (before, before, "without msc"),
    ):
        with pytest.raises(ModelError, match=message):
            net.load_stage(given.state_dict(), given.options)


def test_every_eighth_pixel_is_a_cell_of_deeplabs_scores() -> None:
    net = visible(DeepLabV1(classes=3, head="base", msc=True, thin=16))
    with torch.inference_mode():
        scores, full = net.native(noise(49, 73)), net(noise(49, 73))
    assert scores.shape[-2:] == (7, 10)
    assert torch.allclose(full[..., ::8, ::8], scores, atol=1e-4)


def test_deeplab_learns_from_every_eighth_label_and_not_from_padding() -> None:
    net = visible(DeepLabV1(classes=3, thin=16))
    x, labels = noise(64, 50), torch.randint(0, 3, (1, 64, 50), generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        (out,) = net.training_outputs(x)
        assert (out.logits.shape[-2:], out.step, out.centred) == ((9, 8), 8, False)
        want = F.cross_entropy(out.logits[..., :8, :7], labels[:, ::8, ::8])
        assert float(net.training_loss(x, labels)) == pytest.approx(float(want), rel=1e-5)


def test_vgg_with_three_scales_has_the_four_published_losses() -> None:
    with torch.device("meta"):
        net = DeepLabV2(classes=2, trunk="vgg16", head="aspp-l", thin=16)
        outputs = net.training_outputs(torch.zeros(1, 3, 321, 321))
        (alone,) = create_model("deeplabv2-vgg16-aspp-l", thin=16).training_outputs(torch.zeros(1, 3, 321, 321))
    assert [(out.logits.shape[-1], out.step) for out in outputs] == [(41, 8), (41, 8), (41, 8), (21, 16)]
    assert (alone.logits.shape[-1], alone.step) == (41, 8)


@pytest.mark.parametrize(
    "build",
    [
        lambda: DeepLabV1(classes=2, head="aspp"),
        lambda: DeepLabV2(classes=2, trunk="vgg16", head="aspp"),
        lambda: DeepLabV2(classes=2, trunk="vgg19"),
        lambda: DeepLabV2(classes=2, scales="two"),
        lambda: FCN(classes=2, variant="4s"),
    ],
)
def test_an_unknown_choice_is_refused_with_those_there_are(build: Callable[[], SegmentationNet]) -> None:
    with pytest.raises(ModelError) as caught:
        build()
    assert caught.value.hint


def test_l2_norm_gives_each_pixel_the_length_of_its_scale() -> None:
    norm = L2Norm(2)
    x = torch.tensor([3.0, 4.0, 0.0, 0.0, -300.0, 400.0]).view(3, 2).T.reshape(1, 2, 1, 3)
    assert norm.scale.tolist() == [10.0, 10.0]
    assert norm(x)[0, :, 0].T.tolist() == [pytest.approx([6.0, 8.0]), [0.0, 0.0], pytest.approx([-6.0, 8.0])]
    assert norm(x.half())[0, :, 0, 2].tolist() == pytest.approx([-6.0, 8.0])
    with torch.no_grad():
        norm.scale.copy_(torch.tensor([1.0, 2.0]))
    assert norm(x)[0, :, 0, 0].tolist() == pytest.approx([0.6, 1.6])


def test_late_fusion_is_one_classifier_of_both_parts_side_by_side() -> None:
    net = visible(ParseNet(classes=3, thin=16))
    x = noise(40, 56)
    with torch.inference_mode():
        fc7 = net.top(net.trunk(x))
        context = net.norm_pool6(fc7.mean(dim=(2, 3), keepdim=True))
        both = torch.cat([net.norm_fc7(fc7), context.expand_as(fc7)], 1)
        weight = torch.cat([net.score_fc7.weight, net.score_pool6.weight], 1)
        early = F.conv2d(both, weight, net.score_fc7.bias + net.score_pool6.bias)
        assert torch.allclose(net.native(x), early, atol=1e-4)
    assert isinstance(net.pool6, GlobalPool)


def test_parsenet_upsamples_without_shift_and_fades_at_the_border() -> None:
    net = ParseNet(classes=2, thin=64).eval()
    for parameter in (net.score_fc7.weight, net.score_pool6.weight):
        nn.init.zeros_(parameter)
    nn.init.constant_(net.score_fc7.bias, 1.0)
    with torch.inference_mode():
        full = net(noise(40, 61))
        one = torch.zeros(1, 2, 5, 8)
        one[..., 2, 3] = 1.0
        net.native = lambda _x: one
        peak = net(noise(40, 61))[0, 0]
    assert torch.allclose(full[..., 4:-4, 4:-5], torch.ones(()))
    assert full[0, 0, 20, :4].tolist() == pytest.approx([0.5625, 0.6875, 0.8125, 0.9375])
    # The cell of pixels 16 to 23 and 24 to 31 is strongest in their middle.
    assert torch.allclose(peak[16:24, 24:32], peak[16:24, 24:32].flip(0, 1))
    assert float(peak.max()) == float(peak[19, 27])


@pytest.mark.parametrize("card", ONE_SCALE)
def test_a_tile_with_its_margin_gives_what_the_whole_image_gives(card: str) -> None:
    torch.manual_seed(0)
    net = visible(create_model(card, classes=2, thin=32))
    reach = ceil(net.margin / net.multiple) * net.multiple
    start, core = 352, 32
    x = noise(24, start + core + reach + 64)
    pooled: list[torch.Tensor] = []
    if isinstance(net, ParseNet):
        net.pool6.register_forward_hook(lambda _module, _args, out: pooled.append(out))
    with torch.inference_mode():
        whole = net(x)
        if isinstance(net, ParseNet):
            net.pool6.fixed = pooled[0]
        tile = net(x[..., start - reach : start + core + reach])[..., reach : reach + core]
    assert float((tile - whole[..., start : start + core]).abs().max()) < 1e-4 * float(whole.abs().max())
