"""The strip under the tool bar where the program speaks: one message, what to do about it, at most one action."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QSize, Qt, QTimer
from PySide6.QtGui import QGuiApplication, QTextOption
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QTextEdit, QToolButton, QWidget

from segstudio.gui import icons, theme

if TYPE_CHECKING:
    from collections.abc import Callable

LEVELS: Final = ("info", "success", "warning", "error")
_SHOW_MS: Final = {"info": 6000, "success": 6000, "warning": 0, "error": 0}
_ACTION_TIMES: Final = 4
_READING_MS: Final = 60
_SENTENCE_PX: Final = 560
_HISTORY: Final = 50


class _Sentence(QTextEdit):
    """Text that wraps anywhere, so that an address without a space cannot widen the bar, and that can be copied."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setReadOnly(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.document().setDocumentMargin(0)
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)

    def heightForWidth(self, width: int) -> int:
        document = self.document().clone()
        document.setTextWidth(width)
        return math.ceil(document.size().height())

    def sizeHint(self) -> QSize:
        width = min(_SENTENCE_PX, self.fontMetrics().horizontalAdvance(self.toPlainText()))
        return QSize(width, self.heightForWidth(width))

    def minimumSizeHint(self) -> QSize:
        return QSize(0, self.fontMetrics().height())


class MessageBar(QFrame):
    """Shows the newest message; information leaves by itself, warnings and errors stay until closed.

    Information that is long or offers something stays longer.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("message")
        self.history: deque[tuple[str, str, str]] = deque(maxlen=_HISTORY)
        self._level = "info"
        self._action: Callable[[], object] | None = None
        self._timer = QTimer(self, singleShot=True)
        self._timer.timeout.connect(self.hide)
        self._build()
        self.hide()
        theme.manager().changed.connect(self._refresh_icon)

    def _build(self) -> None:
        layout = QHBoxLayout(self)
        layout.setContentsMargins(16, 8, 8, 8)
        layout.setSpacing(12)
        self._icon = QLabel(self)
        self._text = _Sentence(self)
        self._button = QPushButton(self)
        self._button.setAccessibleName("What the message offers")
        self._button.clicked.connect(self._act)
        self._copy = self._tool_button("copy", "Copy message")
        self._copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(self._text.toPlainText()))
        self._close = self._tool_button("close", "Close message")
        self._close.clicked.connect(self.hide)
        layout.addWidget(self._icon, 0, Qt.AlignmentFlag.AlignVCenter)
        layout.addWidget(self._text, 1, Qt.AlignmentFlag.AlignVCenter)
        layout.addWidget(self._button)
        layout.addWidget(self._copy)
        layout.addWidget(self._close)

    def _tool_button(self, icon_name: str, title: str) -> QToolButton:
        button = QToolButton(self)
        button.setIcon(icons.icon(icon_name))
        button.setIconSize(QSize(16, 16))
        button.setAutoRaise(True)
        button.setToolTip(title)
        button.setAccessibleName(title)
        return button

    @property
    def text(self) -> str:
        """The sentence shown, with its hint; "" while hidden."""
        return self._text.toPlainText() if not self.isHidden() else ""

    @property
    def level(self) -> str:
        """One of LEVELS."""
        return self._level

    def show_message(
        self, level: str, text: str, hint: str = "", *, action: tuple[str, Callable[[], object]] | None = None
    ) -> None:
        """Show a message in place of the one before; `action` is a button's label and what it does."""
        if level not in LEVELS:
            level = "info"
        self.history.append((level, text, hint))
        self._level = level
        self._action = action[1] if action is not None else None
        self._text.setPlainText(f"{text} {hint}".strip())
        self._text.updateGeometry()
        # What went wrong is worth passing on: a path to look at, an address to fetch.
        self._copy.setVisible(level in ("warning", "error"))
        self.setAccessibleName(f"{level}: {text} {hint}".strip())
        self._button.setVisible(action is not None)
        if action is not None:
            self._button.setText(action[0])
            self._button.setAccessibleName(action[0])
        self.setProperty("level", level)
        self.style().unpolish(self)
        self.style().polish(self)
        self._refresh_icon()
        self.show()
        duration = _SHOW_MS[level]
        if duration:
            duration = max(duration, _READING_MS * len(f"{text} {hint}"))
            self._timer.start(duration if action is None else _ACTION_TIMES * duration)
        else:
            self._timer.stop()

    def _refresh_icon(self) -> None:
        self._icon.setPixmap(icons.pixmap(self._level, 18, self._level, ratio=self.devicePixelRatioF()))

    def _act(self) -> None:
        self.hide()
        if self._action is not None:
            self._action()
