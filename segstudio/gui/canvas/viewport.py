"""Where the image lies in the view: zoom, pan and the way from view pixels to image pixels and back."""

from __future__ import annotations

import math
from typing import Final

from segstudio.core.geometry import Rect

MAX_ZOOM: Final = 64.0
_ZOOM_STOPS: Final = (
    1 / 64, 1 / 48, 1 / 32, 1 / 24, 1 / 16, 1 / 12, 1 / 8, 1 / 6, 1 / 4, 1 / 3, 1 / 2, 2 / 3,
    1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0,
)  # fmt: skip
_FIT_MARGIN_PX: Final = 12.0


class Viewport:
    """The place of an image in a view, in device pixels.

    Image positions are (x, y) floats with pixel centres at +0.5; view positions are device pixels from the view's top
    left corner. `zoom` is device pixels per image pixel, so 1.0 shows the image at its own size on any screen.

    Attributes:
        image: (width, height) in image pixels; (0, 0) without an image.
        view: (width, height) in device pixels.
        ratio: Device pixels per logical pixel.
        zoom: Device pixels per image pixel.
        fitted: True while the zoom follows the size of the view.
    """

    __slots__ = ("_left", "_top", "fitted", "image", "ratio", "view", "zoom")

    def __init__(self) -> None:
        self.image = (0, 0)
        self.view = (1.0, 1.0)
        self.ratio = 1.0
        self.zoom = 1.0
        self.fitted = True
        self._left = 0.0
        self._top = 0.0

    @property
    def has_image(self) -> bool:
        return self.image[0] > 0 and self.image[1] > 0

    @property
    def origin(self) -> tuple[float, float]:
        """View position of the image's top left corner."""
        return self._left, self._top

    @property
    def level(self) -> int:
        """The mip level to draw: its pixels cover half to one device pixel when zoomed out, level 0 otherwise."""
        return max(0, math.floor(-math.log2(self.zoom) + 1e-9))

    def set_image(self, width: int, height: int) -> None:
        """Shows an image of another size, fitted."""
        self.image = (width, height)
        self.fit()

    def set_view(self, width: float, height: float, ratio: float = 1.0) -> None:
        """Follows the view's size in device pixels: refits, or keeps the image point at the centre there."""
        center = self.to_image(self.view[0] / 2, self.view[1] / 2)
        self.view = (max(1.0, width), max(1.0, height))
        if self.ratio != ratio:
            self.zoom *= ratio / self.ratio
            self.ratio = ratio
        if self.fitted:
            self.fit()
        else:
            self.center_on(*center)

    def to_image(self, view_x: float, view_y: float) -> tuple[float, float]:
        """The image position under a view position."""
        return (view_x - self._left) / self.zoom, (view_y - self._top) / self.zoom

    def to_view(self, x: float, y: float) -> tuple[float, float]:
        """The view position of an image position."""
        return x * self.zoom + self._left, y * self.zoom + self._top

    def fit_zoom(self) -> float:
        """The zoom at which the whole image shows with a small margin."""
        if not self.has_image:
            return 1.0
        margin = 2 * _FIT_MARGIN_PX * self.ratio
        room = [size - margin if size > 4 * margin else size for size in self.view]
        return min(room[0] / self.image[0], room[1] / self.image[1], MAX_ZOOM)

    def min_zoom(self) -> float:
        """The smallest zoom allowed: a little below fit, and never above 1:1."""
        return min(self.fit_zoom() / 2, 1.0)

    def fit(self) -> None:
        """Shows the whole image, centred, and keeps doing so when the view changes its size."""
        self.zoom = self.fit_zoom()
        self.center_on(self.image[0] / 2, self.image[1] / 2)
        self.fitted = True

    def zoom_to(self, zoom: float, anchor: tuple[float, float] | None = None) -> None:
        """Zooms so that the image point at view position `anchor` (default: the centre) stays where it is."""
        view_x, view_y = anchor if anchor is not None else (self.view[0] / 2, self.view[1] / 2)
        x, y = self.to_image(view_x, view_y)
        self.zoom = min(max(zoom, self.min_zoom()), MAX_ZOOM)
        self.fitted = False
        self._place(view_x - x * self.zoom, view_y - y * self.zoom)

    def zoom_stop(self, direction: int) -> float:
        """The next round zoom above (`direction` 1) or below (-1) the present one."""
        if direction > 0:
            return next((z for z in _ZOOM_STOPS if z > self.zoom * 1.01), MAX_ZOOM)
        return next((z for z in reversed(_ZOOM_STOPS) if z < self.zoom * 0.99), _ZOOM_STOPS[0])

    def pan(self, dx: float, dy: float) -> None:
        """Moves the image by view pixels."""
        self.fitted = False
        self._place(self._left + dx, self._top + dy)

    def center_on(self, x: float, y: float) -> None:
        """Brings an image position to the centre of the view."""
        self.fitted = False
        self._place(self.view[0] / 2 - x * self.zoom, self.view[1] / 2 - y * self.zoom)

    def visible(self) -> Rect:
        """The image pixels in the view."""
        return self.image_rect(0.0, 0.0, self.view[0], self.view[1])

    def image_rect(self, left: float, top: float, right: float, bottom: float) -> Rect:
        """The image pixels that a view rectangle touches."""
        x0, y0 = self.to_image(left, top)
        x1, y1 = self.to_image(right, bottom)
        first_row, first_column = math.floor(y0), math.floor(x0)
        rect = Rect(first_row, first_column, math.ceil(y1) - first_row, math.ceil(x1) - first_column)
        return rect.clipped(self.image[1], self.image[0])

    def view_rect(self, rect: Rect) -> tuple[int, int, int, int]:
        """The view rectangle (left, top, right, bottom) that image pixels cover, on whole device pixels."""
        left, top = self.to_view(rect.left, rect.top)
        right, bottom = self.to_view(rect.right, rect.bottom)
        return math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)

    def _place(self, left: float, top: float) -> None:
        """Puts the image's corner at a view position, moved so that the view's centre stays on the image."""
        self._left = _clamped(left, self.view[0], self.image[0] * self.zoom)
        self._top = _clamped(top, self.view[1], self.image[1] * self.zoom)


def _clamped(start: float, room: float, size: float) -> float:
    return min(max(start, room / 2 - size), room / 2)
