"""Lattices that were built before, up to a number of bytes."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Final

import numpy.typing as npt

from segstudio.refine.lattice import Lattice

# Both lattices of a few images of 500 x 375 px, or those of one of 1920 x 1080.
DEFAULT_BYTES: Final = 512 << 20


class LatticeCache:
    """The lattices used last; any number of threads may ask."""

    def __init__(self, limit: int = DEFAULT_BYTES) -> None:
        self.limit = limit
        self._kept: OrderedDict[Hashable, Lattice] = OrderedDict()
        self._guard = threading.Lock()

    def get(self, key: Hashable, build: Callable[[], Lattice]) -> Lattice:
        """The lattice of a key; `build` makes it where it is not there. One larger than the cache is not kept."""
        with self._guard:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                return found
        # Outside the lock: two threads may build the same lattice, which costs time and not correctness.
        made = build()
        with self._guard:
            if made.nbytes <= self.limit:
                self._kept[key] = made
            while self.nbytes > self.limit:
                self._kept.popitem(last=False)
        return made

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(lattice.nbytes for lattice in self._kept.values())

    def clear(self) -> None:
        """Forgets all of it."""
        with self._guard:
            self._kept.clear()


def fingerprint(array: npt.NDArray[Any]) -> bytes:
    """What tells one image from another."""
    return hashlib.blake2b(array.tobytes(), digest_size=16).digest()
