"""Things that were built before, the last ones used, up to a number of bytes."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Final, Generic, Protocol, TypeVar

import numpy.typing as npt

# Both lattices of a few images of 500 x 375 px, or those of one of 1920 x 1080.
DEFAULT_BYTES: Final = 512 << 20


class _Sized(Protocol):
    @property
    def nbytes(self) -> int:
        """Bytes it takes."""


T = TypeVar("T", bound=_Sized)


class Recent(Generic[T]):
    """What was used last; any number of threads may ask."""

    def __init__(self, limit: int = DEFAULT_BYTES) -> None:
        self.limit = limit
        self._kept: OrderedDict[Hashable, T] = OrderedDict()
        self._guard = threading.Lock()

    def get(self, key: Hashable, build: Callable[[], T]) -> T:
        """What belongs to a key; `build` makes it where it is not there. One larger than the limit is not kept."""
        with self._guard:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                return found
        # Outside the lock: two threads may build the same, which costs time and not correctness.
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
        return sum(one.nbytes for one in self._kept.values())

    def clear(self) -> None:
        """Forgets all of it."""
        with self._guard:
            self._kept.clear()


def fingerprint(array: npt.NDArray[Any]) -> bytes:
    """What tells one image from another."""
    return hashlib.blake2b(array.tobytes(), digest_size=16).digest()
