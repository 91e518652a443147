from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segstudio.core.jobs import ErrorKind
from segstudio.engine.inline import InlineEngine
from segstudio.engine.protocol import (
    DevicesSpec,
    Failed,
    Finished,
    PredictSpec,
    Progressed,
    RefineSpec,
    Started,
    Trained,
    TrainSpec,
    WasCancelled,
)
from segstudio.refine.params import CrfParams

IMAGE = np.full((6, 8, 3), 9, np.uint8)


@pytest.fixture
def engine(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "engine"))
    engine = InlineEngine(dict.fromkeys(("engine", "refine", "trainer"), "engine_test_workers:main"))
    yield engine
    engine.close()


def spec(action):
    return PredictSpec(action, (0, 1), ("a", "b"))


def test_a_prediction_is_done_when_the_call_returns(engine):
    events = []
    engine.predict(spec("echo"), IMAGE, events.append)
    assert isinstance(events[0], Started)
    assert (events[-1].result.labels == 9).all()
    assert engine.status().device_name == "Test processor"


def test_a_refinement_and_a_training_are_done_too(engine, tmp_path):
    events = []
    engine.refine(RefineSpec(CrfParams(), (0, 1)), IMAGE, np.full((2, 6, 8), 0.5, np.float16), events.append)
    assert isinstance(events[-1], Finished)
    engine.train(TrainSpec(str(tmp_path / "five-steps")), events.append)
    assert sum(isinstance(event, Trained) for event in events) == 5
    assert events[-1].result.steps == 5


def test_devices_are_listed(engine):
    events = []
    engine.ask(DevicesSpec(), events.append)
    assert events[-1].result[0].id == "cpu"


def test_errors_arrive_as_reports(engine):
    events = []
    engine.predict(spec("user-error"), IMAGE, events.append)
    assert isinstance(events[-1], Failed)
    assert events[-1].report.kind is ErrorKind.USER
    engine.predict(spec("bug"), IMAGE, events.append)
    assert events[-1].report.kind is ErrorKind.BUG


def test_a_listener_can_stop_the_job_that_runs(engine):
    events = []

    def stop(event):
        events.append(event)
        if isinstance(event, Progressed):
            engine.cancel_current()

    engine.predict(spec("wait"), IMAGE, stop)
    assert isinstance(events[-1], WasCancelled)
