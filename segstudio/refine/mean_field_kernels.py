"""Numba kernels of mean-field inference: rows of padded labels, one for each pixel or lattice point.

A row holds the probabilities of all labels, padded to a whole number of lanes, so that every step is a handful of
vector operations on contiguous memory. Every sum has one order, which no number of threads changes.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit

from segstudio.imaging.lanes import (
    add,
    below,
    chosen,
    exponential,
    larger,
    largest,
    load,
    logarithm,
    mul,
    splat,
    store,
    sub,
    total,
)
from segstudio.refine.barrier import meet

_BLOCK: Final = 64


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def splat_rows(
    q: Any, row: int, starts: Any, pixels: Any, weights: Any, scale: Any, factor: Any, values: Any, like: Any,
    begin: int, end: int,
) -> None:  # fmt: skip
    """Gathers at lattice points `begin` to `end` what their pixels say, times `factor`.

    One stream of entries without a branch: most points have one or two, whose ends no processor foresees.

    Args:
        q: Flat (N, row) float32.
        row: Numbers in a row.
        starts: (points + 1,) int32, where each point's entries start.
        pixels: (entries,) int32, the first of each point as its complement.
        weights: (entries,) float32.
        scale: (N,) float32, a factor for each pixel.
        factor: float32.
        values: Flat (points, row) float32, filled.
        like: The lanes.
        begin: First point.
        end: Beyond the last one.
    """
    one = splat(np.float32(1.0), like)
    for c in range(0, row, len(like)):
        v = np.int64(begin - 1)
        value = splat(np.float32(0.0), like)
        for e in range(starts[begin], starts[end]):
            # -1 where a point begins, else 0.
            new = np.int64(pixels[e]) >> np.int64(63)
            p = np.int64(pixels[e]) ^ new
            v -= new
            weight = splat(weights[e] * scale[p] * factor, like)
            kept = chosen(splat(np.float32(1 + new), like), one, value)
            value = add(kept, mul(weight, load(q, p * row + c, like)))
            store(values, v * row + c, value)


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def blur_chains(values: Any, row: int, links: Any, like: Any, begin: int, end: int) -> None:
    """Adds half of both neighbours along the chains that start in `begin` to `end`, in place.

    Like `splat_rows` one stream without a branch: chains are two or three points long.

    Args:
        values: Flat (points, row) float32.
        row: Numbers in a row.
        links: (entries + 1,) int32: chains of points, the last of each as its complement; one more point at the end.
        like: The lanes.
        begin: An entry; the chain it lies in belongs to the range before, unless it starts there.
        end: An entry; the chain that starts before it is finished.
    """
    first, stop = _chain_start(links, begin), _chain_start(links, end)
    if first >= stop:
        return
    half = splat(np.float32(0.5), like)
    for c in range(0, row, len(like)):
        here = np.int64(links[first]) * row + c
        before, value = splat(np.float32(0.0), like), load(values, here, like)
        led = np.float32(0.0)
        for k in range(first, stop):
            leads = np.float32(1 + (np.int64(links[k]) >> np.int64(63)))
            next_point = np.int64(links[k + 1])
            there = (next_point ^ (next_point >> np.int64(63))) * row + c
            after = load(values, there, like)
            sides = add(mul(splat(led, like), before), mul(splat(leads, like), after))
            store(values, here, add(value, mul(half, sides)))
            before, value, here, led = value, after, there, leads


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _chain_start(links: Any, place: int) -> int:
    """The first entry from `place` on at which a chain starts."""
    while 0 < place < len(links) - 1 and links[place - 1] >= 0:
        place += 1
    return place


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def update_rows(
    logits: Any, q: Any, row: int, ids: Any, shares: Any, scales: Any, values: Any, peaks: Any, like: Any,
    begin: int, end: int,
) -> None:  # fmt: skip
    """The new distribution of pixels `begin` to `end`: softmax of `logits` plus every kernel's message.

    Args:
        logits: Flat (N, row) float32.
        q: Flat (N, row) float32, filled.
        row: Numbers in a row.
        ids: For each kernel (N, d + 1) int32.
        shares: For each kernel (N, d + 1) float32.
        scales: For each kernel (N,) float32.
        values: For each kernel flat (points, row) float32.
        peaks: (row,) float32, raised to the largest probability of each label.
        like: The lanes.
        begin: First pixel.
        end: Beyond the last one.
    """
    lanes = len(like)
    for p in range(begin, end):
        best = splat(np.float32(-np.inf), like)
        for c in range(0, row, lanes):
            value = load(logits, p * row + c, like)
            for k in range(len(ids)):
                corners, parts, scale = ids[k], shares[k], scales[k][p]
                for r in range(corners.shape[1]):
                    weight = splat(parts[p, r] * scale, like)
                    value = add(value, mul(weight, load(values[k], np.int64(corners[p, r]) * row + c, like)))
            store(q, p * row + c, value)
            best = larger(value, best)
        _normalise(q, p * row, row, largest(best), peaks, like)


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _normalise(q: Any, at: int, row: int, top: Any, peaks: Any, like: Any) -> None:
    """Softmax of one row, in place; `top` is its largest number."""
    lanes = len(like)
    mass = splat(np.float32(0.0), like)
    for c in range(0, row, lanes):
        value = exponential(sub(load(q, at + c, like), splat(top, like)))
        mass = add(mass, value)
        store(q, at + c, value)
    share = splat(np.float32(1.0) / total(mass), like)
    for c in range(0, row, lanes):
        value = mul(load(q, at + c, like), share)
        store(q, at + c, value)
        store(peaks, c, larger(value, load(peaks, c, like)))


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def step_rows(
    logits: Any, q: Any, row: int, entries: Any, chains: Any, corners: Any, scales: Any, factors: Any, values: Any,
    peaks: Any, like: Any, barrier: Any, part: int, parts: int,
) -> None:  # fmt: skip
    """One thread's part of a whole update with Potts kernels; all parts run at once and wait for each other.

    Args:
        logits: As for `update_rows`, and so are `q`, `row`, `values`, `peaks` and `like`.
        entries: Starts, pixels and weights of the lattice points, each for every kernel.
        chains: Chains (axes, entries) and their lengths (axes,), each for every kernel.
        corners: Corners' numbers and shares (N, d + 1), each for every kernel.
        scales: Factors (N,) of the pixels before and after filtering, each for every kernel.
        factors: For each kernel a float32.
        barrier: A `new_barrier`.
        part: Which part.
        parts: Of how many.
    """
    starts, pixels, weights = entries
    links, lengths = chains
    ids, shares = corners
    before, after = scales
    axes = 0
    for k in range(len(ids)):
        points = len(starts[k]) - 1
        splat_rows(
            q, row, starts[k], pixels[k], weights[k], before[k], factors[k], values[k], like, points * part // parts,
            points * (part + 1) // parts,
        )  # fmt: skip
        axes = max(axes, len(lengths[k]))
    meet(barrier, parts)
    for axis in range(axes):
        for k in range(len(ids)):
            if axis < len(lengths[k]):
                chain = links[k][axis, : lengths[k][axis]]
                count = len(chain) - 1
                blur_chains(values[k], row, chain, like, count * part // parts, count * (part + 1) // parts)
        meet(barrier, parts)
    count = len(ids[0])
    update_rows(
        logits, q, row, ids, shares, after, values, peaks, like, count * part // parts, count * (part + 1) // parts
    )


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def softmax_rows(logits: Any, q: Any, row: int, peaks: Any, like: Any, begin: int, end: int) -> None:
    """Softmax of pixels `begin` to `end`; arguments as for `update_rows`."""
    lanes = len(like)
    for p in range(begin, end):
        best = splat(np.float32(-np.inf), like)
        for c in range(0, row, lanes):
            value = load(logits, p * row + c, like)
            store(q, p * row + c, value)
            best = larger(value, best)
        _normalise(q, p * row, row, largest(best), peaks, like)


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def slice_rows(
    ids: Any, shares: Any, scale: Any, values: Any, row: int, out: Any, like: Any, begin: int, end: int
) -> None:
    """One kernel's message at pixels `begin` to `end`, into `out`, flat (N, row); the rest as for `update_rows`."""
    lanes = len(like)
    for p in range(begin, end):
        for c in range(0, row, lanes):
            value = splat(np.float32(0.0), like)
            for r in range(ids.shape[1]):
                weight = splat(shares[p, r] * scale[p], like)
                value = add(value, mul(weight, load(values, np.int64(ids[p, r]) * row + c, like)))
            store(out, p * row + c, value)


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def subtract_compatible(
    matrix: Any, messages: Any, logits: Any, row: int, labels: int, like: Any, begin: int, end: int
) -> None:
    """Subtracts from the logits of pixels `begin` to `end` a message times the compatibility (row, row) of labels."""
    lanes = len(like)
    for p in range(begin, end):
        for c in range(0, row, lanes):
            value = load(logits, p * row + c, like)
            for other in range(labels):
                message = splat(messages[p * row + other], like)
                value = sub(value, mul(message, load(matrix, other * row + c, like)))
            store(logits, p * row + c, value)


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def pack_probabilities(
    planes: Any, order: Any, least: Any, temperature: Any, logits: Any, row: int, like: Any, begin: int, end: int
) -> int:
    """Logits of places `begin` to `end` from probabilities: log max(P, least), times `temperature`; padding is -1e30.

    Args:
        planes: (labels, N) float32, in raster order.
        order: (N,) int32, the pixel at each place.
        least: float32, the smallest probability.
        temperature: float32 factor of the logits.
        logits: Flat (N, row) float32, filled.
        row: Numbers in a row.
        like: The lanes.
        begin: First place.
        end: Beyond the last one.

    Returns:
        How many pixels were no distribution, and became uniform.
    """
    labels, lanes, spoilt = len(planes), len(like), 0
    zero, floor, sharpness = splat(np.float32(0.0), like), splat(least, like), splat(temperature, like)
    for first in range(begin, end, _BLOCK):
        last = min(first + _BLOCK, end)
        # Plane by plane: each is read in one go, and the rows stay in the cache meanwhile.
        for c in range(labels):
            for i in range(first, last):
                logits[i * row + c] = planes[c, order[i]]
        for i in range(first, last):
            at = i * row
            for c in range(labels, row):
                logits[at + c] = 0.0
            masses, negatives = zero, zero
            for c in range(0, row, lanes):
                value = load(logits, at + c, like)
                masses, negatives = add(masses, value), add(negatives, below(value, zero))
            mass = total(masses)
            if not (0 < mass < np.inf) or total(negatives) > 0:
                spoilt += 1
                mass = np.float32(1.0)
                for c in range(labels):
                    logits[at + c] = 1.0
            part = splat(np.float32(1.0) / mass, like)
            for c in range(0, row, lanes):
                value = logarithm(larger(mul(load(logits, at + c, like), part), floor))
                store(logits, at + c, mul(value, sharpness))
            for c in range(labels, row):
                logits[at + c] = -1e30
    return spoilt


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def pack_energies(planes: Any, order: Any, logits: Any, row: int, begin: int, end: int) -> int:
    """As `pack_probabilities`, from energies; infinite ones are never taken, and a pixel needs one that is finite."""
    labels, spoilt = len(planes), 0
    for i in range(begin, end):
        at, p, fine, least = i * row, order[i], True, np.float32(np.inf)
        for c in range(labels):
            fine = fine and planes[c, p] > -np.inf
            least = min(least, planes[c, p])
        if not (fine and least < np.inf):
            spoilt += 1
        for c in range(labels):
            logits[at + c] = max(-planes[c, p], np.float32(-1e30)) if fine and least < np.inf else 0.0
        for c in range(labels, row):
            logits[at + c] = -1e30
    return spoilt


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def unpack(q: Any, row: int, order: Any, columns: Any, planes: Any, begin: int, end: int) -> None:
    """Puts the live labels of places `begin` to `end` into `planes` (labels, N), in raster order.

    `columns` (labels,) int64 says where in its row each label lies; -1 for a dropped one, whose probability is 0.
    """
    for i in range(begin, end):
        p = order[i]
        for c in range(len(columns)):
            planes[c, p] = q[i * row + columns[c]] if columns[c] >= 0 else np.float32(0.0)


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def winners(q: Any, row: int, order: Any, live: Any, labels: Any, confidence: Any, begin: int, end: int) -> None:
    """The most probable label of places `begin` to `end`, and 255 times its probability, in raster order."""
    for i in range(begin, end):
        best = 0
        for c in range(1, len(live)):
            if q[i * row + c] > q[i * row + best]:
                best = c
        labels[order[i]] = live[best]
        confidence[order[i]] = np.uint8(q[i * row + best] * np.float32(255.0) + np.float32(0.5))


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def narrow(source: Any, row: int, kept: Any, padding: Any, target: Any, new_row: int, begin: int, end: int) -> None:
    """Copies the columns `kept` of rows `begin` to `end` to rows of another width, the rest being `padding`."""
    for p in range(begin, end):
        for c in range(len(kept)):
            target[p * new_row + c] = source[p * row + kept[c]]
        for c in range(len(kept), new_row):
            target[p * new_row + c] = padding


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def image_features(image: Any, order: Any, window: Any, xy: Any, rgb: Any, features: Any, begin: int, end: int) -> None:
    """Position and colour of places `begin` to `end`, divided by the kernel's widths: x, y, and red, green, blue.

    Args:
        image: (H, W, 3) uint8.
        order: (N,) int32, the pixel at each place, in raster order of the window.
        window: Top, left and width of the window in the image, px.
        xy: (2,) float32, the reach in x and y, px.
        rgb: (3,) float32, the reach in colour; not positive leaves colour out.
        features: (2, N) or (5, N) float32, filled.
        begin: First place.
        end: Beyond the last one.
    """
    top, left, columns = window
    for i in range(begin, end):
        y, x = top + order[i] // columns, left + order[i] % columns
        features[0, i] = np.float32(x) / xy[0]
        features[1, i] = np.float32(y) / xy[1]
        for k in range(len(features) - 2):
            features[2 + k, i] = np.float32(image[y, x, k]) / rgb[k]
