"""Another project's checkpoint becomes a card, with its tensors beside it under our names."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch

from segstudio.core.errors import Cancelled, ModelError
from segstudio.nets.base import SegmentationNet
from segstudio.nets.card import (
    ModelCard,
    WeightsRef,
    file_sha256,
    find_card,
    list_cards,
    save_card,
    shipped_cards,
    weights_file,
)
from segstudio.nets.checkpoint import build_from, save_checkpoint
from segstudio.nets.checkpoint_content import Checkpoint, load_state, read_checkpoint
from segstudio.nets.registry import build
from segstudio.nets.registry_names import FAMILY_NAMES

_UNFIT: Final = re.compile(r"[^a-z0-9.-]+")
_LONGEST_ID: Final = 90
_SHOWN_CLASSES: Final = 3
# Options that tell two implementations of one network apart.
_FREE_OPTIONS: Final = ("align_corners",)

Import = tuple[ModelCard, tuple[str, ...]]


def import_checkpoint(
    file: Path,
    folder: Path,
    *,
    said: str = "",
    stage: Callable[[str], None] = lambda text: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Import:
    """(card, sentences): the new card in `folder`, and what was recognised, left out and assumed.

    `said` is the id of the card, or the family, that the person says the file is. A card that goes on from the
    network in the file (FCN-16s from FCN-32s) starts with its tensors. A file that was imported before gives the card
    it gave then.

    Raises:
        ModelError: Not a checkpoint that can be used, not what was said, or the folder cannot be written to.
        Cancelled: ``cancelled`` became true.
    """
    wanted = _wanted(said, folder)
    stage(f"Reading {file.name}")
    checkpoint = read_checkpoint(file, card=wanted)
    if checkpoint.doubt is not None:
        raise checkpoint.doubt
    _check_family(checkpoint, said, wanted, file.name)
    source = file_sha256(file)
    net = build_from(checkpoint, file.name)
    load_state(net, checkpoint, file.name)
    later = None if wanted is None or _has_shapes_of(wanted, net) else _later_stage(wanted, net, checkpoint, file.name)
    draft = _Draft(checkpoint, later or net, file, source, wanted if later is not None else None)
    before = draft.imported_before(folder)
    if before is not None:
        return before, (f"{file.name} was imported before as {before.id}; that model is used.",)
    if cancelled():
        raise Cancelled
    stage("Writing the model")
    return draft.write(folder), draft.sentences()


@dataclass(frozen=True, slots=True)
class _Draft:
    """A filled network on its way to a card.

    Attributes:
        went_on: The card of `net` where that is a later stage than the network in the file.
    """

    checkpoint: Checkpoint
    net: SegmentationNet
    file: Path
    source: str
    went_on: ModelCard | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.checkpoint.class_names or tuple(f"class {number}" for number in range(self.net.classes))

    @property
    def origin(self) -> str:
        return "" if self.checkpoint.model else self.checkpoint.origin

    def imported_before(self, folder: Path) -> ModelCard | None:
        """The card this very import gave before, where card and weights are still there."""
        mine = (self.source, self.net.family, self.net.options)
        for card in list_cards(folder).cards:
            if (card.source_sha256, card.family, dict(card.options)) == mine and _has_weights(card):
                return card
        return None

    def write(self, folder: Path) -> ModelCard:
        """Writes the weights, then the card; a failure leaves neither."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ModelError(f"The folder {folder} cannot be made ({error.strerror}).", "Check the path.") from error
        name = f"{self.went_on.id}-from-{self.file.stem}" if self.went_on else self.file.stem
        card_id = _free_id(name, folder)
        weights = folder / f"{card_id}.pt"
        card = self._card(card_id)
        self.net.card, self.net.class_names = card, self.class_names
        try:
            save_checkpoint(self.net, weights)
            ref = WeightsRef(file=weights.name, sha256=file_sha256(weights), license=card.license)
            return save_card(replace(card, weights=ref), folder / f"{card_id}.toml")
        except BaseException:
            weights.unlink(missing_ok=True)
            raise

    def _card(self, card_id: str) -> ModelCard:
        shipped = _shipped_like(self.net)
        title = (self.went_on.title if self.went_on else self.checkpoint.title) or card_id
        return ModelCard(
            id=card_id,
            family=self.net.family,
            title=f"{title} ({self.origin})" if self.origin else title,
            options=self.net.options,
            classes=self.class_names,
            channels=self.net.channels,
            preprocessing=self.checkpoint.preprocessing or self.net.card.preprocessing,
            trained=True,
            license=f"Unknown; see {self.origin}" if self.origin else "",
            paper=shipped.paper if shipped else "",
            merit=shipped.merit if shipped else "",
            description=f"Imported from {self.file.name}.",
            origin=self.origin,
            source_sha256=self.source,
            parameters=sum(parameter.numel() for parameter in self.net.parameters()),
            predict_mib=shipped.predict_mib if shipped else None,
            train_mib=shipped.train_mib if shipped else None,
        )

    def sentences(self) -> tuple[str, ...]:
        """What was recognised, what a person should know, what was left out."""
        checkpoint = self.checkpoint
        what = f"{checkpoint.title or checkpoint.family} of {checkpoint.origin}"
        said = [f"{self.file.name} is {what}, with {checkpoint.classes} classes{_listed(checkpoint.class_names)}."]
        if not checkpoint.class_names:
            said.append("The file does not name its classes, so they are numbered.")
        said += checkpoint.sentences
        if checkpoint.dropped:
            left = ", ".join(f"{name} ({count})" for name, count in checkpoint.dropped)
            said.append(f"Left out: {left}.")
        if self.went_on:
            said.append("The new model starts where that one ended; train it, for its new layer starts at zero.")
        return tuple(said)


