"""The page of an open project: image list, canvas with its bars, side column; refreshes each part by change flags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QSplitter, QVBoxLayout, QWidget

from segstudio.core.catalog import IGNORE, Catalog
from segstudio.core.errors import UserError
from segstudio.core.events import Change, ChangeSet
from segstudio.core.geometry import Rect
from segstudio.core.items import Status
from segstudio.core.prediction import NO_OPINION
from segstudio.gui.canvas.guided import GuidedCanvas
from segstudio.gui.canvas.marked import Marks
from segstudio.gui.panels.images import ImagesPanel
from segstudio.gui.panels.tool_bar import ToolBar
from segstudio.gui.panels.view import ViewBar
from segstudio.gui.shares import class_shares
from segstudio.gui.side import SideColumn
from segstudio.gui.tools.registry import create_tools

if TYPE_CHECKING:
    from collections.abc import Callable

    from segstudio.core.settings import Settings
    from segstudio.gui.actions import Actions
    from segstudio.gui.status_bar import StatusBar
    from segstudio.services.workspace import Workspace

_SHARES_DELAY_MS: Final = 300
_SIDE_DELAY_MS: Final = 20
_SIZES_KEY: Final = "splitter_sizes"
_SIZES: Final = (232, 760, 320)
_TOOL_OF_ACTION: Final = {
    "brush": "brush",
    "eraser": "eraser",
    "polygon": "polygon",
    "fill": "fill",
    "pick": "picker",
    "box": "box",
    "accept_brush": "accept",
}


class Workbench(QWidget):
    """Everything a person sees of one project."""

    facts_changed = Signal()
    message = Signal(str, str, str)

    def __init__(self, actions: Actions, status: StatusBar, settings: Settings, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("workbench")
        self._actions = actions
        self._status = status
        self._settings = settings
        self.workspace: Workspace | None = None
        self._disconnect: Callable[[], None] | None = None
        self._known: dict[int, Status] = {}
        self._sized = False
        self._pixel = (-1, -1)
        self._marks: Marks | None = None
        self._shares_timer = QTimer(self, singleShot=True, interval=_SHARES_DELAY_MS)
        self._shares_timer.timeout.connect(self._refresh_shares)
        self._build()
        self._connect()

    def _build(self) -> None:
        self.images = ImagesPanel(self)
        # The order in which they are made is the order of Tab: as one reads.
        self.view_bar = ViewBar(self._actions, self)
        self.tool_bar = ToolBar(self._actions, self)
        self.canvas = GuidedCanvas(self)
        self.canvas.setAccessibleName("Image canvas")
        self.tools = create_tools()
        self.side = SideColumn(self._settings, self)
        self.side.setMinimumWidth(280)
        self.images.setMinimumWidth(168)
        center = QWidget(self)
        column = QVBoxLayout(center)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.view_bar)
        row = QHBoxLayout()
        row.setSpacing(0)
        row.addWidget(self.tool_bar)
        row.addWidget(self.canvas, 1)
        column.addLayout(row, 1)
        self.splitter = QSplitter(Qt.Orientation.Horizontal, self)
        self.splitter.setHandleWidth(1)
        for widget in (self.images, center, self.side):
            self.splitter.addWidget(widget)
        self.splitter.setStretchFactor(1, 1)
        self.splitter.setCollapsible(1, False)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.splitter)

    def _connect(self) -> None:
        self.images.chosen.connect(self._open_image)
        self.side.models_asked.connect(self._actions["models"].trigger)
        self.side.metrics_asked.connect(self._actions["metrics"].trigger)
        self.side.accept_brush_asked.connect(self._actions["accept_brush"].trigger)
        classes = self.side.classes
        classes.class_chosen.connect(self.canvas.set_active_class)
        classes.catalog_edited.connect(self._edit_catalog)
        self.canvas.active_class_picked.connect(classes.set_current_class)
        self.canvas.cursor_moved.connect(self._show_pixel)
        self.canvas.zoom_changed.connect(self._status.set_zoom)
        self.canvas.brush_radius_changed.connect(self.view_bar.set_radius)
        self.canvas.message.connect(lambda text: self.message.emit("info", text, ""))
        self.canvas.box_drawn.connect(self._propose_in)
        self.canvas.split_moved.connect(self.side.show_split)
        self.side.split_chosen.connect(self.canvas.set_split)
        self.side.reach_changed.connect(self.canvas.set_reach)
        self.view_bar.radius_changed.connect(self.canvas.set_brush_radius)
        self.view_bar.opacity_changed.connect(self.canvas.set_opacity)
        self.view_bar.set_radius(self.canvas.brush_radius)
        self.view_bar.set_opacity(self.canvas.opacity)
        self.canvas.set_tool(self.tools["brush"])

    def choose_tool(self, action_id: str) -> None:
        """Work with the tool of an action of the table."""
        self.canvas.cancel_gesture()
        self.canvas.set_tool(self.tools[_TOOL_OF_ACTION[action_id]])
        self._actions[action_id].setChecked(True)
        self.canvas.setFocus()

    def hold(self, action_id: str, *, down: bool) -> None:
        """Show another view of the image as long as an action's key is held."""
        if action_id == "overlay":
            self.canvas.set_overlay_hidden(down or not self._actions[action_id].isChecked())
        else:
            self.canvas.hold_before(held=down)

    def show_marks(self, marks: Marks | None) -> None:
        """Point out pixels of an image, once it is on show where it is still being read; None points out none."""
        self._marks = marks
        document = self.canvas.document
        if marks is None or (document is not None and document.item.id == marks.image_id):
            self._place_marks()

    def _place_marks(self) -> None:
        """Gives the marks that wait to the canvas where they are the image's on show; else they are dropped."""
        document, marks, self._marks = self.canvas.document, self._marks, None
        fits = (
            document is not None
            and marks is not None
            and document.item.id == marks.image_id
            and document.rgb.shape[:2] == marks.pixels.shape
        )
        self.canvas.set_marks(marks if fits else None)

    def set_workspace(self, workspace: Workspace | None) -> None:
        """Show another project, or none."""
        if self._disconnect is not None:
            self._disconnect()
            self._disconnect = None
        self.workspace = workspace
        self.side.set_workspace(workspace)
        self.canvas.set_document(None)
        self.side.classes.set_catalog(workspace.catalog if workspace is not None else Catalog())
        self._show_images()
        if workspace is not None:
            self._disconnect = workspace.changed.connect(self._on_changed)
            self.side.classes.choose_first()
            if workspace.images:
                self.canvas.set_empty_text("Choose an image", "Click one in the list, or press D.")
            else:
                self.canvas.set_empty_text("No images yet", "Put images into the project's folder and press F5.")
        self._show_current()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if not self._sized:
            # Sizes mean something only once the splitter knows its own width.
            self._sized = True
            stored = self._settings.get(_SIZES_KEY, list(_SIZES))
            sides = (stored[0], stored[2]) if len(stored) == len(_SIZES) else (_SIZES[0], _SIZES[2])
            self.splitter.setSizes([sides[0], max(200, self.width() - sum(sides)), sides[1]])

    def remember_layout(self) -> None:
        """Store how wide the columns are."""
        if self._sized and all(self.splitter.sizes()):
            self._settings.set(_SIZES_KEY, self.splitter.sizes())

    def facts(self) -> set[str]:
        """What holds now, for enabling actions."""
        workspace = self.workspace
        if workspace is None:
            return set()
        found = {"project"}
        if workspace.finetuning.running:
            found.add("training")
        annotator = workspace.current
        if annotator is not None:
            found.add("image")
            if annotator.prediction is not None:
                found.add("proposal")
                if annotator.prediction.refinement is not None:
                    found.add("refined")
            if annotator.history.can_undo:
                found.add("can_undo")
            if annotator.history.can_redo:
                found.add("can_redo")
        return found

    # -- what changed ----------------------------------------------------------------------------------------------

    def _on_changed(self, change: ChangeSet) -> None:
        what = change.what
        if what & Change.IMAGES:
            self._show_images()
        if what & Change.CURRENT:
            self._show_current()
        if what & Change.CATALOG:
            self._show_catalog()
        if what & Change.STATUS and change.image_id is not None:
            self._show_item(change.image_id)
        if what & (Change.PIXELS | Change.HISTORY):
            self._shares_timer.start()
        if what & (Change.HISTORY | Change.SAVED | Change.CURRENT):
            self._show_saved()
        if what & Change.JOBS:
            self._show_jobs()
        if what & (Change.CURRENT | Change.HISTORY | Change.PROPOSAL | Change.RUNS | Change.JOBS | Change.IMAGES):
            self.facts_changed.emit()
        if what & (Change.PIXELS | Change.PROPOSAL | Change.CATALOG):
            self._show_pixel(*self._pixel)

    def _show_images(self) -> None:
        items = self.workspace.images if self.workspace is not None else []
        self._known = {item.id: item.status for item in items}
        self.images.set_items(items)
        self._mark_current()

    def _mark_current(self) -> None:
        item = self.workspace.current_item if self.workspace is not None else None
        self.images.set_current(item.id if item is not None else None)
        self.view_bar.title.set_full_text(item.name if item is not None else "")

    def _show_item(self, image_id: int) -> None:
        if self.workspace is None:
            return
        item = self.workspace.item(image_id)
        self.images.update_item(item, before=self._known.get(image_id))
        self._known[image_id] = item.status

    def _show_current(self) -> None:
        workspace = self.workspace
        annotator = workspace.current if workspace is not None else None
        self._mark_current()
        if annotator is not None:
            if self.canvas.document is not annotator:
                self.canvas.set_document(annotator)
                if self._marks is not None:
                    self._place_marks()
            height, width = annotator.rgb.shape[:2]
            self._status.set_picture(width, height)
            self._show_item(annotator.item.id)
        else:
            item = workspace.current_item if workspace is not None else None
            if item is not None and item.problem is not None:
                self.canvas.set_document(None)
                self.canvas.set_empty_text("This image cannot be shown", item.problem)
            self._status.set_picture(None, None)
            if item is None:
                self._status.set_zoom(None)
        if workspace is not None and (annotator is not None or not workspace.images):
            # After the image is drawn: these panels would cost it a third of its start-up time.
            QTimer.singleShot(_SIDE_DELAY_MS, self.side, self.side.complete)
        self._shares_timer.start()
        self._show_saved()
        self.facts_changed.emit()

    def _show_catalog(self) -> None:
        if self.workspace is not None:
            self.side.classes.set_catalog(self.workspace.catalog)
            self.canvas.refresh_colors()
            self.facts_changed.emit()

    def _show_saved(self) -> None:
        workspace = self.workspace
        if workspace is None:
            self._status.set_saved("")
        elif workspace.saver.failing:
            self._status.set_saved("Not saved: the disk refuses")
        elif workspace.current is not None and workspace.current.dirty:
            self._status.set_saved("Saving …")
        else:
            self._status.set_saved("All changes saved")

    def _show_jobs(self) -> None:
        running = self.workspace.jobs.running if self.workspace is not None else []
        self.canvas.set_waiting_box(self.workspace.predicting.box if self.workspace is not None else None)
        self._status.set_job(running[-1] if running else None, more=max(0, len(running) - 1))

    def _refresh_shares(self) -> None:
        annotator = self.workspace.current if self.workspace is not None else None
        self.side.classes.set_shares(class_shares(annotator.map) if annotator is not None else {})

    # -- what a person did -----------------------------------------------------------------------------------------

    def _open_image(self, image_id: int) -> None:
        if self.workspace is not None:
            self.canvas.cancel_gesture()
            self.workspace.open_image(image_id)

    def _propose_in(self, box: Rect) -> None:
        if self.workspace is not None:
            class_id = self.canvas.active_class
            self.workspace.predicting.predict_box(box, None if class_id == IGNORE else class_id)

    def _edit_catalog(self, catalog: Catalog) -> None:
        if self.workspace is None:
            return
        try:
            self.workspace.set_catalog(catalog)
        except UserError as error:
            self.message.emit("error", error.message, error.hint)
            self._show_catalog()

    def _show_pixel(self, column: int, row: int) -> None:
        self._pixel = (column, row)
        annotator = self.canvas.document
        if annotator is None or column < 0:
            self._status.set_pixel(-1, -1, "")
            return
        pixel = Rect(row, column, 1, 1)
        if annotator.map.decided[row, column]:
            text = self._class_name(int(annotator.map.semantic(pixel)[0, 0]))
        elif annotator.prediction is not None and annotator.prediction.labels[row, column] != NO_OPINION:
            label = int(annotator.prediction.labels[row, column])
            sure = int(annotator.prediction.confidence[row, column]) / 255
            text = f"{self._class_name(label)}? {sure:.0%}".replace("%", " %")
        else:
            text = "undecided"
        self._status.set_pixel(column, row, text)

    def _class_name(self, class_id: int) -> str:
        if class_id == IGNORE or self.workspace is None or class_id not in self.workspace.catalog:
            return "ignore"
        return self.workspace.catalog[class_id].name
