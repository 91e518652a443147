"""Makes the pictures of `docs/images` from the real window on the demo project.

Run it from the repository root: `uv run python docs/make_images.py [FOLDER]`. Without a screen it draws offscreen.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QCoreApplication, QEvent, QEventLoop, QPoint, QPointF, Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from segstudio.core.geometry import Rect
from segstudio.core.items import Status
from segstudio.core.settings import Settings
from segstudio.gui.app import make_application, make_window
from segstudio.gui.dialogs.export import ExportDialog
from segstudio.gui.dialogs.import_labels import ImportDialog
from segstudio.gui.dialogs.loss_check import CheckState
from segstudio.gui.dialogs.metrics import MetricsDialog
from segstudio.gui.dialogs.models import ModelsDialog
from segstudio.gui.main_window import MainWindow
from segstudio.gui.theme import Mode, ThemeManager
from segstudio.services.evaluating import Metric
from segstudio.services.exporting import Shapes

_SIZE = (1440, 900)
_STEP_S = 0.02
_STARTUP_S = 180.0
_TRAINING_MINUTES = 1.0
_MODELS_SIZE = (1000, 680)
_METRICS_SIZE = (1000, 680)
_IMPORT_SIZE = (940, 560)
_MODEL = "tv-deeplabv3-resnet50"
# The upper right coin of the fourth picture of the demo, and the large one below.
_BOXES = (Rect(14, 56, 60, 60), Rect(80, 12, 66, 68))
# The picture of the demo whose borders the refinement moves most, where its object is cut in two, and where on the
# canvas the pointer rests.
_REFINED = "cell.png"
_CUT = 0.777
_AT = (0.66, 0.54)


def wait(done: Callable[[], bool], seconds: float) -> bool:
    """Handle events until `done()`; False where it did not happen in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QCoreApplication.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 20)
        if done():
            return True
        time.sleep(_STEP_S)
    return False


def settle(seconds: float = 0.5) -> None:
    """Handle events for a while."""
    wait(lambda: False, seconds)


def save(window: QWidget, folder: Path, name: str) -> None:
    """Write one picture."""
    settle()
    path = folder / f"{name}.png"
    window.grab().save(str(path))
    print(path)


def both(window: QWidget, themes: ThemeManager, folder: Path, name: str) -> None:
    """Write a picture in both themes; the dark one stays."""
    for mode in (Mode.LIGHT, Mode.DARK):
        themes.set_mode(mode)
        save(window, folder, f"{name}-{mode.value}")


def propose(window: MainWindow) -> None:
    """Wait for the proposal of the image shown, asking for it where nobody did."""
    workspace = window.workbench_workspace
    assert workspace is not None
    wait(lambda: workspace.current is not None, 20)
    if not workspace.predicting.busy:
        workspace.predicting.predict_current()
    found = wait(lambda: workspace.current is not None and workspace.current.prediction is not None, _STARTUP_S)
    if not found:
        print("no proposal came; the pictures show none", file=sys.stderr)


def train(window: MainWindow) -> None:
    """Train for a while, until the plot has something to show."""
    workspace = window.workbench_workspace
    assert workspace is not None
    workspace.finetuning.start(minutes=_TRAINING_MINUTES)
    wait(lambda: len(workspace.finetuning.state.validations) >= 3 or not workspace.finetuning.running, _STARTUP_S)
    window.workbench.side.show_section("training")


