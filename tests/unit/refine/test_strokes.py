"""The CRF under the brush."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from segstudio.core.errors import Cancelled, UserError
from segstudio.core.geometry import Rect
from segstudio.refine.api import refined
from segstudio.refine.params import CrfParams
from segstudio.refine.recent import Recent
from segstudio.refine.strokes import NO_SEED, Strokes

HEIGHT, WIDTH = 90, 120
PARAMS = CrfParams(temperature=2.0, seed_weight=100.0, bilateral_xy=30, bilateral_rgb=8)


@pytest.fixture
def image() -> npt.NDArray[np.uint8]:
    """A bright disc on a dark ground, with noise."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    disc = (rows - 45) ** 2 + (columns - 60) ** 2 < 25**2
    noise = np.random.default_rng(0).normal(0, 4, (HEIGHT, WIDTH, 3))
    return np.clip(np.where(disc[..., None], (200, 190, 60), (40, 60, 50)) + noise, 0, 255).astype(np.uint8)


@pytest.fixture
def blind() -> npt.NDArray[np.float32]:
    """A network that sees ground everywhere, and never the other two labels."""
    probabilities = np.empty((3, HEIGHT, WIDTH), np.float32)
    probabilities[:] = np.array([0.85, 0.145, 0.005])[:, None, None]
    return probabilities


def _seeds(label: int, rows: slice, columns: slice) -> npt.NDArray[np.uint8]:
    seeds = np.full((HEIGHT, WIDTH), NO_SEED, np.uint8)
    seeds[rows, columns] = label
    return seeds


def test_settling_without_strokes_is_the_refinement(image, blind):
    rng = np.random.default_rng(1)
    unsure = rng.dirichlet((2, 2, 2), (HEIGHT, WIDTH)).transpose(2, 0, 1).astype(np.float32)
    spread = Strokes(image, unsure, PARAMS).settle()
    want = refined(image, unsure, PARAMS).probabilities
    assert np.array_equal(spread.labels, want.argmax(0))
    assert np.abs(spread.confidence - want.max(0) * 255).max() < 0.51


def test_a_stroke_spreads_over_what_looks_like_it_and_stops_at_its_edge(image, blind):
    strokes = Strokes(image, blind, PARAMS)
    assert (strokes.settle().labels == 0).all()
    spread = strokes.settle(_seeds(1, slice(42, 48), slice(45, 75)))
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    distance = np.hypot(rows - 45, columns - 60)
    assert (spread.labels[distance < 23] == 1).mean() > 0.95
    assert (spread.labels[distance > 27] == 0).mean() > 0.98


def test_a_window_without_a_new_stroke_stays_as_it_was(image, blind):
    rng = np.random.default_rng(2)
    unsure = rng.dirichlet((3, 2, 1), (HEIGHT, WIDTH)).transpose(2, 0, 1).astype(np.float32)
    strokes = Strokes(image, unsure, PARAMS)
    whole = strokes.settle()
    rect = Rect(20, 30, 48, 64)
    strokes.press(rect)
    where, spread = strokes.draw(np.full((48, 64), NO_SEED, np.uint8))
    assert where == rect
    assert (spread.labels == whole.labels[rect.slices]).mean() > 0.99


def test_a_window_with_a_stroke_gives_what_the_whole_image_gives(image, blind):
    strokes = Strokes(image, blind, PARAMS)
    strokes.settle()
    rect = Rect(10, 20, 70, 80)
    seeds = _seeds(1, slice(42, 48), slice(45, 75))
    strokes.press(rect)
    _, spread = strokes.draw(seeds[rect.slices])
    whole = strokes.settle(seeds)
    assert (spread.labels == whole.labels[rect.slices]).mean() > 0.97


def test_a_stroke_brings_a_label_back_that_nobody_had(image, blind):
    strokes = Strokes(image, blind, PARAMS)
    strokes.settle()
    rect = Rect(10, 20, 70, 80)
    strokes.press(rect)
    seeds = _seeds(2, slice(42, 48), slice(45, 75))
    _, spread = strokes.draw(seeds[rect.slices])
    assert (spread.labels[seeds[rect.slices] == 2] == 2).all()
    assert (spread.labels == 2).sum() > 2 * (seeds == 2).sum()
    again = strokes.settle(seeds)
    assert (again.labels[seeds == 2] == 2).all()


def test_taking_a_stroke_back_takes_its_effect_back(image, blind):
    strokes = Strokes(image, blind, PARAMS)
    strokes.settle()
    rect = Rect(10, 20, 70, 80)
    strokes.press(rect)
    seeds = _seeds(1, slice(42, 48), slice(45, 75))[rect.slices]
    _, with_stroke = strokes.draw(seeds)
    _, without = strokes.draw(np.full_like(seeds, NO_SEED))
    assert (with_stroke.labels == 1).any()
    assert (without.labels == 0).all()


def test_the_weight_of_a_stroke_decides_how_far_it_spreads(image, blind):
    seeds = _seeds(1, slice(44, 46), slice(50, 70))
    counts = []
    for weight in (1.0, 10.0, 100.0):
        params = CrfParams(temperature=2.0, seed_weight=weight, bilateral_xy=30, bilateral_rgb=8)
        counts.append(int((Strokes(image, blind, params).settle(seeds).labels == 1).sum()))
    assert counts[0] < counts[1] <= counts[2]


def test_lattices_are_built_once(image, blind):
    cache = Recent()
    Strokes(image, blind, PARAMS, cache=cache).settle()
    built = cache.nbytes
    Strokes(image, blind, PARAMS, cache=cache).settle()
    assert cache.nbytes == built > 0


def test_cancelling_leaves_the_image_as_it_was_settled_before(image, blind):
    strokes = Strokes(image, blind, PARAMS)
    strokes.settle()
    with pytest.raises(Cancelled):
        strokes.settle(_seeds(1, slice(42, 48), slice(45, 75)), cancelled=lambda: True)
    strokes.press(Rect(0, 0, 40, 40))
    _, spread = strokes.draw(np.full((40, 40), NO_SEED, np.uint8))
    assert (spread.labels == 0).all()


def test_a_window_beyond_the_image_is_cut(image, blind):
    strokes = Strokes(image, blind, PARAMS)
    strokes.settle()
    strokes.press(Rect(60, 100, 64, 64))
    where, spread = strokes.draw(np.full((30, 20), NO_SEED, np.uint8))
    assert (where.height, where.width) == spread.labels.shape == (30, 20)


@pytest.mark.parametrize("seeds", [np.zeros((3, 3), np.uint8), np.zeros((HEIGHT, WIDTH), np.int64)])
def test_seeds_of_another_kind_are_a_mistake_of_the_caller(image, blind, seeds):
    with pytest.raises(ValueError, match="seeds are"):
        Strokes(image, blind, PARAMS).settle(seeds)


def test_seeds_of_an_unknown_label_are_a_mistake_of_the_caller(image, blind):
    with pytest.raises(ValueError, match="below 3"):
        Strokes(image, blind, PARAMS).settle(_seeds(7, slice(0, 2), slice(0, 2)))


def test_useless_parameters_are_refused(image, blind):
    with pytest.raises(UserError, match="seed weight"):
        Strokes(image, blind, CrfParams(seed_weight=0))
