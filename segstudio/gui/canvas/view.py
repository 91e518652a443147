"""The seeing half of the canvas: one image with its labels, drawn through a viewport."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from PySide6.QtCore import QEvent, QPoint, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from segstudio.core.events import Change, ChangeSet
from segstudio.core.geometry import Rect
from segstudio.gui import theme
from segstudio.gui.canvas.empty import paint_empty
from segstudio.gui.canvas.overlay import Overlay
from segstudio.gui.canvas.render import Renderer
from segstudio.gui.canvas.tiles import PictureTiles
from segstudio.gui.canvas.viewport import Viewport
from segstudio.gui.tools.base import MAX_RADIUS, MIN_RADIUS, Pointer, Tool, ToolContext, two_tone_pens
from segstudio.services.annotating import Annotator

_BRUSH_STEP: Final = 1.15
_REPAINT_MARGIN_PX: Final = 3


class CanvasView(QWidget):
    """Shows an annotator's image and labels; what the mouse and the keys do is added by `CanvasWidget`.

    Positions in signals and methods are image pixels, (x, y) with pixel centres at +0.5.
    """

    cursor_moved = Signal(int, int)
    zoom_changed = Signal(float)
    brush_radius_changed = Signal(float)
    active_class_picked = Signal(int)
    message = Signal(str)
    gesture_finished = Signal()
    box_drawn = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.viewport = Viewport()
        self.context = ToolContext(
            viewport=self.viewport,
            pick=self.active_class_picked.emit,
            message=self.message.emit,
            finished=self.gesture_finished.emit,
            propose_in=self.box_drawn.emit,
        )
        self._renderer: Renderer | None = None
        self._disconnect: Callable[[], None] = lambda: None
        self._tool: Tool | None = None
        self._pointer: Pointer | None = None
        self._preview = QRectF()
        self._waiting = Rect.EMPTY
        self._opacity, self._outline, self._hidden = 0.5, False, False
        self._empty_texts = ("No image is open", "Choose an image in the list.")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setAccessibleName("Canvas")
        self._sync_view()

    # -- the document

    @property
    def document(self) -> Annotator | None:
        """The annotator on show."""
        return self.context.document

    def set_document(self, annotator: Annotator | None) -> None:
        """Shows another image, fitted, or none; a gesture under way is dropped."""
        self.cancel_gesture()
        self._disconnect()
        self._disconnect = lambda: None
        self.context.document = annotator
        self._renderer = None
        if annotator is None:
            self.viewport.set_image(0, 0)
        else:
            height, width = annotator.rgb.shape[:2]
            self.viewport.set_image(width, height)
            overlay = Overlay(annotator.map, annotator.catalog)
            self._renderer = Renderer(self.viewport, PictureTiles(annotator.rgb), overlay)
            self._renderer.opacity, self._renderer.outline = self._opacity, self._outline
            self._renderer.hidden = self._hidden
            overlay.set_proposal(self.context.visible_proposal())
            self._disconnect = annotator.changed.connect(self._on_changed)
            self.zoom_changed.emit(self.viewport.zoom)
        self._waiting = Rect.EMPTY
        self._show_cursor()
        self.update()

    def set_waiting_box(self, box: Rect | None) -> None:
        """Outlines the box whose proposal is on its way, or none."""
        box = box or Rect.EMPTY
        if box != self._waiting:
            self._waiting = box
            self.update()

    def refresh_colors(self) -> None:
        """Colours the labels by the catalog as it is now."""
        if self._renderer is not None and self.document is not None:
            self._renderer.overlay.set_catalog(self.document.catalog)
            self.update()

    def set_empty_text(self, title: str, hint: str = "") -> None:
        """What to show without an image."""
        self._empty_texts = (title, hint)
        self.update()

    def recoloured_tiles(self) -> int:
        """Label tiles coloured since the image was opened; for tests and benchmarks."""
        return self._renderer.overlay.recoloured if self._renderer is not None else 0

    def _on_changed(self, change: ChangeSet) -> None:
        if self._renderer is None:
            return
        overlay = self._renderer.overlay
        if Change.CATALOG in change.what:
            self.refresh_colors()
        if Change.PROPOSAL in change.what:
            overlay.set_proposal(self.context.visible_proposal())
            self.update()
        if Change.PIXELS in change.what:
            rect = change.rect if change.rect is not None else Rect(0, 0, *reversed(self.viewport.image))
            overlay.invalidate(rect)
            self._update_device(*self.viewport.view_rect(rect.grown(2 << self.viewport.level)))

    # -- what is shown

    @property
    def opacity(self) -> float:
        return self._opacity

    def set_opacity(self, opacity: float) -> None:
        """Shows the label areas at 0 (transparent) to 1 (opaque)."""
        self._opacity = min(max(opacity, 0.0), 1.0)
        self._show_settings()

    @property
    def outline(self) -> bool:
        return self._outline

    def set_outline(self, outline: bool) -> None:  # noqa: FBT001
        """Shows only the borders of the regions."""
        self._outline = outline
        self._show_settings()

    @property
    def overlay_hidden(self) -> bool:
        return self._hidden

    def set_overlay_hidden(self, hidden: bool) -> None:  # noqa: FBT001
        """Shows the bare image."""
        if self._hidden != hidden:
            self._hidden = hidden
            self._show_settings()

    @property
    def proposal_visible(self) -> bool:
        return self.context.proposal_visible

    def set_proposal_visible(self, visible: bool) -> None:  # noqa: FBT001
        """Shows the proposal layer, or hides it from sight and from the tools."""
        self.context.proposal_visible = visible
        if self._renderer is not None:
            self._renderer.overlay.set_proposal(self.context.visible_proposal())
            self.update()

    def _show_settings(self) -> None:
        if self._renderer is not None:
            self._renderer.opacity, self._renderer.outline = self._opacity, self._outline
            self._renderer.hidden = self._hidden
            self.update()

    # -- zoom and place

    @property
    def zoom(self) -> float:
        """Device pixels per image pixel."""
        return self.viewport.zoom

    def fit(self) -> None:
        """Shows the whole image."""
        self.viewport.fit()
        self._view_changed()

    def actual_size(self) -> None:
        """Shows one image pixel as one device pixel."""
        self.set_zoom(1.0)

    def zoom_in(self) -> None:
        """Goes to the next larger round zoom."""
        self.set_zoom(self.viewport.zoom_stop(1))

    def zoom_out(self) -> None:
        """Goes to the next smaller round zoom."""
        self.set_zoom(self.viewport.zoom_stop(-1))

    def set_zoom(self, zoom: float, anchor: tuple[float, float] | None = None) -> None:
        """Zooms about a view position in device pixels, the pointer's by default, else the centre."""
        if anchor is None and self._pointer is not None:
            anchor = self.viewport.to_view(self._pointer.x, self._pointer.y)
        self.viewport.zoom_to(zoom, anchor)
        self._view_changed()

    def center_on(self, x: float, y: float) -> None:
        """Brings an image position to the middle."""
        self.viewport.center_on(x, y)
        self._view_changed()

    def _view_changed(self) -> None:
        self._follow_pointer()
        self.zoom_changed.emit(self.viewport.zoom)
        self.update()

    def _follow_pointer(self) -> None:
        """Tells where the pointer is; overridden where there is one."""

    # -- the tool

    @property
    def tool(self) -> Tool | None:
        return self._tool

    def set_tool(self, tool: Tool | None) -> None:
        """Takes another tool in hand; a gesture under way is dropped."""
        self.cancel_gesture()
        self._tool = tool
        self._show_cursor()
        self.update_preview()

    @property
    def active_class(self) -> int:
        return self.context.active_class

    def set_active_class(self, class_id: int) -> None:
        """The class to paint: an id of the catalog, or IGNORE."""
        self.context.active_class = class_id
        self.update_preview()

    @property
    def brush_radius(self) -> float:
        return self.context.brush_radius

    def set_brush_radius(self, radius: float) -> None:
        """The radius of round brushes in image pixels."""
        radius = min(max(float(radius), MIN_RADIUS), MAX_RADIUS)
        if not math.isclose(radius, self.context.brush_radius):
            self.context.brush_radius = radius
            self.brush_radius_changed.emit(radius)
            self.update_preview()

    def grow_brush(self, steps: float = 1.0) -> None:
        """Makes the brush larger by about an eighth, by half a pixel at least."""
        radius = self.context.brush_radius
        factor = _BRUSH_STEP**steps
        wanted = max(radius * factor, radius + 0.5 * steps) if steps > 0 else min(radius * factor, radius + 0.5 * steps)
        self.set_brush_radius(round(2 * wanted) / 2)

    def shrink_brush(self) -> None:
        """Makes the brush smaller by one step."""
        self.grow_brush(-1.0)

    @property
    def gesture_active(self) -> bool:
        """True while something is being drawn."""
        return self._tool is not None and self._tool.active

    def cancel_gesture(self) -> bool:
        """Drops what is being drawn and restores the pixels; True where there was something."""
        cancelled = self._tool is not None and self._tool.cancel(self.context)
        self.update_preview()
        return cancelled

    def _show_cursor(self) -> None:
        shape = (
            self._tool.cursor if self._tool is not None and self.document is not None else Qt.CursorShape.ArrowCursor
        )
        self.setCursor(shape)

    # -- drawing

    def sizeHint(self) -> QSize:
        return QSize(800, 600)

    def minimumSizeHint(self) -> QSize:
        return QSize(160, 120)

    def update_preview(self) -> None:
        """Redraws what the tool shows, where it was and where it is now."""
        bounds = self._tool.preview_bounds(self._pointer, self.context) if self._tool is not None else None
        area = bounds if bounds is not None else QRectF()
        both = self._preview.united(area)
        self._preview = area
        if not both.isEmpty():
            self._update_device(
                math.floor(both.left()), math.floor(both.top()), math.ceil(both.right()), math.ceil(both.bottom())
            )

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._sync_view()
        # The image moves under a resting pointer, and what the tool shows there with it.
        self._follow_pointer()
        super().resizeEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange):
            self.update()
        super().changeEvent(event)

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.DevicePixelRatioChange:
            self._sync_view()
            self.update()
        return super().event(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        colors = theme.current()
        painter.fillRect(event.rect(), colors.color("canvas"))
        if self._renderer is None:
            paint_empty(painter, self.rect(), self._empty_texts, colors.color("text"), colors.color("text_muted"))
            return
        ratio = self.viewport.ratio
        painter.scale(1 / ratio, 1 / ratio)
        self._renderer.paint(painter, self._to_device(event.rect()))
        self._paint_frame(painter, colors.color("border"))
        self._paint_waiting(painter)
        if self._tool is not None:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            self._tool.paint_preview(painter, self._pointer, self.context)

    def _paint_frame(self, painter: QPainter, color: QColor) -> None:
        """A thin line around the image, so that its edge shows on any background."""
        left, top = self.viewport.origin
        width, height = (size * self.viewport.zoom for size in self.viewport.image)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(color, 1))
        painter.drawRect(QRect(round(left) - 1, round(top) - 1, round(width) + 1, round(height) + 1))

    def _paint_waiting(self, painter: QPainter) -> None:
        """Dashes around the box that was asked for, until its proposal is there."""
        if self._waiting.is_empty:
            return
        left, top, right, bottom = self.viewport.view_rect(self._waiting)
        dark, bright = two_tone_pens(self.viewport.ratio)
        bright.setDashPattern([4.0, 4.0])
        for pen in (dark, bright):
            painter.setPen(pen)
            painter.drawRect(QRect(left, top, right - left, bottom - top))

    def _sync_view(self) -> None:
        ratio = self.devicePixelRatioF()
        before = self.viewport.zoom
        self.viewport.set_view(self.width() * ratio, self.height() * ratio, ratio)
        if self.document is not None and self.viewport.zoom != before:
            self.zoom_changed.emit(self.viewport.zoom)

    def _to_device(self, area: QRect) -> QRect:
        ratio = self.viewport.ratio
        corner = QPoint(math.floor(area.left() * ratio), math.floor(area.top() * ratio))
        end = QPoint(math.ceil((area.right() + 1) * ratio) - 1, math.ceil((area.bottom() + 1) * ratio) - 1)
        return QRect(corner, end)

    def _update_device(self, left: int, top: int, right: int, bottom: int) -> None:
        """Asks for a repaint of a rectangle of device pixels."""
        ratio, margin = self.viewport.ratio, _REPAINT_MARGIN_PX
        x0, y0 = math.floor(left / ratio) - margin, math.floor(top / ratio) - margin
        x1, y1 = math.ceil(right / ratio) + margin, math.ceil(bottom / ratio) + margin
        area = QRect(x0, y0, x1 - x0, y1 - y0).intersected(self.rect())
        if not area.isEmpty():
            self.update(area)
