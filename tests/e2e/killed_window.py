"""Paints strokes in the real window and kills the window the moment the last one is finished.

python killed_window.py IMAGES EXPECTED.npz
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
from driving import Hands, play
from PySide6.QtCore import Qt

EXPECTED = sys.argv[2]


def script(hands: Hands) -> Generator[tuple[str, Callable[[], Any]], None, None]:
    yield "the first image", lambda: hands.workspace is not None and hands.annotator is not None
    hands.focus()
    yield "the keyboard", hands.window.isActiveWindow
    hands.key(Qt.Key.Key_2)
    for row in (0.1, 0.3, 0.5):
        hands.stroke((0.2, row), (0.8, row))
    hands.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    yield "the undo", lambda: hands.annotator.history.can_redo
    hands.key(Qt.Key.Key_1)
    hands.stroke((0.2, 0.7), (0.8, 0.9))
    segment_map = hands.annotator.map
    np.savez(EXPECTED, ids=segment_map.ids, decided=segment_map.decided, project=str(hands.workspace.project.path))
    os.kill(os.getpid(), signal.SIGKILL)
    yield "the end", lambda: False


if __name__ == "__main__":
    sys.exit(play([sys.argv[1]], script))
