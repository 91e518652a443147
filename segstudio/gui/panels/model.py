"""The model panel: which network, on which device, and its two buttons."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QFont, QPaintEvent, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QVBoxLayout,
    QWidget,
)

from segstudio.core.events import Change
from segstudio.gui.icons import icon
from segstudio.gui.panels.common import (
    ElidedLabel,
    Panel,
    card,
    key_button,
    label,
    percent,
    progress_bar,
    row,
    running_job,
    set_text,
    show_progress,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segstudio.services.models import CardInfo
    from segstudio.services.workspace import Workspace

KEY_PROPOSE: Final = "R"
KEY_PROPOSE_ALL: Final = "Ctrl+Shift+R"
_MIN_COMBO_CHARS: Final = 7
_MOST_SHOWN: Final = 24
_ICON_GAP_PX: Final = 8
_VERB: Final = "Proposing"
_NETWORK_TIP: Final = "The network that makes proposals and learns from your labels"


class CompactCombo(QComboBox):
    """A combo box that shortens an entry wider than itself."""

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QStylePainter(self)
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        field = self.style().subControlRect(
            QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, self
        )
        room = field.width() - (0 if option.currentIcon.isNull() else option.iconSize.width() + _ICON_GAP_PX)
        text = option.currentText or self.placeholderText()
        option.currentText = self.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, room)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)


def compact_combo(name: str, tip: str) -> QComboBox:
    """A combo box that shrinks with the panel; its list is as wide as its entries."""
    combo = CompactCombo()
    combo.setAccessibleName(name)
    combo.setToolTip(tip)
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(_MIN_COMBO_CHARS)
    combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return combo


class ModelPanel(Panel):
    """Chooses the network and asks it for proposals; `models_requested` asks for the dialog of all models."""

    flags: ClassVar[Change] = (
        Change.MODELS | Change.JOBS | Change.CURRENT | Change.SETTINGS | Change.CATALOG | Change.RUNS | Change.IMAGES
    )
    models_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown_cards: list[tuple[str, str, str, bool]] = []
        self._shown_run: tuple[object, ...] = ()
        self._make_choices()
        self._make_buttons()
        self._assemble()
        self.refresh(Change(0))

    def _make_choices(self) -> None:
        self.network = compact_combo("Network", _NETWORK_TIP)
        self.network.setMaxVisibleItems(_MOST_SHOWN)
        self.network.activated.connect(lambda _index: self._use_chosen())
        self.device = compact_combo("Device", "Where the network runs; automatic takes the fastest one")
        self.device.activated.connect(lambda _index: self._use_device())
        self.learnt = label("")
        self.learnt.setAccessibleName("What the model has learnt")
        self.limit = label("", "warning")
        self.limit.setAccessibleName("What the model cannot do on this device")
        self.auto = QCheckBox("Propose on opening")
        self.auto.setAccessibleName("Propose automatically when an image opens")
        self.auto.setToolTip("Ask the network for a proposal whenever an image without one opens")
        self.auto.clicked.connect(self._set_auto)

    def _make_buttons(self) -> None:
        self.propose_button = key_button(
            "Propose", "predict", KEY_PROPOSE, "Let the network label this image; you decide what to keep",
            self.propose, "primary",
        )  # fmt: skip
        self.all_button = key_button(
            "Propose for all unreviewed", "predict_all", KEY_PROPOSE_ALL,
            "Make proposals for every image that is not reviewed", self.propose_all,
        )  # fmt: skip
        self.cancel_button = key_button("Cancel", "cancel", "", "Stop making proposals", self.cancel, "danger")
        self.back_button = key_button("Previous", "undo", "", "Go back to the model used before this one", self.go_back)
        self.models_button = key_button(
            "All models", "models", "", "Search the models and read where they come from", self.models_requested.emit
        )
        self.progress = progress_bar("Progress of the proposal")
        self.doing = ElidedLabel()
        self.doing.setProperty("role", "muted")
        self.doing.setAccessibleName("What is being done for the proposal")
        for widget in (self.progress, self.doing):
            policy = widget.sizePolicy()
            policy.setRetainSizeWhenHidden(True)
            widget.setSizePolicy(policy)

    def _assemble(self) -> None:
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Network", self.network)
        form.addRow("Device", self.device)
        self.column.addLayout(form)
        frame, inside = card()
        inside.addWidget(self.learnt)
        inside.addWidget(self.limit)
        inside.addLayout(row(self.back_button, self.models_button, spacing=6))
        self.column.addWidget(frame)
        self.column.addWidget(self.propose_button)
        self.column.addWidget(self.all_button)
        self.column.addWidget(self.cancel_button)
        self.column.addWidget(self.auto)
        running = QVBoxLayout()
        running.setSpacing(4)
        running.addWidget(self.progress)
        running.addWidget(self.doing)
        self.column.addLayout(running)
        self.column.addWidget(self.error)
        self.column.addStretch(1)

    # -- what a person can ask for; the window's actions call these too ----------------------------

    def propose(self) -> None:
        """Ask for a proposal for the image shown."""
        workspace = self.workspace
        if workspace is not None and workspace.current is not None and not workspace.predicting.busy:
            self.attempt(workspace.predicting.predict_current)

    def propose_all(self) -> None:
        """Ask for proposals for every image not reviewed."""
        if self.workspace is not None:
            self.attempt(self.workspace.predicting.predict_all)

    def cancel(self) -> None:
        """Stop what is running."""
        if self.workspace is not None:
            self.attempt(self.workspace.predicting.cancel)

    def go_back(self) -> None:
        """Use the model before this one again."""
        if self.workspace is not None and self.workspace.models.previous is not None:
            self.attempt(self.workspace.models.go_back)

    # -- showing --------------------------------------------------------------------------------

    def refresh(self, what: Change) -> None:
        """Show the models, the device and what is running."""
        workspace = self.workspace
        self.setEnabled(workspace is not None)
        if workspace is None:
            self._show_idle()
            return
        # Steps of a run arrive many times a second; the models change only when a run begins or ends.
        run = (workspace.finetuning.state.run_id, workspace.finetuning.state.state)
        # What fits depends on the device, which a change of the settings may be about.
        if what & (Change.MODELS | Change.CATALOG | Change.SETTINGS) or run != self._shown_run:
            self._shown_run = run
            self._show_models(workspace)
        if what & (Change.MODELS | Change.SETTINGS | Change.JOBS):
            self._show_device(workspace)
        self.auto.setChecked(workspace.predicting.auto)
        self._show_busy(workspace)

    def _show_idle(self) -> None:
        self.network.clear()
        self.device.clear()
        self._shown_cards = []
        set_text(self.learnt, "Open a project to choose a network.")
        set_text(self.limit, "")
        for widget in (self.progress, self.doing, self.cancel_button):
            widget.hide()

    def _show_models(self, workspace: Workspace) -> None:
        infos = workspace.models.cards()
        wanted = [(info.card.id, self._title(info), info.section, info.knows_classes) for info in infos]
        if wanted != self._shown_cards:
            self._shown_cards = wanted
            self._fill_networks(infos)
        active = workspace.models.active_info
        self.network.setCurrentIndex(self.network.findData(active.card.id))
        set_text(self.learnt, active.note, "success" if active.knows_classes else "warning")
        set_text(self.limit, active.limit, "warning" if active.usable else "error")
        self._describe(active)
        self.back_button.setEnabled(workspace.models.previous is not None)

    def _fill_networks(self, infos: Sequence[CardInfo]) -> None:
        """Every network under the heading of its section; a heading cannot be chosen."""
        self.network.clear()
        bold = QFont(self.network.font())
        bold.setWeight(QFont.Weight.DemiBold)
        section = None
        for info in infos:
            if info.section != section:
                section = info.section
                self.network.addItem(section)
                heading = self._item(-1)
                heading.setEnabled(False)
                heading.setFont(bold)
            name = "success" if info.knows_classes else "model"
            self.network.addItem(icon(name, "text_muted"), self._title(info), info.card.id)
            self._item(-1).setToolTip("\n".join(part for part in (info.note, info.limit) if part))

    def _item(self, row: int) -> QStandardItem:
        """A row of the list of networks; negative ones count from its end."""
        model = self.network.model()
        assert isinstance(model, QStandardItemModel)
        return model.item(row % self.network.count())

    def _describe(self, info: CardInfo) -> None:
        """Title and description are long, so they are the tooltip of what names the model."""
        words = "\n".join(part for part in (self._title(info), info.card.description) if part)
        self.network.setToolTip(f"{_NETWORK_TIP}\n\n{words}")
        self.learnt.setToolTip(words)

    @staticmethod
    def _title(info: CardInfo) -> str:
        title = info.card.title or info.card.id
        if not info.usable:
            return f"{title} · not usable here"
        if info.knows_classes:
            return f"{title} · trained"
        return f"{title} · other classes" if info.card.trained else f"{title} · untrained"

    def _show_device(self, workspace: Workspace) -> None:
        wanted = workspace.predicting.device
        choices = workspace.predicting.devices()
        shown = [(self.device.itemData(i), self.device.itemText(i)) for i in range(self.device.count())]
        if choices != shown:
            self.device.clear()
            for key, title in choices:
                self.device.addItem(title, key)
        self.device.setCurrentIndex(self.device.findData(wanted))

    def _show_busy(self, workspace: Workspace) -> None:
        busy = workspace.predicting.busy
        fraction, text = running_job(workspace, _VERB)
        self.propose_button.setEnabled(not busy and workspace.current is not None)
        self.propose_button.setText("Proposing…" if busy else "Propose")
        self.all_button.setEnabled(not busy and bool(workspace.images))
        # One takes the place of the other, so that nothing below moves under the pointer.
        self.all_button.setVisible(not busy)
        self.cancel_button.setVisible(busy)
        self.progress.setVisible(busy)
        show_progress(self.progress, fraction if busy else 0.0)
        self.doing.setVisible(busy)
        self.doing.set_full_text("" if not busy else text if fraction is None else f"{text} {percent(fraction)}")
        self.progress.setToolTip(text if busy else "")
        self.progress.setAccessibleDescription(self.progress.toolTip())

    # -- choosing --------------------------------------------------------------------------------

    def _use_chosen(self) -> None:
        workspace = self.workspace
        card_id = self.network.currentData()
        if workspace is None or card_id is None:
            return
        if workspace.models.active.id == card_id:
            return
        if not self.attempt(lambda: workspace.models.use(card_id)):
            self._show_models(workspace)

    def _use_device(self) -> None:
        workspace = self.workspace
        key = self.device.currentData()
        if workspace is not None and key is not None and not self.attempt(lambda: workspace.predicting.set_device(key)):
            self._show_device(workspace)

    def _set_auto(self, checked: bool) -> None:  # noqa: FBT001 - Qt slot
        if self.workspace is not None:
            self.workspace.predicting.set_auto(enabled=checked)
