"""The canvas: shows one image with its labels and lets the tool in hand change them."""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import QEvent, QPointF, Qt
from PySide6.QtGui import (
    QEnterEvent,
    QFocusEvent,
    QInputDevice,
    QKeyEvent,
    QMouseEvent,
    QNativeGestureEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QWidget

from segstudio.gui.canvas.view import CanvasView
from segstudio.gui.tools.base import Pointer
from segstudio.services.annotating import Annotator

PAN_KEY: Final = Qt.Key.Key_Space
_GESTURE_KEYS: Final = frozenset({Qt.Key.Key_Escape, Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Backspace})
_WHEEL_NOTCH: Final = 120.0
_ZOOM_PER_NOTCH: Final = 1.25
_NOWHERE: Final = (-1, -1)


class CanvasWidget(CanvasView):
    """The canvas with mouse and keys.

    Wheel: zoom at the pointer; with Ctrl: brush size; on a touchpad: pan, and pinch to zoom. Middle button or Space and
    drag: pan. Alt+click: pick the class. Esc drops a gesture. All else goes to the tool.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pan_from: QPointF | None = None
        self._pan_button = Qt.MouseButton.NoButton
        self._pan_key_down = False
        self._mouse: QPointF | None = None
        self._pixel = _NOWHERE

    def set_document(self, annotator: Annotator | None) -> None:
        self._pan_from = None
        super().set_document(annotator)
        self._follow_pointer()

    # -- mouse

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._track(event)
        if self.document is None:
            return
        if self._pans(event):
            self._pan_from, self._pan_button = event.position(), event.button()
            self._show_cursor()
            return
        pointer = self._pointer_of(event)
        if event.button() == Qt.MouseButton.LeftButton and event.modifiers() & Qt.KeyboardModifier.AltModifier:
            self.context.pick_at(pointer)
        elif self.tool is not None and not self._other_button_down(event):
            self.tool.press(pointer, self.context)
            self.update_preview()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        special = self._pans(event) or event.modifiers() & Qt.KeyboardModifier.AltModifier
        if special or self.document is None or self.tool is None:
            self.mousePressEvent(event)
            return
        self._track(event)
        self.tool.double_click(self._pointer_of(event), self.context)
        self.update_preview()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._pan_from is not None:
            moved = event.position() - self._pan_from
            self._pan_from = event.position()
            self._pan_by(moved)
        self._track(event)
        if self.document is not None and self.tool is not None and self._pan_from is None:
            self.tool.move(self._pointer_of(event), self.context)
        self.update_preview()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self._track(event)
        if self._pan_from is not None and event.button() == self._pan_button:
            self._pan_from = None
            self._show_cursor()
        elif self.document is not None and self.tool is not None:
            self.tool.release(self._pointer_of(event), self.context)
            self.update_preview()

    def enterEvent(self, event: QEnterEvent) -> None:
        self._mouse = event.position()
        self._follow_pointer()
        super().enterEvent(event)

    def leaveEvent(self, event: QEvent) -> None:
        self._mouse = None
        self._follow_pointer()
        super().leaveEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:
        if self.document is None:
            event.ignore()
            return
        self._mouse = event.position()
        notches = event.angleDelta().y() / _WHEEL_NOTCH
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            if notches:
                self.grow_brush(notches)
        elif self._is_touchpad(event):
            self._pan_by(QPointF(event.pixelDelta()))
        elif notches:
            self.set_zoom(self.viewport.zoom * _ZOOM_PER_NOTCH**notches, self._device(event.position()))
        event.accept()

    def event(self, event: QEvent) -> bool:
        if isinstance(event, QNativeGestureEvent):
            return self._pinch(event) or super().event(event)
        if event.type() == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent) and self._claims(event):
            # A key the canvas needs now is not an action's, whatever the window binds to it.
            event.accept()
            return True
        return super().event(event)

    def _pinch(self, event: QNativeGestureEvent) -> bool:
        pinches = event.gestureType() == Qt.NativeGestureType.ZoomNativeGesture
        if pinches and self.document is not None:
            self.set_zoom(self.viewport.zoom * (1.0 + event.value()), self._device(event.position()))
        return pinches

    # -- keys

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if not self._claims(event):
            self._refresh_modifiers(event)
            super().keyPressEvent(event)
            return
        key = Qt.Key(event.key())
        if key == PAN_KEY:
            self._set_pan_key(down=True)
        elif key == Qt.Key.Key_Escape:
            self.cancel_gesture()
        elif self.tool is not None:
            self.tool.key(key, self.context)
            self.update_preview()

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        self._refresh_modifiers(event)
        if event.isAutoRepeat():
            return
        if event.key() == PAN_KEY:
            self._set_pan_key(down=False)
        else:
            super().keyReleaseEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        # The release of a held key goes to whoever has the focus then.
        self._set_pan_key(down=False)
        super().focusOutEvent(event)

    def _claims(self, event: QKeyEvent) -> bool:
        plain = not event.modifiers() & ~(Qt.KeyboardModifier.ShiftModifier | Qt.KeyboardModifier.KeypadModifier)
        if self.document is None or not plain:
            return False
        return event.key() == PAN_KEY or (self.gesture_active and event.key() in _GESTURE_KEYS)

    def _set_pan_key(self, *, down: bool) -> None:
        if self._pan_key_down != down:
            self._pan_key_down = down
            self._show_cursor()

    # -- helpers

    def _show_cursor(self) -> None:
        if self._pan_from is not None:
            self.setCursor(Qt.CursorShape.ClosedHandCursor)
        elif self._pan_key_down and self.document is not None:
            self.setCursor(Qt.CursorShape.OpenHandCursor)
        else:
            super()._show_cursor()

    def _pans(self, event: QMouseEvent) -> bool:
        if event.button() == Qt.MouseButton.MiddleButton:
            return True
        return self._pan_key_down and event.button() == Qt.MouseButton.LeftButton

    def _pan_by(self, moved: QPointF) -> None:
        ratio = self.viewport.ratio
        self.viewport.pan(moved.x() * ratio, moved.y() * ratio)
        self._follow_pointer()
        self.update()

    @staticmethod
    def _other_button_down(event: QMouseEvent) -> bool:
        return bool(event.buttons() & ~event.button())

    @staticmethod
    def _is_touchpad(event: QWheelEvent) -> bool:
        if event.pixelDelta().isNull():
            return False
        # A mouse wheel gives pixel deltas too on some systems, but never the phases of a finger.
        touchpad = event.device().type() == QInputDevice.DeviceType.TouchPad
        return touchpad or event.phase() != Qt.ScrollPhase.NoScrollPhase

    def _device(self, position: QPointF) -> tuple[float, float]:
        return position.x() * self.viewport.ratio, position.y() * self.viewport.ratio

    def _pointer_of(self, event: QMouseEvent) -> Pointer:
        x, y = self.viewport.to_image(*self._device(event.position()))
        return Pointer(x, y, event.button(), event.modifiers())

    def _track(self, event: QMouseEvent) -> None:
        self._mouse = event.position()
        self._follow_pointer(event.modifiers())

    def _refresh_modifiers(self, event: QKeyEvent) -> None:
        """Lets a preview that depends on Shift follow the key."""
        self._follow_pointer(event.modifiers())
        self.update_preview()

    def _follow_pointer(self, modifiers: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        """Keeps the pointer's place in the image up to date, also when the image moves under it."""
        pixel = _NOWHERE
        self._pointer = None
        if self._mouse is not None and self.document is not None:
            self._pointer = Pointer(*self.viewport.to_image(*self._device(self._mouse)), modifiers=modifiers)
            if self.context.contains(self._pointer):
                row, column = self._pointer.pixel
                pixel = (column, row)
        if pixel != self._pixel:
            self._pixel = pixel
            self.cursor_moved.emit(*pixel)
        self.update_preview()
