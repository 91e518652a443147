"""Numba kernels that build a permutohedral lattice; each works on a range, so that threads share it, and holds no lock.

The embedding is that of Adams, Baek and Davis, "Fast High-Dimensional Filtering Using the Permutohedral Lattice"
(2010), with pydensecrf's scaling and rounding, so that both put a pixel into the same simplex. A lattice point's
coordinates sum to zero, so d of its d + 1 name it; they are packed into one 64-bit number, linearly: a neighbour's
number is the point's own plus a constant of the axis.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit

from segstudio.imaging.lanes import add, below, chosen, load, mul, nearest, rounded_mul, splat, store, sub, width

MAX_DIMENSIONS: Final = 16
EMPTY: Final = -1
LANES: Final = 16
_LIKE: Final = width(LANES)
# Knuth's multiplier, 2^64 / golden ratio, as a signed number: spreads packed coordinates over the table.
_SPREAD: Final = np.int64(-7046029254386353131)
_FIRST_BITS: Final = 14


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def find(table: Any, keys: Any, key: Any, bits: int) -> Any:
    """The slot of a key in a table of 2 ^ bits point numbers: it holds the key's number, or -1 where there is none."""
    mask = len(table) - 1
    slot = np.int64(np.uint64(key * _SPREAD) >> np.uint64(64 - bits))
    while table[slot] != EMPTY and keys[table[slot]] != key:
        slot = (slot + 1) & mask
    return slot


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _simplices(
    features: Any, scales: Any, first: int, elevated: Any, base: Any, rest: Any, ranks: Any, ordered: Any, shares: Any
) -> None:
    """Where sixteen pixels from `first` on lie: base point, ranks and shares, each (d + 1 or so, 16), flat.

    The order of operations is that of pydensecrf, so that borderline pixels fall on the same side.
    """
    d = len(features)
    flat = features.reshape(-1)
    count = features.shape[1]
    one, zero = splat(np.float32(1.0), _LIKE), splat(np.float32(0.0), _LIKE)
    up, down = splat(np.float32(d + 1), _LIKE), splat(np.float32(1.0) / np.float32(d + 1), _LIKE)
    sm = zero
    for j in range(d, 0, -1):
        cf = rounded_mul(load(flat, (j - 1) * count + first, _LIKE), splat(scales[j - 1], _LIKE))
        store(elevated, j * LANES, sub(sm, rounded_mul(splat(np.float32(j), _LIKE), cf)))
        sm = add(sm, cf)
    store(elevated, 0, sm)
    off = zero
    for i in range(d + 1):
        value = load(elevated, i * LANES, _LIKE)
        whole = nearest(rounded_mul(down, value))
        point = mul(whole, up)
        store(base, i * LANES, point)
        store(rest, i * LANES, sub(value, point))
        store(ranks, i * LANES, zero)
        off = add(off, whole)
    for i in range(d):
        mine, rank = load(rest, i * LANES, _LIKE), load(ranks, i * LANES, _LIKE)
        for j in range(i + 1, d + 1):
            behind = below(mine, load(rest, j * LANES, _LIKE))
            rank = add(rank, behind)
            store(ranks, j * LANES, add(load(ranks, j * LANES, _LIKE), sub(one, behind)))
        store(ranks, i * LANES, rank)
    for i in range(d + 1):
        # A point that rounding took off the plane of coordinate sum zero is brought back.
        rank = add(load(ranks, i * LANES, _LIKE), off)
        turn = sub(below(rank, zero), below(splat(np.float32(d), _LIKE), rank))
        rank = add(rank, mul(turn, up))
        point = add(load(base, i * LANES, _LIKE), mul(turn, up))
        store(ranks, i * LANES, rank)
        store(base, i * LANES, point)
        store(rest, i * LANES, rounded_mul(sub(load(elevated, i * LANES, _LIKE), point), down))
    for r in range(d + 1):
        value = zero
        for i in range(d + 1):
            value = add(
                value, chosen(load(ranks, i * LANES, _LIKE), splat(np.float32(r), _LIKE), load(rest, i * LANES, _LIKE))
            )
        store(ordered, r * LANES, value)
    for k in range(1, d + 1):
        store(shares, k * LANES, sub(load(ordered, (d - k) * LANES, _LIKE), load(ordered, (d - k + 1) * LANES, _LIKE)))
    store(shares, 0, add(load(ordered, d * LANES, _LIKE), sub(one, load(ordered, 0, _LIKE))))


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def embed(features: Any, scales: Any, codes: Any, bary: Any, ids: Any, begin: int, end: int) -> Any:
    """Puts pixels `begin` to `end` into their simplices; numbers the lattice points met in order of appearance.

    Args:
        features: (d, at least N rounded up to 16) float32.
        scales: (d,) float32, the elevation's factors.
        codes: (d,) int64: a point's key is the sum of its first d coordinates times these.
        bary: (N, d + 1) float32, filled: the pixel's share of each corner.
        ids: (N, d + 1) int32, filled: the corners' numbers, which count from 0 in this range alone.
        begin: First pixel, a multiple of 16.
        end: Beyond the last one.

    Returns:
        The keys by number, (points,) int64.
    """
    d = len(features)
    room = (MAX_DIMENSIONS + 1) * LANES
    elevated, base, rest = np.empty(room, np.float32), np.empty(room, np.float32), np.empty(room, np.float32)
    ranks, ordered, shares = np.empty(room, np.float32), np.empty(room, np.float32), np.empty(room, np.float32)
    step, met = np.empty(MAX_DIMENSIONS + 2, np.int64), np.empty(room, np.int64)
    whole = np.int64(0)
    for i in range(d):
        whole += codes[i]
    bits, count = _FIRST_BITS, 0
    table, keys = np.full(1 << bits, EMPTY, np.int32), np.empty(1 << bits, np.int64)
    numbers = ids.reshape(-1)
    for first in range(begin, end, LANES):
        _simplices(features, scales, first, elevated, base, rest, ranks, ordered, shares)
        pixels = min(LANES, end - first)
        for lane in range(pixels):
            key = np.int64(0)
            for i in range(d):
                key += np.int64(base[i * LANES + lane]) * codes[i]
                # Corner r has one more in every coordinate but that of rank d - r + 1, which has d less.
                step[d + 1 - np.int64(ranks[i * LANES + lane])] = whole - (d + 1) * codes[i]
            step[d + 1 - np.int64(ranks[d * LANES + lane])] = whole
            met[lane * (d + 1)] = key
            bary[first + lane, 0] = shares[lane]
            for r in range(1, d + 1):
                key += step[r]
                met[lane * (d + 1) + r] = key
                bary[first + lane, r] = shares[r * LANES + lane]
        if 2 * (count + pixels * (d + 1)) > len(table):
            bits += 1
            table, keys = _grown(keys, count, bits)
        some = met[: pixels * (d + 1)]
        count = number(table, keys, bits, some, numbers[first * (d + 1) :], count)
    return keys[:count]


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def number(table: Any, keys: Any, bits: int, met: Any, numbers: Any, count: int) -> int:
    """Numbers the keys met, new ones from `count` on; returns how many there are now.

    Args:
        table: (2 ^ bits,) int32, at least twice as many slots as there will be points.
        keys: Keys by number, (room for more than `count`,) int64.
        bits: The logarithm of the slots.
        met: (n,) int64.
        numbers: (n,) int32 or longer, filled.
        count: How many points there are so far.

    A function of its own, without anything that may be replaced inside the loop: numba would count references there.
    """
    for i in range(len(met)):
        slot = find(table, keys, met[i], bits)
        known = table[slot]
        if known == EMPTY:
            known = np.int32(count)
            table[slot] = known
            keys[count] = met[i]
            count += 1
        numbers[i] = known
    return count


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _grown(keys: Any, count: int, bits: int) -> Any:
    """A table of 2 ^ bits slots for the first `count` keys, and these with room for more."""
    table, longer = np.full(1 << bits, EMPTY, np.int32), np.empty(1 << bits, np.int64)
    longer[:count] = keys[:count]
    for number in range(count):
        table[find(table, longer, longer[number], bits)] = number
    return table, longer


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def renumber(ids: Any, numbers: Any, counts: Any, begin: int, end: int) -> None:
    """Turns a range's own numbers into those of the lattice, and counts the pixels at each point."""
    for p in range(begin, end):
        for r in range(ids.shape[1]):
            number = numbers[ids[p, r]]
            ids[p, r] = number
            counts[number] += 1


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def offsets(counts: Any, starts: Any) -> None:
    """Where each point's entries start, and, in `counts` (ranges, points), where each range puts its first one."""
    place = np.int32(0)
    for v in range(counts.shape[1]):
        starts[v] = place
        for part in range(counts.shape[0]):
            many = counts[part, v]
            counts[part, v] = place
            place += many
    starts[counts.shape[1]] = place


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def collect(ids: Any, bary: Any, places: Any, pixels: Any, weights: Any, begin: int, end: int) -> None:
    """Lists the pixels at each point, with their shares, in pixel order."""
    for p in range(begin, end):
        for r in range(ids.shape[1]):
            place = places[ids[p, r]]
            places[ids[p, r]] = place + 1
            pixels[place] = p
            weights[place] = bary[p, r]


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def mark(starts: Any, pixels: Any, begin: int, end: int) -> None:
    """Turns the first entry of points `begin` to `end` into its complement."""
    for v in range(begin, end):
        pixels[starts[v]] = ~pixels[starts[v]]


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def neighbours(table: Any, bits: int, keys: Any, delta: Any, following: Any) -> None:
    """The point one step along an axis from each point; -1 where the lattice has none."""
    for v in range(len(keys)):
        following[v] = table[find(table, keys, keys[v] + delta, bits)]


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def chain(following: Any, links: Any) -> int:
    """Lists the points of one axis chain by chain, the last of each as its complement; lonely points are left out.

    `links` has room for one entry more than there are points.

    Returns:
        How many entries of `links` are filled, one beyond the last chain among them, which may be any point.
    """
    points = len(following)
    led = np.zeros(points, np.bool_)
    for v in range(points):
        if following[v] >= 0:
            led[following[v]] = True
    place = 0
    for v in range(points):
        if following[v] < 0 or led[v]:
            continue
        here = v
        while following[here] >= 0:
            links[place] = here
            place += 1
            here = following[here]
        links[place] = ~here
        place += 1
    links[place] = 0
    return place + 1
