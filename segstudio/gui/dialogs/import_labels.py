"""The import dialog: source, format, what matches, what each class becomes, and what became of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QFileDialog, QSizePolicy, QWidget

from segstudio.core.errors import UserError
from segstudio.core.events import Change
from segstudio.core.items import Status
from segstudio.gui.dialogs.import_review import ImportReview
from segstudio.gui.dialogs.transfer import PathEdit, TransferDialog, stacked
from segstudio.gui.panels.common import images_text, label, set_text
from segstudio.gui.panels.model import compact_combo
from segstudio.services.detecting import detect_format, not_recognised
from segstudio.services.mapping import ClassMapping

if TYPE_CHECKING:
    from segstudio.formats.registry import Format
    from segstudio.services.importing import ImportReport
    from segstudio.services.previewing import ImportPreview
    from segstudio.services.workspace import Workspace

_PREVIEW_DELAY_MS: Final = 300
_LINES_SHOWN: Final = 6
_SIZE_PX: Final = (940, 620)
_MIN_SIZE_PX: Final = (760, 480)
_STATUS_KEY: Final = "import_status"
_PLACE_KEY: Final = "import_folder"
_EMPTY: Final = "Choose a folder or file above, or drop it here, to see which labels match and what they hold."


class ImportDialog(TransferDialog):
    """Reads labels of other programs into the project; shows what matches before anything is replaced."""

    verb = "Importing"
    cancelled = "Cancelled. Images read before that keep their new labels."

    def __init__(self, workspace: Workspace, parent: QWidget | None = None) -> None:
        super().__init__(workspace, "Import labels", "Import", "import", parent)
        self._formats: dict[str, Format] = {f.name: f for f in workspace.importing.formats()}
        self._wish = 0
        self._stop_looking: Callable[[], None] | None = None
        self._recognised: bool | None = None
        self._finished = False
        self.mapping: ClassMapping | None = None
        self.review = ImportReview(workspace)
        self.review.empty.set_words(_EMPTY)
        self.review.changed.connect(self._chosen_anew)
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(_PREVIEW_DELAY_MS)
        self._later.timeout.connect(self.look)
        self._make_inputs()
        self.assemble(self.review)
        self.setMinimumSize(*_MIN_SIZE_PX)
        room = self.screen().availableGeometry().size()
        self.resize(min(_SIZE_PX[0], room.width()), min(_SIZE_PX[1], room.height()))

    def look(self) -> None:
        """Find out the format of the source and what it holds; only the newest answer is shown."""
        self._later.stop()
        source = self.source.path
        if source is None:
            return
        if not source.exists():
            self._forget("")
            self.error.show_text(str(not_recognised(source)))
            return
        wish = self._forget("Looking into the labels…")
        token = self._workspace.tasks.run(
            lambda _token: detect_format(source),
            lambda name: self._detected(wish, source, name),
            lambda error: self._unseen(wish, error),
        )
        self._stop_looking = token.cancel

    def refresh_ready(self) -> None:
        """Say how much matches, and enable the button when something does."""
        chosen = self._formats.get(str(self.format.currentData()))
        known = {None: "", True: "Recognised. ", False: "Not recognised: choose the format. "}[self._recognised]
        self.about.setText(known + (chosen.reads if chosen is not None else ""))
        mapping = self.mapping
        if mapping is None or self.busy or self.outcome.text():
            set_text(self.summary, "")
        else:
            set_text(self.summary, *self._said(mapping))
        ready = mapping is not None and mapping.preview.matched > 0
        decided = mapping is not None and not mapping.undecided and not mapping.problem
        # Enter once more would take back what was painted since.
        self.go.setEnabled(ready and decided and not self.busy and not self._finished)

    def on_change(self, what: Change) -> None:
        if what & Change.CATALOG and self.mapping is not None:
            self.mapping.set_catalog(self._workspace.catalog)
            self.review.refresh()
            self.refresh_ready()
        super().on_change(what)

    def start(self) -> None:
        """Start the import chosen."""
        source, mapping = self.source.path, self.mapping
        if source is None or mapping is None or self.busy:
            return
        status = Status(self.status.currentData())
        settings = self._workspace.settings
        settings.set(_STATUS_KEY, str(status))
        settings.set(_PLACE_KEY, str(source.parent))
        self.launch(
            lambda: self._workspace.importing.import_labels(
                str(self.format.currentData()),
                source,
                options=mapping.options(status),
                on_done=self._done,
                on_error=self.failed,
            )
        )

    def done(self, result: int) -> None:
        self._later.stop()
        self._forget("")
        super().done(result)

    def _make_inputs(self) -> None:
        for chosen in self._formats.values():
            self.format.addItem(chosen.title, chosen.name)
        self.about = label("", "muted")
        self.place = self.source = PathEdit("Source", "The folder or file that holds the labels")
        self.source.add_button("Folder…", "Choose source folder", self._choose_folder)
        if any(chosen.file_suffixes for chosen in self._formats.values()):
            self.source.add_button("File…", "Choose source file", self._choose_file)
        settings = self._workspace.settings
        place = Path(settings.get(_PLACE_KEY, ""))
        if place.is_absolute():
            self.source.start = place
        self.status = compact_combo("Mark images", "How far the images are once their labels are in")
        self.status.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.status.addItem("reviewed", str(Status.REVIEWED))
        self.status.addItem("in progress", str(Status.IN_PROGRESS))
        self.status.setCurrentIndex(max(0, self.status.findData(settings.get(_STATUS_KEY, ""))))
        self.source.edit.textChanged.connect(lambda _text: self._source_changed())
        # Only what the person does: a format that was recognised is set here, too.
        self.format.activated.connect(lambda _index: self._format_chosen())
        self.status.currentIndexChanged.connect(lambda _index: self._chosen_anew())
        self.form.addRow("Source", self.source)
        self.form.addRow("Format", stacked(self.format, self.about))
        self.buttons.insertWidget(0, label("Mark images", "muted", wrap=False))
        self.buttons.insertWidget(1, self.status)

    def _choose_folder(self, start: str) -> str:
        return QFileDialog.getExistingDirectory(self, "Folder of labels", start)

    def _choose_file(self, start: str) -> str:
        suffixes = sorted({f"*{suffix}" for chosen in self._formats.values() for suffix in chosen.file_suffixes})
        kinds = f"Labels ({' '.join(suffixes)});;All files (*)"
        return QFileDialog.getOpenFileName(self, "File of labels", start, kinds)[0]

    def _source_changed(self) -> None:
        self._recognised = None
        self._forget("")
        self._later.start()

    def _format_chosen(self) -> None:
        self._recognised = None
        source = self.source.path
        if source is not None and source.exists():
            self._later.stop()
            self._preview(self._forget("Looking into the labels…"), source)
        else:
            self.refresh_ready()

    def _chosen_anew(self) -> None:
        """What became of an import before counts no longer: the person is about to start another one."""
        self._finished = False
        set_text(self.outcome, "")
        self.refresh_ready()

    def _forget(self, words: str) -> int:
        """Drop what is known about a source and stop looking; returns the number of the next wish."""
        self._wish += 1
        stop, self._stop_looking = self._stop_looking, None
        if stop is not None:
            stop()
        self.mapping = None
        self.review.show_mapping(None)
        self.review.empty.set_words(words or _EMPTY)
        self.error.clear()
        self._chosen_anew()
        return self._wish

    def _detected(self, wish: int, source: Path, name: str | None) -> None:
        if wish != self._wish:
            return
        self._recognised = name in self._formats
        if name in self._formats:
            self.format.setCurrentIndex(self.format.findData(name))
        self._preview(wish, source)

    def _preview(self, wish: int, source: Path) -> None:
        self._stop_looking = self._workspace.importing.preview(
            str(self.format.currentData()),
            source,
            lambda seen: self._seen(wish, seen),
            lambda error: self._unseen(wish, error),
        )

    def _seen(self, wish: int, seen: ImportPreview) -> None:
        if wish != self._wish:
            return
        self.mapping = ClassMapping(seen, self._workspace.catalog)
        self.review.show_mapping(self.mapping)
        self.refresh_ready()

    def _unseen(self, wish: int, error: BaseException) -> None:
        if wish != self._wish:
            return
        self.review.empty.set_words(_EMPTY)
        self.refresh_ready()
        source = self.source.path
        if isinstance(error, UserError) and self._recognised is False and source is not None:
            # What the reader of a format that nobody asked for says of it would lead astray.
            self.error.show_text(str(not_recognised(source)))
        elif isinstance(error, UserError):
            self.error.show_text(str(error))
        else:
            self._workspace.report(error)

    def _said(self, mapping: ClassMapping) -> tuple[str, str]:
        """What would happen, or what stands in the way, and how to dress it."""
        seen = mapping.preview
        if not seen.matched:
            text = f"None of {seen.labels:,} labels matches an image by name."
            return f"{text} Choose the folder that belongs to these images.", "warning"
        if mapping.problem:
            return mapping.problem, "warning"
        if mapping.undecided:
            count = len(mapping.undecided)
            which = "1 class needs" if count == 1 else f"{count} classes need"
            return f"{which} a decision before anything is imported.", "warning"
        text = f"The labels of {images_text(seen.matched)} will be imported."
        replaced = sum(item.revision > 0 for item in self._workspace.images if item.id in seen.images)
        if replaced:
            return f"{text} Existing labels of {images_text(replaced)} will be replaced for good.", "warning"
        return text, "muted"

    def _done(self, report: ImportReport) -> None:
        if not self.ended():
            return
        self._finished = True
        lines = [report.headline]
        if report.unmatched:
            more = " …" if len(report.unmatched) > 3 else ""
            which = "1 label matches" if len(report.unmatched) == 1 else f"{len(report.unmatched):,} labels match"
            lines.append(f"{which} no image: {', '.join(report.unmatched[:3])}{more}")
        problems = [*report.refused, *report.warnings]
        lines += problems[:_LINES_SHOWN]
        if len(problems) > _LINES_SHOWN:
            lines.append(f"… and {len(problems) - _LINES_SHOWN:,} more.")
        set_text(self.outcome, "\n".join(lines), "warning" if problems else "success")
        self.refresh_ready()
        self.close_button.setFocus()
