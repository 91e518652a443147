"""Strokes, discs and polygons against a distance per pixel and a ray per pixel."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from segstudio.core.geometry import Rect
from segstudio.core.rasterize import disc_mask, polygon_mask, stroke_mask

SHAPE = (40, 50)
Points = list[tuple[float, float]]


def placed(mask: npt.NDArray[np.bool_], rect: Rect, shape: tuple[int, int] = SHAPE) -> npt.NDArray[np.bool_]:
    full = np.zeros(shape, dtype=bool)
    full[rect.slices] = mask
    return full


def distance_to(points: Points, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    best = np.full(shape, np.inf)
    for (ax, ay), (bx, by) in zip(points, points[1:] or points, strict=False):
        dx, dy = bx - ax, by - ay
        squared = dx * dx + dy * dy
        t = np.clip(((x - ax) * dx + (y - ay) * dy) / squared, 0, 1) if squared else 0.0
        best = np.minimum(best, np.hypot(x - ax - t * dx, y - ay - t * dy))
    return best


@pytest.mark.parametrize("seed", range(30))
def test_a_stroke_is_every_pixel_whose_centre_is_within_the_radius(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = [(float(x), float(y)) for x, y in rng.uniform(-12, 60, size=(rng.integers(1, 5), 2))]
    radius = float(rng.uniform(0.8, 14))
    mask, rect = stroke_mask(points, radius, SHAPE)
    distance = distance_to(points, SHAPE)
    sure = np.abs(distance - radius) > 1e-9
    assert np.array_equal(placed(mask, rect)[sure], (distance <= radius)[sure])


@pytest.mark.parametrize("end", [(30.0, 20.5), (20.5, 30.0), (5.0, 20.5), (20.5, 20.5), (35.5, 35.5)])
def test_level_upright_diagonal_and_zero_length_strokes_are_exact(end: tuple[float, float]) -> None:
    points = [(20.5, 20.5), end]
    mask, rect = stroke_mask(points, 3.25, SHAPE)
    assert np.array_equal(placed(mask, rect), distance_to(points, SHAPE) <= 3.25)


def test_a_stroke_in_two_pieces_covers_the_stroke_in_one() -> None:
    points = [(5.0, 5.0), (22.0, 31.0), (44.0, 9.0)]
    whole = placed(*stroke_mask(points, 4.0, SHAPE))
    pieces = placed(*stroke_mask(points[:2], 4.0, SHAPE)) | placed(*stroke_mask(points[1:], 4.0, SHAPE))
    assert np.array_equal(whole, pieces)


@pytest.mark.parametrize("point", [(10.0, 10.0), (10.99, 10.99), (10.5, 10.5), (0.0, 0.0)])
def test_the_thinnest_brush_paints_the_pixel_under_it(point: tuple[float, float]) -> None:
    full = placed(*disc_mask(point, 0.5, SHAPE))
    assert full[math.floor(point[1]), math.floor(point[0])]
    assert 1 <= full.sum() <= 4


def test_a_thin_diagonal_has_no_gap() -> None:
    full = placed(*stroke_mask([(2.3, 1.1), (47.0, 38.2)], 0.5, SHAPE))
    assert full[1:38].any(axis=1).all()
    assert full[:, 3:46].any(axis=0).all()


def test_a_stroke_outside_the_image_is_empty() -> None:
    mask, rect = stroke_mask([(-30.0, -30.0), (-20.0, 90.0)], 5.0, SHAPE)
    assert rect == Rect.EMPTY
    assert mask.shape == (0, 0)


def test_the_box_is_no_larger_than_the_stroke() -> None:
    mask, rect = disc_mask((2000.5, 1000.5), 100.0, (4096, 4096))
    assert rect == Rect(900, 1900, 201, 201)
    assert mask.any(axis=0).all()
    assert mask.any(axis=1).all()


def inside_by_ray(points: Points, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    result = np.zeros(shape, dtype=bool)
    for row in range(shape[0]):
        for column in range(shape[1]):
            x, y = column + 0.5, row + 0.5
            odd = False
            for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
                if (y0 > y) != (y1 > y) and x < x0 + (y - y0) * (x1 - x0) / (y1 - y0):
                    odd = not odd
            result[row, column] = odd
    return result


@pytest.mark.parametrize("seed", range(15))
def test_a_polygon_is_every_pixel_whose_centre_is_inside_by_the_even_odd_rule(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = [(float(x), float(y)) for x, y in rng.uniform(-15, 65, size=(rng.integers(3, 9), 2))]
    assert np.array_equal(placed(*polygon_mask(points, SHAPE)), inside_by_ray(points, SHAPE))


def test_polygons_that_share_an_edge_through_pixel_centres_cover_each_pixel_once() -> None:
    left = placed(*polygon_mask([(2.5, 2.5), (20.5, 2.5), (20.5, 30.5), (2.5, 30.5)], SHAPE))
    right = placed(*polygon_mask([(20.5, 2.5), (40.5, 2.5), (40.5, 30.5), (20.5, 30.5)], SHAPE))
    both = placed(*polygon_mask([(2.5, 2.5), (40.5, 2.5), (40.5, 30.5), (2.5, 30.5)], SHAPE))
    assert not (left & right).any()
    assert np.array_equal(left | right, both)


def test_two_points_enclose_nothing() -> None:
    assert polygon_mask([(1.0, 1.0), (9.0, 9.0)], SHAPE)[1] == Rect.EMPTY


def test_a_crossing_polygon_leaves_its_middle_out() -> None:
    star = [(25 + 18 * math.cos(math.radians(a)), 20 + 18 * math.sin(math.radians(a))) for a in range(0, 720, 144)]
    full = placed(*polygon_mask(star, SHAPE))
    assert not full[20, 25]
    assert full.sum() > 100
