"""Mean-field inference in a fully connected CRF (Kraehenbuehl and Koltun 2011, algorithm 1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from segstudio.core.errors import Cancelled
from segstudio.core.jobs import Progress
from segstudio.imaging.lanes import width
from segstudio.refine import mean_field_kernels as rows
from segstudio.refine.barrier import new_barrier
from segstudio.refine.energy import pruned_below
from segstudio.refine.lattice import Lattice, normalisers
from segstudio.refine.team import Team, span

PADDING: Final = np.float32(-1e30)
_LINE: Final = 64
# Widths of rows that are computed in one go; longer ones are several of 32.
_SINGLE_LANES: Final = (4, 8, 16, 24)
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """One kernel of the energy.

    Attributes:
        lattice: Where its features lie.
        weight: Potts weight: the energy falls by this for each unit of agreeing neighbours.
        before: (N,) float32, the factor of each pixel before filtering.
        after: (N,) float32, the factor of each pixel after filtering.
        compatibility: (M, M) float32 energies of label pairs instead of a Potts weight, symmetric; None for Potts.
    """

    lattice: Lattice
    weight: float
    before: Floats
    after: Floats
    compatibility: Floats | None = None


def term(
    lattice: Lattice, compatibility: float | npt.ArrayLike, normalization: str = "symmetric", labels: int = 0
) -> Term:
    """A term as pydensecrf makes it of a number (Potts), of one number a label, or of a matrix.

    Arrays are energies as they stand, so a Potts model of weight w is -w times the identity. Matrices are made
    symmetric.
    """
    before, after = normalisers(lattice.mass, normalization)
    given = np.asarray(compatibility, np.float32)
    if given.ndim == 0:
        return Term(lattice, float(given), before, after)
    matrix = np.diag(given) if given.ndim == 1 else np.float32(0.5) * (given + given.T)
    assert matrix.shape == (labels, labels), "checked where it came in"
    return Term(lattice, 0.0, before, after, np.ascontiguousarray(matrix, np.float32))


def layout(labels: int) -> tuple[tuple[float, ...], int]:
    """Lanes, as `like`, and numbers in a row, for so many labels."""
    for lanes in _SINGLE_LANES:
        if labels <= lanes:
            return width(lanes), lanes
    return width(32), -(-labels // 32) * 32


def aligned(numbers: int) -> Floats:
    """Flat float32 memory whose rows do not straddle cache lines more than they must."""
    raw = np.empty(numbers + _LINE // 4, np.float32)
    skipped = (-raw.ctypes.data % _LINE) // 4
    return raw[skipped : skipped + numbers]


class MeanField:
    """The state of one inference: rows of live labels for each pixel."""

    def __init__(
        self,
        logits: Floats,
        labels: int,
        terms: Sequence[Term],
        team: Team,
        *,
        pruned: bool,
        kept: npt.ArrayLike = (),
    ) -> None:
        """`logits` are flat rows as `layout(labels)` says; labels `kept` are never dropped."""
        self.count = len(terms[0].before) if terms else len(logits) // layout(labels)[1]
        self.live = np.arange(labels)
        self._labels = labels
        self._alive = self.live
        self._pruned = pruned
        self._kept = np.asarray(kept, np.intp)
        self._terms = list(terms)
        self._team = team
        self._like, self._row = layout(labels)
        self._logits = logits
        self.q = aligned(self.count * self._row)
        self._values: list[Floats] = []
        self._work: Floats | None = None
        self._messages: Floats | None = None
        self._potts = [at for at, one in enumerate(self._terms) if one.compatibility is None]
        self._others = [at for at, one in enumerate(self._terms) if one.compatibility is not None]
        self._make_room()

    @property
    def alive(self) -> tuple[int, ...]:
        """Labels that some pixel may still take. Rows keep others until they become narrower by dropping them."""
        return tuple(map(int, self._alive))

    @property
    def row(self) -> int:
        """Numbers in a row."""
        return self._row

    def start(self) -> None:
        """The distribution without any kernel."""
        self._softmax(self._logits)

    def step(self) -> None:
        """One update of every pixel at once."""
        if not self._terms:
            self._softmax(self._logits)
            return
        if not self._others:
            self._step_together()
            return
        assert self._work is not None
        np.copyto(self._work, self._logits)
        for at in self._others:
            self.message(at)
            self._team.run(self._subtract, self._matrix(at))
        for at in self._potts:
            self._filter(at)
        if self._potts:
            self._update(self._work)
        else:
            self._softmax(self._work)

    def message(self, at: int) -> Floats:
        """What a kernel says at each pixel, times its Potts weight: flat rows, overwritten by the next call."""
        if self._messages is None:
            self._messages = aligned(self.count * self._row)
        self._filter(at)
        self._team.run(self._slice, at)
        return self._messages

    def result(self, order: npt.NDArray[np.int32]) -> Floats:
        """The distribution (M, N) float32, pixel `order[i]` being the i-th row's."""
        planes = np.empty((self._labels, self.count), np.float32)
        columns = np.full(self._labels, -1)
        columns[self.live] = np.arange(len(self.live))
        self._team.run(
            lambda part, parts: rows.unpack(self.q, self._row, order, columns, planes, *span(self.count, part, parts))
        )
        return planes

    def winners(self, order: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """The most probable label of each pixel, and 255 times its probability; at most 255 labels."""
        labels, confidence = np.empty(self.count, np.uint8), np.empty(self.count, np.uint8)

        def work(part: int, parts: int) -> None:
            some = span(self.count, part, parts)
            rows.winners(self.q, self._row, order, self.live, labels, confidence, *some)

        self._team.run(work)
        return labels, confidence

    # -- the steps, each on a part of the pixels or points ----------------------------------------------------------

    def _filter(self, at: int) -> None:
        """Brings the present distribution to a kernel's lattice points and spreads it there."""
        self._team.run(self._splat, at)
        for links in self._terms[at].lattice.links:
            self._team.run(self._blur, at, links)

    def _step_together(self) -> None:
        """An update with Potts kernels alone, in one go."""
        terms, lattices = self._terms, [one.lattice for one in self._terms]
        entries = tuple(tuple(getattr(own, name) for own in lattices) for name in ("starts", "pixels", "weights"))
        chains = tuple(tuple(getattr(own, name) for own in lattices) for name in ("chains", "lengths"))
        corners = tuple(tuple(getattr(own, name) for own in lattices) for name in ("ids", "shares"))
        scales = (tuple(one.before for one in terms), tuple(one.after for one in terms))
        factors = tuple(np.float32(one.lattice.alpha * one.weight) for one in terms)
        values, barrier = tuple(self._values), new_barrier()

        def work(part: int, parts: int, peaks: Floats) -> None:
            rows.step_rows(
                self._logits, self.q, self._row, entries, chains, corners, scales, factors, values, peaks[part],
                self._like, barrier, part, parts,
            )  # fmt: skip

        self._renew(work)

    def _splat(self, part: int, parts: int, at: int) -> None:
        one = self._terms[at]
        lattice = one.lattice
        # What is linear in the message is done here, where there is least to multiply.
        factor = np.float32(lattice.alpha * (one.weight if one.compatibility is None else 1.0))
        rows.splat_rows(
            self.q, self._row, lattice.starts, lattice.pixels, lattice.weights, one.before, factor, self._values[at],
            self._like, *span(lattice.points, part, parts),
        )  # fmt: skip

    def _blur(self, part: int, parts: int, at: int, links: npt.NDArray[np.int32]) -> None:
        rows.blur_chains(self._values[at], self._row, links, self._like, *span(len(links) - 1, part, parts))

    def _slice(self, part: int, parts: int, at: int) -> None:
        one = self._terms[at]
        rows.slice_rows(
            one.lattice.ids, one.lattice.shares, one.after, self._values[at], self._row, self._messages, self._like,
            *span(self.count, part, parts),
        )  # fmt: skip

    def _subtract(self, part: int, parts: int, matrix: Floats) -> None:
        rows.subtract_compatible(
            matrix, self._messages, self._work, self._row, len(self.live), self._like, *span(self.count, part, parts)
        )

    def _matrix(self, at: int) -> Floats:
        """The compatibility of the live labels, its rows padded."""
        compatibility = self._terms[at].compatibility
        assert compatibility is not None
        matrix = np.zeros((len(self.live), self._row), np.float32)
        matrix[:, : len(self.live)] = compatibility[np.ix_(self.live, self.live)]
        return matrix.reshape(-1)

    def _update(self, logits: Floats) -> None:
        ids = tuple(self._terms[at].lattice.ids for at in self._potts)
        shares = tuple(self._terms[at].lattice.shares for at in self._potts)
        scales = tuple(self._terms[at].after for at in self._potts)
        values = tuple(self._values[at] for at in self._potts)

        def work(part: int, parts: int, peaks: Floats) -> None:
            rows.update_rows(
                logits, self.q, self._row, ids, shares, scales, values, peaks[part], self._like,
                *span(self.count, part, parts),
            )  # fmt: skip

        self._renew(work)

    def _softmax(self, logits: Floats) -> None:
        def work(part: int, parts: int, peaks: Floats) -> None:
            rows.softmax_rows(logits, self.q, self._row, peaks[part], self._like, *span(self.count, part, parts))

        self._renew(work)

    def _renew(self, work: Callable[[int, int, Floats], None]) -> None:
        """Lets all threads compute a new distribution, and drops the labels that lost by it."""
        peaks = np.zeros((self._team.size, self._row), np.float32)
        self._team.run(work, peaks)
        self._drop(peaks.max(0))

    # -- labels nobody has any more ---------------------------------------------------------------------------------

    def _drop(self, peaks: Floats) -> None:
        """Drops labels that are improbable at every pixel, if rows become narrower by it."""
        if not self._pruned:
            return
        kept = np.flatnonzero((peaks[: len(self.live)] >= pruned_below(self._labels)) | np.isin(self.live, self._kept))
        self._alive = self.live[kept]
        like, row = layout(len(kept))
        if row >= self._row:
            return
        narrowed = []
        for source, padding in ((self._logits, PADDING), (self.q, np.float32(0.0))):
            target = aligned(self.count * row)
            self._team.run(self._narrow, source, kept, padding, target, row)
            narrowed.append(target)
        self._logits, self.q = narrowed
        self.live = self.live[kept]
        self._like, self._row = like, row
        self._make_room()

    def _narrow(
        self, part: int, parts: int, source: Floats, kept: npt.NDArray[np.intp], padding: np.float32, target: Floats,
        row: int,
    ) -> None:  # fmt: skip
        rows.narrow(source, self._row, kept, padding, target, row, *span(self.count, part, parts))

    def _make_room(self) -> None:
        if self._values:
            self._values = [
                values[: one.lattice.points * self._row] for values, one in zip(self._values, self._terms, strict=True)
            ]
        else:
            self._values = [aligned(one.lattice.points * self._row) for one in self._terms]
        if self._others:
            self._work = aligned(self.count * self._row)
            self._messages = aligned(self.count * self._row)


def infer(
    field: MeanField,
    iterations: int,
    *,
    progress: Callable[[Progress], None],
    cancelled: Callable[[], bool],
) -> None:
    """Runs the updates.

    Raises:
        Cancelled: `cancelled` said so before an update.
    """
    field.start()
    for number in range(iterations):
        if cancelled():
            raise Cancelled
        progress(Progress(number / iterations, f"CRF iteration {number + 1} of {iterations}"))
        field.step()
