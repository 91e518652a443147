"""Checkpoints of DeepLab v3 and v3+ give the numbers that their projects' own code gave."""

from __future__ import annotations

from pathlib import Path

import pytest
from published import check_golden

from segstudio.nets.registry_names import OptionValue

Options = dict[str, OptionValue]

_RESNET50: Options = {"trunk": "resnet50", "layout": "torchvision", "multi_grid": False, "convolutions": 1}
_KAZUTO: Options = {"layout": "caffe", "scales": "multi", "multi_grid": True, "upsampling": "centres"}
_MOBILE: Options = {"trunk": "mobilenetv2", "layout": "unpadded", "multi_grid": False}
# What the original is, the file's name, and the options that tell it apart.
CASES: dict[str, tuple[str, Options]] = {
    "deeplabv3-resnet101-msc_kazuto1011": ("v3.pth", {**_KAZUTO, "convolutions": 0}),
    "deeplabv3plus-resnet101-msc_kazuto1011": ("v3plus.pth", {**_KAZUTO, "convolutions": 2}),
    "deeplabv3-resnet50_VainF": ("best_deeplabv3_resnet50_voc_os16.pth", {**_RESNET50, "output_stride": 16}),
    "deeplabv3plus-resnet101-os8_VainF": (
        "best_deeplabv3plus_resnet101_cityscapes_os8.pth",
        {**_RESNET50, "trunk": "resnet101", "output_stride": 8},
    ),
    "deeplabv3-mobilenet_VainF": ("best_deeplabv3_mobilenet_voc_os16.pth", {**_MOBILE, "output_stride": 16}),
    "deeplabv3plus-mobilenet-os8_VainF": ("best_deeplabv3plus_mobilenet_voc_os8.pth", {**_MOBILE, "output_stride": 8}),
    "deeplabv3plus-resnet101_jfzhang95": (
        "deeplab-resnet.pth.tar",
        {"trunk": "resnet101", "layout": "aligned", "multi_grid": True, "upsampling": "corners", "output_stride": 16},
    ),
    "deeplabv3plus-xception65_jfzhang95": (
        "deeplab-xception.pth.tar",
        {"trunk": "xception65", "layout": "rectified", "upsampling": "corners", "output_stride": 16},
    ),
    "deeplabv3plus-mobilenet-os8_jfzhang95": (
        "deeplab-mobilenet-os8.pth.tar",
        {"trunk": "mobilenetv2", "layout": "lagging", "upsampling": "corners", "output_stride": 8},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_checkpoint_gives_the_numbers_of_its_project(name: str, tmp_path: Path) -> None:
    file, options = CASES[name]
    # kazuto1011's v3 leaves the last upsampling to its caller.
    net = check_golden(name, tmp_path / file, native="kazuto" in name)
    assert net.family == name.split("-")[0]
    assert options.items() <= net.options.items()
    assert net.card.preprocessing == ("CAFFE-DL" if "kazuto" in name else "TV")
    assert net.class_names[1] == ("sidewalk" if "cityscapes" in file else "aeroplane")
