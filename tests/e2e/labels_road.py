"""Labels in and out, once, in the real window: import with an added class, look at losses, export, zip, metrics.

    python labels_road.py PROJECT LABELS OUT

Writes OUT/polygons (COCO), OUT/masks.zip (index PNG), OUT/report.html, OUT/truth/NAME.npy (class ids as the project
holds them) and OUT/facts.json.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
from driving import Hands, play
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

PROJECT, LABELS, OUT = sys.argv[1], sys.argv[2], Path(sys.argv[3])
MODEL = "objects-unet-small"
CONTROL = Qt.KeyboardModifier.ControlModifier
Steps = Generator[tuple[str, Callable[[], Any]], None, None]


def script(hands: Hands) -> Steps:
    yield "the first image", lambda: hands.workspace is not None and hands.annotator is not None
    yield from activate(hands)
    facts: dict[str, Any] = {"classes_before": list(hands.workspace.catalog.names)}
    yield from take_in(hands, facts)
    yield from polygons(hands, facts)
    yield from masks(hands)
    yield from measure(hands, facts)
    write(hands, facts)


def activate(hands: Hands) -> Steps:
    hands.focus()
    yield "the keyboard", hands.window.isActiveWindow


def press(button: Any) -> None:
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def take_in(hands: Hands, facts: dict[str, Any]) -> Steps:
    """One class of the source goes to one of the project, one is ignored, the others are added."""
    from segstudio.core.catalog import IGNORE
    from segstudio.gui.dialogs.import_labels import ImportDialog

    hands.key(Qt.Key.Key_I, CONTROL)
    yield "the import dialog", lambda: hands.find(ImportDialog)
    dialog: Any = hands.find(ImportDialog)
    dialog.source.edit.setText(LABELS)
    yield "what the source holds", lambda: dialog.mapping is not None
    facts["recognised"] = dialog.format.currentData()
    facts["undecided"] = [c.name for c in dialog.mapping.undecided]
    facts["import_waits"] = not dialog.go.isEnabled()
    rows = dialog.review.table.rows
    person = hands.workspace.catalog.by_name("person").id
    for row in range(rows.rowCount()):
        target = {"bus": person, "car": IGNORE}.get(rows.source(row).name)
        if target is not None:
            rows.setData(rows.index(row, rows.columnCount() - 1), target)
    press(dialog.review.add_rest)
    yield "every class decided", dialog.go.isEnabled
    press(dialog.go)
    yield "the import", lambda: dialog.outcome.text() and not dialog.busy
    facts["imported"] = dialog.outcome.text()
    facts["import_again"] = dialog.go.isEnabled()
    yield from leave(hands, dialog, ImportDialog)
    yield "the labels on the canvas", lambda: hands.annotator is not None and bool(hands.annotator.map.decided.any())
    facts["reviewed"] = hands.workspace.progress()[0]


def polygons(hands: Hands, facts: dict[str, Any]) -> Steps:
    """COCO polygons within a pixel; what that changes is said before anything is there."""
    from segstudio.gui.dialogs.loss_check import CheckState

    dialog = yield from open_export(hands)
    dialog.format.setCurrentIndex(dialog.format.findData("coco"))
    dialog.options.shapes.setCurrentIndex(dialog.options.shapes.findData("polygons"))
    dialog.options.tolerance.setValue(1)
    dialog.folder.edit.setText(str(OUT / "polygons"))
    yield "what polygons lose", lambda: dialog.check.state is CheckState.KNOWN
    facts["loss_shown"] = dialog.losses.bad.isVisible() and dialog.losses.table.rowCount() > 0
    facts["changed"] = dialog.check.report.changed
    facts["early"] = (OUT / "polygons").exists()
    yield from export(hands, dialog)


def masks(hands: Hands) -> Steps:
    """Bare masks in one zip file."""
    dialog = yield from open_export(hands)
    dialog.format.setCurrentIndex(dialog.format.findData("index-png"))
    dialog.options.zip.setChecked(True)
    dialog.folder.edit.setText(str(OUT / "masks"))
    yield from export(hands, dialog)


def open_export(hands: Hands) -> Generator[tuple[str, Callable[[], Any]], None, Any]:
    from segstudio.gui.dialogs.export import ExportDialog

    hands.key(Qt.Key.Key_E, CONTROL)
    yield "the export dialog", lambda: hands.find(ExportDialog)
    return hands.find(ExportDialog)


def export(hands: Hands, dialog: Any) -> Steps:
    """Presses Export once that is known to be possible, so that nothing is written unasked."""
    from segstudio.gui.dialogs.loss_check import CheckState

    yield "the check", lambda: dialog.check.state in (CheckState.KNOWN, CheckState.SAFE) and dialog.go.isEnabled()
    press(dialog.go)
    yield "the export", lambda: dialog.outcome.text() and not dialog.busy
    yield from leave(hands, dialog, type(dialog))


def leave(hands: Hands, dialog: Any, kind: type[Any]) -> Steps:
    dialog.close()
    yield "the dialog closed", lambda: hands.find(kind) is None
    yield from activate(hands)


def measure(hands: Hands, facts: dict[str, Any]) -> Steps:
    """A small model against the labels, a cell of the matrix, its pixels on the canvas, and the report."""
    from segstudio.gui.dialogs.metrics import MetricsDialog

    hands.key(Qt.Key.Key_M, CONTROL | Qt.KeyboardModifier.ShiftModifier)
    yield "the metrics window", lambda: hands.find(MetricsDialog)
    window: Any = hands.find(MetricsDialog)
    window.choice.first.setCurrentIndex(window.choice.first.findData(MODEL))
    window.choice.split.setCurrentIndex(window.choice.split.findData("all"))
    yield "labels to compare with", window.choice.button.isEnabled
    press(window.choice.button)
    yield "the figures", lambda: window.workspace.evaluating.comparison is not None
    evaluation = window.workspace.evaluating.comparison.evaluations[0]
    facts["mean_iou"], facts["evaluated"] = evaluation.summary.mean_iou, evaluation.images
    matrix = evaluation.matrix.matrix
    facts["matrix_pixels"] = int(matrix.sum())
    row, column = (int(place) for place in np.argwhere(matrix > 0)[0])
    window.confusion.map.choose(row, column)
    images = window.confusion.images
    yield "images with such pixels", lambda: images.count() > 0
    facts["cell"] = [int(matrix[row, column]), sum(_pixels(entry.words) for entry in images.entries)]
    images.itemClicked.emit(images.item(0))
    yield "the pixels on the canvas", lambda: hands.canvas.marks is not None
    QTest.keyClick(window, Qt.Key.Key_Escape)
    yield "no marks any more", lambda: hands.canvas.marks is None
    facts["open_after_esc"] = window.isVisible()
    window.save_to(OUT / "report.html")
    yield "the report", lambda: (OUT / "report.html").is_file() and window.outcome.text()
    window.close()


def _pixels(words: str) -> int:
    return int(words.split()[0].replace(",", ""))


def write(hands: Hands, facts: dict[str, Any]) -> None:
    truth = OUT / "truth"
    truth.mkdir()
    for item in hands.workspace.images:
        np.save(truth / f"{Path(item.name).stem}.npy", hands.workspace.project.load_map(item.id).semantic())
    facts["classes"] = {c.name: c.id for c in hands.workspace.catalog}
    facts["torch_in_window"] = "torch" in sys.modules
    (OUT / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(play([PROJECT], script))
