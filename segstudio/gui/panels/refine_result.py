"""What the last refinement did to the proposal shown: the classes in play, and before beside after."""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QSlider, QWidget

from segstudio.core.catalog import Catalog
from segstudio.core.prediction import Prediction
from segstudio.gui.panels.chips import ClassChips
from segstudio.gui.panels.common import card, key_button, label, set_text

KEY_COMPARE: Final = "S"
_STEPS: Final = 1000
_COMPARE_TIP: Final = (
    "Moves a line across the image: left of it stands the proposal from before, right of it the refined one. "
    "Drag the line on the image itself, hold S to see all of it from before, Shift+S puts the line into the middle. "
    "Accepting takes the refined proposal everywhere, whatever the line shows."
)


class RefineResult(QWidget):
    """Shown while the proposal is one that was refined here.

    `split_chosen` gives the fraction (0 to 1) of the image that is to show before; `take_back_asked` asks for the
    proposal from before.
    """

    split_chosen = Signal(float)
    take_back_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.headline = label("", "section")
        self.chips = ClassChips("Classes in play")
        self.undecided = label("", "muted")
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, _STEPS)
        self.slider.setPageStep(_STEPS // 10)
        self.slider.setSingleStep(_STEPS // 50)
        self.slider.setAccessibleName("Before and after")
        self.slider.setAccessibleDescription(_COMPARE_TIP)
        self.slider.setToolTip(f"Before and after\n{_COMPARE_TIP}")
        self.slider.valueChanged.connect(lambda value: self.split_chosen.emit(value / _STEPS))
        self.take_back_button = key_button(
            "Take back", "undo", "", "Return to the proposal as the network made it", self.take_back_asked.emit, "quiet"
        )
        self._assemble()

    def _assemble(self) -> None:
        outer = QHBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        frame, column = card()
        outer.addWidget(frame)
        for widget in (self.headline, self.chips, self.undecided):
            column.addWidget(widget)
        compare = QHBoxLayout()
        compare.setSpacing(8)
        title = label("Before", "muted", wrap=False)
        title.setBuddy(self.slider)
        title.setToolTip(_COMPARE_TIP)
        compare.addWidget(title)
        compare.addWidget(self.slider, 1)
        compare.addWidget(self.take_back_button)
        column.addLayout(compare)

    def set_split(self, fraction: float) -> None:
        """Show where the line on the image stands."""
        blocked = self.slider.blockSignals(True)
        self.slider.setValue(round(fraction * _STEPS))
        self.slider.blockSignals(blocked)

    def show_result(self, prediction: Prediction | None, catalog: Catalog) -> None:
        """Say what is known about the refinement of a proposal; hidden where there was none."""
        refinement = prediction.refinement if prediction is not None else None
        self.setVisible(refinement is not None)
        if prediction is None or refinement is None:
            return
        total, live = len(prediction.class_ids), len(refinement.live)
        classes = "class" if total == 1 else "classes"
        set_text(self.headline, f"{live} of {total} {classes} in play")
        self.headline.setToolTip("Classes that no pixel wanted were dropped on the way, which saves time.")
        known = [catalog[class_id] for class_id in refinement.live if class_id in catalog]
        self.chips.set_classes([(found.name, found.color) for found in known])
        self.chips.setVisible(bool(known))
        set_text(self.undecided, _undecided(refinement.uniform))


def _undecided(pixels: int) -> str:
    if not pixels:
        return ""
    if pixels == 1:
        return "1 pixel of the prediction was no number and counts as undecided."
    return f"{pixels:,} pixels of the prediction were no numbers and count as undecided."
