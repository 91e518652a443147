"""Integer rectangles in array coordinates (row, column)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Rect:
    """A half-open rectangle of pixels: rows ``top <= r < bottom``, columns ``left <= c < right``."""

    top: int
    left: int
    height: int
    width: int

    EMPTY: ClassVar[Rect]

    @classmethod
    def of_shape(cls, shape: tuple[int, ...]) -> Rect:
        """The rectangle that covers an array of `shape` (its first two axes)."""
        return cls(0, 0, shape[0], shape[1])

    @property
    def bottom(self) -> int:
        return self.top + self.height

    @property
    def right(self) -> int:
        return self.left + self.width

    @property
    def area(self) -> int:
        return max(0, self.height) * max(0, self.width)

    @property
    def is_empty(self) -> bool:
        return self.height <= 0 or self.width <= 0

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index an H x W array with this to get the pixels inside."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def union(self, other: Rect) -> Rect:
        """The smallest rectangle that holds both; an empty one adds nothing."""
        if self.is_empty:
            return other
        if other.is_empty:
            return self
        top, left = min(self.top, other.top), min(self.left, other.left)
        return Rect(top, left, max(self.bottom, other.bottom) - top, max(self.right, other.right) - left)

    def intersection(self, other: Rect) -> Rect:
        """The pixels in both, `Rect.EMPTY` where there are none."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        height, width = min(self.bottom, other.bottom) - top, min(self.right, other.right) - left
        return Rect(top, left, height, width) if height > 0 and width > 0 else Rect.EMPTY

    def grown(self, margin: int) -> Rect:
        """This rectangle with `margin` pixels more on each side (fewer where negative)."""
        return Rect(self.top - margin, self.left - margin, self.height + 2 * margin, self.width + 2 * margin)

    def clipped(self, height: int, width: int) -> Rect:
        """The part inside an image of `height` x `width`."""
        return self.intersection(Rect(0, 0, height, width))


Rect.EMPTY = Rect(0, 0, 0, 0)
