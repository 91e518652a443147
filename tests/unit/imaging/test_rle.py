"""Run lengths: all regions of a map at once, only the box of one, and what comes from strangers."""

from __future__ import annotations

import json
import warnings
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

shapes = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24)
masks = hnp.arrays(np.bool_, shapes)
few_values = st.sampled_from([0, 1, 7, 255, 256, 257, 65535])
maps = hnp.arrays(np.uint16, shapes, elements=few_values) | hnp.arrays(np.uint16, shapes)


def theirs(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    packed: dict[str, Any] = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return packed


@settings(deadline=None)
@given(maps)
def test_every_region_of_a_map_is_what_pycocotools_writes(ids: npt.NDArray[np.uint16]) -> None:
    regions = rle.encode_regions(ids)
    assert [region.value for region in regions] == np.unique(ids).tolist()
    for region in regions:
        packed = theirs(ids == region.value)
        assert region.rle == {"size": list(ids.shape), "counts": packed["counts"].decode()}
        assert region.area == coco_mask.area(packed) == rle.area(region.rle)
        assert region.bbox == tuple(coco_mask.toBbox(packed)) == rle.bbox(region.rle)
        assert rle.bounding_rect(region.rle) == region.rect


@settings(deadline=None)
@given(maps, st.integers(0, 300), st.sets(few_values))
def test_only_wanted_values_make_a_region(ids: npt.NDArray[np.uint16], lowest: int, wanted: set[int]) -> None:
    everything = rle.encode_regions(ids)
    assert rle.encode_regions(ids, lowest=lowest) == [r for r in everything if r.value >= lowest]
    assert rle.encode_regions(ids, wanted=wanted) == [r for r in everything if r.value in wanted]


def test_regions_are_found_in_maps_of_other_integers_and_of_other_layouts() -> None:
    ids = np.arange(12, dtype=np.int64).reshape(3, 4) // 5 + 100_000
    assert [region.area for region in rle.encode_regions(ids)] == [5, 5, 2]
    small = (ids % 7).astype(np.uint16)
    assert rle.encode_regions(np.asfortranarray(small)) == rle.encode_regions(small)
    assert rle.encode_regions(np.pad(small, 2)[2:-2, 2:-2]) == rle.encode_regions(small)
    assert rle.encode_regions(np.zeros((0, 5), dtype=np.uint16)) == []


def test_long_runs_take_as_many_characters_as_pycocotools_gives_them() -> None:
    ids = np.zeros((3000, 1500), dtype=np.uint16)
    ids[:, 700] = 1
    ids[17, 3] = ids[2999, 1499] = 2
    ids[100:200, 5:900:3] = 3
    for region in rle.encode_regions(ids):
        assert region.rle["counts"] == theirs(ids == region.value)["counts"].decode()


@settings(deadline=None)
@given(masks)
def test_decoding_the_box_gives_the_pixels_inside_it(mask: npt.NDArray[np.bool_]) -> None:
    packed = rle.encode(mask)
    part, rect = rle.decode_part(packed)
    assert np.array_equal(part, mask[rect.slices])
    assert rect == rle.bounding_rect(packed)
    assert np.count_nonzero(part) == np.count_nonzero(mask)
    assert np.array_equal(rle.decode(packed), mask)


@settings(deadline=None)
@given(masks)
def test_all_three_forms_of_run_lengths_are_read(mask: npt.NDArray[np.bool_]) -> None:
    packed = rle.encode(mask)
    flat = mask.T.ravel()
    changes = np.flatnonzero(np.diff(np.r_[False, flat, ~flat[-1:]]))
    plain = np.diff(np.r_[0, changes]).tolist()
    for counts in (packed["counts"].encode(), plain, tuple(plain)):
        assert np.array_equal(rle.decode({"size": packed["size"], "counts": counts}), mask)


def test_run_lengths_with_zeros_in_between_are_read() -> None:
    mask = rle.decode({"size": [2, 3], "counts": [1, 2, 0, 1, 2]})
    assert mask.T.ravel().tolist() == [False, True, True, True, False, False]
    part, rect = rle.decode_part({"size": [2, 3], "counts": [0, 0, 5, 1]})
    assert (part.tolist(), rect) == ([[True]], Rect(1, 2, 1, 1))


def test_a_mask_without_pixels_has_an_empty_box() -> None:
    packed = rle.encode(np.zeros((4, 5), dtype=np.bool_))
    part, rect = rle.decode_part(packed)
    assert (part.shape, rect, rle.bbox(packed), rle.area(packed)) == ((0, 0), Rect.EMPTY, (0, 0, 0, 0), 0)


@pytest.mark.parametrize(
    ("size", "counts", "reason"),
    [
        ([4, 4], [16, 1], "17 pixels for a mask of 4 x 4"),
        ([4, 4], [15], "15 pixels for a mask of 4 x 4"),
        ([4, 4], [], "0 pixels"),
        ([4, 4], "", "0 pixels"),
        ([4, 4], [-1, 17], "whole number from 0 to 16, not -1"),
        ([4, 4], [2**63, 16], "not 9223372036854775808"),
        ([4, 4], [10**400], "whole number"),
        ([4, 4], [16.0], "not 16.0"),
        ([4, 4], [True, 15], "not True"),
        ([4, 4], [[16]], "whole number"),
        ([4, 4], [0] * 18, "18 run lengths for 16 pixels"),
        ([4, 4], "o" * 40, "break off"),
        ([4, 4], "ooooooo0", "too large"),
        ([4, 4], "o" * 10_000_000, "10000000 characters for 16 pixels"),
        ([4, 4], "P", "break off"),
        ([4, 4], "0@", "a run length of -16 to 0"),
        ([4, 4], "oooooo0", "a run length of"),
        ([4, 4], "0 ", "stand for nothing"),
        ([4, 4], "0~", "stand for nothing"),
        ([4, 4], "0é", "outside ASCII"),
        ([4, 4], None, "text or a list, not NoneType"),
        ([4, 4], 16, "text or a list, not int"),
        ([4, 4], {"0": 16}, "text or a list, not dict"),
        ([4], [4], "two whole numbers"),
        ([4.0, 4.0], [16], "two whole numbers"),
        ([True, 1], [1], "two whole numbers"),
        ("44", [16], "two whole numbers"),
        (None, [16], "two whole numbers"),
        ([-4, -4], [16], "cannot have a size of -4 x -4"),
        ([2**31, 2**31], [2**62], "cannot have a size"),
        ([10**300, 10**300], "0", "cannot have a size"),
    ],
)
def test_run_lengths_that_are_none_are_refused_with_a_reason(size: object, counts: object, reason: str) -> None:
    for read in (rle.decode, rle.decode_part, rle.area, rle.bbox):
        with pytest.raises(ValueError, match=reason):
            read({"size": size, "counts": counts})


def test_run_lengths_without_their_keys_are_refused() -> None:
    with pytest.raises(ValueError, match="size of run lengths"):
        rle.decode({})


def test_a_mask_of_another_size_than_the_image_is_refused_before_memory_is_taken() -> None:
    vast = {"size": [65_000, 65_000], "counts": [65_000 * 65_000]}
    with pytest.raises(ValueError, match="65000 x 65000 pixels in an image of 4 x 5"):
        rle.decode(vast, shape=(4, 5))
    with pytest.raises(ValueError, match="65000 x 65000 pixels in an image of 4 x 5"):
        rle.decode_part(vast, shape=(4, 5))
    assert rle.decode(rle.encode(np.ones((4, 5), dtype=np.bool_)), shape=(4, 5)).all()


@settings(deadline=None)
@given(st.text(st.characters(min_codepoint=48, max_codepoint=111), max_size=40), st.integers(0, 9), st.integers(0, 9))
def test_text_is_either_refused_or_read_as_a_mask_of_its_size(text: str, height: int, width: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            mask = rle.decode({"size": [height, width], "counts": text})
        except ValueError:
            return
    assert mask.shape == (height, width)
    assert np.array_equal(rle.decode(json.loads(json.dumps(rle.encode(mask)))), mask)
