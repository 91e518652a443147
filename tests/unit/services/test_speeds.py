"""How fast a network is: measured once, remembered for the device, and never wrong for lack of quiet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from segstudio.core.errors import UserError
from segstudio.core.jobs import ErrorKind, ErrorReport, JobState, Progress
from segstudio.core.paths import user_cache_dir
from segstudio.engine.devices import DeviceInfo
from segstudio.engine.protocol import Failed, Finished, Measured, MeasureSpec, Progressed
from segstudio.nets.card import find_card
from segstudio.services.speeds import Speed, SpeedBook
from segstudio.services.tasks import QueueDispatcher
from segstudio.services.workspace import Workspace

CARD = find_card("unet-small")
DEVICE = "Test processor"


@pytest.fixture
def known(workspace: Workspace, dispatcher: QueueDispatcher) -> Workspace:
    """A workspace that knows its device."""
    workspace.engine.devices = (DeviceInfo("cpu", DEVICE, "cpu", None),)  # type: ignore[attr-defined]
    workspace.predicting.learn_devices()
    assert dispatcher.run_until(lambda: workspace.predicting.device_info is not None, timeout=20)
    return workspace


def test_a_measured_speed_is_remembered_for_the_device(known: Workspace, dispatcher: QueueDispatcher) -> None:
    assert known.speeds.known(CARD) is None
    known.speeds.measure(CARD)
    assert known.speeds.measuring == CARD.id
    question, listener = known.engine.questions[0]  # type: ignore[attr-defined]
    assert question == MeasureSpec(str(CARD.path), "auto")
    listener(Progressed(Progress(0.5, "Measuring")))
    assert dispatcher.run_until(lambda: known.jobs.running[0].fraction == 0.5, timeout=20)
    listener(Finished(Measured(0.4213, "cpu", DEVICE)))
    assert dispatcher.run_until(lambda: known.speeds.measuring is None, timeout=20)
    speed = known.speeds.known(CARD)
    assert speed is not None
    assert speed.sentence == "0.42 s for a 500 × 375 image on Test processor"
    assert known.jobs.records[-1].state is JobState.DONE
    assert (user_cache_dir() / "speeds.json").is_file()


@pytest.mark.parametrize(("seconds", "words"), [(0.042, "0.04 s"), (1.26, "1.3 s"), (73.4, "73 s")])
def test_a_speed_is_said_with_the_digits_it_deserves(seconds: float, words: str) -> None:
    assert Speed(seconds, "it").sentence.startswith(f"{words} for")


def test_a_failure_is_one_sentence_where_it_was_asked(known: Workspace, dispatcher: QueueDispatcher) -> None:
    errors: list[UserError] = []
    known.speeds.measure(CARD, on_error=errors.append)
    _, listener = known.engine.questions[0]  # type: ignore[attr-defined]
    listener(Failed(ErrorReport(ErrorKind.USER, "The memory does not suffice.", "Choose a smaller model.")))
    assert dispatcher.run_until(lambda: bool(errors), timeout=20)
    assert str(errors[0]) == "The memory does not suffice. Choose a smaller model."
    assert known.jobs.records[-1].state is JobState.FAILED
    assert known.speeds.known(CARD) is None


def test_cancelling_forgets_what_comes_later(known: Workspace, dispatcher: QueueDispatcher) -> None:
    known.speeds.measure(CARD)
    _, listener = known.engine.questions[0]  # type: ignore[attr-defined]
    known.jobs.cancel(known.jobs.running[0].id)
    assert known.speeds.measuring is None
    listener(Finished(Measured(0.4, "cpu", DEVICE)))
    dispatcher.run_until(lambda: False, timeout=0.3)
    assert known.speeds.known(CARD) is None
    assert known.jobs.records[-1].state is JobState.CANCELLED


def test_a_proposal_ends_a_measurement(shown: Workspace) -> None:
    shown.speeds.measure(CARD)
    shown.predicting.predict_current()
    assert shown.speeds.measuring is None
    assert shown.predicting.busy


def test_a_busy_computer_is_not_measured(shown: Workspace) -> None:
    shown.predicting.predict_current()
    with pytest.raises(UserError, match="busy"):
        shown.speeds.measure(CARD)
    assert shown.engine.questions == []  # type: ignore[attr-defined]


def test_figures_belong_to_device_network_and_class_count(tmp_path: Path) -> None:
    book = SpeedBook(tmp_path / "deep" / "speeds.json")
    book.put(DEVICE, CARD, 0.5)
    assert book.get(DEVICE, replace(CARD, id="another", title="Another")) == 0.5
    assert book.get("Other processor", CARD) is None
    assert book.get(DEVICE, replace(CARD, options={"width": 64, "channels": 3})) is None
    assert book.get(DEVICE, replace(CARD, classes=("a", "b"))) is None


@pytest.mark.parametrize("content", ["", "[1, 2]", "{", '{"x": "fast"}'])
def test_a_broken_file_counts_as_empty(tmp_path: Path, content: str) -> None:
    path = tmp_path / "speeds.json"
    path.write_text(content, encoding="utf-8")
    book = SpeedBook(path)
    assert book.get(DEVICE, CARD) is None
    book.put(DEVICE, CARD, 2.0)
    assert book.get(DEVICE, CARD) == 2.0
