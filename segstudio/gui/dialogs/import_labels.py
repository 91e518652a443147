"""The import dialog: format, source, what matches, and what became of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QWidget

from segstudio.core.errors import UserError
from segstudio.gui.dialogs.export import FolderEdit, TransferDialog
from segstudio.gui.panels.common import images_text, set_text

if TYPE_CHECKING:
    from segstudio.services.importing import ImportReport
    from segstudio.services.workspace import Workspace

_VERB: Final = "Importing"
_PREVIEW_DELAY_MS: Final = 300
_LINES_SHOWN: Final = 6
READS: Final = {
    "voc": "A folder with SegmentationClass (and SegmentationObject, where instances matter).",
    "index-png": "A folder of PNG whose pixel values are class ids; 255 is ignore. Files match images by name.",
}


class ImportDialog(TransferDialog):
    """Reads labels of other programs into the project; shows what matches before anything is replaced."""

    verb = _VERB

    def __init__(self, workspace: Workspace, parent: QWidget | None = None) -> None:
        super().__init__(workspace, "Import labels", "Import", "import", parent)
        self._wish = 0
        self._counts: tuple[int, int] | None = None
        for name, title, usable in workspace.importing.formats():
            if usable:
                self.format.addItem(title, name)
        self.source = FolderEdit("Source folder")
        self.source.edit.setPlaceholderText("The folder that holds the labels")
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(_PREVIEW_DELAY_MS)
        self._later.timeout.connect(self.look)
        self.format.currentIndexChanged.connect(lambda _index: self._changed())
        self.source.edit.textChanged.connect(lambda _text: self._changed())
        self.form.addRow("Format", self.format)
        self.form.addRow("Folder", self.source)
        self.assemble(self.about)

    def look(self) -> None:
        """Ask what the source holds; only the newest answer is shown."""
        self._later.stop()
        source = self.source.path
        if source is None:
            return
        if not source.is_dir():
            self.error.show_text(f"There is no folder {source}. Choose the folder that holds the labels.")
            return
        self._wish += 1
        wish = self._wish
        self._workspace.importing.preview(
            str(self.format.currentData()),
            source,
            lambda counts: self._seen(wish, counts),
            lambda error: self._unseen(wish, error),
        )

    def refresh_ready(self) -> None:
        """Say how much matches, and enable the button when something does."""
        set_text(self.about, READS.get(str(self.format.currentData()), ""))
        matched = self._counts[1] if self._counts is not None else 0
        if self._counts is None:
            set_text(
                self.summary, "" if self.source.path is not None else "Choose a folder to see what matches.", "muted"
            )
        elif matched:
            text = f"{matched:,} of {self._counts[0]:,} labels match an image; the labels of {images_text(matched)} "
            set_text(self.summary, text + "will be replaced and marked reviewed.", "muted")
        else:
            text = f"None of {self._counts[0]:,} labels matches an image by name."
            set_text(self.summary, f"{text} Choose the folder that belongs to these images.", "warning")
        self.go.setEnabled(matched > 0 and not self.busy)

    def start(self) -> None:
        """Start the import chosen."""
        source: Path | None = self.source.path
        if source is None or self.busy:
            return
        self.launch(
            lambda: self._workspace.importing.import_labels(
                str(self.format.currentData()), source, on_done=self._done, on_error=self.failed
            )
        )

    def done(self, result: int) -> None:
        self._later.stop()
        super().done(result)

    def _changed(self) -> None:
        self._wish += 1
        self._counts = None
        self.error.clear()
        set_text(self.outcome, "")
        self.refresh_ready()
        self._later.start()

    def _seen(self, wish: int, counts: tuple[int, int]) -> None:
        if wish == self._wish and not self._closed:
            self._counts = counts
            self.refresh_ready()

    def _unseen(self, wish: int, error: BaseException) -> None:
        if wish != self._wish or self._closed:
            return
        if isinstance(error, UserError):
            self.error.show_text(str(error))
        else:
            self._workspace.report(error)

    def _done(self, report: ImportReport) -> None:
        if not self.ended():
            return
        lines = [f"Labels of {images_text(report.images)} imported."]
        if report.unmatched:
            lines.append(f"{len(report.unmatched):,} labels match no image: {', '.join(report.unmatched[:3])} …")
        problems = [*report.refused, *report.warnings]
        lines += problems[:_LINES_SHOWN]
        if len(problems) > _LINES_SHOWN:
            lines.append(f"… and {len(problems) - _LINES_SHOWN:,} more.")
        set_text(self.outcome, "\n".join(lines), "warning" if report.refused or report.warnings else "success")
