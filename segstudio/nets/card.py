"""Model cards: one TOML file describes one selectable model. Free of torch, so that the window may read them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from segstudio.core.errors import ModelError
from segstudio.core.paths import models_dir
from segstudio.nets.card_file import card_text, read_card
from segstudio.nets.card_model import ModelCard, WeightsRef

__all__ = [
    "CardList",
    "ModelCard",
    "WeightsRef",
    "file_sha256",
    "find_card",
    "list_cards",
    "load_card",
    "save_card",
    "shipped_cards",
    "weights_file",
]


@dataclass(frozen=True, slots=True)
class CardList:
    """The usable cards of some folders, and a reason for each file that was left out."""

    cards: tuple[ModelCard, ...]
    problems: tuple[tuple[Path, str], ...]


def load_card(path: str | Path) -> ModelCard:
    """The card in a TOML file, checked field by field.

    Raises:
        ModelError: The file cannot be read, is no TOML, or says something a card cannot say.
    """
    path = Path(path)
    return replace(read_card(path), path=path.absolute())


def save_card(card: ModelCard, path: str | Path) -> ModelCard:
    """Writes `card` as TOML beside its final place, then renames it; gives the card with its new path.

    Raises:
        ModelError: The folder cannot be written to, or the card says something a card cannot say.
    """
    path = Path(path)
    text = card_text(card, path.name)
    draft = path.with_name(f".{path.name}.part")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise ModelError(f"The card {path} cannot be written ({error.strerror}).", "Check the folder.") from error
    return replace(card, path=path.absolute())


def list_cards(*folders: str | Path) -> CardList:
    """The cards in `folders`, by id; a bad card, or a second one with the same id, becomes a problem instead."""
    cards: dict[str, ModelCard] = {}
    problems: list[tuple[Path, str]] = []
    for folder in folders:
        for path in sorted(Path(folder).glob("*.toml")):
            try:
                card = load_card(path)
            except ModelError as error:
                problems.append((path, error.message))
                continue
            if card.id in cards:
                problems.append((path, f"The id {card.id} is already taken by {cards[card.id].path}."))
            else:
                cards[card.id] = card
    return CardList(tuple(cards[key] for key in sorted(cards)), tuple(problems))


def find_card(name_or_path: str | Path, folders: Iterable[str | Path] | None = None) -> ModelCard:
    """The card with that id in `folders` (the shipped ones where None), or the one in that file.

    Raises:
        ModelError: There is no such card; the hint lists the ids there are.
    """
    path = Path(name_or_path)
    if path.suffix == ".toml" and path.is_file():
        return load_card(path)
    places = [Path(folder) for folder in ([shipped_cards()] if folders is None else folders)]
    # A card's file is nearly always named after its id: reading that one saves reading them all.
    for place in places:
        likely = place / f"{name_or_path}.toml"
        if likely.parent == place and likely.is_file() and (card := load_card(likely)).id == str(name_or_path):
            return card
    found = list_cards(*places)
    for card in found.cards:
        if card.id == str(name_or_path):
            return card
    for problem_path, reason in found.problems:
        if problem_path.stem == str(name_or_path):
            raise ModelError(reason, f"The card is {problem_path}.")
    known = ", ".join(card.id for card in found.cards) or "none"
    raise ModelError(f"There is no model card named {name_or_path}.", f"Known models: {known}.")


def shipped_cards() -> Path:
    """The folder of the cards that come with SegStudio."""
    return models_dir() / "cards"


def weights_file(card: ModelCard) -> Path | None:
    """The card's weight file, found beside the card or among the shipped weights, with its hash checked.

    None where the card names no file.

    Raises:
        ModelError: The file is missing, lies elsewhere, or is not the one the card was written for.
    """
    if card.weights is None or card.weights.file is None:
        return None
    name = card.weights.file
    shipped = (models_dir() / "weights").resolve()
    allowed = [shipped] if card.path is None else [card.path.parent.resolve(), shipped]
    starts = [*allowed, shipped.parent / "cards"] if card.path is None else allowed
    candidates = [(start / name).resolve() for start in starts]
    inside = [path for path in candidates if any(path.is_relative_to(folder) for folder in allowed)]
    if not inside:
        raise ModelError(
            f"The card {card.id} names the weight file {name}, which lies outside its folder.",
            "Put the file beside the card.",
        )
    for path in inside:
        if path.is_file():
            _check_hash(card, path)
            return path
    raise ModelError(f"The weight file {name} of the model {card.id} is missing.", f"Put it at {inside[0]}.")


def file_sha256(path: str | Path) -> str:
    """The SHA-256 of a file, as 64 lower-case hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_hash(card: ModelCard, path: Path) -> None:
    expected = card.weights.sha256 if card.weights else None
    if expected is not None and file_sha256(path) != expected:
        raise ModelError(
            f"The weight file {path.name} is not the one the card {card.id} was written for (SHA-256 differs).",
            "Fetch the file again, or correct the card.",
        )
