"""Whether a process still lives, and when it started: a number alone may have been given to another one since."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

# Its own name, so that type checkers look at the branches of every system.
_SYSTEM: Final[str] = str(sys.platform)


def start_mark(pid: int) -> str | None:
    """Text that two processes of one number never share; "" where the system does not tell; None where none lives."""
    if pid <= 0:
        return None
    if _SYSTEM == "win32":
        return _windows_mark(pid)
    if not _signal_reaches(pid):
        return None
    if _SYSTEM == "linux":
        return _linux_mark(pid)
    return _ps_mark(pid)


def _signal_reaches(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _linux_mark(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
    # The name, in parentheses, may itself hold spaces and parentheses; state is field 3, start time field 22.
    fields = stat.rpartition(")")[2].split()
    if fields[0] in ("Z", "X"):  # killed, only not yet collected by its parent
        return None
    return f"{boot}:{fields[19]}"


def _ps_mark(pid: int) -> str | None:
    try:
        answer = subprocess.run(
            ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    state, _, started = answer.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else started.strip()


def _windows_mark(pid: int) -> str | None:
    # os.kill(pid, 0) would end the process here, so Windows is asked directly.
    ctypes: Any = importlib.import_module("ctypes")
    wintypes: Any = importlib.import_module("ctypes.wintypes")
    query_limited, still_active, access_denied = 0x1000, 259, 5
    kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    kernel.OpenProcess.restype = wintypes.HANDLE
    handle = kernel.OpenProcess(query_limited, 0, pid)
    if not handle:
        return "" if ctypes.get_last_error() == access_denied else None
    try:
        code = wintypes.DWORD()
        if not kernel.GetExitCodeProcess(wintypes.HANDLE(handle), ctypes.byref(code)) or code.value != still_active:
            return None
        times = [wintypes.FILETIME() for _ in range(4)]
        if not kernel.GetProcessTimes(wintypes.HANDLE(handle), *(ctypes.byref(t) for t in times)):
            return ""
        return f"{times[0].dwHighDateTime}:{times[0].dwLowDateTime}"
    finally:
        kernel.CloseHandle(wintypes.HANDLE(handle))
