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
OPTIMIZERS: Final = ("adamw", "sgd", "rmsprop")
SCHEDULES: Final = ("poly", "step", "constant")
REDUCTIONS: Final = ("pixels", "images")
RECIPES: Final = ("few-images", "published")
_SMALLEST_CROP: Final = 32
_CHOICES_HINT: Final = "Correct config.json in the run folder or start the training again with default settings."


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentConfig:
    """How far a training crop may differ from the image it was taken from; 0 turns an entry off.

    ``scale`` is the widest zoom factor (1.25 = from 0.8x to 1.25x) unless ``zooms`` lists the factors to draw from,
    ``rotate`` degrees to either side, ``brightness`` and ``noise`` grey levels of 255, ``contrast`` and ``tint``
    fractions, ``blur`` and ``elastic`` pixels of sigma, ``invert`` and ``stretch`` (to the full range of grey)
    probabilities.
    """

    flip: bool = True
    quarter_turns: bool = True
    scale: float = 1.25
    zooms: tuple[float, ...] = ()
    rotate: float = 15.0
    elastic: float = 0.0
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

    Attributes:
        recipe: Where the settings come from, for the record.
        minutes: With `steps` what ends the run, whichever comes first; with neither it goes on until it is stopped.
        crop: The side of the square crops in pixels.
        whole_images: Images of up to `crop` pixels a side are taken whole, as they are; `batch` is 1 then.
        batch: Crops that go through the network together.
        accumulate: Batches whose gradients are averaged for one step.
        momentum: Of sgd and rmsprop.
        schedule: poly, step or constant.
        step_every: Steps after which the schedule "step" multiplies the learning rate by `gamma`, again and again.
        restarts: (step, step_every) pairs: from that step on the schedule "step" begins anew.
        warmup: Steps in which the learning rate rises.
        clip_norm: The longest gradient; 0 leaves gradients alone.
        average: How slowly the average of the weights, which is what is kept, follows; 0 keeps the last weights.
        reduction: Whether a loss is divided by its usable pixels or by images.
        batch_norm_momentum: The weight of a batch in the running statistics; None leaves it to the network.
        freeze_batch_norm: Fixes the statistics that were loaded with a trunk; random ones stay free.
        border_weight: w0 of U-Net's weight map; 0 weighs all pixels alike.
        border_sigma: Its sigma in pixels.
        class_balance: The share of crops whose class is drawn first, so that a rare class is seen.
        validate_every: Steps between scorings; without it `validate_seconds` decides.
    """

    model: str = ""
    recipe: str = "few-images"
    minutes: float | None = None
    steps: int | None = None
    crop: int = 192
    whole_images: bool = False
    batch: int = 4
    accumulate: int = 1
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    momentum: float = 0.9
    schedule: str = "poly"
    step_every: int = 1000
    gamma: float = 0.1
    restarts: tuple[tuple[int, int], ...] = ()
    warmup: int = 10
    clip_norm: float = 5.0
    average: float = 0.98
    reduction: str = "pixels"
    batch_norm_momentum: float | None = None
    freeze_batch_norm: bool = False
    border_weight: float = 0.0
    border_sigma: float = 5.0
    class_balance: float = 0.5
    validate_every: int | None = None
    validate_seconds: float = 8.0
    seed: int = 0
    device: str = "auto"
    augment: AugmentConfig = dataclasses.field(default_factory=AugmentConfig)

    def validate(self) -> None:
        """Raises: UserError when a setting cannot work."""
        for name, value, choices in (
            ("optimizer", self.optimizer, OPTIMIZERS),
            ("schedule", self.schedule, SCHEDULES),
            ("reduction", self.reduction, REDUCTIONS),
            ("recipe", self.recipe, RECIPES),
        ):
            if value not in choices:
                raise UserError(
                    f"The training setting {name} is {value!r}, not one of {', '.join(choices)}.", _CHOICES_HINT
                )
        for name, number, low, high in self._limits():
            if number is not None and not low <= number <= high:
                raise UserError(
                    f"The training setting {name} is {number:g}, outside {low:g} to {high:g}.", _CHOICES_HINT
                )

    def _limits(self) -> tuple[tuple[str, float | None, float, float], ...]:
        """(name, value, lowest, highest) of the settings that are numbers."""
        augment = self.augment
        return (
            ("minutes", self.minutes, 0.0, math.inf),
            ("steps", self.steps, 1, math.inf),
            ("crop", self.crop, _SMALLEST_CROP, 4096),
            ("batch", self.batch, 1, 1 if self.whole_images else 256),
            ("accumulate", self.accumulate, 1, 1024),
            ("learning_rate", self.learning_rate, 0.0, 10.0),
            ("weight_decay", self.weight_decay, 0.0, 1.0),
            ("momentum", self.momentum, 0.0, 0.9999),
            ("step_every", min(self.step_every, *(every for _, every in self.restarts), math.inf), 1, math.inf),
            ("gamma", self.gamma, 0.0, 1.0),
            ("warmup", self.warmup, 0, math.inf),
            ("clip_norm", self.clip_norm, 0.0, math.inf),
            ("average", self.average, 0.0, 0.99999),
            ("batch_norm_momentum", self.batch_norm_momentum, 0.0, 1.0),
            ("border_weight", self.border_weight, 0.0, 1000.0),
            ("border_sigma", self.border_sigma, 0.1, 100.0),
            ("class_balance", self.class_balance, 0.0, 1.0),
            ("validate_every", self.validate_every, 1, math.inf),
            ("augment.scale", augment.scale, 1.0, 8.0),
            ("augment.zooms", min(augment.zooms, default=1.0), 0.125, 8.0),
            ("augment.zooms", max(augment.zooms, default=1.0), 0.125, 8.0),
            ("augment.elastic", augment.elastic, 0.0, 100.0),
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
            shades = {name: value for name, value in shades.items() if name in wanted}
            shades["zooms"] = tuple(shades.get("zooms", ()))
            values["restarts"] = tuple((step, every) for step, every in values.get("restarts", ()))
            config = TrainConfig(**values, augment=AugmentConfig(**shades))
            config.validate()
        except (TypeError, ValueError, AttributeError) as error:
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
