"""What every panel shares: following a workspace by change flags, and the few widgets they are built from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Final

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QFont, QFontMetrics, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QProgressBar, QPushButton, QSizePolicy, QVBoxLayout, QWidget
from shiboken6 import isValid

from segstudio.core.errors import UserError
from segstudio.core.events import Change, ChangeSet
from segstudio.core.jobs import JobState
from segstudio.gui.icons import icon

if TYPE_CHECKING:
    from segstudio.services.workspace import Workspace

MARGIN_PX: Final = 10
SPACING_PX: Final = 8
ICON_PX: Final = 16
_KEY_GAP_PX: Final = 8
_KEY_SIZE: Final = 0.85
_KEY_MARGIN_PX: Final = 10
_KEY_OPACITY: Final = 0.65
_PROGRESS_STEPS: Final = 1000


class Panel(QWidget):
    """A widget that follows a workspace: `refresh` runs when a change carries one of the class's `flags`."""

    flags: ClassVar[Change] = Change(0)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._workspace: Workspace | None = None
        self._disconnect: Callable[[], None] | None = None
        self.error = InlineError(self)
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(MARGIN_PX, MARGIN_PX, MARGIN_PX, MARGIN_PX)
        self.column.setSpacing(SPACING_PX)

    @property
    def workspace(self) -> Workspace | None:
        """The workspace shown, if any."""
        return self._workspace

    def set_workspace(self, workspace: Workspace | None) -> None:
        """Follow another workspace, or none."""
        if self._disconnect is not None:
            self._disconnect()
            self._disconnect = None
        self._workspace = workspace
        self.error.clear()
        if workspace is not None:
            self._disconnect = workspace.changed.connect(self._on_changed)
        self.refresh(~Change(0))

    def refresh(self, what: Change) -> None:
        """Show the workspace's state again; `what` says which parts may differ."""
        raise TypeError(f"{type(self).__name__} shows nothing")

    def attempt(self, action: Callable[[], object]) -> bool:
        """Run what a person asked for; an error they can mend shows as one sentence in the panel."""
        self.error.clear()
        try:
            action()
        except UserError as error:
            self.error.show_text(str(error))
            return False
        return True

    def _on_changed(self, change: ChangeSet) -> None:
        if not isValid(self):
            # A popup deleted while it still followed the workspace must not be called again.
            if self._disconnect is not None:
                self._disconnect()
            return
        what = change.what & self.flags
        if what:
            self.refresh(what)


class InlineError(QLabel):
    """A sentence that appears only when something went wrong."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "error")
        self.setSizePolicy(_wrapping())
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setAccessibleName("Problem")
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.hide()

    def show_text(self, text: str) -> None:
        """Show a sentence."""
        self.setText(text)
        self.setVisible(bool(text))

    def clear(self) -> None:
        """Hide the sentence."""
        super().clear()
        self.hide()


class KeyButton(QPushButton):
    """A push button that shows its key, dimmed, at the right edge."""

    def __init__(self, text: str, icon_name: str, key: str = "", *, parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        self._key = ""
        self.icon_name = ""
        self.set_icon_name(icon_name)
        self.set_key(key)
        # A push button would not shrink below the width that shows its key.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    @property
    def key(self) -> str:
        """The key shown."""
        return self._key

    def set_key(self, key: str) -> None:
        """Show another key; the window's shortcut table decides what it does."""
        self._key = key
        self.updateGeometry()
        self.update()

    def set_icon_name(self, name: str) -> None:
        """Another icon, by the name of the icon table."""
        self.icon_name = name
        primary, danger = self.property("primary") == "true", self.property("danger") == "true"
        self.setIcon(icon(name, "accent_text" if primary else "error" if danger else "text"))

    def set_help(self, text: str) -> None:
        """A tooltip with the key behind the button's title."""
        title = f"{self.text()} ({self._key})" if self._key else self.text()
        self.setToolTip(f"{title}\n{text}" if text else title)
        self.setAccessibleDescription(text)

    def sizeHint(self) -> QSize:
        hint = super().sizeHint()
        return hint + QSize(self._key_width(), 0) if self._key else hint

    def minimumSizeHint(self) -> QSize:
        return super().sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if not self._key or self.width() < self.sizeHint().width():
            return
        painter = QPainter(self)
        painter.setOpacity(_KEY_OPACITY)
        painter.setFont(self._key_font())
        group = self.palette().ColorGroup.Normal if self.isEnabled() else self.palette().ColorGroup.Disabled
        painter.setPen(self.palette().color(group, self.foregroundRole()))
        area = self.rect().adjusted(0, 0, -_KEY_MARGIN_PX, 0)
        painter.drawText(area, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, self._key)

    def _key_width(self) -> int:
        return 2 * (QFontMetrics(self._key_font()).horizontalAdvance(self._key) + _KEY_GAP_PX)

    def _key_font(self) -> QFont:
        font = QFont(self.font())
        font.setPointSizeF(font.pointSizeF() * _KEY_SIZE)
        return font


