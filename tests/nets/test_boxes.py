"""Boxes: around labelled objects, proposed by edges, and joined to an image again."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch

from segstudio.core.geometry import Rect
from segstudio.imaging.tiling import plan_tiles
from segstudio.nets.box_net import aggregate, cut, sampled, whole_pixels
from segstudio.nets.object_boxes import LabelledObject, box_of, drawn, enlarged, jittered, labelled_objects
from segstudio.nets.windows import propose_windows

BOXES = torch.tensor([[0.0, 0, 30, 40], [4.3, -6, 22.9, 17.5], [25, 30, 60, 70], [50, 80, 51, 81]])


def _overlap(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> float:
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    common = float((high - low).clip(min=0).prod())
    return common / float((first[2:] - first[:2]).prod() + (second[2:] - second[:2]).prod() - common)


def _picture(top: int, left: int, bottom: int, right: int) -> npt.NDArray[np.uint8]:
    """A rectangle on faintly noisy ground, 375 x 500."""
    rng = np.random.default_rng(0)
    image = rng.normal(90, 4, (375, 500, 3)).clip(0, 255).astype(np.uint8)
    cv2.rectangle(image, (left, top), (right - 1, bottom - 1), (200, 60, 60), -1)
    return image


def test_joined_boxes_are_their_pixelwise_maximum_and_zero_outside() -> None:
    """Against each box resized by torch and pasted into the frame."""
    scores = torch.randn(3, 2, 7, 7, generator=torch.Generator().manual_seed(0)) - 3
    boxes = torch.tensor([[0.0, 0, 30, 40], [10, 15, 45, 60], [30, 5, 60, 33]])
    frame = torch.full((3, 2, 64, 80), -torch.inf)
    for layer, grid, (top, left, bottom, right) in zip(frame, scores, boxes.int().tolist(), strict=True):
        size = (bottom - top, right - left)
        layer[:, top:bottom, left:right] = torch.nn.functional.interpolate(grid[None], size=size, mode="bilinear")[0]
    largest = frame.amax(0)
    expected = torch.where(largest.isinf(), 0.0, largest)
    assert float(expected.min()) < -1
    torch.testing.assert_close(aggregate(scores, boxes, Rect(0, 0, 64, 80)), expected, rtol=1e-4, atol=1e-4)


def test_the_mean_counts_only_the_boxes_that_cover_a_pixel() -> None:
    scores = torch.tensor([2.0, 6.0]).view(2, 1, 1, 1).expand(2, 1, 4, 4)
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 5, 10, 15]])
    joined = aggregate(scores, boxes, Rect(0, 0, 12, 20), reduce="mean")[0]
    assert torch.equal(joined[0], torch.tensor([2.0] * 5 + [4.0] * 5 + [6.0] * 5 + [0.0] * 5))
    assert not bool(joined[10:].any())


@pytest.mark.parametrize("reduce", ["max", "mean"])
def test_strips_are_the_same_as_the_whole(reduce: str) -> None:
    scores = torch.randn(4, 3, 9, 9, generator=torch.Generator().manual_seed(1))
    whole = aggregate(scores, BOXES, Rect(0, 0, 70, 90), reduce=reduce)
    for tile in plan_tiles(70, 90, 32, 0):
        part = aggregate(scores, BOXES, tile.core, reduce=reduce)
        torch.testing.assert_close(part, whole[(slice(None), *tile.core.slices)])


def test_a_pixel_belongs_to_a_box_that_covers_its_centre() -> None:
    joined = aggregate(torch.ones(1, 1, 3, 3), torch.tensor([[1.4, 1.6, 4.6, 4.4]]), Rect(0, 0, 6, 6))[0]
    assert joined.nonzero()[:, 0].unique().tolist() == [1, 2, 3, 4]
    assert joined.nonzero()[:, 1].unique().tolist() == [2, 3]


def test_cutting_fills_what_lies_outside() -> None:
    x = torch.arange(12.0).view(1, 3, 4)
    assert torch.equal(cut(x, Rect(1, 2, 1, 2)), torch.tensor([[[6.0, 7.0]]]))
    assert torch.equal(cut(x, Rect(2, 3, 2, 2), fill=9), torch.tensor([[[11.0, 9.0], [9.0, 9.0]]]))
    assert bool((cut(x, Rect(5, -9, 2, 3), fill=7) == 7).all())


def test_boxes_are_rounded_to_the_nearest_pixels() -> None:
    assert whole_pixels((-0.6, 1.5, 3.4, 7.49)) == Rect(-1, 2, 4, 5)
    assert whole_pixels((3.2, 3.2, 3.3, 3.3)) == Rect(3, 3, 1, 1)


def test_maps_are_resampled_at_the_centres_of_cells() -> None:
    """On a map that rises by 1 per column, a value is the place where it was taken."""
    columns = torch.arange(20.0).expand(1, 1, 10, 20)
    found = sampled(columns, torch.tensor([[0.0, 0.25, 1.0, 0.75], [0, -0.5, 1, 0.5]]), 5)[:, 0, 2]
    torch.testing.assert_close(found[0], 5 + 2.0 * (torch.arange(5) + 0.5) - 0.5)
    torch.testing.assert_close(found[1], torch.tensor([0.0, 0.0, 0.0, 3.5, 7.5]))
    outside = sampled(columns + 1, torch.tensor([[0, -0.5, 1, 0.5]]), 5, mode="nearest", padding="zeros")
    assert outside[0, 0, 2].tolist()[:2] == [0.0, 0.0]


def test_objects_are_connected_parts_of_a_class_and_specks_are_none() -> None:
    labels = torch.zeros(60, 80, dtype=torch.uint8)
    labels[5:25, 10:20] = 2
    labels[30:34, 50:70] = 2
    labels[40:55, 5:15] = 1
    labels[2:5, 60:67] = 1
    labels[:, 75:] = 255
    assert labelled_objects(labels) == [
        LabelledObject(Rect(40, 5, 15, 10), 1),
        LabelledObject(Rect(5, 10, 20, 10), 2),
        LabelledObject(Rect(30, 50, 4, 20), 2),
    ]


def test_a_rare_class_is_drawn_as_often_as_a_frequent_one() -> None:
    objects = [LabelledObject(Rect(0, place, 9, 9), 1) for place in range(30)] + [LabelledObject(Rect(0, 0, 9, 9), 2)]
    torch.manual_seed(0)
    kinds = [drawn(objects).kind for _ in range(400)]
    assert 0.4 < kinds.count(2) / 400 < 0.6


def test_enlarging_keeps_the_centre() -> None:
    assert enlarged((10.0, 20.0, 20.0, 40.0), 1.2) == pytest.approx((9.0, 18.0, 21.0, 42.0))
    assert enlarged((10.0, 20.0, 20.0, 40.0), 1.0, least=16) == pytest.approx((7.0, 20.0, 23.0, 40.0))


@pytest.mark.parametrize("overlap", [0.5, 0.7])
def test_a_jittered_box_overlaps_as_much_as_was_asked(overlap: float) -> None:
    box = box_of(Rect(30, 40, 50, 20))
    torch.manual_seed(0)
    boxes = [np.array(jittered(box, overlap), np.float32) for _ in range(300)]
    overlaps = [_overlap(np.array(box, np.float32), other) for other in boxes]
    assert min(overlaps) >= overlap
    assert max(overlaps) < 1
    assert sum(overlaps) / 300 < (1 + overlap) / 2 + 0.05


@pytest.mark.parametrize("rect", [(80, 120, 261, 331), (50, 40, 321, 201), (150, 150, 301, 301)])
def test_a_rectangle_is_among_the_best_windows(rect: tuple[int, int, int, int]) -> None:
    windows = propose_windows(_picture(*rect))
    overlaps = [_overlap(np.array(rect, np.float32), window) for window in windows[:5]]
    assert max(overlaps) > 0.6


def test_windows_start_with_the_whole_image_and_stay_inside_it() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (300, 420, 3)).astype(np.uint8)
    windows = propose_windows(image, 30)
    assert windows.dtype == np.float32
    assert windows[0].tolist() == [0, 0, 300, 420]
    assert 5 < len(windows) <= 30
    assert (windows[:, :2] >= 0).all()
    assert (windows[:, 2:] <= (300, 420)).all()
    assert (windows[:, 2:] - windows[:, :2]).min() >= 111
    assert np.array_equal(windows, propose_windows(image, 30))
    pairs = [_overlap(a, b) for place, a in enumerate(windows) for b in windows[place + 1 :]]
    assert max(pairs) <= 0.5


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (60, 50), (1500, 2000)])
def test_windows_are_found_in_images_of_any_size(size: tuple[int, int]) -> None:
    rows = np.arange(size[0])[:, None, None] // 40
    columns = np.arange(size[1])[None, :, None] // 40
    image = np.broadcast_to(((rows + columns) % 2 * 200).astype(np.uint8), (*size, 3)).copy()
    windows = propose_windows(image)
    assert windows[0].tolist() == [0, 0, *size]
    assert (windows[:, 2:] <= size).all()
    assert (windows[:, 2:] > windows[:, :2]).all()


def test_an_image_without_edges_is_one_window() -> None:
    assert propose_windows(np.full((200, 300, 3), 77, np.uint8)).tolist() == [[0, 0, 200, 300]]
    assert len(propose_windows(_picture(80, 120, 261, 331), 1)) == 1
