"""Draws picture and labels of one image in device pixels, only where something is exposed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import numpy as np
from PySide6.QtCore import QPoint, QRect, Qt
from PySide6.QtGui import QBrush, QColor, QImage, QPainter

from segstudio.gui.canvas.codes import PROPOSED
from segstudio.gui.canvas.overlay import Overlay, pattern
from segstudio.gui.canvas.tiles import TILE_PX, PictureTiles, TileKey, tiles_over
from segstudio.gui.canvas.viewport import Viewport

_NEAREST_FROM_ZOOM: Final = 2.0
_DESTINATION_IN: Final = QPainter.CompositionMode.CompositionMode_DestinationIn
_SOURCE_IN: Final = QPainter.CompositionMode.CompositionMode_SourceIn

Draw = Callable[[QPainter], None]


class Renderer:
    """Draws one image through a viewport.

    Attributes:
        opacity: Of the areas, 0 to 1; borders stay opaque.
        outline: True draws the borders of the regions only.
        hidden: True draws no labels at all.
        before: Other labels to draw left of `split`, or None.
        split: View position (device pixels from the left) where `before` ends.
    """

    def __init__(self, viewport: Viewport, picture: PictureTiles, overlay: Overlay) -> None:
        self._viewport = viewport
        self._picture = picture
        self.overlay = overlay
        self.opacity = 0.5
        self.outline = False
        self.hidden = False
        self.before: Overlay | None = None
        self.split = 0
        self._scratch = QImage()
        self._brushes: dict[str, QBrush] = {}
        self._brush_ratio = 0.0

    def paint(self, painter: QPainter, exposed: QRect) -> None:
        """Draws what lies in `exposed` (device pixels); the painter's unit is one device pixel."""
        bounds = exposed.intersected(QRect(*self._image_box()))
        if bounds.isEmpty():
            return
        painter.save()
        painter.setClipRect(bounds)
        self._set_sampling(painter)
        self._draw_tiles(painter, [(key, self._picture.tile(key)) for key in self._keys(bounds)])
        if not self.hidden:
            for overlay, part in self._parts(bounds):
                self._paint_labels(painter, overlay, part)
        painter.restore()

    def _keys(self, bounds: QRect) -> list[TileKey]:
        rect = self._viewport.image_rect(bounds.left(), bounds.top(), bounds.right() + 1, bounds.bottom() + 1)
        return list(tiles_over(rect, self._viewport.level))

    def _parts(self, bounds: QRect) -> list[tuple[Overlay, QRect]]:
        """The labels to draw, each with its part of the view: two where two versions are compared."""
        if self.before is None:
            return [(self.overlay, bounds)]
        left, right = QRect(bounds), QRect(bounds)
        left.setRight(min(bounds.right(), self.split - 1))
        right.setLeft(max(bounds.left(), self.split))
        return [(overlay, part) for overlay, part in ((self.before, left), (self.overlay, right)) if not part.isEmpty()]

    def _paint_labels(self, painter: QPainter, overlay: Overlay, bounds: QRect) -> None:
        painter.setClipRect(bounds)
        keys = self._keys(bounds)
        if not self.outline:
            self._paint_fills(painter, overlay, keys, bounds)
        self._paint_borders(painter, overlay, keys, bounds)

    def _paint_fills(self, painter: QPainter, overlay: Overlay, keys: Sequence[TileKey], bounds: QRect) -> None:
        tiles = [(key, overlay.fill(key)) for key in keys]
        painter.setOpacity(self.opacity)
        self._draw_tiles(painter, [(key, tile.decided) for key, tile in tiles if tile.decided is not None])
        for kind, mode in (("proposed", _DESTINATION_IN), ("ignored", _SOURCE_IN)):
            images = [(key, image) for key, tile in tiles if (image := getattr(tile, kind)) is not None]
            if images:
                box = self._box_of([key for key, _ in images]).intersected(bounds)
                self._paint_patterned(painter, box, kind, mode, partial(self._draw_tiles, images=images))
        painter.setOpacity(1.0)

    def _paint_borders(self, painter: QPainter, overlay: Overlay, keys: Sequence[TileKey], bounds: QRect) -> None:
        """Borders of all regions in outline mode, of the proposal otherwise; a proposal's are dashed."""
        if not self.outline and overlay.proposal is None:
            return
        if self._viewport.zoom >= _NEAREST_FROM_ZOOM:
            self._paint_edges(painter, overlay, keys, bounds)
            return
        width = 1 if self._viewport.zoom >= 1.0 else 2
        tiles = [(key, overlay.border(key, width)) for key in keys]
        if self.outline:
            self._draw_tiles(painter, [(key, tile.decided) for key, tile in tiles if tile.decided is not None])
        dashed = [(key, tile.proposed) for key, tile in tiles if tile.proposed is not None]
        if dashed:
            box = self._box_of([key for key, _ in dashed]).intersected(bounds)
            self._paint_patterned(painter, box, "dash", _DESTINATION_IN, partial(self._draw_tiles, images=dashed))

    def _paint_edges(self, painter: QPainter, overlay: Overlay, keys: Sequence[TileKey], bounds: QRect) -> None:
        decided: dict[int, list[QRect]] = {}
        proposed: dict[int, list[QRect]] = {}
        for key in keys:
            self._collect_edges(overlay, key, bounds, decided if self.outline else None, proposed)
        _fill_rects(painter, decided)
        if proposed:
            self._paint_patterned(painter, bounds, "dash", _DESTINATION_IN, partial(_fill_rects, rects=proposed))

    def _collect_edges(
        self,
        overlay: Overlay,
        key: TileKey,
        bounds: QRect,
        decided: dict[int, list[QRect]] | None,
        proposed: dict[int, list[QRect]],
    ) -> None:
        """Adds the rectangles, by colour, of the border pieces of a tile within `bounds`."""
        edges = overlay.edges(key)
        wanted = np.ones(edges.codes.size, dtype=np.bool_) if decided is not None else edges.codes >= PROPOSED
        box = self._target(key, TILE_PX, TILE_PX)
        scale = np.array([box.width(), box.height()] * 2) / TILE_PX
        corner = np.array([box.left(), box.top()] * 2)
        spans = np.rint(edges.spans * scale + corner).astype(np.int32)
        thick = 2 * max(1, round(self._viewport.ratio))
        top, bottom, left, right = (edges.sides == side for side in range(4))
        spans[:, 3] = np.where(top, spans[:, 1] + thick, spans[:, 3])
        spans[:, 1] = np.where(bottom, spans[:, 3] - thick, spans[:, 1])
        spans[:, 2] = np.where(left, spans[:, 0] + thick, spans[:, 2])
        spans[:, 0] = np.where(right, spans[:, 2] - thick, spans[:, 0])
        wanted &= (spans[:, 2] > bounds.left()) & (spans[:, 0] <= bounds.right())
        wanted &= (spans[:, 3] > bounds.top()) & (spans[:, 1] <= bounds.bottom())
        colors = overlay.line_colors(edges.codes)[wanted].tolist()
        for (x0, y0, x1, y1), code, color in zip(spans[wanted].tolist(), edges.codes[wanted], colors, strict=True):
            target = proposed if code >= PROPOSED or decided is None else decided
            target.setdefault(color, []).append(QRect(x0, y0, x1 - x0, y1 - y0))

    def _paint_patterned(
        self, painter: QPainter, box: QRect, kind: str, mode: QPainter.CompositionMode, draw: Draw
    ) -> None:
        """Draws through a pattern that keeps its size on the screen and moves with the image."""
        if box.isEmpty():
            return
        layer = self._layer(box)
        inner = QPainter(layer)
        inner.setCompositionMode(QPainter.CompositionMode.CompositionMode_Source)
        inner.fillRect(0, 0, box.width(), box.height(), Qt.GlobalColor.transparent)
        inner.setCompositionMode(QPainter.CompositionMode.CompositionMode_SourceOver)
        inner.translate(-box.topLeft())
        self._set_sampling(inner)
        draw(inner)
        inner.setCompositionMode(mode)
        inner.setBrushOrigin(QPoint(*(round(v) for v in self._viewport.origin)))
        inner.fillRect(box, self._brush(kind))
        inner.end()
        painter.drawImage(box.topLeft(), layer, QRect(0, 0, box.width(), box.height()))

    def _draw_tiles(self, painter: QPainter, images: Sequence[tuple[TileKey, QImage]]) -> None:
        for key, image in images:
            painter.drawImage(self._target(key, image.width(), image.height()), image)

    def _target(self, key: TileKey, width: int, height: int) -> QRect:
        """Where a tile of level pixels goes; neighbours round their common edge alike, so no seam shows."""
        left, top = self._viewport.origin
        scale = self._viewport.zoom * key.step
        x0, x1 = (round(left + (key.column * TILE_PX + x) * scale) for x in (0, width))
        y0, y1 = (round(top + (key.row * TILE_PX + y) * scale) for y in (0, height))
        return QRect(x0, y0, x1 - x0, y1 - y0)

    def _box_of(self, keys: Sequence[TileKey]) -> QRect:
        box = QRect()
        for key in keys:
            box = box.united(self._target(key, TILE_PX, TILE_PX))
        return box

    def _image_box(self) -> tuple[int, int, int, int]:
        left, top = self._viewport.origin
        width, height = self._viewport.image
        x0, y0 = round(left), round(top)
        return (
            x0,
            y0,
            round(left + width * self._viewport.zoom) - x0,
            round(top + height * self._viewport.zoom) - y0,
        )

    def _set_sampling(self, painter: QPainter) -> None:
        smooth = self._viewport.zoom < _NEAREST_FROM_ZOOM and self._viewport.zoom != 1.0
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, smooth)

    def _layer(self, box: QRect) -> QImage:
        if self._scratch.width() < box.width() or self._scratch.height() < box.height():
            width, height = max(self._scratch.width(), box.width()), max(self._scratch.height(), box.height())
            self._scratch = QImage(width, height, QImage.Format.Format_ARGB32_Premultiplied)
        return self._scratch

    def _brush(self, kind: str) -> QBrush:
        if self._brush_ratio != self._viewport.ratio:
            self._brush_ratio = self._viewport.ratio
            self._brushes = {k: QBrush(pattern(k, self._brush_ratio)) for k in ("proposed", "ignored", "dash")}
        return self._brushes[kind]


def _fill_rects(painter: QPainter, rects: dict[int, list[QRect]]) -> None:
    painter.setPen(Qt.PenStyle.NoPen)
    for color, group in rects.items():
        painter.setBrush(QColor.fromRgba(color))
        painter.drawRects(group)
