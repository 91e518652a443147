"""The two transforms of F(4 x 4, 3 x 3) on channels-last float32, compiled by numba and cached on disk.

Both take a range of block rows, so that several threads share the work; both release the GIL.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit

from segstudio.imaging.lanes import add, floor_at_zero, load, mul, splat, store, sub, width

_LANES: Final = 16
_LIKE: Final = width(_LANES)


@njit  # type: ignore[untyped-decorator]
def _load(x: Any, k: int) -> Any:
    return load(x, k, _LIKE)


@njit  # type: ignore[untyped-decorator]
def _splat(number: int) -> Any:
    return splat(np.float32(number), _LIKE)


@njit  # type: ignore[untyped-decorator]
def _spread_six(a0: Any, a1: Any, a2: Any, a3: Any, a4: Any, a5: Any, two: Any, four: Any, five: Any) -> Any:
    """B^T times six numbers."""
    p, q = sub(a4, mul(four, a2)), sub(a3, mul(four, a1))
    r, s = sub(a4, a2), mul(two, sub(a3, a1))
    first = add(sub(mul(four, a0), mul(five, a2)), a4)
    last = add(sub(mul(four, a1), mul(five, a3)), a5)
    return first, add(p, q), sub(p, q), add(r, s), sub(r, s), last


@njit  # type: ignore[untyped-decorator]
def _column(x: Any, k: int, row: int, two: Any, four: Any, five: Any) -> Any:
    """B^T times the six numbers below each other from `k` on."""
    return _spread_six(
        _load(x, k), _load(x, k + row), _load(x, k + 2 * row), _load(x, k + 3 * row), _load(x, k + 4 * row),
        _load(x, k + 5 * row), two, four, five,
    )  # fmt: skip


@njit  # type: ignore[untyped-decorator]
def _put_six(v: Any, o: int, plane: int, t: Any) -> None:
    store(v, o, t[0])
    store(v, o + plane, t[1])
    store(v, o + 2 * plane, t[2])
    store(v, o + 3 * plane, t[3])
    store(v, o + 4 * plane, t[4])
    store(v, o + 5 * plane, t[5])


@njit  # type: ignore[untyped-decorator]
def _spread_block(x: Any, k: int, row: int, step: int, v: Any, o: int, plane: int, channels: int) -> None:
    """B^T X B of one 6 x 6 block whose first number lies at `k`, for all channels."""
    two, four, five = _splat(2), _splat(4), _splat(5)
    for c in range(0, channels, _LANES):
        w0 = _column(x, k + c, row, two, four, five)
        w1 = _column(x, k + c + step, row, two, four, five)
        w2 = _column(x, k + c + 2 * step, row, two, four, five)
        w3 = _column(x, k + c + 3 * step, row, two, four, five)
        w4 = _column(x, k + c + 4 * step, row, two, four, five)
        w5 = _column(x, k + c + 5 * step, row, two, four, five)
        p, six = o + c, 6 * plane
        _put_six(v, p, plane, _spread_six(w0[0], w1[0], w2[0], w3[0], w4[0], w5[0], two, four, five))
        _put_six(v, p + six, plane, _spread_six(w0[1], w1[1], w2[1], w3[1], w4[1], w5[1], two, four, five))
        _put_six(v, p + 2 * six, plane, _spread_six(w0[2], w1[2], w2[2], w3[2], w4[2], w5[2], two, four, five))
        _put_six(v, p + 3 * six, plane, _spread_six(w0[3], w1[3], w2[3], w3[3], w4[3], w5[3], two, four, five))
        _put_six(v, p + 4 * six, plane, _spread_six(w0[4], w1[4], w2[4], w3[4], w4[4], w5[4], two, four, five))
        _put_six(v, p + 5 * six, plane, _spread_six(w0[5], w1[5], w2[5], w3[5], w4[5], w5[5], two, four, five))


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def spread(
    x: Any, shape: Any, v: Any, tops: Any, lefts: Any, dilation: int, padding: Any, begin: int, end: int
) -> None:
    """B^T X B of the blocks of rows `begin` to `end`.

    `x` is flat (height, width, channels), `v` flat (36, rows * columns, channels); `tops` and `lefts` are the first
    output row and column of each block. Pixels outside the image are zero.
    """
    height, width, channels = shape
    plane = len(tops) * len(lefts) * channels
    around = np.empty(36 * channels, np.float32)
    reach = 5 * dilation
    for r in range(begin, end):
        top = tops[r] - padding[0]
        for t in range(len(lefts)):
            left = lefts[t] - padding[1]
            o = (r * len(lefts) + t) * channels
            if top >= 0 and left >= 0 and top + reach < height and left + reach < width:
                row, step = dilation * width * channels, dilation * channels
                _spread_block(x, (top * width + left) * channels, row, step, v, o, plane, channels)
            else:
                for i in range(6):
                    for j in range(6):
                        y, z, b = top + i * dilation, left + j * dilation, (i * 6 + j) * channels
                        inside = 0 <= y < height and 0 <= z < width
                        for c in range(channels):
                            around[b + c] = x[(y * width + z) * channels + c] if inside else 0.0
                _spread_block(around, 0, 6 * channels, channels, v, o, plane, channels)


@njit  # type: ignore[untyped-decorator]
def _gather_six(m0: Any, m1: Any, m2: Any, m3: Any, m4: Any, m5: Any, two: Any, four: Any, eight: Any) -> Any:
    """A^T times six numbers."""
    s, d, p, q = add(m1, m2), sub(m1, m2), add(m3, m4), sub(m3, m4)
    return add(add(m0, s), p), add(d, mul(two, q)), add(s, mul(four, p)), add(add(d, mul(eight, q)), m5)


@njit  # type: ignore[untyped-decorator]
def _row(m: Any, o: int, plane: int, two: Any, four: Any, eight: Any) -> Any:
    return _gather_six(
        _load(m, o), _load(m, o + plane), _load(m, o + 2 * plane), _load(m, o + 3 * plane), _load(m, o + 4 * plane),
        _load(m, o + 5 * plane), two, four, eight,
    )  # fmt: skip


@njit  # type: ignore[untyped-decorator]
def _put(y: Any, k: int, value: Any, bias: Any, summand: Any, added: bool, relu: bool) -> None:  # noqa: FBT001
    value = add(value, bias)
    if added:
        value = add(value, _load(summand, k))
    if relu:
        value = floor_at_zero(value)
    store(y, k, value)


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def gather(
    m: Any, bias: Any, summand: Any, y: Any, shape: Any, tops: Any, lefts: Any, dilation: int, added: bool,  # noqa: FBT001
    relu: bool, begin: int, end: int,  # noqa: FBT001
) -> None:  # fmt: skip
    """A^T M A of the blocks of rows `begin` to `end`, plus bias and summand, with ReLU where wanted, into `y`.

    `m` is flat (36, rows * columns, channels), `y` and `summand` flat (height, width, channels).
    """
    height, width, channels = shape
    plane = len(tops) * len(lefts) * channels
    two, four, eight = _splat(2), _splat(4), _splat(8)
    down, right = dilation * width * channels, dilation * channels
    for r in range(begin, end):
        rows = min(4, (height - tops[r] + dilation - 1) // dilation)
        for t in range(len(lefts)):
            columns = min(4, (width - lefts[t] + dilation - 1) // dilation)
            for k in range(0, channels, _LANES):
                o, six = (r * len(lefts) + t) * channels + k, 6 * plane
                r0 = _row(m, o, plane, two, four, eight)
                r1 = _row(m, o + six, plane, two, four, eight)
                r2 = _row(m, o + 2 * six, plane, two, four, eight)
                r3 = _row(m, o + 3 * six, plane, two, four, eight)
                r4 = _row(m, o + 4 * six, plane, two, four, eight)
                r5 = _row(m, o + 5 * six, plane, two, four, eight)
                b = _load(bias, k)
                place = (tops[r] * width + lefts[t]) * channels + k
                c0 = _gather_six(r0[0], r1[0], r2[0], r3[0], r4[0], r5[0], two, four, eight)
                c1 = _gather_six(r0[1], r1[1], r2[1], r3[1], r4[1], r5[1], two, four, eight)
                c2 = _gather_six(r0[2], r1[2], r2[2], r3[2], r4[2], r5[2], two, four, eight)
                c3 = _gather_six(r0[3], r1[3], r2[3], r3[3], r4[3], r5[3], two, four, eight)
                for column, c in enumerate((c0, c1, c2, c3)):
                    if column < columns:
                        at = place + column * right
                        _put(y, at, c[0], b, summand, added, relu)
                        if rows > 1:
                            _put(y, at + down, c[1], b, summand, added, relu)
                        if rows > 2:
                            _put(y, at + 2 * down, c[2], b, summand, added, relu)
                        if rows > 3:
                            _put(y, at + 3 * down, c[3], b, summand, added, relu)
