"""How a script answers: `data.json` and `arrays.npz` in folders 0, 1, ... of the folder its first argument names.

Files, because the foreign projects print. Runs under every environment: numpy and the standard library only.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Answer = tuple[Any, Mapping[str, np.ndarray]]


def answer_with(read: Callable[..., Answer]) -> None:
    """Calls `read` with each list of arguments in the JSON of the second argument, and writes down what it returns.

    Several at once, since importing a foreign project takes seconds.
    """
    for number, arguments in enumerate(json.loads(sys.argv[2])):
        folder = Path(sys.argv[1], str(number))
        folder.mkdir()
        data, arrays = read(*arguments)
        text = json.dumps(data, default=_plain, ensure_ascii=False)
        (folder / "data.json").write_text(text, encoding="utf-8")
        np.savez(folder / "arrays.npz", **arrays)


def _plain(value: Any) -> Any:
    """numpy's numbers and arrays as JSON knows them."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no place in JSON")


def packed(masks: Iterable[np.ndarray]) -> np.ndarray:
    """Masks of one picture as (count, bytes) uint8, eight pixels to a byte, row by row: hundreds take few megabytes."""
    rows = [np.packbits(np.asarray(mask, dtype=bool)) for mask in masks]
    return np.stack(rows) if rows else np.zeros((0, 0), dtype=np.uint8)
