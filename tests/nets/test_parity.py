"""Published checkpoints, rebuilt with fixed numbers, give the published networks' outputs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from published import SHARED, assert_equal_outputs, load_published

FOLDER = SHARED / "parity"
CASES = ("unet-transposed_milesial", "fcn8s_pytorch-fcn", "deeplabv2-resnet101-msc_kazuto1011")


@pytest.mark.slow
@pytest.mark.skipif(not FOLDER.is_dir(), reason="the shared parity cases are not beside this checkout")
@pytest.mark.parametrize("name", CASES)
def test_published_checkpoint_gives_the_published_numbers(name: str, tmp_path: Path) -> None:
    case = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    stored = np.load(FOLDER / f"{name}.npz")
    net = load_published(case["keys"], tmp_path / f"{name}.pth")
    with torch.inference_mode():
        logits = net.native(torch.from_numpy(stored["input"])[None])[0].numpy()
    step = int(stored["output_stride_in_file"])
    assert_equal_outputs(logits[:, ::step, ::step], stored["output"])
    assert (logits.argmax(0) == stored["argmax"]).mean() >= 0.9999
