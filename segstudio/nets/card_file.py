"""Cards as TOML: every entry checked on reading, and nothing written that could not be read again."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from segstudio.core.errors import ModelError
from segstudio.nets.card_model import ModelCard, WeightsRef
from segstudio.nets.registry_names import FAMILY_NAMES, PROFILE_NAMES, OptionValue, current_family

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_TEXTS: Final = ("title", "license", "paper", "description", "merit", "origin", "source_sha256")
_MAX_CARD_BYTES: Final = 1 << 20
_MAX_CLASSES: Final = 255


def read_card(path: Path) -> ModelCard:
    """The card in a TOML file, without its path.

    Raises:
        ModelError: The file cannot be read, is no TOML, or says something a card cannot say.
    """
    try:
        if path.stat().st_size > _MAX_CARD_BYTES:
            raise ModelError(f"The card {path.name} is larger than a card can be.", "Choose a model card (TOML).")
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"The card {path} cannot be read ({error.strerror}).", "Check the path.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ModelError(f"The card {path.name} is not valid TOML ({error}).", "Correct the file.") from error
    return _card_from(data, path.name)


def card_text(card: ModelCard, name: str) -> str:
    """The TOML of a card for the file `name`.

    Raises:
        ModelError: The card says something a card cannot say.
    """
    text = _to_toml(_to_table(card))
    _card_from(tomllib.loads(text), name)
    return text


def _bad(source: str, what: str) -> ModelError:
    return ModelError(f"The card {source} is not usable: {what}.", "Correct the file; models/README.md says how.")


def _card_from(data: Mapping[str, Any], source: str) -> ModelCard:
    fields = set(ModelCard.__dataclass_fields__) - {"path"}
    unknown = sorted(set(data) - fields)
    if unknown:
        raise _bad(source, f"unknown entry {unknown[0]!r}")
    texts = {key: _text(data, key, source) for key in _TEXTS}
    if texts["source_sha256"] and not _SHA256.fullmatch(texts["source_sha256"]):
        raise _bad(source, "source_sha256 must be 64 lower-case hexadecimal digits")
    card_id = _text(data, "id", source)
    if not _ID.fullmatch(card_id):
        raise _bad(source, f"{card_id!r} is no id (letters, digits, dot, dash, underscore)")
    name, options = current_family(_text(data, "family", source), _options(data.get("options", {}), source))
    family = _one_of({"family": name}, "family", FAMILY_NAMES, source)
    parent, run = (_text(data, key, source) or None for key in ("parent", "run"))
    trained = data.get("trained", False)
    if not isinstance(trained, bool):
        raise _bad(source, "trained must be true or false")
    return ModelCard(
        id=card_id,
        family=family,
        options=options,
        classes=_classes(data.get("classes", []), source),
        channels=_integer(data.get("channels", 3), "channels", source, limits=(1, 4)),
        preprocessing=_one_of(data, "preprocessing", PROFILE_NAMES, source),
        weights=_weights(data["weights"], source) if "weights" in data else None,
        trained=trained,
        parameters=_count(data, "parameters", source),
        predict_mib=_count(data, "predict_mib", source),
        train_mib=_count(data, "train_mib", source),
        parent=parent,
        run=run,
        metrics=_metrics(data.get("metrics", {}), source),
        title=texts["title"] or card_id,
        license=texts["license"],
        paper=texts["paper"],
        description=texts["description"],
        merit=texts["merit"],
        origin=texts["origin"],
        source_sha256=texts["source_sha256"],
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


def _count(data: Mapping[str, Any], key: str, source: str) -> int | None:
    return _integer(data[key], key, source, limits=(0, 1 << 40)) if key in data else None


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
