"""Jobs through real worker processes that do tiny work."""

from __future__ import annotations

import os
import threading
import time

import numpy as np
import pytest

from segstudio.core.jobs import ErrorKind
from segstudio.engine.protocol import (
    DevicesSpec,
    Failed,
    Finished,
    PredictionArrays,
    Progressed,
    RefineSpec,
    Started,
    Trained,
    TrainSpec,
    WasCancelled,
)
from segstudio.refine.params import CrfParams


def refine_spec(backend="echo"):
    return RefineSpec(CrfParams(), (0, 1), backend)


def halves(height=20, width=30):
    return np.full((2, height, width), 0.5, np.float16)


def test_a_prediction_comes_back_with_every_pixel(engine, tools):
    heard, image = tools.Heard(), tools.picture(value=77)
    engine.predict(tools.spec(), image, heard)
    result = heard.end().result
    assert isinstance(result, PredictionArrays)
    assert np.array_equal(result.labels, image[..., 0])
    assert np.array_equal(result.confidence, image[..., 1])
    assert result.probabilities.shape == (3, 20, 30)
    assert result.probabilities.dtype == np.float16
    assert result.class_ids == (0, 1, 2)
    assert isinstance(heard.events[0], Started)


def test_a_refinement_hands_over_image_and_probabilities(engine, tools):
    heard, image = tools.Heard(), tools.picture(value=5)
    engine.refine(refine_spec(), image, halves(10, 15), heard)
    result = heard.end().result
    assert np.array_equal(result.labels, image[..., 0])
    assert result.probabilities.shape == (2, 20, 30)


def test_an_image_that_is_not_contiguous_arrives_intact(engine, tools):
    heard, image = tools.Heard(), tools.picture()[:, ::-1]
    engine.predict(tools.spec(), image, heard)
    assert np.array_equal(heard.end().result.labels, image[..., 0])


def test_results_may_be_changed_and_outlive_the_engine(engine, tools):
    heard = tools.Heard()
    engine.predict(tools.spec(), tools.picture(value=9), heard)
    result = heard.end().result
    engine.close()
    result.labels[:] = 1
    assert (result.confidence == 9).all()


def test_a_hundred_jobs_reuse_one_slot(engine, tools):
    for number in range(100):
        heard = tools.Heard()
        engine.predict(tools.spec(), tools.picture(value=number), heard)
        assert (heard.end().result.confidence == number).all()
    assert len(tools.shared_names()) == 1


def test_batch_jobs_are_all_done_in_order(engine, tools):
    order = []
    heards = [tools.Heard() for _ in range(10)]
    for number, heard in enumerate(heards):
        engine.predict(
            tools.spec(),
            tools.picture(value=number),
            lambda event, heard=heard: (order.append(heard) if isinstance(event, Finished) else None, heard(event)),
            interactive=False,
        )
    for heard in heards:
        assert isinstance(heard.end(), Finished)
    assert order == heards


def test_a_user_s_error_arrives_as_its_sentence(engine, tools):
    heard = tools.Heard()
    engine.predict(tools.spec("user-error"), tools.picture(), heard)
    report = heard.end().report
    assert (report.kind, report.message, report.hint) == (
        ErrorKind.USER,
        "The card is not there.",
        "Choose another.",
    )


def test_a_bug_arrives_with_its_traceback_and_the_worker_goes_on(engine, tools):
    heard = tools.Heard()
    engine.predict(tools.spec("bug"), tools.picture(), heard)
    report = heard.end().report
    assert report.kind is ErrorKind.BUG
    assert "IndexError" in report.message
    assert "engine_test_workers.py" in report.details
    process = engine.process_ids()["engine"]
    again = tools.Heard()
    engine.predict(tools.spec(), tools.picture(), again)
    assert isinstance(again.end(), Finished)
    assert engine.process_ids()["engine"] == process


def test_a_worker_that_cannot_start_fails_the_job_with_its_reason(make_engine, tools):
    engine = make_engine(engine="engine_test_workers:cannot_start")
    for _ in range(2):
        heard = tools.Heard()
        engine.predict(tools.spec(), tools.picture(), heard)
        assert heard.end().report.message == "The worker's library is missing."


