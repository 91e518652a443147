"""How much main memory this computer has and how much of it is free, as far as the system says."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import Final

_CGROUP: Final = Path("/sys/fs/cgroup")
_M_TRIM_THRESHOLD: Final = -1  # of malloc.h
_M_MMAP_THRESHOLD: Final = -3
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


def keep_freed_pages() -> None:
    """Lets this process use freed arrays of megabytes again as they are; call it once, in a process of one command.

    Otherwise glibc hands each back, and the system clears its pages anew for the next: 2 to 3 ms for an image of a
    megapixel that goes through an export or an import. Up to 256 MiB stay with the process. Other systems have
    allocators of their own, and are left alone.
    """
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        if hasattr(library, "mallopt"):
            library.mallopt(_M_MMAP_THRESHOLD, 64 << 20)
            library.mallopt(_M_TRIM_THRESHOLD, 256 << 20)


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
