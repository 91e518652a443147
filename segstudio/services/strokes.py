"""Strokes that spread by the CRF while they are drawn: the service behind a scribble."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from segstudio.core.errors import UserError
from segstudio.core.geometry import Rect
from segstudio.core.prediction import Prediction
from segstudio.engine.protocol import (
    EngineEvent,
    Failed,
    Finished,
    PredictionArrays,
    SettleSpec,
    StrokeSpec,
    WasCancelled,
)
from segstudio.refine.params import CrfParams

if TYPE_CHECKING:
    from segstudio.services.workspace import Workspace

NO_STROKE: Final = 255
WINDOW_PX: Final = 256
# A stroke that leaves the middle of its window moves the window, which then takes a few times as long once.
_BORDER_PX: Final = 48
_SESSIONS: Final = itertools.count(1)


@dataclass(frozen=True, slots=True, eq=False)
class StrokeResult:
    """What strokes made of a part of the image.

    Attributes:
        rect: Which part.
        labels: (h, w) uint8 class ids.
        confidence: (h, w) uint8, the probability of the winner times 255.
        settled: True for the whole image after a release, False for a window while drawing.
    """

    rect: Rect
    labels: npt.NDArray[np.uint8]
    confidence: npt.NDArray[np.uint8]
    settled: bool


class LiveStrokes:
    """One image's strokes: `draw` as often as the pointer moves, `release` when it is lifted.

    Only one request runs at a time, and of those that wait only the latest counts, so that results come at the pace of
    the engine and never late. `on_result` hears them on the workspace's thread.
    """

    def __init__(
        self,
        workspace: Workspace,
        image: npt.NDArray[np.uint8],
        prediction: Prediction,
        params: CrfParams,
        on_result: Callable[[StrokeResult], None],
    ) -> None:
        """`image` is (H, W, 3) uint8 RGB; the whole image is settled at once, in the background.

        Raises:
            ValueError: the prediction has no probabilities.
        """
        if prediction.probabilities is None:
            raise ValueError("strokes need the network's probabilities")
        self.strokes: npt.NDArray[np.uint8] = np.full(image.shape[:2], NO_STROKE, np.uint8)
        self._workspace = workspace
        self._params = params
        self._class_ids = prediction.class_ids
        self._on_result = on_result
        self._begin = (image, prediction.probabilities)
        self._session = next(_SESSIONS)
        self._begun = False
        self._closed = False
        self._window: Rect | None = None
        self._running = False
        self._waiting: Callable[[], None] | None = None
        self._request(self._settle)

    def draw(self, x: int, y: int, radius: int, class_id: int) -> None:
        """A disc of the stroke at a pixel; the window around it follows as soon as the engine can."""
        height, width = self.strokes.shape
        rect = Rect(y - radius, x - radius, 2 * radius + 1, 2 * radius + 1).clipped(height, width)
        rows, columns = np.arange(rect.top, rect.bottom) - y, np.arange(rect.left, rect.right) - x
        inside = rows[:, None] ** 2 + columns**2 <= radius**2
        self.strokes[rect.slices][inside] = class_id
        self._window = _window_for(x, y, self._window, height, width)
        # Before the image has settled once there is nothing to draw on.
        self._request(self._draw if self._begun or self._running else self._settle)

    def release(self) -> None:
        """The stroke is done: the whole image settles with it."""
        self._request(self._settle)

    def close(self) -> None:
        """No more results come."""
        self._closed = True
        self._waiting = None

    def _request(self, send: Callable[[], None]) -> None:
        if self._closed:
            return
        # A settling that waits has all of the strokes in it; a window must not take its place.
        if self._running:
            if self._waiting != self._settle:
                self._waiting = send
            return
        self._running = True
        try:
            send()
        except UserError as error:
            self._running = False
            self._workspace.report(error)

    def _settle(self) -> None:
        spec = SettleSpec(self._session, self._params, self._class_ids)
        arrays = (self.strokes.copy(),) if self._begun else (*self._begin, self.strokes.copy())
        self._workspace.engine.stroke(spec, arrays, self._listener(Rect.of_shape(self.strokes.shape), settled=True))

    def _draw(self) -> None:
        assert self._window is not None
        window = self._window
        spec = StrokeSpec(self._session, (window.top, window.left, window.height, window.width))
        strokes = np.ascontiguousarray(self.strokes[window.slices])
        self._workspace.engine.stroke(spec, (strokes,), self._listener(window, settled=False))

    def _listener(self, rect: Rect, *, settled: bool) -> Callable[[EngineEvent], None]:
        def listen(event: EngineEvent) -> None:
            self._workspace.dispatch(lambda: self._heard(event, rect, settled=settled))

        return listen

    def _heard(self, event: EngineEvent, rect: Rect, *, settled: bool) -> None:
        match event:
            case Finished(result=PredictionArrays() as result):
                self._begun = True
                self._next()
                if not self._closed:
                    self._on_result(StrokeResult(rect, result.labels, result.confidence, settled))
            case Failed(report=report):
                # The worker may have died with the image; the next request brings it again.
                self._begun = False
                self._waiting = None
                self._next()
                if not self._closed:
                    self._workspace.report(report.to_exception())
            case WasCancelled():
                self._next()

    def _next(self) -> None:
        self._running = False
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._request(waiting if self._begun else self._settle)


def _window_for(x: int, y: int, former: Rect | None, height: int, width: int) -> Rect:
    """The former window while the stroke stays well inside, else one around the stroke."""
    if former is not None:
        inner_top = former.top + (_BORDER_PX if former.top > 0 else 0)
        inner_left = former.left + (_BORDER_PX if former.left > 0 else 0)
        inner_bottom = former.bottom - (_BORDER_PX if former.bottom < height else 0)
        inner_right = former.right - (_BORDER_PX if former.right < width else 0)
        if inner_top <= y < inner_bottom and inner_left <= x < inner_right:
            return former
    top = min(max(0, y - WINDOW_PX // 2), max(0, height - WINDOW_PX))
    left = min(max(0, x - WINDOW_PX // 2), max(0, width - WINDOW_PX))
    return Rect(top, left, WINDOW_PX, WINDOW_PX).clipped(height, width)
