"""What to evaluate: one model or two, on which images, and which figures besides the usual ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import QCheckBox, QComboBox, QGridLayout, QMenu, QPushButton, QVBoxLayout, QWidget, QWidgetAction

from segstudio.core.items import Split
from segstudio.core.metrics import AbsentClasses
from segstudio.gui.panels.common import key_button, label, set_role
from segstudio.gui.panels.model import compact_combo
from segstudio.services.evaluating import Metric

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segstudio.services.models import CardInfo

ALL_IMAGES: Final = "all"
SPLITS: Final = (
    ("Validation images", Split.VALIDATION.value),
    ("Training images", Split.TRAIN.value),
    ("All images", ALL_IMAGES),
)
_METRIC_HELP: Final = {
    Metric.BOUNDARY: "How well borders are met, by class",
    Metric.TRIMAP: "Mean IoU on narrow bands along true borders",
    Metric.PANOPTIC: "Quality of single objects and of stuff together",
    Metric.COCO: "COCO's twelve figures of single objects",
    Metric.CITYSCAPES: "The benchmark's classes and categories; needs its class names",
    Metric.EM: "Errors of cells in electron microscopy; needs a membrane class",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """What a person wants to be evaluated.

    Attributes:
        models: Card ids, the one that the other is compared with first; the model in use by its id.
        split: "validation", "train" or "all".
        metrics: Figures besides those of the confusion matrix.
    """

    models: tuple[str, ...]
    split: str
    metrics: frozenset[Metric]


class MetricsChoice(QWidget):
    """The fields at the top of the window; `changed` follows every choice, `absent_changed` that of the convention.

    The field of the convention, `absent`, goes where the means are that depend on it.
    """

    changed = Signal()
    absent_changed = Signal()
    asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._active = ""
        self._make()
        self._assemble()

    def _make(self) -> None:
        self.first = compact_combo("Model", "The model to evaluate")
        self.second = compact_combo("Compare with", "A second model on the same images, side by side")
        self.split = compact_combo("Images", "Which of the images with labels count")
        for title, value in SPLITS:
            self.split.addItem(title, value)
        for combo in (self.first, self.second, self.split):
            combo.currentIndexChanged.connect(lambda _index: self.changed.emit())
        self.absent = compact_combo("Absent classes", "")
        for convention in AbsentClasses:
            self.absent.addItem(convention.sentence, convention)
        self.absent.currentIndexChanged.connect(lambda _index: self._absent_chosen())
        self._show_absent()
        self.boxes = {metric: self._box(metric) for metric in Metric}
        self.further = QPushButton()
        self.further.setAutoDefault(False)
        self.further.setAccessibleName("Further figures")
        self.further.setMenu(self._menu())
        self.button = key_button(
            "Evaluate", "play", "", "Let the models label these images and compare with your labels", self.asked.emit,
            "primary",
        )  # fmt: skip
        self.button.setAutoDefault(False)
        self._show_further()

    def _box(self, metric: Metric) -> QCheckBox:
        box = QCheckBox(metric.heading)
        box.setToolTip(_METRIC_HELP[metric])
        box.toggled.connect(lambda _on: self._further_chosen())
        return box

    def _menu(self) -> QMenu:
        """A menu that stays open while boxes are ticked."""
        menu, page = QMenu(self), QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(8, 6, 8, 6)
        column.setSpacing(8)
        for box in self.boxes.values():
            column.addWidget(box)
        action = QWidgetAction(menu)
        action.setDefaultWidget(page)
        menu.addAction(action)
        return menu

    def _assemble(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(4)
        fields = ("Model", self.first), ("Compare with", self.second), ("Images", self.split)
        for column, (title, field) in enumerate((*fields, ("Further figures", self.further))):
            heading = label(title, "muted", wrap=False)
            heading.setBuddy(field)
            grid.addWidget(heading, 0, column)
            grid.addWidget(field, 1, column)
            grid.setColumnStretch(column, 3 if field in (self.first, self.second) else 2)
        grid.addWidget(self.button, 1, 4)

    def show_models(self, infos: Sequence[CardInfo], active: str) -> None:
        """Offer models, the one in use first; what was chosen stays chosen where it is still there."""
        self._active = active
        offered = [i for i in infos if i.usable and (i.knows_classes or i.card.trained or i.card.id == active)]
        titles = [(i.card.title or i.card.id, i.card.id, i.note) for i in offered]
        in_use = next((title for title, card_id, _note in titles if card_id == active), active)
        _fill(self.first, [(f"In use: {in_use}", "", ""), *titles])
        _fill(self.second, [("Nothing", "", ""), *titles])

    def choice(self) -> Choice:
        """What is chosen now."""
        first = str(self.first.currentData() or self._active)
        second = str(self.second.currentData() or "")
        models = (first, second) if second and second != first else (first,)
        wanted = frozenset(metric for metric, box in self.boxes.items() if box.isChecked())
        return Choice(models, str(self.split.currentData()), wanted)

    @property
    def convention(self) -> AbsentClasses:
        """How classes without true pixels enter means."""
        return AbsentClasses(self.absent.currentData())

    def show_busy(self, *, busy: bool, ready: bool) -> None:
        """Let nothing be chosen while models are evaluated; `ready` says whether they could be."""
        for field in (self.first, self.second, self.split, self.further):
            field.setEnabled(not busy)
        self.button.setEnabled(ready and not busy)

    def show_stale(self, *, stale: bool) -> None:
        """Ask for another evaluation in plain sight, or rest."""
        self.button.setText("Evaluate again" if stale else "Evaluate")
        set_role(self.button, "primary")

    def _absent_chosen(self) -> None:
        self._show_absent()
        self.absent_changed.emit()

    def _show_absent(self) -> None:
        self.absent.setToolTip(f"How classes without true pixels enter the means\n{self.convention.sentence}")

    def _further_chosen(self) -> None:
        self._show_further()
        self.changed.emit()

    def _show_further(self) -> None:
        chosen = [metric.heading for metric, box in self.boxes.items() if box.isChecked()]
        self.further.setText("None" if not chosen else chosen[0] if len(chosen) == 1 else f"{len(chosen)} chosen")
        self.further.setToolTip("\n".join(("Figures that take longer", *chosen)))


def _fill(combo: QComboBox, rows: Sequence[tuple[str, str, str]]) -> None:
    """Other entries (text, data, tooltip) for a combo box, without a word where the choice stays the same."""
    shown = [(combo.itemText(i), combo.itemData(i)) for i in range(combo.count())]
    if shown == [row[:2] for row in rows]:
        return
    chosen = combo.currentData()
    with QSignalBlocker(combo):
        combo.clear()
        for text, data, tip in rows:
            combo.addItem(text, data)
            combo.setItemData(combo.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        combo.setCurrentIndex(max(0, combo.findData(chosen)))
