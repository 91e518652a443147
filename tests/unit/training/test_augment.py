from __future__ import annotations

import numpy as np
import pytest

from segstudio.training.augment import Lens, View, random_shifts, random_view, recolor
from segstudio.training.config import AugmentConfig


def picture(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([rows * 3, columns * 3, rows * 0], axis=2).astype(np.uint8)
    return image, ((rows + columns) % 7).astype(np.uint8)


def cut(image: np.ndarray, labels: np.ndarray, view: View, side: int) -> tuple[np.ndarray, np.ndarray]:
    lens = Lens(view=view, side=side)
    return lens.pixels(image), lens.nearest(labels, outside=255)


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


def test_context_surrounds_the_pixels_that_the_labels_name() -> None:
    image, labels = picture(80, 80)
    lens = Lens(view=View(row=39.5, column=39.5), side=20, context=12)

    np.testing.assert_array_equal(lens.nearest(labels, outside=255), labels[30:50, 30:50])
    np.testing.assert_array_equal(lens.pixels(image), image[18:62, 18:62])


def test_context_past_the_edge_is_mirrored() -> None:
    image, _ = picture(60, 60)
    pixels = Lens(view=View(row=9.5, column=9.5), side=20, context=6).pixels(image)

    np.testing.assert_array_equal(pixels, np.pad(image, ((6, 0), (6, 0), (0, 0)), mode="reflect")[:32, :32])


def test_elastic_shifts_are_smooth_and_of_the_wanted_size() -> None:
    rng = np.random.default_rng(0)
    fields = [random_shifts(rng, 10.0, 90) for _ in range(200)]

    assert fields[0].shape == (90, 90, 2)
    # On the nodes of the 3 x 3 grid the vectors are Gaussian; between neighbouring pixels little changes.
    assert np.std([field[::44, ::44] for field in fields]) == pytest.approx(10.0, rel=0.15)
    assert max(np.abs(np.diff(field, axis=0)).max() for field in fields) < 3


def test_pixels_and_labels_bend_together_and_nothing_is_invented() -> None:
    _, labels = picture(90, 90)
    image = np.repeat(np.where(labels < 3, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    image = np.kron(image[:18, :18], np.ones((5, 5, 1), np.uint8))
    labels = (image[..., 0] > 0).astype(np.uint8)
    shifts = random_shifts(np.random.default_rng(1), 6.0, 110)
    lens = Lens(view=View(row=44.5, column=44.5), side=90, context=10, shifts=shifts)
    pixels, taught = lens.pixels(image)[10:-10, 10:-10], lens.nearest(labels, outside=255)

    decided = taught != 255
    assert set(np.unique(taught)) == {0, 1, 255}
    assert ((pixels[..., 0] > 127) == (taught == 1))[decided].mean() > 0.97
    assert not np.array_equal(taught, labels)


def test_unbent_shifts_are_the_plain_crop() -> None:
    image, labels = picture(50, 50)
    view = View(row=24.5, column=20.0, zoom=1.5, angle=20.0)
    still = Lens(view=view, side=30, shifts=np.zeros((30, 30, 2), np.float32))
    plain = Lens(view=view, side=30)

    assert np.abs(still.pixels(image).astype(int) - plain.pixels(image)).max() <= 3
    assert (still.nearest(labels, outside=255) == plain.nearest(labels, outside=255)).mean() > 0.97


def test_zooms_are_drawn_from_the_list() -> None:
    rng = np.random.default_rng(0)
    config = AugmentConfig(zooms=(0.5, 1.0, 1.5), scale=4.0)
    views = [random_view(rng, config, row=5, column=5, jitter=0, shape=(10, 10)) for _ in range(60)]

    assert {view.zoom for view in views} == {0.5, 1.0, 1.5}
