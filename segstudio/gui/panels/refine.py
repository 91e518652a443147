"""The refinement panel: the dense CRF's presets, its six numbers, and one button."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDoubleSpinBox, QGridLayout, QSizePolicy, QSpinBox, QVBoxLayout, QWidget

from segstudio.core.events import Change
from segstudio.gui.panels.common import (
    Panel,
    key_button,
    label,
    progress_bar,
    running_job,
    set_text,
    show_progress,
)
from segstudio.gui.panels.model import compact_combo

if TYPE_CHECKING:
    from segstudio.services.workspace import Workspace

KEY_REFINE: Final = "C"
_SPIN_PX: Final = 96
_VERB: Final = "Sharpening"
_FIRST_CHOICE: Final = "pydensecrf"


@dataclass(frozen=True, slots=True)
class _Field:
    """One parameter: its name in the parameters, its words, its range and step, and what it does."""

    name: str
    title: str
    low: float
    high: float
    step: float
    unit: str
    tip: str


FIELDS: Final = (
    _Field("bilateral_weight", "Colour weight", 0, 100, 0.5, "",
           "How strongly pixels of similar colour are pulled to the same class. 0 switches this off."),
    _Field("bilateral_xy", "Colour reach", 0.5, 1000, 1, " px",
           "How far apart two pixels of similar colour may be and still influence each other."),
    _Field("bilateral_rgb", "Colour tolerance", 0.5, 255, 0.5, "",
           "How different two colours (0-255) may be and still count as similar. Small keeps closer to edges."),
    _Field("spatial_weight", "Smoothing weight", 0, 100, 0.5, "",
           "How strongly neighbours are pulled to the same class whatever their colour. Removes specks; 0 is off."),
    _Field("spatial_xy", "Smoothing reach", 0.5, 200, 0.5, " px",
           "How far the smoothing reaches. Large values round off thin parts."),
    _Field("iterations", "Iterations", 1, 50, 1, "",
           "Rounds of mean-field updates. 5 to 10 is usually enough; time grows with it."),
)  # fmt: skip


class RefinePanel(Panel):
    """Sharpens the proposal of the image shown along the image's own edges."""

    flags: ClassVar[Change] = Change.PROPOSAL | Change.CURRENT | Change.JOBS | Change.SETTINGS

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._presets: dict[str, tuple[str, str, Any]] = {}
        self._usable = False
        self._make()
        self._assemble()
        self.refresh(Change(0))

    def _make(self) -> None:
        self.preset = compact_combo("Preset", "Parameters that others published; change any number for your own")
        self.preset.setPlaceholderText("Your own values")
        self.preset.activated.connect(lambda _index: self._use_preset())
        self.source = label("", "muted")
        self.backend = compact_combo("Engine", "The program that computes the refinement")
        self.fields: dict[str, QSpinBox | QDoubleSpinBox] = {}
        for field in FIELDS:
            self.fields[field.name] = self._spin(field)
        self.refine_button = key_button(
            "Refine", "refine", KEY_REFINE, "Sharpen the proposal along the edges in the image", self.refine, "primary"
        )
        self.cancel_button = key_button("Cancel", "cancel", "", "Stop refining", self.cancel, "danger")
        self.progress = progress_bar("Progress of the refinement")
        self.state = label("", "muted")
        self.missing = label("", "warning")

    def _spin(self, field: _Field) -> QSpinBox | QDoubleSpinBox:
        spin: QSpinBox | QDoubleSpinBox
        if field.name == "iterations":
            spin = QSpinBox()
            spin.setRange(int(field.low), int(field.high))
            spin.valueChanged.connect(lambda _value: self._edited())
        else:
            spin = QDoubleSpinBox()
            spin.setDecimals(1)
            spin.setRange(field.low, field.high)
            spin.setSingleStep(field.step)
            spin.valueChanged.connect(lambda _value: self._edited())
        spin.setSuffix(field.unit)
        spin.setAccessibleName(field.title)
        spin.setAccessibleDescription(field.tip)
        spin.setToolTip(f"{field.title}\n{field.tip}")
        spin.setKeyboardTracking(False)
        spin.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        spin.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        return spin

    def _assemble(self) -> None:
        self.body = QWidget()
        inside = QVBoxLayout(self.body)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(8)
        inside.addWidget(self.preset)
        inside.addWidget(self.source)
        grid = QGridLayout()
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(6)
        grid.setColumnStretch(0, 1)
        grid.setColumnMinimumWidth(1, _SPIN_PX)
        for index, field in enumerate(FIELDS):
            title = label(field.title, wrap=False)
            title.setBuddy(self.fields[field.name])
            title.setToolTip(field.tip)
            grid.addWidget(title, index, 0)
            grid.addWidget(self.fields[field.name], index, 1)
        inside.addLayout(grid)
        inside.addWidget(self.backend)
        inside.addWidget(self.refine_button)
        inside.addWidget(self.progress)
        inside.addWidget(self.state)
        inside.addWidget(self.cancel_button)
        for widget in (self.missing, self.body, self.error):
            self.column.addWidget(widget)
        self.column.addStretch(1)

    # -- what a person can ask for -----------------------------------------------------------------

    def refine(self) -> None:
        """Refine the proposal shown with the numbers shown."""
        workspace = self.workspace
        if workspace is None or not self._can_refine(workspace):
            return
        self.attempt(lambda: workspace.refining.refine_current(self.params(), self.engine))

    def cancel(self) -> None:
        """Stop what is running."""
        if self.workspace is not None:
            self.attempt(self.workspace.refining.cancel)

    @property
    def engine(self) -> str:
        """The program chosen to compute it."""
        return str(self.backend.currentData() or _FIRST_CHOICE)

    def params(self) -> Any:
        """The numbers shown, as parameters of the refinement (same type as the presets')."""
        first = next(iter(self._presets.values()))[2]
        return replace(first, **{name: spin.value() for name, spin in self.fields.items()})

    # -- showing --------------------------------------------------------------------------------

    def refresh(self, what: Change) -> None:
        """Show whether a refinement is possible, running, or missing its engine."""
        workspace = self.workspace
        self.setEnabled(workspace is not None)
        if workspace is None:
            for widget in (self.progress, self.cancel_button, self.backend, self.missing):
                widget.hide()
            set_text(self.source, "")
            set_text(self.state, "Open a project to refine its proposals.")
            return
        if not self._presets:
            self._load_presets(workspace)
        if what & Change.SETTINGS:
            self._show_backends(workspace)
        self._show_busy(workspace)

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
                self.backend.addItem(name, name)
        self.backend.setVisible(len(usable) > 1)
        self.body.setVisible(bool(usable))
        reasons = [states.get(_FIRST_CHOICE), *states.values()]
        set_text(self.missing, next((r for r in reasons if r), "") if not usable else "")

    def _show_busy(self, workspace: Workspace) -> None:
        busy = workspace.refining.busy
        fraction, _text = running_job(workspace, _VERB)
        self.refine_button.setEnabled(self._can_refine(workspace))
        self.refine_button.setText("Refining…" if busy else "Refine")
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
        return "The proposal shown is refined." if prediction.refined else ""

    # -- numbers --------------------------------------------------------------------------------

    def _use_preset(self) -> None:
        key = self.preset.currentData()
        if key is None:
            return
        _title, source, params = self._presets[key]
        for name, spin in self.fields.items():
            blocked = spin.blockSignals(True)
            spin.setValue(getattr(params, name))
            spin.blockSignals(blocked)
        set_text(self.source, source)

    def _edited(self) -> None:
        params = self.params()
        match = next((key for key, (_t, _s, known) in self._presets.items() if known == params), None)
        self.preset.setCurrentIndex(self.preset.findData(match) if match is not None else -1)
        source = self._presets[match][1] if match is not None else "Your own values; choose a preset to return to it."
        set_text(self.source, source)
