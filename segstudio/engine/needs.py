"""How much memory a network takes, from what its card says; free of torch, so that the window may ask."""

from __future__ import annotations

from typing import Final

from segstudio.nets.card_model import ModelCard

_MIB: Final = 1 << 20
# The process with its libraries, an image and its scores; added where a card was not measured.
_BASE_BYTES: Final = 500 * _MIB
_PARAMETER_BYTES: Final = 4
# The numbers, their gradient and the two averages of the optimiser.
_TRAINING_COPIES: Final = 4


def predict_bytes(card: ModelCard) -> int:
    """Bytes to predict one photograph: measured, or reckoned from the number of parameters."""
    return _needed(card, card.predict_mib, 1)


def train_bytes(card: ModelCard) -> int:
    """Bytes to train with the recipe for few images: measured, or reckoned from the number of parameters."""
    return _needed(card, card.train_mib, _TRAINING_COPIES)


def _needed(card: ModelCard, measured_mib: int | None, copies: int) -> int:
    if measured_mib is not None:
        return measured_mib * _MIB
    return _BASE_BYTES + copies * _PARAMETER_BYTES * (card.parameters or 0)
