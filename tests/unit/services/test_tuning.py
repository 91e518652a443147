"""Tuning the CRF from the window's side: on the right images, apart from the window, and with consequences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segstudio.core.errors import UserError
from segstudio.core.events import Change
from segstudio.core.items import Split, Status
from segstudio.core.jobs import ErrorKind, ErrorReport, JobState
from segstudio.core.segmentmap import SegmentMap
from segstudio.engine.base import TUNER, kind_for
from segstudio.engine.protocol import DevicesSpec, Failed, Finished, TuneSpec
from segstudio.nets.card import find_card, save_card
from segstudio.refine.params import CrfParams
from segstudio.refine.samples import Sample
from segstudio.refine.tuned import Score, Tuned
from segstudio.services.gain import crf_or_refusal, images_to_tune_on, known_gain, remember_gain
from segstudio.services.manifests import channel_labels, freeze
from segstudio.services.messages import Message
from segstudio.services.tasks import QueueDispatcher
from segstudio.services.workspace import Workspace


def _tuned(before: float = 0.7, after: float = 0.75, with_preset: float = 0.65) -> Tuned:
    return Tuned(
        params=CrfParams(bilateral_weight=2),
        preset=CrfParams(),
        before=Score(before, (before, None)),
        with_preset=Score(with_preset, (with_preset, None)),
        after=Score(after, (after, None)),
        class_names=("background", "cell"),
        searched=2,
        checked=2,
        held_out=True,
    )


def _review(workspace: Workspace, *indices: int) -> None:
    for index in indices:
        labels = np.zeros((40, 60), np.uint8)
        labels[:, 30:] = 1
        workspace.project.save_map(workspace.images[index].id, SegmentMap.from_semantic(labels), status=Status.REVIEWED)
    workspace.refresh_images()


def _card(workspace: Workspace, name: str, parent: str = "unet-small") -> None:
    """A model that was trained on what is reviewed now, and is in use."""
    run = workspace.project.create_run(parent, {})
    card = replace(find_card("unet-small"), id=name, trained=True, classes=("background", "cell"))
    path = run.folder / "card.toml"
    save_card(card, path)
    freeze(workspace.project, workspace.catalog, run.folder, model_card=path, parent_card=None)
    workspace.project.update_run(run.id, state="done", card=str(path), accepted=True)
    workspace.models.use(name)


@pytest.fixture
def ready(workspace: Workspace, dispatcher: QueueDispatcher) -> Workspace:
    """A model trained on the first image; all four are reviewed since."""
    _review(workspace, 0)
    _card(workspace, "learnt")
    _review(workspace, 1, 2, 3)
    return workspace


@pytest.fixture
def said(workspace: Workspace) -> list[Message]:
    heard: list[Message] = []
    workspace.messages.connect(heard.append)
    return heard


@pytest.fixture
def asked(ready: Workspace, dispatcher: QueueDispatcher) -> Callable[[], tuple[TuneSpec, Any]]:
    """Starts a tuning and waits for the question to the engine."""

    def ask() -> tuple[TuneSpec, Any]:
        questions: list[Any] = ready.engine.questions  # type: ignore[attr-defined]
        ready.tuning.start(preset=CrfParams(iterations=3))
        assert dispatcher.run_until(lambda: bool(questions), timeout=20)
        spec, listener = questions.pop()
        assert isinstance(spec, TuneSpec)
        return spec, listener

    return ask


def test_the_worker_gets_what_the_network_says_of_images_it_never_saw_with_their_labels(
    ready: Workspace, dispatcher: QueueDispatcher, asked: Callable[[], tuple[TuneSpec, Any]]
) -> None:
    spec, listener = asked()
    validation = next(i for i in ready.images if i.split is Split.VALIDATION)
    assert [int(Path(file).stem) for file in spec.files] == [validation.id, ready.images[1].id, ready.images[3].id]
    assert spec.preset.iterations == 3
    assert spec.class_names == ("background", "cell")
    sample = Sample.load(Path(spec.files[0]))
    assert sample.image.shape == (40, 60, 3)
    assert (sample.probabilities.argmax(0) == sample.labels).all()
    assert (sample.labels[:, 30:] == 1).all()
    listener(Finished(_tuned()))
    assert dispatcher.run_until(lambda: not ready.tuning.busy, timeout=20)
    assert not list((ready.project.path / "cache" / "tuning").iterdir())


def test_what_was_found_is_kept_for_the_model_and_told(
    ready: Workspace, dispatcher: QueueDispatcher, said: list[Message], asked: Callable[[], tuple[TuneSpec, Any]]
) -> None:
    changes: list[Change] = []
    ready.changed.connect(lambda change: changes.append(change.what))
    assert ready.tuning.result is None
    _, listener = asked()
    assert ready.tuning.busy
    listener(Finished(_tuned()))
    assert dispatcher.run_until(lambda: not ready.tuning.busy, timeout=20)
    assert ready.tuning.result == _tuned()
    assert known_gain(ready.project, "learnt") == _tuned()
    assert ready.refining.default_params == _tuned().params
    assert "rises from 0.7000 to 0.7500 with the tuned values" in said[-1].text
    assert ready.jobs.records[-1].state is JobState.DONE
    assert {Change.PROPOSAL, Change.SETTINGS, Change.JOBS} <= set(changes)
    ready.models.use("fcn8s")
    assert ready.tuning.result is None


def test_without_other_images_those_learnt_from_serve_and_the_verdict_says_so(
    workspace: Workspace, dispatcher: QueueDispatcher, said: list[Message]
) -> None:
    _review(workspace, 0, 1)
    _card(workspace, "first")
    _card(workspace, "second", parent="first")
    chosen, learnt = images_to_tune_on(workspace.project, workspace.models.active, workspace.images)
    assert learnt
    assert [i.id for i in chosen] == [workspace.images[0].id, workspace.images[1].id]
    workspace.tuning.start(store=False)
    questions: list[Any] = workspace.engine.questions  # type: ignore[attr-defined]
    assert dispatcher.run_until(lambda: bool(questions), timeout=20)
    questions.pop()[1](Finished(replace(_tuned(), held_out=False)))
    assert dispatcher.run_until(lambda: not workspace.tuning.busy, timeout=20)
    assert workspace.tuning.last is not None
    assert workspace.tuning.last.learnt
    assert workspace.tuning.result is None
    assert "learnt from these images" in said[-1].hint
    assert "fewer than four" in said[-1].hint


def test_what_a_model_s_forebear_learnt_from_is_not_unseen_either(workspace: Workspace) -> None:
    _review(workspace, 0)
    _card(workspace, "first")
    _review(workspace, 1, 2, 3)
    workspace.project.set_status(workspace.images[0].id, Status.NEW)
    workspace.project.save_map(workspace.images[0].id, SegmentMap.empty(40, 60))
    workspace.refresh_images()
    _card(workspace, "second", parent="first")
    _review(workspace, 0)
    chosen, learnt = images_to_tune_on(workspace.project, workspace.models.active, workspace.images)
    assert not learnt
    assert [i.split for i in chosen] == [Split.VALIDATION]


def test_a_manifest_that_is_gone_makes_every_training_image_one_learnt_from(ready: Workspace) -> None:
    (ready.project.runs()[0].folder / "manifest.json").unlink()
    chosen, _ = images_to_tune_on(ready.project, ready.models.active, ready.images)
    assert [i.split for i in chosen] == [Split.VALIDATION]


def test_too_many_images_are_spread_over_the_list(ready: Workspace) -> None:
    one, _ = images_to_tune_on(ready.project, ready.models.active, ready.images, 2)
    assert [i.split for i in one] == [Split.VALIDATION, Split.TRAIN]


def test_a_stopped_tuning_leaves_nothing_behind(
    ready: Workspace, dispatcher: QueueDispatcher, asked: Callable[[], tuple[TuneSpec, Any]]
) -> None:
    _, listener = asked()
    ready.jobs.cancel(ready.jobs.running[-1].id)
    assert not ready.tuning.busy
    assert ready.engine.cancelled == [3000]  # type: ignore[attr-defined]
    listener(Finished(_tuned()))
    assert dispatcher.run_until(lambda: ready.tasks.idle, timeout=20)
    assert ready.tuning.result is None
    assert ready.jobs.records[-1].state is JobState.CANCELLED
    assert not list((ready.project.path / "cache" / "tuning").iterdir())


def test_a_failed_tuning_is_one_sentence(
    ready: Workspace, dispatcher: QueueDispatcher, said: list[Message], asked: Callable[[], tuple[TuneSpec, Any]]
) -> None:
    asked()[1](Failed(ErrorReport(ErrorKind.USER, "No pixel is labelled.", "Review some images.")))
    assert dispatcher.run_until(lambda: not ready.tuning.busy, timeout=20)
    assert [m.text for m in said] == ["No pixel is labelled."]
    assert ready.jobs.records[-1].state is JobState.FAILED


def test_a_tuning_that_cannot_begin_says_why(workspace: Workspace, dispatcher: QueueDispatcher) -> None:
    with pytest.raises(UserError, match="not trained"):
        workspace.tuning.start()
    _review(workspace, 0)
    _card(workspace, "learnt")
    workspace.set_status(Status.IN_PROGRESS, workspace.images[0].id)
    with pytest.raises(UserError, match="No image is reviewed"):
        workspace.tuning.start()
    assert not workspace.tuning.busy
    assert workspace.jobs.records == []


def test_images_that_vanished_are_left_out_and_none_left_is_one_sentence(
    ready: Workspace, dispatcher: QueueDispatcher, said: list[Message]
) -> None:
    for item in ready.images:
        item.path.unlink()
    ready.tuning.start()
    assert dispatcher.run_until(lambda: not ready.tuning.busy, timeout=20)
    assert said[-1].text.startswith("None of the reviewed images can be read")


def test_a_damaged_record_counts_as_none(workspace: Workspace) -> None:
    workspace.project.set_setting("crf", {"unet-small": {"params": 3}})
    assert workspace.tuning.result is None
    workspace.project.set_setting("crf", [1])
    assert known_gain(workspace.project, "unet-small") is None


def test_outcomes_of_many_models_are_kept_but_not_of_all(workspace: Workspace) -> None:
    for number in range(25):
        remember_gain(workspace.project, f"model-{number}", _tuned())
    assert known_gain(workspace.project, "model-4") is None
    assert known_gain(workspace.project, "model-5") is not None
    assert known_gain(workspace.project, "model-24") is not None


def test_a_program_that_cannot_ask_is_refused_where_the_crf_loses(workspace: Workspace) -> None:
    card = workspace.models.active
    assert crf_or_refusal(workspace.project, card, anyway=False) == CrfParams()
    remember_gain(workspace.project, card.id, _tuned())
    assert crf_or_refusal(workspace.project, card, anyway=False) == _tuned().params
    remember_gain(workspace.project, card.id, _tuned(after=0.69))
    with pytest.raises(UserError, match=r"0\.7000 without it and 0\.6900 with it") as caught:
        crf_or_refusal(workspace.project, card, anyway=False)
    assert "--crf-anyway" in caught.value.hint
    assert crf_or_refusal(workspace.project, card, anyway=True) == _tuned().params


@pytest.fixture
def proposed(shown: Workspace, dispatcher: QueueDispatcher) -> Workspace:
    """The workspace with a proposal on its first image."""
    shown.predicting.predict_current()
    assert dispatcher.run_until(lambda: shown.current is not None and shown.current.prediction is not None, timeout=20)
    return shown


def _refined(workspace: Workspace) -> bool:
    assert workspace.current is not None
    assert workspace.current.prediction is not None
    return workspace.current.prediction.refined


def test_refining_stops_where_it_loses_and_goes_on_at_a_second_wish(
    proposed: Workspace, dispatcher: QueueDispatcher
) -> None:
    said: list[Message] = []
    proposed.messages.connect(said.append)
    remember_gain(proposed.project, proposed.models.active.id, _tuned(after=0.6))
    proposed.refining.refine_current()
    assert not proposed.refining.busy
    assert not _refined(proposed)
    assert said[-1].text == (
        "The CRF does not help this model: mean IoU on 2 reviewed images is 0.7000 without it and 0.6500 with it."
    )
    assert said[-1].action is not None
    title, again = said[-1].action
    assert title == "Refine anyway"
    again()
    assert dispatcher.run_until(lambda: _refined(proposed), timeout=20)
    assert len(said) == 1


def test_refining_takes_the_tuned_values_and_stops_at_a_preset_that_loses(
    proposed: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs: list[Any] = []
    real = proposed.engine.refine

    def refine(spec: Any, *arguments: Any, **options: Any) -> Any:
        specs.append(spec)
        return real(spec, *arguments, **options)

    monkeypatch.setattr(proposed.engine, "refine", refine)
    said: list[Message] = []
    proposed.messages.connect(said.append)
    remember_gain(proposed.project, proposed.models.active.id, _tuned())
    proposed.refining.refine_current()
    assert [spec.params for spec in specs] == [_tuned().params]
    proposed.refining.refine_current(CrfParams())
    assert len(specs) == 1
    assert said[-1].text.startswith("The CRF loses with these values")
    proposed.refining.refine_current(CrfParams(bilateral_weight=9))
    assert specs[-1].params.bilateral_weight == 9


def test_a_tuning_has_a_process_of_its_own_and_other_questions_have_not() -> None:
    assert kind_for(TuneSpec((), CrfParams(), ())) == TUNER
    assert kind_for(DevicesSpec()) == "engine"


def test_a_class_the_network_does_not_know_is_not_counted() -> None:
    labels = SegmentMap.from_semantic(np.array([[0, 1, 5]], np.uint8))
    assert channel_labels(labels, (5, 0)).tolist() == [[1, 255, 0]]
