"""What a training run reports while it learns and when it ends; plain values that cross the process border."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, TypeAlias


def _plain(value: object) -> object:
    """The value as JSON can hold it: paths as text, not-a-number as null."""
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, (tuple, list)):
        return [_plain(part) for part in value]
    return value


class _LogLine:
    """Gives each event one JSON line of the run's log."""

    __slots__ = ()
    kind: ClassVar[str]

    def to_json(self) -> dict[str, Any]:
        """The event as a JSON object, with its kind under ``event``."""
        record: dict[str, Any] = {"event": self.kind}
        for item in fields(self):  # type: ignore[arg-type]
            record[item.name] = _plain(getattr(self, item.name))
        return record

    def to_line(self) -> str:
        """The event as one line of JSON, without the line end."""
        return json.dumps(self.to_json(), ensure_ascii=False, allow_nan=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainStarted(_LogLine):
    """The run has its network and its data; the first step follows.

    ``total_steps`` is None where time ends the run; ``parent_miou`` is None where nothing trained is in use.
    """

    kind: ClassVar[str] = "started"
    total_steps: int | None
    device: str
    train_images: int
    validation_images: int
    parent_miou: float | None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainStep(_LogLine):
    """One optimizer step: its number from 1, the loss, the learning rate, and seconds since the start."""

    kind: ClassVar[str] = "step"
    step: int
    loss: float
    learning_rate: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainValidation(_LogLine):
    """A scoring of the averaged weights; ``best`` says whether they are the best so far and were kept."""

    kind: ClassVar[str] = "validation"
    step: int
    miou: float
    loss: float
    per_class: tuple[float | None, ...]
    best: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainNote(_LogLine):
    """A sentence a person should read while the run goes on."""

    kind: ClassVar[str] = "note"
    text: str


TrainEvent: TypeAlias = TrainStarted | TrainStep | TrainValidation | TrainNote


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult(_LogLine):
    """How a run ended: its best score, the parent's, the gate's verdict and reason, and the card of the new model.

    ``card`` is the card of the best weights, present whenever there are any, accepted or not.
    """

    kind: ClassVar[str] = "result"
    best_miou: float | None
    parent_miou: float | None
    accepted: bool
    reason: str
    steps: int
    seconds: float
    card: Path | None
    stopped: bool
