"""Whether a network can run on the device in use: its memory and the packages it needs, said before it starts."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Final

from segstudio.core.memory import free_memory, total_memory
from segstudio.engine.devices import DeviceInfo
from segstudio.engine.needs import predict_bytes, train_bytes
from segstudio.nets.card_model import ModelCard

_SMP_FAMILY: Final = "smp"
_SMP_PACKAGE: Final = "segmentation_models_pytorch"
# On a processor a network of this many parameters learns for hours what a small one learns in minutes.
_GPU_PARAMETERS: Final = 20_000_000


@dataclass(frozen=True, slots=True)
class Capacity:
    """The memory a network goes into: whose, how many bytes, and how many of them are free (None: unknown)."""

    owner: str
    total: int | None
    free: int | None = None
    is_gpu: bool = False


@dataclass(frozen=True, slots=True)
class Limit:
    """What a network cannot do here.

    Attributes:
        usable: False where it cannot even propose.
        fits: False where memory is short for proposing or for training.
        sentence: Why, and what to do; "" where nothing stands in the way.
    """

    usable: bool = True
    fits: bool = True
    sentence: str = ""


def capacity_of(device: DeviceInfo | None) -> Capacity:
    """The memory of a device; the computer's own for the processor and as long as no device is known."""
    if device is not None and device.kind != "cpu":
        return Capacity(f"the {device.name}", device.memory_total, is_gpu=True)
    return Capacity("this computer", total_memory() or None, free_memory())


def limit_of(card: ModelCard, capacity: Capacity) -> Limit:
    """What stands in the way of using a card here: the worst thing only."""
    if card.family == _SMP_FAMILY and importlib.util.find_spec(_SMP_PACKAGE) is None:
        return Limit(
            usable=False,
            sentence="Needs the package segmentation-models-pytorch, which is not installed. "
            'Add it with: pip install "segstudio[smp]"',
        )
    predicting, training = predict_bytes(card), train_bytes(card)
    owner, total, free = capacity.owner, capacity.total, capacity.free
    if total and predicting > total:
        return Limit(usable=False, fits=False, sentence=f"Needs {_about(predicting)}; {owner} has {_gib(total)}.")
    if free is not None and predicting > free:
        short = f"Needs {_about(predicting)} to propose; {owner} has {_gib(free)} free now. Close other programs first."
        return Limit(fits=False, sentence=short)
    if total and training > total:
        short = f"Needs {_about(training)} to train; {owner} has {_gib(total)}. It can propose, but not learn here."
        return Limit(fits=False, sentence=short)
    if free is not None and training > free:
        short = f"Needs {_about(training)} to train; {owner} has {_gib(free)} free now. Close other programs first."
        return Limit(fits=False, sentence=short)
    return Limit()


def needs_text(card: ModelCard, capacity: Capacity) -> str:
    """Memory to propose and to train, and whether a GPU is advised; "" where the card says nothing about its size."""
    if card.parameters is None and card.predict_mib is None:
        return ""
    words = f"{_about(predict_bytes(card))} to propose, {_gib(train_bytes(card))} to train"
    large = (card.parameters or 0) >= _GPU_PARAMETERS
    return f"{words}; a GPU is advised for training" if large and not capacity.is_gpu else words


def _about(count: int) -> str:
    return f"about {_gib(count)}"


def _gib(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB"