def test_an_entry_point_that_does_not_exist_is_reported(make_engine, tools):
    engine = make_engine(engine="no_such_module:main")
    heard = tools.Heard()
    engine.predict(tools.spec(), tools.picture(), heard)
    assert "no_such_module" in heard.end().report.message


def test_cancelling_a_running_prediction_answers_and_frees_the_worker(engine, tools):
    heard = tools.Heard()
    handle = engine.predict(tools.spec("wait"), tools.picture(), heard)
    heard.wait_for(Progressed)
    handle.cancel()
    assert isinstance(heard.end(5), WasCancelled)
    again = tools.Heard()
    engine.predict(tools.spec(), tools.picture(), again)
    assert isinstance(again.end(), Finished)
    handle.cancel()
    assert len(heard.of(WasCancelled)) == 1


def test_cancelling_a_waiting_job_never_runs_it(engine, tools):
    first, second = tools.Heard(), tools.Heard()
    running = engine.predict(tools.spec("wait"), tools.picture(), first, interactive=False)
    first.wait_for(Progressed)
    engine.predict(tools.spec(), tools.picture(), second, interactive=False).cancel()
    assert isinstance(second.end(5), WasCancelled)
    running.cancel()
    first.end()
    assert not second.of(Started)


def test_the_latest_interactive_request_wins_and_stale_replies_are_dropped(engine, tools):
    first, second, third = tools.Heard(), tools.Heard(), tools.Heard()
    engine.predict(tools.spec("wait"), tools.picture(value=1), first)
    first.wait_for(Progressed)
    engine.predict(tools.spec(), tools.picture(value=2), second)
    engine.predict(tools.spec(), tools.picture(value=3), third)
    assert (third.end().result.confidence == 3).all()
    assert isinstance(first.events[-1], WasCancelled)
    assert isinstance(second.events[-1], (WasCancelled, Finished))
    assert len(first.of(WasCancelled)) == 1
    assert not first.of(Finished)


def test_an_interactive_request_goes_before_waiting_batch_jobs(engine, tools):
    order = []
    block = tools.Heard()
    running = engine.predict(tools.spec("wait"), tools.picture(), block, interactive=False)
    block.wait_for(Progressed)
    batch, quick = tools.Heard(), tools.Heard()
    engine.predict(tools.spec(), tools.picture(), lambda e: (order.append("batch"), batch(e)), interactive=False)
    engine.predict(tools.spec(), tools.picture(), lambda e: (order.append("quick"), quick(e)))
    running.cancel()
    quick.end()
    batch.end()
    assert order[0] == "quick"


def test_a_refinement_that_does_not_listen_is_killed_without_a_message(engine, deaths, tools):
    heard = tools.Heard()
    handle = engine.refine(refine_spec("stubborn"), tools.picture(), halves(), heard)
    heard.wait_for(Progressed)
    process = engine.process_ids()["refine"]
    begin = time.monotonic()
    handle.cancel()
    assert isinstance(heard.end(2), WasCancelled)
    again = tools.Heard()
    engine.refine(refine_spec(), tools.picture(), halves(), again)
    assert isinstance(again.end(30), Finished)
    assert time.monotonic() - begin < 15
    assert engine.process_ids()["refine"] != process
    assert deaths == []


def test_training_streams_its_steps_and_ends_with_its_result(engine, tools, tmp_path):
    heard = tools.Heard()
    engine.train(TrainSpec(str(tmp_path / "five-steps")), heard)
    result = heard.end().result
    assert [event.event.step for event in heard.of(Trained)] == [1, 2, 3, 4, 5]
    assert (result.steps, result.stopped) == (5, False)
    tools.wait_until(lambda: "trainer" not in engine.process_ids())


def test_stopping_a_training_keeps_its_result(engine, tools, tmp_path):
    heard = tools.Heard()
    handle = engine.train(TrainSpec(str(tmp_path)), heard)
    heard.wait_for_count(Trained, 3)
    handle.cancel()
    assert heard.end().result.stopped


def test_the_trainer_pauses_while_somebody_waits_for_a_prediction(engine, tools, tmp_path):
    training, predicting = tools.Heard(), tools.Heard()
    run = engine.train(TrainSpec(str(tmp_path)), training)
    training.wait_for_count(Trained, 3)
    prediction = engine.predict(tools.spec("wait"), tools.picture(), predicting)
    predicting.wait_for(Progressed)
    time.sleep(0.2)
    seen = len(training.of(Trained))
    time.sleep(0.3)
    assert len(training.of(Trained)) == seen
    prediction.cancel()
    training.wait_for_count(Trained, seen + 3)
    run.cancel()
    assert isinstance(training.end(), Finished)


