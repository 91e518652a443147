from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from segstudio.nets.backbones.upsampling import BilinearDeconv, bilinear_filter
from segstudio.nets.losses import masked_cross_entropy, masked_dice
from segstudio.nets.preprocess import PROFILES, convert_first_layer, preprocess

PIXEL = np.array([[[200, 100, 50]]], np.uint8)


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ("UNIT", [200 / 255, 100 / 255, 50 / 255]),
        ("CAFFE-DL", [50 - 104.008, 100 - 116.669, 200 - 122.675]),
        ("TV", [(200 / 255 - 0.485) / 0.229, (100 / 255 - 0.456) / 0.224, (50 / 255 - 0.406) / 0.225]),
        ("GRAY01", [(0.299 * 200 + 0.587 * 100 + 0.114 * 50) / 255]),
    ],
)
def test_profile_gives_the_published_numbers(profile: str, expected: list[float]) -> None:
    assert preprocess(PIXEL, profile).flatten().tolist() == pytest.approx(expected, rel=1e-5)


def test_dark_images_are_scaled_like_any_other() -> None:
    assert float(preprocess(np.ones((2, 2, 3), np.uint8), "UNIT").max()) == pytest.approx(1 / 255)


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_what_is_no_rgb_image_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8"):
        preprocess(image, "UNIT")


@pytest.mark.parametrize("target", [name for name in PROFILES if name != "GRAY01"])
def test_converted_first_layer_gives_the_same_features_inside_the_image(target: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (12, 14, 3), dtype=np.uint8)
    weight = torch.randn(5, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    new, shift = convert_first_layer(weight, source="TV", target=target)
    expected = F.conv2d(preprocess(image, "TV"), weight)
    got = F.conv2d(preprocess(image, target), new) + shift.view(1, -1, 1, 1)
    assert torch.allclose(got, expected, atol=1e-4)


def test_undecided_pixels_do_not_change_any_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 3, 4, 8, generator=generator)
    labels = torch.randint(0, 3, (1, 4, 8), generator=generator)
    labels[..., 4:] = 255
    other = logits.clone()
    other[..., 4:] = 50 * torch.randn(1, 3, 4, 4, generator=generator)
    for loss in (masked_cross_entropy, masked_dice):
        assert torch.equal(loss(logits, labels), loss(other, labels))
        assert torch.allclose(loss(logits, labels), loss(logits[..., :4], labels[..., :4]))


def test_dice_of_a_perfect_answer_is_nearly_zero_and_counts_no_absent_class() -> None:
    labels = torch.zeros(1, 32, 32, dtype=torch.long)
    labels[:, 16:] = 2
    logits = 20.0 * F.one_hot(labels, 4).permute(0, 3, 1, 2).float()
    assert float(masked_dice(logits, labels)) < 1e-3
    assert float(masked_dice(-logits, labels)) > 0.9


def test_labels_beyond_the_classes_are_ignored() -> None:
    logits = torch.zeros(1, 2, 1, 3)
    assert float(masked_cross_entropy(logits, torch.tensor([[[0, 7, -1]]]))) == pytest.approx(np.log(2))


def test_bilinear_filter_has_the_published_taps() -> None:
    assert bilinear_filter(4).diagonal().tolist() == [0.0625, 0.5625, 0.5625, 0.0625]
    assert float(bilinear_filter(3)[1, 1]) == 1.0


@pytest.mark.parametrize(("size", "stride"), [(4, 2), (16, 8)])
def test_fixed_deconvolution_is_bilinear_interpolation_away_from_the_border(size: int, stride: int) -> None:
    x = torch.randn(1, 3, 6, 7, generator=torch.Generator().manual_seed(0))
    deconv = BilinearDeconv(3, size, stride=stride)
    up = deconv(x)
    crop = (size - stride) // 2
    up = up[..., crop : crop + 6 * stride, crop : crop + 7 * stride]
    expected = F.interpolate(x, scale_factor=float(stride), mode="bilinear", align_corners=False)
    inner = (..., slice(stride, -stride), slice(stride, -stride))
    assert torch.allclose(up[inner], expected[inner], atol=1e-6)
    assert not deconv.weight.requires_grad


def test_deconvolution_that_mixes_channels_is_computed_in_full() -> None:
    deconv = BilinearDeconv(2, 4, stride=2)
    weight = torch.randn(2, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    deconv.load_state_dict({"weight": weight})
    x = torch.randn(1, 2, 5, 5)
    assert torch.allclose(deconv(x), F.conv_transpose2d(x, weight, stride=2), atol=1e-6)
