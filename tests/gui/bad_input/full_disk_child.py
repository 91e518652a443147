"""A window of its own process, whose files may not grow: what `test_full_disk` starts and listens to.

Arguments: a folder of images. Writes one JSON object to standard output.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PySide6.QtTest import QTest

from segstudio.core.settings import Settings
from segstudio.engine.inline import InlineEngine
from segstudio.gui.app import make_application, make_window
from segstudio.gui.main_window import MainWindow
from segstudio.services import saving

_LIMIT_S = 30.0


def _until(done: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + _LIMIT_S
    while not done():
        if time.monotonic() > end:
            raise TimeoutError(what)
        QTest.qWait(10)


def _paint(window: MainWindow, seed: int) -> None:
    workspace = window.workbench_workspace
    assert workspace is not None
    assert workspace.current is not None
    mask = np.random.default_rng(seed).random(workspace.current.map.shape) < 0.5
    gesture = workspace.current.begin("Brush stroke")
    gesture.paint(mask, 0, 0, 1)
    gesture.commit()


def main(folder: Path) -> None:
    """Paints while the system refuses to let files grow, then while it lets them again."""
    saving._RETRY_DELAY_S = 0.1  # type: ignore[misc]
    settings = Settings()
    settings.set("propose_automatically", False)
    app, themes = make_application(settings)
    window = make_window(app, themes, settings, engine=InlineEngine())
    window.show()
    window.open_path(folder)
    workspace = window.workbench_workspace
    assert workspace is not None
    _until(lambda: workspace.current is not None, "the first image")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = max(file.stat().st_size for file in workspace.project.path.iterdir() if file.is_file())
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    _paint(window, 1)
    _until(lambda: workspace.saver.failing, "a refusal")
    assert workspace.current is not None
    painted = int(workspace.current.map.decided.sum())
    QTest.qWait(2500)  # the autosave and some tries after it
    status = window.status.saved.text()
    still = int(workspace.current.map.decided.sum())
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    _until(lambda: not workspace.saver.failing and not workspace.current.dirty, "saving again")
    after = window.status.saved.text()
    reports = len(window.boundary.dialogs)
    project = str(workspace.project.path)
    window.close()
    window.shut_down()
    result = {
        "messages": list(window.messages.history),
        "painted": [painted, still],
        "status": [status, after],
        "project": project,
        "reports": reports,
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
