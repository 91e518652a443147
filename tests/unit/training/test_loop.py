from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segstudio.core.errors import Cancelled, UserError
from segstudio.core.runs import RunResult, TrainEvent, TrainNote, TrainStarted, TrainStep, TrainValidation
from segstudio.nets.card import ModelCard, load_card, save_card
from segstudio.nets.checkpoint import load_model
from segstudio.training import optimize
from segstudio.training.config import AugmentConfig, TrainConfig
from segstudio.training.loop import run_training
from segstudio.training.manifest import Manifest

Quick = Callable[..., TrainConfig]


@pytest.fixture(autouse=True)
def _priority_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    # A run lowers the priority of its own process; here that process is the test's.
    monkeypatch.setattr("segstudio.training.loop.step_aside", lambda: None)


def run(
    folder: Path, *, cancelled: Callable[[], bool] = lambda: False, paused: Callable[[], bool] = lambda: False
) -> tuple[RunResult, list[TrainEvent]]:
    events: list[TrainEvent] = []
    result = run_training(folder, report=events.append, cancelled=cancelled, paused=paused)
    return result, events


def losses(events: list[TrainEvent]) -> list[float]:
    return [event.loss for event in events if isinstance(event, TrainStep)]


def test_a_few_sparse_strokes_on_four_images_are_learnt(discs: Any, quick: Quick) -> None:
    folder = discs.folder("1", quick(steps=60))

    result, events = run(folder)

    assert result.accepted
    assert result.steps == 60
    assert result.best_miou is not None
    assert result.best_miou > 0.9
    assert np.mean(losses(events)[-5:]) < np.mean(losses(events)[:5])


def test_the_kept_weights_load_from_their_card_with_the_classes_named(discs: Any, quick: Quick) -> None:
    result, _ = run(discs.folder("7", quick()))

    assert result.card is not None
    card = load_card(result.card)
    net = load_model(result.card)
    assert (card.id, card.parent, card.run, card.trained) == ("tiny-run-7", "tiny", "7", True)
    assert card.metrics["miou"] == pytest.approx(result.best_miou)
    assert net.loaded.head == "checkpoint"
    assert net.class_names == ("background", "disc")


def test_the_gate_refuses_a_child_that_is_worse_than_its_parent(discs: Any, quick: Quick) -> None:
    good, _ = run(discs.folder("1", quick(steps=60)))

    result, events = run(discs.folder("2", quick(steps=1), model=discs.card("fresh"), parent=good.card))

    assert result.parent_miou == pytest.approx(good.best_miou)
    assert not result.accepted
    assert "Kept the model in use" in result.reason
    started = next(event for event in events if isinstance(event, TrainStarted))
    assert started.parent_miou == result.parent_miou


def test_a_parent_without_a_trained_head_is_no_rival(discs: Any, quick: Quick) -> None:
    result, _ = run(discs.folder("1", quick(), parent=discs.card("untrained")))

    assert result.parent_miou is None
    assert result.accepted


def test_stopping_keeps_the_best_so_far_and_goes_through_the_gate(discs: Any, quick: Quick) -> None:
    events: list[TrainEvent] = []
    result = run_training(
        discs.folder("1", quick(steps=1000, validate_every=2)),
        report=events.append,
        cancelled=lambda: len(losses(events)) >= 5,
    )

    assert result.stopped
    assert result.steps == 5
    assert result.accepted
    assert result.card is not None
    assert load_model(result.card).loaded.head == "checkpoint"


def test_stopping_before_any_score_scores_what_was_learnt_once(discs: Any, quick: Quick) -> None:
    events: list[TrainEvent] = []
    result = run_training(
        discs.folder("1", quick(steps=1000)), report=events.append, cancelled=lambda: len(losses(events)) >= 2
    )

    assert result.stopped
    assert result.best_miou is not None
    assert sum(isinstance(event, TrainValidation) for event in events) == 1


def test_stopping_before_the_first_step_leaves_the_model_in_use(discs: Any, quick: Quick) -> None:
    result, events = run(discs.folder("1", quick(), parent=discs.card("other")), cancelled=lambda: True)

    assert (result.stopped, result.accepted, result.card, result.steps) == (True, False, None, 0)
    assert losses(events) == []


def test_the_same_seed_gives_the_same_run(discs: Any, quick: Quick) -> None:
    _, first = run(discs.folder("1", quick(seed=3)))
    _, second = run(discs.folder("2", quick(seed=3)))
    _, other = run(discs.folder("3", quick(seed=4)))

    assert losses(first) == losses(second)
    assert losses(first) != losses(other)
    kept = [load_model(discs.root / name / "card.toml").state_dict() for name in ("1", "2")]
    assert all(torch.equal(kept[0][key], kept[1][key]) for key in kept[0])


def test_undecided_pixels_never_teach(runs: Any, quick: Quick) -> None:
    """Two strokes of 5 x 5 pixels decide what the halves are; the undecided rest is not learnt as background."""
    rgb = np.full((64, 64, 3), 50, np.uint8)
    rgb[:, 32:] = 200
    labels = np.full((64, 64), 255, np.uint8)
    labels[10:15, 10:15] = 0
    labels[40:45, 50:55] = 1
    runs.add("train", rgb, labels)
    complete = np.zeros((64, 64), np.uint8)
    complete[:, 32:] = 1
    runs.add("validation", rgb, complete)

    result, _ = run(runs.folder("1", quick(steps=50)))

    assert result.best_miou is not None
    assert result.best_miou > 0.9


def test_without_a_decided_pixel_the_run_says_so(runs: Any, quick: Quick) -> None:
    runs.add("train", np.zeros((40, 40, 3), np.uint8), np.full((40, 40), 255, np.uint8))

    with pytest.raises(UserError, match="nothing to learn"):
        run(runs.folder("1", quick()))


