"""What a device can do: number formats, memory that is left, and what running out of it looks like."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch

from segstudio.core import memory
from segstudio.core.errors import ModelError

_CPU_WORDS: Final = ("can't allocate memory", "not enough memory", "failed to allocate", "out of memory")
_UNKNOWN_FREE_BYTES: Final = 2 << 30
_MMAP_THRESHOLD: Final = "MALLOC_MMAP_THRESHOLD_"
_M_MMAP_THRESHOLD: Final = -3
_LARGE_ARRAY_BYTES: Final = 16 << 20
_TENSOR_CORES_SINCE: Final = (7, 0)


def resolve_device(wanted: str | torch.device | None) -> torch.device:
    """The device to work on; None and "auto" take CUDA, then MPS, then the CPU.

    Raises:
        ModelError: The wanted device does not exist or is not there.
    """
    if wanted is None or wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"The device {wanted} is not available on this computer.", "Choose auto or cpu.") from error
    return device


def fast_dtype(device: torch.device) -> torch.dtype | None:
    """The 16-bit format the device computes faster than float32, or None where it has none."""
    if device.type == "cpu":
        return torch.bfloat16 if has_matrix_unit() else None
    if device.type != "cuda":
        return None
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    return torch.float16 if torch.cuda.get_device_capability(device) >= _TENSOR_CORES_SINCE else None


def prefers_channels_last(device: torch.device) -> bool:
    """Whether convolutions run faster on pixels whose channels lie side by side."""
    # Measured for unet-small: 15 to 40 % faster on the CPU, with AMX and without. It is oneDNN that gains.
    return device.type == "cuda" or (device.type == "cpu" and _has_onednn())


def free_memory(device: torch.device) -> int:
    """Bytes that can still be taken on the device, as far as it says."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return max(0, int(torch.mps.recommended_max_memory()) - int(torch.mps.driver_allocated_memory()))
    found = memory.free_memory()
    return _UNKNOWN_FREE_BYTES if found is None else found


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error says that memory ran out, on whichever device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _CPU_WORDS)


def trim_heap() -> None:
    """Returns freed memory that the C library keeps to the system; building a fast network leaves a gibibyte of it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


@contextmanager
def giving_back() -> Iterator[None]:
    """Large arrays return to the system as soon as they are freed, where our workers otherwise keep them.

    Kept arrays save a sixth of the time, and leave gaps that double what tile after tile takes.
    """
    usual = os.environ.get(_MMAP_THRESHOLD)
    option = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if option is None or usual is None or not usual.isdigit():
        yield
        return
    option(_M_MMAP_THRESHOLD, _LARGE_ARRAY_BYTES)
    try:
        yield
    finally:
        option(_M_MMAP_THRESHOLD, int(usual))
        trim_heap()


def release_memory(device: torch.device) -> None:
    """Returns cached blocks to the device after memory ran out."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def has_matrix_unit() -> bool:
    """Whether the CPU multiplies matrices of bfloat16 in tiles (AMX)."""
    # AMX halves a step of unet-small (126 to 66 ms) and a prediction (18 to 10 ms). AVX-512's bfloat16 alone makes
    # both slower (136 to 164 ms, 19 to 29 ms), and where even that is missing, several times slower.
    probe = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return probe is not None and bool(probe())


def _has_onednn() -> bool:
    return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
