"""A large image predicted in tiles looks like the same image predicted whole: no seam at any tile's edge."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from segstudio.nets.base import SegmentationNet
from segstudio.nets.card import find_card
from segstudio.nets.fast.arithmetic import Arithmetic
from segstudio.nets.predictor import Predictor
from segstudio.nets.registry import create_model, family_class

SIDE = 1024
# The most far-sighted network of each family. Not here: networks of segmentation_models_pytorch whose upsampling lets
# corner pixels meet or whose pools have fixed grids, both of which stretch with a tile.
CARDS = (
    "fcn8s",
    "unet",
    "unet-original",
    "deeplabv1-msc",
    "deeplabv2-resnet101",
    "deeplabv2-vgg16-aspp-l",
    "deeplabv3-resnet101",
    "deeplabv3plus-resnet101",
    "deeplabv3plus-xception65",
    "parsenet",
    "tv-deeplabv3-resnet50",
    "tv-deeplabv3-mobilenet",
    "tv-lraspp-mobilenet",
    "smp-unet-resnet34",
)


def _narrow(name: str) -> SegmentationNet:
    torch.manual_seed(0)
    known = inspect.signature(family_class(find_card(name).family)).parameters
    options = {"width": 8} if "width" in known else {"thin": 16} if "thin" in known else {}
    net = create_model(name, classes=3, **options)
    heads = [p for key, p in net.named_parameters() if key.startswith(net.head_prefixes) and p.ndim == 4]
    heads = [p for p in heads if p.requires_grad]
    for parameter in heads:
        torch.nn.init.normal_(parameter, std=0.05)
    # Scores that spread as a trained network's do: among nearly equal ones every difference is invisible, among huge
    # ones none is.
    with torch.no_grad():
        spread = float(net.eval()(net.preprocess(_picture()[:384, :384])).std())
        for parameter in heads:
            parameter.mul_(2 / spread)
    return net


def _picture() -> np.ndarray:
    rng = np.random.default_rng(0)
    small = torch.from_numpy(rng.random((1, 3, 24, 24), np.float32))
    smooth = F.interpolate(small, size=(SIDE, SIDE), mode="bicubic", align_corners=False)[0].permute(1, 2, 0).numpy()
    noisy = smooth + rng.standard_normal((SIDE, SIDE, 3), np.float32) * np.float32(0.05)
    return (noisy.clip(0, 1) * 255).astype(np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize("name", CARDS)
def test_tiles_of_a_large_image_show_no_seam(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net, picture = _narrow(name), _picture()
    predictor = Predictor(net, device="cpu", pixel_budget=SIDE * SIDE, arithmetic=Arithmetic())
    want = predictor.probabilities(picture)
    monkeypatch.setattr(predictor, "_core_side", lambda _height, _width: SIDE // 4)
    assert len(predictor._tiles(picture, SIDE // 4, 1)) == 16
    got = predictor.probabilities(picture)
    assert np.abs(got - want).max() < 0.03
    assert (got.argmax(0) == want.argmax(0)).mean() > 0.999
