"""Where the threads of a team wait for each other inside a kernel, without going back to Python.

A step between two kernels costs a thread's wake-up, which takes as long as a kernel on a small window. Here a thread
that comes early looks again and again, for some microseconds at full speed and then giving way to others each time, so
that it does not keep the processor from a training that runs beside.
"""

from __future__ import annotations

import sys
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import njit, types
from numba.core.typing.templates import signature
from numba.extending import intrinsic

_ARRIVED, _TURN = 0, 1
_PATIENCE: Final = 3000
_give_way: Any = None if sys.platform == "win32" else types.ExternalFunction("sched_yield", types.int32())
_GIVES_WAY: Final = _give_way is not None


def new_barrier() -> npt.NDArray[np.int64]:
    """What the threads of one call share."""
    return np.zeros(2, np.int64)


@intrinsic  # type: ignore[untyped-decorator]
def _add(typing: Any, array: Any, place: Any, number: Any) -> Any:
    """Adds to an element in one go, and gives what was there before."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        return builder.atomic_rmw("add", builder.gep(data, [args[1]]), args[2], "seq_cst")

    return signature(types.int64, array, types.intp, types.int64), generate


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def meet(barrier: Any, parts: int) -> None:
    """Returns when all `parts` threads have come here."""
    turn = _add(barrier, _TURN, 0)
    if _add(barrier, _ARRIVED, 1) == parts - 1:
        _add(barrier, _ARRIVED, -parts)
        _add(barrier, _TURN, 1)
        return
    looks = 0
    while _add(barrier, _TURN, 0) == turn:
        looks += 1
        if looks > _PATIENCE and _GIVES_WAY:
            _give_way()
