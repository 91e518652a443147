"""The confusion matrix with the images behind its cells."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QSplitter, QVBoxLayout, QWidget

from segstudio.gui.canvas.marked import Marks
from segstudio.gui.dialogs.metrics_images import Entry, ImageList
from segstudio.gui.panels.common import ElidedLabel, EmptyState, label, set_text
from segstudio.gui.panels.heat_map import HeatMap
from segstudio.gui.panels.heat_scale import HeatLegend, Scale
from segstudio.gui.panels.model import compact_combo

if TYPE_CHECKING:
    from segstudio.services.evaluating import Evaluation
    from segstudio.services.workspace import Workspace

_MAP_SHARE: Final = 3
_IMAGES_SHARE: Final = 2
_NARROWEST_PX: Final = 220
_SCALE_PX: Final = 260
_HINT: Final = "Choose a cell to see the images with the most such pixels."


class ConfusionTab(QWidget):
    """The heat map, and beside it the images with most pixels of the cell chosen.

    `marks_asked` tells the pixels of an image that was clicked, once they are read.
    """

    opened = Signal(int)
    marks_asked = Signal(object)
    failed = Signal(object)

    def __init__(self, workspace: Workspace, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._results: tuple[Evaluation, ...] = ()
        self._asked = 0
        self._make()
        self._assemble()

    def _make(self) -> None:
        self.which = compact_combo("Model", "Whose confusion matrix this is")
        self.which.currentIndexChanged.connect(lambda _index: self._show_matrix())
        self.scale: QComboBox = compact_combo("Cells", "What the cells tell")
        for scale in Scale:
            self.scale.addItem(scale.heading, scale)
        self.scale.setMaximumWidth(_SCALE_PX)
        self.scale.currentIndexChanged.connect(lambda _index: self._show_scale())
        self.map = HeatMap()
        self.map.chosen.connect(self._show_cell)
        self.legend = HeatLegend()
        self.said = ElidedLabel()  # always one line high, so that the map stays still under the pointer
        self.said.setProperty("role", "muted")
        self.said.setAccessibleName("The cell pointed at")
        self.map.said.connect(self.said.set_full_text)
        self.cell_title = label("", "section")
        self.images = ImageList(self._workspace.tasks, self._workspace.report, "Images with such pixels")
        self.images.opened.connect(self._open)
        self.nothing = EmptyState(_HINT)

    def _assemble(self) -> None:
        chart = QWidget()
        column = QVBoxLayout(chart)
        column.setContentsMargins(0, 8, 8, 0)
        column.setSpacing(8)
        line = QHBoxLayout()
        line.setSpacing(8)
        line.addWidget(self.which, 3)
        line.addWidget(self.scale, 2)
        line.addStretch(1)
        column.addLayout(line)
        column.addWidget(self.map, 1)
        column.addWidget(self.said)
        column.addWidget(self.legend)
        found = QWidget()
        side = QVBoxLayout(found)
        side.setContentsMargins(8, 8, 0, 0)
        side.setSpacing(4)
        for widget in (self.cell_title, self.nothing):
            side.addWidget(widget)
        side.addSpacing(4)
        side.addWidget(self.images, 1)
        side.addStretch(0)
        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        self.splitter.setHandleWidth(1)
        self.splitter.setChildrenCollapsible(False)
        for part, share in ((chart, _MAP_SHARE), (found, _IMAGES_SHARE)):
            self.splitter.addWidget(part)
            self.splitter.setStretchFactor(self.splitter.count() - 1, share)
        found.setMinimumWidth(_NARROWEST_PX)
        self.splitter.setSizes([_MAP_SHARE * _NARROWEST_PX, _IMAGES_SHARE * _NARROWEST_PX])
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.splitter)

    def show_results(self, results: tuple[Evaluation, ...]) -> None:
        """Show other evaluations; a cell chosen stays so where the classes are the same."""
        self._results = results
        with QSignalBlocker(self.which):
            place = max(self.which.currentIndex(), 0)
            self.which.clear()
            for letter, result in zip("AB", results, strict=False):
                self.which.addItem(f"{letter}: {result.title}" if len(results) > 1 else result.title)
            self.which.setCurrentIndex(min(place, len(results) - 1))
        self.which.setVisible(len(results) > 1)
        self._show_matrix()

    @property
    def _place(self) -> int:
        """Which of the results is on show."""
        return max(self.which.currentIndex(), 0)

    def stop(self) -> None:
        """Read no more pictures."""
        self._asked += 1
        self.images.stop()

    def _show_matrix(self) -> None:
        if not self._results:
            return
        result = self._results[self._place]
        self.map.set_matrix(
            result.matrix.matrix, totals=result.summary.true_pixels, names=result.class_names, colors=result.colors
        )
        self._show_scale()
        cell = self.map.chosen_cell
        if cell is not None:
            self._show_cell(*cell)
        else:
            self._show_images([], "", _HINT)

    def _show_scale(self) -> None:
        scale = Scale(self.scale.currentData())
        self.map.set_scale(scale)
        self.legend.set_scale(scale, self.map.most)

    def _show_cell(self, row: int, column: int) -> None:
        result, place = self._results[self._place], self._place
        true_id, predicted_id = result.class_ids[row], result.class_ids[column]
        found = self._workspace.evaluating.images_with(true_id, predicted_id, result=place)
        paths = {item.id: item.path for item in self._workspace.images}
        load = self._workspace.evaluating.confused
        entries = [
            Entry(
                image_id=image.image_id,
                name=image.name,
                path=paths[image.image_id],
                words=_pixels_text(image.pixels),
                marks=partial(load, image.image_id, true_id, predicted_id, result=place),
            )
            for image in found
            if image.image_id in paths
        ]
        name = result.class_names[row]
        title = f"{name}, found" if row == column else f"{name} → {result.class_names[column]}"
        self._show_images(entries, title, "No image holds such pixels.")

    def _show_images(self, entries: list[Entry], title: str, nothing: str) -> None:
        set_text(self.cell_title, title)
        self.nothing.set_words(nothing)
        self.nothing.setVisible(not entries)
        self.images.setVisible(bool(entries))
        self.images.show_entries(entries)

    def _open(self, image_id: int) -> None:
        """Opens an image and, once they are read, tells its pixels of the cell; a later click wins."""
        entry = next(e for e in self.images.entries if e.image_id == image_id)
        self._asked += 1
        asked, words = self._asked, f"{self.cell_title.text()}: {entry.words}"
        self.opened.emit(image_id)
        load = entry.marks
        assert load is not None

        def arrived(pixels: object) -> None:
            if asked == self._asked and pixels is not None:
                self.marks_asked.emit(Marks(image_id, pixels, words))  # type: ignore[arg-type]

        def failed(error: BaseException) -> None:
            if asked == self._asked:
                self.failed.emit(error)

        self._workspace.tasks.run(lambda _token: load(), arrived, failed)


def _pixels_text(pixels: int) -> str:
    return "1 pixel" if pixels == 1 else f"{pixels:,} pixels"
