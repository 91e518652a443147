"""The CRF from the window's side: a refined proposal, never without a proposal, never a stale one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segstudio.core.errors import UserError
from segstudio.core.jobs import ErrorKind, ErrorReport, JobState
from segstudio.engine.protocol import Failed, Finished, PredictionArrays, WasCancelled
from segstudio.services.messages import Message
from segstudio.services.tasks import QueueDispatcher
from segstudio.services.workspace import Workspace


@pytest.fixture
def proposed(shown: Workspace, dispatcher: QueueDispatcher) -> Workspace:
    """The workspace with a proposal on its first image."""
    shown.predicting.predict_current()
    assert dispatcher.run_until(lambda: shown.current is not None and shown.current.prediction is not None, timeout=20)
    return shown


@pytest.fixture
def asked(proposed: Workspace, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any, Any]]:
    """(spec, probabilities, listener) of every refinement asked for; a test answers."""
    caught: list[tuple[Any, Any, Any]] = []
    real = proposed.engine.refine

    def refine(spec: Any, image: Any, probabilities: Any, listener: Any, *, interactive: bool = True) -> Any:
        caught.append((spec, probabilities, listener))
        return real(spec, image, probabilities, lambda _event: None)

    monkeypatch.setattr(proposed.engine, "refine", refine)
    return caught


def _arrays(class_id: int) -> PredictionArrays:
    labels = np.full((40, 60), class_id, np.uint8)
    return PredictionArrays(labels, labels, np.ones((2, 40, 60), np.float16), (0, 1), live=(class_id,), uniform=3)


def test_refining_gives_a_refined_proposal_and_keeps_the_networks_own_scores(
    proposed: Workspace, dispatcher: QueueDispatcher
) -> None:
    annotator = proposed.current
    assert annotator is not None
    before = annotator.prediction
    assert before is not None
    proposed.refining.refine_current()
    assert dispatcher.run_until(lambda: annotator.prediction is not before, timeout=20)
    after = annotator.prediction
    assert after is not None
    assert after.refined
    assert (after.labels == 1 - before.labels).all()
    assert after.probabilities is before.probabilities
    assert not annotator.map.decided.any()
    assert not proposed.refining.busy
    assert proposed.jobs.records[-1].state is JobState.DONE


def test_a_refined_proposal_waits_like_any_other(proposed: Workspace, dispatcher: QueueDispatcher) -> None:
    first = proposed.images[0].id
    proposed.refining.refine_current()
    assert dispatcher.run_until(lambda: not proposed.refining.busy, timeout=20)
    kept = proposed.predicting.cached(first)
    assert kept is not None
    assert kept.refined


def test_refining_needs_a_proposal_first(shown: Workspace) -> None:
    said: list[Message] = []
    shown.messages.connect(said.append)
    shown.refining.refine_current()
    assert [m.text for m in said] == ["There is no proposal to sharpen yet."]
    assert shown.jobs.records == []


def test_refining_twice_starts_from_the_network_both_times(
    proposed: Workspace, dispatcher: QueueDispatcher, asked: list[tuple[Any, Any, Any]]
) -> None:
    proposed.refining.refine_current()
    asked[0][2](Finished(_arrays(1)))
    assert dispatcher.run_until(lambda: not proposed.refining.busy, timeout=20)
    proposed.refining.refine_current()
    assert asked[1][1] is asked[0][1]
    assert asked[0][0].class_ids == (0, 1)
    assert asked[0][0].backend == "native"
    assert not asked[0][0].exact
    first = proposed.current.prediction if proposed.current is not None else None
    assert first is not None
    asked[1][2](Finished(_arrays(0)))
    assert dispatcher.run_until(lambda: not proposed.refining.busy, timeout=20)
    second = proposed.current.prediction if proposed.current is not None else None
    assert second is not None
    assert second.refinement is not None
    assert first.refinement is not None
    assert second.refinement.before is first.refinement.before


def test_the_proposal_from_before_stays_beside_the_refined_one_and_comes_back(
    proposed: Workspace, dispatcher: QueueDispatcher, asked: list[tuple[Any, Any, Any]]
) -> None:
    annotator = proposed.current
    assert annotator is not None
    before = annotator.prediction
    proposed.refining.refine_current(exact=True)
    assert asked[0][0].exact
    asked[0][2](Finished(_arrays(1)))
    assert dispatcher.run_until(lambda: not proposed.refining.busy, timeout=20)
    after = annotator.prediction
    assert after is not None
    assert after.refinement is not None
    assert after.refinement.before is before
    assert after.refinement.live == (1,)
    assert after.refinement.uniform == 3
    proposed.refining.take_back()
    assert annotator.prediction is before
    assert proposed.predicting.cached(annotator.item.id) is before
    proposed.refining.take_back()
    assert annotator.prediction is before


def test_only_the_newest_refinement_is_shown(
    proposed: Workspace, dispatcher: QueueDispatcher, asked: list[tuple[Any, Any, Any]]
) -> None:
    proposed.refining.refine_current()
    proposed.refining.refine_current()
    asked[0][2](WasCancelled())
    asked[1][2](Finished(_arrays(1)))
    assert dispatcher.run_until(lambda: not proposed.refining.busy, timeout=20)
    assert proposed.current is not None
    assert proposed.current.prediction is not None
    assert (proposed.current.prediction.labels == 1).all()
    assert [r.state for r in proposed.jobs.records[-2:]] == [JobState.CANCELLED, JobState.DONE]


def test_a_cancelled_refinement_leaves_the_proposal_as_it_was(
    proposed: Workspace, dispatcher: QueueDispatcher, asked: list[tuple[Any, Any, Any]]
) -> None:
    assert proposed.current is not None
    before = proposed.current.prediction
    proposed.refining.refine_current()
    proposed.jobs.cancel(proposed.jobs.running[-1].id)
    asked[0][2](Finished(_arrays(1)))
    dispatcher.run_until(lambda: False, timeout=0.3)
    assert proposed.current.prediction is before
    assert proposed.engine.cancelled == [1000]  # type: ignore[attr-defined]


def test_a_failed_refinement_is_one_sentence_and_keeps_the_proposal(
    proposed: Workspace, dispatcher: QueueDispatcher, asked: list[tuple[Any, Any, Any]]
) -> None:
    said: list[Message] = []
    proposed.messages.connect(said.append)
    proposed.refining.refine_current()
    asked[0][2](Failed(ErrorReport(ErrorKind.USER, "pydensecrf is not installed.", "Add it.")))
    assert dispatcher.run_until(lambda: not proposed.refining.busy, timeout=20)
    assert [m.text for m in said] == ["pydensecrf is not installed."]
    assert proposed.current is not None
    assert proposed.current.prediction is not None
    assert not proposed.current.prediction.refined


def test_an_engine_that_refuses_to_refine_is_one_sentence(proposed: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: Any, **_kwargs: Any) -> Any:
        raise UserError("The refine process cannot start.")

    said: list[Message] = []
    proposed.messages.connect(said.append)
    monkeypatch.setattr(proposed.engine, "refine", refuse)
    proposed.refining.refine_current()
    assert [m.text for m in said] == ["The refine process cannot start."]
    assert not proposed.refining.busy
    assert proposed.jobs.running == []


def test_presets_start_with_the_default_and_every_backend_says_whether_it_works(workspace: Workspace) -> None:
    from segstudio.refine.params import DEFAULT_PRESET

    presets = workspace.refining.presets()
    assert presets[0][0] == DEFAULT_PRESET
    assert len({key for key, *_ in presets}) == len(presets)
    backends = workspace.refining.backends()
    assert "pydensecrf" in backends
    assert all(reason is None or reason for reason in backends.values())
