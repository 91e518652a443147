"""Tuning in its real process: it can be stopped, leaves no process behind, and comes to a result."""

from __future__ import annotations

import numpy as np
import pytest

from segstudio.engine.base import ENTRY_POINTS
from segstudio.engine.protocol import Finished, Progressed, TuneSpec, WasCancelled
from segstudio.refine.params import CrfParams
from segstudio.refine.samples import Sample
from segstudio.refine.tuned import Tuned


@pytest.fixture
def spec(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.zeros((24, 32), np.uint8)
    labels[:, 16:] = 1
    said = np.where(rng.random(labels.shape) < 0.2, 1 - labels, labels)
    scores = np.stack([0.9 - 0.8 * said, 0.1 + 0.8 * said]).astype(np.float16)
    Sample((labels[..., None] * np.full(3, 150)).astype(np.uint8), scores, labels).save(tmp_path / "1.npz")
    return TuneSpec((str(tmp_path / "1.npz"),), CrfParams(iterations=2), ("left", "right"))


def test_a_tuning_stops_when_asked_and_the_next_one_finds_something(make_engine, tools, spec):
    engine = make_engine(**ENTRY_POINTS)
    deaths = []
    engine.on_death.connect(deaths.append)
    stopped, heard = tools.Heard(), tools.Heard()
    handle = engine.ask(spec, stopped)
    stopped.wait_for(Progressed)
    handle.cancel()
    assert isinstance(stopped.end(2), WasCancelled)
    engine.ask(spec, heard)
    result = heard.end(60)
    assert isinstance(result, Finished)
    assert isinstance(result.result, Tuned)
    assert result.result.helps
    assert result.result.class_names == ("left", "right")
    assert "refine" not in engine.process_ids()
    tools.wait_until(lambda: "tuner" not in engine.process_ids())
    assert deaths == []
