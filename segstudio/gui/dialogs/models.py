"""The model chooser: search, read where a model comes from and what it needs, measure, import, use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from PySide6.QtWidgets import QDialog, QFileDialog, QHBoxLayout, QVBoxLayout, QWidget

from segstudio.core.errors import UserError
from segstudio.core.events import Change, ChangeSet
from segstudio.gui.dialogs.busy import BusyLine
from segstudio.gui.dialogs.model_detail import ModelDetail
from segstudio.gui.dialogs.model_list import ModelList
from segstudio.gui.panels.common import InlineError, key_button, running_job

if TYPE_CHECKING:
    from segstudio.services.checkpoints import ImportedCard
    from segstudio.services.models import CardInfo
    from segstudio.services.workspace import Workspace

_SMALLEST: Final = (760, 480)
_SIZE: Final = (920, 640)
_LIST_PX: Final = 300


class ModelsDialog(QDialog):
    """Every card with its text; "Use" makes it the network of the project."""

    def __init__(self, workspace: Workspace, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Models")
        self.setModal(False)
        self.setMinimumSize(*_SMALLEST)
        self.resize(*_SIZE)
        self._workspace = workspace
        self._infos: dict[str, CardInfo] = {}
        self._imported: ImportedCard | None = None
        self._closed = False
        self._make()
        self._assemble()
        self._disconnect = workspace.changed.connect(self._on_changed)
        self.load()
        self._show_jobs()
        # Speeds and memory are those of a device, and only the engine knows the devices.
        workspace.predicting.learn_devices()

    def _make(self) -> None:
        self.list = ModelList()
        self.list.chosen.connect(self._show_card)
        self.list.activated.connect(self.use)
        self.detail = ModelDetail()
        self.detail.speed.measure_asked.connect(self.measure)
        self.detail.speed.cancel_asked.connect(self._workspace.speeds.cancel)
        self.error = InlineError()
        self.importing = BusyLine("Importing a checkpoint", self._workspace.checkpoints.cancel)
        self.import_button = key_button(
            "Import checkpoint…", "import", "", "Make a model of another project's checkpoint", self.choose_file
        )
        self.use_button = key_button(
            "Use this model", "model", "", "Propose and learn with this model", self.use, "primary"
        )
        self.close_button = key_button("Close", "close", "", "Closes this window (Esc)", self.reject)
        for button in (self.import_button, self.use_button, self.close_button):
            button.setAutoDefault(False)

    def _assemble(self) -> None:
        both = QHBoxLayout()
        both.setSpacing(16)
        self.list.setMinimumWidth(_LIST_PX)
        both.addWidget(self.list, 2)
        both.addWidget(self.detail, 3)
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        buttons.addWidget(self.import_button)
        buttons.addWidget(self.importing, 2)
        buttons.addStretch(1)
        buttons.addWidget(self.close_button)
        buttons.addWidget(self.use_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 16, 16, 16)
        column.setSpacing(12)
        column.addLayout(both, 1)
        column.addWidget(self.error)
        column.addLayout(buttons)

    def load(self) -> None:
        """Read the cards again, keeping the one chosen."""
        active = self._workspace.models.active.id
        infos = self._workspace.models.cards()
        self._infos = {info.card.id: info for info in infos}
        self.list.show_infos(infos, active, self.list.chosen_id or active)

    def use(self) -> None:
        """Make the chosen card the network in use."""
        info = self._chosen()
        self.error.clear()
        if info is not None and self.use_button.isEnabled():
            self._attempt_use(info)

    def measure(self) -> None:
        """Measure how fast the chosen card is on the device in use."""
        info = self._chosen()
        self.error.clear()
        if info is None:
            return
        try:
            self._workspace.speeds.measure(info.card, on_error=self._failed)
        except UserError as error:
            self._failed(error)

    def choose_file(self) -> None:
        """Ask for a checkpoint file and import it."""
        patterns = " ".join(self._workspace.checkpoints.patterns)
        chosen, _ = QFileDialog.getOpenFileName(
            self, "Import a checkpoint", str(Path.home()), f"Checkpoints ({patterns});;All files (*)"
        )
        if chosen:
            self.import_file(Path(chosen))

    def import_file(self, file: Path) -> None:
        """Make a model of a checkpoint file."""
        self.error.clear()
        self._imported = None
        try:
            self._workspace.checkpoints.import_file(file, on_done=self._arrived, on_error=self._failed)
        except UserError as error:
            self._failed(error)

    def _attempt_use(self, info: CardInfo) -> None:
        try:
            self._workspace.models.use(info.card.id)
        except UserError as error:
            self._failed(error)

    def _arrived(self, imported: ImportedCard) -> None:
        if self._closed:
            return
        self._imported = imported
        self.list.search.clear()
        self.load()
        self.list.choose(imported.card_id)

    def _failed(self, error: UserError) -> None:
        if self._closed:
            self._workspace.report(error)
        else:
            self.error.show_text(str(error))

    def _chosen(self) -> CardInfo | None:
        chosen = self.list.chosen_id
        return self._infos.get(chosen) if chosen is not None else None

    def _show_card(self) -> None:
        info = self._chosen()
        in_use = info is not None and info.card.id == self._workspace.models.active.id
        self.use_button.setEnabled(info is not None and info.usable and not in_use)
        self.use_button.setText("In use" if in_use else "Use this model")
        imported = self._imported
        said = imported is not None and info is not None and imported.card_id == info.card.id
        self.detail.show_info(info, " ".join(imported.sentences) if imported is not None and said else "")
        self._show_speed()

    def _show_speed(self) -> None:
        info = self._chosen()
        if info is None:
            return
        speeds, field = self._workspace.speeds, self.detail.speed
        if speeds.measuring == info.card.id:
            field.show_measuring(*running_job(self._workspace, "Measuring"))
        else:
            speed = speeds.known(info.card)
            field.show_speed(speed.sentence if speed is not None else "")

    def _show_jobs(self) -> None:
        busy = self._workspace.checkpoints.busy
        self.import_button.setVisible(not busy)
        if busy:
            self.importing.show_state(*running_job(self._workspace, "Importing"))
        else:
            self.importing.hide()
        self._show_speed()

    def _on_changed(self, change: ChangeSet) -> None:
        if change.what & (Change.MODELS | Change.CATALOG | Change.SETTINGS):
            self.load()
        elif change.what & Change.JOBS:
            self._show_jobs()

    def done(self, result: int) -> None:
        self._closed = True
        self._disconnect()
        super().done(result)
