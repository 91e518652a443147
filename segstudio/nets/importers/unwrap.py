"""The tensors of a file without what was wrapped around them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch

from segstudio.nets.card_model import ModelCard
from segstudio.nets.importers.contents import Contents

WRAPPERS: Final = ("state_dict", "model_state_dict", "model_state", "model")
_PARALLEL: Final = "module."
_PREFIXES: Final = ("base.", "Scale.")
_COUNTER: Final = "num_batches_tracked"


def unwrapped(data: Mapping[Any, Any], path: Path, card: ModelCard | None = None) -> Contents:
    """The contents of a loaded file: the dictionary that holds the network, without a prefix that all names share.

    Optimisers, counters and whatever is no tensor are left out and counted.
    """
    wrapper = next((key for key in WRAPPERS if isinstance(data.get(key), Mapping)), "")
    dropped: Counter[str] = Counter()
    notes: dict[str, str] = {}
    if wrapper:
        for key, value in data.items():
            if isinstance(value, str):
                notes[str(key)] = value
            if key != wrapper and (tensors := _tensors_in(value)):
                dropped[f"tensors of {key}"] = tensors
        data = data[wrapper]
    state: dict[str, torch.Tensor] = {}
    for key, value in data.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            dropped["entries that are no tensors"] += 1
        elif key.rsplit(".", 1)[-1] == _COUNTER:
            dropped["batch counters"] += 1
        else:
            state[key] = value
    state, _ = _without(state, _PARALLEL)
    prefix = ""
    for candidate in _PREFIXES:
        state, found = _without(state, candidate)
        prefix = prefix or found
    return Contents(
        state=state,
        prefix=prefix,
        wrapper=wrapper,
        notes=notes,
        path=path,
        card=card,
        dropped=tuple(dropped.items()),
    )


def _without(state: dict[str, torch.Tensor], prefix: str) -> tuple[dict[str, torch.Tensor], str]:
    """(tensors, prefix) with the prefix taken off where every name has it."""
    if not state or not all(key.startswith(prefix) for key in state):
        return state, ""
    return {key.removeprefix(prefix): value for key, value in state.items()}, prefix


def _tensors_in(value: object) -> int:
    """How many tensors lie in lists and dictionaries inside each other, each of these counted once."""
    count = 0
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, torch.Tensor):
            count += 1
        elif isinstance(item, Mapping | list | tuple) and id(item) not in seen:
            seen.add(id(item))
            waiting.extend(item.values() if isinstance(item, Mapping) else item)
    return count
