"""Kills each worker during its work, in the real window: one sentence, a restart, and no stroke is lost.

python kills.py IMAGES FACTS.json
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from driving import Hands, play
from PySide6.QtCore import Qt

Steps = Generator[tuple[str, Callable[[], Any]], None, None]
FACTS = Path(sys.argv[2])
facts: dict[str, Any] = {"sentences": {}}
said: list[Any] = []


def script(hands: Hands) -> Steps:
    yield "the first image", lambda: hands.workspace is not None and hands.annotator is not None
    hands.workspace.messages.connect(said.append)
    hands.focus()
    yield "the keyboard", hands.window.isActiveWindow
    hands.key(Qt.Key.Key_2)
    hands.stroke((0.3, 0.3), (0.6, 0.5))
    yield "a stroke", lambda: hands.annotator.history.can_undo
    before = hands.annotator.map.copy()
    yield from kill_engine(hands)
    if hands.workspace.refining.backends()["pydensecrf"] is None:
        yield from kill_refine(hands)
    facts["stroke_kept"] = hands.annotator.map == before
    yield from kill_trainer(hands)
    facts["still_running"] = {kind: pid for kind, pid in hands.workspace.engine.process_ids().items() if pid}
    FACTS.write_text(json.dumps(facts), encoding="utf-8")


def kill_engine(hands: Hands) -> Steps:
    hands.key(Qt.Key.Key_R)
    yield from kill(hands, "engine", lambda: True)
    hands.key(Qt.Key.Key_R)
    yield "a proposal after the restart", lambda: hands.annotator.prediction is not None


def kill_refine(hands: Hands) -> Steps:
    hands.key(Qt.Key.Key_C)
    yield from kill(hands, "refine", lambda: True)
    hands.key(Qt.Key.Key_C)
    yield "a refinement after the restart", lambda: hands.annotator.prediction.refined


def kill_trainer(hands: Hands) -> Steps:
    finetuning = hands.workspace.finetuning
    hands.key(Qt.Key.Key_Return)
    yield "everything accepted", lambda: bool(hands.annotator.map.decided.all())
    hands.key(Qt.Key.Key_T)
    yield from kill(hands, "trainer", lambda: len(finetuning.state.losses) >= 2)
    yield "the run over", lambda: not finetuning.running
    hands.key(Qt.Key.Key_T)
    yield "training again", lambda: finetuning.running and len(finetuning.state.losses) >= 2
    hands.key(Qt.Key.Key_T, Qt.KeyboardModifier.ShiftModifier)
    yield "the end of training", lambda: not finetuning.running
    facts["states"] = [run.state for run in finetuning.runs()]


def kill(hands: Hands, kind: str, working: Callable[[], bool]) -> Steps:
    """Waits until a worker works, kills it, and waits for the sentence that says so."""
    engine = hands.workspace.engine
    yield f"the {kind} at work", lambda: engine.process_ids().get(kind) and engine.status().busy[kind] and working()
    count = len(said)
    os.kill(engine.process_ids()[kind], signal.SIGKILL)
    hands.stroke((0.1, 0.1), (0.2, 0.1))  # the window lives on
    hands.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    yield f"a sentence about the {kind}", lambda: len(said) > count
    facts["sentences"][kind] = [m.text for m in said[count:] if m.level in ("warning", "error")]


if __name__ == "__main__":
    sys.exit(play([sys.argv[1]], script))
