from __future__ import annotations

import math

import pytest

from segstudio.core.runs import TrainStep
from segstudio.training.budget import Budget
from segstudio.training.config import TrainConfig
from segstudio.training.gate import judge
from segstudio.training.schedule import rate_factor


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_poly_is_the_power_of_the_whole_bracket() -> None:
    assert rate_factor(TrainConfig(), fraction=0.5, step=99) == pytest.approx(0.5**0.9)
    assert rate_factor(TrainConfig(schedule="constant"), fraction=0.5, step=99) == 1.0


def test_the_first_steps_rise() -> None:
    config = TrainConfig(schedule="constant", warmup=4)
    assert [rate_factor(config, fraction=0, step=step) for step in range(5)] == [0.25, 0.5, 0.75, 1, 1]


def test_steps_fall_by_gamma_and_begin_anew_where_they_restart() -> None:
    config = TrainConfig(schedule="step", warmup=0, step_every=2, gamma=0.1, restarts=((5, 3),))
    rates = [rate_factor(config, fraction=0, step=step) for step in range(9)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 1, 1, 1, 0.1])


def test_the_last_validation_belongs_to_the_budget() -> None:
    clock = Clock()
    budget = Budget(TrainConfig(minutes=1.0), clock=clock)
    budget.scored(0, seconds=10.0)

    clock.now = 49.0
    assert not budget.spent(5)
    clock.now = 50.0
    assert budget.spent(5)


def test_slow_validation_leaves_half_of_the_budget_to_learning() -> None:
    clock = Clock()
    budget = Budget(TrainConfig(minutes=1.0), clock=clock)
    budget.scored(0, seconds=300.0)
    clock.now = 29.0

    assert not budget.spent(5)
    assert not budget.scoring_due(5)


def test_time_spent_paused_is_not_charged(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    budget = Budget(TrainConfig(minutes=1.0), clock=clock)

    def sleep(_seconds: float) -> None:
        clock.now += 5.0

    monkeypatch.setattr("segstudio.training.budget.time.sleep", sleep)
    answers = iter([True, True, True, False])
    budget.wait(lambda: next(answers), lambda: False)

    assert clock.now == 10.0
    assert budget.seconds == 0.0


def test_a_run_counted_in_steps_is_scored_by_steps() -> None:
    budget = Budget(TrainConfig(steps=200))
    due = []
    for step in range(1, 201):
        if budget.scoring_due(step):
            due.append(step)
            budget.scored(step, seconds=0.0)

    assert due == list(range(20, 201, 20))
    assert not budget.unscored(200)


def test_a_run_without_an_end_goes_on() -> None:
    clock = Clock()
    budget = Budget(TrainConfig(), clock=clock)
    clock.now = 1e6

    assert not budget.spent(10**6)


@pytest.mark.parametrize(
    ("child", "parent", "accepted"),
    [
        (0.8, 0.7, True),
        (0.7, 0.8, False),
        (0.7, 0.7, False),
        (0.1, None, True),
        (0.1, math.nan, True),
        (math.nan, None, False),
        (None, 0.5, False),
    ],
)
def test_only_a_better_child_passes_the_gate(child: float | None, parent: float | None, accepted: bool) -> None:
    assert judge(child=child, parent=parent, on_training_images=False).accepted is accepted


def test_a_log_line_holds_null_where_a_figure_is_not_a_number() -> None:
    line = TrainStep(step=1, loss=math.inf, learning_rate=0.1, seconds=0.5).to_line()

    assert line == '{"event": "step", "step": 1, "loss": null, "learning_rate": 0.1, "seconds": 0.5}'
