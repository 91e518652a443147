"""The export dialog: format, folder, which images, what the format loses, and what became of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QCheckBox, QFileDialog, QLabel, QWidget

from segstudio.core.events import Change
from segstudio.gui.dialogs.export_options import ExportOptionRows, read_options, stored_options
from segstudio.gui.dialogs.loss_check import CheckState, LossCheck, LossView, Wish
from segstudio.gui.dialogs.transfer import PathEdit, TransferDialog, beside, stacked
from segstudio.gui.panels.common import images_text, key_button, label, set_text
from segstudio.services.detecting import Target, target_state
from segstudio.services.exporting import ExportOptions

if TYPE_CHECKING:
    from segstudio.formats.base import ExportReport
    from segstudio.formats.registry import Format
    from segstudio.services.workspace import Workspace

_MIN_WIDTH_PX: Final = 600
_FORMAT_KEY: Final = "export_format"
_OPTIONS_KEY: Final = "export_options"
_REVIEWED_KEY: Final = "export_reviewed_only"
_PLACE_KEY: Final = "export_folder"


class ExportDialog(TransferDialog):
    """Writes the project's labels for other programs; the window stays usable meanwhile.

    What a format loses is known before anything is written: the check runs by itself, and an export asked for before
    its end goes on only where nothing is lost.
    """

    verb = "Exporting"

    def __init__(self, workspace: Workspace, parent: QWidget | None = None) -> None:
        super().__init__(workspace, "Export labels", "Export", "export", parent)
        self.setMinimumWidth(_MIN_WIDTH_PX)
        self._formats: dict[str, Format] = {f.name: f for f in workspace.exporting.formats()}
        self._out: Path | None = None
        self._waiting = False
        self.check = LossCheck(workspace, self)
        self.losses = LossView(self.check)
        self._make_inputs()
        self.open_folder = key_button("Open folder", "folder_open", "", "Show the files", self._open_folder)
        self.open_folder.setAutoDefault(False)
        self.open_folder.hide()
        self.buttons.insertWidget(0, self.open_folder)
        self._restore()
        self._connect()
        self.assemble(self.losses)

    def refresh_ready(self) -> None:
        """Say what would be written, and why nothing would be."""
        chosen = self._chosen
        if chosen is None:
            return
        self.about.setText(chosen.writes)
        self.options.show_for(chosen, more=self.more.isChecked())
        unusual = "" if self.more.isChecked() else self.options.unusual(chosen)
        self.more.setText(f"More options: {unusual}" if unusual else "More options")
        self.more.set_icon_name("chevron_down" if self.more.isChecked() else "chevron_right")
        count = self._workspace.exporting.count(reviewed_only=self.reviewed_only.isChecked())
        self._ask(chosen, count)
        self.place_title.setText("Zip file" if self.options.zip.isChecked() else "Folder")
        self.folder.edit.setPlaceholderText("A new file" if self.options.zip.isChecked() else "A new or empty folder")
        target = self._target
        state = target_state(target, as_zip=self.options.zip.isChecked()) if target is not None else Target.FREE
        self.form.setRowVisible(self.replace, state is Target.EARLIER_EXPORT)
        free = state is Target.FREE or (state is Target.EARLIER_EXPORT and self.replace.isChecked())
        self._say(count, target, state)
        self.losses.refresh(self._workspace)
        self.go.setEnabled(bool(count) and target is not None and free and not self.busy and not self._waiting)

    def on_change(self, what: Change) -> None:
        if what & (Change.IMAGES | Change.SAVED | Change.STATUS):
            self.check.labels_changed()
        if what & Change.JOBS:
            self.check.jobs_changed()
        super().on_change(what)

    def start(self) -> None:
        """Start the export chosen; where nobody knows yet what it loses, find that out first."""
        if self._target is None or self.busy:
            return
        if self.check.state in (CheckState.SAFE, CheckState.KNOWN):
            self._export()
            return
        self._waiting = True
        self.error.clear()
        set_text(self.outcome, "")
        self.check.start()

    def done(self, result: int) -> None:
        self._waiting = False
        self.check.stop()
        super().done(result)

    @property
    def _chosen(self) -> Format | None:
        return self._formats.get(str(self.format.currentData()))

    @property
    def _target(self) -> Path | None:
        """Where the export goes, with the suffix a zip file gets."""
        path = self.folder.path
        if path is None or not self.options.zip.isChecked() or path.suffix.lower() == ".zip":
            return path
        return path.with_name(f"{path.name}.zip")

    def _make_inputs(self) -> None:
        for chosen in self._formats.values():
            self.format.addItem(chosen.title, chosen.name)
        self.about = label("", "muted")
        self.place = self.folder = PathEdit("Target folder", "")
        self.browse = self.folder.add_button("Choose…", "Choose target folder", self._choose)
        self.replace = QCheckBox("Replace the earlier export that is there")
        self.reviewed_only = QCheckBox("Only reviewed images")
        self.more = key_button("More options", "chevron_right", "", "", self.show_state, "quiet")
        self.more.setCheckable(True)
        self.more.setAutoDefault(False)
        self.form.addRow("Format", stacked(self.format, self.about))
        self.place_title = QLabel("Folder")
        self.form.addRow(self.place_title, self.folder)
        self.form.addRow("", self.replace)
        self.form.addRow("", self.reviewed_only)
        self.options = ExportOptionRows(self.form, self)
        self.form.addRow("", beside(self.more))
        self.options.add_rarer()

    def _connect(self) -> None:
        self.format.currentIndexChanged.connect(lambda _index: self._changed())
        self.folder.edit.textChanged.connect(lambda _text: self._changed())
        self.reviewed_only.toggled.connect(lambda _on: self._changed())
        self.replace.toggled.connect(lambda _on: self._changed())
        self.more.toggled.connect(lambda _on: self.fit())
        self.options.changed.connect(self._changed)
        self.check.changed.connect(self._checked)

    def _restore(self) -> None:
        """What the person exported last time."""
        settings = self._workspace.settings
        self.format.setCurrentIndex(max(0, self.format.findData(settings.get(_FORMAT_KEY, ""))))
        self.options.set_value(read_options(settings.get(_OPTIONS_KEY, {})))
        any_reviewed = self._workspace.exporting.count(reviewed_only=True) > 0
        self.reviewed_only.setChecked(any_reviewed and settings.get(_REVIEWED_KEY, True))
        place = Path(settings.get(_PLACE_KEY, ""))
        if place.is_absolute():
            self.folder.start = place

    def _remember(self, target: Path, options: ExportOptions) -> None:
        settings = self._workspace.settings
        settings.set(_FORMAT_KEY, self.format.currentData())
        settings.set(_OPTIONS_KEY, stored_options(options))
        settings.set(_REVIEWED_KEY, self.reviewed_only.isChecked())
        settings.set(_PLACE_KEY, str(target.parent))

    def _choose(self, start: str) -> str:
        if self.options.zip.isChecked():
            chosen, _kind = QFileDialog.getSaveFileName(
                self, "Zip file", start, "Zip files (*.zip)", options=QFileDialog.Option.DontConfirmOverwrite
            )
            return chosen
        return QFileDialog.getExistingDirectory(self, "Target folder", start)

    def _changed(self) -> None:
        self._waiting = False
        self.error.clear()
        set_text(self.outcome, "")
        self.open_folder.hide()
        self.refresh_ready()
        self.fit()

    def _ask(self, chosen: Format, count: int) -> None:
        """Let the check know what would be written; what becomes of image files and lists changes no pixel."""
        plain = ExportOptions()
        options = replace(self.options.value(chosen), images=plain.images, split=None, zip=False)
        wish = Wish(format=chosen.name, reviewed_only=self.reviewed_only.isChecked(), options=options)
        self.check.want(wish if count else None, safe=chosen.keeps_all(options))

    def _checked(self) -> None:
        if self._waiting and self.check.state in (CheckState.KNOWN, CheckState.UNKNOWN):
            self._waiting = False
            report = self.check.report
            if report is not None and report.lossless:
                self._export()
        self.show_state()
        self.fit()

    def _say(self, count: int, target: Path | None, state: Target) -> None:
        kind = "reviewed" if self.reviewed_only.isChecked() else "labelled"
        text, role = f"{images_text(count)} of {len(self._workspace.images):,} will be written", "muted"
        if self.busy or self.outcome.text():
            text = ""  # what happens or happened counts now, not what would
        elif not count:
            hint = "Mark an image reviewed first." if kind == "reviewed" else "Label an image first."
            text, role = f"No image is {kind} yet. {hint}", "warning"
        elif target is None:
            text = f"{text}. Choose a {'file' if self.options.zip.isChecked() else 'folder'}."
        elif state is Target.TAKEN:
            text, role = f"{target.name} holds something else. Choose a new or empty folder.", "warning"
            if self.options.zip.isChecked():
                text = f"{target.name} exists already. Choose another name."
            elif not target.is_dir():
                text = f"{target.name} is a file. Choose a new or empty folder."
        elif state is Target.EARLIER_EXPORT and not self.replace.isChecked():
            text, role = f"{target.name} holds an earlier export. Have it replaced, or choose another place.", "warning"
        elif self._waiting:
            text = "Exports as soon as it is known that nothing is lost; else you are asked."
        else:
            text = f"{text} to {target}."
        set_text(self.summary, text, role)

    def _export(self) -> None:
        chosen, target = self._chosen, self._target
        if chosen is None or target is None:
            return
        options = self.options.value(chosen, replace=self.replace.isChecked())
        self._remember(target, options)
        self._out = target
        self.open_folder.hide()
        self.launch(
            lambda: self._workspace.exporting.export(
                chosen.name,
                target,
                reviewed_only=self.reviewed_only.isChecked(),
                options=options,
                on_done=self._done,
                on_error=self.failed,
            )
        )

    def _done(self, report: ExportReport) -> None:
        if not self.ended():
            return
        words = [f"{images_text(report.images)} exported to {self._out}."]
        if report.left_out:
            words.append(f"{images_text(report.left_out)} left out.")
        words += report.warnings
        set_text(self.outcome, "\n".join(words), "warning" if report.warnings else "success")
        self.open_folder.show()
        self.show_state()

    def _open_folder(self) -> None:
        if self._out is not None:
            shown = self._out if self._out.is_dir() else self._out.parent
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(shown)))
