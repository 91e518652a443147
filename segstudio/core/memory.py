"""How much main memory this computer has and how much of it is free, as far as the system says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_CGROUP: Final = Path("/sys/fs/cgroup")
_MEMINFO: Final = Path("/proc/meminfo")


def total_memory() -> int:
    """Bytes of main memory this process may ever use: the computer's, or less in a container; 0 where unknown."""
    try:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0
    limit = _group_value("memory.max")
    return whole if limit is None else min(whole, limit)


def free_memory() -> int | None:
    """Bytes of main memory that can still be taken without swapping; None where the system does not say."""
    found = [free for free in (_system_free(), _group_free()) if free is not None]
    return min(found) if found else None


def _system_free() -> int | None:
    try:
        lines = _MEMINFO.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return found[0] if found else None


def _group_free() -> int | None:
    """What the control group this process runs in leaves (containers); None without a limit."""
    limit, used = _group_value("memory.max"), _group_value("memory.current")
    return None if limit is None or used is None else max(0, limit - used)


def _group_value(name: str) -> int | None:
    try:
        text = (_CGROUP / name).read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None
