"""A line for something that takes a while: words, a thin bar, and a button that stops it."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from segstudio.gui.panels.common import ElidedLabel, key_button, percent, progress_bar, show_progress


class BusyLine(QWidget):
    """Hidden until `show_state`; `Cancel` calls what it was given."""

    def __init__(self, name: str, cancel: Callable[[], object], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.words = ElidedLabel()
        self.words.setProperty("role", "muted")
        self.bar = progress_bar(name)
        self.cancel_button = key_button("Cancel", "cancel", "", f"Stop: {name.lower()}", cancel)
        self.cancel_button.setAutoDefault(False)
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(12)
        column = QVBoxLayout()
        column.setSpacing(6)
        column.addStretch(1)
        column.addWidget(self.words)
        column.addWidget(self.bar)
        column.addStretch(1)
        line.addLayout(column, 1)
        line.addWidget(self.cancel_button)
        self.hide()

    def show_state(self, fraction: float | None, words: str) -> None:
        """Show how far it is: a fraction 0..1, or motion where it is None."""
        self.words.set_full_text(words if fraction is None else f"{words} {percent(fraction)}")
        show_progress(self.bar, fraction)
        self.show()
