"""What the engine asks the operating system: its own memory, and to end with its parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def process_memory() -> int:
    """Bytes of main memory this process holds (its peak where the system tells no more), 0 where unknown."""
    try:
        resident_pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return _peak_memory()
    return resident_pages * os.sysconf("SC_PAGE_SIZE")


def _peak_memory() -> int:
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def end_with_parent(parent: int) -> None:
    """Lets the system kill this process when the thread that started it ends (Linux; elsewhere the pipe tells).

    The pipe alone is not enough: a native call that holds the interpreter keeps the thread that reads it waiting.
    """
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if sys.platform != "win32" and os.getppid() != parent:
        os._exit(1)


def death_sentence(kind: str, exit_code: int | None, *, restarted: bool) -> str:
    """One sentence for a worker that ended by itself: who, why, and what happens now."""
    who = {
        "engine": "The engine",
        "refine": "The refinement process",
        "trainer": "The trainer",
        "tuner": "The tuning of the CRF",
    }.get(kind, kind)
    if kind == "trainer":
        now = "start the training again to go on, no label is lost"
    elif restarted:
        now = "it has been restarted"
    else:
        now = "the next request starts it again"
    return f"{who} stopped unexpectedly ({_cause(exit_code)}); {now}."


def _cause(exit_code: int | None) -> str:
    if exit_code == -9:
        return "killed by the system, often for lack of memory"
    if exit_code is None:
        return "for an unknown reason"
    if exit_code < 0:
        try:
            return f"it crashed with {signal.Signals(-exit_code).name}"
        except ValueError:
            return f"it crashed with signal {-exit_code}"
    return f"it ended with code {exit_code}"
