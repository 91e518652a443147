"""Published checkpoints, rebuilt with fixed numbers, give the published networks' outputs."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segstudio.nets.checkpoint import load_model

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "parity"
CASES = ("unet-transposed_milesial", "fcn8s_pytorch-fcn", "deeplabv2-resnet101-msc_kazuto1011")


def _fixed_weights() -> Any:
    spec = importlib.util.spec_from_file_location("fixed_weights", FOLDER / "fixed_weights.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.skipif(not FOLDER.is_dir(), reason="the shared parity cases are not beside this checkout")
@pytest.mark.parametrize("name", CASES)
def test_published_checkpoint_gives_the_published_numbers(name: str, tmp_path: Path) -> None:
    case = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    stored = np.load(FOLDER / f"{name}.npz")
    path = tmp_path / "published.pth"
    torch.save(_fixed_weights().fixed_state_dict(case["keys"]), path)
    net = load_model(path)
    path.unlink()
    with torch.inference_mode():
        logits = net.native(torch.from_numpy(stored["input"])[None])[0].numpy()
    step = int(stored["output_stride_in_file"])
    expected = stored["output"]
    difference = np.abs(logits[:, ::step, ::step] - expected).max()
    assert difference <= 1e-4 * np.abs(expected).max()
    assert (logits.argmax(0) == stored["argmax"]).mean() >= 0.9999
