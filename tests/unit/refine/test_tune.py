"""Tuning the CRF: the search finds what is best, the figures come from other images, and nothing is hidden."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segstudio.core.errors import Cancelled, UserError
from segstudio.core.jobs import Progress
from segstudio.refine import samples as samples_module
from segstudio.refine import tune as module
from segstudio.refine.api import Refined
from segstudio.refine.params import CrfParams
from segstudio.refine.samples import Sample, SampleFiles
from segstudio.refine.tune import tune
from segstudio.refine.tuned import Score, Tuned

_SIZE = (20, 30)


def _sample(seed: int = 0, mistakes: float = 0.2) -> Sample:
    """Two halves of different colour, and a network that mistakes single pixels."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(_SIZE, np.uint8)
    labels[:, 15:] = 1
    image = (labels[..., None] * 150 + rng.integers(0, 4, (*_SIZE, 3))).astype(np.uint8)
    said = np.where(rng.random(_SIZE) < mistakes, 1 - labels, labels)
    return Sample(image, np.stack([0.9 - 0.8 * said, 0.1 + 0.8 * said]).astype(np.float16), labels)


class _Landscape:
    """An engine that mistakes the more pixels, the further its parameters lie from the best ones."""

    def __init__(self, best: CrfParams) -> None:
        self.best = best
        self.asked: list[tuple[int, CrfParams]] = []

    def __call__(self, image: Any, probabilities: Any, params: CrfParams, **_options: Any) -> Refined:
        self.asked.append((id(image), params))
        labels = (image[..., 0] > 75).astype(np.float32)
        distance = 0.3  # of no CRF
        if params.iterations:
            names = ("bilateral_weight", "bilateral_xy", "bilateral_rgb", "temperature")
            distance = sum(abs(math.log(getattr(params, name) / getattr(self.best, name))) for name in names) / 10
            distance += abs(params.spatial_weight - self.best.spatial_weight) / 20
        wrong = min(labels.size, round(distance * labels.size))
        labels.ravel()[:wrong] = 1 - labels.ravel()[:wrong]
        return Refined(np.stack([1 - labels, labels]), (0, 1))


@pytest.fixture
def landscape(monkeypatch: pytest.MonkeyPatch) -> _Landscape:
    made = _Landscape(CrfParams(2.1, 40, 4.5, 1, 1, temperature=1.9))
    monkeypatch.setattr(module, "refined", made)
    return made


def test_the_search_comes_close_to_the_best_values(landscape: _Landscape) -> None:
    found = tune([_sample(seed) for seed in range(4)])
    for name in ("bilateral_weight", "bilateral_xy", "bilateral_rgb", "temperature"):
        assert getattr(found.params, name) == pytest.approx(getattr(landscape.best, name), rel=0.25)
    assert found.params.spatial_weight == 1
    assert found.before.mean_iou < found.after.mean_iou
    assert found.with_preset.mean_iou < found.after.mean_iou
    assert found.helps
    assert found.best == found.params
    assert found.trials == len({params for _, params in landscape.asked if params.iterations})


def test_iterations_and_the_weight_of_strokes_stay_as_in_the_preset(landscape: _Landscape) -> None:
    found = tune([_sample()], CrfParams(iterations=3, seed_weight=12))
    assert (found.params.iterations, found.params.seed_weight) == (3, 12)
    assert found.preset == CrfParams(iterations=3, seed_weight=12)


def test_weights_change_innermost_so_that_lattices_are_built_once(landscape: _Landscape) -> None:
    tune([_sample()])
    reaches = [(p.bilateral_xy, p.bilateral_rgb, p.spatial_xy) for _, p in landscape.asked[:28]]
    changes = sum(one != other for one, other in pairwise(reaches))
    assert changes == len(set(reaches)) - 1


def test_from_four_samples_on_half_of_them_are_kept_apart(landscape: _Landscape) -> None:
    samples = [_sample(seed) for seed in range(5)]
    found = tune(samples, seed=3)
    assert (found.held_out, found.searched, found.checked) == (True, 3, 2)
    checking = {image for image, _ in landscape.asked[-6:]}
    assert len(checking) == 2
    assert not checking & {image for image, _ in landscape.asked[:-6]}
    again = len(landscape.asked)
    tune(samples, seed=3)
    assert {image for image, _ in landscape.asked[-6:]} == checking
    assert len(landscape.asked) == 2 * again


def test_fewer_samples_are_not_parted_and_that_is_told(landscape: _Landscape) -> None:
    found = tune([_sample(seed) for seed in range(3)])
    assert (found.held_out, found.searched, found.checked) == (False, 3, 3)


def test_with_many_samples_the_grid_is_tried_on_a_few_and_its_best_on_all(landscape: _Landscape) -> None:
    found = tune([_sample(seed) for seed in range(30)])
    grid = {image for image, _ in landscape.asked[: 28 * 12]}
    assert len(grid) == 12
    assert found.searched == 15
    assert found.params.bilateral_weight == pytest.approx(landscape.best.bilateral_weight, rel=0.25)


