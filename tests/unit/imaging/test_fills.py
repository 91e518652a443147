"""Polygons to pixels, against the drawing calls of the programs whose files are read."""

from __future__ import annotations

import math
import warnings
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

from segstudio.core.geometry import Rect
from segstudio.imaging import fills

Mask = npt.NDArray[np.bool_]
Point = tuple[float, float]

HEIGHT, WIDTH = 24, 40

# Up to an image beyond every side, where points are not cut.
across, down = st.floats(-WIDTH, 2 * WIDTH), st.floats(-HEIGHT, 2 * HEIGHT)
points_near = st.tuples(across | st.integers(0, WIDTH), down | st.integers(0, HEIGHT))
polygons_near = st.lists(points_near, min_size=3, max_size=12)
points_inside = st.tuples(st.floats(0, WIDTH - 1), st.floats(0, HEIGHT - 1))
polygons = polygons_near | st.lists(points_inside, min_size=3, max_size=12)


def whole(part: tuple[Mask, Rect], height: int = HEIGHT, width: int = WIDTH) -> Mask:
    mask, rect = part
    assert mask.dtype == np.bool_ and mask.shape == (rect.height, rect.width)
    assert rect.clipped(height, width) == rect or rect.is_empty
    out = np.zeros((height, width), dtype=np.bool_)
    out[rect.slices] = mask
    return out


def labelme_mask(points: list[Point], shape_type: str) -> Mask:
    """The drawing calls of labelme 7.9's shape_to_mask."""
    mask = Image.fromarray(np.zeros((HEIGHT, WIDTH), dtype=np.uint8))
    draw = ImageDraw.Draw(mask)
    if shape_type == "circle":
        (x, y), (edge_x, edge_y) = points
        d = math.sqrt((x - edge_x) ** 2 + (y - edge_y) ** 2)
        draw.ellipse(((x - d, y - d), (x + d, y + d)), outline=1, fill=1)
    elif shape_type == "rectangle":
        (x0, y0), (x1, y1) = points
        draw.rectangle(((min(x0, x1), min(y0, y1)), (max(x0, x1), max(y0, y1))), outline=1, fill=1)
    elif shape_type == "linestrip":
        draw.line(xy=points, fill=1, width=10, joint="curve")
    elif shape_type == "point":
        ((x, y),) = points
        draw.ellipse(((x - 5, y - 5), (x + 5, y + 5)), outline=1, fill=1)
    else:
        draw.polygon(xy=points, outline=1, fill=1)
    return np.array(mask, dtype=np.bool_)


@settings(deadline=None, max_examples=200)
@given(st.lists(polygons, min_size=1, max_size=3))
def test_coco_polygons_are_filled_as_pycocotools_does(shapes: list[list[Point]]) -> None:
    flat = [[float(value) for point in shape for value in point] for shape in shapes]
    packed = coco_mask.merge(coco_mask.frPyObjects(flat, HEIGHT, WIDTH))
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # pycocotools with numpy 2
        theirs = coco_mask.decode(packed).astype(np.bool_)
    assert np.array_equal(whole(fills.fill_coco(shapes, HEIGHT, WIDTH)), theirs)


@settings(deadline=None, max_examples=200)
@given(polygons)
def test_labelme_polygons_are_filled_as_labelme_does(points: list[Point]) -> None:
    assert np.array_equal(whole(fills.fill_pillow(points, HEIGHT, WIDTH)), labelme_mask(points, "polygon"))


@settings(deadline=None, max_examples=200)
@given(polygons)
def test_yolo_polygons_are_filled_as_ultralytics_does(points: list[Point]) -> None:
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    theirs: Any = np.asarray([np.array(points).reshape(-1)], dtype=np.int32)  # polygon2mask
    cv2.fillPoly(mask, theirs.reshape((theirs.shape[0], -1, 2)), color=1)
    assert np.array_equal(whole(fills.fill_yolo(points, HEIGHT, WIDTH)), mask.astype(np.bool_))


@settings(deadline=None)
@given(points_near, points_near)
def test_labelme_rectangles_and_circles_are_filled_as_labelme_does(first: Point, second: Point) -> None:
    points = [first, second]
    assert np.array_equal(whole(fills.fill_rectangle(points, HEIGHT, WIDTH)), labelme_mask(points, "rectangle"))
    assert np.array_equal(whole(fills.fill_circle(points, HEIGHT, WIDTH)), labelme_mask(points, "circle"))
    assert np.array_equal(whole(fills.fill_point([first], HEIGHT, WIDTH)), labelme_mask([first], "point"))


