"""Small pictures for lists: the size asked for, and marks that show however few they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segstudio.core.errors import ImageError
from segstudio.services.mistake_pictures import marked_thumbnail

RED = (255, 0, 0)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A grey image, 300 wide and 200 high."""
    path = tmp_path / "a.png"
    Image.fromarray(np.full((200, 300, 3), 100, np.uint8)).save(path)
    return path


def test_the_longer_side_is_as_asked_and_small_images_stay_as_they_are(picture: Path) -> None:
    assert marked_thumbnail(picture, None, side=60, color=RED).shape == (40, 60, 3)
    assert marked_thumbnail(picture, None, side=900, color=RED).shape == (200, 300, 3)


def test_a_single_marked_pixel_shows_and_the_rest_is_dimmed(picture: Path) -> None:
    marks = np.zeros((200, 300), np.bool_)
    marks[101, 152] = True
    small = marked_thumbnail(picture, marks, side=60, color=RED)
    rows, columns = np.nonzero((small == RED).all(axis=2))
    assert rows.min() <= 20 <= rows.max() and columns.min() <= 30 <= columns.max() and 1 <= rows.size <= 9
    assert (small[0, 0] == 55).all()


def test_without_marks_the_picture_is_not_dimmed(picture: Path) -> None:
    assert (marked_thumbnail(picture, None, side=60, color=RED) == 100).all()


def test_marks_of_another_size_than_the_image_are_left_out(picture: Path) -> None:
    small = marked_thumbnail(picture, np.ones((5, 5), np.bool_), side=60, color=RED)
    assert (small == 100).all()


def test_an_image_that_is_gone_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"gone\.png"):
        marked_thumbnail(tmp_path / "gone.png", None, side=60, color=RED)
