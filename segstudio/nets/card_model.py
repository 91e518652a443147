"""What a model card says, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from segstudio.nets.registry_names import OptionValue


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsRef:
    """Where a card's numbers come from: a `file`, a `torchvision` weight name, or a `url` with its `sha256`."""

    file: str | None = None
    torchvision: str | None = None
    url: str | None = None
    sha256: str | None = None
    license: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """Everything the program and a reader need to know about one model.

    Attributes:
        classes: Names in channel order; empty where the model takes any classes.
        merit: The published figure of merit, with its data set, in words.
        origin: The project whose checkpoint was imported; empty for our own.
        source_sha256: The hash of the file that was imported, by which it is known again; else empty.
        predict_mib: Working memory in MiB to predict an image of 500 x 375 in float32, weights included; measured.
        train_mib: Working memory in MiB of a training step with the recipe for few images on a CPU; measured.
        metrics: Figures measured by SegStudio itself, by name.
        path: The file the card was read from; None for one made in memory.
    """

    id: str
    family: str
    title: str = ""
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    channels: int = 3
    preprocessing: str = "UNIT"
    weights: WeightsRef | None = None
    trained: bool = False
    license: str = ""
    paper: str = ""
    description: str = ""
    merit: str = ""
    origin: str = ""
    source_sha256: str = ""
    parameters: int | None = None
    predict_mib: int | None = None
    train_mib: int | None = None
    parent: str | None = None
    run: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    path: Path | None = None