def test_progress_rises_to_the_check_and_a_wish_to_stop_is_heard(landscape: _Landscape) -> None:
    told: list[Progress] = []
    tune([_sample()], progress=told.append)
    fractions = [p.fraction or 0.0 for p in told]
    assert fractions == sorted(fractions)
    assert 0.5 < fractions[-1] <= 1
    assert list(dict.fromkeys(p.text for p in told)) == ["Coarse search", "Fine search", "Checking"]
    asked = len(landscape.asked)
    with pytest.raises(Cancelled):
        tune([_sample()], cancelled=lambda: len(landscape.asked) >= asked + 5)
    assert len(landscape.asked) == asked + 5


def test_a_network_without_a_mistake_gains_nothing() -> None:
    found = tune([_sample(mistakes=0)], CrfParams(iterations=1))
    assert found.before.mean_iou == 1
    assert not found.helps


def test_a_network_that_mistakes_single_pixels_gains() -> None:
    found = tune([_sample(seed) for seed in range(4)], CrfParams(iterations=2), class_names=("left", "right"))
    assert found.helps
    assert found.before.mean_iou < 0.75
    assert found.best_score.mean_iou > 0.9
    assert found.class_names == ("left", "right")
    assert all(iou is not None and iou > 0.9 for iou in found.best_score.classes)


def test_nothing_to_tune_on_is_one_sentence(landscape: _Landscape) -> None:
    with pytest.raises(UserError, match="no image"):
        tune([])
    with pytest.raises(UserError, match="labelled"):
        tune([replace(_sample(), labels=np.full(_SIZE, 255, np.uint8))])


def test_a_large_image_is_reduced_and_the_reaches_with_it(
    landscape: _Landscape, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples_module, "MAX_PIXELS", 1000)
    labels = np.zeros((60, 80), np.uint8)
    labels[:, 40:] = 1
    image = (labels[..., None] * np.full(3, 150)).astype(np.uint8)
    large = Sample.of(image, np.full((2, 6, 8), 0.5, np.float16), labels)
    assert large.labels.shape == large.image.shape[:2] == (27, 36)
    assert large.scale == 36 / 80
    assert set(np.unique(large.labels)) == {0, 1}
    found = tune([large])
    assert found.reduced == 1
    assert 30 * large.scale in {p.bilateral_xy for _, p in landscape.asked}
    assert found.params.bilateral_xy == pytest.approx(landscape.best.bilateral_xy / large.scale, rel=0.3)


def test_a_sample_comes_back_from_its_file_and_a_damaged_one_is_one_sentence(tmp_path: Path) -> None:
    sample = replace(_sample(), scale=0.5)
    sample.save(tmp_path / "a.npz")
    files = SampleFiles([tmp_path / "a.npz", tmp_path / "b.npz"])
    (tmp_path / "b.npz").write_bytes(b"PK\x03\x04 nothing")
    back = files[0]
    assert np.array_equal(back.image, sample.image)
    assert np.array_equal(back.probabilities, sample.probabilities)
    assert np.array_equal(back.labels, sample.labels)
    assert back.scale == 0.5
    assert len(files) == 2
    assert len(files[:1]) == 1
    with pytest.raises(UserError, match="cannot be read"):
        list(files)


@pytest.fixture
def tuned() -> Tuned:
    return Tuned(
        params=CrfParams(2, 40, 5, 1, 1, temperature=1.4),
        preset=CrfParams(),
        before=Score(0.7, (0.9, 0.5, None)),
        with_preset=Score(0.65, (0.9, 0.4, None)),
        after=Score(0.75, (0.9, 0.6, None)),
        class_names=("a", "b", "c"),
        searched=6,
        checked=5,
        held_out=True,
        trials=40,
        seconds=1.5,
    )


def test_an_outcome_survives_being_stored(tuned: Tuned) -> None:
    assert Tuned.from_json(tuned.to_json()) == tuned


@pytest.mark.parametrize(
    "damage",
    [
        {"params": {"bilateral_xy": -1.0}},
        {"before": {"mean_iou": math.nan, "classes": []}},
        {"after": 3},
        {"searched": "many"},
    ],
)
def test_a_damaged_outcome_is_refused(tuned: Tuned, damage: dict[str, Any]) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, UserError)):
        Tuned.from_json({**tuned.to_json(), **damage})


def test_the_better_of_tuned_and_preset_decides_whether_it_helps(tuned: Tuned) -> None:
    assert tuned.helps
    lucky = replace(tuned, after=Score(0.69, ()), with_preset=Score(0.71, ()))
    assert lucky.best == lucky.preset
    assert lucky.helps
    assert not replace(tuned, after=Score(0.7, ())).helps


def test_values_never_measured_are_taken_for_no_better_than_the_best(tuned: Tuned) -> None:
    assert tuned.score_of(replace(tuned.preset, seed_weight=99)).mean_iou == 0.65
    assert tuned.score_of(CrfParams(bilateral_weight=9)).mean_iou == 0.75
