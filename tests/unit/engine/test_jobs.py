from __future__ import annotations

import pickle

import pytest

from segstudio.core.errors import Cancelled, EngineError, ImageError, UserError
from segstudio.core.jobs import CancelToken, ErrorKind, ErrorReport, JobState, ReportedBug


def test_a_user_s_error_keeps_message_and_hint():
    report = ErrorReport.from_exception(ImageError("a.png is empty.", "Delete it."))
    assert report == ErrorReport(ErrorKind.USER, "a.png is empty.", "Delete it.")
    error = report.to_exception()
    assert isinstance(error, UserError)
    assert str(error) == report.sentence == "a.png is empty. Delete it."


def test_a_bug_keeps_its_traceback():
    try:
        {}["missing"]
    except KeyError as error:
        report = ErrorReport.from_exception(error)
    assert report.kind is ErrorKind.BUG
    assert report.message == "KeyError: 'missing'"
    assert "test_jobs.py" in report.details
    back = report.to_exception()
    assert isinstance(back, ReportedBug)
    assert back.details == report.details


def test_a_lack_of_memory_is_the_user_s_to_mend():
    assert ErrorReport.from_exception(MemoryError()).kind is ErrorKind.USER


def test_a_death_becomes_an_engine_error():
    assert isinstance(ErrorReport(ErrorKind.DIED, "It died.").to_exception(), EngineError)


def test_reports_cross_processes():
    report = ErrorReport(ErrorKind.DIED, "It died.", "Again.", "details")
    assert pickle.loads(pickle.dumps(report)) == report


def test_a_token_raises_once_cancelled():
    token = CancelToken()
    token.raise_if_cancelled()
    token.cancel()
    assert token.cancelled
    with pytest.raises(Cancelled):
        token.raise_if_cancelled()


def test_only_final_states_are_over():
    assert [state for state in JobState if state.is_over] == [JobState.DONE, JobState.FAILED, JobState.CANCELLED]
