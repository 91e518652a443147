"""What each action of the table does, in a window with or without a project."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QFileDialog
from shiboken6 import isValid

from segstudio.gui.panels.tool_bar import TOOL_ACTIONS
from segstudio.gui.theme import Mode

if TYPE_CHECKING:
    from collections.abc import Callable

    from segstudio.gui.dialogs.metrics import MetricsDialog
    from segstudio.gui.main_window import MainWindow
    from segstudio.services.annotating import Annotator
    from segstudio.services.workspace import Workspace


class Commands:
    """Binds every row of the table; a command that needs a project does nothing without one."""

    def __init__(self, window: MainWindow) -> None:
        self._window = window
        self._metrics: MetricsDialog | None = None
        self._bind_files()
        self._bind_view()
        self._bind_work()
        self._bind_model()
        missing = window.actions_table.unbound
        if missing:
            message = f"nobody said what these actions do: {', '.join(missing)}"
            raise ValueError(message)

    def _project(self, action_id: str, command: Callable[[Workspace], object]) -> None:
        def run() -> None:
            workspace = self._window.workbench_workspace
            if workspace is not None:
                command(workspace)

        self._window.actions_table.bind(action_id, run)

    def _image(self, action_id: str, command: Callable[[Annotator], object]) -> None:
        def run(workspace: Workspace) -> None:
            if workspace.current is not None:
                self._window.workbench.canvas.cancel_gesture()
                command(workspace.current)

        self._project(action_id, run)

    def _bind_files(self) -> None:
        window, table = self._window, self._window.actions_table
        table.bind("open_folder", self.open_folder)
        table.bind("open_project", self.open_project)
        table.bind("new_project", self.new_project)
        table.bind("open_demo", window.open_demo)
        table.bind("close_project", window.close_project)
        table.bind("quit", window.close)
        self._project("save", lambda w: w.saver.save_now())
        self._project("import_labels", self.import_labels)
        self._project("export", self.export)
        table.bind("tour", window.start_tour)
        table.bind("shortcuts", self.show_shortcuts)
        table.bind("about", self.show_about)

    def _bind_view(self) -> None:
        window, table = self._window, self._window.actions_table
        for action_id, name in (
            ("fit", "fit"),
            ("one_to_one", "actual_size"),
            ("zoom_in", "zoom_in"),
            ("zoom_out", "zoom_out"),
            ("brush_smaller", "shrink_brush"),
            ("brush_larger", "grow_brush"),
            ("compare", "toggle_split"),
        ):
            table.bind(action_id, partial(self._canvas, name))
        table.bind_toggle("outline", self._show_outline)
        table.bind_toggle("overlay", self._show_overlay)
        table.bind_toggle("images_panel", self._show_images)
        table.bind_toggle("side_panel", self._show_side)
        table.bind_toggle("fullscreen", self._show_full)
        table.bind("theme", window.themes.toggle)
        table.bind("theme_system", lambda: window.themes.set_mode(Mode.SYSTEM))

    def _bind_work(self) -> None:
        table = self._window.actions_table
        for name in TOOL_ACTIONS:
            table.bind(name, partial(self._tool, name))
        self._project("undo", self._undo)
        self._image("redo", lambda a: a.redo())
        for name in ("previous_image", "next_image", "next_unfinished"):
            self._project(name, partial(self._step, name))
        self._image("mark_reviewed", lambda _a: self._reviewed())
        table.bind("find_image", self._find)
        self._project("rescan", self._rescan)
        for number in range(10):
            table.bind(f"class_{number}", partial(self._class, number))
        table.bind("add_class", self._add_class)
        table.bind("rename_class", self._rename_class)

    def _bind_model(self) -> None:
        self._project("predict", lambda w: w.predicting.predict_current())
        self._project("predict_all", lambda w: w.predicting.predict_all())
        self._project("refine", self.refine)
        self._image("accept_all", self._accept_all)
        self._image("accept_class", self._accept_class)
        self._image("reject", lambda a: a.reject())
        self._project("train", self.train)
        self._project("stop_training", lambda w: w.finetuning.stop())
        self._project("go_back", self._go_back)
        self._project("models", self.show_models)
        self._project("metrics", self.show_metrics)

    # -- files -----------------------------------------------------------------------------------------------------

    def open_folder(self) -> None:
        """Ask for a folder of images and open it."""
        path = QFileDialog.getExistingDirectory(self._window, "Open a folder of images", str(self._start()))
        if path:
            self._window.open_path(Path(path))

    def open_project(self) -> None:
        """Ask for a project and open it."""
        path = QFileDialog.getExistingDirectory(
            self._window, "Open a project (a .segstudio folder)", str(self._start())
        )
        if path:
            self._window.open_path(Path(path))

    def new_project(self) -> None:
        """Ask for everything a new project needs, then make and open it."""
        from segstudio.gui.dialogs.new_project import NewProjectDialog

        dialog = NewProjectDialog(self._window)
        dialog.ready.connect(self._window.create_project)
        dialog.open()

    def export(self, workspace: Workspace) -> None:
        """Open the export dialog."""
        from segstudio.gui.dialogs.export import ExportDialog

        self._show(ExportDialog(workspace, self._window))

    def import_labels(self, workspace: Workspace) -> None:
        """Open the import dialog."""
        from segstudio.gui.dialogs.import_labels import ImportDialog

        self._show(ImportDialog(workspace, self._window))

    def show_models(self, workspace: Workspace) -> None:
        """Open the list of models."""
        from segstudio.gui.dialogs.models import ModelsDialog

        self._show(ModelsDialog(workspace, self._window))

    def show_metrics(self, workspace: Workspace) -> None:
        """Open the window of figures, or bring it to the front; there is one, which keeps what it shows."""
        from segstudio.gui.dialogs.metrics import MetricsDialog

        if self._metrics is None or not isValid(self._metrics) or self._metrics.workspace is not workspace:
            self._metrics = MetricsDialog(workspace, self._window)
            self._metrics.marks_changed.connect(self._window.workbench.show_marks)
            self._window.workspace_changed.connect(self._metrics.discard)
        self._metrics.show()
        self._metrics.activateWindow()

    def _show(self, dialog: QDialog) -> None:
        """Shows a dialog beside the window, which stays usable; it goes with its project."""
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._window.workspace_changed.connect(dialog.close)
        dialog.show()

    def show_shortcuts(self) -> None:
        """Open the list of keys."""
        from segstudio.gui.dialogs.shortcuts_help import ShortcutsDialog

        ShortcutsDialog(self._window.actions_table.specs, self._window).open()

    def show_about(self) -> None:
        """Open the page about the program."""
        from segstudio.gui.dialogs.about import AboutDialog

        AboutDialog(self._window).open()

    def _start(self) -> Path:
        workspace = self._window.workbench_workspace
        return workspace.project.path.parent if workspace is not None else Path.home()

    # -- work ------------------------------------------------------------------------------------------------------

    def train(self, workspace: Workspace) -> None:
        """Start learning, or say what is missing."""
        self._window.workbench.side.show_section("training")
        if workspace.finetuning.running:
            self._window.messages.show_message("info", "Training is already running.", "Shift+T stops it.")
            return
        readiness, info = workspace.finetuning.readiness(), workspace.models.active_info
        panel = self._window.workbench.side.training
        if not info.usable:
            self._window.messages.show_message("error", f"{info.card.title} cannot run here.", info.limit)
        elif readiness.ready:
            workspace.finetuning.start(minutes=panel.minutes, recipe=panel.recipe)
        else:
            self._window.messages.show_message("info", readiness.reason)

    def refine(self, workspace: Workspace) -> None:
        """Sharpen the proposal with the numbers of the panel."""
        panel = self._window.workbench.side.refine
        workspace.refining.refine_current(panel.params(), panel.engine, exact=panel.exact)

    def _accept_all(self, annotator: Annotator) -> None:
        pixels = annotator.accept_all()
        self._window.messages.show_message(
            "success" if pixels else "info",
            f"{pixels:,} pixels accepted." if pixels else "Nothing of the proposal is left to accept.",
            "Correct what is wrong, then mark the image reviewed (M)." if pixels else "",
        )

    def _accept_class(self, annotator: Annotator) -> None:
        class_id = self._window.workbench.side.classes.current_class()
        pixels = annotator.accept_class(class_id)
        text = f"{pixels:,} pixels accepted." if pixels else "The proposal has nothing open of this class."
        self._window.messages.show_message("success" if pixels else "info", text)

    # The workbench is made with the first project, so these look it up when they are called.

    def _show_outline(self, on: bool) -> None:  # noqa: FBT001 - Qt slot
        self._window.workbench.canvas.set_outline(on)

    def _show_overlay(self, on: bool) -> None:  # noqa: FBT001 - Qt slot
        self._window.workbench.canvas.set_overlay_hidden(not on)

    def _show_images(self, on: bool) -> None:  # noqa: FBT001 - Qt slot
        self._window.workbench.images.setVisible(on)

    def _show_side(self, on: bool) -> None:  # noqa: FBT001 - Qt slot
        self._window.workbench.side.setVisible(on)

    def _show_full(self, on: bool) -> None:  # noqa: FBT001 - Qt slot
        if on:
            self._window.showFullScreen()
        else:
            self._window.showNormal()

    def _canvas(self, name: str) -> None:
        if self._window.workbench_workspace is not None:
            getattr(self._window.workbench.canvas, name)()

    def _tool(self, action_id: str) -> None:
        self._window.workbench.choose_tool(action_id)

    def _class(self, number: int) -> None:
        self._window.workbench.side.classes.choose_by_key(number)

    def _step(self, name: str, workspace: Workspace) -> None:
        self._window.workbench.canvas.cancel_gesture()
        getattr(workspace, name)()

    def _reviewed(self) -> None:
        workspace = self._window.workbench_workspace
        if workspace is not None:
            workspace.mark_reviewed()

    def _find(self) -> None:
        self._window.actions_table["images_panel"].setChecked(True)
        self._window.workbench.images.focus_search()

    def _add_class(self) -> None:
        self._window.workbench.side.show_section("classes")
        self._window.workbench.side.classes.add_class()

    def _rename_class(self) -> None:
        self._window.workbench.side.show_section("classes")
        if not self._window.workbench.side.classes.rename_current():
            self._window.messages.show_message("info", "Ignore keeps its name.", "Choose a class to rename it.")

    def _undo(self, workspace: Workspace) -> None:
        # What is being drawn is the last thing done: it goes first, and alone.
        if not self._window.workbench.canvas.cancel_gesture() and workspace.current is not None:
            workspace.current.undo()

    def _go_back(self, workspace: Workspace) -> None:
        card = workspace.models.go_back()
        if card is None:
            self._window.messages.show_message("info", "There is no model to go back to.")
        else:
            self._window.messages.show_message("success", f"The model in use is {card.title or card.id}.")

    def _rescan(self, workspace: Workspace) -> None:
        before = len(workspace.images)
        workspace.project.rescan()
        workspace.refresh_images()
        found = len(workspace.images) - before
        self._window.messages.show_message("info", f"{found} new images." if found else "No new images.")
