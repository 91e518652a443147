"""How a run learns: every setting with a safe default for the few images a person has labelled so far."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from segstudio.core.errors import UserError
from segstudio.imaging.files import write_atomic

CONFIG_NAME: Final = "config.json"
_OPTIMIZERS: Final = ("adamw", "sgd")
_SCHEDULES: Final = ("poly", "constant")
_SMALLEST_CROP: Final = 32
_CHOICES_HINT: Final = "Correct config.json in the run folder or start the training again with default settings."


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentConfig:
    """How far a training crop may differ from the image it was taken from; 0 turns an entry off.

    ``scale`` is the widest zoom factor (1.25 = from 0.8x to 1.25x), ``rotate`` degrees to either side, ``brightness``
    and ``noise`` grey levels of 255, ``contrast`` and ``tint`` fractions, ``blur`` pixels of sigma, ``invert`` and
    ``stretch`` (to the full range of grey) probabilities.
    """

    flip: bool = True
    quarter_turns: bool = True
    scale: float = 1.25
    rotate: float = 15.0
    brightness: float = 20.0
    contrast: float = 0.2
    noise: float = 4.0
    tint: float = 0.0
    blur: float = 0.0
    invert: float = 0.0
    stretch: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """All settings of one run.

    ``minutes`` and ``steps`` end the run, whichever comes first; with neither it goes on until it is stopped.
    ``crop`` is the side of the square crops in pixels. ``validate_every`` is counted in steps; without it
    ``validate_seconds`` decides. ``class_balance`` is the share of crops whose class is drawn first, so that a rare
    class is seen.
    """

    model: str = ""
    minutes: float | None = None
    steps: int | None = None
    crop: int = 192
    batch: int = 4
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    momentum: float = 0.9
    schedule: str = "poly"
    warmup: int = 10
    clip_norm: float = 5.0
    average: float = 0.98
    class_balance: float = 0.5
    validate_every: int | None = None
    validate_seconds: float = 8.0
    seed: int = 0
    device: str = "auto"
    augment: AugmentConfig = dataclasses.field(default_factory=AugmentConfig)

    @staticmethod
    def for_family(family: str, device_kind: str = "cpu") -> TrainConfig:
        """The defaults for a network family on ``"cpu"``, ``"cuda"`` or ``"mps"``.

        ``unet`` learns with AdamW. The VGG and ResNet families keep their papers' recipe, SGD with doubled and
        undecayed biases (the networks' parameter groups carry those factors), at the rate that belongs to a loss
        averaged over pixels: FCN's summed 1e-10 over a 375 x 500 image with momentum 0.99 is about 2e-4 with
        momentum 0.9; DeepLab v2's published 2.5e-4 is already one for a mean.
        """
        gpu = device_kind != "cpu"
        base = TrainConfig(crop=256 if gpu else 192, batch=8 if gpu else 4)
        if family == "fcn":
            street = dataclasses.replace(base.augment, quarter_turns=False, rotate=5.0)
            return dataclasses.replace(
                base, optimizer="sgd", learning_rate=2e-4, weight_decay=5e-4, augment=street, batch=8 if gpu else 2
            )
        if family.startswith("deeplab"):
            street = dataclasses.replace(base.augment, quarter_turns=False, rotate=5.0, scale=1.5)
            return dataclasses.replace(
                base,
                optimizer="sgd",
                learning_rate=2.5e-4,
                weight_decay=5e-4,
                augment=street,
                crop=321 if gpu else 193,
                batch=8 if gpu else 2,
            )
        # A minute on two cores is fifty to a hundred and fifty steps: they have to be long ones.
        return dataclasses.replace(base, learning_rate=2e-3)

    def validate(self) -> None:
        """Raises: UserError when a setting cannot work."""
        for name, value, choices in (
            ("optimizer", self.optimizer, _OPTIMIZERS),
            ("schedule", self.schedule, _SCHEDULES),
        ):
            if value not in choices:
                raise UserError(
                    f"The training setting {name} is {value!r}, not one of {', '.join(choices)}.", _CHOICES_HINT
                )
        limits: tuple[tuple[str, float | None, float, float], ...] = (
            ("minutes", self.minutes, 0.0, math.inf),
            ("steps", self.steps, 1, math.inf),
            ("crop", self.crop, _SMALLEST_CROP, 4096),
            ("batch", self.batch, 1, 256),
            ("learning_rate", self.learning_rate, 0.0, 10.0),
            ("weight_decay", self.weight_decay, 0.0, 1.0),
            ("momentum", self.momentum, 0.0, 0.9999),
            ("average", self.average, 0.0, 0.99999),
            ("class_balance", self.class_balance, 0.0, 1.0),
            ("validate_every", self.validate_every, 1, math.inf),
            ("augment.scale", self.augment.scale, 1.0, 8.0),
        )
        for name, number, low, high in limits:
            if number is not None and not low <= number <= high:
                raise UserError(
                    f"The training setting {name} is {number:g}, outside {low:g} to {high:g}.", _CHOICES_HINT
                )

    def to_json(self) -> dict[str, Any]:
        """The settings as a JSON object."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(record: dict[str, Any]) -> TrainConfig:
        """The settings a JSON object describes; absent ones keep their default, unknown ones are left aside.

        Raises:
            UserError: A setting has a value that cannot work.
        """
        known = {field.name for field in dataclasses.fields(TrainConfig)}
        values = {name: value for name, value in record.items() if name in known}
        shades = values.pop("augment", None) or {}
        wanted = {field.name for field in dataclasses.fields(AugmentConfig)}
        try:
            augment = AugmentConfig(**{name: value for name, value in shades.items() if name in wanted})
            config = TrainConfig(**values, augment=augment)
            config.validate()
        except (TypeError, AttributeError) as error:
            raise UserError(f"The training settings cannot be read: {error}.", _CHOICES_HINT) from error
        return config

    def save(self, folder: Path) -> None:
        """Writes ``config.json`` into the run folder."""
        write_atomic(folder / CONFIG_NAME, json.dumps(self.to_json(), indent=2).encode())

    @staticmethod
    def load(folder: Path) -> TrainConfig:
        """The settings of a run folder.

        Raises:
            UserError: ``config.json`` is missing or damaged.
        """
        path = folder / CONFIG_NAME
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(
                f"The training settings {path} cannot be read: {error}.", "Start the training again."
            ) from error
        if not isinstance(record, dict):
            raise UserError(f"The training settings {path} are not a JSON object.", "Start the training again.")
        return TrainConfig.from_json(record)
