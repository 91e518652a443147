from __future__ import annotations

import numpy as np
import pytest

from segstudio.training.augment import View, cut, random_view, recolor
from segstudio.training.config import AugmentConfig


def picture(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([rows * 3, columns * 3, rows * 0], axis=2).astype(np.uint8)
    return image, ((rows + columns) % 7).astype(np.uint8)


def test_a_plain_view_is_the_image_itself() -> None:
    image, labels = picture(41, 41)
    pixels, taught = cut(image, labels, View(row=20, column=20), 41)

    np.testing.assert_array_equal(pixels, image)
    np.testing.assert_array_equal(taught, labels)


@pytest.mark.parametrize(("angle", "turns"), [(90.0, 1), (180.0, 2), (270.0, 3)])
def test_a_quarter_turn_moves_pixels_and_labels_alike_and_exactly(angle: float, turns: int) -> None:
    image, labels = picture(33, 33)
    pixels, taught = cut(image, labels, View(row=16, column=16, angle=angle), 33)

    np.testing.assert_array_equal(pixels, np.rot90(image, turns))
    np.testing.assert_array_equal(taught, np.rot90(labels, turns))


def test_mirroring_flips_left_and_right() -> None:
    image, labels = picture(33, 33)
    pixels, taught = cut(image, labels, View(row=16, column=16, mirrored=True), 33)

    np.testing.assert_array_equal(pixels, image[:, ::-1])
    np.testing.assert_array_equal(taught, labels[:, ::-1])


def test_what_lies_outside_the_image_is_never_labelled() -> None:
    image, labels = np.full((20, 20, 3), 200, np.uint8), np.zeros((20, 20), np.uint8)
    pixels, taught = cut(image, labels, View(row=0, column=0), 41)

    assert (taught[:20] == 255).all()
    assert (taught[:, :20] == 255).all()
    assert (taught[20:40, 20:40] == 0).all()
    assert (pixels == 200).all()  # the image is continued, no dark frame


def test_turned_labels_are_old_labels_or_ignore() -> None:
    image = np.zeros((50, 50, 3), np.uint8)
    labels = np.where(np.arange(50)[:, None] < 25, 3, 9).astype(np.uint8).repeat(50, axis=1)
    _, taught = cut(image, labels, View(row=25, column=25, angle=33, zoom=1.3), 90)

    assert set(np.unique(taught)) == {3, 9, 255}


def test_any_random_view_of_any_image_sees_some_of_it() -> None:
    rng = np.random.default_rng(0)
    config = AugmentConfig(scale=4.0, rotate=180.0)
    for _ in range(300):
        height, width = (int(side) for side in rng.integers(1, 200, 2))
        image, labels = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8)
        view = random_view(rng, config, row=0, column=width - 1, jitter=150.0, shape=(height, width))
        _, taught = cut(image, labels, view, 64)
        assert (taught == 0).any()


def test_recolouring_switched_off_changes_nothing() -> None:
    image, _ = picture(30, 30)
    off = AugmentConfig(brightness=0, contrast=0, noise=0, tint=0, blur=0, invert=0)

    np.testing.assert_array_equal(recolor(image, np.random.default_rng(0), off), image)


def test_inversion_turns_bright_into_dark() -> None:
    image, _ = picture(30, 30)
    only = AugmentConfig(brightness=0, contrast=0, noise=0, invert=1.0)

    np.testing.assert_array_equal(recolor(image, np.random.default_rng(0), only), 255 - image)
