"""Searches the CRF's parameters on labelled images, and measures what it gains on others.

The search is the one of DeepLab (Chen et al., TPAMI 2018, section 4.1; after Kraehenbuehl and Koltun 2011, section 4):
a coarse grid over weight and reaches of the appearance kernel with the smoothness kernel fixed at 3 and 3, then finer
steps around the best. There it takes 100 images. Here the grid is wider, as networks with sharp borders need less of a
CRF than those of stride 8 did, and the smoothness kernel and the temperature have their turn in between.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import product
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from segstudio.core.errors import Cancelled, UserError
from segstudio.core.jobs import Progress
from segstudio.core.metrics import ConfusionMatrix
from segstudio.refine.api import DEFAULT_BACKEND, ignore_progress, never, refined
from segstudio.refine.params import CrfParams
from segstudio.refine.samples import Sample
from segstudio.refine.tuned import Score, Tuned

# From so many samples on, half of them are kept for checking; fewer are too few to part.
_FEWEST_TO_PART: Final = 4
_COARSE_IMAGES: Final = 12
_FINALISTS: Final = 3
_COARSE: Final = {
    "bilateral_weight": (1.0, 3.0, 6.0),
    "bilateral_xy": (30.0, 65.0, 100.0),
    "bilateral_rgb": (3.0, 6.0, 12.0),
}
_COARSE_SPATIAL: Final = (3.0, 3.0)
_SPATIAL: Final = ((0.0, 1.0), (1.0, 1.0), (3.0, 1.0), (1.0, 3.0), (6.0, 3.0))
_STEPS: Final = {"temperature": 1.4, "bilateral_weight": 1.4, "bilateral_xy": 1.3, "bilateral_rgb": 1.3}
_LONGEST_CLIMB: Final = 3
_Found: TypeAlias = tuple[float, CrfParams]
_NO_CRF: Final = CrfParams(bilateral_weight=0.0, spatial_weight=0.0, iterations=0)


def tune(
    samples: Sequence[Sample],
    preset: CrfParams | None = None,
    *,
    class_names: Sequence[str] = (),
    backend: str = DEFAULT_BACKEND,
    seed: int = 0,
    progress: Callable[[Progress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Tuned:
    """The parameters that give the best mean IoU, and what they and the preset gain over no CRF.

    From four samples on, half of them, drawn with `seed`, are kept apart and give the figures; with fewer the figures
    are of the samples searched on. Iterations and the weight of strokes stay as in the preset: samples have no strokes.

    Args:
        samples: Predictions of one network; each is read once for a stage of the search.
        preset: Where to start and what to compare with; DeepLab v2's published values if left out.
        class_names: Names of the channels, for the record.
        backend: The engine, a name of `api.available_backends`.
        seed: Which samples are kept apart.
        progress: Told after every trial on an image.
        cancelled: Asked before every iteration.

    Raises:
        UserError: there is no sample or no labelled pixel, or the engine or preset cannot be used.
        Cancelled: `cancelled` said so.
    """
    if not samples:
        raise UserError("There is no image to tune the CRF on.", "Review some images first.")
    started, preset = time.monotonic(), preset or CrfParams()
    preset.validate()
    searched, checked = _parts(len(samples), seed)
    trials = _Trials(samples, backend, progress or ignore_progress, cancelled or never)
    trials.planned = _planned(len(searched), len(checked))
    best = _search(trials, searched, preset)
    before, with_preset, after = trials.scores(checked, (_NO_CRF, preset, best), "Checking")
    if not before.total:
        raise UserError("No pixel of the images to tune the CRF on is labelled.", "Review some images first.")
    return Tuned(
        params=best,
        preset=preset,
        before=_score(before),
        with_preset=_score(with_preset),
        after=_score(after),
        class_names=tuple(class_names),
        searched=len(searched),
        checked=len(checked),
        held_out=searched != checked,
        reduced=trials.reduced,
        trials=trials.tried,
        seconds=time.monotonic() - started,
    )


def _parts(count: int, seed: int) -> tuple[list[int], list[int]]:
    """Which samples to search on and which to check on."""
    if count < _FEWEST_TO_PART:
        return list(range(count)), list(range(count))
    shuffled = np.random.default_rng(seed).permutation(count)
    return sorted(shuffled[count // 2 :].tolist()), sorted(shuffled[: count // 2].tolist())


def _planned(searched: int, checked: int) -> int:
    """How many times an image is refined at most."""
    coarse = 1 + int(np.prod([len(values) for values in _COARSE.values()]))
    finalists = _FINALISTS + 1 if searched > _COARSE_IMAGES else 0
    finer = len(_SPATIAL) + len(_STEPS) * (1 + _LONGEST_CLIMB)
    return coarse * min(searched, _COARSE_IMAGES) + (finalists + finer) * searched + 3 * checked


class _Trials:
    """Tries parameters on samples and keeps count."""

    def __init__(
        self,
        samples: Sequence[Sample],
        backend: str,
        progress: Callable[[Progress], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self._samples, self._backend = samples, backend
        self._progress, self._cancelled = progress, cancelled
        self._known: set[CrfParams] = set()
        self._reduced: set[int] = set()
        self._done = 0
        self.planned = 1

    @property
    def tried(self) -> int:
        """Parameter sets tried so far."""
        return len(self._known - {_NO_CRF})

    @property
    def reduced(self) -> int:
        """Samples seen so far that are smaller than their images."""
        return len(self._reduced)

    def fresh(self, candidates: Iterable[CrfParams]) -> list[CrfParams]:
        """Those that can be used and were not tried yet."""
        return [one for one in dict.fromkeys(candidates) if one not in self._known and _usable(one)]

    def scores(self, indices: Sequence[int], candidates: Sequence[CrfParams], stage: str) -> list[ConfusionMatrix]:
        """A matrix for each candidate, pooled over the samples."""
        # An engine keeps the lattices it built last: image by image, reach by reach, and only then the weights.
        order = sorted(range(len(candidates)), key=lambda at: _reach(candidates[at]))
        matrices: list[ConfusionMatrix] = []
        for index in indices:
            sample = self._samples[index]
            matrices = matrices or [ConfusionMatrix(len(sample.probabilities)) for _ in candidates]
            if sample.scale < 1:
                self._reduced.add(index)
            for at in order:
                matrices[at].update(self._labels(sample, candidates[at]), sample.labels)
                self._done += 1
                self._progress(Progress(min(1.0, self._done / self.planned), stage))
        self._known.update(candidates)
        return matrices

    def _labels(self, sample: Sample, params: CrfParams) -> npt.NDArray[np.integer]:
        if self._cancelled():
            raise Cancelled
        scaled = replace(
            params,
            bilateral_xy=max(0.01, params.bilateral_xy * sample.scale),
            spatial_xy=max(0.01, params.spatial_xy * sample.scale),
        )
        result = refined(sample.image, sample.probabilities, scaled, backend=self._backend, cancelled=self._cancelled)
        labels: npt.NDArray[np.integer] = result.probabilities.argmax(axis=0)
        return labels


def _search(trials: _Trials, indices: Sequence[int], preset: CrfParams) -> CrfParams:
    """The best parameters on these samples; the preset itself is among the candidates."""
    some = _spread(indices, _COARSE_IMAGES)
    weight, reach = _COARSE_SPATIAL
    start = replace(preset, spatial_weight=weight, spatial_xy=reach)
    grid = [_with(start, dict(zip(_COARSE, values, strict=True))) for values in product(*_COARSE.values())]
    ranked = _ranked(trials, some, [preset, *grid], "Coarse search")
    if len(some) < len(indices):
        best = [params for _, params in ranked[:_FINALISTS]]
        ranked = _ranked(trials, indices, dict.fromkeys([preset, *best]), "Coarse search")
    leader = ranked[0]
    spatial = [replace(leader[1], spatial_weight=weight, spatial_xy=reach) for weight, reach in _SPATIAL]
    leader = _better(trials, indices, leader, spatial)
    for name, step in _STEPS.items():
        leader = _climbed(trials, indices, leader, name, step)
    return leader[1]


def _climbed(trials: _Trials, indices: Sequence[int], leader: _Found, name: str, step: float) -> _Found:
    """The leader with one value made larger or smaller for as long as that helps, a few times at most."""
    factors = [step, 1 / step]
    for _ in range(_LONGEST_CLIMB):
        value = getattr(leader[1], name)
        around = [_with(leader[1], {name: _plain(value * factor)}) for factor in factors]
        found = _better(trials, indices, leader, around)
        if found is leader:
            break
        factors = [factor for factor, one in zip(factors, around, strict=True) if one == found[1]]
        leader = found
    return leader


def _better(trials: _Trials, indices: Sequence[int], leader: _Found, candidates: Sequence[CrfParams]) -> _Found:
    """The best of the leader and the candidates."""
    fresh = trials.fresh(candidates)
    if not fresh:
        return leader
    return max([leader, *_ranked(trials, indices, fresh, "Fine search")], key=lambda one: one[0])


def _ranked(trials: _Trials, indices: Sequence[int], candidates: Iterable[CrfParams], stage: str) -> list[_Found]:
    """Mean IoU and parameters, best first; of equals the earlier one."""
    tried = list(dict.fromkeys(candidates))
    means = [matrix.mean_iou for matrix in trials.scores(indices, tried, stage)]
    return sorted(zip(np.nan_to_num(means).tolist(), tried, strict=True), key=lambda one: -one[0])


def _spread(indices: Sequence[int], count: int) -> list[int]:
    """At most `count` of them, evenly spaced."""
    places = np.linspace(0, len(indices) - 1, min(count, len(indices)))
    return [indices[at] for at in places.round().astype(int).tolist()]


def _reach(params: CrfParams) -> tuple[float, float, float]:
    return params.bilateral_xy, params.bilateral_rgb, params.spatial_xy


def _with(params: CrfParams, values: dict[str, float]) -> CrfParams:
    return CrfParams.from_json({**params.to_json(), **values})


def _plain(value: float) -> float:
    """Three digits: what lies closer together makes no difference."""
    return float(f"{value:.3g}")


def _usable(params: CrfParams) -> bool:
    try:
        params.validate()
    except UserError:
        return False
    return True


def _score(matrix: ConfusionMatrix) -> Score:
    return Score(matrix.mean_iou, tuple(None if np.isnan(iou) else float(iou) for iou in matrix.iou))
