"""EM figures: topology is what warping keeps; Rand and information scores agree with definitions and skimage."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segstudio.core.errors import UserError
from segstudio.evaluation.em import EmScore, cells_of, restricted_scores, thinned
from segstudio.evaluation.warping import _RING, _SIMPLE, split_and_merge_pixels, warped

Cells = npt.NDArray[np.bool_]
_SHAPE = st.shared(hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), key="shape")
_CELLS = hnp.arrays(np.bool_, _SHAPE)


def _topology(cells: Cells) -> tuple[int, int]:
    """(cells of 4-connected pixels, parts of 8-connected membrane), with membrane around the image."""
    fenced = np.pad(cells, 1).astype(np.uint8)
    inside = cv2.connectedComponents(fenced, connectivity=4)[0] - 1
    outside = cv2.connectedComponents(1 - fenced, connectivity=8)[0] - 1
    return int(inside), int(outside)


def _patch(code: int, *, centre: bool) -> Cells:
    patch = np.zeros((3, 3), dtype=np.bool_)
    for bit, (row, column) in enumerate(_RING):
        patch[1 + row, 1 + column] = code >> bit & 1
    patch[1, 1] = centre
    return patch


def test_the_table_of_simple_points_is_the_definition() -> None:
    for code in range(256):
        inside = cv2.connectedComponents(_patch(code, centre=False).astype(np.uint8), connectivity=4)[1]
        outside = cv2.connectedComponents((~_patch(code, centre=True)).astype(np.uint8), connectivity=8)[1]
        cells = {inside[1 + r, 1 + c] for r, c in _RING[0::2]} - {0}
        membranes = {outside[1 + r, 1 + c] for r, c in _RING} - {0}
        assert _SIMPLE[code] == (len(cells) == 1 and len(membranes) == 1), code


@settings(max_examples=150, deadline=None)
@given(source=_CELLS, target=_CELLS)
def test_warping_keeps_topology_and_leaves_no_simple_pixel_that_differs(source: Cells, target: Cells) -> None:
    moved = warped(source, target)
    assert _topology(moved) == _topology(source)
    assert not ((moved != source) & (moved != target)).any()
    fenced = np.pad(moved, 1)
    for row, column in np.argwhere(moved != target):
        code = sum(int(fenced[1 + row + dr, 1 + column + dc]) << bit for bit, (dr, dc) in enumerate(_RING))
        assert not _SIMPLE[code]


@given(target=_CELLS)
def test_warping_to_itself_changes_nothing(target: Cells) -> None:
    assert (warped(target, target) == target).all()
    assert split_and_merge_pixels(target, target) == (0, 0)


def _one_by_one(source: Cells, target: Cells) -> int:
    """Pixels that differ when mismatches are flipped one after the other, column by column, until none is simple."""
    now, wanted = np.pad(source, 1), np.pad(target, 1)
    while True:
        flipped = 0
        for column, row in itertools.product(range(1, now.shape[1] - 1), range(1, now.shape[0] - 1)):
            if now[row, column] != wanted[row, column]:
                code = sum(int(now[row + dr, column + dc]) << bit for bit, (dr, dc) in enumerate(_RING))
                if _SIMPLE[code]:
                    now[row, column] = wanted[row, column]
                    flipped += 1
        if not flipped:
            return int((now != wanted).sum())


def _disc(centre: tuple[int, int], radius: int, size: int = 60) -> Cells:
    rows, columns = np.ogrid[:size, :size]
    return np.asarray((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2)


def test_moved_and_resized_cells_are_no_warping_error() -> None:
    label = _disc((20, 20), 9) | _disc((42, 42), 8)
    prediction = _disc((22, 21), 6) | _disc((40, 43), 11)
    assert (warped(label, prediction) == prediction).all()
    assert _one_by_one(label, prediction) == 0


def test_a_merger_and_a_split_are_found() -> None:
    apart = _disc((30, 15), 10) | _disc((30, 45), 10)
    bridge = np.zeros((60, 60), dtype=np.bool_)
    bridge[30, 15:45] = True
    joined = apart | bridge
    moved = warped(apart, joined)
    assert np.count_nonzero(moved != joined) == _one_by_one(apart, joined) == 1
    assert split_and_merge_pixels(moved, joined) == (0, 1)
    moved = warped(joined, apart)
    # No pixel of a line is simple: all nine between the cells stay, and each on its own would split the cell.
    assert np.count_nonzero(moved != apart) == _one_by_one(joined, apart) == 9
    assert split_and_merge_pixels(moved, apart) == (9, 0)


def test_holes_and_lost_cells_are_warping_errors_but_neither_split_nor_merger() -> None:
    cell = _disc((30, 30), 20)
    holed = cell & ~_disc((30, 30), 4)
    for label, prediction in ((cell, holed), (cell, np.zeros_like(cell)), (np.zeros_like(cell), cell)):
        moved = warped(label, prediction)
        assert np.count_nonzero(moved != prediction) > 0
        assert split_and_merge_pixels(moved, prediction) == (0, 0)


def _rand_by_pairs(prediction: npt.NDArray[np.int64], label: npt.NDArray[np.int64]) -> tuple[float, float, float]:
    """(F, split, merge) over all pairs of pixels, a pixel with itself among them, of true segments."""
    inside = np.flatnonzero(label.ravel())
    true, found = label.ravel()[inside], prediction.ravel()[inside].copy()
    found[found == 0] = -1 - np.arange(np.count_nonzero(found == 0))
    same_true = true[:, None] == true
    same_found = found[:, None] == found
    both = np.count_nonzero(same_true & same_found)
    split, merge = both / np.count_nonzero(same_true), both / np.count_nonzero(same_found)
    return 2 * split * merge / (split + merge), split, merge


def _info_by_logs(prediction: npt.NDArray[np.int64], label: npt.NDArray[np.int64]) -> float:
    inside = np.flatnonzero(label.ravel())
    true, found = label.ravel()[inside], prediction.ravel()[inside].copy()
    found[found == 0] = -1 - np.arange(np.count_nonzero(found == 0))
    pairs = list(zip(true.tolist(), found.tolist(), strict=True))

    def entropy(values: list[object]) -> float:
        return -sum(math.log(values.count(v) / len(values)) for v in values) / len(values)

    whole = entropy([t for t, _ in pairs]) + entropy([f for _, f in pairs])
    return 2 * (whole - entropy(list(pairs))) / whole if whole > 1e-12 else 1.0


_SEGMENTS = hnp.arrays(np.int64, _SHAPE, elements=st.sampled_from([0, 1, 2, 3, 9]))


@settings(max_examples=80, deadline=None)
@given(prediction=_SEGMENTS, label=_SEGMENTS)
def test_scores_agree_with_pairs_of_pixels_and_logarithms(
    prediction: npt.NDArray[np.int64], label: npt.NDArray[np.int64]
) -> None:
    scores = restricted_scores(prediction, label)
    if not label.any():
        assert math.isnan(scores.rand)
        return
    assert (scores.rand, scores.rand_split, scores.rand_merge) == pytest.approx(_rand_by_pairs(prediction, label))
    assert scores.info == pytest.approx(_info_by_logs(prediction, label), abs=1e-9)


def test_the_rand_score_agrees_with_skimage() -> None:
    from skimage.metrics import adapted_rand_error

    rng = np.random.default_rng(0)
    label = np.kron(rng.integers(0, 30, (10, 10)), np.ones((20, 20), dtype=np.int64))
    prediction = np.kron(rng.integers(1, 30, (8, 8)), np.ones((25, 25), dtype=np.int64))
    scores = restricted_scores(prediction, label)
    error, precision, recall = adapted_rand_error(label, prediction, ignore_labels=(0,))
    # skimage leaves out the pair of a pixel with itself
    inside = label != 0
    for ours, theirs, segments in ((scores.rand_split, precision, label), (scores.rand_merge, recall, prediction)):
        pairs = int((np.unique(segments[inside], return_counts=True)[1] ** 2).sum())
        alone = np.count_nonzero(inside)
        assert (ours * pairs - alone) / (pairs - alone) == pytest.approx(theirs, rel=1e-9)
    assert scores.rand == pytest.approx(1 - error, rel=1e-2)


def test_thinning_leaves_lines_between_cells_and_no_membrane_area() -> None:
    cells = _disc((30, 15), 8) | _disc((30, 45), 8)
    thin = thinned(cells_of(cells))
    assert set(np.unique(thin)) == {0, 1, 2}
    assert np.count_nonzero(thin == 0) <= 2 * 60
    assert (thin[cells] == cells_of(cells)[cells]).all()
    nothing = np.zeros((5, 5), dtype=np.int32)
    assert not thinned(nothing).any()


def test_thick_membranes_cost_the_rand_error_but_not_the_thinned_score() -> None:
    label = np.ones((60, 60), dtype=np.bool_)
    label[:, 30] = label[20, :] = False
    prediction = ~cv2.dilate((~label).astype(np.uint8), np.ones((9, 9), dtype=np.uint8)).astype(np.bool_)
    score = EmScore()
    score.add(prediction, label)
    result = score.result()
    assert result.pixel_error > 0.1
    assert result.warping_error == result.split_merge_error == 0.0
    assert result.rand_error > 0.05
    assert result.v_rand > 0.99
    assert result.v_info > 0.98


def test_a_perfect_prediction_is_perfect_and_figures_are_means_over_images() -> None:
    label = np.ones((40, 40), dtype=np.bool_)
    label[:, 20] = False
    perfect, both, other = EmScore(), EmScore(), EmScore()
    perfect.add(label, label)
    result = perfect.result()
    assert (result.pixel_error, result.warping_error, result.rand_error) == pytest.approx((0, 0, 0), abs=1e-12)
    assert (result.v_rand, result.v_rand_split, result.v_rand_merge, result.v_info) == pytest.approx((1, 1, 1, 1))
    other.add(np.ones_like(label), label)
    both.add(label, label)
    both.merge(other)
    assert both.result().images == 2
    assert both.result().v_rand == pytest.approx((1 + other.result().v_rand) / 2)
    assert other.result().v_rand_merge == pytest.approx(0.5, abs=0.01)


def test_an_image_without_cells_leaves_the_rand_scores_of_others_alone() -> None:
    label = np.ones((40, 40), dtype=np.bool_)
    label[:, 20] = False
    score = EmScore()
    score.add(label, label)
    score.add(np.zeros_like(label), np.zeros_like(label))
    assert score.result().images == 2
    assert score.result().v_rand == pytest.approx(1.0)


def test_results_are_json_without_nan() -> None:
    assert json.loads(json.dumps(EmScore().result().to_json(), allow_nan=False))["warping_error"] is None


def test_sizes_that_differ_are_refused() -> None:
    with pytest.raises(UserError, match=r"2 x 3.*3 x 2"):
        EmScore().add(np.ones((3, 2), dtype=np.bool_), np.ones((2, 3), dtype=np.bool_))
    with pytest.raises(ValueError, match="without pixels"):
        EmScore().add(np.ones((0, 2), dtype=np.bool_), np.ones((0, 2), dtype=np.bool_))


def test_real_membranes_moved_a_little_keep_a_small_warping_error(shared_data: Path) -> None:
    path = sorted((shared_data / "em" / "train" / "labels").glob("*.png"))[0]
    membranes = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    label = np.asarray(membranes == 0)
    prediction = cv2.dilate(membranes, np.ones((3, 3), dtype=np.uint8)) == 0
    moved = warped(label, prediction)
    error = np.mean(moved != prediction)
    assert _topology(moved) == _topology(label)
    assert error < 0.15 * np.mean(label != prediction)
    assert error * label.size == pytest.approx(_one_by_one(label, prediction), rel=0.1)
