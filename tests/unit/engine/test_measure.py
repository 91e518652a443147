"""Measuring a network: no weights are fetched, the device is named, and a network in use makes room where it must."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from segstudio.core.errors import Cancelled, ModelError
from segstudio.core.jobs import Progress
from segstudio.engine import measure as module
from segstudio.engine.measure import measure
from segstudio.engine.protocol import MeasureSpec
from segstudio.engine.shortage import shortage_as_sentence
from segstudio.engine.worker import Job
from segstudio.nets import pretrained
from segstudio.nets.card import find_card, save_card


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A card of a tiny network that names weights nobody has, and a picture that takes no time."""
    monkeypatch.setattr(module, "_SIZE", (24, 32))
    monkeypatch.setattr(pretrained, "download", lambda *_args, **_kwargs: pytest.fail("nothing is to be downloaded"))
    made = replace(find_card("fcn8s"), id="tiny", options={"variant": "8s", "thin": 16}, parameters=10)
    return save_card(made, tmp_path / "tiny.toml").path or tmp_path


def _job(card: Path, heard: list[Progress], *, cancelled: bool = False) -> Job:
    return Job(
        spec=MeasureSpec(str(card), "cpu"),
        arrays=(),
        progress=heard.append,
        report=lambda _event: None,
        cancelled=lambda: cancelled,
        paused=lambda: False,
    )


def test_the_best_of_two_runs_after_a_first_one_counts(card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 9.0, 10.0, 12.0, 20.0, 21.5])
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    heard: list[Progress] = []
    found = measure(_job(card, heard), lambda: pytest.fail("there is room for both"))
    assert (found.seconds, found.device) == (1.5, "cpu")
    assert found.device_name
    assert heard[0] == Progress(None, "Building the network")
    assert [p.fraction for p in heard if p.fraction is not None] == pytest.approx([1 / 3, 2 / 3, 1.0])


def test_a_long_first_run_is_taken_as_it_is(card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 11.0])
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    assert measure(_job(card, []), lambda: None).seconds == 11.0


def test_where_memory_is_short_the_network_in_use_goes_first(card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "free_memory", lambda _device: 600 << 20)
    dropped: list[bool] = []
    measure(_job(card, []), lambda: dropped.append(True))
    assert dropped == [True]


def test_cancelling_ends_it_between_two_tiles(card: Path) -> None:
    with pytest.raises(Cancelled):
        measure(_job(card, [], cancelled=True), lambda: None)


def test_a_card_that_is_gone_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        measure(_job(tmp_path / "gone.toml", []), lambda: None)


def test_running_out_of_memory_is_a_sentence_and_drops_the_network() -> None:
    dropped: list[bool] = []
    with (
        pytest.raises(ModelError, match="The memory of cpu does not suffice for the model FCN-8s"),
        shortage_as_sentence(torch.device("cpu"), "FCN-8s", lambda: dropped.append(True)),
    ):
        raise MemoryError
    assert dropped == [True]
    with pytest.raises(RuntimeError, match="shape"), shortage_as_sentence(torch.device("cpu"), "x", lambda: None):
        raise RuntimeError("shape mismatch")


def test_the_scores_of_the_measured_network_are_finite(card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []
    real = module.Predictor.predict

    def noting(self: module.Predictor, image: np.ndarray, **kwargs: object) -> object:
        output = real(self, image, **kwargs)  # type: ignore[arg-type]
        seen.append(output.probabilities)
        return output

    monkeypatch.setattr(module.Predictor, "predict", noting)
    measure(_job(card, []), lambda: None)
    assert len(seen) == 3
    assert all(np.isfinite(scores).all() for scores in seen)
