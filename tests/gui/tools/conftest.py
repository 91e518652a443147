"""A canvas with a small image and a mouse that works in image pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PySide6.QtCore import QEvent, QPointF, Qt
from PySide6.QtGui import QKeyEvent, QMouseEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from segstudio.core.catalog import Catalog, LabelClass
from segstudio.core.edits import Edit
from segstudio.core.items import ImageItem, Split, Status
from segstudio.core.prediction import Prediction
from segstudio.core.segmentmap import SegmentMap
from segstudio.gui.canvas.widget import CanvasWidget
from segstudio.gui.tools.base import Tool
from segstudio.gui.tools.registry import create_tools
from segstudio.services.annotating import Annotator

NO_BUTTON = Qt.MouseButton.NoButton
LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
NO_KEY = Qt.KeyboardModifier.NoModifier


class Bench:
    """A person at the canvas: presses, drags and keys, in image pixels."""

    def __init__(self, canvas: CanvasWidget, annotator: Annotator, edits: list[Edit]) -> None:
        self.canvas = canvas
        self.annotator = annotator
        self.edits = edits
        self.messages: list[str] = []
        self.picked: list[int] = []
        self.finished: list[bool] = []
        self.tools: dict[str, Tool] = create_tools()
        self._down = NO_BUTTON
        canvas.message.connect(self.messages.append)
        canvas.active_class_picked.connect(self.picked.append)
        canvas.gesture_finished.connect(lambda: self.finished.append(True))

    @property
    def ids(self) -> npt.NDArray[np.uint16]:
        return self.annotator.map.ids

    @property
    def decided(self) -> npt.NDArray[np.bool_]:
        return self.annotator.map.decided

    def take(self, name: str) -> Tool:
        self.canvas.set_tool(self.tools[name])
        return self.tools[name]

    def press(self, x: float, y: float, button: Qt.MouseButton = LEFT, keys: Qt.KeyboardModifier = NO_KEY) -> None:
        self._down = button
        self._send(QEvent.Type.MouseButtonPress, x, y, button, keys)

    def move(self, x: float, y: float, keys: Qt.KeyboardModifier = NO_KEY) -> None:
        self._send(QEvent.Type.MouseMove, x, y, NO_BUTTON, keys)

    def release(self, x: float, y: float, keys: Qt.KeyboardModifier = NO_KEY) -> None:
        button, self._down = self._down, NO_BUTTON
        self._send(QEvent.Type.MouseButtonRelease, x, y, button, keys)

    def click(self, x: float, y: float, button: Qt.MouseButton = LEFT, keys: Qt.KeyboardModifier = NO_KEY) -> None:
        self.press(x, y, button, keys)
        self.release(x, y, keys)

    def double_click(self, x: float, y: float) -> None:
        self.click(x, y)
        self._down = LEFT
        self._send(QEvent.Type.MouseButtonDblClick, x, y, LEFT, NO_KEY)
        self.release(x, y)

    def drag(self, points: list[tuple[float, float]], button: Qt.MouseButton = LEFT) -> None:
        self.press(*points[0], button)
        for point in points[1:]:
            self.move(*point)
        self.release(*points[-1])

    def key(self, key: Qt.Key) -> None:
        for kind in (QEvent.Type.KeyPress, QEvent.Type.KeyRelease):
            QApplication.sendEvent(self.canvas, QKeyEvent(kind, key, NO_KEY))

    def decide(self, mask: npt.NDArray[np.bool_], class_id: int) -> None:
        """Labels pixels as if it had been done before."""
        self.annotator.map.ids[mask] = class_id
        self.annotator.map.decided[mask] = True

    def propose(self, labels: npt.NDArray[np.uint8]) -> None:
        confidence = np.full(labels.shape, 200, dtype=np.uint8)
        self.annotator.set_prediction(
            Prediction(
                labels=labels, confidence=confidence, probabilities=None, class_ids=(0, 1, 2, 3), model_id="unet"
            )
        )

    def _send(self, kind: QEvent.Type, x: float, y: float, button: Qt.MouseButton, keys: Qt.KeyboardModifier) -> None:
        ratio = self.canvas.viewport.ratio
        view_x, view_y = self.canvas.viewport.to_view(x, y)
        at = QPointF(view_x / ratio, view_y / ratio)
        QApplication.sendEvent(self.canvas, QMouseEvent(kind, at, at, button, self._down, keys))


@pytest.fixture
def bench(qtbot: QtBot) -> Bench:
    height, width = 120, 160
    rgb = np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)
    catalog = Catalog.from_names(["background", "road", "car"]).with_class(
        LabelClass(id=3, name="sky", color=(70, 130, 180), locked=True)
    )
    item = ImageItem(
        id=7, path=Path("/pictures/a.png"), name="a.png", width=width, height=height, status=Status.NEW,
        split=Split.TRAIN, revision=0, problem=None, decided=0.0,
    )  # fmt: skip
    edits: list[Edit] = []
    annotator = Annotator(
        item,
        rgb,
        SegmentMap.empty(height, width),
        catalog=lambda: catalog,
        on_edit=lambda _annotator, _kind, edit: edits.append(edit),
    )
    canvas = CanvasWidget()
    qtbot.addWidget(canvas)
    canvas.resize(640, 480)
    canvas.show()
    canvas.set_document(annotator)
    canvas.set_active_class(1)
    canvas.set_brush_radius(6.0)
    return Bench(canvas, annotator, edits)
