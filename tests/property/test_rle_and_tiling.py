"""Identities that hold for every mask and every image size."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask

from segstudio.core.geometry import Rect
from segstudio.imaging import rle
from segstudio.imaging.tiling import plan_tiles

masks = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24))


@settings(deadline=None)  # the machine may be busy
@given(masks)
def test_rle_gives_every_pixel_back(mask: npt.NDArray[np.bool_]) -> None:
    encoded: Any = json.loads(json.dumps(rle.encode(mask)))
    assert np.array_equal(rle.decode(encoded), mask)


@settings(deadline=None)
@given(masks)
def test_rle_is_the_one_pycocotools_writes(mask: npt.NDArray[np.bool_]) -> None:
    theirs = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert rle.encode(mask)["counts"] == theirs["counts"].decode()


@settings(deadline=None)
@given(masks, st.tuples(*[st.integers(0, 9)] * 4))
def test_rle_of_a_part_is_that_of_the_whole(mask: npt.NDArray[np.bool_], margins: tuple[int, int, int, int]) -> None:
    above, below, before, after = margins
    whole = np.pad(mask, ((above, below), (before, after)))
    rect = Rect(above, before, *mask.shape)
    assert rle.encode_part(mask, rect, *whole.shape) == rle.encode(whole)


def test_run_lengths_that_do_not_fill_the_mask_are_refused() -> None:
    with pytest.raises(ValueError, match="4 pixels for a mask of 3 x 2"):
        rle.decode(rle.Rle(size=[3, 2], counts=rle.encode(np.ones((2, 2), dtype=np.bool_))["counts"]))


@settings(max_examples=200, deadline=None)
@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    tile=st.integers(5, 128),
    margin=st.integers(0, 40),
    multiple=st.sampled_from([1, 2, 8, 16, 32]),
)
def test_tiles_cover_each_pixel_once_and_know_their_surroundings(
    height: int, width: int, tile: int, margin: int, multiple: int
) -> None:
    covered = np.zeros((height, width), dtype=np.int32)
    for piece in plan_tiles(height, width, tile, margin, multiple):
        covered[piece.core.slices] += 1
        assert max(piece.core.height, piece.core.width) <= max(tile, multiple)
        assert piece.core.union(piece.padded) == piece.padded
        assert piece.padded.clipped(height, width) == piece.padded
        assert piece.padded.top % multiple == 0 and piece.padded.left % multiple == 0
        assert piece.padded.bottom % multiple == 0 or piece.padded.bottom == height
        assert piece.padded.top == 0 or piece.core.top - piece.padded.top >= margin
        assert piece.padded.right == width or piece.padded.right - piece.core.right >= margin
    assert (covered == 1).all()