@settings(deadline=None, max_examples=200)
@given(st.lists(points_near, min_size=2, max_size=6))
def test_labelme_lines_are_drawn_as_labelme_does(points: list[Point]) -> None:
    assert np.array_equal(whole(fills.fill_line(points, HEIGHT, WIDTH)), labelme_mask(points, "linestrip"))


def test_a_box_is_no_larger_than_the_polygon() -> None:
    square = [(10, 5), (20, 5), (20, 9), (10, 9)]
    assert fills.fill_coco([square], 1000, 1000)[1] == Rect(5, 10, 4, 10)
    assert fills.fill_pillow(square, 1000, 1000)[1] == Rect(5, 10, 5, 11)
    assert fills.fill_yolo(square, 1000, 1000)[1] == Rect(5, 10, 5, 11)


def test_polygons_of_one_object_that_overlap_are_joined() -> None:
    first, second = [(0, 0), (6, 0), (6, 6), (0, 6)], [(3, 3), (9, 3), (9, 9), (3, 9)]
    mask, rect = fills.fill_coco([first, second], HEIGHT, WIDTH)
    assert rect == Rect(0, 0, 9, 9)
    assert np.count_nonzero(mask) == 36 + 36 - 9


@pytest.mark.parametrize("fill", [fills.fill_pillow, fills.fill_yolo, lambda p, h, w: fills.fill_coco([p], h, w)])
def test_what_lies_outside_or_encloses_nothing_gives_an_empty_mask(fill: Any) -> None:
    for points in ([], [(1, 1)], [(1, 1), (5, 5)], [(1e9, 1e9), (2e9, 1e9), (2e9, 2e9)], [(50, 1), (60, 1), (60, 9)]):
        mask, rect = fill(points, HEIGHT, WIDTH)
        assert (mask.shape, rect) == ((0, 0), Rect.EMPTY)
    assert fills.fill_coco([], HEIGHT, WIDTH)[1] == Rect.EMPTY


@pytest.mark.parametrize("fill", [fills.fill_pillow, fills.fill_yolo, lambda p, h, w: fills.fill_coco([p], h, w)])
def test_coordinates_of_any_size_fill_the_image_and_no_more(fill: Any) -> None:
    for far in (1e3, 1e9, 1e18, 1e300):
        mask, rect = fill([(-far, -far), (far, -far), (far, far), (-far, far)], HEIGHT, WIDTH)
        assert rect == Rect(0, 0, HEIGHT, WIDTH)
        assert mask.all()
        half = whole(fill([(-far, 12), (far, 12), (0, far)], HEIGHT, WIDTH))
        assert half[13:].all() and not half[:11].any()


def test_shapes_of_any_size_are_bounded_or_refused() -> None:
    for far in (1e9, 1e18, 1e300):
        assert whole(fills.fill_rectangle([(-far, -far), (far, 3)], HEIGHT, WIDTH))[:4].all()
        assert fills.fill_rectangle([(far, far), (2 * far, 2 * far)], HEIGHT, WIDTH)[1] == Rect.EMPTY
        assert fills.fill_point([(far, far)], HEIGHT, WIDTH)[1] == Rect.EMPTY
        assert whole(fills.fill_line([(-far, 12), (far, 12)], HEIGHT, WIDTH))[12].all()
        with pytest.raises(ValueError, match="a circle with a radius of"):
            fills.fill_circle([(0, 0), (far, 0)], HEIGHT, WIDTH)


@pytest.mark.parametrize(
    "fill",
    [fills.fill_pillow, fills.fill_yolo, fills.fill_rectangle, fills.fill_circle, fills.fill_point, fills.fill_line],
)
def test_points_that_are_none_are_refused(fill: Any) -> None:
    for points in ([(math.nan, 1)] * 3, [(math.inf, 1)] * 2, [(math.nan, 1)], "abcd", [(1, "2")], [1, 2, 3]):
        with pytest.raises(ValueError, match="point"):
            fill(points, HEIGHT, WIDTH)


def test_zigzags_without_end_are_refused() -> None:
    count = 100_000
    zigzag = np.stack((np.arange(count) % 7 * 100, np.where(np.arange(count) % 2, 999, 0)), axis=1)
    with pytest.raises(ValueError, match="an outline of"):
        fills.fill_coco([zigzag], 1000, 1000)
    with pytest.raises(ValueError, match="a polygon of 100000 points"):
        fills.fill_pillow(zigzag, 1000, 1000)
    with pytest.raises(ValueError, match="more than 20000 points"):
        fills.fill_line(zigzag, 1000, 1000)
