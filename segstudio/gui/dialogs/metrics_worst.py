"""The images a model is worst at, or that moved most between two models."""

from __future__ import annotations

import math
from enum import Enum
from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QSignalBlocker, Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from segstudio.gui.dialogs.metrics_figures import difference_text, value_text
from segstudio.gui.dialogs.metrics_images import Entry, ImageList
from segstudio.gui.panels.common import EmptyState
from segstudio.gui.panels.model import compact_combo

if TYPE_CHECKING:
    from segstudio.services.evaluating import Comparison
    from segstudio.services.workspace import Workspace

_MOST: Final = 50
_ORDER_PX: Final = 240


class Order(Enum):
    """Which images come first."""

    WORST_A = "Lowest mean IoU of A"
    WORST_B = "Lowest mean IoU of B"
    LOST = "Lost most from A to B"
    GAINED = "Gained most from A to B"


class WorstTab(QWidget):
    """Images in an order of choice; `opened` tells the one clicked."""

    opened = Signal(int)

    def __init__(self, workspace: Workspace, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._comparison: Comparison | None = None
        self.order = compact_combo("Order", "Which images come first")
        self.order.setFixedWidth(_ORDER_PX)
        self.order.currentIndexChanged.connect(lambda _index: self._show())
        self.images = ImageList(workspace.tasks, workspace.report, "Images, the worst first")
        self.images.opened.connect(self.opened)
        self.nothing = EmptyState()
        line = QHBoxLayout()
        line.addWidget(self.order)
        line.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 8, 0, 0)
        column.setSpacing(8)
        column.addLayout(line)
        column.addWidget(self.nothing)
        column.addWidget(self.images, 1)
        column.addStretch(0)

    def show_comparison(self, comparison: Comparison) -> None:
        """Show the images of one evaluation or of two."""
        self._comparison = comparison
        orders = list(Order) if len(comparison.evaluations) > 1 else [Order.WORST_A]
        if [self.order.itemData(i) for i in range(self.order.count())] != orders:
            with QSignalBlocker(self.order):
                self.order.clear()
                for order in orders:
                    self.order.addItem(order.value, order)
        self.order.setVisible(len(orders) > 1)
        self._show()

    def stop(self) -> None:
        """Read no more pictures."""
        self.images.stop()

    def _show(self) -> None:
        if self._comparison is None:
            return
        # Images are known by name to an evaluation; those deleted since are left out.
        items = {item.name: item for item in self._workspace.images}
        entries = [
            Entry(image_id=items[name].id, name=name, path=items[name].path, words=words)
            for name, words in self._ranked(self._comparison)
            if name in items
        ]
        self.nothing.set_words("No image changed." if self.order.count() > 1 else "No image has labelled pixels.")
        self.nothing.setVisible(not entries)
        self.images.setVisible(bool(entries))
        self.images.show_entries(entries)

    def _ranked(self, comparison: Comparison) -> list[tuple[str, str]]:
        """(name, words) of the images, the first first."""
        order = self.order.currentData()
        if order in (Order.LOST, Order.GAINED):
            better, worse = comparison.moved(most=_MOST)
            return [
                (m.name, f"{difference_text(m.difference)} mean IoU: {value_text(m.before)} → {value_text(m.after)}")
                for m in (worse if order is Order.LOST else better)
            ]
        images = comparison.evaluations[1 if order is Order.WORST_B else 0].per_image
        known = sorted((i for i in images if not math.isnan(i.mean_iou)), key=lambda image: image.mean_iou)[:_MOST]
        return [
            (i.name, f"Mean IoU {value_text(i.mean_iou)} · pixel accuracy {value_text(i.pixel_accuracy)}")
            for i in known
        ]