def draw_box(window: MainWindow, folder: Path) -> None:
    """Propose in one box and draw a second one, half of it done."""
    workspace, canvas = window.workbench_workspace, window.workbench.canvas
    assert workspace is not None
    assert workspace.current is not None
    workspace.current.reject()
    workspace.predicting.predict_box(_BOXES[0])
    wait(lambda: not workspace.predicting.busy, _STARTUP_S)
    window.actions_table["box"].trigger()
    ratio = canvas.viewport.ratio
    left, top, right, bottom = (round(edge / ratio) for edge in canvas.viewport.view_rect(_BOXES[1]))
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=QPoint(left, top))
    # QTest moves the mouse without a button, which a drag on a real screen never does.
    end = QPointF(right - 1, bottom - 1)
    move = QMouseEvent(
        QEvent.Type.MouseMove,
        end,
        end,
        Qt.MouseButton.NoButton,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    QApplication.sendEvent(canvas, move)
    save(window, folder, "box-tool")
    canvas.cancel_gesture()
    QApplication.sendEvent(canvas, QEvent(QEvent.Type.Leave))
    window.actions_table["brush"].trigger()
    workspace.current.reject()
    propose(window)


def show_refinement(window: MainWindow, folder: Path) -> None:
    """Refine a proposal, with the line between before and after on it and the reach of the kernels around a place."""
    workspace, bench = window.workbench_workspace, window.workbench
    assert workspace is not None
    assert workspace.current is not None
    former = workspace.current.item.name
    go_to(window, _REFINED)
    propose(window)
    window.actions_table["refine"].trigger()
    wait(lambda: not workspace.refining.busy, _STARTUP_S)
    section = bench.side.show_section("refine")
    for show in (bench.canvas.set_split, bench.side.show_split):
        show(_CUT)
    bench.side.refine.reach_box.setChecked(True)
    settle()
    bench.side.verticalScrollBar().setValue(section.y())
    area = bench.canvas.rect()
    QTest.mouseMove(bench.canvas, QPoint(round(_AT[0] * area.width()), round(_AT[1] * area.height())))
    save(window, folder, "refine")
    QApplication.sendEvent(bench.canvas, QEvent(QEvent.Type.Leave))
    bench.side.refine.reach_box.setChecked(False)
    window.actions_table["compare"].trigger()
    go_to(window, former)


def go_to(window: MainWindow, name: str) -> None:
    """Show an image of the project."""
    workspace = window.workbench_workspace
    assert workspace is not None
    workspace.open_image(next(item.id for item in workspace.images if item.name == name))
    wait(lambda: workspace.current is not None and workspace.current.item.name == name, _STARTUP_S)


def show_models(window: MainWindow, themes: ThemeManager, folder: Path) -> None:
    """Open the model chooser on a card whose speed was measured."""
    workspace = window.workbench_workspace
    assert workspace is not None
    dialog = ModelsDialog(workspace, window)
    dialog.resize(*_MODELS_SIZE)
    dialog.show()
    dialog.list.choose(_MODEL)
    wait(lambda: workspace.predicting.device_info is not None, _STARTUP_S)
    dialog.measure()
    wait(lambda: workspace.speeds.measuring is None, _STARTUP_S)
    both(dialog, themes, folder, "models")
    dialog.close()


def show_export(window: MainWindow, folder: Path) -> None:
    """Open the export dialog on a format that changes a few pixels."""
    workspace = window.workbench_workspace
    assert workspace is not None
    dialog = ExportDialog(workspace, window)
    dialog.show()
    dialog.format.setCurrentIndex(dialog.format.findData("coco"))
    dialog.options.shapes.setCurrentIndex(dialog.options.shapes.findData(Shapes.POLYGONS))
    dialog.folder.edit.setText("/data/coins-coco")
    wait(lambda: dialog.check.state is CheckState.KNOWN, _STARTUP_S)
    save(dialog, folder, "export")
    dialog.close()


def show_import(window: MainWindow, folder: Path) -> None:
    """Open the import dialog on the demo's own labels, in which one class has another name."""
    workspace = window.workbench_workspace
    assert workspace is not None
    with tempfile.TemporaryDirectory() as home:
        source = Path(home) / "coins"
        workspace.exporting.export("index-png", source)
        wait((source / "classes.toml").is_file, _STARTUP_S)
        classes = source / "classes.toml"
        classes.write_text(classes.read_text(encoding="utf-8").replace('"object"', '"coin"'), encoding="utf-8")
        dialog = ImportDialog(workspace, window)
        dialog.resize(*_IMPORT_SIZE)
        dialog.show()
        dialog.source.edit.setText(str(source))
        wait(lambda: dialog.mapping is not None and dialog.review.preview.picture.rgb is not None, _STARTUP_S)
        dialog.source.edit.blockSignals(True)
        dialog.source.edit.setText("/data/coins")
        save(dialog, folder, "import")
        dialog.close()


def show_metrics(window: MainWindow, themes: ThemeManager, folder: Path) -> None:
    """Evaluate the model in use on every image with labels and look at what it mistakes most."""
    workspace = window.workbench_workspace
    assert workspace is not None
    dialog = MetricsDialog(workspace, window)
    dialog.resize(*_METRICS_SIZE)
    dialog.show()
    dialog.choice.split.setCurrentIndex(dialog.choice.split.findData("all"))
    dialog.choice.boxes[Metric.BOUNDARY].setChecked(True)
    dialog.evaluate()
    wait(lambda: bool(workspace.evaluating.results), _STARTUP_S)
    result = workspace.evaluating.results[0]
    true_id, predicted_id, _pixels = result.confusions(most=1)[0]
    dialog.confusion.map.choose(result.class_ids.index(true_id), result.class_ids.index(predicted_id))
    pictures = dialog.confusion.images
    wait(lambda: all(pictures.picture(row) is not None for row in range(pictures.count())), _STARTUP_S)
    for mode, name in ((Mode.LIGHT, "metrics"), (Mode.DARK, "metrics-dark")):
        themes.set_mode(mode)
        save(dialog, folder, name)
    dialog.close()


def main() -> int:
    """Make every picture; returns the exit code."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        os.environ["SEGSTUDIO_HOME"] = home
        settings = Settings()
        settings.set("tour_seen", True)
        app, themes = make_application(settings)
        window = make_window(app, themes, settings)
        window.resize(*_SIZE)
        window.show()
        both(window, themes, folder, "welcome")
        if not window.open_demo():
            return 1
        propose(window)
        both(window, themes, folder, "main")
        draw_box(window, folder)
        show_refinement(window, folder)
        show_models(window, themes, folder)
        show_metrics(window, themes, folder)
        show_export(window, folder)
        show_import(window, folder)
        workspace = window.workbench_workspace
        assert workspace is not None
        if any(item.status is Status.REVIEWED for item in workspace.images):
            train(window)
            save(window, folder, "training")
            workspace.finetuning.stop()
            wait(lambda: not workspace.finetuning.running, 60)
        window.close()
        window.shut_down()
    return 0


if __name__ == "__main__":
    QApplication.setQuitOnLastWindowClosed(False)
    sys.exit(main())
