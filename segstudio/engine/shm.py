"""Arrays in shared memory: slots that the window process owns, reuses and unlinks; workers only visit them.

Only the owner registers with multiprocessing's resource tracker in effect: a spawned worker shares its parent's
tracker, where a second registration of a name is no second entry. A worker must therefore not unregister, or the
owner's safety net (the tracker unlinks what a killed window left behind) would be gone. Python 3.13 can leave the
registration out.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Sequence
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segstudio.core.errors import UserError
from segstudio.engine.protocol import Region

NAME_PREFIX = "segstudio_"
_ALIGNMENT = 64
_SMALLEST_SLOT = 1 << 20
_KEPT_FREE_BYTES = 256 << 20
_SHARED_MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108 - only its free space is looked at


class Slot:
    """A block of shared memory in use by one job."""

    __slots__ = ("_memory", "size")

    def __init__(self, memory: SharedMemory) -> None:
        self._memory = memory
        self.size = memory.size

    @property
    def name(self) -> str:
        """The name a worker opens it by."""
        return self._memory.name

    def read(self, region: Region) -> npt.NDArray[Any]:
        """A copy of the array in `region`."""
        return view(self._memory, region).copy()

    def write(self, arrays: Sequence[npt.NDArray[Any]]) -> tuple[tuple[Region, ...], int]:
        """Copies the arrays to the front; returns where they are and where the free rest begins."""
        return store(self._memory, arrays, offset=0)

    def destroy(self) -> None:
        """Gives the memory back to the system."""
        self._memory.close()
        self._memory.unlink()


class SlotPool:
    """Slots by size class (powers of two), reused while free; one thread uses it."""

    def __init__(self) -> None:
        self._free: list[Slot] = []
        self._used: dict[str, Slot] = {}

    @property
    def used(self) -> int:
        """The number of slots in use."""
        return len(self._used)

    @property
    def free(self) -> int:
        """The number of slots kept for reuse."""
        return len(self._free)

    def acquire(self, size: int) -> Slot:
        """A slot of at least `size` bytes.

        Raises:
            UserError: the system has no shared memory left.
        """
        wanted = max(_SMALLEST_SLOT, 1 << (size - 1).bit_length())
        slot = next((slot for slot in self._free if slot.size >= wanted), None)
        if slot is None or slot.size > 4 * wanted:
            slot = Slot(_created(wanted, size))
        else:
            self._free.remove(slot)
        self._used[slot.name] = slot
        return slot

    def release(self, slot: Slot) -> None:
        """Takes a slot back; keeps it for the next job while all kept ones together are small."""
        if self._used.pop(slot.name, None) is None:
            return
        self._free.append(slot)
        self._free.sort(key=lambda kept: kept.size)
        while sum(kept.size for kept in self._free) > _KEPT_FREE_BYTES:
            self._free.pop().destroy()

    def close(self) -> None:
        """Destroys every slot, also those in use."""
        for slot in (*self._free, *self._used.values()):
            slot.destroy()
        self._free.clear()
        self._used.clear()


def _created(size: int, needed: int) -> SharedMemory:
    # Pages are taken when first written; without this look a full /dev/shm would end the writer by SIGBUS.
    if _SHARED_MEMORY_FOLDER.is_dir() and shutil.disk_usage(_SHARED_MEMORY_FOLDER).free < needed:
        raise UserError(
            f"There is not enough shared memory to hand over an image ({needed >> 20} MiB needed).",
            "Close other programs, or enlarge /dev/shm (in a container: --shm-size).",
        )
    try:
        return SharedMemory(name=f"{NAME_PREFIX}{os.getpid()}_{secrets.token_hex(6)}", create=True, size=size)
    except OSError as error:
        raise UserError(
            f"The system refused {size >> 20} MiB of shared memory ({error.strerror}).", "Close other programs."
        ) from error


def needed_bytes(arrays: Sequence[npt.NDArray[Any]], extra: int) -> int:
    """The size of a slot for these arrays and `extra` bytes of results in up to eight pieces."""
    return sum(array.nbytes for array in arrays) + extra + _ALIGNMENT * (len(arrays) + 8)


def attach(name: str) -> SharedMemory:
    """Opens the slot of another process; the visitor closes it and never unlinks it."""
    if sys.version_info >= (3, 13):
        return SharedMemory(name=name, track=False)
    return SharedMemory(name=name)


def view(memory: SharedMemory, region: Region) -> npt.NDArray[Any]:
    """The array in `region`, without a copy; drop it before closing the memory."""
    return np.ndarray(region.shape, dtype=np.dtype(region.dtype), buffer=memory.buf, offset=region.offset)


def store(memory: SharedMemory, arrays: Sequence[npt.NDArray[Any]], *, offset: int) -> tuple[tuple[Region, ...], int]:
    """Copies arrays one after the other from `offset` on; returns where they are and where they end."""
    regions: list[Region] = []
    for array in arrays:
        region = Region(offset, array.shape, array.dtype.str)
        if offset + array.nbytes > memory.size:
            raise ValueError(f"{array.nbytes} bytes do not fit into the slot at {offset} of {memory.size}")
        view(memory, region)[...] = array
        regions.append(region)
        offset = -(-(offset + array.nbytes) // _ALIGNMENT) * _ALIGNMENT
    return tuple(regions), offset
