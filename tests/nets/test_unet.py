"""The U-Nets, padded and as published."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segstudio.nets.base import SegmentationNet, mirrored
from segstudio.nets.families.unet_original import OriginalUNet
from segstudio.nets.registry import create_model


@pytest.fixture
def original() -> OriginalUNet:
    torch.manual_seed(0)
    return OriginalUNet(classes=2, width=2).eval()


def _parameters(net: SegmentationNet) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize(
    ("name", "classes", "channels", "expected"),
    [
        ("unet", 2, 3, 31_037_698),
        ("unet-bilinear", 2, 3, 17_263_042),
        ("unet-original", 2, 1, 31_030_658),
        ("unet-original", 2, 3, 31_031_810),
    ],
)
def test_parameter_counts_are_the_published_ones(name: str, classes: int, channels: int, expected: int) -> None:
    with torch.device("meta"):
        assert _parameters(create_model(name, classes=classes, channels=channels)) == expected


def test_bilinear_form_has_the_published_shapes() -> None:
    with torch.device("meta"):
        state = create_model("unet-bilinear").state_dict()
    assert len(state) == 110
    assert state["down4.maxpool_conv.1.double_conv.0.weight"].shape == (512, 512, 3, 3)
    assert state["up1.conv.double_conv.3.weight"].shape == (256, 512, 3, 3)
    assert "up1.up.weight" not in state


@pytest.mark.parametrize(("side", "expected"), [(188, 4), (252, 68), (572, 388)])
def test_unpadded_convolutions_give_the_papers_sizes(side: int, expected: int) -> None:
    with torch.device("meta"):
        net = create_model("unet-original", classes=2)
        assert net.native(torch.zeros(1, 3, side, side)).shape == (1, 2, expected, expected)


def test_every_size_between_the_papers_loses_exactly_the_context(original: OriginalUNet) -> None:
    with torch.inference_mode():
        assert {original.native(torch.zeros(1, 3, n, 190)).shape[2] - n for n in range(185, 206)} == {-184}


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (1, 40), (120, 93)])
def test_mirroring_is_that_of_numpy_and_reflects_small_images_repeatedly(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random(size, np.float32)
    ours = mirrored(torch.from_numpy(image)[None, None], 92)[0, 0].numpy()
    np.testing.assert_array_equal(ours, np.pad(image, 92, mode="reflect"))


def test_overlap_tiles_agree_with_the_whole_image(original: OriginalUNet) -> None:
    """A tile that starts on the grid of 16 px and has its margin around it gives the whole image's scores."""
    x = torch.randn(1, 3, 150, 60, generator=torch.Generator().manual_seed(0))
    more = original.margin - original.context
    with torch.inference_mode():
        whole = original(x)
        tile = original.native(mirrored(x, original.context)[:, :, 48 - more : 112 + 2 * original.context + more])
    torch.testing.assert_close(tile[:, :, more : more + 64], whole[:, :, 48:112], rtol=0, atol=1e-5)


def test_weights_are_drawn_as_the_paper_draws_them() -> None:
    torch.manual_seed(0)
    net = OriginalUNet(classes=2, width=16)
    state = net.state_dict()
    for name, incoming in (("down.3.1.weight", 128 * 9), ("up.0.weight", 256), ("join.3.0.weight", 32 * 9)):
        assert float(state[name].std()) == pytest.approx((2 / incoming) ** 0.5, rel=0.05)
    assert not any(bool(value.any()) for key, value in state.items() if key.endswith("bias"))


def test_dropout_acts_on_the_two_lowest_levels_in_training_only(original: OriginalUNet) -> None:
    x = torch.randn(1, 3, 188, 188, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(original.native(x), original.native(x))
        original.train()
        assert not torch.equal(original.native(x), original.native(x))


def test_a_loss_with_real_context_sees_beyond_its_labels(original: OriginalUNet) -> None:
    labels = torch.randint(0, 2, (1, 20, 20), generator=torch.Generator().manual_seed(1))
    x = torch.randn(1, 3, 204, 204, generator=torch.Generator().manual_seed(0))
    inner = x[:, :, 92:112, 92:112]
    real = original.training_loss(x, labels)
    assert torch.equal(original.training_loss(inner, labels), original.training_loss(mirrored(inner, 92), labels))
    assert not torch.equal(original.training_loss(inner, labels), real)
