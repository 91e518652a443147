"""The list of jobs that opens from the status bar."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QFrame, QGridLayout, QScrollArea, QToolButton, QVBoxLayout, QWidget

from segstudio.core.events import Change
from segstudio.core.jobs import JobState
from segstudio.gui.icons import icon
from segstudio.gui.panels.common import EmptyState, Panel, label, progress_bar, set_text, show_progress

if TYPE_CHECKING:
    from segstudio.services.jobboard import JobRecord

_WIDTH_PX: Final = 320
_MAX_HEIGHT_PX: Final = 360
_WORDS: Final = {
    JobState.QUEUED: "waiting",
    JobState.DONE: "done",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "cancelled",
}


class JobRow(QFrame):
    """One job: title, progress, words, and a button that cancels it."""

    def __init__(self, record: JobRecord, popup: JobsPopup) -> None:
        super().__init__(popup)
        self.setProperty("role", "card")
        self.title = label("", "value")
        self.progress = progress_bar("Progress")
        self.words = label("", "muted")
        self.cancel = QToolButton()
        self.cancel.setIcon(icon("cancel"))
        self.cancel.clicked.connect(lambda _checked=False: popup.cancel(record.id))
        grid = QGridLayout(self)
        grid.setContentsMargins(10, 8, 8, 8)
        grid.setVerticalSpacing(6)
        grid.setColumnStretch(0, 1)
        grid.addWidget(self.title, 0, 0)
        grid.addWidget(self.cancel, 0, 1, 3, 1, Qt.AlignmentFlag.AlignTop)
        grid.addWidget(self.progress, 1, 0)
        grid.addWidget(self.words, 2, 0)
        self.show_record(record)

    def show_record(self, record: JobRecord) -> None:
        """Show where the job stands now."""
        set_text(self.title, record.title)
        running = record.state is JobState.RUNNING
        self.progress.setVisible(running)
        self.progress.setAccessibleName(f"Progress of {record.title}")
        show_progress(self.progress, record.fraction if running else 0.0)
        words = " · ".join(part for part in (_WORDS.get(record.state, ""), record.text) if part)
        set_text(self.words, words, "error" if record.state is JobState.FAILED else "muted")
        self.cancel.setVisible(record.cancellable and not record.state.is_over)
        self.cancel.setAccessibleName(f"Cancel {record.title}")
        self.cancel.setToolTip(f"Cancel “{record.title}”")


class JobsPopup(Panel):
    """Running jobs and those that ended lately, newest first."""

    flags: ClassVar[Change] = Change.JOBS

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowFlag(Qt.WindowType.Popup)
        self.setObjectName("panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setAccessibleName("Jobs")
        self._rows: dict[int, JobRow] = {}
        self.empty = EmptyState("Nothing is running. Proposals, training and exports show up here.")
        self._inner = QWidget()
        self._inner.setObjectName("scroll")
        self._list = QVBoxLayout(self._inner)
        self._list.setContentsMargins(0, 0, 0, 0)
        self._list.setSpacing(6)
        self._list.addStretch(1)
        self.area = QScrollArea()
        self.area.setWidgetResizable(True)
        self.area.setWidget(self._inner)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.column.addWidget(label("Jobs", "section"))
        for widget in (self.empty, self.area, self.error):
            self.column.addWidget(widget)
        self.setFixedWidth(_WIDTH_PX)
        self.refresh(Change(0))

    def popup_above(self, anchor: QWidget) -> None:
        """Open with the right edge at the anchor's, above it."""
        self._fit()
        corner = anchor.mapToGlobal(QPoint(anchor.width(), 0))
        self.move(corner.x() - self.width(), corner.y() - self.height() - 4)
        self.show()

    def cancel(self, job_id: int) -> None:
        """Ask a job to stop."""
        workspace = self.workspace
        if workspace is not None:
            self.attempt(lambda: workspace.jobs.cancel(job_id))

    @property
    def rows(self) -> list[JobRow]:
        """The rows shown, newest first."""
        return [self._rows[key] for key in sorted(self._rows, reverse=True)]

    def refresh(self, what: Change) -> None:
        """Show the job list again, keeping rows that are still there."""
        records = list(self.workspace.jobs.records) if self.workspace is not None else []
        wanted = {record.id for record in records}
        for job_id in [key for key in self._rows if key not in wanted]:
            old = self._rows.pop(job_id)
            self._list.removeWidget(old)
            old.hide()
            old.deleteLater()
        for record in sorted(records, key=lambda r: r.id):
            if record.id in self._rows:
                self._rows[record.id].show_record(record)
            else:
                self._rows[record.id] = JobRow(record, self)
                self._list.insertWidget(0, self._rows[record.id])
        self.empty.setVisible(not records)
        self.area.setVisible(bool(records))
        self._fit()

    def _fit(self) -> None:
        self._inner.adjustSize()
        self.area.setFixedHeight(min(_MAX_HEIGHT_PX, self._inner.sizeHint().height() + 4))
        self.adjustSize()
