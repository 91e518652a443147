"""The dialog of all models: search, read where a model comes from, use it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import (
    QDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from segstudio.core.errors import UserError
from segstudio.core.events import Change, ChangeSet
from segstudio.gui.icons import icon
from segstudio.gui.panels.common import ICON_PX, EmptyState, InlineError, key_button, label, set_text

if TYPE_CHECKING:
    from segstudio.services.models import CardInfo
    from segstudio.services.workspace import Workspace

_ID_ROLE: Final = Qt.ItemDataRole.UserRole
FACTS: Final = ("Status", "Paper", "Reported", "Parameters", "Classes", "Measured here", "Licence", "Family")


def _measured(name: str, value: float) -> str:
    """One score as a person reads it: "mean IoU 0.989", "17,550 pixels"."""
    if name == "pixels":
        return f"{value:,.0f} pixels"
    return f"{'mean IoU' if name == 'miou' else name.replace('_', ' ')} {value:.3f}"


def facts(info: CardInfo) -> dict[str, str]:
    """What a card says, by the names in FACTS; empty where it says nothing."""
    card = info.card
    classes = ", ".join(card.classes[:8]) + (f" and {len(card.classes) - 8} more" if len(card.classes) > 8 else "")
    parameters = f"{card.parameters / 1e6:.1f} million" if card.parameters else ""
    metrics = ", ".join(_measured(name, value) for name, value in card.metrics.items())
    values = (info.note, card.paper, card.merit, parameters, classes or "any", metrics, card.license, card.family)
    return dict(zip(FACTS, values, strict=True))


class ModelsDialog(QDialog):
    """Every card with its text; "Use" makes it the network of the project."""

    def __init__(self, workspace: Workspace, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Models")
        self.setModal(False)
        self.resize(760, 480)
        self._workspace = workspace
        self._infos: dict[str, CardInfo] = {}
        self._make()
        self._assemble()
        self._disconnect = workspace.changed.connect(self._on_changed)
        self.load()
        self._select(workspace.models.active.id)

    def _make(self) -> None:
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search by name, paper or class")
        self.search.setAccessibleName("Search models")
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(lambda _text: self._filter())
        self.cards = QListWidget()
        self.cards.setAccessibleName("Models")
        self.cards.setIconSize(QSize(ICON_PX, ICON_PX))
        self.cards.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.cards.currentItemChanged.connect(lambda _now, _before: self._show_card())
        self.cards.itemActivated.connect(lambda _item: self.use())
        self.nothing = EmptyState("No model matches. Try fewer letters.")
        self.nothing.hide()
        self.title = label("", "heading")
        self.text = label("")
        self.values = {name: label("") for name in FACTS}
        for value in self.values.values():
            value.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.error = InlineError()
        self.use_button = key_button(
            "Use this model", "model", "", "Propose and learn with this model", self.use, "primary"
        )
        self.close_button = key_button("Close", "close", "", "Closes this window (Esc)", self.reject)
        self.close_button.setAutoDefault(False)

    def _assemble(self) -> None:
        left = QVBoxLayout()
        for widget in (self.search, self.cards, self.nothing):
            left.addWidget(widget)
        detail = QWidget()
        detail.setObjectName("scroll")
        inside = QVBoxLayout(detail)
        inside.setContentsMargins(8, 0, 8, 0)
        inside.setSpacing(12)
        inside.addWidget(self.title)
        inside.addWidget(self.text)
        self.form = QFormLayout()
        self.form.setHorizontalSpacing(16)
        for name in FACTS:
            self.form.addRow(label(name, "muted", wrap=False), self.values[name])
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        inside.addLayout(self.form)
        inside.addStretch(1)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setWidget(detail)
        area.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        buttons = QHBoxLayout()
        buttons.addWidget(self.error, 1)
        buttons.addStretch(1)
        buttons.addWidget(self.close_button)
        buttons.addWidget(self.use_button)
        both = QHBoxLayout()
        both.setSpacing(16)
        both.addLayout(left, 2)
        both.addWidget(area, 3)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 16, 16, 16)
        column.setSpacing(12)
        column.addLayout(both, 1)
        column.addLayout(buttons)

    def load(self) -> None:
        """Read the cards again, keeping the one chosen."""
        chosen = self._chosen_id()
        active = self._workspace.models.active.id
        self._infos = {info.card.id: info for info in self._workspace.models.cards()}
        blocked = self.cards.blockSignals(True)
        self.cards.clear()
        for card_id, info in self._infos.items():
            words = (info.card.title or card_id) + (" · in use" if card_id == active else "")
            item = QListWidgetItem(icon("success" if info.knows_classes else "model", "text_muted"), words)
            item.setData(_ID_ROLE, card_id)
            item.setToolTip(info.note)
            self.cards.addItem(item)
        self.cards.blockSignals(blocked)
        self._select(chosen or active)
        self._filter()

    def use(self) -> None:
        """Make the chosen card the network in use."""
        chosen = self._chosen_id()
        self.error.clear()
        if chosen is None or not self.use_button.isEnabled():
            return
        try:
            self._workspace.models.use(chosen)
        except UserError as error:
            self.error.show_text(str(error))

    def _filter(self) -> None:
        words = self.search.text().casefold().split()
        first: QListWidgetItem | None = None
        for index in range(self.cards.count()):
            item = self.cards.item(index)
            info = self._infos[item.data(_ID_ROLE)]
            text = " ".join([info.card.id, info.card.title, info.card.description, *facts(info).values()]).casefold()
            item.setHidden(not all(word in text for word in words))
            if first is None and not item.isHidden():
                first = item
        self.nothing.setVisible(first is None)
        self.cards.setVisible(first is not None)
        current = self.cards.currentItem()
        if first is not None and (current is None or current.isHidden()):
            self.cards.setCurrentItem(first)
        self._show_card()

    def _show_card(self) -> None:
        chosen = self._chosen_id()
        info = self._infos.get(chosen) if chosen is not None else None
        hidden = info is None or self.cards.isHidden()
        self.use_button.setEnabled(
            not hidden and info is not None and info.usable and chosen != self._workspace.models.active.id
        )
        if info is None or hidden:
            for part in (self.title, self.text):
                set_text(part, "")
            values = dict.fromkeys(FACTS, "")
        else:
            set_text(self.title, info.card.title or info.card.id)
            set_text(self.text, info.card.description)
            values = facts(info)
        for name, value in values.items():
            self.values[name].setText(value)
            self.form.setRowVisible(self.values[name], bool(value))

    def _chosen_id(self) -> str | None:
        item = self.cards.currentItem()
        return str(item.data(_ID_ROLE)) if item is not None else None

    def _select(self, card_id: str) -> None:
        for index in range(self.cards.count()):
            if self.cards.item(index).data(_ID_ROLE) == card_id:
                self.cards.setCurrentRow(index)
        self._show_card()

    def _on_changed(self, change: ChangeSet) -> None:
        if change.what & (Change.MODELS | Change.CATALOG):
            self.load()

    def done(self, result: int) -> None:
        self._disconnect()
        super().done(result)
