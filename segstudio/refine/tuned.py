"""What a gain check of the CRF found: the values that did best, and whether they are worth refining with."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

from segstudio.refine.params import CrfParams


@dataclass(frozen=True, slots=True)
class Score:
    """Mean IoU over a set of images, and the IoU of each class (None where it occurs nowhere)."""

    mean_iou: float
    classes: tuple[float | None, ...]

    def to_json(self) -> dict[str, Any]:
        """The figures by name."""
        return {"mean_iou": self.mean_iou, "classes": list(self.classes)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Score:
        """A score from what `to_json` gave.

        Raises:
            ValueError: a figure is no number.
        """
        mean = float(values["mean_iou"])
        if not math.isfinite(mean):
            raise ValueError(f"a mean IoU of {mean}")
        return cls(mean, tuple(None if iou is None else float(iou) for iou in values["classes"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """The outcome of a tuning. All scores are of the images kept for checking.

    Attributes:
        params: The values that did best on the images searched on.
        preset: The values they were compared with.
        before: Without the CRF.
        with_preset: Refined with `preset`.
        after: Refined with `params`.
        class_names: Names of the classes in the order of the scores.
        searched: Images searched on.
        checked: Images the scores are of.
        held_out: True where no image is among both; False where there were too few to part.
        learnt: True where the network learnt from these images, as there were no others: all scores flatter.
        reduced: Images that were looked at in reduced size.
        trials: Parameter sets tried.
        seconds: How long it took.
    """

    params: CrfParams
    preset: CrfParams
    before: Score
    with_preset: Score
    after: Score
    class_names: tuple[str, ...]
    searched: int
    checked: int
    held_out: bool
    learnt: bool = False
    reduced: int = 0
    trials: int = 0
    seconds: float = 0.0

    @property
    def best(self) -> CrfParams:
        """The better of `params` and `preset` on the images checked."""
        return self.params if self.after.mean_iou >= self.with_preset.mean_iou else self.preset

    @property
    def best_score(self) -> Score:
        """What `best` reached."""
        return max(self.after, self.with_preset, key=lambda score: score.mean_iou)

    @property
    def helps(self) -> bool:
        """True where refining with `best` beats not refining."""
        return self.best_score.mean_iou > self.before.mean_iou

    def score_of(self, params: CrfParams) -> Score:
        """What was measured for these values; for others the best there is, as they may do no better."""
        for known, score in ((self.params, self.after), (self.preset, self.with_preset)):
            # How much a stroke counts plays no part where there are none.
            if replace(params, seed_weight=known.seed_weight) == known:
                return score
        return self.best_score

    def to_json(self) -> dict[str, Any]:
        """The outcome as JSON can hold it."""
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in ("params", "preset", "before", "with_preset", "after"):
            values[name] = values[name].to_json()
        return {**values, "class_names": list(self.class_names), "helps": self.helps, "best": self.best.to_json()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Tuned:
        """The outcome from what `to_json` gave.

        Raises:
            ValueError, KeyError, TypeError, AttributeError, UserError: it is something else, or values are unusable.
        """
        params, preset = (CrfParams.from_json(values[name]) for name in ("params", "preset"))
        params.validate()
        preset.validate()
        before, with_preset, after = (Score.from_json(values[name]) for name in ("before", "with_preset", "after"))
        return cls(
            params=params,
            preset=preset,
            before=before,
            with_preset=with_preset,
            after=after,
            class_names=tuple(map(str, values["class_names"])),
            searched=int(values["searched"]),
            checked=int(values["checked"]),
            held_out=bool(values["held_out"]),
            learnt=bool(values["learnt"]),
            reduced=int(values["reduced"]),
            trials=int(values["trials"]),
            seconds=float(values["seconds"]),
        )
