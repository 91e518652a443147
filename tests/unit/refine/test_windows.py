"""Images too large for one run."""

from __future__ import annotations

import numpy as np
import pytest

from segstudio.core.errors import Cancelled
from segstudio.refine import native_backend, windows
from segstudio.refine.api import ignore_progress, never, refined
from segstudio.refine.params import CrfParams

PARAMS = CrfParams(bilateral_xy=8, bilateral_rgb=10, spatial_xy=1)


@pytest.fixture
def case():
    """Coloured blocks, and a network that guesses them badly."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.repeat(rng.integers(0, 3, (12, 15)), 16, 0), 16, 1)
    image = np.array([(30, 60, 90), (190, 150, 40), (90, 200, 120)])[labels] + rng.normal(0, 6, (*labels.shape, 3))
    scores = np.exp(np.eye(3)[labels] * 0.8 + rng.normal(0, 0.5, (*labels.shape, 3))).transpose(2, 0, 1)
    return np.clip(image, 0, 255).astype(np.uint8), (scores / scores.sum(0)).astype(np.float32)


def _in_windows(case, seen, *, cancelled=never, most=110**2, monkeypatch=None):
    monkeypatch.setattr(windows, "_SMALLEST_CORE_PX", 48)
    image, probabilities = case
    return windows.in_windows(
        native_backend.minimise, image, probabilities, PARAMS, most_pixels=most, exact=True, progress=seen.append,
        cancelled=cancelled,
    )  # fmt: skip


def test_windows_give_what_the_whole_image_gives_but_for_one_pixel_in_a_thousand(case, monkeypatch):
    whole = refined(*case, PARAMS, exact=True)
    seen = []
    part = _in_windows(case, seen, monkeypatch=monkeypatch)
    assert (part.probabilities.argmax(0) == whole.probabilities.argmax(0)).mean() >= 0.999
    assert np.allclose(part.probabilities.sum(0), 1, atol=1e-5)
    assert part.live == whole.live
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert seen[-1].text.startswith("Window 16 of 16")


def test_an_engine_short_of_memory_works_in_windows(case, monkeypatch):
    image, probabilities = case
    probabilities[:, 5, 5] = np.nan
    whole = refined(image, probabilities, PARAMS, exact=True)
    calls = []
    real = native_backend.in_windows

    def counted(*args, **options):
        calls.append(options["most_pixels"])
        return real(*args, **options)

    monkeypatch.setattr(native_backend, "in_windows", counted)
    monkeypatch.setattr(windows, "_SMALLEST_CORE_PX", 48)
    monkeypatch.setattr(native_backend, "_FEWEST_PIXELS", 96**2)
    monkeypatch.setattr(native_backend, "free_memory", lambda: 1 << 20)
    part = refined(image, probabilities, PARAMS, exact=True)
    assert calls == [96**2]
    assert (part.probabilities.argmax(0) == whole.probabilities.argmax(0)).mean() >= 0.999
    assert part.uniform >= whole.uniform == 1


def test_a_cancelled_run_stops_between_iterations_of_a_window(case, monkeypatch):
    seen = []
    with pytest.raises(Cancelled):
        _in_windows(case, seen, cancelled=lambda: len(seen) > 5, monkeypatch=monkeypatch)
    assert 5 < len(seen) < 12


def test_the_room_that_is_left_decides_how_much_goes_through_at_once(monkeypatch):
    monkeypatch.setattr(native_backend, "free_memory", lambda: 2 << 30)
    little = native_backend._most_pixels(21)
    monkeypatch.setattr(native_backend, "free_memory", lambda: None)
    assert native_backend._most_pixels(21) > little
    assert native_backend._most_pixels(2) > native_backend._most_pixels(21)


def test_progress_and_cancel_have_defaults_that_do_nothing():
    assert never() is False
    assert ignore_progress(None) is None  # type: ignore[func-returns-value]