def key_button(
    text: str, icon_name: str, key: str, tip: str, on_click: Callable[[], object], role: str = ""
) -> KeyButton:
    """A button with icon, key and tooltip; `role` is "primary", "danger", "quiet" or empty."""
    button = KeyButton(text, icon_name, key)
    set_role(button, role)
    button.set_icon_name(icon_name)
    button.set_help(tip)
    button.setAccessibleName(text)
    button.clicked.connect(lambda _checked=False: on_click())
    return button


def set_role(button: QPushButton, role: str) -> None:
    """Dress a button as "primary", "danger", "quiet", or as an ordinary one."""
    for name in ("primary", "danger", "quiet"):
        button.setProperty(name, "true" if name == role else None)
    repolish(button)


def label(text: str = "", role: str = "", *, wrap: bool = True) -> QLabel:
    """A plain-text label; `role` as in the style sheet ("muted", "section", "value", "success", ...)."""
    widget = QLabel(text)
    widget.setTextFormat(Qt.TextFormat.PlainText)
    widget.setWordWrap(wrap)
    if role:
        widget.setProperty("role", role)
    if wrap:
        widget.setSizePolicy(_wrapping())
    return widget


def _wrapping() -> QSizePolicy:
    """As wide as there is room and as high as the words then are, however long the longest of them."""
    policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    policy.setHeightForWidth(True)
    return policy


def set_text(widget: QLabel, text: str, role: str | None = None) -> None:
    """Show a text, in another role where given; an empty one hides the label."""
    widget.setText(text)
    widget.setVisible(bool(text))
    if role is not None and widget.property("role") != role:
        widget.setProperty("role", role)
        repolish(widget)


class ElidedLabel(QLabel):
    """A label that shortens its text in the middle where it does not fit."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._full = ""
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def set_full_text(self, text: str) -> None:
        """Show a text, with all of it as tooltip."""
        self._full = text
        self.setToolTip(text)
        self._elide()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._elide()

    def _elide(self) -> None:
        self.setText(self.fontMetrics().elidedText(self._full, Qt.TextElideMode.ElideMiddle, max(0, self.width() - 4)))


def repolish(widget: QWidget) -> None:
    """Let the style sheet look at changed properties again."""
    widget.style().unpolish(widget)
    widget.style().polish(widget)


def card() -> tuple[QFrame, QVBoxLayout]:
    """A raised frame and the column inside it."""
    frame = QFrame()
    frame.setProperty("role", "card")
    column = QVBoxLayout(frame)
    column.setContentsMargins(8, 8, 8, 8)
    column.setSpacing(6)
    return frame, column


class EmptyState(QFrame):
    """A dashed frame that says what to do where there is nothing to show yet."""

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "empty")
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 16, 12, 16)
        self.words = label(text, "muted")
        self.words.setAlignment(Qt.AlignmentFlag.AlignCenter)
        column.addWidget(self.words)

    def set_words(self, text: str) -> None:
        """Say something else."""
        self.words.setText(text)


def row(*widgets: QWidget, spacing: int = SPACING_PX) -> QHBoxLayout:
    """Widgets side by side, sharing the width."""
    layout = QHBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(spacing)
    for widget in widgets:
        layout.addWidget(widget, 1)
    return layout


def progress_bar(name: str) -> QProgressBar:
    """A thin progress bar without text."""
    bar = QProgressBar()
    bar.setTextVisible(False)
    bar.setAccessibleName(name)
    bar.setRange(0, _PROGRESS_STEPS)
    return bar


def show_progress(bar: QProgressBar, fraction: float | None) -> None:
    """Show a fraction 0..1, or motion where it is None."""
    if fraction is None:
        bar.setRange(0, 0)
        return
    bar.setRange(0, _PROGRESS_STEPS)
    bar.setValue(round(_PROGRESS_STEPS * min(max(fraction, 0.0), 1.0)))


def running_job(workspace: Workspace, verb: str) -> tuple[float | None, str]:
    """Fraction (None: unknown) and words of the newest running job whose title begins with `verb`."""
    for record in reversed(workspace.jobs.records):
        if record.state is JobState.RUNNING and record.title.startswith(verb):
            return record.fraction, record.text or record.title
    return None, ""


def percent(fraction: float) -> str:
    """0.914 as "91 %"; a share that is not quite none or all never rounds to it."""
    if 0 < fraction < 0.01:
        return "< 1 %"
    if 0.99 < fraction < 1:
        return "> 99 %"
    return f"{fraction * 100:.0f} %"


def count_text(number: int) -> str:
    """A count in at most five characters: 950, 12 k, 1.3 M."""
    if number >= 1_000_000:
        return f"{number / 1e6:.1f} M"
    if number >= 10_000:
        return f"{number / 1e3:.0f} k"
    return f"{number:,}"


def images_text(number: int) -> str:
    """1 as "1 image", else "N images"."""
    return "1 image" if number == 1 else f"{number:,} images"
