"""The right column: classes, then model, proposal, refinement and training as sections that fold away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtWidgets import QAbstractSpinBox, QComboBox, QScrollArea, QVBoxLayout, QWidget

from segstudio.gui.panels.classes import ClassesPanel
from segstudio.gui.section import Section

if TYPE_CHECKING:
    from segstudio.core.settings import Settings
    from segstudio.gui.panels.common import Panel
    from segstudio.gui.panels.model import ModelPanel
    from segstudio.gui.panels.proposal import ProposalPanel
    from segstudio.gui.panels.refine import RefinePanel
    from segstudio.gui.panels.training import TrainingPanel
    from segstudio.services.workspace import Workspace

_OPEN_KEY: Final = "open_sections"
_OPEN_AT_FIRST: Final = ("classes", "model", "proposal", "training")


class WheelGuard(QObject):
    """Lets the wheel scroll the column where it would change a number or a choice that nobody has in focus."""

    def watch(self, panel: QWidget) -> None:
        """Guard the inputs of a panel."""
        inputs: list[QWidget] = [*panel.findChildren(QAbstractSpinBox), *panel.findChildren(QComboBox)]
        for widget in inputs:
            widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() != QEvent.Type.Wheel or not isinstance(watched, QWidget) or watched.hasFocus():
            return False
        event.ignore()
        return True


class SideColumn(QScrollArea):
    """All sections in one scrolling column; which are open is remembered.

    Only the classes are there at once. The other panels have many controls, so they are made once the first image is
    drawn (`complete`), or earlier where somebody asks for one.
    """

    models_asked = Signal()
    metrics_asked = Signal()
    accept_brush_asked = Signal()
    reach_changed = Signal(object)
    split_chosen = Signal(float)

    def __init__(self, settings: Settings, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._settings = settings
        self._workspace: Workspace | None = None
        self._wheel_guard = WheelGuard(self)
        self._panels: dict[str, Panel] = {}
        self._refine: RefinePanel
        self._training: TrainingPanel
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._inner = QWidget(self)
        self._inner.setObjectName("side")
        self._inner.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._column = QVBoxLayout(self._inner)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(0)
        self._column.addStretch(1)
        self._open = settings.get(_OPEN_KEY, list(_OPEN_AT_FIRST))
        self.sections: dict[str, Section] = {}
        self.classes = ClassesPanel()
        self._add("classes", "Classes", self.classes)
        self.setWidget(self._inner)

    def complete(self) -> dict[str, Panel]:
        """Every panel besides the classes, by name; made on first use."""
        if not self._panels:
            from segstudio.gui.panels.model import ModelPanel
            from segstudio.gui.panels.proposal import ProposalPanel
            from segstudio.gui.panels.refine import RefinePanel
            from segstudio.gui.panels.training import TrainingPanel

            model, proposal = ModelPanel(), ProposalPanel()
            self._refine, self._training = RefinePanel(), TrainingPanel()
            self._panels = {
                "model": model,
                "proposal": proposal,
                "refine": self._refine,
                "training": self._training,
            }
            titles = {"model": "Model", "proposal": "Proposal", "refine": "Refine edges", "training": "Training"}
            for name, panel in self._panels.items():
                self._add(name, titles[name], panel)
                panel.set_workspace(self._workspace)
            self._connect(model, proposal)
        return self._panels

    @property
    def refine(self) -> RefinePanel:
        """The panel that holds the numbers of the CRF."""
        self.complete()
        return self._refine

    @property
    def training(self) -> TrainingPanel:
        """The panel that holds how long a run may take."""
        self.complete()
        return self._training

    def _connect(self, model: ModelPanel, proposal: ProposalPanel) -> None:
        """Panels do not know each other: what one asks for, the column passes on."""
        model.models_requested.connect(self.models_asked)
        self._training.metrics_requested.connect(self.metrics_asked)
        proposal.accept_brush_requested.connect(self.accept_brush_asked)
        proposal.class_chosen.connect(self.classes.set_current_class)
        self._refine.reach_changed.connect(self.reach_changed)
        self._refine.split_chosen.connect(self.split_chosen)
        self.classes.class_chosen.connect(proposal.set_active_class)
        proposal.set_active_class(self.classes.current_class())

    def set_workspace(self, workspace: Workspace | None) -> None:
        """Show another project, or none."""
        self._workspace = workspace
        for panel in self._panels.values():
            panel.set_workspace(workspace)

    def show_split(self, fraction: float) -> None:
        """Show in the refinement panel where the line between before and after stands."""
        self.refine.set_split(fraction)

    def show_section(self, name: str) -> QWidget:
        """Unfold a section, bring it into view and return it."""
        self.complete()
        section = self.sections[name]
        section.set_open(True)
        self._inner.adjustSize()
        self.ensureWidgetVisible(section)
        return section

    def _add(self, name: str, title: str, panel: QWidget) -> None:
        """Takes a panel without a parent, so that Tab reaches the section's header before what it holds."""
        self._wheel_guard.watch(panel)
        section = Section(title, panel, self._inner)
        section.set_open(name in self._open)
        section.toggled.connect(self._remember)
        self.sections[name] = section
        self._column.insertWidget(self._column.count() - 1, section)

    def _remember(self) -> None:
        later = set(self._open) - set(self.sections)
        self._open = [name for name, section in self.sections.items() if section.is_open] + sorted(later)
        self._settings.set(_OPEN_KEY, self._open)
