"""Model cards: one TOML file describes one selectable model. Free of torch, so that the window may read them."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from segstudio.core.errors import ModelError
from segstudio.core.paths import models_dir
from segstudio.nets.registry_names import FAMILY_NAMES, PROFILE_NAMES, OptionValue

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_MAX_CARD_BYTES: Final = 1 << 20
_MAX_CLASSES: Final = 255


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
    parameters: int | None = None
    parent: str | None = None
    run: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    path: Path | None = None


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
    try:
        if path.stat().st_size > _MAX_CARD_BYTES:
            raise ModelError(f"The card {path.name} is larger than a card can be.", "Choose a model card (TOML).")
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"The card {path} cannot be read ({error.strerror}).", "Check the path.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ModelError(f"The card {path.name} is not valid TOML ({error}).", "Correct the file.") from error
    return replace(_card_from(data, path.name), path=path.absolute())


def save_card(card: ModelCard, path: str | Path) -> ModelCard:
    """Writes `card` as TOML beside its final place, then renames it; gives the card with its new path.

    Raises:
        ModelError: The folder cannot be written to, or the card says something a card cannot say.
    """
    path = Path(path)
    text = _to_toml(_to_table(card))
    _card_from(tomllib.loads(text), path.name)
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
    found = list_cards(*([models_dir() / "cards"] if folders is None else folders))
    for card in found.cards:
        if card.id == str(name_or_path):
            return card
    for problem_path, reason in found.problems:
        if problem_path.stem == str(name_or_path):
            raise ModelError(reason, f"The card is {problem_path}.")
    known = ", ".join(card.id for card in found.cards) or "none"
    raise ModelError(f"There is no model card named {name_or_path}.", f"Known models: {known}.")


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


def _bad(source: str, what: str) -> ModelError:
    return ModelError(f"The card {source} is not usable: {what}.", "Correct the file; models/README.md says how.")


def _card_from(data: Mapping[str, Any], source: str) -> ModelCard:
    fields = set(ModelCard.__dataclass_fields__) - {"path"}
    unknown = sorted(set(data) - fields)
    if unknown:
        raise _bad(source, f"unknown entry {unknown[0]!r}")
    texts = {key: _text(data, key, source) for key in ("title", "license", "paper", "description", "merit")}
    card_id = _text(data, "id", source)
    if not _ID.fullmatch(card_id):
        raise _bad(source, f"{card_id!r} is no id (letters, digits, dot, dash, underscore)")
    family = _one_of(data, "family", FAMILY_NAMES, source)
    parent, run = (_text(data, key, source) or None for key in ("parent", "run"))
    trained = data.get("trained", False)
    if not isinstance(trained, bool):
        raise _bad(source, "trained must be true or false")
    return ModelCard(
        id=card_id,
        family=family,
        options=_options(data.get("options", {}), source),
        classes=_classes(data.get("classes", []), source),
        channels=_integer(data.get("channels", 3), "channels", source, limits=(1, 4)),
        preprocessing=_one_of(data, "preprocessing", PROFILE_NAMES, source),
        weights=_weights(data["weights"], source) if "weights" in data else None,
        trained=trained,
        parameters=None
        if "parameters" not in data
        else _integer(data["parameters"], "parameters", source, limits=(0, 1 << 40)),
        parent=parent,
        run=run,
        metrics=_metrics(data.get("metrics", {}), source),
        title=texts["title"] or card_id,
        license=texts["license"],
        paper=texts["paper"],
        description=texts["description"],
        merit=texts["merit"],
    )


def _text(data: Mapping[str, Any], key: str, source: str) -> str:
    value = data.get(key, "")
    if not isinstance(value, str):
        raise _bad(source, f"{key} must be text")
    return value


def _one_of(data: Mapping[str, Any], key: str, allowed: Sequence[str], source: str) -> str:
    value = _text(data, key, source)
    if value not in allowed:
        raise _bad(source, f"{key} is {value!r}; it must be one of {', '.join(allowed)}")
    return value


def _integer(value: object, key: str, source: str, *, limits: tuple[int, int]) -> int:
    low, high = limits
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise _bad(source, f"{key} must be a whole number from {low} to {high}")
    return value


def _options(value: object, source: str) -> dict[str, OptionValue]:
    if not isinstance(value, dict) or not all(isinstance(item, int | float | bool | str) for item in value.values()):
        raise _bad(source, "options must be a table of numbers, texts and true or false")
    return dict(value)


def _classes(value: object, source: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise _bad(source, "classes must be a list of names")
    if len(value) > _MAX_CLASSES or len(set(value)) != len(value):
        raise _bad(source, f"classes must be at most {_MAX_CLASSES} different names")
    return tuple(value)


def _metrics(value: object, source: str) -> dict[str, float]:
    if not isinstance(value, dict) or not all(
        isinstance(item, int | float) and not isinstance(item, bool) for item in value.values()
    ):
        raise _bad(source, "metrics must be a table of numbers")
    return {key: float(item) for key, item in value.items()}


def _weights(value: object, source: str) -> WeightsRef:
    names = tuple(WeightsRef.__dataclass_fields__)
    if not isinstance(value, dict) or not set(value) <= set(names):
        raise _bad(source, f"weights must be a table of {', '.join(names)}")
    if not all(isinstance(item, str) and item for item in value.values()):
        raise _bad(source, "entries of weights must be texts")
    ref = WeightsRef(**value)
    if sum(item is not None for item in (ref.file, ref.torchvision, ref.url)) != 1:
        raise _bad(source, "weights must name exactly one of file, torchvision and url")
    if ref.sha256 is not None and not _SHA256.fullmatch(ref.sha256):
        raise _bad(source, "sha256 must be 64 lower-case hexadecimal digits")
    if ref.url is not None and (ref.sha256 is None or not ref.url.startswith("https://")):
        raise _bad(source, "a url must begin with https:// and come with its sha256")
    return ref


def _to_table(card: ModelCard) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for name in ModelCard.__dataclass_fields__:
        value = getattr(card, name)
        if name == "path" or value is None or value in ("", (), {}):
            continue
        if isinstance(value, WeightsRef):
            pairs = {key: getattr(value, key) for key in WeightsRef.__dataclass_fields__}
            value = {key: item for key, item in pairs.items() if item}
        table[name] = value
    return table


def _to_toml(table: Mapping[str, Any]) -> str:
    flat = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    nested = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    lines = [f"{_key(key)} = {_value(value)}" for key, value in flat.items()]
    for name, inner in nested.items():
        lines += ["", f"[{_key(name)}]", *(f"{_key(key)} = {_value(value)}" for key, value in inner.items())]
    return "\n".join(lines) + "\n"


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _quoted(key)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return repr(value)


def _quoted(text: str) -> str:
    # JSON's escapes are a subset of TOML's basic strings, save that TOML also forbids a bare DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
