from __future__ import annotations

import pytest
import torch

from segstudio.nets.devices import fast_dtype, is_out_of_memory


@pytest.mark.parametrize(("matrix_unit", "expected"), [(True, torch.bfloat16), (False, None)])
def test_the_cpu_computes_in_bfloat16_only_with_matrix_units(
    monkeypatch: pytest.MonkeyPatch, *, matrix_unit: bool, expected: torch.dtype | None
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: matrix_unit, raising=False)
    assert fast_dtype(torch.device("cpu")) is expected


def test_running_out_of_memory_is_told_from_other_errors() -> None:
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"))
    assert not is_out_of_memory(RuntimeError("shape mismatch"))
    assert not is_out_of_memory(ValueError("out of memory"))
