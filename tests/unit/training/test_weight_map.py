from __future__ import annotations

import math

import numpy as np
import pytest

from segstudio.training.weight_map import class_weights, separated, weight_map

EVEN = np.ones(3, np.float32)


def brute_force(cells: np.ndarray, strength: float, sigma: float) -> np.ndarray:
    """The second term of the paper's equation 2, pixel by pixel; `cells` holds a number for each cell, 0 outside."""
    rows, columns = np.indices(cells.shape)
    weights = np.zeros(cells.shape)
    for row, column in np.ndindex(cells.shape):
        distances = []
        for number in range(1, cells.max() + 1):
            # The border lies between the cell and the rest: the nearest pixel on its other side counts.
            across = (cells == number) != (cells[row, column] == number)
            distances.append(np.sqrt((rows - row) ** 2 + (columns - column) ** 2)[across].min())
        if len(distances) > 1:
            near, second = sorted(distances)[:2]
            weights[row, column] = strength * math.exp(-((near + second) ** 2) / (2 * sigma**2))
    return weights


def random_cells(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    cells = np.zeros((24, 31), np.uint16)
    for number in range(1, 6):
        row, column = rng.integers(0, 20), rng.integers(0, 27)
        cells[row : row + 4, column : column + 4] = number
    return np.unique(cells, return_inverse=True)[1].reshape(cells.shape).astype(np.uint16)


@pytest.mark.parametrize("seed", range(4))
def test_the_border_term_is_that_of_the_paper(seed: int) -> None:
    cells = random_cells(seed)
    labels = (cells > 0).astype(np.uint8)

    weights = weight_map(labels, EVEN, background=0, instances=cells, strength=10.0, sigma=2.0)

    np.testing.assert_allclose(weights - 1.0, brute_force(cells, 10.0, 2.0), atol=1e-4)


def test_connected_pieces_of_a_class_are_cells_where_nobody_told_instances_apart() -> None:
    labels = np.zeros((30, 30), np.uint8)
    labels[5:12, 5:12] = 1
    labels[5:12, 15:22] = 1
    labels[20:25, 5:12] = 2
    cells = labels.astype(np.uint16)
    cells[5:12, 15:22] = 3

    by_pieces = weight_map(labels, EVEN, background=0)

    np.testing.assert_array_equal(by_pieces, weight_map(labels, EVEN, background=0, instances=cells))
    assert by_pieces[8, 13] > 5
    assert by_pieces[8, 13] > by_pieces[16, 8] > by_pieces[28, 28]


def test_pixels_of_no_instance_form_cells_of_their_own() -> None:
    labels = np.zeros((20, 20), np.uint8)
    labels[:, 3:8] = labels[:, 10:15] = 1
    one = np.zeros((20, 20), np.uint16)
    one[:, 3:8] = 700

    np.testing.assert_array_equal(
        weight_map(labels, EVEN, background=0, instances=one), weight_map(labels, EVEN, background=0)
    )


def test_a_single_cell_has_no_border_term() -> None:
    labels = np.zeros((20, 20), np.uint8)
    labels[4:9, 4:9] = 1

    assert (weight_map(labels, EVEN, background=0) == 1).all()
    assert (weight_map(np.ones((20, 20), np.uint8), EVEN, background=0) == 1).all()


def test_ignored_pixels_weigh_nothing_and_classes_their_balance() -> None:
    labels = np.array([[0, 0, 1, 255]], np.uint8)
    balance = class_weights([2, 1, 0])

    np.testing.assert_allclose(weight_map(labels, balance, background=0), [[0.75, 0.75, 1.5, 0.0]])


def test_class_weights_keep_the_mean_and_have_a_limit() -> None:
    counts = [900, 100, 0]
    weights = class_weights(counts)

    assert float(weights @ np.array(counts)) / 1000 == pytest.approx(1.0)
    assert weights[2] == 0
    assert class_weights([10**6, 1])[1] == 10.0


def test_touching_instances_of_one_class_are_parted_by_background() -> None:
    labels = np.array([[0, 1, 1, 1, 1, 2, 2, 0]] * 5, np.uint8)
    instances = np.array([[0, 5, 5, 9, 9, 7, 7, 0]] * 5, np.uint16)

    parted, cells = separated(labels, instances, background=0)

    assert parted[2].tolist() == [0, 1, 0, 0, 1, 2, 2, 0]
    assert cells[2].tolist() == [0, 5, 0, 0, 9, 7, 7, 0]


def test_instances_that_do_not_touch_stay_whole() -> None:
    labels = np.array([[1, 1, 0, 1, 1]] * 5, np.uint8)
    instances = np.array([[5, 5, 0, 9, 9]] * 5, np.uint16)

    parted, cells = separated(labels, instances, background=0)

    np.testing.assert_array_equal(parted, labels)
    np.testing.assert_array_equal(cells, instances)
