"""Strokes that spread while they are drawn: the CRF around a stroke, on lattices that lie ready.

A whole run settles the image and keeps what every kernel says at every pixel. While a stroke is drawn, only a window
around it is computed anew, on the lattices of its own pixels: what the pixels outside say stays as it was (their
message is the whole one less the window's own part). The window starts from the network again, not from the last
result: mean field is not convex, and a warm start stays in the old optimum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from segstudio.core.geometry import Rect
from segstudio.core.jobs import Progress
from segstudio.refine import native_backend as native
from segstudio.refine.api import ignore_progress, never
from segstudio.refine.energy import checked_image, checked_probabilities
from segstudio.refine.lattice import Lattice
from segstudio.refine.mean_field import PADDING, Floats, MeanField, Term, aligned, infer, layout
from segstudio.refine.params import CrfParams
from segstudio.refine.recent import Recent
from segstudio.refine.team import Team, team

NO_SEED: Final = 255
# What a stroke leaves to the other labels: e to the power of -20.
_SEED_LOGIT: Final = np.float32(-20.0)
_WINDOW_ITERATIONS: Final = 5
Seeds = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """Labels and how sure they are, of an image or a window of it.

    Attributes:
        labels: (h, w) uint8, the most probable channel.
        confidence: (h, w) uint8, its probability, 255 = 1.
    """

    labels: npt.NDArray[np.uint8]
    confidence: npt.NDArray[np.uint8]


class Strokes:
    """The CRF of one image, settled, and open for strokes.

    Seeds are (H, W) uint8: the channel that a stroke gives a pixel, 255 elsewhere. Labels that nobody has are left out,
    those of seeds never.
    """

    def __init__(
        self,
        image: npt.NDArray[np.uint8],
        probabilities: npt.NDArray[np.floating],
        params: CrfParams,
        *,
        threads: Team | None = None,
        cache: Recent[Lattice] | None = None,
    ) -> None:
        """`image` is (H, W, 3) uint8 RGB; `probabilities` are (C, h, w).

        Raises:
            UserError: the input or a parameter cannot be used.
        """
        params.validate()
        self._image = checked_image(image)
        self.height, self.width = self._image.shape[:2]
        self._params = params
        self._threads = threads or team()
        planes = checked_probabilities(probabilities, self.height, self.width)
        self.labels = len(planes)
        self._order = native.visiting_order(self.height, self.width)
        self._logits, _ = native.packed(planes, self._order, params.temperature, self._threads)
        self._terms = native.image_terms(self._image, params, self._threads, cache or native.shared_cache())
        self._places = np.empty(len(self._order), np.int32)
        self._places[self._order] = np.arange(len(self._order), dtype=np.int32)
        self._field: MeanField | None = None
        self._seeds = np.full((self.height, self.width), NO_SEED, np.uint8)
        self._said: list[Floats] = []
        self._window: _Window | None = None

    def settle(
        self,
        seeds: Seeds | None = None,
        *,
        progress: Callable[[Progress], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Spread:
        """The whole image with all its seeds.

        Raises:
            Cancelled: `cancelled` said so before an iteration; the image stays as it was settled before.
        """
        seeds = self._seeds if seeds is None else _checked_seeds(seeds, (self.height, self.width), self.labels)
        given = seeds.reshape(-1)[self._order]
        row = layout(self.labels)[1]
        terms, logits = _seeded(self._terms, self._logits, given, row, self._params.seed_weight)
        kept = np.unique(given[given != NO_SEED])
        field = MeanField(logits, self.labels, terms, self._threads, pruned=True, kept=kept)
        infer(field, self._params.iterations, progress=progress or ignore_progress, cancelled=cancelled or never)
        self._field, self._window, self._seeds = field, None, seeds
        self._said = []
        return _spread(field, self._order, (self.height, self.width))

    def press(self, rect: Rect) -> None:
        """Prepares a window for the strokes to come; `settle` has run before. Takes a few times as long as `draw`."""
        assert self._field is not None, "settle first"
        if not self._said:
            # What the kernels say of the settled image, which the windows' borders go on hearing.
            self._said = [self._field.message(at).copy() for at in range(len(self._terms))]
        rect = rect.clipped(self.height, self.width)
        self._window = _Window(self, self._field, rect)

    def draw(self, seeds: Seeds) -> tuple[Rect, Spread]:
        """The window with the seeds (h, w) that lie in it now, and where it lies; `press` has run before.

        A label that was dropped when the image settled comes back if a stroke has it.
        """
        assert self._window is not None, "press first"
        rect = self._window.rect
        checked = _checked_seeds(seeds, (rect.height, rect.width), self.labels)
        return rect, self._window.draw(checked)

    # -- what a window needs ------------------------------------------------------------------------------------------

    def places(self, rect: Rect) -> npt.NDArray[np.int32]:
        """Rows of a rectangle's pixels, in raster order."""
        return self._places.reshape(self.height, self.width)[rect.slices].reshape(-1)


