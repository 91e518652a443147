"""The bottom line: pixel and class under the pointer, zoom, size, running job, device, memory, save state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QStatusBar, QToolButton, QWidget

from segstudio.gui import icons

if TYPE_CHECKING:
    from segstudio.services.engines import EngineStatus
    from segstudio.services.jobboard import JobRecord

_GIB: Final = 1 << 30
_MIB: Final = 1 << 20


def memory_text(used: int | None, total: int | None) -> str:
    """Memory as a person reads it: "1.2 of 8.0 GB"; "" where nothing is known."""
    if not used:
        return ""
    if not total:
        return f"{used / _GIB:.1f} GB" if used >= _GIB else f"{used / _MIB:.0f} MB"
    return f"{used / _GIB:.1f} of {total / _GIB:.1f} GB"


class StatusBar(QStatusBar):
    """Everything that is true right now, in one line; asks for a job to be stopped through `cancel_asked`."""

    cancel_asked = Signal(int)
    jobs_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizeGripEnabled(False)
        self._job: int | None = None
        self.pixel = self._label("Pixel under the pointer", 184)
        self.zoom = self._label("Zoom", 56)
        self.picture = self._label("Image size", 96)
        for label in (self.pixel, self.zoom, self.picture):
            self.addWidget(label)
        self.job_box = self._build_job()
        self.addPermanentWidget(self.job_box)
        self.device = self._label("Device", 0)
        self.memory = self._label("Memory", 0)
        self.saved = self._label("Save state", 0)
        for label in (self.device, self.memory, self.saved):
            self.addPermanentWidget(label)
        self.set_job(None)
        self.setContentsMargins(8, 0, 8, 0)

    def _label(self, name: str, width: int) -> QLabel:
        label = QLabel(self)
        label.setAccessibleName(name)
        label.setTextFormat(Qt.TextFormat.PlainText)
        if width:
            label.setMinimumWidth(width)
        return label

    def _build_job(self) -> QWidget:
        box = QWidget(self)
        layout = QHBoxLayout(box)
        layout.setContentsMargins(0, 0, 12, 0)
        layout.setSpacing(8)
        self.job_text = QLabel(box)
        self.job_text.setAccessibleName("Running job")
        self.job_progress = QProgressBar(box)
        self.job_progress.setFixedWidth(120)
        self.job_progress.setTextVisible(False)
        self.job_progress.setAccessibleName("Progress of the running job")
        self.job_more = QToolButton(box)
        self.job_more.setAutoRaise(True)
        self.job_more.setText("Jobs")
        self.job_more.setAccessibleName("Show all jobs")
        self.job_more.setToolTip("Show all jobs")
        self.job_more.clicked.connect(self.jobs_asked)
        self.job_cancel = QToolButton(box)
        self.job_cancel.setIcon(icons.icon("cancel"))
        self.job_cancel.setIconSize(QSize(16, 16))
        self.job_cancel.setAutoRaise(True)
        self.job_cancel.setAccessibleName("Stop this job")
        self.job_cancel.setToolTip("Stop this job")
        self.job_cancel.clicked.connect(self._ask_cancel)
        for widget in (self.job_text, self.job_progress, self.job_cancel, self.job_more):
            layout.addWidget(widget)
        return box

    def set_pixel(self, column: int, row: int, text: str) -> None:
        """Show the pixel under the pointer and what it is; (-1, -1) = outside."""
        self.pixel.setText(f"{column}, {row}   {text}" if column >= 0 else "")

    def set_zoom(self, factor: float | None) -> None:
        """Show the zoom, 1.0 = actual pixels; None = no image."""
        self.zoom.setText("" if factor is None else f"{factor:.0%}".replace("%", " %"))

    def set_picture(self, width: int | None, height: int | None) -> None:
        """Show the image's size in pixels."""
        self.picture.setText(f"{width} × {height}" if width and height else "")

    def set_engine(self, status: EngineStatus) -> None:
        """Show device and memory of the engine."""
        self.device.setText("CPU" if status.device == "cpu" else status.device_name)
        self.device.setToolTip(status.device_name)
        memory = memory_text(status.memory_used, status.memory_total)
        self.memory.setText(f"Memory {memory}" if memory else "")

    def set_saved(self, text: str) -> None:
        """Show the save state."""
        self.saved.setText(text)

    def set_job(self, record: JobRecord | None, *, more: int = 0) -> None:
        """Show one running job and how many others run; None hides the part."""
        self._job = record.id if record is not None else None
        self.job_box.setVisible(record is not None)
        if record is None:
            return
        others = f"  (+{more})" if more else ""
        detail = f": {record.text}" if record.text else ""
        full = f"{record.title}{detail}{others}"
        self.job_text.setText(self.fontMetrics().elidedText(full, Qt.TextElideMode.ElideRight, 260))
        self.job_text.setToolTip(full)
        if record.fraction is None:
            self.job_progress.setRange(0, 0)
        else:
            self.job_progress.setRange(0, 1000)
            self.job_progress.setValue(round(record.fraction * 1000))
        self.job_cancel.setEnabled(record.cancellable)

    def _ask_cancel(self) -> None:
        if self._job is not None:
            self.cancel_asked.emit(self._job)
