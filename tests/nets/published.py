"""Published checkpoints without their files: rebuilt with fixed numbers from keys and shapes, and compared.

A golden case is `tests/data/parity/NAME.npz`, written by running the original project's code once:

| entry | what |
|---|---|
| `keys` | the checkpoint's keys and shapes, JSON as bytes |
| `shape` | of the input, (channels, height, width); `network_input` gives the numbers |
| `output` | the original's logits (C, h, w) float32 in evaluation mode, every `step`-th row and column |
| `step` | see `output` |
| `gain` | what multiplies the scales of normalisation; below 1 where sums of many blocks would drown all the rest |
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from segstudio.nets.base import SegmentationNet
from segstudio.nets.checkpoint import load_model

GOLDENS = Path(__file__).resolve().parents[1] / "data" / "parity"
SHARED = Path(__file__).resolve().parents[2].parent / "shared"
TOLERANCE = 1e-4

Keys = Mapping[str, Sequence[int]]


def fixed_state(keys: Keys, *, gain: float = 1.0) -> dict[str, torch.Tensor]:
    """A checkpoint with those keys and shapes and pseudo-random numbers that only depend on the keys.

    Scales of normalisation are multiplied by `gain`.
    """
    state = {key: _fixed_tensor(key, tuple(shape)) for key, shape in keys.items()}
    return {key: value * gain if value.ndim == 1 and key.endswith("weight") else value for key, value in state.items()}


def described_keys(origin_file: str) -> dict[str, Keys]:
    """The key dumps of a file in the shared folder by network; empty where the folder is not beside the project."""
    path = SHARED / "design" / "keys" / f"{origin_file}.json"
    if not path.is_file():
        return {}
    return {name: entry["keys"] for name, entry in json.loads(path.read_text(encoding="utf-8")).items()}


def shapes_only(keys: Keys) -> dict[str, torch.Tensor]:
    """A checkpoint with those keys and shapes that takes no memory and holds no numbers."""
    with torch.device("meta"):
        return {key: torch.empty(tuple(shape)) for key, shape in keys.items()}


def network_input(shape: Sequence[int]) -> torch.Tensor:
    """The input (1, channels, height, width) float32 of a golden case: standard normal, the same everywhere."""
    generator = torch.Generator().manual_seed(zlib.crc32(repr([int(side) for side in shape]).encode()))
    return torch.randn(1, *(int(side) for side in shape), generator=generator)


def load_published(keys: Keys, path: Path, *, gain: float = 1.0) -> SegmentationNet:
    """The network a person gets who loads that project's file, here rebuilt at `path` and removed again."""
    torch.save(fixed_state(keys, gain=gain), path)
    try:
        return load_model(path)
    finally:
        path.unlink()


def write_golden(
    name: str, keys: Keys, shape: Sequence[int], output: torch.Tensor, *, step: int = 1, gain: float = 1.0
) -> None:
    """Stores a case; `output` (C, h, w) is what the original network gave for `fixed_state` and `network_input`."""
    GOLDENS.mkdir(parents=True, exist_ok=True)
    text = json.dumps({key: list(value) for key, value in keys.items()}, separators=(",", ":")).encode()
    np.savez_compressed(
        GOLDENS / f"{name}.npz",
        keys=np.frombuffer(text, np.uint8),
        shape=np.asarray(shape, np.int64),
        output=output[:, ::step, ::step].numpy(),
        step=np.int64(step),
        gain=np.float64(gain),
    )


def check_golden(name: str, path: Path, *, native: bool = True) -> SegmentationNet:
    """Rebuilds the checkpoint as the file `path`, loads it as a person would, and compares the outputs.

    `native` tells whether the original gave its answer at the network's own stride or at input size.
    """
    with np.load(GOLDENS / f"{name}.npz") as golden:
        keys = json.loads(golden["keys"].tobytes())
        shape, output, step = golden["shape"], golden["output"], int(golden["step"])
        gain = float(golden["gain"]) if "gain" in golden else 1.0
    net = load_published(keys, path, gain=gain)
    with torch.inference_mode():
        x = network_input(shape)
        logits = (net.native(x) if native else net(x))[0].numpy()
    assert_equal_outputs(logits[:, ::step, ::step], output)
    return net


def assert_equal_outputs(ours: npt.NDArray[np.float32], theirs: npt.NDArray[np.float32]) -> None:
    """Fails where two outputs differ by more than a rounding error of float32."""
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= TOLERANCE * np.abs(theirs).max()


def _fixed_tensor(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Convolutions N(0, 2 / fan in), scales and variances U(0.5, 1.5), biases and means N(0, 0.05^2)."""
    if key.endswith("num_batches_tracked"):
        return torch.tensor(1)
    generator = torch.Generator().manual_seed(zlib.crc32(key.encode()))
    if "upscore" in key and len(shape) == 4:
        return _bilinear_filter(shape)
    if len(shape) == 4:
        fan_in = shape[1] * shape[2] * shape[3]
        return torch.randn(shape, generator=generator) * (2.0 / fan_in) ** 0.5
    if key.endswith("running_var") or (key.endswith("weight") and len(shape) == 1):
        return torch.rand(shape, generator=generator) + 0.5
    return torch.randn(shape, generator=generator) * 0.05


def _bilinear_filter(shape: tuple[int, ...]) -> torch.Tensor:
    size = shape[2]
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 else factor - 0.5
    taps = 1 - (torch.arange(size) - centre).abs() / factor
    weight = torch.zeros(shape)
    every = torch.arange(shape[0])
    weight[every, every] = torch.outer(taps, taps)
    return weight
