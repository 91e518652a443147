"""The refinement panel: the dense CRF's presets and numbers, one button, and what came of it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QCheckBox, QGridLayout, QVBoxLayout, QWidget

from segstudio.core.events import Change
from segstudio.gui.canvas.reach import Reach
from segstudio.gui.panels.common import (
    Panel,
    images_text,
    key_button,
    label,
    progress_bar,
    running_job,
    set_text,
    show_progress,
)
from segstudio.gui.panels.model import compact_combo
from segstudio.gui.panels.refine_fields import NumberGrid
from segstudio.gui.panels.refine_result import RefineResult
from segstudio.gui.panels.refine_tuning import RefineTuning
from segstudio.services.gain import loss_of

if TYPE_CHECKING:
    from segstudio.refine.tuned import Tuned
    from segstudio.services.workspace import Workspace

KEY_REFINE: Final = "C"
_VERB: Final = "Sharpening"
_TUNING_VERB: Final = "Tuning"
_TUNED: Final = "tuned"
_FIRST_CHOICE: Final = "native"
_ENGINES: Final = {
    "native": ("This program's own", "Runs on the processor and needs nothing else"),
    "torch": ("PyTorch", "Runs on the graphics card, where there is one"),
    "pydensecrf": ("pydensecrf", "The program that many papers used, to compare with"),
}
_REACH_TIP: Final = (
    "Draws how far colour and smoothing reach around the pointer. At a circle the influence has fallen to 61 %, at "
    "twice its radius to 14 %. Pixels that the colour kernel joins to the one under the pointer are tinted."
)
_EXACT_TIP: Final = (
    "Computes every class to the end. Otherwise a class that no pixel wants (below 1 % everywhere) is dropped on the "
    "way: faster with many classes, and nearly always the same answer."
)


class RefinePanel(Panel):
    """Sharpens the proposal of the image shown along the image's own edges.

    `reach_changed` gives the `Reach` to draw on the image, or None; `split_chosen` the fraction of the image that is to
    show the proposal from before.
    """

    flags: ClassVar[Change] = (
        Change.PROPOSAL | Change.CURRENT | Change.JOBS | Change.SETTINGS | Change.CATALOG | Change.MODELS
    )
    reach_changed = Signal(object)
    split_chosen = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._presets: dict[str, tuple[str, str, Any]] = {}
        self._base: Any = None
        self._tuned: Tuned | None = None
        self._usable = self._at_reach = False
        self._make()
        self._assemble()
        self.refresh(Change(0))

    def _make(self) -> None:
        self.preset = compact_combo("Preset", "Parameters that others published; change any number for your own")
        self.preset.setPlaceholderText("Your own values")
        self.preset.activated.connect(lambda _index: self._use_preset())
        self.source = label("", "muted")
        self.numbers = NumberGrid()
        self.fields = self.numbers.fields
        self.numbers.edited.connect(self._edited)
        self.numbers.reach_asked.connect(self._ask_reach)
        self.reach_box = _check_box("Show reach on the image", _REACH_TIP)
        self.reach_box.toggled.connect(lambda _on: self._show_reach())
        self.exact_box = _check_box("Keep every class (exact)", _EXACT_TIP)
        self.backend = compact_combo("Engine", "The program that computes the refinement")
        self.engine_row = QWidget()
        self.refine_button = key_button(
            "Refine", "refine", KEY_REFINE, "Sharpen the proposal along the edges in the image", self.refine, "primary"
        )
        self.cancel_button = key_button("Cancel", "cancel", "", "Stop refining", self.cancel, "danger")
        self.progress = progress_bar("Progress of the refinement")
        self.state = label("", "muted")
        self.result = RefineResult()
        self.result.split_chosen.connect(self.split_chosen)
        self.result.take_back_asked.connect(self.take_back)
        self.loss = label("", "warning")
        self.tuning = RefineTuning()
        self.tuning.tune_asked.connect(self.tune)
        self.tuning.cancel_asked.connect(self.cancel_tuning)
        self.missing = label("", "warning")

    def _assemble(self) -> None:
        self.body = QWidget()
        inside = QVBoxLayout(self.body)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(8)
        engine = QGridLayout(self.engine_row)
        engine.setContentsMargins(0, 0, 0, 0)
        title = label("Engine", wrap=False)
        title.setBuddy(self.backend)
        engine.addWidget(title, 0, 0)
        engine.addWidget(self.backend, 0, 1)
        engine.setColumnStretch(1, 1)
        for widget in (
            *(self.preset, self.source, self.numbers, self.reach_box, self.exact_box, self.engine_row),
            *(self.loss, self.refine_button, self.progress, self.state, self.cancel_button, self.result),
            self.tuning,
        ):
            inside.addWidget(widget)
        for widget in (self.missing, self.body, self.error):
            self.column.addWidget(widget)
        self.column.addStretch(1)

    # -- what a person can ask for -----------------------------------------------------------------

    def refine(self) -> None:
        """Refine the proposal shown with the numbers shown, also where the panel says that they lose."""
        workspace = self.workspace
        if workspace is None or not self._can_refine(workspace):
            return
        refine = partial(workspace.refining.refine_current, self.params(), self.engine)
        self.attempt(lambda: refine(exact=self.exact, anyway=bool(self.loss.text())))

    def cancel(self) -> None:
        """Stop what is running."""
        if self.workspace is not None:
            self.attempt(self.workspace.refining.cancel)

    def take_back(self) -> None:
        """Return to the proposal from before the refinement."""
        if self.workspace is not None:
            self.attempt(self.workspace.refining.take_back)

    def tune(self) -> None:
        """Look for the numbers that do best on the reviewed images, starting from those shown."""
        workspace = self.workspace
        if workspace is None:
            return
        start = self.params()
        if self._tuned is not None and start == self._tuned.params:
            start = self._tuned.preset
        self.attempt(lambda: workspace.tuning.start(preset=start))

    def cancel_tuning(self) -> None:
        """Stop looking for better numbers."""
        if self.workspace is not None:
            self.attempt(self.workspace.tuning.cancel)

    @property
    def engine(self) -> str:
        """The program chosen to compute it."""
        return str(self.backend.currentData() or _FIRST_CHOICE)

    @property
    def exact(self) -> bool:
        """Whether every class is kept to the end."""
        return self.exact_box.isChecked()

    def params(self) -> Any:
        """The numbers shown, as parameters of the refinement (same type as the presets')."""
        return replace(self._base, **self.numbers.edits(self._base))

    # -- showing --------------------------------------------------------------------------------

    def refresh(self, what: Change) -> None:
        """Show whether a refinement is possible, running, or missing its engine."""
        workspace = self.workspace
        self.setEnabled(workspace is not None)
        if workspace is None:
            hidden = (self.progress, self.cancel_button, self.engine_row, self.missing, self.result, self.loss)
            for widget in (*hidden, self.tuning):
                widget.hide()
            set_text(self.source, "")
            set_text(self.state, "Open a project to refine its proposals.")
            return
        if not self._presets:
            self._load_presets(workspace)
        self._show_tuning(workspace)
        if what & Change.SETTINGS:
            self._show_backends(workspace)
        self._show_busy(workspace)
        prediction = workspace.current.prediction if workspace.current is not None else None
        self.result.show_result(prediction, workspace.catalog)

    def _load_presets(self, workspace: Workspace) -> None:
        for key, title, source, params in workspace.refining.presets():
            self._presets[key] = (title, source, params)
            self.preset.addItem(title, key)
            self.preset.setItemData(self.preset.count() - 1, source, Qt.ItemDataRole.ToolTipRole)
        self.preset.setCurrentIndex(0 if self._presets else -1)
        self._use_preset()

    def _show_backends(self, workspace: Workspace) -> None:
        states = workspace.refining.backends()
        self._usable = None in states.values()
        usable = [name for name, reason in states.items() if reason is None]
        if usable != [self.backend.itemData(i) for i in range(self.backend.count())]:
            self.backend.clear()
            for name in usable:
                title, tip = _ENGINES.get(name, (name, ""))
                self.backend.addItem(title, name)
                self.backend.setItemData(self.backend.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.engine_row.setVisible(len(usable) > 1)
        self.body.setVisible(bool(usable))
        reasons = [states.get(_FIRST_CHOICE), *states.values()]
        set_text(self.missing, next((r for r in reasons if r), "") if not usable else "")

    def _show_tuning(self, workspace: Workspace) -> None:
        """Offer what was found for the model in use as numbers to choose, and choose them where they are new."""
        tuned = workspace.tuning.result
        if tuned != self._tuned:
            self._tuned = tuned
            self._presets.pop(_TUNED, None)
            self.preset.removeItem(self.preset.findData(_TUNED))
            if tuned is not None:
                source = f"Did best on {images_text(tuned.searched)} of this project."
                self._presets[_TUNED] = ("Tuned to my labels", source, tuned.params)
                self.preset.insertItem(0, "Tuned to my labels", _TUNED)
            best = tuned.best if tuned is not None else workspace.refining.default_params
            match = next((key for key, (_t, _s, known) in self._presets.items() if known == best), None)
            self.preset.setCurrentIndex(self.preset.findData(match) if match is not None else 0)
            self._use_preset()
        running = running_job(workspace, _TUNING_VERB) if workspace.tuning.busy else None
        self.tuning.setVisible(True)
        self.tuning.show_state(tuned, running)

    def _show_loss(self) -> None:
        """Say where the numbers shown are known to make this model's proposals worse."""
        set_text(self.loss, loss_of(self._tuned, self.params()) or "")

    def _show_busy(self, workspace: Workspace) -> None:
        busy = workspace.refining.busy
        fraction, _text = running_job(workspace, _VERB)
        self.refine_button.setEnabled(self._can_refine(workspace))
        self._show_loss()
        self.refine_button.setText("Refining…" if busy else "Refine anyway" if self.loss.text() else "Refine")
        self.progress.setVisible(busy)
        self.cancel_button.setVisible(busy)
        show_progress(self.progress, fraction if busy else 0.0)
        set_text(self.state, self._state_text(workspace))

    def _can_refine(self, workspace: Workspace) -> bool:
        current = workspace.current
        prediction = current.prediction if current is not None else None
        return self._usable and not workspace.refining.busy and getattr(prediction, "probabilities", None) is not None

    def _state_text(self, workspace: Workspace) -> str:
        if workspace.refining.busy:
            return running_job(workspace, _VERB)[1]
        prediction = workspace.current.prediction if workspace.current is not None else None
        if prediction is None:
            return "A refinement sharpens a proposal: press R for one first."
        if prediction.probabilities is None:
            return "This proposal carries no probabilities: press R for a new one."
        return "The proposal shown is refined." if prediction.refined and prediction.refinement is None else ""

    def set_split(self, fraction: float) -> None:
        """Show where the line between before and after stands on the image."""
        self.result.set_split(fraction)

    # -- numbers --------------------------------------------------------------------------------

    def _use_preset(self) -> None:
        key = self.preset.currentData()
        if key is None:
            return
        _title, source, self._base = self._presets[key]
        self.numbers.show_values(self._base)
        set_text(self.source, source)
        self._numbers_changed()

    def _edited(self) -> None:
        params = self.params()
        match = next((key for key, (_t, _s, known) in self._presets.items() if known == params), None)
        self.preset.setCurrentIndex(self.preset.findData(match) if match is not None else -1)
        source = self._presets[match][1] if match is not None else "Your own values; choose a preset to return to it."
        set_text(self.source, source)
        self._numbers_changed()

    def _numbers_changed(self) -> None:
        self._show_reach()
        if self.workspace is not None:
            self._show_busy(self.workspace)

    def _ask_reach(self, wanted: bool) -> None:  # noqa: FBT001 - Qt slot
        self._at_reach = wanted
        self._show_reach()

    def _show_reach(self) -> None:
        """Tell the canvas which widths to draw: while somebody is at one of them, or wants them all the time."""
        if self._base is None or not (self._at_reach or self.reach_box.isChecked()):
            self.reach_changed.emit(None)
            return
        params = self.params()
        self.reach_changed.emit(Reach(params.bilateral_xy, params.bilateral_rgb, params.spatial_xy))


def _check_box(title: str, tip: str) -> QCheckBox:
    box = QCheckBox(title)
    box.setAccessibleName(title)
    box.setAccessibleDescription(tip)
    box.setToolTip(f"{title}\n{tip}")
    return box
