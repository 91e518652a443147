"""What a worker says, and frees, where memory does not suffice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from segstudio.core.errors import ModelError
from segstudio.nets.devices import is_out_of_memory, release_memory


@contextmanager
def shortage_as_sentence(device: torch.device, name: str, forget: Callable[[], None]) -> Iterator[None]:
    """Turns running out of memory into a sentence about the network `name`, after `forget` dropped what was loaded.

    Raises:
        ModelError: The memory of `device` did not suffice.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        forget()
        release_memory(device)
        raise ModelError(
            f"The memory of {device} does not suffice for the model {name}.",
            "Close other programs, or choose a smaller model or the CPU.",
        ) from error
