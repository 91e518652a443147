"""Opens workspaces for the window.

Services and the engine are imported on first use, so that the welcome page is there at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from segstudio.core.catalog import Catalog
    from segstudio.core.settings import Settings
    from segstudio.gui.bridge import Dispatcher
    from segstudio.services.engines import Engine
    from segstudio.services.workspace import Workspace


class Opener:
    """Makes workspaces that share one engine; `engine` may be given (tests use the inline one)."""

    def __init__(
        self, dispatcher: Dispatcher, settings: Settings, *, device: str = "auto", engine: Engine | None = None
    ) -> None:
        self._dispatcher = dispatcher
        self._settings = settings
        self._device = device
        self._engine = engine

    @property
    def engine(self) -> Engine:
        """The engine of this process; made on first use, its workers start when there is work."""
        if self._engine is None:
            from segstudio.services.engines import start_engine

            self._engine = start_engine()
        return self._engine

    def open(self, path: Path) -> Workspace:
        """A workspace on a project, a folder or an image.

        Raises:
            UserError: The path cannot be opened.
        """
        from segstudio.services.workspace import Workspace

        return self._ready(Workspace.open(path, self.engine, self._dispatcher, self._settings))

    def create(self, path: Path, images: Path, catalog: Catalog) -> Workspace:
        """A workspace on a new project.

        Raises:
            UserError: The project cannot be made.
        """
        from segstudio.services.opening import new_project
        from segstudio.services.workspace import Workspace

        project = new_project(path, images=images, catalog=catalog)
        self._settings.add_recent(project.path)
        return self._ready(Workspace(project, self.engine, self._dispatcher, self._settings))

    def demo(self, *, fresh: bool = False) -> Workspace:
        """A workspace on the sample project; with `fresh` on a new one beside the old.

        Raises:
            UserError: The sample project cannot be made.
        """
        from segstudio.services.demo import open_demo
        from segstudio.services.workspace import Workspace

        project = open_demo(fresh=fresh)
        self._settings.add_recent(project.path)
        return self._ready(Workspace(project, self.engine, self._dispatcher, self._settings))

    def _ready(self, workspace: Workspace) -> Workspace:
        if self._device != "auto":
            workspace.predicting.set_device(self._device)
        return workspace

    def close(self) -> None:
        """Stop the engine's workers."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None
