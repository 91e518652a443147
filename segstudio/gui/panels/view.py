"""The bar above the canvas: where in the list, brush size, opacity, outlines, and the next step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QSlider, QWidget

from segstudio.gui import icons, theme
from segstudio.gui.panels.common import ElidedLabel

if TYPE_CHECKING:
    from segstudio.gui.actions import Actions

_STEPS: Final = 200
_MIN_RADIUS: Final = 0.5
_MAX_RADIUS: Final = 500.0
_WIDE_PX: Final = 1000
_MIDDLE_PX: Final = 760
_NARROW_PX: Final = 640


def slider_to_radius(value: int) -> float:
    """The brush radius in image pixels at a slider position: equal steps are equal ratios."""
    return _MIN_RADIUS * math.pow(_MAX_RADIUS / _MIN_RADIUS, value / _STEPS)


def radius_to_slider(radius: float) -> int:
    """The slider position of a brush radius."""
    inside = min(max(radius, _MIN_RADIUS), _MAX_RADIUS)
    return round(_STEPS * math.log(inside / _MIN_RADIUS) / math.log(_MAX_RADIUS / _MIN_RADIUS))


class ViewBar(QWidget):
    """The context bar; numbers go out as signals, everything else is an action of the table."""

    radius_changed = Signal(float)
    opacity_changed = Signal(float)

    def __init__(self, actions: Actions, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("topBar")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._layout = QHBoxLayout(self)
        self._layout.setContentsMargins(8, 6, 12, 6)
        self._layout.setSpacing(4)
        for name in ("previous_image", "next_image", "next_unfinished"):
            self._layout.addWidget(actions.button(name, self))
        self.title = ElidedLabel(self)
        self.title.setProperty("role", "section")
        self.title.setMinimumWidth(72)
        self._layout.addSpacing(4)
        self._layout.addWidget(self.title, 100)
        self._layout.addStretch(1)
        self.brush_size = self._slider("Brush size", 88)
        self.brush_size.setRange(0, _STEPS)
        self.brush_size.valueChanged.connect(self._on_size)
        self._names: list[tuple[QLabel, str, str]] = []
        self._words = True
        theme.manager().changed.connect(lambda: self._name_sliders(words=self._words))
        self.brush_text = self._group("Brush", "size", self.brush_size, 48)
        self._rule()
        self.opacity = self._slider("Overlay opacity", 72)
        self.opacity.setRange(0, 100)
        self.opacity.valueChanged.connect(self._on_opacity)
        self.opacity_text = self._group("Overlay", "opacity", self.opacity, 44)
        for name in ("outline", "overlay"):
            self._layout.addWidget(actions.button(name, self))
        self._rule()
        for name in ("fit", "one_to_one"):
            self._layout.addWidget(actions.button(name, self))
        self._rule()
        self.reviewed = actions.button("mark_reviewed", self)
        self.reviewed.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._layout.addWidget(self.reviewed)
        self.set_radius(12)
        self.set_opacity(0.5)

    def set_radius(self, radius: float) -> None:
        """Show a brush radius in image pixels."""
        blocked = self.brush_size.blockSignals(True)
        self.brush_size.setValue(radius_to_slider(radius))
        self.brush_size.blockSignals(blocked)
        diameter = 2 * radius
        self.brush_text.setText(f"{diameter:.0f} px" if diameter >= 10 else f"{diameter:.1f} px")

    def set_opacity(self, opacity: float) -> None:
        """Show an overlay opacity, 0 to 1."""
        blocked = self.opacity.blockSignals(True)
        self.opacity.setValue(round(opacity * 100))
        self.opacity.blockSignals(blocked)
        self.opacity_text.setText(f"{opacity:.0%}".replace("%", " %"))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        width = event.size().width()
        self._name_sliders(words=width >= _WIDE_PX)
        self.title.setVisible(width >= _NARROW_PX)
        for value in (self.brush_text, self.opacity_text):
            value.setVisible(width >= _MIDDLE_PX)
        beside = Qt.ToolButtonStyle.ToolButtonTextBesideIcon
        self.reviewed.setToolButtonStyle(beside if width >= _NARROW_PX else Qt.ToolButtonStyle.ToolButtonIconOnly)

    def minimumSizeHint(self) -> QSize:
        return QSize(440, super().minimumSizeHint().height())

    def _on_size(self, value: int) -> None:
        radius = slider_to_radius(value)
        self.set_radius(radius)
        self.radius_changed.emit(radius)

    def _on_opacity(self, value: int) -> None:
        self.set_opacity(value / 100)
        self.opacity_changed.emit(value / 100)

    def _slider(self, name: str, width: int) -> QSlider:
        slider = QSlider(Qt.Orientation.Horizontal, self)
        slider.setAccessibleName(name)
        slider.setToolTip(name)
        slider.setMinimumWidth(48)
        slider.setMaximumWidth(width)
        return slider

    def _group(self, title: str, icon: str, slider: QSlider, width: int) -> QLabel:
        label = QLabel(title, self)
        label.setProperty("role", "muted")
        label.setBuddy(slider)
        self._names.append((label, title, icon))
        value = QLabel(self)
        value.setFixedWidth(width)
        value.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        for widget in (label, slider, value):
            self._layout.addWidget(widget)
        return value

    def _name_sliders(self, *, words: bool) -> None:
        self._words = words
        for label, title, icon in self._names:
            if words:
                label.setText(title)
            else:
                label.setPixmap(icons.pixmap(icon, 16, "text_muted", ratio=self.devicePixelRatioF()))

    def _rule(self) -> None:
        rule = QFrame(self)
        rule.setProperty("role", "vrule")
        rule.setFixedHeight(20)
        self._layout.addSpacing(6)
        self._layout.addWidget(rule)
        self._layout.addSpacing(6)
