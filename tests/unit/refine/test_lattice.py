"""The lattice against one built pixel by pixel with dictionaries of whole coordinates, in double precision."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from segstudio.core.errors import UserError
from segstudio.refine.lattice import Lattice, build_lattice, normalisers
from segstudio.refine.team import Team

Key = tuple[int, ...]
TeamOf = Callable[[int], Team]


@dataclass(frozen=True, eq=False)
class _Reference:
    """Corners (whole coordinates) and shares of each pixel."""

    corners: list[list[Key]]
    shares: npt.NDArray[np.float64]
    points: set[Key]


def _reference(features: npt.NDArray[np.float32]) -> _Reference:
    """The embedding of Adams, Baek and Davis (2010) of features (d, N)."""
    d = len(features)
    factors = np.array([math.sqrt(2 / 3) * (d + 1) / math.sqrt((i + 1) * (i + 2)) for i in range(d)])
    pixels = [_simplex(column * factors) for column in features.T.astype(np.float64)]
    corners = [each for each, _ in pixels]
    return _Reference(corners, np.array([shares for _, shares in pixels]), set(itertools.chain.from_iterable(corners)))


def _simplex(scaled: npt.NDArray[np.float64]) -> tuple[list[Key], npt.NDArray[np.float64]]:
    d = len(scaled)
    elevated = np.array([scaled[i:].sum() - (i * scaled[i - 1] if i else 0.0) for i in range(d + 1)])
    base = np.rint(elevated / (d + 1)) * (d + 1)
    rest = elevated - base
    # How many coordinates are further from the base point, and after those the earlier ones of the same distance.
    rank = np.array([sum(rest > rest[i]) for i in range(d + 1)]) + round(base.sum() / (d + 1))
    wrapped = np.where(rank < 0, d + 1, np.where(rank > d, -d - 1, 0))
    rank, base, rest = rank + wrapped, base + wrapped, rest - wrapped
    sorted_rest = rest[np.argsort(rank)] / (d + 1)
    shares = np.array([1 - sorted_rest[0] + sorted_rest[d], *(-np.diff(sorted_rest)[::-1])])
    corners = [tuple(int(b + (r if k <= d - r else r - d - 1)) for b, k in zip(base, rank, strict=True))
               for r in range(d + 1)]  # fmt: skip
    return corners, shares


def _neighbour(point: Key, axis: int) -> Key:
    d = len(point) - 1
    return tuple(x + (d if i == axis else -1) for i, x in enumerate(point))


def _names(lattice: Lattice, reference: _Reference) -> dict[int, Key]:
    """Which point each number means; fails where two points share one, or one has two."""
    names: dict[int, Key] = {}
    for numbers, corners in zip(lattice.ids.tolist(), reference.corners, strict=True):
        for number, corner in zip(numbers, corners, strict=True):
            assert names.setdefault(number, corner) == corner
    assert len(names) == lattice.points == len(reference.points)
    return names


def _pairs(links: npt.NDArray[np.int32]) -> list[tuple[int, int]]:
    """Who follows whom in chains."""
    pairs = []
    for here, there in itertools.pairwise(links.tolist()):
        if here >= 0:
            pairs.append((here, there if there >= 0 else ~there))
    return pairs


def _mass(reference: _Reference) -> npt.NDArray[np.float64]:
    """The filter of ones, with blurs that look each neighbour up."""
    values = dict.fromkeys(sorted(reference.points), 0.0)
    for corners, shares in zip(reference.corners, reference.shares, strict=True):
        for corner, share in zip(corners, shares, strict=True):
            values[corner] += share
    d = len(reference.corners[0]) - 1
    for axis in range(d + 1):
        after = {point: values.get(_neighbour(point, axis), 0.0) for point in values}
        before = dict.fromkeys(values, 0.0)
        before.update({_neighbour(p, axis): v for p, v in values.items() if _neighbour(p, axis) in values})
        values = {point: values[point] + 0.5 * (after[point] + before[point]) for point in values}
    spread = [[values[corner] for corner in corners] for corners in reference.corners]
    return (np.array(spread) * reference.shares).sum(1) / (1 + 2.0**-d)


def _drawn(d: int, spread: float, count: int = 300) -> npt.NDArray[np.float32]:
    return np.random.default_rng(d).uniform(-spread, spread, (d, count)).astype(np.float32)


def _clusters(d: int, spread: float, count: int = 300) -> npt.NDArray[np.float32]:
    """Some places far from each other with neighbours around each."""
    rng = np.random.default_rng(d)
    centres = rng.uniform(-spread, spread, (d, 6))
    return (centres[:, rng.integers(0, 6, count)] + rng.uniform(-0.5, 0.5, (d, count))).astype(np.float32)


@pytest.mark.parametrize(("d", "spread"), [(1, 3), (2, 5), (3, 2), (5, 1.5), (8, 0.6), (16, 0.3)])
def test_points_shares_and_chains_are_those_of_a_lattice_of_whole_coordinates(
    team_of: TeamOf, d: int, spread: float
) -> None:
    features = _drawn(d, spread)
    _assert_as_reference(features, _reference(features), team_of(3))


@pytest.mark.parametrize(("d", "spread"), [(8, 100), (10, 40), (16, 10)])
def test_points_that_cannot_be_numbered_one_to_one_in_64_bits_are_still_told_apart(
    team_of: TeamOf, d: int, spread: float
) -> None:
    features = _clusters(d, spread)
    reference = _reference(features)
    ranges = np.ptp(np.array(list(reference.points))[:, :-1], axis=0)
    assert np.log2(ranges).sum() > 64, "a box around them has too many places"
    _assert_as_reference(features, reference, team_of(3))


def _assert_as_reference(features: npt.NDArray[np.float32], reference: _Reference, team: Team) -> None:
    lattice = build_lattice(features, team)
    names = _names(lattice, reference)
    assert np.abs(lattice.shares - reference.shares).max() < 1e-4
    assert len(lattice.links) == len(features) + 1
    for axis, links in enumerate(lattice.links):
        pairs = [(names[a], names[b]) for a, b in _pairs(links)]
        steps = ((p, _neighbour(p, axis)) for p in reference.points)
        expected = {(here, there) for here, there in steps if there in reference.points}
        assert set(pairs) == expected
        assert len(pairs) == len(expected), "each pair once"
    assert np.abs(lattice.mass - _mass(reference)).max() < 1e-3


@pytest.mark.parametrize("d", [1, 2, 5, 16])
def test_the_shares_of_a_pixel_are_positive_and_sum_to_one(team_of: TeamOf, d: int) -> None:
    lattice = build_lattice(_drawn(d, 50, 1000), team_of(2))
    assert lattice.shares.min() >= -1e-4
    assert np.abs(lattice.shares.sum(1) - 1).max() < 1e-5


def test_each_point_lists_its_pixels_in_order_with_their_shares(team_of: TeamOf) -> None:
    lattice = build_lattice(_drawn(2, 4), team_of(2))
    listed = {}
    for point in range(lattice.points):
        entries = slice(lattice.starts[point], lattice.starts[point + 1])
        first, *others = lattice.pixels[entries].tolist()
        assert first < 0
        pixels = [~first, *others]
        assert pixels == sorted(pixels)
        listed.update({(p, point): w for p, w in zip(pixels, lattice.weights[entries].tolist(), strict=True)})
    expected = {
        (p, number): share
        for p, (numbers, shares) in enumerate(zip(lattice.ids.tolist(), lattice.shares.tolist(), strict=True))
        for number, share in zip(numbers, shares, strict=True)
    }
    assert listed == expected


@pytest.mark.parametrize("size", [1, 2, 5, 40])
def test_any_number_of_threads_builds_the_same_lattice(team_of: TeamOf, size: int) -> None:
    features = _drawn(5, 1.5)
    one, other = build_lattice(features, team_of(1)), build_lattice(features, team_of(size))
    for name in ("ids", "shares", "starts", "pixels", "weights", "mass"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    for mine, theirs in zip(one.links, other.links, strict=True):
        assert np.array_equal(mine, theirs)


def test_pixels_that_all_look_alike_share_one_simplex(team_of: TeamOf) -> None:
    lattice = build_lattice(np.full((5, 100), 0.3, np.float32), team_of(2))
    assert lattice.points == 6
    assert np.ptp(lattice.mass) == 0


@pytest.mark.parametrize("normalization", ["before", "after", "symmetric"])
def test_a_normalised_filter_of_ones_is_ones(normalization: str) -> None:
    mass = np.array([0.5, 2.0, 8.0], np.float32)
    before, after = normalisers(mass, normalization)
    assert np.allclose(before * mass * after, 1)


def test_no_normalisation_leaves_the_filter_as_it_is() -> None:
    before, after = normalisers(np.array([0.5, 2.0, 8.0], np.float32), "none")
    assert before.tolist() == after.tolist() == [1, 1, 1]


@pytest.mark.parametrize("d", [1, 2, 5, 16])
@pytest.mark.parametrize("spread", [1e4, 1e5, 1e6])
def test_features_too_large_for_exact_coordinates_are_refused_or_right(team_of: TeamOf, d: int, spread: float) -> None:
    try:
        lattice = build_lattice(_drawn(d, spread, 2000), team_of(2))
    except UserError as error:
        assert error.hint
    else:
        assert lattice.shares.min() > -0.02
        assert np.abs(lattice.shares.sum(1) - 1).max() < 1e-5


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e13, -1e13])
def test_a_feature_without_a_place_is_refused(team_of: TeamOf, bad: float) -> None:
    features = _drawn(3, 1)
    features[1, 7] = bad
    with pytest.raises(UserError, match="not finite"):
        build_lattice(features, team_of(1))


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (17, 5), (5,)])
def test_features_of_a_wrong_shape_are_refused(team_of: TeamOf, shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="shape"):
        build_lattice(np.zeros(shape, np.float32), team_of(1))
