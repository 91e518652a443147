"""Memory figures come from the system and from the container it runs in, whichever is smaller."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segstudio.core import memory


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A computer with 100 MiB available, in no container."""
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    (tmp_path / "meminfo").write_text("MemTotal: 999999 kB\nMemAvailable:   102400 kB\n", encoding="ascii")
    return tmp_path


def test_free_memory_is_what_the_system_calls_available(system: Path) -> None:
    assert memory.free_memory() == 100 << 20


@pytest.mark.parametrize(("limit", "expected"), [("max", 100 << 20), (str(64 << 20), 24 << 20), (str(8 << 20), 0)])
def test_a_container_leaves_less(system: Path, limit: str, expected: int) -> None:
    (system / "memory.max").write_text(f"{limit}\n", encoding="ascii")
    (system / "memory.current").write_text(f"{40 << 20}\n", encoding="ascii")
    assert memory.free_memory() == expected


def test_a_container_caps_the_memory_in_all(system: Path) -> None:
    whole = memory.total_memory()
    (system / "memory.max").write_text(f"{1 << 20}\n", encoding="ascii")
    assert memory.total_memory() == 1 << 20 < whole


def test_a_system_that_does_not_say_is_unknown(system: Path) -> None:
    (system / "meminfo").unlink()
    assert memory.free_memory() is None


def test_keeping_freed_pages_changes_nothing_but_speed() -> None:
    memory.keep_freed_pages()
    arrays = [np.full(3 << 20, value, np.uint8) for value in range(4)]
    assert [int(array[-1]) for array in arrays] == [0, 1, 2, 3]
