"""The refining worker's part in live strokes: it keeps one image's CRF open between requests."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from segstudio.core.errors import UserError
from segstudio.core.geometry import Rect
from segstudio.engine.protocol import PredictionArrays, SettleSpec, StrokeSpec
from segstudio.engine.worker import Job
from segstudio.refine.strokes import NO_SEED, Seeds, Spread, Strokes

_BEGUN_ARRAYS: Final = 3


class StrokeDesk:
    """At most one image's CRF, which the next request of its session finds as it was."""

    def __init__(self) -> None:
        self._session: int | None = None
        self._strokes: Strokes | None = None
        self._class_ids: tuple[int, ...] = ()
        self._window: tuple[int, int, int, int] | None = None

    def settle(self, job: Job) -> PredictionArrays:
        """The whole image with its strokes.

        Raises:
            UserError: the session is gone, or input or parameters cannot be used.
            Cancelled: on request, between two iterations.
        """
        spec: SettleSpec = job.spec
        if len(job.arrays) == _BEGUN_ARRAYS:
            image, probabilities, _ = job.arrays
            # Copied: the arrays lie in shared memory that belongs to this request alone.
            self._strokes = Strokes(image.copy(), np.array(probabilities, np.float32), spec.params)
            self._session, self._class_ids = spec.session, spec.class_ids
        strokes = self._open(spec.session)
        self._window = None
        seeds = self._channels(job.arrays[-1])
        return self._arrays(strokes.settle(seeds, progress=job.progress, cancelled=job.cancelled))

    def draw(self, job: Job) -> PredictionArrays:
        """The window around a stroke.

        Raises:
            UserError: the session is gone.
        """
        spec: StrokeSpec = job.spec
        strokes = self._open(spec.session)
        if spec.window != self._window:
            strokes.press(Rect(*spec.window))
            self._window = spec.window
        _, spread = strokes.draw(self._channels(job.arrays[0]))
        return self._arrays(spread)

    def _open(self, session: int) -> Strokes:
        if self._strokes is None or self._session != session:
            raise UserError("The refining process started anew and has lost this image.", "Draw the stroke again.")
        return self._strokes

    def _channels(self, classes: npt.NDArray[np.uint8]) -> Seeds:
        table = np.full(NO_SEED + 1, NO_SEED, np.uint8)
        table[list(self._class_ids)] = np.arange(len(self._class_ids))
        return table[classes]

    def _arrays(self, spread: Spread) -> PredictionArrays:
        ids = np.asarray(self._class_ids, np.uint8)
        return PredictionArrays(ids[spread.labels], spread.confidence, None, self._class_ids)
