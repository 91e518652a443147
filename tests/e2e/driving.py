"""Drives the real window step by step: a script yields conditions and goes on once each is true."""

from __future__ import annotations

import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Generator
from typing import Any

from PySide6.QtCore import QPoint, Qt, QTimer
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

Script = Callable[["Hands"], Generator[tuple[str, Callable[[], Any]], None, None]]
_POLL_MS = 20
_PATIENCE_S = 90.0


class Hands:
    """What a person has: a keyboard, a mouse, and eyes on the main window."""

    def __init__(self, window: Any) -> None:
        self.window = window

    @property
    def workspace(self) -> Any:
        return self.window.workbench_workspace

    @property
    def annotator(self) -> Any:
        return self.workspace.current

    @property
    def canvas(self) -> Any:
        return self.window.workbench.canvas

    def key(self, key: Qt.Key, modifiers: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        """A key press in the focused canvas."""
        self.canvas.setFocus()
        QTest.keyClick(self.canvas, key, modifiers)

    def focus(self) -> None:
        """Gives the main window the keyboard; a bare virtual screen has no window manager to do it."""
        if QGuiApplication.platformName() == "xcb":
            subprocess.run(["xdotool", "windowfocus", str(int(self.window.winId()))], check=True)
        else:
            self.window.activateWindow()

    def point(self, x: float, y: float) -> QPoint:
        """The place on the canvas of a fraction (0..1) of the image's width and height."""
        height, width = self.annotator.map.shape
        view_x, view_y = self.canvas.viewport.to_view(x * width, y * height)
        ratio = self.canvas.devicePixelRatioF()
        return QPoint(round(view_x / ratio), round(view_y / ratio))

    def stroke(self, *fractions: tuple[float, float]) -> None:
        """A left-button stroke through points given as fractions of the image."""
        places = [self.point(x, y) for x, y in fractions]
        button = Qt.MouseButton.LeftButton
        QTest.mouseMove(self.canvas, places[0])
        QTest.mousePress(self.canvas, button, Qt.KeyboardModifier.NoModifier, places[0])
        for place in places[1:]:
            QTest.mouseMove(self.canvas, place, 10)
        QTest.mouseRelease(self.canvas, button, Qt.KeyboardModifier.NoModifier, places[-1])

    @staticmethod
    def find(kind: type[QWidget]) -> QWidget | None:
        """A visible top-level widget of a class, as a person would see it."""
        return next((w for w in QApplication.topLevelWidgets() if isinstance(w, kind) and w.isVisible()), None)


def play(arguments: list[str], script: Script) -> int:
    """Runs the program's own `main()` with a script playing in its event loop; 0 where the script came to its end."""
    outcome = {"code": 3}
    sys.argv = ["segstudio", *arguments]
    real_exec = QApplication.exec

    def playing_exec(*_arguments: Any) -> int:
        app = QApplication.instance()
        assert isinstance(app, QApplication)
        player = _Player(app, script, outcome)  # Qt holds no reference to it
        player.start()
        return int(real_exec())

    QApplication.exec = playing_exec  # type: ignore[method-assign]
    from segstudio.__main__ import main

    status = main()
    return outcome["code"] or status


class _Player:
    """Advances the script whenever the condition it waits for holds."""

    def __init__(self, app: QApplication, script: Script, outcome: dict[str, int]) -> None:
        self._app, self._script, self._outcome = app, script, outcome
        self._timer = QTimer(app, interval=_POLL_MS)
        self._timer.timeout.connect(self._step)
        self._what, self._ready, self._since = "the window", self._window_is_up, time.monotonic()
        self._steps: Generator[tuple[str, Callable[[], Any]], None, None] | None = None
        self._busy = False

    def start(self) -> None:
        self._timer.start()

    def _window_is_up(self) -> bool:
        return any(type(w).__name__ == "MainWindow" and w.isVisible() for w in QApplication.topLevelWidgets())

    def _step(self) -> None:
        if self._busy:
            return  # QTest turns the event loop itself
        self._busy = True
        try:
            self._advance()
        except StopIteration:
            self._end(0)
        except BaseException:  # noqa: BLE001 - whatever went wrong ends the script and is shown
            traceback.print_exc()
            self._end(1)
        finally:
            self._busy = False

    def _advance(self) -> None:
        if not self._ready():
            if time.monotonic() - self._since > _PATIENCE_S:
                raise TimeoutError(f"waited {_PATIENCE_S:.0f} s for {self._what}")
            return
        if self._steps is None:
            window = next(w for w in QApplication.topLevelWidgets() if type(w).__name__ == "MainWindow")
            self._steps = self._script(Hands(window))
        print(f"done: {self._what}", flush=True)  # noqa: T201 - the test shows it where a step fails
        self._what, self._ready = next(self._steps)
        self._since = time.monotonic()

    def _end(self, code: int) -> None:
        self._timer.stop()
        self._outcome["code"] = code
        for window in QApplication.topLevelWidgets():
            if type(window).__name__ == "MainWindow":
                window.close()
        self._app.quit()
