"""What a source holds, before it is imported: matches, classes with what they become, and a picture of the result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QButtonGroup,
    QFrame,
    QHBoxLayout,
    QPlainTextEdit,
    QSizePolicy,
    QSplitter,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from segstudio.core.catalog import IGNORE
from segstudio.gui.dialogs.class_mapping import MappingTable
from segstudio.gui.dialogs.label_preview import LabelPreview
from segstudio.gui.dialogs.transfer import Page
from segstudio.gui.panels.common import EmptyState, key_button, label, set_text
from segstudio.services.importing import MatchBy
from segstudio.services.mapping import ADD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segstudio.services.mapping import ClassMapping
    from segstudio.services.workspace import Workspace

_WAYS: Final = {
    MatchBy.NAME: ("Name", "Classes of the same name, capitals and underscores aside"),
    MatchBy.NUMBER: ("Number", "Classes whose number in the source is the class id here"),
    MatchBy.COLOR: ("Colour", "Classes of exactly the same colour"),
}
_NOT_TOLD: Final = {
    MatchBy.NAME: "This source does not name its classes",
    MatchBy.COLOR: "This source tells no colours",
}
_DETAILS_PX: Final = 96
_SHARES_PX: Final = (560, 320)


class MatchChoice(QFrame):
    """Name, number or colour: one of them is pressed."""

    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "card")
        self.buttons: dict[MatchBy, QToolButton] = {}
        group = QButtonGroup(self)
        line = QHBoxLayout(self)
        line.setContentsMargins(2, 2, 2, 2)
        line.setSpacing(2)
        for way, (title, tip) in _WAYS.items():
            button = QToolButton()
            button.setText(title)
            button.setToolTip(tip)
            button.setAccessibleName(f"Match classes by {title.lower()}")
            button.setCheckable(True)
            button.clicked.connect(lambda _checked=False, way=way: self.chosen.emit(str(way)))
            group.addButton(button)
            line.addWidget(button)
            self.buttons[way] = button

    def show_way(self, way: MatchBy, possible: set[MatchBy]) -> None:
        """Press a way; only the possible ones can be chosen."""
        for other, button in self.buttons.items():
            button.setEnabled(other in possible)
            button.setToolTip(_WAYS[other][1] if other in possible else _NOT_TOLD.get(other, ""))
        self.buttons[way].setChecked(True)


def _shortened(notes: Sequence[str]) -> str:
    """The first note, and how many more there are."""
    more = len(notes) - 1
    return notes[0] + (f" And {more} more." if more > 0 else "") if notes else ""


class ImportReview(QWidget):
    """The lower part of the import dialog; `changed` follows every decision."""

    changed = Signal()

    def __init__(self, workspace: Workspace, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._mapping: ClassMapping | None = None
        self.empty = EmptyState()
        self.nothing = EmptyState("No label that matches an image could be looked into, so there is no class to show.")
        self.match = MatchChoice()
        self.match.chosen.connect(self._match_by)
        self.table = MappingTable()
        self.table.changed.connect(self._decided)
        self.preview = LabelPreview(workspace)
        self.counts = label("", "muted")
        self.details_button = key_button("Show", "chevron_right", "", "", self._show_details, "quiet")
        self.details_button.setCheckable(True)
        self.details_button.setAccessibleName("Show labels that match no image or cannot be read")
        self.problem = label("", "warning")
        self.details = QPlainTextEdit()
        self.details.setReadOnly(True)
        self.details.setTabChangesFocus(True)
        self.details.setAccessibleName("Labels that match no image or cannot be read")
        self.details.setFixedHeight(_DETAILS_PX)
        self.details.hide()
        self.add_rest = key_button(
            "Add the rest as new", "add", "", "Add every undecided class to the project", lambda: self._decide_rest(ADD)
        )
        self.ignore_rest = key_button(
            "Ignore the rest",
            "eye_off",
            "",
            "Leave pixels of every undecided class out",
            lambda: self._decide_rest(IGNORE),
        )
        for button in (self.add_rest, self.ignore_rest, self.details_button):
            button.setAutoDefault(False)
        self._assemble()

    def show_mapping(self, mapping: ClassMapping | None) -> None:
        """Show another mapping; None shows the words of `empty`."""
        self._mapping = mapping
        self.table.show_mapping(mapping)
        self.preview.show_mapping(mapping)
        self.pages.setCurrentIndex(0 if mapping is None else 1)
        self.details_button.setChecked(False)
        if mapping is not None:
            self._show_source(mapping)
        self._show_details()
        self._show_state()

    def refresh(self) -> None:
        """Show what the mapping says now."""
        self.table.refresh()
        self.preview.refresh()
        self._show_state()

    def _assemble(self) -> None:
        head = QHBoxLayout()
        head.setSpacing(8)
        self.match_title = label("Match classes by", "section", wrap=False)
        head.addWidget(self.match_title)
        head.addWidget(self.match)
        head.addStretch(1)
        head.addWidget(self.add_rest)
        head.addWidget(self.ignore_rest)
        self.split = QSplitter(Qt.Orientation.Horizontal)
        self.split.setChildrenCollapsible(False)
        self.split.setHandleWidth(1)
        for place, widget in enumerate((self.table, self.preview)):
            self.split.addWidget(widget)
            self.split.setStretchFactor(place, _SHARES_PX[place])
        self.split.setSizes(list(_SHARES_PX))
        self.table.setMinimumWidth(400)
        self.preview.setMinimumWidth(220)
        matches = QHBoxLayout()
        matches.setSpacing(8)
        matches.addWidget(self.counts, 1)
        matches.addWidget(self.details_button)
        page = Page()
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addLayout(matches)
        column.addWidget(self.problem)
        column.addWidget(self.details)
        column.addLayout(head)
        column.addWidget(self.split, 1)
        column.addWidget(self.nothing, 1)
        self.pages = QStackedWidget()
        self.pages.addWidget(self.empty)
        self.pages.addWidget(page)
        self.pages.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.pages, 1)

    def _show_source(self, mapping: ClassMapping) -> None:
        """What of the source belongs to the project, and in which ways its classes can be matched."""
        seen = mapping.preview
        what = "label matches" if seen.labels == 1 else "labels match"
        self.counts.setText(f"{seen.matched:,} of {seen.labels:,} {what} an image.")
        notes = [*seen.problems, *seen.warnings]
        set_text(self.problem, _shortened(notes))
        lines = [*notes, *(f"No image: {name}" for name in seen.unmatched)]
        self.details.setPlainText("\n".join(lines))
        self.details_button.setVisible(len(lines) > min(len(notes), 1))
        for widget in (self.match, self.match_title, self.split):
            widget.setVisible(bool(seen.classes))
        self.nothing.setVisible(not seen.classes)
        possible = {MatchBy.NUMBER}
        if any(c.name for c in seen.classes):
            possible.add(MatchBy.NAME)
        if any(c.color is not None for c in seen.classes):
            possible.add(MatchBy.COLOR)
        self.match.show_way(mapping.by, possible)

    def _show_details(self) -> None:
        shown = self.details_button.isChecked()
        self.details.setVisible(shown)
        self.details_button.setText("Hide" if shown else "Show which")
        self.details_button.set_icon_name("chevron_down" if shown else "chevron_right")

    def _show_state(self) -> None:
        undecided = self._mapping.undecided if self._mapping is not None else ()
        for button in (self.add_rest, self.ignore_rest):
            button.setVisible(bool(undecided))

    def _match_by(self, way: str) -> None:
        if self._mapping is not None:
            self._mapping.match_by(MatchBy(way))
            self._decided()

    def _decide_rest(self, target: int) -> None:
        if self._mapping is not None:
            self._mapping.choose(target, *(c.number for c in self._mapping.undecided))
            self._decided()

    def _decided(self) -> None:
        self.refresh()
        self.changed.emit()
