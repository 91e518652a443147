"""Starts the window: as little as possible before it shows, everything heavy after."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QCoreApplication, QTimer
from PySide6.QtWidgets import QApplication

from segstudio.core.settings import Settings
from segstudio.gui import theme
from segstudio.gui.bridge import Dispatcher
from segstudio.gui.main_window import MainWindow
from segstudio.gui.opening import Opener
from segstudio.gui.shortcuts import TypingGuard

if TYPE_CHECKING:
    from pathlib import Path

    from segstudio.services.engines import Engine

PROFILE_VARIABLE: Final = "SEGSTUDIO_PROFILE_START"
"""Names a file for time stamps of the start (benchmarks, the smoke test of the wheel)."""
QUIT_VARIABLE: Final = "SEGSTUDIO_QUIT_AFTER_FIRST_IMAGE"
"""Set to 1: the program ends by itself once the first image is drawn (the smoke test of the wheel)."""


def make_application(settings: Settings) -> tuple[QApplication, theme.ThemeManager]:
    """The one application object of this process, named and dressed."""
    existing = QApplication.instance()
    app = existing if isinstance(existing, QApplication) else QApplication(sys.argv[:1])
    QCoreApplication.setOrganizationName("SegStudio")
    QCoreApplication.setApplicationName("SegStudio")
    app.setApplicationDisplayName("")
    return app, theme.install(app, settings)


def has_screen() -> bool:
    """False where Qt would abort the process for want of a display server (Linux without X and Wayland)."""
    if not sys.platform.startswith("linux"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))


def make_window(
    app: QApplication,
    themes: theme.ThemeManager,
    settings: Settings,
    *,
    device: str = "auto",
    engine: Engine | None = None,
) -> MainWindow:
    """A window without a project, not yet shown; its error boundary is not installed."""
    dispatcher = Dispatcher(app)
    opener = Opener(dispatcher, settings, device=device, engine=engine)
    if app.findChild(TypingGuard) is None:
        TypingGuard(app)
    return MainWindow(opener=opener, dispatcher=dispatcher, settings=settings, themes=themes)


def run(
    path: Path | None,
    *,
    demo: bool = False,
    fresh_demo: bool = False,
    device: str = "auto",
    engine: Engine | None = None,
) -> int:
    """Show the window on a path, the demo or the welcome page, until it is closed; returns the exit code."""
    if not has_screen():
        sys.stderr.write("segstudio: there is no screen to show a window on; the commands work without one.\n")
        return 1
    settings = Settings()
    app, themes = make_application(settings)
    window = make_window(app, themes, settings, device=device, engine=engine)
    window.boundary.install()
    profile = _Profile(window)
    try:
        if path is not None:
            window.open_path(path)
        elif demo:
            window.open_demo(fresh=fresh_demo)
        window.show()
        profile.shown()
        return app.exec()
    finally:
        window.boundary.uninstall()
        window.shut_down()


class _Profile:
    """Writes when the window was shown and when its first image was drawn, for the start-up benchmark."""

    def __init__(self, window: MainWindow) -> None:
        self._path = os.environ.get(PROFILE_VARIABLE)
        self._quits = os.environ.get(QUIT_VARIABLE) == "1"
        self._window = window
        self._timer: QTimer | None = None

    def shown(self) -> None:
        if not (self._path or self._quits):
            return
        self._write("window_shown")
        self._timer = QTimer(self._window, interval=0)
        self._timer.timeout.connect(self._look)
        self._timer.start()

    def _look(self) -> None:
        workspace = self._window.workbench_workspace
        if workspace is None or workspace.current is None or self._timer is None:
            return
        self._timer.stop()
        self._window.workbench.canvas.repaint()
        self._write("first_image_drawn")
        if self._quits:
            self._window.close()

    def _write(self, name: str) -> None:
        if self._path:
            with open(self._path, "a", encoding="utf-8") as file:  # noqa: PTH123 - a name from the environment
                file.write(json.dumps({"event": name, "monotonic": time.monotonic()}) + "\n")
