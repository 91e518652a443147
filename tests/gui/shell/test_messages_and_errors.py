"""What the program says, and what happens to errors nobody caught."""

from __future__ import annotations

import sys
import threading

import pytest
from PySide6.QtGui import QGuiApplication
from pytestqt.qtbot import QtBot

from segstudio.core.errors import Cancelled, UserError
from segstudio.core.events import Signal
from segstudio.gui.bridge import Dispatcher
from segstudio.gui.errors import ErrorBoundary, fingerprint
from segstudio.gui.message_bar import MessageBar


@pytest.fixture
def bar(qtbot: QtBot, themed: object) -> MessageBar:
    made = MessageBar()
    qtbot.addWidget(made)
    return made


class Saves:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


@pytest.fixture
def saves() -> Saves:
    return Saves()


@pytest.fixture
def boundary(bar: MessageBar, saves: Saves, qtbot: QtBot) -> ErrorBoundary:
    return ErrorBoundary(bar, Dispatcher(bar), saves, None)


def _raised(error: BaseException) -> BaseException:
    try:
        raise error
    except type(error) as caught:
        return caught


def test_a_message_shows_its_sentence_and_hint(bar: MessageBar) -> None:
    bar.show_message("warning", "The disk is full.", "Free some space.")
    assert bar.text == "The disk is full. Free some space."
    assert bar.level == "warning"
    assert "disk is full" in bar.accessibleName()


def test_the_action_of_a_message_runs_once_and_closes_it(bar: MessageBar) -> None:
    ran: list[int] = []
    bar.show_message("success", "A better model.", action=("Use it", lambda: ran.append(1)))
    bar._button.click()
    assert ran == [1]
    assert bar.text == ""


def test_a_later_message_without_an_action_has_no_button(bar: MessageBar) -> None:
    bar.show_message("info", "One.", action=("Do", lambda: None))
    bar.show_message("info", "Two.")
    assert bar._button.isHidden()
    assert [row[1] for row in bar.history] == ["One.", "Two."]


def test_what_went_wrong_can_be_copied_as_it_is(bar: MessageBar) -> None:
    bar.show_message("info", "Done.")
    assert bar._copy.isHidden()
    bar.show_message("error", "The weights are missing.", "Fetch https://example.org/a/b.pth by hand.")
    assert not bar._copy.isHidden()
    bar._copy.click()
    assert QGuiApplication.clipboard().text() == bar.text


def test_a_long_sentence_stays_until_it_can_be_read(bar: MessageBar) -> None:
    bar.show_message("info", "Done.")
    assert bar._timer.interval() == 6000
    bar.show_message("info", "word " * 60)
    assert bar._timer.interval() > 15_000


def test_information_leaves_by_itself_and_errors_stay(bar: MessageBar) -> None:
    bar.show_message("info", "Done.")
    assert bar._timer.isActive()
    bar.show_message("error", "Not done.")
    assert not bar._timer.isActive()


def test_a_users_error_is_a_message_without_a_dialog(boundary: ErrorBoundary, bar: MessageBar, saves: Saves) -> None:
    boundary.handle(UserError("photo.png is damaged.", "Restore it."))
    assert bar.text == "photo.png is damaged. Restore it."
    assert bar.level == "error"
    assert boundary.dialogs == []
    assert saves.count == 0


def test_cancelled_is_silent(boundary: ErrorBoundary, bar: MessageBar) -> None:
    boundary.handle(Cancelled())
    assert bar.text == ""


def test_a_bug_saves_first_and_is_reported_once(
    boundary: ErrorBoundary, bar: MessageBar, saves: Saves, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        boundary.handle(_raised(ZeroDivisionError("by nothing")))
    assert len(boundary.dialogs) == 1
    assert "ZeroDivisionError" in boundary.dialogs[0].details.toPlainText()
    assert saves.count == 3
    assert "again" in bar.text
    assert "by nothing" in capsys.readouterr().err
    boundary.dialogs[0].close()


def test_two_different_bugs_have_two_fingerprints() -> None:
    assert fingerprint(_raised(ValueError("x"))) != fingerprint(_raised(KeyError("x")))


def test_a_failing_autosave_is_said_in_the_report(bar: MessageBar, capsys: pytest.CaptureFixture[str]) -> None:
    def save() -> None:
        raise OSError("disk")

    boundary = ErrorBoundary(bar, Dispatcher(bar), save, None)
    boundary.handle(_raised(RuntimeError("broken")))
    assert "disk" in capsys.readouterr().err
    assert len(boundary.dialogs) == 1
    boundary.dialogs[0].close()


def test_hooks_catch_errors_of_other_threads_and_are_given_back(
    boundary: ErrorBoundary, bar: MessageBar, qtbot: QtBot
) -> None:
    before = (sys.excepthook, threading.excepthook)
    boundary.install()
    try:
        thread = threading.Thread(target=_fail)
        thread.start()
        thread.join()
        qtbot.waitUntil(lambda: bar.text.startswith("It cannot"))
    finally:
        boundary.uninstall()
    assert (sys.excepthook, threading.excepthook) == before


def _fail() -> None:
    raise UserError("It cannot be done.")


def test_the_bridge_calls_on_the_windows_thread_in_order(qtbot: QtBot, qapp: object) -> None:
    dispatcher = Dispatcher()
    seen: list[tuple[int, threading.Thread]] = []

    def work() -> None:
        for number in range(5):
            dispatcher(lambda number=number: seen.append((number, threading.current_thread())))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == []
    qtbot.waitUntil(lambda: len(seen) == 5)
    assert seen == [(number, threading.main_thread()) for number in range(5)]


def test_a_core_signal_followed_over_the_bridge_arrives_until_disconnected(qtbot: QtBot, qapp: object) -> None:
    dispatcher = Dispatcher()
    signal: Signal[int] = Signal()
    seen: list[int] = []
    stop = dispatcher.follow(signal, seen.append)
    signal.emit(1)
    qtbot.waitUntil(lambda: seen == [1])
    stop()
    signal.emit(2)
    qtbot.wait(20)
    assert seen == [1]


def test_a_closed_bridge_drops_what_is_posted(qtbot: QtBot, qapp: object) -> None:
    dispatcher = Dispatcher()
    seen: list[int] = []
    dispatcher(lambda: seen.append(1))
    dispatcher.close()
    qtbot.wait(20)
    assert seen == []
