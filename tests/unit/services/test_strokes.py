"""Live strokes from the window's side: one request at a time, the latest counts, and a lost session begins again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from segstudio.core.geometry import Rect
from segstudio.core.jobs import ErrorKind, ErrorReport
from segstudio.core.prediction import Prediction
from segstudio.engine.inline import InlineEngine
from segstudio.engine.protocol import Failed, Finished, PredictionArrays, SettleSpec, StrokeSpec
from segstudio.refine.params import CrfParams
from segstudio.services.strokes import LiveStrokes, StrokeResult

HEIGHT, WIDTH = 80, 400
CLASSES = (4, 7)


class _Desk:
    """A workspace as far as strokes need one; the test answers what is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, tuple[Any, ...], Callable[[Any], None]]] = []
        self.reported: list[Exception] = []
        self.engine = self

    def stroke(self, spec: Any, arrays: tuple[Any, ...], listener: Callable[[Any], None]) -> None:
        self.asked.append((spec, arrays, listener))

    def dispatch(self, work: Callable[[], None]) -> None:
        work()

    def report(self, error: Exception) -> None:
        self.reported.append(error)

    def answer(self, number: int, class_id: int = 4) -> None:
        _, arrays, listener = self.asked[number]
        labels = np.full(arrays[-1].shape, class_id, np.uint8)
        listener(Finished(PredictionArrays(labels, labels, None, CLASSES)))


def _image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def _prediction() -> Prediction:
    probabilities = np.full((2, HEIGHT // 4, WIDTH // 4), 0.5, np.float16)
    labels = np.full((HEIGHT, WIDTH), CLASSES[0], np.uint8)
    return Prediction(
        labels=labels, confidence=labels, probabilities=probabilities, class_ids=CLASSES, model_id="m"
    )  # fmt: skip


@pytest.fixture
def desk() -> _Desk:
    return _Desk()


@pytest.fixture
def heard() -> list[StrokeResult]:
    return []


@pytest.fixture
def strokes(desk: _Desk, heard: list[StrokeResult]) -> LiveStrokes:
    return LiveStrokes(desk, _image(), _prediction(), CrfParams(), heard.append)  # type: ignore[arg-type]


def test_the_image_settles_at_once_and_then_only_strokes_travel(strokes, desk, heard):
    spec, arrays, _ = desk.asked[0]
    assert isinstance(spec, SettleSpec)
    assert len(arrays) == 3
    desk.answer(0)
    assert heard[0].settled
    strokes.draw(200, 40, 5, 7)
    spec, arrays, _ = desk.asked[1]
    assert isinstance(spec, StrokeSpec)
    assert len(arrays) == 1
    top, left, height, width = spec.window
    assert (height, width) == (HEIGHT, 256)
    assert arrays[0][40 - top, 200 - left] == 7
    assert (arrays[0] == 7).sum() == (np.hypot(*np.mgrid[-5:6, -5:6]) <= 5).sum()
    desk.answer(1, 7)
    assert heard[1].rect == Rect(*spec.window)
    assert not heard[1].settled


def test_while_one_is_computed_only_the_latest_waits(strokes, desk):
    desk.answer(0)
    for x in (100, 110, 120, 130):
        strokes.draw(x, 40, 3, 7)
    assert len(desk.asked) == 2
    desk.answer(1)
    assert len(desk.asked) == 3
    assert (desk.asked[2][1][0] == 7).sum() > (desk.asked[1][1][0] == 7).sum()
    desk.answer(2)
    assert len(desk.asked) == 3


def test_a_release_is_not_lost_behind_a_window(strokes, desk, heard):
    desk.answer(0)
    strokes.draw(100, 40, 3, 7)
    strokes.release()
    strokes.draw(104, 40, 3, 7)
    desk.answer(1)
    spec, arrays, _ = desk.asked[2]
    assert isinstance(spec, SettleSpec)
    assert arrays[0][40, 104] == 7
    desk.answer(2)
    assert heard[-1].settled
    assert heard[-1].labels.shape == (HEIGHT, WIDTH)


def test_the_window_stays_while_the_stroke_is_inside_and_follows_when_it_leaves(strokes, desk):
    desk.answer(0)
    windows = []
    for number, x in enumerate((150, 160, 250, 330), start=1):
        strokes.draw(x, 40, 3, 7)
        desk.answer(number)
        windows.append(desk.asked[number][0].window)
    assert windows[0] == windows[1]
    assert windows[3] != windows[0]
    assert all(left <= x < left + width for (_, left, _, width), x in zip(windows, (150, 160, 250, 330), strict=True))


def test_a_lost_worker_is_said_and_the_next_stroke_brings_the_image_again(strokes, desk, heard):
    desk.answer(0)
    strokes.draw(100, 40, 3, 7)
    desk.asked[1][2](Failed(ErrorReport(ErrorKind.DIED, "The refining process ended.", "")))
    assert "ended" in str(desk.reported[0])
    strokes.draw(104, 40, 3, 7)
    spec, arrays, _ = desk.asked[2]
    assert isinstance(spec, SettleSpec)
    assert len(arrays) == 3
    assert (arrays[2] == 7).any()


def test_after_closing_nothing_is_asked_and_nothing_heard(strokes, desk, heard):
    strokes.close()
    desk.answer(0)
    strokes.draw(100, 40, 3, 7)
    assert len(desk.asked) == 1
    assert heard == []


def test_a_prediction_without_probabilities_cannot_take_strokes(desk):
    from dataclasses import replace

    with pytest.raises(ValueError, match="probabilities"):
        LiveStrokes(desk, _image(), replace(_prediction(), probabilities=None), CrfParams(), lambda _result: None)


def test_strokes_go_all_the_way_through_an_engine(heard):
    class Workspace(_Desk):
        def __init__(self) -> None:
            super().__init__()
            self.engine = InlineEngine()

    image = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
    image[:, 200:] = 210
    rows = np.random.default_rng(1).normal(0, 2, image.shape)
    image = np.clip(image + rows, 0, 255).astype(np.uint8)
    prediction = _prediction()
    prediction.probabilities[:] = np.array([0.8, 0.2], np.float16)[:, None, None]
    params = CrfParams(temperature=2.0, seed_weight=100, bilateral_rgb=8)
    strokes = LiveStrokes(Workspace(), image, prediction, params, heard.append)  # type: ignore[arg-type]
    strokes.draw(300, 40, 10, 7)
    strokes.release()
    assert [result.settled for result in heard] == [True, False, True]
    assert (heard[0].labels == 4).all()
    window = heard[1]
    assert (window.labels[:, 300 - window.rect.left - 5 : 300 - window.rect.left + 5] == 7).mean() > 0.9
    last = heard[2]
    assert (last.labels[:, 210:] == 7).mean() > 0.9
    assert (last.labels[:, :190] == 4).mean() > 0.95
