"""The training panel: whether there is enough to learn from, the run as it learns, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QCheckBox, QListWidget, QListWidgetItem, QWidget

from segstudio.core.events import Change
from segstudio.core.jobs import JobState
from segstudio.gui.icons import icon
from segstudio.gui.panels.common import (
    ICON_PX,
    Panel,
    card,
    key_button,
    label,
    progress_bar,
    row,
    set_role,
    set_text,
    show_progress,
)
from segstudio.gui.panels.model import compact_combo
from segstudio.gui.panels.plot import TrainingPlot

if TYPE_CHECKING:
    from segstudio.core.runs import RunResult
    from segstudio.project.runs import RunRecord
    from segstudio.services.finetuning import RunView
    from segstudio.services.workspace import Workspace

KEY_TRAIN: Final = "T"
KEY_STOP: Final = "Shift+T"
KEY_METRICS: Final = "Ctrl+Shift+M"
TIMES: Final[tuple[tuple[str, float | None], ...]] = (
    ("1 minute", 1.0),
    ("5 minutes", 5.0),
    ("20 minutes", 20.0),
    ("Until stopped", None),
)
_DEFAULT_TIME: Final = 1
RECIPES: Final[tuple[tuple[str, str, str], ...]] = (
    (
        "Few images (recommended)",
        "few-images",
        "Many variations of small pieces: learns from a handful of images within minutes.",
    ),
    (
        "As published",
        "published",
        "The paper's own settings, meant for thousands of images, a GPU and hours.",
    ),
)
_RUN_ROLE: Final = Qt.ItemDataRole.UserRole
_MAX_RUNS_SHOWN: Final = 5


def result_text(result: RunResult) -> str:
    """The gate's verdict in one line: "mIoU 0.71 → 0.83: kept and in use"."""
    best, parent = result.best_miou, result.parent_miou
    if best is None:
        return "Stopped before the first score: the old model stays in use"
    if result.accepted:
        change = f"mIoU {parent:.2f} → {best:.2f}" if parent is not None else f"mIoU {best:.2f}"
        return f"{change}: kept and in use"
    against = f" ({best:.2f} against {parent:.2f})" if parent is not None else f" ({best:.2f})"
    return f"Not better{against}: the old model stays in use"


def run_text(run: RunRecord) -> str:
    """One line for a run of the history."""
    best, parent = run.metrics.get("miou"), run.metrics.get("parent_miou")
    if run.state != JobState.DONE or best is None:
        words = {"failed": "failed", "cancelled": "stopped", "done": "no score"}.get(run.state, run.state)
        return f"Run {run.id} · {words}"
    score = f"{parent:.2f} → {best:.2f}" if parent is not None else f"{best:.2f}"
    return f"Run {run.id} · {score} · {'kept' if run.accepted else 'not kept'}"


