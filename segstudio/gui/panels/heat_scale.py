"""How a confusion matrix becomes colours: two ramps, one for what was found and one for what was mistaken."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QLinearGradient, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from segstudio.gui import theme
from segstudio.gui.panels.common import count_text

Counts = npt.NDArray[np.int64]

# The smallest share of a class that still gets a darker shade than the faintest.
_FAINTEST: Final = 1e-4
# Where the ramp of a cell that is not empty begins, so that a single pixel shows.
_FLOOR: Final = 0.1
_BAR_PX: Final = 10
_GAP_PX: Final = 10
_FONT_PX: Final = 11


class Scale(StrEnum):
    """What a cell of the matrix tells."""

    SHARES = "shares"
    PIXELS = "pixels"

    @property
    def heading(self) -> str:
        """In the words of a chooser."""
        return "Share of the true class" if self is Scale.SHARES else "Pixels"


def shades(counts: Counts, totals: Counts, scale: Scale) -> npt.NDArray[np.float64]:
    """(n, n) places on the ramps, 0 for an empty cell, else 0.1 to 1.

    Shares on the diagonal are linear; mistakes and pixels are logarithmic, so that a small confusion shows beside a
    large one.

    Args:
        counts: (n, n) pixels, rows = truth, columns = prediction.
        totals: (n,) true pixels of each class.
        scale: What the cells tell.
    """
    if scale is Scale.SHARES:
        shares = counts / np.maximum(totals, 1)[:, None]
        places = 1 + np.log10(np.maximum(shares, _FAINTEST)) / -math.log10(_FAINTEST)
        np.fill_diagonal(places, np.diagonal(shares))
    else:
        places = np.log1p(counts) / max(math.log1p(float(counts.max(initial=0))), 1.0)
    return np.where(counts > 0, _FLOOR + (1 - _FLOOR) * np.clip(places, 0, 1), 0.0)


def ramp(low: QColor, high: QColor, place: float) -> QColor:
    """The colour at 0 (low) to 1 (high)."""
    ends = ((low.red(), high.red()), (low.green(), high.green()), (low.blue(), high.blue()))
    return QColor(*(round(first + (last - first) * place) for first, last in ends))


def cell_color(place: float, *, found: bool) -> QColor:
    """The colour of a cell that is not empty, in the theme on show."""
    look, name = theme.current(), "found" if found else "wrong"
    return ramp(look.color(f"heat_{name}_low"), look.color(f"heat_{name}_high"), place)


def ink_on(color: QColor) -> QColor:
    """Black or white, whichever reads better on a colour."""
    name = color.name()
    black, white = "#000000", "#ffffff"  # one of the two reaches 4.5:1 on any colour
    return QColor(black if theme.contrast(name, black) >= theme.contrast(name, white) else white)


def share_text(share: float) -> str:
    """A share as a sentence tells it: "97.3 %", "0.04 %", "< 0.01 %"."""
    if 0 < share < _FAINTEST:
        return "< 0.01 %"
    if 0.9995 <= share < 1:
        return "> 99.9 %"
    return f"{share:.0%}".replace("%", " %") if share in (0, 1) else f"{share * 100:.{2 if share < 0.01 else 1}f} %"


def cell_text(count: int, total: int, scale: Scale) -> str:
    """What stands in a cell: per cent without the sign, or pixels; empty for an empty cell."""
    if not count:
        return ""
    if scale is Scale.PIXELS:
        return count_text(count)
    percent = 100 * count / max(total, 1)
    if percent < 0.1:
        return "<.1"
    if percent < 9.95:
        return f"{percent:.1f}"
    return "99" if 99 < percent < 100 else f"{percent:.0f}"


class HeatLegend(QWidget):
    """The two ramps with the figures at their ends."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scale, self._most = Scale.SHARES, 0
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Legend of the confusion matrix")
        self._describe()

    def set_scale(self, scale: Scale, most: int) -> None:
        """Explain another scale; `most` is the largest count of the matrix."""
        self._scale, self._most = scale, most
        self._describe()
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(320, 30)

    def minimumSizeHint(self) -> QSize:
        return QSize(160, 30)

    def _parts(self) -> tuple[tuple[str, bool, tuple[str, ...]], ...]:
        """(title, found, figures along the ramp) of both ramps."""
        if self._scale is Scale.PIXELS:
            figures = ("1", count_text(max(1, round(math.sqrt(self._most)))), count_text(max(1, self._most)))
            return ("Found", True, figures), ("Mistaken", False, figures)
        return ("Found", True, ("0", "50", "100 %")), ("Mistaken", False, ("0.01", "1", "100 %"))

    def _describe(self) -> None:
        parts = (f"{title}: from {figures[0]} to {figures[-1]}" for title, _found, figures in self._parts())
        self.setAccessibleDescription("; ".join(parts))

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        font = QFont(self.font())
        font.setPixelSize(_FONT_PX)
        painter.setFont(font)
        half = (self.width() - _GAP_PX) / 2
        for place, (title, found, figures) in enumerate(self._parts()):
            ends = [cell_color(_FLOOR if end == 0 else 1.0, found=found) for end in (0, 1)]
            box = QRectF(place * (half + _GAP_PX), 0, half, self.height())
            _paint_ramp(painter, box, title=title, ends=ends, figures=figures)


def _paint_ramp(painter: QPainter, box: QRectF, *, title: str, ends: Sequence[QColor], figures: Sequence[str]) -> None:
    look, metrics = theme.current(), QFontMetricsF(painter.font())
    title_px = metrics.horizontalAdvance("Mistaken") + 8
    bar = QRectF(box.left() + title_px, 2, box.width() - title_px, _BAR_PX)
    painter.setPen(look.color("text"))
    aligned = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
    painter.drawText(QRectF(box.left(), 0, title_px, _BAR_PX + 4), aligned, title)
    gradient = QLinearGradient(bar.topLeft(), bar.topRight())
    gradient.setColorAt(0, ends[0])
    gradient.setColorAt(1, ends[1])
    painter.fillRect(bar, gradient)
    painter.setPen(look.color("text_muted"))
    sides = (Qt.AlignmentFlag.AlignLeft, Qt.AlignmentFlag.AlignHCenter, Qt.AlignmentFlag.AlignRight)
    for figure, side in zip(figures, sides, strict=True):
        painter.drawText(bar.translated(0, _BAR_PX + 2).adjusted(0, 0, 0, 6), side, figure)
