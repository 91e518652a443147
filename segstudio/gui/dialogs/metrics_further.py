"""A page for one of the further metrics: its table, or why there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QVBoxLayout, QWidget

from segstudio.gui.dialogs.metrics_figures import figures_of
from segstudio.gui.dialogs.metrics_tables import FigureTable
from segstudio.gui.panels.common import EmptyState, label, set_text

if TYPE_CHECKING:
    from segstudio.services.evaluating import Comparison, Metric


class MetricPage(QWidget):
    """The table of one further metric with its note."""

    def __init__(self, metric: Metric) -> None:
        super().__init__()
        self._metric = metric
        self.note = label("", "muted")
        self.missing = EmptyState()
        self.table = FigureTable(metric.heading)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 8, 0, 0)
        column.setSpacing(8)
        column.addWidget(self.missing)
        column.addWidget(self.note)
        column.addWidget(self.table, 1)
        column.addStretch(0)

    def show_comparison(self, comparison: Comparison) -> bool:
        """Show the metric's figures, or why there are none; False where nobody asked for them."""
        figures = figures_of(self._metric, comparison.evaluations)
        note = next((n for e in comparison.evaluations if (n := e.notes.get(self._metric))), "")
        self.table.setVisible(figures is not None)
        self.missing.setVisible(figures is None)
        set_text(self.note, note if figures is not None else "")
        if figures is not None:
            self.table.show_figures(figures)
        else:
            self.missing.set_words(note)
        return figures is not None or bool(note)
