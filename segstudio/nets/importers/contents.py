"""What goes into a rule and what comes out: the tensors of a file, and what they turned out to be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from segstudio.core.catalog import Catalog
from segstudio.core.errors import ModelError
from segstudio.nets.card_model import ModelCard
from segstudio.nets.registry_names import OptionValue

State = dict[str, torch.Tensor]
Dropped = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """The tensors of another project's file, without what was wrapped around them.

    Attributes:
        state: Tensors by their project's own names, without `prefix`.
        prefix: What stood before every name: "", "base." or "Scale.".
        wrapper: The entry of the file the tensors lay in, such as "model_state"; "" where they lay bare.
        notes: Texts that lay beside the tensors, such as "arch".
        path: The file, for names that tell more than tensors do.
        card: The card the person says it is; None where they said nothing.
        dropped: What was left out, and how many of it.
    """

    state: Mapping[str, torch.Tensor]
    prefix: str = ""
    wrapper: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)
    path: Path = Path()
    card: ModelCard | None = None
    dropped: Dropped = ()

    def shape(self, key: str) -> tuple[int, ...]:
        """The shape of a tensor; () where there is none of that name."""
        tensor = self.state.get(key)
        return tuple(tensor.shape) if tensor is not None else ()

    def has(self, *keys: str) -> bool:
        """Whether all these tensors are there."""
        return all(key in self.state for key in keys)

    def any_under(self, *prefixes: str) -> bool:
        """Whether some name begins with one of these."""
        return any(key.startswith(prefixes) for key in self.state)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """Another project's checkpoint under our names: what it is, and its tensors.

    Attributes:
        origin: The project it comes from, as owner/name.
        title: The network, in words.
        family: Its family here.
        options: The family's options that rebuild it.
        classes: The number of output channels.
        state: Tensors by our names.
        keys: For each of our names the file's own, where they differ.
        class_names: In channel order; empty where the file is of no known data set.
        preprocessing: The profile its input was prepared with; None = the family's own.
        dropped: What was left out, and how many of it.
        sentences: What a person should know about this import.
        doubt: Why it may be another network. It can be tried as what it likely is, but a card needs certainty.
    """

    origin: str
    title: str
    family: str
    options: Mapping[str, OptionValue]
    classes: int
    state: Mapping[str, torch.Tensor]
    keys: Mapping[str, str] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    preprocessing: str | None = None
    dropped: Dropped = ()
    sentences: tuple[str, ...] = ()
    doubt: ModelError | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One origin: the networks it knows, in words, and how it reads them; None where a file is none of them."""

    networks: str
    read: Callable[[Contents], Recognised | None]


def renamed(contents: Contents, name: Callable[[str], str]) -> tuple[State, dict[str, str]]:
    """(tensors by our names, our name to the file's own), for a function that translates one name."""
    ours = {key: name(key) for key in contents.state}
    state = {ours[key]: value for key, value in contents.state.items()}
    return state, {new: contents.prefix + old for old, new in ours.items()}


def narrowed(channels: int, full: int) -> dict[str, OptionValue]:
    """The option `thin` of a network whose first layer has `channels` instead of `full` channels; {} where equal."""
    return {"thin": full // channels} if 0 < channels < full and full % channels == 0 else {}


def voc_names(classes: int) -> tuple[str, ...]:
    """PASCAL VOC's names where a network has as many classes, else none."""
    names = Catalog.from_palette("voc").sorted_names
    return names if len(names) == classes else ()


def ambiguous(contents: Contents, what: str, *choices: str) -> ModelError:
    """The doubt about a file that may be several networks; `choices` are card ids, the likeliest first."""
    options = " or ".join(f"--as {choice}" for choice in choices)
    return ModelError(
        f"{contents.path.name} may be {what}: their tensors are alike.",
        f"Say which one it is: segstudio models import {contents.path.name} {options}.",
    )