def test_devices_are_described_by_the_worker(engine, tools):
    heard = tools.Heard()
    engine.ask(DevicesSpec(), heard)
    assert heard.end().result[0].name == "Test processor"


def test_status_tells_device_memory_and_who_lives(engine, tools):
    assert engine.status().alive == dict.fromkeys(("engine", "refine", "trainer", "tuner"), False)
    heard, statuses = tools.Heard(), []
    engine.on_status.connect(statuses.append)
    engine.predict(tools.spec(), tools.picture(), heard)
    heard.end()
    tools.wait_until(lambda: engine.status().device is not None and engine.status().memory_used > 0)
    status = engine.status()
    assert (status.device, status.device_name) == ("cpu", "Test processor")
    assert status.alive == {"engine": True, "refine": False, "trainer": False, "tuner": False}
    assert 1 << 20 < status.memory_used < status.memory_total
    assert statuses


def test_warming_up_starts_the_workers_before_their_first_jobs(engine, tools):
    engine.warm_up()
    tools.wait_until(lambda: engine.status().memory_used > 0 and len(engine.process_ids()) == 2)
    processes = engine.process_ids()
    assert set(processes) == {"engine", "refine"}
    heard = tools.Heard()
    engine.predict(tools.spec(), tools.picture(), heard)
    heard.end()
    assert engine.process_ids() == processes


def test_waiting_threads_of_a_worker_do_not_spin_and_the_parent_s_environment_stays(engine, tools, monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    heard = tools.Heard()
    engine.predict(tools.spec("environment"), tools.picture(), heard)
    assert heard.end().result.note == "passive"
    assert "OMP_WAIT_POLICY" not in os.environ


def test_a_handler_that_keeps_its_input_harms_no_later_job(engine, tools):
    for number in range(3):
        heard = tools.Heard()
        engine.predict(tools.spec("holds-views"), tools.picture(value=number), heard)
        assert (heard.end().result.confidence == number).all()


def test_a_listener_that_fails_does_not_stop_the_engine(engine, tools, caplog):
    def failing(event):
        raise KeyError("mine")

    engine.predict(tools.spec(), tools.picture(), failing)
    heard = tools.Heard()
    engine.predict(tools.spec(), tools.picture(), heard, interactive=False)
    assert isinstance(heard.end(), Finished)
    assert "a listener failed" in caplog.text
    caplog.clear()


def test_closing_cancels_what_runs_and_what_waits_and_may_be_repeated(engine, tools):
    running, waiting = tools.Heard(), tools.Heard()
    engine.predict(tools.spec("wait"), tools.picture(), running, interactive=False)
    running.wait_for(Progressed)
    engine.predict(tools.spec(), tools.picture(), waiting, interactive=False)
    engine.close()
    assert isinstance(running.end(1), WasCancelled)
    assert isinstance(waiting.end(1), WasCancelled)
    assert not any(engine.status().alive.values())
    engine.close()


def test_closing_from_a_listener_ends_without_a_deadlock(engine, tools):
    heard = tools.Heard()

    def close_then_hear(event):
        if isinstance(event, Finished):
            engine.close()
        heard(event)

    engine.predict(tools.spec(), tools.picture(), close_then_hear)
    assert isinstance(heard.end(), Finished)
    tools.wait_until(lambda: not any(thread.name == "segstudio-engine" for thread in threading.enumerate()))


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_what_is_no_image_is_refused_at_once(engine, tools, image):
    with pytest.raises(ValueError, match="image"):
        engine.predict(tools.spec(), image, tools.Heard())


def test_a_lack_of_shared_memory_is_a_sentence(engine, tools, monkeypatch):
    monkeypatch.setattr("segstudio.engine.shm.shutil.disk_usage", lambda path: Usage())
    heard = tools.Heard()
    engine.predict(tools.spec(), tools.picture(), heard)
    event = heard.end()
    assert isinstance(event, Failed)
    assert "shared memory" in event.report.message
    assert event.report.kind is ErrorKind.USER


class Usage:
    free = 0
