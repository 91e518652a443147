"""The last boundary: what nobody caught becomes a message, silence, or one report after an autosave."""

from __future__ import annotations

import platform
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QFontDatabase, QGuiApplication
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QLabel, QPlainTextEdit, QVBoxLayout, QWidget

import segstudio
from segstudio.core.errors import Cancelled, UserError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from segstudio.gui.bridge import Dispatcher
    from segstudio.gui.message_bar import MessageBar

_PACKAGE = str(Path(segstudio.__file__).parent)


def fingerprint(error: BaseException) -> str:
    """What makes two reports the same: the error's type and the innermost line of our own code."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith(_PACKAGE)] or list(frames)
    place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "unknown place"
    return f"{type(error).__name__} at {place}"


def report_text(error: BaseException) -> str:
    """The report a person can send: versions, system, traceback; no file contents."""
    version = getattr(segstudio, "__version__", "unknown")
    system = f"Python {platform.python_version()}, {platform.system()} {platform.release()}"
    trace = "".join(traceback.format_exception(error))
    return f"SegStudio {version}\n{system}\n{fingerprint(error)}\n\n{trace}"


class ReportDialog(QDialog):
    """Shows one report, ready to copy; the program goes on behind it."""

    def __init__(self, error: BaseException, saved: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Something went wrong")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(640, 420)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(24, 24, 24, 16)
        layout.setSpacing(12)
        heading = QLabel("SegStudio made a mistake", self)
        heading.setProperty("role", "heading")
        text = QLabel(f"{saved} You can go on. The report below helps to mend it.", self)
        text.setWordWrap(True)
        self.details = QPlainTextEdit(report_text(error), self)
        self.details.setReadOnly(True)
        self.details.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.details.setAccessibleName("Error report")
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close, self)
        copy = buttons.addButton("Copy report", QDialogButtonBox.ButtonRole.ActionRole)
        copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(self.details.toPlainText()))
        buttons.rejected.connect(self.reject)
        layout.addWidget(heading)
        layout.addWidget(text)
        layout.addWidget(self.details, 1)
        layout.addWidget(buttons)


class ErrorBoundary:
    """Sorts uncaught errors: yours (message bar), nobody's (cancelled), ours (autosave, then a report once)."""

    def __init__(
        self, messages: MessageBar, dispatch: Dispatcher, autosave: Callable[[], None], parent: QWidget | None = None
    ) -> None:
        self._messages = messages
        self._dispatch = dispatch
        self._autosave = autosave
        self._parent = parent
        self._seen: set[str] = set()
        self._previous = (sys.excepthook, threading.excepthook)
        self.dialogs: list[ReportDialog] = []

    def install(self) -> None:
        """Become the hook for uncaught errors of every thread."""
        sys.excepthook = self._on_uncaught
        threading.excepthook = self._on_thread

    def uninstall(self) -> None:
        """Give the hooks back."""
        sys.excepthook, threading.excepthook = self._previous

    def handle(self, error: BaseException) -> None:
        """Deal with one error on the window's thread."""
        if isinstance(error, Cancelled):
            return
        if isinstance(error, UserError):
            self._messages.show_message("error", error.message, error.hint)
            return
        sys.stderr.write(report_text(error))
        mark = fingerprint(error)
        saved = self._save()
        if mark in self._seen:
            self._messages.show_message("error", "The same mistake happened again.", saved)
            return
        self._seen.add(mark)
        dialog = ReportDialog(error, saved, self._parent)
        self.dialogs.append(dialog)
        dialog.destroyed.connect(lambda: self._forget(dialog))
        dialog.open()

    def _forget(self, dialog: ReportDialog) -> None:
        if dialog in self.dialogs:
            self.dialogs.remove(dialog)

    def _save(self) -> str:
        try:
            self._autosave()
        except Exception as error:  # noqa: BLE001 - last boundary: saving failed while reporting; say so, never recurse
            sys.stderr.write(report_text(error))
            return "Saving failed; finished strokes are kept in the project's journal."
        return "Your work is saved."

    def _on_uncaught(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            self._previous[0](kind, error, trace)
            return
        if threading.current_thread() is threading.main_thread():
            self.handle(error)
        else:
            self._dispatch(lambda: self.handle(error))

    def _on_thread(self, args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            error = args.exc_value
            self._dispatch(lambda: self.handle(error))
