"""In which number format and with which kernels a device predicts fastest; measured once, then remembered."""

from __future__ import annotations

import json
import logging
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import torch
from torch import nn

from segstudio.core.paths import user_cache_dir
from segstudio.nets.devices import has_matrix_unit
from segstudio.nets.fast.conv import Folded, FusedConv, PackedConv, UnfoldedConv, folded, packs, unfolds
from segstudio.nets.fast.winograd import DilatedConv, WinogradConv, winograd_fits, winograd_works

_LOG = logging.getLogger(__name__)
_FILE: Final = "arithmetic.json"
# Raised when what is measured, or what the choice means, changes.
_VERSION: Final = 1
_ROUNDS: Final = 4
# A format with fewer digits, or a kernel with more steps, has to earn its place.
_NEEDED_GAIN: Final = 0.9
_DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic:
    """How convolutions are computed: `dtype` by name, weights packed for oneDNN, 3 x 3 kernels by Winograd's method."""

    dtype: str = "float32"
    packed: bool = False
    winograd: bool = False

    @property
    def torch_dtype(self) -> torch.dtype:
        """The format as torch names it."""
        return _DTYPES[self.dtype]

    @property
    def lean(self) -> Arithmetic:
        """The same with every weight held once, as it is: for a network that alone fills much of the memory."""
        return Arithmetic(dtype=self.dtype)

    def make(self, what: Folded, *, relu: bool) -> FusedConv:
        """A folded convolution, and ReLU where wanted, as one step computed in this way."""
        if self.winograd and winograd_fits(what):
            way = DilatedConv if what.dilation[0] > 1 else WinogradConv
            return way(what, relu=relu, dtype=self.torch_dtype)
        kind = PackedConv if self.packed else FusedConv
        if self.dtype == "float32" and unfolds(what):
            kind = UnfoldedConv
        return kind(what, relu=relu, dtype=self.torch_dtype)


def arithmetic_for(device: torch.device) -> Arithmetic:
    """The fastest way on `device`, measured in a fraction of a second the first time ever, remembered on disk."""
    choices = candidates(device)
    key = _key(device, choices)
    known = _KNOWN.get(key)
    if known is None:
        known = _recall(key)
        if known is None:
            known = _fastest(choices, device)
            _remember(key, known)
        _KNOWN[key] = known
    return known


_KNOWN: Final[dict[str, Arithmetic]] = {}


def candidates(device: torch.device) -> list[Arithmetic]:
    """What can be tried on `device`, the plainest first."""
    found = [Arithmetic()]
    if device.type == "cpu":
        if packs(device, torch.float32):
            found = [Arithmetic(packed=True)]
            if winograd_works():
                found.append(Arithmetic(packed=True, winograd=True))
        if packs(device, torch.bfloat16):
            found.append(Arithmetic(dtype="bfloat16", packed=True))
    elif device.type == "cuda":
        found.append(Arithmetic(dtype="float16"))
        if torch.cuda.is_bf16_supported(including_emulation=False):
            found.append(Arithmetic(dtype="bfloat16"))
    return found


def _fastest(choices: Sequence[Arithmetic], device: torch.device) -> Arithmetic:
    if len(choices) == 1:
        return choices[0]
    seconds = _race(choices, device)
    best = 0
    for index, taken in enumerate(seconds):
        if taken < seconds[best] * _NEEDED_GAIN:
            best = index
    return choices[best]


def _race(choices: Sequence[Arithmetic], device: torch.device) -> list[float]:
    """The best time of each choice on convolutions as networks have them, the choices taking turns."""
    layers = [nn.Conv2d(64, 64, 3, padding=1), nn.Conv2d(64, 256, 1), nn.Conv2d(256, 256, 3, padding=1)]
    nets = [
        nn.Sequential(*(choice.make(folded(layer), relu=True) for layer in layers)).to(device) for choice in choices
    ]
    x = torch.rand(1, 64, 64, 96).to(device).contiguous(memory_format=torch.channels_last)
    best = [float("inf")] * len(choices)
    with torch.inference_mode():
        for _ in range(_ROUNDS):
            for index, net in enumerate(nets):
                begin = time.perf_counter()
                net(x)
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
                best[index] = min(best[index], time.perf_counter() - begin)
    return best


def _key(device: torch.device, choices: Sequence[Arithmetic]) -> str:
    """What the choice depends on: device, threads, torch, and what there was to choose from."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        name = f"{platform.processor() or platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
        name += f" x{torch.get_num_threads()}{' AMX' if has_matrix_unit() else ''}"
        # Threads that wait by spinning keep a core from the kernels that are not torch's.
        name += f" {os.environ.get('OMP_WAIT_POLICY', '')}"
    return f"{_VERSION} torch {torch.__version__} {device.type} {name}, one of {len(choices)}"


def _store() -> Path:
    return user_cache_dir() / _FILE


def _recall(key: str) -> Arithmetic | None:
    try:
        record = json.loads(_store().read_text(encoding="utf-8"))[key]
        choice = Arithmetic(**record)
        return choice if choice.dtype in _DTYPES else None
    except (OSError, ValueError, KeyError, TypeError):
        # Nothing measured yet, or a file of another version: measuring again costs a moment.
        return None


def _remember(key: str, choice: Arithmetic) -> None:
    path = _store()
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.part")
        draft.write_text(json.dumps({**known, key: asdict(choice)}, indent=1), encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        _LOG.info("the choice of arithmetic cannot be remembered: %s", error)
