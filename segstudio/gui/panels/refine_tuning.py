"""Whether the CRF gains anything on the images reviewed: the button that finds out, and the three figures it found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QGridLayout, QLabel, QVBoxLayout, QWidget

from segstudio.gui.panels.common import card, key_button, label, progress_bar, set_text, show_progress
from segstudio.services.tuning import verdict

if TYPE_CHECKING:
    from segstudio.refine.tuned import Tuned

_TUNE_TIP: Final = (
    "Looks for the numbers that do best on the images you reviewed, 100 at most, and measures whether refining helps "
    "this model at all. Images that the model learnt from are left out where there are others. Takes minutes."
)
_FIGURES: Final = (
    ("before", "Without", "Mean IoU of the network alone"),
    ("with_preset", "Preset", "Mean IoU refined with the numbers that the search started from"),
    ("after", "Tuned", "Mean IoU refined with the numbers that did best"),
)


class RefineTuning(QWidget):
    """Shows how far a tuning is and what the last one for the model in use found."""

    tune_asked = Signal()
    cancel_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.tune_button = key_button("Tune to my labels", "settings", "", _TUNE_TIP, self.tune_asked.emit)
        self.cancel_button = key_button("Stop tuning", "cancel", "", "Keep what is known", self.cancel_asked.emit)
        self.progress = progress_bar("Progress of the tuning")
        self.state = label("", "muted")
        self.figures: dict[str, QLabel] = {}
        self.sentence, self.hint = label(""), label("", "muted")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        for widget in (self.tune_button, self.progress, self.state, self.cancel_button):
            column.addWidget(widget)
        self.card, inside = card()
        inside.addLayout(self._figure_row())
        inside.addWidget(self.sentence)
        inside.addWidget(self.hint)
        column.addWidget(self.card)

    def _figure_row(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(0)
        for column, (name, title, tip) in enumerate(_FIGURES):
            self.figures[name] = label("", wrap=False)
            for row, widget in enumerate((label(title, "muted", wrap=False), self.figures[name])):
                widget.setToolTip(tip)
                grid.addWidget(widget, row, column, Qt.AlignmentFlag.AlignLeft)
            grid.setColumnStretch(column, 1)
        return grid

    def show_state(self, tuned: Tuned | None, running: tuple[float | None, str] | None) -> None:
        """Show what is known, and how far a tuning is: its fraction and words, or None where none goes on."""
        busy = running is not None
        fraction, text = running or (0.0, "")
        self.tune_button.setVisible(not busy)
        self.progress.setVisible(busy)
        self.cancel_button.setVisible(busy)
        show_progress(self.progress, fraction)
        set_text(self.state, text)
        self.card.setVisible(tuned is not None and not busy)
        if tuned is not None:
            self._show_figures(tuned)

    def _show_figures(self, tuned: Tuned) -> None:
        scores = {name: getattr(tuned, name).mean_iou for name, *_ in _FIGURES}
        best = max(scores.values())
        for name, _title, tip in _FIGURES:
            set_text(self.figures[name], f"{scores[name]:.3f}", "value" if scores[name] == best else "")
            self.figures[name].setAccessibleName(f"{tip}: {scores[name]:.3f}")
        text, hint = verdict(tuned)
        set_text(self.sentence, text, "" if tuned.helps else "warning")
        images = "1 image" if tuned.checked == 1 else f"{tuned.checked} images"
        set_text(self.hint, f"Measured on {images} after {tuned.trials} trials. {hint}".strip())
