"""What a computing device is, in words and numbers; free of torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """One device a network can run on.

    Attributes:
        id: As given to the engine: "cpu", "mps", "cuda:0", ...
        name: As its maker calls it.
        kind: "cpu", "mps" or "cuda".
        memory_total: In bytes, None where unknown.
    """

    id: str
    name: str
    kind: str
    memory_total: int | None


@dataclass(frozen=True, slots=True)
class DeviceState:
    """The device a worker uses now and the memory taken on it (bytes; None where it shares the computer's)."""

    id: str
    name: str
    memory_used: int | None = None
    memory_total: int | None = None
