"""The window: assembles welcome page, workbench, menus, message bar and status bar, and opens projects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QByteArray, QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QCursor, QDragEnterEvent, QDropEvent, QGuiApplication, QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QMainWindow, QStackedWidget, QWidget

from segstudio.core.errors import UserError
from segstudio.gui.actions import Actions
from segstudio.gui.errors import ErrorBoundary
from segstudio.gui.message_bar import MessageBar
from segstudio.gui.shortcuts import native, typing_now
from segstudio.gui.status_bar import StatusBar
from segstudio.gui.thumbnails import save_thumbnail
from segstudio.gui.welcome import WelcomePage
from segstudio.gui.wordmark import app_icon

if TYPE_CHECKING:
    from collections.abc import Callable

    from segstudio.core.catalog import Catalog
    from segstudio.core.settings import Settings
    from segstudio.gui.bridge import Dispatcher
    from segstudio.gui.opening import Opener
    from segstudio.gui.theme import ThemeManager
    from segstudio.gui.tour import Tour
    from segstudio.gui.workbench import Workbench
    from segstudio.services.engines import EngineStatus
    from segstudio.services.messages import Message
    from segstudio.services.workspace import Workspace

_GEOMETRY_KEY: Final = "window_geometry"
_TOUR_KEY: Final = "tour_seen"
_TOUR_DELAY_MS: Final = 12_000
_SIZE: Final = (1280, 800)
_SMALLEST: Final = (960, 600)
_MESSAGE_WIDTH_PX: Final = 720


class MainWindow(QMainWindow):
    """One window with at most one project."""

    workspace_changed = Signal()

    def __init__(self, *, opener: Opener, dispatcher: Dispatcher, settings: Settings, themes: ThemeManager) -> None:
        super().__init__()
        self.settings = settings
        self.themes = themes
        self._opener = opener
        self._dispatcher = dispatcher
        self._workspace: Workspace | None = None
        self._workbench: Workbench | None = None
        self._disconnects: list[Callable[[], None]] = []
        self._tour: Tour | None = None
        self._tour_waits = False
        self._give_up = False
        self.actions_table = Actions(self)
        self._hold_keys = {native(k): s.id for s in self.actions_table.specs for k in s.hold_keys}
        self._build()
        self.boundary = ErrorBoundary(self.messages, dispatcher, self._autosave, self)
        from segstudio.gui.commands import Commands

        self.commands = Commands(self)
        self._refresh_facts()

    def _build(self) -> None:
        self.setWindowTitle("SegStudio")
        self.setWindowIcon(app_icon())
        self.setAcceptDrops(True)
        self.setMinimumSize(*_SMALLEST)
        self.resize(*_SIZE)
        stored = self.settings.get(_GEOMETRY_KEY, "")
        if stored:
            self.restoreGeometry(QByteArray.fromBase64(QByteArray(stored.encode("ascii"))))
        self.actions_table.fill(self.menuBar())
        self.status = StatusBar(self)
        self.status.cancel_asked.connect(self._cancel_job)
        self.status.jobs_asked.connect(self._show_jobs)
        self.setStatusBar(self.status)
        self.status.hide()
        self.stack = QStackedWidget(self)
        self.welcome = WelcomePage(self.actions_table, self.stack)
        self.welcome.project_chosen.connect(self.open_path)
        self.welcome.set_recent(self.settings.recent_projects())
        self.stack.addWidget(self.welcome)
        self.setCentralWidget(self.stack)
        self.messages = MessageBar(self.stack)
        self.messages.installEventFilter(self)

    # -- projects --------------------------------------------------------------------------------------------------

    @property
    def workbench(self) -> Workbench:
        """The page of the project; made on first use."""
        if self._workbench is None:
            from segstudio.gui.workbench import Workbench

            bench = Workbench(self.actions_table, self.status, self.settings, self.stack)
            bench.facts_changed.connect(self._refresh_facts)
            bench.message.connect(self.messages.show_message)
            self.stack.addWidget(bench)
            for name in ("overlay", "images_panel", "side_panel"):
                self.actions_table[name].setChecked(True)
            self.actions_table["brush"].setChecked(True)
            self._workbench = bench
        return self._workbench

    @property
    def workbench_workspace(self) -> Workspace | None:
        """The open project's workspace."""
        return self._workspace

    def open_path(self, path: Path) -> bool:
        """Open a project, a folder or an image; on failure the message bar says why and nothing else changes."""
        return self._open(lambda: self._opener.open(Path(path)))

    def open_demo(self, *, fresh: bool = False) -> bool:
        """Open the sample project, with the tour the first time."""
        opened = self._open(lambda: self._opener.demo(fresh=fresh))
        if opened and not self.settings.get(_TOUR_KEY, False):
            # The first step talks about the proposal, so it waits for one, but not for ever.
            self._tour_waits = True
            QTimer.singleShot(_TOUR_DELAY_MS, self._start_waiting_tour)
        return opened

    def _start_waiting_tour(self) -> None:
        if self._tour_waits:
            self._tour_waits = False
            self.start_tour()

    def create_project(self, path: Path, images: Path, catalog: Catalog) -> bool:
        """Make a project and open it."""
        return self._open(lambda: self._opener.create(path, images, catalog))

    def _open(self, make: Callable[[], Workspace]) -> bool:
        QGuiApplication.setOverrideCursor(QCursor(Qt.CursorShape.WaitCursor))
        try:
            workspace = make()
        except UserError as error:
            self.messages.show_message("error", error.message, error.hint)
            return False
        finally:
            QGuiApplication.restoreOverrideCursor()
        self._release()
        self._adopt(workspace)
        return True

    def _adopt(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._disconnects = [
            workspace.messages.connect(self._say),
            workspace.bugs.connect(self.boundary.handle),
            self._dispatcher.follow(workspace.engine.on_status, self._show_engine),
        ]
        self.workbench.set_workspace(workspace)
        self._show_engine(workspace.engine.status())
        self.stack.setCurrentWidget(self.workbench)
        self.status.show()
        self.messages.hide()
        self.setWindowTitle(f"{workspace.project.name} - SegStudio")
        if workspace.current_item is None:
            workspace.open_first()
        self.workbench.canvas.setFocus()
        self._refresh_facts()
        self.workspace_changed.emit()

    def close_project(self) -> None:
        """Save, release the project and show the welcome page."""
        self._release()
        self.status.hide()
        self.messages.hide()
        self.setWindowTitle("SegStudio")
        self.welcome.set_recent(self.settings.recent_projects())
        self.stack.setCurrentWidget(self.welcome)
        self._refresh_facts()
        self.workspace_changed.emit()

    def _release(self) -> None:
        workspace, self._workspace = self._workspace, None
        self._tour_waits = False
        if self._tour is not None:
            self._tour.stop()
        for disconnect in self._disconnects:
            disconnect()
        self._disconnects = []
        if workspace is not None:
            self.workbench.canvas.cancel_gesture()
            if workspace.current is not None:
                save_thumbnail(workspace.project.path, workspace.current.rgb)
            self.workbench.set_workspace(None)
            workspace.close()

    def shut_down(self) -> None:
        """Release the project and stop the engine's workers; after the event loop."""
        self._release()
        self._dispatcher.close()
        self._opener.close()

    def _autosave(self) -> None:
        if self._workspace is not None:
            self._workspace.saver.save_now()

    # -- what is shown ---------------------------------------------------------------------------------------------

    def _refresh_facts(self) -> None:
        facts = self._workbench.facts() if self._workbench is not None and self._workspace is not None else set()
        self.actions_table.set_facts(facts)
        if self._tour_waits and "proposal" in facts:
            QTimer.singleShot(0, self._start_waiting_tour)
        annotator = self._workspace.current if self._workspace is not None else None
        history = annotator.history if annotator is not None else None
        for action_id, name in (("undo", history and history.undo_name), ("redo", history and history.redo_name)):
            title = self.actions_table.spec(action_id).title
            self.actions_table.retitle(action_id, f"{title} {name.lower()}" if name else title)
        names = self._workspace.catalog.names if self._workspace is not None else ()
        for number in range(1, 10):
            action_id = f"class_{number}"
            title = names[number - 1] if number <= len(names) else self.actions_table.spec(action_id).title
            self.actions_table.retitle(action_id, title)

    def _say(self, message: Message) -> None:
        self.messages.show_message(message.level, message.text, message.hint, action=message.action)

    def _show_engine(self, status: EngineStatus) -> None:
        self.status.set_engine(status)

    def _cancel_job(self, job: int) -> None:
        if self._workspace is not None:
            self._workspace.jobs.cancel(job)

    def _show_jobs(self) -> None:
        from segstudio.gui.panels.jobs import JobsPopup

        popup = JobsPopup(self)
        popup.set_workspace(self._workspace)
        popup.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        popup.adjustSize()
        corner = self.status.job_box.mapToGlobal(self.status.job_box.rect().topRight())
        popup.move(corner.x() - popup.width(), corner.y() - popup.height() - 8)
        popup.show()

    def start_tour(self) -> None:
        """Show the five steps."""
        if self._workspace is None:
            return
        from segstudio.gui.tour import Tour

        if self._tour is not None:
            self._tour.stop()
        self.settings.set(_TOUR_KEY, True)
        self._tour = Tour(self)
        self._tour.start()

    # -- events ----------------------------------------------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if not self._hold(event, down=True):
            super().keyPressEvent(event)

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        if not self._hold(event, down=False):
            super().keyReleaseEvent(event)

    def _hold(self, event: QKeyEvent, *, down: bool) -> bool:
        action_id = self._hold_keys.get(native(event.text().upper()))
        if event.modifiers() or action_id is None or self._workspace is None:
            return False
        if not event.isAutoRepeat() and not typing_now():
            self.workbench.hold(action_id, down=down)
        return True

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._place_message()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.messages and event.type() in (QEvent.Type.Show, QEvent.Type.LayoutRequest):
            self._place_message()
        return False

    def _place_message(self) -> None:
        area: QWidget = self.stack
        top = 12
        if self._workbench is not None and self.stack.currentWidget() is self._workbench:
            area = self._workbench.canvas
        corner = area.mapTo(self.stack, area.rect().topLeft())
        width = min(_MESSAGE_WIDTH_PX, area.width() - 32)
        height = max(self.messages.heightForWidth(width), self.messages.minimumSizeHint().height())
        self.messages.setGeometry(corner.x() + (area.width() - width) // 2, corner.y() + top, width, height)
        self.messages.raise_()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def _close_anyway(self) -> None:
        self._give_up = True
        self.close()

    def dropEvent(self, event: QDropEvent) -> None:
        paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        if paths:
            event.acceptProposedAction()
            QTimer.singleShot(0, lambda: self.open_path(paths[0]))

    def closeEvent(self, event: QCloseEvent) -> None:
        if self._workspace is not None and self._workspace.saver.failing and not self._give_up:
            event.ignore()
            self.messages.show_message(
                "error",
                "The last strokes are not saved: the disk refuses.",
                "Free some space and close again.",
                action=("Close and lose them", self._close_anyway),
            )
            return
        if self._workbench is not None:
            self._workbench.remember_layout()
        self.settings.set(_GEOMETRY_KEY, bytes(self.saveGeometry().toBase64().data()).decode("ascii"))
        self._release()
        super().closeEvent(event)
