"""What an export would lose: found out in the background, and shown before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QObject, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QPixmap
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QVBoxLayout, QWidget

from segstudio.core.errors import UserError
from segstudio.gui.dialogs.busy import BusyLine
from segstudio.gui.dialogs.model_detail import Notice
from segstudio.gui.dialogs.transfer import beside, was_cancelled
from segstudio.gui.panels.common import key_button, label, running_job

if TYPE_CHECKING:
    from segstudio.core.catalog import Catalog
    from segstudio.formats.loss import LossReport
    from segstudio.services.exporting import ExportOptions
    from segstudio.services.workspace import Workspace

VERB: Final = "Checking what"
_DELAY_MS: Final = 400
_ROWS_SHOWN: Final = 4
_ROW_PX: Final = 26
_SWATCH_PX: Final = 12
_COLUMNS: Final = ("Image", "Class", "Pixels", "IoU")


class CheckState(Enum):
    """How much is known about what an export loses."""

    NOTHING = auto()
    SAFE = auto()
    SOON = auto()
    RUNNING = auto()
    KNOWN = auto()
    UNKNOWN = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What an export would write: a check of one wish says nothing about another."""

    format: str
    reviewed_only: bool
    options: ExportOptions


class LossCheck(QObject):
    """Keeps a loss report up to date with what the person chooses; `changed` follows every step.

    Choosing something else starts a check after a moment. New strokes only make a report stale: checking after each
    would keep the machine busy for nothing.
    """

    changed = Signal()

    def __init__(self, workspace: Workspace, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._wish: Wish | None = None
        self._seen: int | None = None
        self._cancel: Callable[[], None] | None = None
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(_DELAY_MS)
        self._later.timeout.connect(self.start)
        self.state = CheckState.NOTHING
        self.report: LossReport | None = None
        self.problem = ""

    def want(self, wish: Wish | None, *, safe: bool) -> None:
        """Note what the person chooses now; `safe` where nothing can be lost, None where nothing would be written."""
        if wish == self._wish:
            return
        self._wish = wish  # first, as stopping tells others, who may ask for the same
        self.stop()
        if wish is None or safe:
            self._settle(CheckState.NOTHING if wish is None else CheckState.SAFE)
            return
        self._later.start()
        self._settle(CheckState.SOON)

    def labels_changed(self) -> None:
        """Note that labels may be others than those looked at."""
        if self.state is CheckState.KNOWN and self._seen != self._fingerprint():
            self._settle(CheckState.UNKNOWN)

    def jobs_changed(self) -> None:
        """Note that jobs may have been cancelled elsewhere."""
        if self.state is CheckState.RUNNING and was_cancelled(self._workspace, VERB):
            self._cancel = None
            self._settle(CheckState.UNKNOWN)

    def start(self) -> None:
        """Check now."""
        wish = self._wish
        if wish is None or self._cancel is not None:
            return
        self._later.stop()
        self._settle(CheckState.RUNNING)
        try:
            cancel = self._workspace.exporting.losses(
                wish.format,
                reviewed_only=wish.reviewed_only,
                options=wish.options,
                on_done=lambda report: self._done(wish, report),
                on_error=lambda error: self._failed(wish, error),
            )
        except UserError as error:
            self._failed(wish, error)
            return
        self._seen = self._fingerprint()
        if self.state is CheckState.RUNNING:  # else it is over already
            self._cancel = cancel

    def stop(self) -> None:
        """Give a check up; nothing is known then."""
        self._later.stop()
        cancel, self._cancel = self._cancel, None
        if cancel is not None:
            cancel()
        if self.state in (CheckState.RUNNING, CheckState.SOON):
            self._settle(CheckState.UNKNOWN)

    def _done(self, wish: Wish, report: LossReport) -> None:
        if wish == self._wish:
            self._cancel = None
            self._settle(CheckState.KNOWN, report)

    def _failed(self, wish: Wish, error: BaseException) -> None:
        if wish != self._wish:
            return
        self._cancel = None
        self._settle(CheckState.UNKNOWN, problem=str(error) if isinstance(error, UserError) else "")
        if not isinstance(error, UserError):
            self._workspace.report(error)

    def _settle(self, state: CheckState, report: LossReport | None = None, *, problem: str = "") -> None:
        self.state, self.report, self.problem = state, report, problem
        self.changed.emit()

    def _fingerprint(self) -> int:
        return hash(tuple((item.id, item.revision, item.status) for item in self._workspace.images))


class LossView(QWidget):
    """Shows a `LossCheck`: that nothing is lost, how far the check is, or what changes and where most."""

    def __init__(self, check: LossCheck, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._check = check
        self.good = Notice("success", "What the format keeps")
        self.bad = Notice("warning", "What the format changes")
        self.busy = BusyLine("Checking what the format keeps", check.stop)
        self.again = key_button("Check", "search", "", "Nothing is written", check.start)
        self.again.setAutoDefault(False)
        self.unknown = beside(self.again, label("What the format changes is not known yet.", "muted", wrap=False))
        self.table = _table()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        for widget in (self.good, self.bad, self.table, self.busy, self.unknown):
            column.addWidget(widget)

    def refresh(self, workspace: Workspace) -> None:
        """Show the state of the check now."""
        state, report = self._check.state, self._check.report
        lost = report is not None and not report.lossless
        good = "Every pixel survives." if state is CheckState.SAFE else ""
        if report is not None and not lost:
            good = "\n".join(report.sentences)
        self.good.show_text(good)
        self.bad.show_text("\n".join(report.sentences) if report is not None and lost else self._check.problem)
        self.unknown.setVisible(state is CheckState.UNKNOWN)
        if state in (CheckState.RUNNING, CheckState.SOON):
            fraction, _text = running_job(workspace, VERB)
            self.busy.show_state(fraction, "Checking what the format keeps")
        else:
            self.busy.hide()
        self._show_worst(workspace.catalog, report)
        self.setVisible(state is not CheckState.NOTHING)

    def _show_worst(self, catalog: Catalog, report: LossReport | None) -> None:
        worst = [loss for loss in report.worst if loss.iou < 1] if report is not None else []
        self.table.setVisible(bool(worst))
        self.table.setRowCount(len(worst))
        for row, loss in enumerate(worst):
            known = loss.class_id in catalog
            name = catalog[loss.class_id].name if known else "Void"
            cells = (loss.image, name, f"{loss.pixels:,}", f"{loss.iou:.3f}")
            for column, text in enumerate(cells):
                item = QTableWidgetItem(text)
                item.setToolTip(text)
                if column >= _COLUMNS.index("Pixels"):
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(row, column, item)
            swatch = self.table.item(row, _COLUMNS.index("Class"))
            if known and swatch is not None:
                swatch.setIcon(_swatch(catalog[loss.class_id].color))
        shown = min(len(worst), _ROWS_SHOWN)
        self.table.setFixedHeight(self.table.horizontalHeader().sizeHint().height() + shown * _ROW_PX + 4)


def _table() -> QTableWidget:
    table = QTableWidget(0, len(_COLUMNS))
    table.setAccessibleName("Segments that change most")
    table.setHorizontalHeaderLabels(list(_COLUMNS))
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(_ROW_PX)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setTabKeyNavigation(False)
    table.setWordWrap(False)
    table.setTextElideMode(Qt.TextElideMode.ElideMiddle)
    header = table.horizontalHeader()
    header.setHighlightSections(False)
    header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    for name in ("Image", "Class"):
        header.setSectionResizeMode(_COLUMNS.index(name), QHeaderView.ResizeMode.Stretch)
    for column, name in enumerate(_COLUMNS):
        side = Qt.AlignmentFlag.AlignLeft if name in ("Image", "Class") else Qt.AlignmentFlag.AlignRight
        item = table.horizontalHeaderItem(column)
        if item is not None:
            item.setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)
    return table


def _swatch(color: tuple[int, int, int]) -> QPixmap:
    picture = QPixmap(_SWATCH_PX, _SWATCH_PX)
    picture.fill(QColor(*color))
    return picture