class _Window:
    """The CRF of one rectangle, with what the rest of the image says to it fixed."""

    def __init__(self, whole: Strokes, field: MeanField, rect: Rect) -> None:
        self.rect = rect
        self._whole = whole
        self._order = native.visiting_order(rect.height, rect.width)
        rows = whole.places(rect)[self._order]
        self._given = whole._seeds[rect.slices].reshape(-1)[self._order]
        self._live = field.live
        self._row = layout(len(self._live))[1]
        threads, params = whole._threads, whole._params
        lattices = native.window_lattices(whole._image, params, threads, rect)
        self._terms = [
            replace(term, lattice=lattice, before=term.before[rows], after=term.after[rows])
            for lattice, term in zip(lattices, whole._terms, strict=True)
        ]
        self._logits = _columns(whole._logits, layout(whole.labels)[1], rows, self._live)
        seeded, _ = _seeded(self._terms, self._logits, self._given, self._row, params.seed_weight)
        inner = MeanField(self._logits.copy(), len(self._live), seeded, threads, pruned=False)
        inner.q = _columns(field.q, field.row, rows, np.arange(len(self._live)), fill=np.float32(0))
        for at, said in enumerate(whole._said):
            own = inner.message(at).reshape(-1, self._row)
            outside = said.reshape(-1, field.row)[rows][:, : len(self._live)] - own[:, : len(self._live)]
            self._logits.reshape(-1, self._row)[:, : len(self._live)] += outside

    def draw(self, seeds: Seeds) -> Spread:
        """Five updates from the network's own distribution."""
        given = seeds.reshape(-1)[self._order]
        new = np.setdiff1d(given[given != NO_SEED], self._live)
        if len(new):
            self._revive(new)
        channel = np.full(NO_SEED + 1, NO_SEED, np.uint8)
        channel[self._live] = np.arange(len(self._live))
        weight = self._whole._params.seed_weight
        terms, logits = _seeded(self._terms, self._logits, channel[given], self._row, weight)
        field = MeanField(logits, len(self._live), terms, self._whole._threads, pruned=False)
        infer(field, _WINDOW_ITERATIONS, progress=ignore_progress, cancelled=never)
        spread = _spread(field, self._order, (self.rect.height, self.rect.width))
        return replace(spread, labels=self._live.astype(np.uint8)[spread.labels])

    def _revive(self, new: npt.NDArray[np.uint8]) -> None:
        """Takes labels in again that nobody had when the image settled; outside they are still nowhere."""
        whole, old = self._whole, self._live
        live = np.concatenate([old, new.astype(old.dtype)])
        rows = whole.places(self.rect)[self._order]
        logits = _columns(whole._logits, layout(whole.labels)[1], rows, live)
        before, self._live = self._logits.reshape(-1, self._row), live
        self._row = layout(len(live))[1]
        logits.reshape(-1, self._row)[:, : len(old)] = before[:, : len(old)]
        self._logits = logits


def _seeded(terms: Sequence[Term], logits: Floats, given: Seeds, row: int, weight: float) -> tuple[list[Term], Floats]:
    """Copies of terms and logits in which seeds are certain and count for many pixels; `given` are channels by row."""
    places = np.flatnonzero(given != NO_SEED)
    own = aligned(len(logits))
    np.copyto(own, logits)
    if not len(places):
        return list(terms), own
    rows = own.reshape(-1, row)
    # Padding stays what it is: it lies far below.
    rows[places] = np.where(rows[places] > PADDING / 2, _SEED_LOGIT, rows[places])
    rows[places, given[places]] = 0
    louder = []
    for term in terms:
        before = term.before.copy()
        before[places] *= np.float32(weight)
        louder.append(replace(term, before=before))
    return louder, own


def _columns(
    source: Floats, row: int, rows: npt.NDArray[np.int32], columns: npt.NDArray[np.intp], fill: np.float32 = PADDING
) -> Floats:
    """Some rows and columns of flat rows, in the layout for so many labels."""
    new_row = layout(len(columns))[1]
    target = aligned(len(rows) * new_row)
    shaped = target.reshape(len(rows), new_row)
    shaped[:, len(columns) :] = fill
    shaped[:, : len(columns)] = source.reshape(-1, row)[rows][:, columns]
    return target


def _spread(field: MeanField, order: npt.NDArray[np.int32], size: tuple[int, int]) -> Spread:
    winner, certainty = field.winners(order)
    return Spread(winner.reshape(size), certainty.reshape(size))


def _checked_seeds(seeds: Seeds, size: tuple[int, int], labels: int) -> Seeds:
    if seeds.shape != size or seeds.dtype != np.uint8:
        raise ValueError(f"seeds are {size} uint8, not {seeds.shape} {seeds.dtype}")
    if (seeds[seeds != NO_SEED] >= labels).any():
        raise ValueError(f"seeds are channels below {labels}, or {NO_SEED}")
    return np.ascontiguousarray(seeds)
