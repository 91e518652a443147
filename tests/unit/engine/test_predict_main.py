"""The worker that predicts: boxes, the class they are drawn around, downloads as progress, and the network it keeps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segstudio.core.errors import ModelError
from segstudio.core.geometry import Rect
from segstudio.core.jobs import Progress
from segstudio.engine import predict_main
from segstudio.engine.predict_main import Resident
from segstudio.engine.protocol import PredictSpec
from segstudio.engine.worker import Job
from segstudio.nets.card import find_card
from segstudio.nets.predictor import Predictor, PredictorOutput

CARD = str(find_card("unet-small").path)
IMAGE = np.random.default_rng(4).integers(0, 256, (40, 56, 3), dtype=np.uint8)
SPEC = PredictSpec(CARD, (0, 5), ("background", "cell"), device="cpu")


def _job(spec: PredictSpec, heard: list[Progress] | None = None) -> Job:
    return Job(
        spec=spec,
        arrays=(IMAGE,),
        progress=(heard if heard is not None else []).append,
        report=lambda _event: None,
        cancelled=lambda: False,
        paused=lambda: False,
    )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Rect, int | None]]:
    """The boxes that the predictor was asked for; it answers with channel 1 everywhere."""
    found: list[tuple[Rect, int | None]] = []

    def predict_box(_self: Predictor, _image: Any, box: Rect, *, channel: int | None = None, cancelled: Any) -> Any:
        found.append((box, channel))
        size = (box.height, box.width)
        return PredictorOutput(np.ones(size, np.uint8), np.full(size, 9, np.uint8), np.zeros((2, *size), np.float16))

    monkeypatch.setattr(Predictor, "predict_box", predict_box)
    return found


@pytest.mark.parametrize(("box_class", "channel"), [(None, None), (0, 0), (5, 1), (77, None)])
def test_a_box_is_predicted_alone_with_the_channel_of_its_class(
    asked: list[tuple[Rect, int | None]], box_class: int | None, channel: int | None
) -> None:
    spec = PredictSpec(CARD, (0, 5), ("background", "cell"), device="cpu", box=(3, 4, 10, 20), box_class=box_class)
    result = Resident().predict(_job(spec))
    assert asked == [(Rect(3, 4, 10, 20), channel)]
    assert result.labels.shape == (10, 20)
    assert (result.labels == 5).all()
    assert result.class_ids == (0, 5)


def test_a_real_box_is_as_large_as_asked_for() -> None:
    spec = PredictSpec(CARD, (0, 5), ("background", "cell"), device="cpu", box=(3, 4, 10, 20))
    result = Resident().predict(_job(spec))
    assert result.labels.shape == result.confidence.shape == (10, 20)
    assert result.probabilities is not None
    assert result.probabilities.shape[0] == 2
    assert set(np.unique(result.labels)) <= {0, 5}


def test_the_network_stays_until_it_is_told_to_go(monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []
    real = predict_main.load_model

    def noting(card: str, **kwargs: Any) -> Any:
        loads.append(card)
        return real(card, **kwargs)

    monkeypatch.setattr(predict_main, "load_model", noting)
    resident = Resident()
    resident.predict(_job(SPEC))
    resident.predict(_job(SPEC))
    assert len(loads) == 1
    resident.forget()
    assert resident.device_state() is None
    resident.predict(_job(SPEC))
    assert len(loads) == 2


def test_what_arrives_of_the_weights_is_told_by_the_networks_name(monkeypatch: pytest.MonkeyPatch) -> None:
    real = predict_main.load_model

    def slow(card: str, *, progress: Any, **kwargs: Any) -> Any:
        progress(0.43)
        return real(card, **kwargs)

    monkeypatch.setattr(predict_main, "load_model", slow)
    heard: list[Progress] = []
    Resident().predict(_job(SPEC, heard))
    assert Progress(0.43, "Downloading U-Net, small") in heard


def test_running_out_of_memory_drops_the_network_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    resident = Resident()
    resident.predict(_job(SPEC))

    def no_room(*_args: Any, **_kwargs: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(Predictor, "predict", no_room)
    with pytest.raises(ModelError, match="The memory of cpu does not suffice for the model unet-small"):
        resident.predict(_job(SPEC))
    assert resident.device_state() is None
