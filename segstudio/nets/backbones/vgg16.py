"""VGG-16's convolutions under the names of the paper's configuration D (Simonyan, Zisserman, ICLR 2015)."""

from __future__ import annotations

from typing import Final

_WIDTHS: Final = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def _convolutions() -> dict[str, tuple[int, int]]:
    layers: dict[str, tuple[int, int]] = {}
    inputs = 3
    for block, widths in enumerate(_WIDTHS, start=1):
        for index, outputs in enumerate(widths, start=1):
            layers[f"conv{block}_{index}"] = (inputs, outputs)
            inputs = outputs
    return layers


CONVOLUTIONS: Final = _convolutions()
"""Name to (input channels, output channels), in order."""


def convolutions_of(block: int) -> tuple[str, ...]:
    """The names of one block's convolutions, `block` from 1 to 5."""
    return tuple(name for name in CONVOLUTIONS if name.startswith(f"conv{block}_"))
