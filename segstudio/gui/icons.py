"""Icons by meaning: `icon("brush")` gives a QIcon that follows the theme, drawn from qtawesome's Material Design
font.

Importing qtawesome and its first icon cost 245 ms, as it loads eleven fonts; loading the one font file of its
package that is used here costs 18 ms (2-core machine), so the file is opened directly.
"""

from __future__ import annotations

import importlib.util
import json
from functools import lru_cache
from pathlib import Path
from typing import Final

from PySide6.QtCore import QPoint, QRect, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontDatabase, QIcon, QIconEngine, QPainter, QPixmap

from segstudio.gui import theme

GLYPHS: Final = {
    "about": "information-outline",
    "accept_all": "check-all",
    "accept_brush": "brush-variant",
    "accept_class": "check",
    "add": "plus",
    "box": "selection",
    "brush": "brush",
    "cancel": "close-circle-outline",
    "chip": "chip",
    "chevron_down": "chevron-down",
    "chevron_right": "chevron-right",
    "chevron_up": "chevron-up",
    "classes": "shape-outline",
    "close": "close",
    "color": "palette-outline",
    "compare": "compare",
    "copy": "content-copy",
    "delete": "trash-can-outline",
    "demo": "flask-outline",
    "edit": "pencil-outline",
    "eraser": "eraser",
    "error": "alert-circle-outline",
    "export": "export-variant",
    "eye": "eye-outline",
    "eye_off": "eye-off-outline",
    "fill": "format-color-fill",
    "filter": "filter-variant",
    "fit": "fit-to-page-outline",
    "folder_open": "folder-open-outline",
    "fullscreen": "fullscreen",
    "help": "help-circle-outline",
    "image_problem": "image-off-outline",
    "images": "image-multiple-outline",
    "import": "import",
    "info": "information-outline",
    "keyboard": "keyboard-outline",
    "lock": "lock-outline",
    "lock_open": "lock-open-variant-outline",
    "memory": "memory",
    "metrics": "chart-box-outline",
    "model": "brain",
    "models": "database-outline",
    "new": "folder-plus-outline",
    "next": "chevron-right",
    "next_unfinished": "skip-next-outline",
    "one_to_one": "relative-scale",
    "opacity": "opacity",
    "outline": "vector-square",
    "overlay": "layers-outline",
    "overlay_off": "layers-off-outline",
    "pan": "cursor-move",
    "pick": "eyedropper",
    "play": "play",
    "polygon": "vector-polygon",
    "predict": "creation",
    "predict_all": "auto-fix",
    "previous": "chevron-left",
    "project_open": "image-search-outline",
    "proposal": "creation",
    "recent": "history",
    "redo": "redo-variant",
    "refine": "blur",
    "reject": "close",
    "reviewed": "check-decagram-outline",
    "save": "content-save-outline",
    "saved": "check-circle-outline",
    "search": "magnify",
    "settings": "tune-variant",
    "size": "circle-outline",
    "speed": "speedometer",
    "stop": "stop-circle-outline",
    "success": "check-circle-outline",
    "theme": "theme-light-dark",
    "tour": "compass-outline",
    "train": "school-outline",
    "undo": "undo-variant",
    "warning": "alert-outline",
    "zoom_in": "magnify-plus-outline",
    "zoom_out": "magnify-minus-outline",
}
_FONT_PATTERN: Final = "materialdesignicons6-webfont-*.ttf"
_CHARMAP_PATTERN: Final = "materialdesignicons6-webfont-charmap-*.json"


@lru_cache(maxsize=1)
def _fonts_folder() -> Path:
    spec = importlib.util.find_spec("qtawesome")
    if spec is None or spec.origin is None:
        message = "the package qtawesome is missing"
        raise ModuleNotFoundError(message)
    return Path(spec.origin).parent / "fonts"


@lru_cache(maxsize=1)
def _family() -> str:
    identifier = QFontDatabase.addApplicationFont(str(next(_fonts_folder().glob(_FONT_PATTERN))))
    return QFontDatabase.applicationFontFamilies(identifier)[0]


@lru_cache(maxsize=1)
def _charmap() -> dict[str, str]:
    text = next(_fonts_folder().glob(_CHARMAP_PATTERN)).read_text(encoding="utf-8")
    codes = json.loads(text)
    return {name: chr(int(codes[glyph], 16)) for name, glyph in GLYPHS.items()}


def paint_glyph(painter: QPainter, rect: QRect, name: str, color: QColor) -> None:
    """Draw an icon centred in `rect`, as large as its shorter side."""
    font = QFont(_family())
    font.setPixelSize(max(1, min(rect.width(), rect.height())))
    painter.save()
    painter.setFont(font)
    painter.setPen(color)
    painter.setRenderHint(QPainter.RenderHint.TextAntialiasing)
    painter.drawText(rect, Qt.AlignmentFlag.AlignCenter, _charmap()[name])
    painter.restore()


class _GlyphEngine(QIconEngine):
    """Draws one glyph in the colour that the theme, the mode and the state ask for, at the time it is drawn."""

    def __init__(self, name: str, tint: str) -> None:
        super().__init__()
        self._name = name
        self._tint = tint

    def paint(self, painter: QPainter, rect: QRect, mode: QIcon.Mode, state: QIcon.State) -> None:
        paint_glyph(painter, rect, self._name, theme.current().color(self._color_token(mode, state)))

    def pixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State) -> QPixmap:
        pixmap = QPixmap(size)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        self.paint(painter, QRect(QPoint(0, 0), size), mode, state)
        painter.end()
        return pixmap

    def clone(self) -> QIconEngine:
        return _GlyphEngine(self._name, self._tint)

    def _color_token(self, mode: QIcon.Mode, state: QIcon.State) -> str:
        if mode == QIcon.Mode.Disabled:
            return "text_disabled"
        if state == QIcon.State.On and self._tint == "text":
            return "accent_ink"
        return self._tint


def icon(name: str, tint: str = "text") -> QIcon:
    """The icon called `name` in GLYPHS, in a theme colour; dimmed when disabled, accented when checked."""
    if name not in GLYPHS:
        raise KeyError(name)
    return QIcon(_GlyphEngine(name, tint))


def pixmap(name: str, size: int, tint: str = "text", *, ratio: float = 1.0) -> QPixmap:
    """A picture of an icon, `size` logical pixels on a side."""
    picture = QPixmap(round(size * ratio), round(size * ratio))
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    paint_glyph(painter, picture.rect(), name, theme.current().color(tint))
    painter.end()
    picture.setDevicePixelRatio(ratio)
    return picture
