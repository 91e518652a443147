"""Dark and light theme: tokens from `resources/themes/*.toml`, turned into a Qt palette and one style sheet."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QColor, QGuiApplication, QPalette

from segstudio.core.paths import resources_dir

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PySide6.QtWidgets import QApplication

    from segstudio.core.settings import Settings

GRID_PX: Final = 8
RADIUS_PX: Final = 6
ICON_PX: Final = 18
_TOKEN = re.compile(r"@([a-z_]+)")
_FAMILIES: Final = ("Inter", "Segoe UI Variable Text", "Segoe UI", "SF Pro Text", "Noto Sans", "Ubuntu", "DejaVu Sans")
_POINT_SIZE: Final = 10


class Mode(StrEnum):
    """Which theme the person asked for."""

    SYSTEM = "system"
    DARK = "dark"
    LIGHT = "light"


@dataclass(frozen=True, slots=True)
class Theme:
    """The tokens of one theme: name -> "#rrggbb"."""

    name: str
    dark: bool
    colors: Mapping[str, str]

    def color(self, token: str) -> QColor:
        """The colour of a token; an unknown token is a programming error (KeyError)."""
        return QColor(self.colors[token])


def load_theme(name: str) -> Theme:
    """The theme `dark` or `light` as stored in `resources/themes`."""
    with (resources_dir() / "themes" / f"{name}.toml").open("rb") as file:
        data = tomllib.load(file)
    return Theme(name=data["name"], dark=data["dark"], colors=dict(data["colors"]))


def contrast(first: str, second: str) -> float:
    """The WCAG 2 contrast ratio of two "#rrggbb" colours, 1 to 21."""
    lighter, darker = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: str) -> float:
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def style_sheet(theme: Theme) -> str:
    """The style sheet of a theme: `style.qss` with every `@token` replaced."""
    folder = resources_dir()
    values = dict(theme.colors)
    values["icons"] = (folder / "icons").as_posix()
    values["tone"] = "dark" if theme.dark else "light"
    text = (folder / "themes" / "style.qss").read_text(encoding="utf-8")
    return _TOKEN.sub(lambda match: values[match.group(1)], text)


def qt_palette(theme: Theme) -> QPalette:
    """The Qt palette of a theme, for what the style sheet does not reach (delegates, native parts of Fusion)."""
    palette = QPalette()
    roles = {
        QPalette.ColorRole.Window: "surface",
        QPalette.ColorRole.WindowText: "text",
        QPalette.ColorRole.Base: "sunken",
        QPalette.ColorRole.AlternateBase: "surface",
        QPalette.ColorRole.Text: "text",
        QPalette.ColorRole.PlaceholderText: "text_muted",
        QPalette.ColorRole.Button: "raised",
        QPalette.ColorRole.ButtonText: "text",
        QPalette.ColorRole.BrightText: "text",
        QPalette.ColorRole.ToolTipBase: "raised",
        QPalette.ColorRole.ToolTipText: "text",
        QPalette.ColorRole.Highlight: "accent",
        QPalette.ColorRole.HighlightedText: "accent_text",
        QPalette.ColorRole.Link: "accent_ink",
        QPalette.ColorRole.Mid: "border",
        QPalette.ColorRole.Dark: "border",
        QPalette.ColorRole.Light: "hover",
    }
    for role, token in roles.items():
        palette.setColor(role, theme.color(token))
    for role in (QPalette.ColorRole.Text, QPalette.ColorRole.WindowText, QPalette.ColorRole.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, role, theme.color("text_disabled"))
    return palette


class ThemeManager(QObject):
    """Holds the theme in use and applies it; `changed` follows every switch."""

    changed = Signal()

    def __init__(self, settings: Settings | None = None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._settings = settings
        stored = settings.get("theme", Mode.SYSTEM.value) if settings is not None else Mode.SYSTEM.value
        self._mode = Mode(stored) if stored in set(Mode) else Mode.SYSTEM
        self._theme = load_theme(self._wanted())
        QGuiApplication.styleHints().colorSchemeChanged.connect(self._on_system_changed)

    @property
    def theme(self) -> Theme:
        """The theme now shown."""
        return self._theme

    @property
    def mode(self) -> Mode:
        """What the person asked for."""
        return self._mode

    def apply(self, app: QApplication) -> None:
        """Dress the application: Fusion, palette, font, style sheet; nothing happens where it wears them already."""
        sheet = style_sheet(self._theme)
        if app.styleSheet() == sheet:
            return
        if app.style().objectName() != "fusion":
            app.setStyle("Fusion")
        font = app.font()
        font.setFamilies([*_FAMILIES, font.family()])
        font.setPointSize(_POINT_SIZE)
        app.setFont(font)
        app.setPalette(qt_palette(self._theme))
        app.setStyleSheet(sheet)

    def set_mode(self, mode: Mode) -> None:
        """Switch to a mode and remember it."""
        self._mode = mode
        if self._settings is not None:
            self._settings.set("theme", mode.value)
        self._refresh()

    def toggle(self) -> None:
        """Dark becomes light and light becomes dark."""
        self.set_mode(Mode.LIGHT if self._theme.dark else Mode.DARK)

    def _wanted(self) -> str:
        if self._mode is not Mode.SYSTEM:
            return self._mode.value
        light = QGuiApplication.styleHints().colorScheme() == Qt.ColorScheme.Light
        return "light" if light else "dark"

    def _on_system_changed(self) -> None:
        if self._mode is Mode.SYSTEM:
            self._refresh()

    def _refresh(self) -> None:
        theme = load_theme(self._wanted())
        if theme == self._theme:
            return
        self._theme = theme
        app = QGuiApplication.instance()
        if app is not None:
            self.apply(app)  # type: ignore[arg-type]
        self.changed.emit()


_manager: ThemeManager | None = None


def install(app: QApplication, settings: Settings | None = None) -> ThemeManager:
    """Create the manager of this process, dress the application and return the manager."""
    global _manager
    _manager = ThemeManager(settings, app)
    _manager.apply(app)
    return _manager


def manager() -> ThemeManager:
    """The manager of this process; made on first use where nobody installed one (a panel shown on its own)."""
    global _manager
    if _manager is None:
        _manager = ThemeManager(None)
    return _manager


def current() -> Theme:
    """The theme now shown."""
    return manager().theme