def _has_weights(card: ModelCard) -> bool:
    try:
        return weights_file(card) is not None
    except ModelError:
        return False


def _listed(names: tuple[str, ...]) -> str:
    """The first names after a colon and how many more there are; "" for none."""
    first, rest = ", ".join(names[:_SHOWN_CLASSES]), len(names) - _SHOWN_CLASSES
    return f": {first}{f' and {rest} more' if rest > 0 else ''}" if names else ""


def _wanted(said: str, folder: Path) -> ModelCard | None:
    """The card a person named; None where they named a family or nothing."""
    if not said:
        return None
    try:
        return find_card(said, [shipped_cards(), folder])
    except ModelError:
        if said in FAMILY_NAMES:
            return None
        raise


def _check_family(checkpoint: Checkpoint, said: str, wanted: ModelCard | None, name: str) -> None:
    family = wanted.family if wanted is not None else said
    if family and family != checkpoint.family:
        raise ModelError(
            f"{name} holds {checkpoint.title or checkpoint.family}, not {said}.",
            "Leave --as out, or choose another file.",
        )


def _has_shapes_of(card: ModelCard, net: SegmentationNet) -> bool:
    """Whether a card's network has the very tensors of `net`; its thinness does not count."""
    with torch.device("meta"):
        other = build(card.family, classes=net.classes, options=_as_thin_as(net, card))
    shapes = {key: value.shape for key, value in net.state_dict().items()}
    return shapes == {key: value.shape for key, value in other.state_dict().items()}


def _later_stage(card: ModelCard, net: SegmentationNet, checkpoint: Checkpoint, name: str) -> SegmentationNet:
    """The network of a card, starting with what `net` has learnt.

    Raises:
        ModelError: It does not go on from that network.
    """
    later = build(card.family, classes=net.classes, options=_as_thin_as(net, card))
    if type(later).load_stage is SegmentationNet.load_stage:
        raise ModelError(
            f"{name} holds {checkpoint.title or checkpoint.family}, which is not {card.id}.",
            "Leave --as out, or choose another file.",
        )
    later.load_stage(net.state_dict(), net.options)
    return later


def _as_thin_as(net: SegmentationNet, card: ModelCard) -> dict[str, int | float | bool | str]:
    return {**card.options, **({"thin": net.options["thin"]} if "thin" in net.options else {})}


def _shipped_like(net: SegmentationNet) -> ModelCard | None:
    """The shipped card of the same structure, for its paper and its figures."""

    def structure(options: Any) -> dict[str, object]:
        return {key: value for key, value in options.items() if key not in _FREE_OPTIONS}

    shipped = list_cards(shipped_cards()).cards
    return next(
        (card for card in shipped if card.family == net.family and structure(card.options) == structure(net.options)),
        None,
    )


def _free_id(stem: str, folder: Path) -> str:
    """An id made of a file's name that no card has yet; a number follows where it is taken."""
    base = _UNFIT.sub("-", stem.lower().replace("_", "-")).strip(".-")[:_LONGEST_ID] or "imported"
    taken = {card.id for card in list_cards(shipped_cards(), folder).cards}
    taken |= {path.stem for path in folder.iterdir()}
    number = 1
    while (name := base if number == 1 else f"{base}-{number}") in taken:
        number += 1
    return name
