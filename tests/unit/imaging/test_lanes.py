"""Vector operations in numba kernels, against numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from numba import njit

from segstudio.imaging import lanes

WIDTHS = [1, 2, 3, 4, 8, 16, 24]


@njit
def _exponential(x: Any, out: Any, like: Any) -> None:
    for i in range(0, len(x), len(like)):
        lanes.store(out, i, lanes.exponential(lanes.load(x, i, like)))


@njit
def _logarithm(x: Any, out: Any, like: Any) -> None:
    for i in range(0, len(x), len(like)):
        lanes.store(out, i, lanes.logarithm(lanes.load(x, i, like)))


@njit
def _folds(x: Any, like: Any) -> Any:
    value = lanes.load(x, 0, like)
    return lanes.total(value), lanes.largest(value)


@njit
def _arithmetic(x: Any, y: Any, out: Any, like: Any) -> None:
    a, b = lanes.load(x, 0, like), lanes.load(y, 0, like)
    value = lanes.add(lanes.mul(a, b), lanes.sub(lanes.floor_at_zero(a), lanes.larger(a, b)))
    lanes.store(out, 0, lanes.add(value, lanes.splat(np.float32(0.5), like)))


def _numbers(count: int, low: float, high: float) -> npt.NDArray[np.float32]:
    return np.random.default_rng(count).uniform(low, high, count).astype(np.float32)


@pytest.mark.parametrize("count", WIDTHS)
def test_exponential_is_close_and_exactly_zero_far_down(count: int) -> None:
    x = np.append(_numbers(48 * count - 3, -90, 0), np.array([0, -200, -np.inf], np.float32))
    out = np.empty_like(x)
    _exponential(x, out, lanes.width(count))
    want = np.exp(x.astype(np.float64))
    alive = x >= -87
    assert np.all(out[~alive] == 0)
    assert np.abs(out[alive] / want[alive] - 1).max() < 2e-7
    assert out[-3] == 1


@pytest.mark.parametrize("count", WIDTHS)
def test_logarithm_is_close(count: int) -> None:
    x = np.exp(_numbers(48 * count, -80, 80))
    x[:2] = 1, np.nextafter(np.float32(1), np.float32(0))
    out = np.empty_like(x)
    _logarithm(x, out, lanes.width(count))
    want = np.log(x.astype(np.float64))
    assert (np.abs(out - want) / np.maximum(1, np.abs(want))).max() < 2e-7
    assert out[0] == 0


@pytest.mark.parametrize("count", WIDTHS)
def test_folds_and_arithmetic(count: int) -> None:
    x, y = _numbers(count, -1, 1), _numbers(count, -1, 1)[::-1].copy()
    summed, top = _folds(x, lanes.width(count))
    assert summed == pytest.approx(x.sum(dtype=np.float64), abs=1e-6)
    assert top == x.max()
    out = np.empty_like(x)
    _arithmetic(x, y, out, lanes.width(count))
    assert np.allclose(out, x * y + np.maximum(x, 0) - np.maximum(x, y) + 0.5, atol=1e-6)
