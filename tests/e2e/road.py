"""The main job, once, in the real window: open, propose, sharpen, paint, undo, redo, accept, review, train, export.

    python road.py IMAGES OUT

Writes OUT/voc, OUT/coco, OUT/truth/NAME.npy (class ids as the window holds them) and OUT/facts.json.
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

OUT = Path(sys.argv[2])
Steps = Generator[tuple[str, Callable[[], Any]], None, None]


def script(hands: Hands) -> Steps:
    yield "the first image", lambda: hands.workspace is not None and hands.annotator is not None
    hands.focus()
    yield "the keyboard", hands.window.isActiveWindow
    facts: dict[str, Any] = {"torch_in_window": "torch" in sys.modules, "images": len(hands.workspace.images)}
    yield from propose(hands, facts)
    yield from correct(hands, facts)
    yield from label_more(hands)
    yield from learn(hands, facts)
    yield from export(hands)
    facts["reviewed"] = hands.workspace.progress()[0]
    facts["torch_in_window"] = facts["torch_in_window"] or "torch" in sys.modules
    write(hands, facts)


def propose(hands: Hands, facts: dict[str, Any]) -> Steps:
    hands.key(Qt.Key.Key_R)
    yield "a proposal", lambda: hands.annotator.prediction is not None
    facts["proposal_shape"] = list(hands.annotator.prediction.labels.shape)
    reasons = hands.workspace.refining.backends()
    facts["crf"] = reasons["pydensecrf"]
    if reasons["pydensecrf"] is None:
        hands.key(Qt.Key.Key_C)
        yield "the CRF's proposal", lambda: hands.annotator.prediction.refined


def correct(hands: Hands, facts: dict[str, Any]) -> Steps:
    hands.key(Qt.Key.Key_B)
    hands.key(Qt.Key.Key_2)
    hands.stroke((0.3, 0.3), (0.5, 0.45), (0.7, 0.4))
    yield "a stroke", lambda: hands.annotator.history.can_undo
    painted = hands.annotator.map.copy()
    facts["painted"] = int(painted.decided.sum())
    hands.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    yield "undo", lambda: not hands.annotator.map.decided.any()
    hands.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    yield "redo", lambda: hands.annotator.map == painted
    hands.key(Qt.Key.Key_Return)
    yield "everything accepted", lambda: bool(hands.annotator.map.decided.all())
    facts["stroke_kept"] = bool((hands.annotator.map.ids[painted.decided] == 1).all())
    hands.key(Qt.Key.Key_M)
    yield "reviewed", lambda: hands.workspace.progress()[0] == 1


def label_more(hands: Hands) -> Steps:
    """Two more images; the third of a project validates."""
    for done in (1, 2):
        before = hands.annotator.item.id
        hands.key(Qt.Key.Key_D)
        yield "the next image", lambda before=before: hands.annotator is not None and hands.annotator.item.id != before
        hands.key(Qt.Key.Key_2)
        hands.stroke((0.2, 0.2), (0.4, 0.4))
        hands.key(Qt.Key.Key_1)
        hands.stroke((0.8, 0.2), (0.8, 0.7), (0.5, 0.8))
        hands.key(Qt.Key.Key_M)
        yield f"image {done + 1} reviewed", lambda done=done: hands.workspace.progress()[0] == done + 1


def learn(hands: Hands, facts: dict[str, Any]) -> Steps:
    finetuning = hands.workspace.finetuning
    hands.key(Qt.Key.Key_T)
    yield "a few training steps", lambda: len(finetuning.state.losses) >= 3 and bool(finetuning.state.validations)
    # The window must stay usable meanwhile: a stroke is painted, and taken back, while the trainer works.
    hands.stroke((0.1, 0.9), (0.2, 0.9))
    facts["training_while_painting"] = finetuning.running
    hands.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    hands.key(Qt.Key.Key_T, Qt.KeyboardModifier.ShiftModifier)
    yield "the end of training", lambda: not finetuning.running
    result = finetuning.state.result
    facts["best_miou"] = result.best_miou
    facts["accepted"] = result.accepted
    yield "the new model in use", lambda: hands.workspace.models.knows_classes(hands.workspace.models.active)
    facts["model"] = hands.workspace.models.active.id


def export(hands: Hands) -> Steps:
    from segstudio.gui.dialogs.export import ExportDialog

    for name in ("voc", "coco"):
        hands.key(Qt.Key.Key_E, Qt.KeyboardModifier.ControlModifier)
        yield "the export dialog", lambda: hands.find(ExportDialog)
        dialog: Any = hands.find(ExportDialog)
        dialog.format.setCurrentIndex(dialog.format.findData(name))
        dialog.folder.edit.setText(str(OUT / name))
        QTest.mouseClick(dialog.go, Qt.MouseButton.LeftButton)
        yield f"the {name} export", lambda dialog=dialog, name=name: (OUT / name).is_dir() and not dialog.busy
        dialog.close()
        yield "the dialog closed", lambda: hands.find(ExportDialog) is None
        hands.focus()
        yield "the window active again", hands.window.isActiveWindow


def write(hands: Hands, facts: dict[str, Any]) -> None:
    truth = OUT / "truth"
    truth.mkdir()
    for item in hands.workspace.images:
        segment_map = hands.workspace.project.load_map(item.id)
        if item.status == "reviewed" and segment_map is not None:
            np.save(truth / f"{Path(item.name).stem}.npy", segment_map.semantic())
    (OUT / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(play([sys.argv[1]], script))