def test_a_single_decided_class_is_warned_about(runs: Any, quick: Quick) -> None:
    runs.add("train", np.zeros((40, 40, 3), np.uint8), np.zeros((40, 40), np.uint8))

    result, events = run(runs.folder("1", quick()))

    notes = " ".join(event.text for event in events if isinstance(event, TrainNote))
    assert "Only background is labelled" in notes
    assert result.steps == 4


def test_without_a_labelled_validation_image_the_reason_says_what_was_scored(runs: Any, quick: Quick) -> None:
    runs.add("train", np.zeros((40, 40, 3), np.uint8), np.eye(40, dtype=np.uint8))
    runs.add("validation", np.zeros((40, 40, 3), np.uint8), np.full((40, 40), 255, np.uint8))

    result, events = run(runs.folder("1", quick()))

    assert "on the training images" in result.reason
    started = next(event for event in events if isinstance(event, TrainStarted))
    assert (started.train_images, started.validation_images) == (1, 0)


def test_running_out_of_memory_makes_the_step_smaller_and_says_so(
    discs: Any, quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn = optimize.Stepper._learn

    def hungry(stepper: optimize.Stepper) -> float:
        if stepper.count > 1:
            raise RuntimeError(
                "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
            )
        return learn(stepper)

    monkeypatch.setattr(optimize.Stepper, "_learn", hungry)
    result, events = run(discs.folder("1", quick(batch=4)))

    notes = [event.text for event in events if isinstance(event, TrainNote)]
    assert result.steps == 4
    assert "2 crop(s) of 64 pixels at a time" in notes[0]
    assert "1 crop(s)" in notes[1]


def test_memory_for_not_even_one_crop_is_one_sentence(
    discs: Any, quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    def starved(_stepper: optimize.Stepper) -> float:
        raise MemoryError

    monkeypatch.setattr(optimize.Stepper, "_learn", starved)
    with pytest.raises(UserError, match="memory does not suffice"):
        run(discs.folder("1", quick()))


def test_an_error_that_is_not_about_memory_is_not_swallowed(
    discs: Any, quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_stepper: optimize.Stepper) -> float:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(optimize.Stepper, "_learn", broken)
    with pytest.raises(RuntimeError, match="shapes differ"):
        run(discs.folder("1", quick()))


def test_no_step_is_made_while_paused(discs: Any, quick: Quick) -> None:
    asked = 0

    def paused() -> bool:
        nonlocal asked
        asked += 1
        return asked < 6

    result, _ = run(discs.folder("1", quick()), paused=paused)

    assert asked > 6
    assert result.steps == 4


def test_the_log_holds_one_json_line_for_each_event_and_the_result(discs: Any, quick: Quick) -> None:
    folder = discs.folder("1", quick())
    result, events = run(folder)

    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == [event.kind for event in events] + ["result"]
    assert lines[-1]["best_miou"] == result.best_miou


def test_a_budget_in_minutes_ends_the_run_with_a_score(discs: Any, quick: Quick) -> None:
    result, events = run(discs.folder("1", quick(steps=None, minutes=0.01)))

    assert result.steps >= 1
    assert isinstance(events[-1], TrainValidation)
    assert not result.stopped


def test_a_staged_network_goes_on_from_the_stage_before_and_says_so(discs: Any, quick: Quick) -> None:
    cards = {}
    for variant in ("32s", "16s"):
        cards[variant] = discs.root / f"fcn{variant}.toml"
        options = {"variant": variant, "thin": 32}
        save_card(ModelCard(id=f"fcn{variant}", family="fcn", title=f"FCN-{variant}", options=options), cards[variant])
    first, _ = run(discs.folder("1", quick(steps=2, optimizer="sgd"), model=cards["32s"]))
    assert first.card is not None
    folder = discs.folder("2", quick(steps=1, learning_rate=0.0), model=cards["16s"])
    replace(Manifest.load(folder), start_card=first.card).save(folder)

    result, events = run(folder)

    started = next(event for event in events if isinstance(event, TrainStarted))
    assert "goes on from FCN-32s, run 1" in started.note
    assert result.card is not None
    former, net = load_model(first.card).state_dict(), load_model(result.card).state_dict()
    assert all(torch.equal(net[key], former[key]) for key in ("conv1_1.weight", "fc7.weight", "score_fr.weight"))


def test_the_original_unet_learns_with_context_and_weighted_borders(discs: Any, quick: Quick) -> None:
    card = discs.root / "original.toml"
    save_card(ModelCard(id="original", family="unet-original", options={"width": 2}), card)

    config = quick(steps=3, batch=1, border_weight=10.0, augment=AugmentConfig(elastic=4.0))
    result, events = run(discs.folder("1", config, model=card))

    assert result.steps == 3
    assert all(np.isfinite(losses(events)))
    assert result.card is not None
    assert load_model(result.card).family == "unet-original"


def test_a_download_is_told_once_and_stopping_it_ends_the_run(
    discs: Any, quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow_load(
        *_args: object, progress: Callable[[float], None], cancelled: Callable[[], bool], **_: object
    ) -> None:
        progress(0.1)
        progress(0.2)
        assert cancelled()
        raise Cancelled

    monkeypatch.setattr("segstudio.training.loop.load_model", slow_load)
    result, events = run(discs.folder("1", quick()), cancelled=lambda: True)

    notes = [event.text for event in events if isinstance(event, TrainNote) and "downloaded" in event.text]
    assert len(notes) == 1
    assert (result.stopped, result.steps, result.card) == (True, 0, None)
