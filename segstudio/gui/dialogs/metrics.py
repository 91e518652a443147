"""The metrics window: how good models are on the labels, and which classes they mistake for which."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QDialog, QFileDialog, QHBoxLayout, QStackedWidget, QTabWidget, QVBoxLayout, QWidget

from segstudio.core.errors import UserError
from segstudio.core.events import Change, ChangeSet
from segstudio.gui.dialogs.busy import BusyLine
from segstudio.gui.dialogs.metrics_choice import ALL_IMAGES, Choice, MetricsChoice
from segstudio.gui.dialogs.metrics_confusion import ConfusionTab
from segstudio.gui.dialogs.metrics_further import MetricPage
from segstudio.gui.dialogs.metrics_tables import FigureTable, Headline, class_table
from segstudio.gui.dialogs.metrics_worst import WorstTab
from segstudio.gui.dialogs.model_detail import Notice
from segstudio.gui.panels.common import EmptyState, InlineError, images_text, key_button, label, running_job, set_text
from segstudio.services.evaluating import EvaluationOptions, Metric
from segstudio.services.figures import write_figures
from segstudio.services.manifests import teaches

if TYPE_CHECKING:
    from segstudio.core.items import ImageItem
    from segstudio.gui.canvas.marked import Marks
    from segstudio.services.evaluating import Comparison
    from segstudio.services.workspace import Workspace

_SIZE: Final = (1080, 800)
_SMALLEST: Final = (860, 600)
_LATER_MS: Final = 200
_VERB: Final = "Evaluating"
_WARNINGS_SHOWN: Final = 2
_WARNINGS_TOLD: Final = 20
_WEB_PAGE: Final = "Web page with pictures (*.html)"
_FIGURES: Final = "Figures for other programs (*.json)"
_NOT_YET: Final = "Nothing is evaluated yet. Choose a model and press Evaluate."
_UNDER_WAY: Final = "The figures appear here."
_NO_LABELS: Final = {
    "validation": "No validation image has labels yet. Mark one reviewed (M), or choose other images.",
    "train": "No training image has labels yet. Mark one reviewed (M), or choose other images.",
    ALL_IMAGES: "No image has labels yet. Mark one reviewed (M) to evaluate models on it.",
}


@dataclass(frozen=True, slots=True)
class _Basis:
    """What the figures on show were made of: the choice, and the labels as they were (image, revision, status)."""

    choice: Choice
    labels: tuple[tuple[int, int, str], ...]


class MetricsDialog(QDialog):
    """One window for a project; it keeps its figures while it is closed. `marks_changed` tells pixels to point out."""

    marks_changed = Signal(object)

    def __init__(self, workspace: Workspace, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Metrics")
        self.setModal(False)
        self.setMinimumSize(*_SMALLEST)
        self.resize(*_SIZE)
        self.workspace = workspace
        self._basis: _Basis | None = None
        self._marked: int | None = None
        self._discarded = False
        self._later = QTimer(self, singleShot=True, interval=_LATER_MS)
        self._later.timeout.connect(self._refresh)
        self._soon = QTimer(self, singleShot=True, interval=0)
        self._soon.timeout.connect(self._show_job)
        self._make()
        self._assemble()
        self._disconnect = workspace.changed.connect(self._on_changed)
        self._show_models()
        self._show_results()
        self.choice.button.setFocus()

    def _make(self) -> None:
        workspace = self.workspace
        self.choice = MetricsChoice()
        self.choice.changed.connect(self._refresh)
        self.choice.absent_changed.connect(self._use_convention)
        self.choice.asked.connect(self.evaluate)
        self.busy = BusyLine("Evaluating models", workspace.evaluating.cancel)
        self.stale = Notice("warning", "Why the figures are old")
        self.error = InlineError()
        self.nothing = EmptyState(_NOT_YET)
        self.headline = Headline()
        self.remarks = label("", "muted")
        self.confusion = ConfusionTab(workspace)
        self.confusion.opened.connect(self._open_image)
        self.confusion.marks_asked.connect(self._mark)
        self.confusion.failed.connect(self._failed)
        self.classes = FigureTable("Figures by class")
        self.worst = WorstTab(workspace)
        self.worst.opened.connect(self._open_image)
        self.tables = {metric: MetricPage(metric) for metric in Metric}
        self.save_button = key_button(
            "Save report…", "save", "", "Write a web page with pictures, or the figures as JSON", self.save
        )
        self.outcome = label("", "success", wrap=False)
        self.outcome.setAccessibleName("What was saved")
        self.outcome.hide()
        self.close_button = key_button("Close", "close", "", "Closes this window (Esc)", self.reject)
        for button in (self.save_button, self.close_button):
            button.setAutoDefault(False)

    def _assemble(self) -> None:
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.tabs.tabBar().setDrawBase(False)
        for title, page in (("Confusion", self.confusion), ("Classes", self.classes), ("Worst images", self.worst)):
            self.tabs.addTab(page, title)
        found = QWidget()
        inside = QVBoxLayout(found)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(10)
        inside.addWidget(self.headline)
        below = QHBoxLayout()
        below.setSpacing(12)
        below.addWidget(self.remarks, 3)
        below.addWidget(self.choice.absent, 2)
        inside.addLayout(below)
        inside.addWidget(self.tabs, 1)
        empty = QWidget()
        around = QVBoxLayout(empty)
        around.setContentsMargins(0, 0, 0, 0)
        around.addWidget(self.nothing)
        around.addStretch(1)
        self.body = QStackedWidget()
        self.body.addWidget(empty)
        self.body.addWidget(found)
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        buttons.addWidget(self.save_button)
        buttons.addWidget(self.outcome)
        buttons.addStretch(1)
        buttons.addWidget(self.close_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 16, 16, 16)
        column.setSpacing(12)
        for widget in (self.choice, self.busy, self.error, self.stale):
            column.addWidget(widget)
        column.addWidget(self.body, 1)
        column.addLayout(buttons)

    # -- what a person can ask for -----------------------------------------------------------------

    def evaluate(self) -> None:
        """Evaluate what is chosen; figures of before stay on show until the new ones are there."""
        self.error.clear()
        wanted = self.choice.choice()
        basis = _Basis(wanted, self._labels(wanted.split))
        options = EvaluationOptions(metrics=wanted.metrics, absent=self.choice.convention)
        try:
            self.workspace.evaluating.start(
                wanted.models,
                split=wanted.split,
                options=options,
                on_done=partial(self._arrived, basis),
                on_error=self._failed,
            )
        except UserError as error:
            self._failed(error)
        self._refresh()

    def save(self) -> None:
        """Ask where to, and write the report or the figures."""
        start = self.workspace.project.path.parent / f"{self.workspace.project.name} metrics.html"
        chosen, kind = QFileDialog.getSaveFileName(self, "Save report", str(start), f"{_WEB_PAGE};;{_FIGURES}")
        if chosen:
            path = Path(chosen)
            if path.suffix.lower() in (".html", ".htm", ".json"):
                self.save_to(path)
                return
            path = path.with_name(path.name + (".json" if kind == _FIGURES else ".html"))
            if path.exists():  # the chooser asked about the name without its ending
                self.error.show_text(f"{path.name} exists already. Choose another name.")
            else:
                self.save_to(path)

    def save_to(self, path: Path) -> None:
        """Write the figures where the file is called .json, else the report."""
        comparison = self.workspace.evaluating.comparison
        self.error.clear()
        set_text(self.outcome, "")
        if comparison is None:
            return
        if path.suffix.lower() == ".json":
            work = partial(write_figures, path, comparison)
            self.workspace.tasks.run(lambda _token: work(), lambda _none: self._saved(path), self._failed)
        else:
            self.workspace.evaluating.write_report(path, on_done=self._saved, on_error=self._failed)

    def reject(self) -> None:
        """Esc takes marks off the canvas first, then closes the window."""
        if self._marked is not None:
            self._unmark()
        else:
            super().reject()

    def done(self, result: int) -> None:
        self._unmark()
        super().done(result)

    def discard(self) -> None:
        """Close for good: the project is another one."""
        if not self._discarded:
            self._discarded = True
            self._disconnect()
            self._later.stop()
            self._soon.stop()
            self.confusion.stop()
            self.worst.stop()
            self.done(QDialog.DialogCode.Rejected)
            self.deleteLater()

    # -- showing --------------------------------------------------------------------------------

    def _on_changed(self, change: ChangeSet) -> None:
        what = change.what
        if what & (Change.MODELS | Change.CATALOG | Change.SETTINGS):
            self._show_models()
        if what & Change.CURRENT and change.image_id != self._marked:
            self._marked = None  # the canvas takes marks off with their image
        if what & Change.JOBS:
            # The board tells that a job is over before the service knows.
            self._soon.start()
        if what & (Change.MODELS | Change.CATALOG | Change.SAVED | Change.STATUS | Change.IMAGES):
            # Saves come stroke by stroke, and every image is looked at.
            self._later.start()

    def _show_models(self) -> None:
        self.choice.show_models(self.workspace.models.cards(), self.workspace.models.active.id)

    def _refresh(self) -> None:
        """Show whether models can be evaluated, and whether the figures on show still hold."""
        wanted = self.choice.choice()
        count = len(self._labels(wanted.split))
        busy = self.workspace.evaluating.busy
        ready = _UNDER_WAY if busy else _NOT_YET
        self.nothing.set_words(ready if count else _NO_LABELS[wanted.split])
        reason = self._why_stale(wanted)
        self.stale.show_text(reason)
        self.choice.show_stale(stale=bool(reason))
        self.choice.show_busy(busy=busy, ready=count > 0)
        if busy:
            self._show_progress()
        else:
            self.busy.hide()

    def _show_job(self) -> None:
        """Show how far the evaluation is; all that depends on it only where one began or ended."""
        busy = self.workspace.evaluating.busy
        if busy == self.busy.isHidden():
            self._refresh()
        elif busy:
            self._show_progress()

    def _show_progress(self) -> None:
        fraction, words = running_job(self.workspace, _VERB)
        self.busy.show_state(fraction, words or _VERB)

    def _why_stale(self, wanted: Choice) -> str:
        """Why the figures on show are not those of what is chosen and labelled now; "" where they are."""
        basis, comparison = self._basis, self.workspace.evaluating.comparison
        if basis is None or comparison is None:
            return ""
        if tuple(self.workspace.catalog.sorted_names) != comparison.evaluations[0].class_names:
            return "The classes have changed since these figures were made."
        if basis.labels != self._labels(basis.choice.split):
            return "Labels have changed since these figures were made."
        if wanted.models != basis.choice.models:
            shown = " and ".join(e.title for e in comparison.evaluations)
            return f"These figures are those of {shown}."
        if wanted.split != basis.choice.split:
            return "These figures are those of other images than the ones chosen."
        if wanted.metrics - basis.choice.metrics:
            return "Not all further figures that are chosen have been made."
        return ""

    def _show_results(self) -> None:
        comparison = self.workspace.evaluating.comparison
        self.body.setCurrentIndex(0 if comparison is None else 1)
        self.save_button.setEnabled(comparison is not None)
        if comparison is not None:
            self._show_figures(comparison)
            self.confusion.show_results(comparison.evaluations)
            self.worst.show_comparison(comparison)
        self._refresh()

    def _show_figures(self, comparison: Comparison) -> None:
        """Show what depends on the convention for absent classes, and the further figures."""
        first = comparison.evaluations[0]
        self.headline.show_comparison(comparison)
        titles = [e.title for e in comparison.evaluations]
        shown = titles[0] if len(titles) == 1 else "  ·  ".join(f"{w}: {t}" for w, t in zip("AB", titles, strict=True))
        counted = f"{images_text(first.images)}, {first.pixels:,} labelled pixels"
        warnings = list(dict.fromkeys(first.warnings))
        more = [f"… and {len(warnings) - _WARNINGS_SHOWN:,} more"] if len(warnings) > _WARNINGS_SHOWN else []
        set_text(self.remarks, "\n".join((f"{shown}  ·  {counted}", *warnings[:_WARNINGS_SHOWN], *more)))
        self.remarks.setToolTip("\n".join(warnings[:_WARNINGS_TOLD]))
        self.classes.show_rows(*class_table(comparison.evaluations))
        for metric, page in self.tables.items():
            wanted = page.show_comparison(comparison)
            place = self.tabs.indexOf(page)
            if wanted and place < 0:
                self.tabs.addTab(page, metric.heading)
            elif not wanted and place >= 0:
                self.tabs.removeTab(place)

    # -- what came of it --------------------------------------------------------------------------

    def _arrived(self, basis: _Basis, _comparison: Comparison) -> None:
        if self._discarded:
            return
        self._basis = basis
        set_text(self.outcome, "")
        self._use_convention()
        self._show_results()
        if self.focusWidget() in (None, self.close_button):  # where Qt put it while the button could not be pressed
            self.choice.button.setFocus()

    def _saved(self, path: Path) -> None:
        if not self._discarded:
            set_text(self.outcome, f"Saved as {path.name}")
            self.outcome.setToolTip(str(path))

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, UserError) and not self._discarded and self.isVisible():
            self.error.show_text(str(error))
            self._refresh()
        else:
            self.workspace.report(error)

    def _use_convention(self) -> None:
        """Recompute the means of the figures on show; nothing is evaluated again."""
        service = self.workspace.evaluating
        if service.comparison is None or service.comparison.evaluations[0].summary.absent is self.choice.convention:
            return
        service.set_absent(self.choice.convention)
        self._show_figures(service.comparison)

    def _open_image(self, image_id: int) -> None:
        self._unmark()
        self.workspace.open_image(image_id)

    def _mark(self, marks: Marks) -> None:
        self._marked = marks.image_id
        self.marks_changed.emit(marks)

    def _unmark(self) -> None:
        self._marked = None
        self.marks_changed.emit(None)

    def _labels(self, split: str) -> tuple[tuple[int, int, str], ...]:
        """The labels of a split as they are now: (image, revision, status) of each image that has some."""
        return tuple((i.id, i.revision, i.status.value) for i in self.workspace.images if _counts(i, split))


def _counts(item: ImageItem, split: str) -> bool:
    return teaches(item) and split in (ALL_IMAGES, item.split.value)
