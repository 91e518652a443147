"""What a stroke and a view of the whole image cost on a large image.

    python benchmarks/canvas.py [--size 4096] [--moves 200] [--json FILE]

Draws offscreen through the real widget: each mouse move is followed by the repaint it asks for. "All recoloured" does
the same work the simple way in the same run: the whole label image through the colour table and the whole view drawn,
for each move. "Without pyramid" draws the fitted view from full-size tiles.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QImage, QMouseEvent, QPainter
from PySide6.QtWidgets import QApplication

from segstudio.core.catalog import Catalog
from segstudio.core.geometry import Rect
from segstudio.core.items import ImageItem, Split, Status
from segstudio.core.prediction import Prediction
from segstudio.core.segmentmap import SegmentMap
from segstudio.gui.canvas.codes import fill_table, shown
from segstudio.gui.canvas.tiles import PictureTiles, tiles_over
from segstudio.gui.canvas.widget import CanvasWidget
from segstudio.gui.tools.registry import create_tools
from segstudio.services.annotating import Annotator

VIEW = (1600, 1000)
RADIUS_PX = 50.0
_PREMULTIPLIED = QImage.Format.Format_ARGB32_Premultiplied


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=4096, help="side of the square image in pixels")
    parser.add_argument("--moves", type=int, default=200, help="mouse moves of the stroke")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args()
    app = QApplication([])
    canvas, annotator = build(options.size)
    figures = measure(app, canvas, annotator, options.moves)
    width = max(map(len, figures))
    for name, value in figures.items():
        print(f"{name:{width}}  {value:10.2f}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def build(size: int) -> tuple[CanvasWidget, Annotator]:
    """A canvas on a square image with a patchwork of labels and a proposal."""
    rng = np.random.default_rng(0)
    catalog = Catalog.from_names(["background", *(f"class {i}" for i in range(1, 21))])
    patches = rng.integers(0, 21, (size // 64 + 1, size // 64 + 1), dtype=np.uint8)
    labels = np.kron(patches, np.ones((64, 64), dtype=np.uint8))[:size, :size]
    decided = np.zeros((size, size), dtype=np.bool_)
    decided[: size // 2] = True
    item = ImageItem(
        id=1, path=Path("image.png"), name="image.png", width=size, height=size, status=Status.NEW,
        split=Split.TRAIN, revision=0, problem=None, decided=0.5,
    )  # fmt: skip
    annotator = Annotator(
        item,
        rng.integers(0, 256, (size, size, 3), dtype=np.uint8),
        SegmentMap.from_semantic(np.where(decided, labels, 255).astype(np.uint8), decided),
        catalog=lambda: catalog,
        on_edit=lambda *_: None,
    )
    annotator.set_prediction(
        Prediction(labels=labels, confidence=labels, probabilities=None, class_ids=catalog.sorted_ids, model_id="unet")
    )
    canvas = CanvasWidget()
    canvas.resize(*VIEW)
    canvas.show()
    canvas.set_document(annotator)
    canvas.set_tool(create_tools()["brush"])
    canvas.set_active_class(3)
    canvas.set_brush_radius(RADIUS_PX)
    return canvas, annotator


def measure(app: QApplication, canvas: CanvasWidget, annotator: Annotator, moves: int) -> dict[str, float]:
    figures: dict[str, float] = {}
    app.processEvents()
    canvas.repaint()
    figures["fit with a proposal, ms a frame"] = timed(canvas.repaint)
    canvas.set_proposal_visible(False)
    canvas.repaint()
    figures["fit, ms a frame"] = fit = timed(canvas.repaint)
    figures["fit without pyramid, ms a frame"] = slow = timed(lambda: paint_full_size(canvas, annotator))
    figures["fit, times faster with pyramid"] = slow / fit
    canvas.set_proposal_visible(True)
    canvas.repaint()
    for name, zoom in (("fit", None), ("1:1", 1.0), ("4:1", 4.0)):
        canvas.fit() if zoom is None else canvas.set_zoom(zoom)
        app.processEvents()
        figures[f"stroke at {name}, ms a move (median)"] = median = stroke(app, canvas, moves)
        figures[f"stroke at {name}, moves a second"] = 1000 / median
    canvas.actual_size()
    canvas.repaint()
    figures["view at 1:1, ms a frame"] = timed(canvas.repaint)
    figures["all recoloured at 1:1, ms a move"] = full = timed(lambda: recolour_all(canvas, annotator), 3)
    figures["stroke at 1:1, times faster"] = full / figures["stroke at 1:1, ms a move (median)"]
    canvas.set_outline(True)
    canvas.repaint()
    figures["outline at 1:1, ms a frame"] = timed(canvas.repaint)
    canvas.set_zoom(3.0)
    canvas.repaint()
    figures["outline at 3:1, ms a frame"] = timed(canvas.repaint)
    return figures


def stroke(app: QApplication, canvas: CanvasWidget, moves: int) -> float:
    """Median milliseconds from a mouse move to the end of the repaint it caused."""
    center = QPointF(VIEW[0] / 2, VIEW[1] / 2)
    send(app, canvas, QEvent.Type.MouseButtonPress, center)
    times = []
    for step in range(moves):
        angle = 4 * math.pi * step / moves
        reach = 40 + 300 * step / moves
        at = center + QPointF(reach * math.cos(angle), reach * math.sin(angle))
        start = time.perf_counter()
        send(app, canvas, QEvent.Type.MouseMove, at)
        app.processEvents()
        times.append(time.perf_counter() - start)
    send(app, canvas, QEvent.Type.MouseButtonRelease, center)
    app.processEvents()
    return 1000 * statistics.median(times)


def send(app: QApplication, canvas: CanvasWidget, kind: QEvent.Type, at: QPointF) -> None:
    button = Qt.MouseButton.NoButton if kind == QEvent.Type.MouseMove else Qt.MouseButton.LeftButton
    down = Qt.MouseButton.NoButton if kind == QEvent.Type.MouseButtonRelease else Qt.MouseButton.LeftButton
    app.sendEvent(canvas, QMouseEvent(kind, at, at, button, down, Qt.KeyboardModifier.NoModifier))


def recolour_all(canvas: CanvasWidget, annotator: Annotator) -> None:
    """The labels of the whole image through the colour table, then the whole view."""
    prediction = annotator.prediction
    whole = Rect.of_shape(annotator.map.shape)
    codes = shown(annotator.map, prediction.labels if prediction else None, whole).codes
    argb = fill_table(annotator.catalog)[codes]
    QImage(argb.data, argb.shape[1], argb.shape[0], 4 * argb.shape[1], _PREMULTIPLIED).copy()
    canvas.repaint()


def paint_full_size(canvas: CanvasWidget, annotator: Annotator) -> None:
    """The fitted view from full-size tiles of picture and labels, both kept ready."""
    tiles = full_size_tiles(annotator)
    target = QImage(*VIEW, QImage.Format.Format_RGB32)
    painter = QPainter(target)
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
    for rect, picture, labels in tiles:
        left, top, right, bottom = canvas.viewport.view_rect(rect)
        box = QRectF(QRect(left, top, right - left, bottom - top))
        painter.drawImage(box, picture)
        painter.setOpacity(0.5)
        painter.drawImage(box, labels)
        painter.setOpacity(1.0)
    painter.end()


_ready: list[tuple[Rect, QImage, QImage]] = []


def full_size_tiles(annotator: Annotator) -> list[tuple[Rect, QImage, QImage]]:
    if not _ready:
        pictures = PictureTiles(annotator.rgb)
        table = fill_table(annotator.catalog)
        for key in tiles_over(Rect.of_shape(annotator.map.shape), 0):
            rect = key.rect.clipped(*annotator.map.shape)
            argb = table[shown(annotator.map, None, rect).codes]
            labels = QImage(
                argb.data, rect.width, rect.height, 4 * rect.width, QImage.Format.Format_ARGB32_Premultiplied
            )
            _ready.append((rect, pictures.tile(key), labels.copy()))
    return _ready


def timed(action: Callable[[], object], times: int = 15) -> float:
    """Median milliseconds of an action, after one run to warm up."""
    action()
    results = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        results.append(time.perf_counter() - start)
    return 1000 * statistics.median(results)


if __name__ == "__main__":
    main()