class TrainingPanel(Panel):
    """Starts, shows and ends training runs; `metrics_requested` asks for the window of figures."""

    flags: ClassVar[Change] = (
        Change.RUNS | Change.STATUS | Change.IMAGES | Change.CATALOG | Change.MODELS | Change.SETTINGS | Change.SAVED
    )
    metrics_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._drawn: tuple[object, ...] = ()
        self._make()
        self._make_result()
        self._assemble()
        self.refresh(Change(0))

    def _make(self) -> None:
        self.readiness = label("", "muted")
        self.readiness.setAccessibleName("Whether training can start")
        self.time = compact_combo("Training time", "How long the network learns; stopping early keeps the best so far")
        for title, minutes in TIMES:
            self.time.addItem(title, minutes)
        self.time.setCurrentIndex(_DEFAULT_TIME)
        self.limit = label("", "warning")
        self.limit.setAccessibleName("What the model cannot do on this device")
        self.recipes = compact_combo("Recipe", "How the network learns")
        for title, key, _does in RECIPES:
            self.recipes.addItem(title, key)
        self.recipe_does = label(RECIPES[0][2], "muted")
        self.recipe_does.setAccessibleName("What the recipe does")
        self.recipes.currentIndexChanged.connect(lambda index: self.recipe_does.setText(RECIPES[index][2]))
        self.train_button = key_button("Train", "train", KEY_TRAIN, "", self.toggle, "primary")
        self.progress = progress_bar("Progress of the training run")
        self.state = label("", "muted")
        self.state.setAccessibleName("State of the training run")
        self.plot = TrainingPlot()
        self.log = QCheckBox("Logarithmic loss")
        self.log.setToolTip("Show the loss on a logarithmic axis")
        self.log.toggled.connect(self.plot.set_log)

    def _make_result(self) -> None:
        self.result_card, inside = card()
        self.result_title = label("", "value")
        self.result_reason = label("", "muted")
        self.adopt_button = key_button(
            "Adopt anyway", "accept_class", "", "Use this run's model although the old one scored better", self.adopt
        )
        self.back_button = key_button("Go back", "undo", "", "Use the model before this run again", self.go_back)
        for widget in (self.result_title, self.result_reason, self.adopt_button, self.back_button):
            inside.addWidget(widget)
        self.metrics_button = key_button(
            "Metrics", "metrics", KEY_METRICS, "See what the model gets right, and which classes it mistakes",
            self.metrics_requested.emit,
        )  # fmt: skip
        self.runs_title = label("Runs and their mIoU", "section")
        self.runs = QListWidget()
        self.runs.setAccessibleName("Training runs, newest first")
        self.runs.setToolTip("Choose a run and press Enter (or double-click) to use its model")
        self.runs.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.runs.setIconSize(QSize(ICON_PX, ICON_PX))
        self.runs.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.runs.itemActivated.connect(self._use_run)

    def _assemble(self) -> None:
        for above in (self.readiness, self.limit, self.recipes, self.recipe_does):
            self.column.addWidget(above)
        self.column.addLayout(row(self.time, self.train_button))
        for widget in (self.progress, self.state, self.error, self.result_card, self.plot, self.log):
            self.column.addWidget(widget)
        self.column.addWidget(self.runs_title)
        self.column.addWidget(self.runs)
        self.column.addWidget(self.metrics_button)
        self.column.addStretch(1)

    # -- what a person can ask for -----------------------------------------------------------------

    @property
    def minutes(self) -> float | None:
        """How long a run may take; None until it is stopped."""
        chosen: float | None = self.time.currentData()
        return chosen

    @property
    def recipe(self) -> str:
        """The name of the recipe chosen."""
        return str(self.recipes.currentData())

    def toggle(self) -> None:
        """Start a run, or stop the one going on and keep its best."""
        workspace = self.workspace
        if workspace is None:
            return
        if workspace.finetuning.running:
            self.attempt(workspace.finetuning.stop)
        else:
            self.attempt(lambda: workspace.finetuning.start(minutes=self.minutes, recipe=self.recipe))

    def adopt(self) -> None:
        """Use the model of the run shown, whatever the gate said."""
        workspace = self.workspace
        run_id = workspace.finetuning.state.run_id if workspace is not None else None
        if workspace is not None and run_id is not None:
            self.attempt(lambda: workspace.finetuning.adopt(run_id))

    def go_back(self) -> None:
        """Use the model before this one again."""
        if self.workspace is not None:
            self.attempt(self.workspace.models.go_back)

    # -- showing --------------------------------------------------------------------------------

    def refresh(self, what: Change) -> None:
        """Show readiness, the run and its result."""
        workspace = self.workspace
        self.setEnabled(workspace is not None)
        if workspace is None:
            set_text(self.readiness, "Open a project to train on its labels.")
            self.plot.set_data((), ())
            for widget in (
                self.limit,
                self.progress,
                self.state,
                self.result_card,
                self.runs_title,
                self.runs,
                self.log,
            ):
                widget.hide()
            return
        view = workspace.finetuning.state
        self._show_button(workspace)
        self._show_run(view)
        self._show_result(workspace, view)
        # Steps arrive many times a second; the history changes only when a run begins or ends.
        drawn = (view.run_id, view.state, workspace.models.active.id)
        if drawn != self._drawn or what & ~(Change.RUNS | Change.SAVED):
            self._drawn = drawn
            self._show_history(workspace)

    def _show_button(self, workspace: Workspace) -> None:
        running = workspace.finetuning.running
        if running:
            self.readiness.hide()
            self.limit.hide()
            self.train_button.setEnabled(True)
        else:
            ready, info = workspace.finetuning.readiness(), workspace.models.active_info
            set_text(self.readiness, ready.reason, "muted" if ready.ready else "warning")
            set_text(self.limit, info.limit, "warning" if info.usable else "error")
            self.train_button.setEnabled(ready.ready and info.usable)
        if (self.train_button.text() == "Stop") != running or not self.train_button.toolTip():
            self.train_button.setText("Stop" if running else "Train")
            set_role(self.train_button, "danger" if running else "primary")
            self.train_button.set_icon_name("stop" if running else "train")
            self.train_button.set_key(KEY_STOP if running else KEY_TRAIN)
            stop = "Stop after this step; the best model so far is kept if it wins"
            self.train_button.set_help(
                stop if running else "Learn from everything decided so far; you can go on labelling"
            )
        for choice in (self.time, self.recipes):
            choice.setEnabled(not running)

    def _show_run(self, view: RunView) -> None:
        self.plot.set_data(view.losses, view.validations, view.parent_miou)
        self.log.setVisible(not self.plot.is_empty)
        self.progress.setVisible(view.running)
        if view.running:
            show_progress(self.progress, _fraction(view))
        parts = [view.text, f"on {view.device}" if view.device and view.running else ""]
        if view.running and view.best_miou is not None:
            parts.append(f"best mIoU {view.best_miou:.2f}")
        lines = [" · ".join(part for part in parts if part), *view.notes[-1:]]
        over = view.state is JobState.DONE
        set_text(self.state, "" if over else "\n".join(line for line in lines if line),
                 "error" if view.state is JobState.FAILED else "muted")  # fmt: skip

    def _show_result(self, workspace: Workspace, view: RunView) -> None:
        result = view.result if view.state is JobState.DONE else None
        self.result_card.setVisible(result is not None)
        if result is None:
            return
        set_text(self.result_title, result_text(result), "success" if result.accepted else "value")
        set_text(self.result_reason, result.reason)
        in_use = result.card is not None and workspace.models.active.path == result.card
        self.adopt_button.setVisible(result.card is not None and not in_use)
        self.adopt_button.setText("Use it again" if result.accepted else "Adopt anyway")
        self.back_button.setVisible(in_use and workspace.models.previous is not None)

    def _show_history(self, workspace: Workspace) -> None:
        runs = list(reversed(workspace.finetuning.runs()))
        active = workspace.models.active.path
        self.runs.clear()
        for run in runs:
            in_use = run.card is not None and str(active) == run.card
            item = QListWidgetItem(icon("success" if in_use else "recent", "text_muted"), run_text(run))
            item.setData(_RUN_ROLE, run.id if run.card is not None else None)
            where = "in use" if in_use else "press Enter to use it" if run.card is not None else "made no model"
            item.setToolTip(f"{run_text(run)}\n{run.metrics.get('reason', '')}\n{where}")
            self.runs.addItem(item)
        self.runs_title.setVisible(bool(runs))
        self.runs.setVisible(bool(runs))
        if runs:
            height = self.runs.sizeHintForRow(0)
            self.runs.setFixedHeight(min(len(runs), _MAX_RUNS_SHOWN) * height + 2 * self.runs.frameWidth() + 4)

    def _use_run(self, item: QListWidgetItem) -> None:
        workspace, run_id = self.workspace, item.data(_RUN_ROLE)
        if workspace is not None and run_id is not None:
            self.attempt(lambda: workspace.finetuning.adopt(int(run_id)))


def _fraction(view: RunView) -> float | None:
    by_steps = view.step / view.total_steps if view.total_steps else None
    by_time = view.seconds / (60 * view.minutes) if view.minutes else None
    known = [value for value in (by_steps, by_time) if value is not None]
    return max(known) if known and view.step else None
