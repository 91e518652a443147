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

MAX_DIMENSIONS: Final = 16
EMPTY: Final = -1
# Knuth's multiplier, 2^64 / golden ratio, as a signed number: spreads packed coordinates over the table.
_SPREAD: Final = np.int64(-7046029254386353131)


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _slot(key: Any, shift: Any) -> Any:
    return (np.uint64(key * _SPREAD)) >> np.uint64(shift)


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def find(table: Any, shift: int, key: Any) -> Any:
    """The number stored for a key, -1 where there is none. `table` is (slots, 2) int64 of key and number."""
    mask = len(table) - 1
    slot = np.int64(_slot(key, shift))
    while True:
        number = table[slot, 1]
        if number == EMPTY or table[slot, 0] == key:
            return number
        slot = (slot + 1) & mask


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _put(table: Any, shift: int, key: Any, number: Any) -> Any:
    """Stores `number` for a key that is new, and returns what is stored for it."""
    mask = len(table) - 1
    slot = np.int64(_slot(key, shift))
    while True:
        known = table[slot, 1]
        if known == EMPTY:
            table[slot, 0] = key
            table[slot, 1] = number
            return number
        if table[slot, 0] == key:
            return known
        slot = (slot + 1) & mask


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _grown(table: Any, shift: int) -> Any:
    """A table of twice the size with the same content, and its shift."""
    larger = np.empty((2 * len(table), 2), np.int64)
    larger[:, 1] = EMPTY
    for i in range(len(table)):
        if table[i, 1] != EMPTY:
            _put(larger, shift - 1, table[i, 0], table[i, 1])
    return larger, shift - 1


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def embed(features: Any, scales: Any, codes: Any, bary: Any, ids: Any, begin: int, end: int) -> Any:
    """Puts pixels `begin` to `end` into their simplices; numbers the lattice points met in order of appearance.

    Args:
        features: (N, d) float32.
        scales: (d,) float32, the elevation's factors.
        codes: (d,) int64: a point's key is the sum of its first d coordinates times these.
        bary: (N, d + 1) float32, filled: the pixel's share of each corner.
        ids: (N, d + 1) int32, filled: the corners' numbers, which count from 0 in this range alone.
        begin: First pixel.
        end: Beyond the last one.

    Returns:
        The keys by number, (points,) int64.
    """
    d = features.shape[1]
    up, down = np.int64(d + 1), np.float32(1.0) / np.float32(d + 1)
    elevated = np.empty(MAX_DIMENSIONS + 1, np.float32)
    rest = np.empty(MAX_DIMENSIONS + 1, np.float32)
    base = np.empty(MAX_DIMENSIONS + 1, np.int64)
    rank = np.empty(MAX_DIMENSIONS + 1, np.int64)
    at_rank = np.empty(MAX_DIMENSIONS + 1, np.int64)
    shares = np.empty(MAX_DIMENSIONS + 2, np.float32)
    last_key = np.zeros(MAX_DIMENSIONS + 1, np.int64)
    last_number = np.full(MAX_DIMENSIONS + 1, -1, np.int64)
    whole = np.int64(0)
    for i in range(d):
        whole += codes[i]
    shift = 64 - 12
    table = np.empty((1 << 12, 2), np.int64)
    table[:, 1] = EMPTY
    keys = np.empty(1 << 12, np.int64)
    count = 0
    for p in range(begin, end):
        sm = np.float32(0.0)
        for j in range(d, 0, -1):
            cf = features[p, j - 1] * scales[j - 1]
            elevated[j] = sm - np.float32(j) * cf
            sm += cf
        elevated[0] = sm
        off = np.int64(0)
        for i in range(d + 1):
            nearest = np.int64(np.rint(down * elevated[i]))
            base[i] = nearest * up
            rest[i] = elevated[i] - np.float32(base[i])
            off += nearest
            rank[i] = 0
        for i in range(d):
            for j in range(i + 1, d + 1):
                if rest[i] < rest[j]:
                    rank[i] += 1
                else:
                    rank[j] += 1
        for i in range(d + 2):
            shares[i] = 0.0
        for i in range(d + 1):
            # A point that rounding took off the plane of coordinate sum zero is brought back.
            rank[i] += off
            if rank[i] < 0:
                rank[i] += up
                base[i] += up
            elif rank[i] > d:
                rank[i] -= up
                base[i] -= up
            at_rank[rank[i]] = i
            share = (elevated[i] - np.float32(base[i])) * down
            shares[d - rank[i]] += share
            shares[d - rank[i] + 1] -= share
        shares[0] += np.float32(1.0) + shares[d + 1]
        key = np.int64(0)
        for i in range(d):
            key += base[i] * codes[i]
        for r in range(d + 1):
            if r > 0:
                # Corner r has one more in every coordinate but the one of rank d - r + 1, which has d less.
                key += whole
                i = at_rank[d - r + 1]
                if i < d:
                    key -= up * codes[i]
            # Pixels beside each other often share corners.
            if key == last_key[r] and last_number[r] >= 0:
                number = last_number[r]
            else:
                number = _put(table, shift, key, count)
                last_key[r] = key
                last_number[r] = number
            if number == count:
                if count == len(keys):
                    longer = np.empty(2 * count, np.int64)
                    longer[:count] = keys
                    keys = longer
                keys[count] = key
                count += 1
                if 2 * count > len(table):
                    table, shift = _grown(table, shift)
            ids[p, r] = number
            bary[p, r] = shares[r]
    return keys[:count]


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def merge(table: Any, shift: int, local: Any, keys: Any, count: int, numbers: Any) -> int:
    """Gives the points of one range their numbers in the whole lattice; returns how many points there are now.

    Args:
        table: (slots, 2) int64, at least twice as many slots as there will be points.
        shift: 64 less the logarithm of the slots.
        local: Keys of the range, by their number in it.
        keys: Keys of the whole lattice so far, with room for more.
        count: How many those are.
        numbers: (len(local),) int32, filled.
    """
    for i in range(len(local)):
        number = _put(table, shift, local[i], count)
        if number == count:
            keys[count] = local[i]
            count += 1
        numbers[i] = number
    return count


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
def neighbours(table: Any, shift: int, keys: Any, delta: Any, following: Any, begin: int, end: int) -> None:
    """The point one step along an axis from each point of a range; -1 where the lattice has none."""
    for v in range(begin, end):
        following[v] = find(table, shift, keys[v] + delta)


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def chain(following: Any, links: Any) -> int:
    """Lists the points of one axis chain by chain, the last of each as its complement; lonely points are left out.

    Returns:
        How many entries of `links` are filled.
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
    return place
