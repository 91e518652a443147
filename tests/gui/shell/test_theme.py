"""Both themes: readable text, complete tokens, a switch that reaches everything."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QSize
from PySide6.QtGui import QIcon, QImage

from segstudio.core.settings import Settings
from segstudio.gui import icons, theme

_SURFACES = ("window", "surface", "raised", "sunken", "hover")
_TEXTS = ("text", "text_muted")
_INKS = ("accent_ink", "success", "warning", "error", "info")


@pytest.mark.parametrize("name", ["dark", "light"])
@pytest.mark.parametrize("text", _TEXTS)
@pytest.mark.parametrize("surface", _SURFACES)
def test_text_reaches_four_and_a_half_to_one_on_every_surface(name: str, text: str, surface: str) -> None:
    colors = theme.load_theme(name).colors
    assert theme.contrast(colors[text], colors[surface]) >= 4.5


@pytest.mark.parametrize("name", ["dark", "light"])
def test_coloured_text_and_messages_are_readable(name: str) -> None:
    colors = theme.load_theme(name).colors
    pairs = [(ink, surface) for ink in _INKS for surface in ("surface", "raised", "window")]
    pairs += [("text", f"{level}_soft") for level in ("info", "success", "warning", "error")]
    pairs += [("accent_text", "accent"), ("accent_text", "accent_hover"), ("on_accent_soft", "accent_soft")]
    weak = [(a, b) for a, b in pairs if theme.contrast(colors[a], colors[b]) < 4.5]
    assert weak == []


@pytest.mark.parametrize("name", ["dark", "light"])
def test_outlines_of_inputs_reach_three_to_one(name: str) -> None:
    colors = theme.load_theme(name).colors
    assert theme.contrast(colors["border_strong"], colors["sunken"]) >= 3


def test_both_themes_have_the_same_tokens_and_the_style_sheet_leaves_none_open() -> None:
    dark, light = theme.load_theme("dark"), theme.load_theme("light")
    assert set(dark.colors) == set(light.colors)
    for look in (dark, light):
        sheet = theme.style_sheet(look)
        assert look.colors["accent"] in sheet
        assert "@accent" not in sheet


def test_black_on_white_has_the_contrast_of_the_standard() -> None:
    assert theme.contrast("#000000", "#ffffff") == pytest.approx(21)


def test_the_chosen_theme_is_remembered(themed: theme.ThemeManager, settings: Settings) -> None:
    themed.set_mode(theme.Mode.LIGHT)
    assert Settings(settings.path).get("theme", "") == "light"
    assert not themed.theme.dark


def _ink(icon: QIcon, mode: QIcon.Mode = QIcon.Mode.Normal) -> str:
    image: QImage = icon.pixmap(QSize(64, 64), 1.0, mode).toImage()
    solid = [
        image.pixelColor(x, y).name()
        for x in range(image.width())
        for y in range(image.height())
        if image.pixelColor(x, y).alpha() == 255
    ]
    return max(set(solid), key=solid.count)


def test_icons_follow_the_theme_and_dim_when_disabled(themed: theme.ThemeManager) -> None:
    icon = icons.icon("brush")
    themed.set_mode(theme.Mode.DARK)
    dark = _ink(icon)
    assert dark == themed.theme.colors["text"]
    assert _ink(icon, QIcon.Mode.Disabled) == themed.theme.colors["text_disabled"]
    themed.set_mode(theme.Mode.LIGHT)
    assert _ink(icon) == themed.theme.colors["text"] != dark


@pytest.mark.parametrize("name", sorted(icons.GLYPHS))
def test_every_icon_exists_in_the_font(themed: theme.ThemeManager, name: str) -> None:
    assert _ink(icons.icon(name)) == themed.theme.colors["text"]


def test_an_unknown_icon_is_refused() -> None:
    with pytest.raises(KeyError):
        icons.icon("unicorn")
