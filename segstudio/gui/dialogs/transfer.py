"""What export and import share: a place to choose, a running job, an inline error, and a body that scrolls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from PySide6.QtCore import QSize, Qt, QTimer
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QResizeEvent, QShowEvent
from PySide6.QtWidgets import (
    QDialog,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from segstudio.core.errors import Cancelled, UserError
from segstudio.core.events import Change, ChangeSet
from segstudio.core.jobs import JobState
from segstudio.gui.panels.common import (
    InlineError,
    key_button,
    label,
    progress_bar,
    running_job,
    set_text,
    show_progress,
)
from segstudio.gui.panels.model import compact_combo

if TYPE_CHECKING:
    from segstudio.services.workspace import Workspace

_MARGIN_PX: Final = 20
_SCREEN_MARGIN_PX: Final = 64  # for the title bar and what the desktop keeps for itself
_MOST_FORMATS_SHOWN: Final = 16


class PathEdit(QWidget):
    """A path field with buttons that open choosers; a folder or file may be typed, pasted or dropped as well."""

    def __init__(self, name: str, hint: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.edit = QLineEdit()
        self.edit.setAccessibleName(name)
        self.edit.setPlaceholderText(hint)
        self.edit.setClearButtonEnabled(True)
        self.edit.setAcceptDrops(False)  # it would take "file:///..." as text; the dialog knows better
        self._line = QHBoxLayout(self)
        self._line.setContentsMargins(0, 0, 0, 0)
        self._line.addWidget(self.edit, 1)
        self.start = Path.home()
        self.setFocusProxy(self.edit)

    @property
    def path(self) -> Path | None:
        """The path typed or chosen, absolute; None while the field is empty."""
        text = self.edit.text().strip()
        return Path(text).expanduser().absolute() if text else None

    def add_button(self, text: str, name: str, choose: Callable[[str], str]) -> QPushButton:
        """A button whose `choose` is given where to start and returns a path, "" where the person chose none."""
        button = QPushButton(text)
        button.setAutoDefault(False)
        button.setAccessibleName(name)
        button.clicked.connect(lambda _checked=False: self._take(choose(self.edit.text() or str(self.start))))
        self._line.addWidget(button)
        return button

    def _take(self, chosen: str) -> None:
        if chosen:
            self.edit.setText(chosen)


class Page(QWidget):
    """At least as high as its wrapped words are at its width, while the rest of it may shrink.

    What is around it would else keep room for the words at their narrowest, or for all it would like to show.
    """

    def minimumSizeHint(self) -> QSize:
        return QSize(0, self.heightForWidth(self.width()))

    def hasHeightForWidth(self) -> bool:
        return False

    def heightForWidth(self, width: int) -> int:
        # A scroll area asks the page for this without asking whether it has one.
        layout = self.layout()
        return layout.totalMinimumHeightForWidth(width) if layout is not None else 0

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self.updateGeometry()


class _Scroll(QScrollArea):
    """As high as its page, while the screen has room for that."""

    def __init__(self, page: QWidget) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._page = page
        page.setObjectName("scroll")
        self.setWidget(page)

    def sizeHint(self) -> QSize:
        layout = self._page.layout()
        assert layout is not None
        width = max(self.width(), layout.sizeHint().width())
        return QSize(width, layout.totalHeightForWidth(self.viewport().width()))


def was_cancelled(workspace: Workspace, verb: str) -> bool:
    """True where the newest job whose title begins with `verb` was cancelled, maybe from the list of jobs."""
    newest = next((record for record in reversed(workspace.jobs.records) if record.title.startswith(verb)), None)
    return newest is not None and newest.state is JobState.CANCELLED


def stacked(*widgets: QWidget) -> QWidget:
    """Widgets below each other, close together: a field and the words that belong to it."""
    box = QWidget()
    column = QVBoxLayout(box)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(4)
    for widget in widgets:
        column.addWidget(widget)
    return box


def beside(*widgets: QWidget) -> QWidget:
    """Widgets beside each other, as wide as they are, from the left."""
    box = QWidget()
    line = QHBoxLayout(box)
    line.setContentsMargins(0, 0, 0, 0)
    line.setSpacing(8)
    for widget in widgets:
        line.addWidget(widget)
    line.addStretch(1)
    return box


class TransferDialog(QDialog):
    """What export and import share; made anew for every use. Esc or closing the window cancels a running job first.

    `body` holds what the person chooses; it scrolls where the screen is too small and rests while a job runs.
    """

    verb: ClassVar[str] = ""
    cancelled: ClassVar[str] = "Cancelled."

    def __init__(self, workspace: Workspace, title: str, action: str, icon_name: str, parent: QWidget | None) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.setModal(False)
        self.setAcceptDrops(True)
        self._workspace = workspace
        self._cancel: Callable[[], None] | None = None
        self._ended = True
        self._closed = False
        self.place: PathEdit | None = None
        self.format = compact_combo("Format", "Which program the files are for")
        self.format.setMaxVisibleItems(_MOST_FORMATS_SHOWN)
        self.summary = label("")
        self.progress = progress_bar(title)
        self.state = label("", "muted")
        self.error = InlineError()
        self.outcome = label("", "success")
        self.go = key_button(action, icon_name, "", "", self.start, "primary")
        self.go.setDefault(True)
        self.close_button = key_button(
            "Close", "close", "", "Closes this window; cancels first while files are written (Esc)", self.reject
        )
        self.close_button.setAutoDefault(False)
        self.form = QFormLayout()
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.form.setHorizontalSpacing(16)
        self.form.setVerticalSpacing(10)
        self.buttons = QHBoxLayout()
        self.buttons.addStretch(1)
        self.buttons.addWidget(self.close_button)
        self.buttons.addWidget(self.go)
        self._disconnect = workspace.changed.connect(self._on_changed)

    def assemble(self, *extra: QWidget) -> None:
        """Lay the parts out: the form and `extra` in the body; words, progress and buttons stay in sight below."""
        self.body = Page()
        inner = QVBoxLayout(self.body)
        inner.setContentsMargins(_MARGIN_PX, _MARGIN_PX, _MARGIN_PX, 8)
        inner.setSpacing(12)
        inner.addLayout(self.form)
        for widget in extra:
            inner.addWidget(widget)
        grows = any(widget.sizePolicy().expandingDirections() & Qt.Orientation.Vertical for widget in extra)
        if not grows:
            inner.addStretch(1)
        self.viewer = _Scroll(self.body)
        rule = QFrame()
        rule.setProperty("role", "rule")
        foot = QVBoxLayout()
        foot.setContentsMargins(_MARGIN_PX, 4, _MARGIN_PX, 16)
        foot.setSpacing(8)
        for widget in (self.summary, self.progress, self.state, self.error, self.outcome):
            foot.addWidget(widget)
        foot.addLayout(self.buttons)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addWidget(self.viewer, 1)
        column.addWidget(rule)
        column.addLayout(foot)
        self.show_state()

    def fit(self) -> None:
        """Grow soon, as far as the screen allows, to show all of the body."""
        QTimer.singleShot(0, self, self._fit)

    def _fit(self) -> None:
        layout, inner = self.layout(), self.body.layout()
        if layout is None or inner is None or not self.isVisible():
            return
        inner.activate()
        layout.activate()
        missing = self.viewer.sizeHint().height() - self.viewer.viewport().height()
        screen = self.screen().availableGeometry()
        room = screen.height() - _SCREEN_MARGIN_PX
        if missing > 0 and self.height() < room:
            self.resize(self.width(), min(self.height() + missing, room))
            # Its buttons stay in reach: what grew out of the screen at the bottom moves up.
            self.move(self.x(), max(screen.top(), min(self.y(), screen.bottom() + 1 - self.frameGeometry().height())))

    @property
    def busy(self) -> bool:
        """True while the job runs."""
        return self._cancel is not None

    def start(self) -> None:
        """Start the job."""
        raise TypeError(f"{type(self).__name__} transfers nothing")

    def launch(self, begin: Callable[[], Callable[[], None]]) -> None:
        """Start a job; `begin` returns what cancels it. An error shows in the dialog."""
        self.error.clear()
        set_text(self.outcome, "")
        self._ended = False
        try:
            cancel = begin()
        except UserError as error:
            self._ended = True
            self.error.show_text(str(error))
            return
        self._cancel = None if self._ended else cancel
        self.show_state()
        self.fit()

    def ended(self) -> bool:
        """Note that the job is over; False where the dialog was closed meanwhile and shows nothing any more."""
        self._ended = True
        self._cancel = None
        if not self._closed:
            self.show_state()
        return not self._closed

    def failed(self, error: BaseException) -> None:
        """Show a person's error in the dialog; a programming error goes to the boundary."""
        if self.ended() and isinstance(error, UserError):
            self.error.show_text(str(error))
        elif not isinstance(error, Cancelled):
            self._workspace.report(error)

    def show_state(self) -> None:
        """Show whether a job runs and how far it is."""
        if self.busy and was_cancelled(self._workspace, self.verb):
            self._cancel = None
            set_text(self.outcome, self.cancelled, "muted")
        fraction, text = running_job(self._workspace, self.verb) if self.busy else (0.0, "")
        self.progress.setVisible(self.busy)
        show_progress(self.progress, fraction)
        set_text(self.state, text)
        self.close_button.setText("Cancel" if self.busy else "Close")
        self.body.setEnabled(not self.busy)
        self.refresh_ready()

    def refresh_ready(self) -> None:
        """Show what would happen and enable the button when it can."""

    def on_change(self, what: Change) -> None:
        """Follow the project; by default only its jobs, images and their state matter."""
        if what & (Change.JOBS | Change.STATUS | Change.IMAGES | Change.SAVED):
            self.show_state()

    def _on_changed(self, change: ChangeSet) -> None:
        self.on_change(change.what)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if not self.busy and any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        paths = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        if paths and self.place is not None:
            self.place.edit.setText(paths[0])
            event.acceptProposedAction()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.fit()

    def reject(self) -> None:
        if self._cancel is None:
            super().reject()
            return
        cancel, self._cancel = self._cancel, None
        cancel()
        set_text(self.outcome, self.cancelled, "muted")
        self.show_state()

    def done(self, result: int) -> None:
        self._closed = True
        self._disconnect()
        super().done(result)
