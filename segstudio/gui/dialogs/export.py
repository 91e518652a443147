"""The export dialog: format, folder, which images, and what became of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import (
    QCheckBox,
    QDialog,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from segstudio.core.errors import Cancelled, UserError
from segstudio.core.events import Change, ChangeSet
from segstudio.gui.panels.common import (
    InlineError,
    images_text,
    key_button,
    label,
    progress_bar,
    running_job,
    set_text,
    show_progress,
)
from segstudio.gui.panels.model import compact_combo

if TYPE_CHECKING:
    from segstudio.formats.base import ExportReport
    from segstudio.services.workspace import Workspace

_VERB: Final = "Exporting"
WRITES: Final = {
    "voc": "JPEGImages, SegmentationClass and SegmentationObject as palette PNG (255 = void), and image lists.",
    "coco": "The images and one annotations file: every instance with its box and an exact run-length mask.",
    "index-png": "One greyscale PNG an image: the pixel value is the class id, 255 is ignore.",
}


class FolderEdit(QWidget):
    """A path field with a button that opens the folder chooser."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name = name
        self.edit = QLineEdit()
        self.edit.setAccessibleName(name)
        self.edit.setClearButtonEnabled(True)
        self.browse = QPushButton("Choose…")
        self.browse.setAutoDefault(False)
        self.browse.setAccessibleName(f"Choose {name.lower()}")
        self.browse.clicked.connect(lambda _checked=False: self._choose())
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.edit, 1)
        layout.addWidget(self.browse)
        self.setFocusProxy(self.edit)

    @property
    def path(self) -> Path | None:
        """The path typed or chosen; None while the field is empty."""
        text = self.edit.text().strip()
        return Path(text).expanduser() if text else None

    def _choose(self) -> None:
        start = self.edit.text() or str(Path.home())
        chosen = QFileDialog.getExistingDirectory(self, self._name, start)
        if chosen:
            self.edit.setText(chosen)


class TransferDialog(QDialog):
    """What export and import share: a running job with its bar, an inline error, and the buttons below.

    Made anew for every use; Esc or closing the window cancels a running job first.
    """

    verb = ""

    def __init__(self, workspace: Workspace, title: str, action: str, icon_name: str, parent: QWidget | None) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.setModal(False)
        self.setMinimumWidth(520)
        self._workspace = workspace
        self._cancel: Callable[[], None] | None = None
        self._ended = True
        self._closed = False
        self.format = compact_combo("Format", "Which program the files are for")
        self.about = label("", "muted")
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
        self.buttons = QHBoxLayout()
        self.buttons.addStretch(1)
        self.buttons.addWidget(self.close_button)
        self.buttons.addWidget(self.go)
        self._disconnect = workspace.changed.connect(self._on_changed)

    def assemble(self, *extra: QWidget) -> None:
        """Lay the parts out: the form, `extra`, the summary, progress and outcome, the buttons."""
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 20, 20, 16)
        column.setSpacing(10)
        column.addLayout(self.form)
        for widget in (*extra, self.summary, self.progress, self.state, self.error, self.outcome):
            column.addWidget(widget)
        column.addStretch(1)
        column.addLayout(self.buttons)
        self.show_state()

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
            self.error.show_text(str(error))
            return
        self._cancel = None if self._ended else cancel
        self.show_state()

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
        fraction, text = running_job(self._workspace, self.verb) if self.busy else (0.0, "")
        self.progress.setVisible(self.busy)
        show_progress(self.progress, fraction)
        set_text(self.state, text)
        self.close_button.setText("Cancel" if self.busy else "Close")
        for index in range(self.form.rowCount()):
            field = self.form.itemAt(index, QFormLayout.ItemRole.FieldRole)
            widget = field.widget() if field is not None else None
            if widget is not None:
                widget.setEnabled(not self.busy)
        self.refresh_ready()

    def refresh_ready(self) -> None:
        """Show what would happen and enable the button when it can."""

    def _on_changed(self, change: ChangeSet) -> None:
        if change.what & (Change.JOBS | Change.STATUS | Change.IMAGES | Change.SAVED):
            self.show_state()

    def reject(self) -> None:
        if self._cancel is None:
            super().reject()
            return
        cancel, self._cancel = self._cancel, None
        cancel()
        set_text(self.outcome, "Cancelled.", "muted")
        self.show_state()

    def done(self, result: int) -> None:
        self._closed = True
        self._disconnect()
        super().done(result)


class ExportDialog(TransferDialog):
    """Writes the project's labels for other programs; the window stays usable meanwhile."""

    verb = _VERB

    def __init__(self, workspace: Workspace, parent: QWidget | None = None) -> None:
        super().__init__(workspace, "Export labels", "Export", "export", parent)
        self._out: Path | None = None
        for name, title, usable in workspace.exporting.formats():
            if usable:
                self.format.addItem(title, name)
        self.format.currentIndexChanged.connect(lambda _index: self.refresh_ready())
        self.folder = FolderEdit("Target folder")
        self.folder.edit.setPlaceholderText("A new or empty folder")
        self.folder.edit.textChanged.connect(lambda _text: self.refresh_ready())
        self.reviewed_only = QCheckBox("Only reviewed images")
        self.reviewed_only.setChecked(workspace.exporting.count(reviewed_only=True) > 0)
        self.reviewed_only.toggled.connect(lambda _on: self.refresh_ready())
        self.open_folder = key_button("Open folder", "folder_open", "", "Show the files", self._open_folder)
        self.open_folder.setAutoDefault(False)
        self.open_folder.hide()
        self.buttons.insertWidget(0, self.open_folder)
        self.form.addRow("Format", self.format)
        self.form.addRow("Folder", self.folder)
        self.form.addRow("", self.reviewed_only)
        self.assemble(self.about)

    def refresh_ready(self) -> None:
        """Say what would be written, and why nothing would be."""
        set_text(self.about, WRITES.get(str(self.format.currentData()), ""))
        count = self._workspace.exporting.count(reviewed_only=self.reviewed_only.isChecked())
        kind = "reviewed" if self.reviewed_only.isChecked() else "labelled"
        target = self.folder.path
        if not count:
            hint = "Mark an image reviewed first." if kind == "reviewed" else "Label an image first."
            set_text(self.summary, f"No image is {kind} yet. {hint}", "warning")
        elif target is None:
            set_text(
                self.summary,
                f"{images_text(count)} of {len(self._workspace.images):,} will be written. Choose a folder.",
                "muted",
            )
        else:
            set_text(
                self.summary,
                f"{images_text(count)} of {len(self._workspace.images):,} will be written to {target}.",
                "muted",
            )
        self.go.setEnabled(bool(count) and target is not None and not self.busy)

    def start(self) -> None:
        """Start the export chosen."""
        target = self.folder.path
        if target is None or self.busy:
            return
        self._out = target
        self.open_folder.hide()
        self.launch(
            lambda: self._workspace.exporting.export(
                str(self.format.currentData()),
                target,
                reviewed_only=self.reviewed_only.isChecked(),
                on_done=self._done,
                on_error=self.failed,
            )
        )

    def _done(self, report: ExportReport) -> None:
        if not self.ended():
            return
        words = [f"{images_text(report.images)} exported.", *report.warnings]
        set_text(self.outcome, "\n".join(words), "warning" if report.warnings else "success")
        self.open_folder.show()

    def _open_folder(self) -> None:
        if self._out is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._out)))
