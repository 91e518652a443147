"""Zoom, pan and fit, without a window."""

from __future__ import annotations

import pytest

from segstudio.core.geometry import Rect
from segstudio.gui.canvas.viewport import MAX_ZOOM, Viewport


@pytest.fixture
def viewport() -> Viewport:
    result = Viewport()
    result.set_view(800, 600)
    result.set_image(4000, 2000)
    return result


def test_fit_shows_the_whole_image_in_the_middle(viewport: Viewport) -> None:
    left, top, right, bottom = viewport.view_rect(Rect(0, 0, 2000, 4000))
    assert 0 < left < 20
    assert right == pytest.approx(800 - left, abs=1)
    assert (top + bottom) / 2 == pytest.approx(300, abs=1)


@pytest.mark.parametrize("zoom", [0.3, 1.0, 2.7, 16.0])
def test_zoom_keeps_the_point_under_the_cursor(viewport: Viewport, zoom: float) -> None:
    viewport.zoom_to(0.25, (400, 300))
    anchor = (333.0, 281.0)
    before = viewport.to_image(*anchor)
    viewport.zoom_to(zoom, anchor)
    assert viewport.to_image(*anchor) == pytest.approx(before)


def test_the_way_to_the_image_and_back_ends_where_it_began(viewport: Viewport) -> None:
    viewport.zoom_to(3.3, (100, 50))
    assert viewport.to_view(*viewport.to_image(123.4, 567.8)) == pytest.approx((123.4, 567.8))


def test_zoom_stays_within_its_limits(viewport: Viewport) -> None:
    viewport.zoom_to(1e9)
    assert viewport.zoom == MAX_ZOOM
    viewport.zoom_to(1e-9)
    assert viewport.zoom == viewport.min_zoom() > 0


def test_the_centre_of_the_view_never_leaves_the_image(viewport: Viewport) -> None:
    for dx, dy in ((1e6, 1e6), (-1e6, -1e6)):
        viewport.pan(dx, dy)
        x, y = viewport.to_image(400, 300)
        assert -1e-6 <= x <= 4000 + 1e-6
        assert -1e-6 <= y <= 2000 + 1e-6


def test_a_fitted_image_stays_fitted_when_the_view_changes_its_size(viewport: Viewport) -> None:
    viewport.set_view(400, 900)
    assert viewport.zoom == viewport.fit_zoom()


def test_a_zoomed_image_keeps_its_centre_when_the_view_changes_its_size(viewport: Viewport) -> None:
    viewport.zoom_to(2.0, (400, 300))
    viewport.center_on(1000, 700)
    viewport.set_view(1200, 500)
    assert viewport.zoom == 2.0
    assert viewport.to_image(600, 250) == pytest.approx((1000, 700))


def test_a_screen_of_higher_density_shows_the_same_part(viewport: Viewport) -> None:
    viewport.zoom_to(1.0)
    before = viewport.visible()
    viewport.set_view(1600, 1200, 2.0)
    assert viewport.zoom == 2.0
    assert viewport.visible() == before


def test_visible_is_the_part_of_the_image_in_the_view(viewport: Viewport) -> None:
    viewport.zoom_to(1.0)
    viewport.center_on(2000, 1000)
    assert viewport.visible() == Rect(700, 1600, 600, 800)


def test_a_rectangle_covers_whole_view_pixels(viewport: Viewport) -> None:
    viewport.zoom_to(0.3)
    left, top, right, bottom = viewport.view_rect(Rect(10, 20, 1, 1))
    x0, y0 = viewport.to_view(20, 10)
    x1, y1 = viewport.to_view(21, 11)
    assert left <= x0
    assert right >= x1
    assert top <= y0
    assert bottom >= y1


@pytest.mark.parametrize(("zoom", "level"), [(8.0, 0), (1.0, 0), (0.51, 0), (0.5, 1), (0.3, 1), (0.25, 2), (0.13, 2)])
def test_the_level_has_at_least_the_resolution_of_the_view(viewport: Viewport, zoom: float, level: int) -> None:
    viewport.set_image(40000, 20000)
    viewport.zoom_to(zoom)
    assert viewport.level == level


def test_zoom_stops_lead_up_and_down_over_one_to_one(viewport: Viewport) -> None:
    viewport.zoom_to(0.9)
    assert viewport.zoom_stop(1) == 1.0
    assert viewport.zoom_stop(-1) == pytest.approx(2 / 3)
    viewport.zoom_to(1.0)
    assert viewport.zoom_stop(1) == 1.5


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (20000, 20000)])
def test_extreme_images_fit(size: tuple[int, int]) -> None:
    viewport = Viewport()
    viewport.set_view(800, 600)
    viewport.set_image(*size)
    assert 0 < viewport.zoom <= MAX_ZOOM
    assert viewport.visible() == Rect(0, 0, size[1], size[0])
