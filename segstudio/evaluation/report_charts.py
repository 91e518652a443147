"""Charts of a report as inline SVG: the confusion matrix, and figures near borders by distance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from segstudio.evaluation.outcome import Evaluation
from segstudio.evaluation.report_html import percent, safe, whole

SERIES: Final = 4
_NAME_LETTERS: Final = 26
_MOST_CELLS: Final = 12_000
_TEXT_CELL: Final = 34
_SMALLEST_CELL: Final = 10
_LARGEST_CELL: Final = 60
_STEPS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
_MOST_LINES: Final = 6
_ROOM: Final = 1020  # the page's width within a section


def series_color(index: int) -> str:
    """The colour of the evaluation at a place."""
    return f"var(--series{index % SERIES})"


def heat_map(evaluation: Evaluation) -> str:
    """The confusion matrix: rows are true classes, each coloured by the part of its pixels that went to a column.

    Correct cells have one colour and mistakes another; counts are in the cells' tooltips. With more than 12,000 cells
    that hold pixels the smallest are left out.
    """
    names, counts = evaluation.class_names, evaluation.matrix.matrix
    longest = max(min(len(name), _NAME_LETTERS) for name in names)
    cell = int(min(_LARGEST_CELL, max(_SMALLEST_CELL, (_ROOM - longest * 11) // len(names))))
    font = min(12.0, max(8.0, cell * 0.72))
    left = math.ceil(longest * font * 0.63) + 16
    side = cell * len(names)
    # Names above lean by 45 degrees, and the last one then reaches to the right as far as it is high; or stand upright.
    angle = 45 if cell * 0.7 > font * 1.2 else 90
    lean = math.ceil(left * math.sin(math.radians(angle)))
    width, height = left + side + (lean if angle == 45 else 0) + 4, lean + 22 + side
    parts = [
        _opened(width, height, "Confusion matrix: rows are true classes, columns predicted ones"),
        f'<rect class="cell" x="{left}" y="{lean + 18}" width="{side}" height="{side}" rx="3"/>',
    ]
    shift = -font * 0.1 if angle == 45 else font * 0.35
    for place, name in enumerate(names):
        x, y = left + (place + 0.5) * cell, lean + 18 + (place + 0.5) * cell
        style = f'style="font-size:{font:.1f}px"'
        parts.append(
            f'<text x="{left - 7}" y="{y + font * 0.35:.1f}" text-anchor="end" {style}>{_short(name)}</text>'
            f'<text transform="translate({x + shift:.1f} {lean + 13}) rotate(-{angle})" {style}>{_short(name)}</text>'
        )
    parts += _cells(evaluation, counts, left, lean + 18, cell)
    parts.append("</svg>")
    kind = "scroll wide-svg" if width > _ROOM else "scroll"
    return f'<div class="{kind}">{"".join(parts)}</div>'


def _cells(evaluation: Evaluation, counts: np.ndarray, left: int, top: int, cell: int) -> list[str]:
    names, totals = evaluation.class_names, evaluation.summary.true_pixels
    flat = counts.ravel()
    order = np.argsort(-flat, kind="stable")[: min(_MOST_CELLS, int(np.count_nonzero(flat)))]
    parts = []
    gap = 1 if cell > 8 else 0
    for row, column in zip(*np.unravel_index(np.sort(order), counts.shape), strict=True):
        pixels, part = int(counts[row, column]), counts[row, column] / totals[row]
        x, y = left + int(column) * cell, top + int(row) * cell
        # The square root lets a mistake of a few percent be seen; what is there at all keeps a trace.
        opacity = max(0.035, math.sqrt(part))
        kind = "hit" if row == column else "miss"
        share = f"{percent(part, digits=2)} % of the class"
        tip = f"{safe(names[row])} as {safe(names[column])}: {whole(pixels)} pixels, {share}"
        size = cell - gap
        parts.append(
            f'<rect class="{kind}" x="{x}" y="{y}" width="{size}" height="{size}" fill-opacity="{opacity:.2f}">'
            f"<title>{tip}</title></rect>"
        )
        if cell >= _TEXT_CELL and part >= 0.0005:
            tone = ' class="on"' if opacity > 0.72 else ""
            parts.append(
                f'<text{tone} x="{x + size / 2:.1f}" y="{y + size / 2 + 4:.1f}" text-anchor="middle" '
                f'pointer-events="none">{_cell_text(part)}</text>'
            )
    return parts


def _cell_text(part: float) -> str:
    text = f"{part * 100:.1f}"
    return text if len(text) < 4 else f"{part * 100:.0f}"


def _opened(width: int, height: int, label: str) -> str:
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return f'<svg {size} role="img" aria-label="{label}">'


def _short(name: str) -> str:
    return safe(name, longest=_NAME_LETTERS)


def trimap_chart(evaluations: Sequence[Evaluation]) -> str:
    """Mean IoU within each distance of a border, a curve for each evaluation that has one, over their mIoU (dashed)."""
    shown = [(place, e) for place, e in enumerate(evaluations) if e.trimap is not None]
    values = [band.mean_iou for _, e in shown if e.trimap is not None for band in e.trimap.bands]
    known = [v for v in (*values, *(e.summary.mean_iou for _, e in shown)) if not math.isnan(v)]
    if not known:
        return ""
    radius = max(e.trimap.radii[-1] for _, e in shown if e.trimap is not None)
    frame = _Frame(min(known), max(known), radius)
    parts = [_opened(frame.width, frame.height, "Mean IoU by distance from a border"), *frame.grid()]
    for place, evaluation in shown:
        assert evaluation.trimap is not None
        color, title = series_color(place), safe(evaluation.title)
        pairs = zip(evaluation.trimap.radii, evaluation.trimap.bands, strict=True)
        points = [(radius, band.mean_iou) for radius, band in pairs if not math.isnan(band.mean_iou)]
        line = " ".join(f"{frame.x(r):.1f},{frame.y(v):.1f}" for r, v in points)
        whole_set = frame.y(evaluation.summary.mean_iou)
        parts.append(
            f'<path d="M{frame.left} {whole_set:.1f}H{frame.right}" stroke="{color}" stroke-dasharray="4 4" '
            f'stroke-opacity=".7"><title>{title}: mean IoU of all pixels</title></path>'
            f'<polyline class="curve" points="{line}" stroke="{color}"><title>{title}</title></polyline>'
        )
    parts.append("</svg>")
    return "".join(parts)


class _Frame:
    """Axes of the trimap chart: distances from left to right, mean IoU upwards."""

    width, height, left, right, top, bottom = 1020, 340, 46, 1004, 12, 296

    def __init__(self, low: float, high: float, radius: int) -> None:
        span = high - low
        self._step = next((step for step in _STEPS if span / step <= _MOST_LINES), _STEPS[-1])
        self._low = max(0.0, math.floor(low / self._step) * self._step)
        self._lines = max(1, math.ceil((min(1.0, high) - self._low) / self._step - 1e-9))
        self._high, self._radius = self._low + self._lines * self._step, radius

    def x(self, radius: float) -> float:
        return self.left + (self.right - self.left) * (radius - 1) / max(1, self._radius - 1)

    def y(self, value: float) -> float:
        return self.bottom - (self.bottom - self.top) * (value - self._low) / (self._high - self._low)

    def grid(self) -> list[str]:
        parts = []
        for value in (self._low + i * self._step for i in range(self._lines + 1)):
            y = self.y(value)
            parts.append(
                f'<path class="grid" d="M{self.left} {y:.1f}H{self.right}"/>'
                f'<text class="soft" x="{self.left - 8}" y="{y + 4:.1f}" text-anchor="end">{value * 100:g}</text>'
            )
        for radius in [1, *range(5, self._radius + 1, 5)]:
            x = self.x(radius)
            parts.append(f'<text class="soft" x="{x:.1f}" y="{self.bottom + 18}" text-anchor="middle">{radius}</text>')
        middle = (self.left + self.right) / 2
        parts.append(
            f'<text class="soft" x="{middle}" y="{self.bottom + 38}" text-anchor="middle">'
            "Pixels from a border between classes, at most</text>"
        )
        return parts
