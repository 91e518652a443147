"""Checkpoints of other projects give the numbers that those projects' own code gave."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from published import SHARED, assert_equal_outputs, check_golden, fixed_state

from segstudio.nets.families.fcn import FCN


@pytest.mark.parametrize("variant", ["32s", "16s", "8s-atonce"])
def test_fcn_of_pytorch_fcn_gives_its_numbers(variant: str, tmp_path: Path) -> None:
    net = check_golden(f"fcn{variant}_pytorch-fcn_thin8", tmp_path / f"fcn{variant}_from_caffe.pth")
    assert net.options == {"variant": variant, "thin": 8}
    assert net.card.preprocessing == "CAFFE-FCN"


def test_deeplab_of_isht7_gives_its_numbers(tmp_path: Path) -> None:
    net = check_golden("deeplabv2-resnet101-msc_isht7", tmp_path / "MS_DeepLab_resnet_trained_VOC.pth")
    assert (net.classes, net.class_names[15], net.card.preprocessing) == (21, "person", "CAFFE-DL")


def test_bilinear_unet_of_milesial_gives_its_numbers(tmp_path: Path) -> None:
    net = check_golden("unet-bilinear_milesial", tmp_path / "unet_carvana_scale0.5_epoch2.pth")
    assert net.options["bilinear"] is True
    assert net.class_names == ("background", "car")


def test_old_unet_of_milesial_with_convolution_biases_gives_its_numbers(tmp_path: Path) -> None:
    net = check_golden("unet-transposed-biases_milesial", tmp_path / "checkpoint.pth")
    assert net.options["bilinear"] is False
    assert net.class_names == ()


def test_an_at_once_file_read_as_plain_8s_would_give_other_numbers(tmp_path: Path) -> None:
    """What the two names are told apart for."""
    net = check_golden("fcn8s-atonce_pytorch-fcn_thin8", tmp_path / "fcn8s-atonce.pth")
    plain = FCN(classes=21, variant="8s", thin=8).eval()
    plain.load_state_dict(net.state_dict())
    x = torch.randn(1, 3, 33, 33)
    with torch.inference_mode(), pytest.raises(AssertionError):
        assert_equal_outputs(plain(x).numpy(), net(x).numpy())


@pytest.mark.skipif(not (SHARED / "parity").is_dir(), reason="the shared parity cases are not beside this checkout")
def test_fixed_numbers_are_those_of_the_shared_cases(tmp_path: Path) -> None:
    import runpy

    theirs = runpy.run_path(str(SHARED / "parity" / "fixed_weights.py"))["fixed_state_dict"]
    keys = {
        "conv.weight": [4, 3, 3, 3],
        "conv.bias": [4],
        "bn.weight": [4],
        "bn.running_mean": [4],
        "bn.running_var": [4],
        "bn.num_batches_tracked": [],
        "upscore8.weight": [2, 2, 16, 16],
    }
    ours, expected = fixed_state(keys), theirs(keys)
    assert all(torch.equal(ours[key], expected[key]) for key in keys)
