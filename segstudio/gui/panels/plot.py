"""Two charts of a training run, drawn with QPainter: the loss above, the validation score below."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QMouseEvent, QPainter, QPaintEvent, QPalette, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

Points = Sequence[tuple[int, float]]

_SMOOTHING: Final = 0.8
_TICKS: Final = 4
_TOP_PX: Final = 20.0
_BOTTOM_PX: Final = 18.0
_GAP_PX: Final = 14.0
_AXIS_PX: Final = 40.0
_RIGHT_PX: Final = 10.0
_MARKER_PX: Final = 2.5
_EMPTY_PX: Final = 48
_LOWEST_PX: Final = 150


def nice_ticks(low: float, high: float, count: int = _TICKS) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten) from `low` to `high`, about `count` of them."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low] if math.isfinite(low) else []
    raw = (high - low) / max(1, count)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten from `low` to `high` (both positive), with 2 and 5 between them where few fit."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    factors = (1, 2, 5) if last - first <= 2 else (1,)
    ticks = [factor * 10.0**power for power in range(first, last + 1) for factor in factors]
    return [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]


def smooth(values: npt.NDArray[np.float64], weight: float = _SMOOTHING) -> npt.NDArray[np.float64]:
    """The exponential average of (n,) values, free of the pull towards zero at the start; same shape."""
    result = np.empty_like(values)
    total = mass = 0.0
    for index, value in enumerate(values):
        total = weight * total + (1 - weight) * float(value)
        mass = weight * mass + (1 - weight)
        result[index] = total / mass
    return result


def thin(points: Points, limit: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Steps and values, averaged in equal groups so that at most `limit` are left; not-finite ones are dropped."""
    data = np.asarray([p for p in points if math.isfinite(p[1])], dtype=np.float64).reshape(-1, 2)
    size = -(-len(data) // max(1, limit)) if len(data) else 1
    if size > 1:
        starts = np.arange(0, len(data), size)
        lengths = np.diff(np.append(starts, len(data)))[:, None]
        data = np.add.reduceat(data, starts, axis=0) / lengths
    return data[:, 0], data[:, 1]


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart: where it is (logical pixels) and the ranges of its axes."""

    area: QRectF
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    log: bool = False

    def x_pixel(self, step: float) -> float:
        """The horizontal position of a step."""
        low, high = self.x_range
        return self.area.left() + (step - low) / (high - low) * self.area.width()

    def y_pixel(self, value: float) -> float:
        """The vertical position of a value; values outside the range are held at its ends."""
        low, high = self.y_range
        value = min(max(value, low), high)
        share = math.log(value / low) / math.log(high / low) if self.log else (value - low) / (high - low)
        return self.area.bottom() - share * self.area.height()

    def pixel(self, step: float, value: float) -> QPointF:
        """The position of a point."""
        return QPointF(self.x_pixel(step), self.y_pixel(value))

    def step_at(self, x: float) -> float:
        """The step at a horizontal position."""
        low, high = self.x_range
        return low + (x - self.area.left()) / self.area.width() * (high - low)

    def y_ticks(self) -> list[float]:
        """Where the vertical axis carries numbers."""
        return log_ticks(*self.y_range) if self.log else nice_ticks(*self.y_range)


def _y_range(values: npt.NDArray[np.float64], *, log: bool) -> tuple[float, float]:
    if not len(values):
        return (0.1, 1.0) if log else (0.0, 1.0)
    # One spike at the start must not press the rest of the curve flat.
    high = float(np.quantile(values, 0.995)) if len(values) > 50 else float(values.max())
    if log:
        low = max(float(values.min()), 1e-6)
        return low / 1.15, max(high, low * 1.5) * 1.15
    return 0.0, max(high, 1e-6) * 1.1


class TrainingPlot(QWidget):
    """Loss and validation score of a run over its steps; the pointer reads out the nearest values."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._losses: Points = ()
        self._validations: Points = ()
        self._parent_miou: float | None = None
        self._log = False
        self._hover: float | None = None
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMinimumHeight(_EMPTY_PX)
        self.setAccessibleName("Plot of loss and validation mean IoU")

    def set_data(self, losses: Points, validations: Points, parent_miou: float | None = None) -> None:
        """Show (step, loss) and (step, mean IoU 0..1) pairs, and the score to beat."""
        was_empty = self.is_empty
        self._losses, self._validations, self._parent_miou = tuple(losses), tuple(validations), parent_miou
        if was_empty != self.is_empty:
            self.setMinimumHeight(_EMPTY_PX if self.is_empty else _LOWEST_PX)
            self.updateGeometry()
        self.setAccessibleDescription(self._words())
        self.update()

    def set_log(self, log: bool) -> None:  # noqa: FBT001 - Qt setter
        """Show the loss on a logarithmic axis."""
        self._log = log
        self.update()

    @property
    def is_empty(self) -> bool:
        """True while there is nothing to draw."""
        return not self._losses and not self._validations

    def sizeHint(self) -> QSize:
        return QSize(240, _EMPTY_PX if self.is_empty else 220)

    def charts(self) -> tuple[Chart, Chart]:
        """Where the loss and the score are drawn at the present size."""
        last = max([p[0] for p in self._losses[-1:]] + [p[0] for p in self._validations[-1:]] + [1])
        first = min([p[0] for p in self._losses[:1]] + [p[0] for p in self._validations[:1]] + [last - 1])
        width = self.width() - _AXIS_PX - _RIGHT_PX
        height = (self.height() - 2 * _TOP_PX - _BOTTOM_PX - _GAP_PX) / 2
        upper = QRectF(_AXIS_PX, _TOP_PX, width, height)
        lower = QRectF(_AXIS_PX, upper.bottom() + _GAP_PX + _TOP_PX, width, height)
        loss = np.asarray([p[1] for p in self._losses if math.isfinite(p[1])], dtype=np.float64)
        log = self._log and bool(len(loss)) and float(loss.min()) > 0
        steps = (float(first), float(max(last, first + 1)))
        return Chart(upper, steps, _y_range(loss, log=log), log), Chart(lower, steps, self._score_range())

    def read_out(self, x: float) -> str:
        """The nearest step to a horizontal position and its values, as text; empty where there is none."""
        if self.is_empty:
            return ""
        step = self.charts()[0].step_at(x)
        parts = []
        for name, points in (("loss", self._losses), ("mIoU", self._validations)):
            if points:
                nearest = min(points, key=lambda p: abs(p[0] - step))
                parts.append(f"{name} {nearest[1]:.3f}" + (f" (step {nearest[0]})" if name == "mIoU" else ""))
                if name == "loss":
                    parts.insert(0, f"step {nearest[0]}")
        return " · ".join(parts)

    # -- events --------------------------------------------------------------------------------

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        area = self.charts()[0].area
        x = event.position().x()
        self._hover = x if area.left() <= x <= area.right() and not self.is_empty else None
        self.update()

    def leaveEvent(self, event: QEvent) -> None:
        self._hover = None
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(self._small_font())
        if self.is_empty:
            painter.setPen(self._color(QPalette.ColorRole.PlaceholderText))
            words = "Loss and validation score appear here while the network learns."
            flags = int(Qt.AlignmentFlag.AlignCenter) | int(Qt.TextFlag.TextWordWrap)
            painter.drawText(QRectF(self.rect()).adjusted(16, 0, -16, 0), flags, words)
            return
        upper, lower = self.charts()
        self._draw_frame(painter, upper, "Loss", steps=False)
        self._draw_frame(painter, lower, "Validation mIoU", steps=True)
        self._draw_losses(painter, upper)
        self._draw_scores(painter, lower)
        self._draw_legend(painter, lower)
        self._draw_hover(painter, upper, lower)

    # -- drawing --------------------------------------------------------------------------------

    def _draw_frame(self, painter: QPainter, chart: Chart, title: str, *, steps: bool) -> None:
        metrics = QFontMetricsF(painter.font())
        muted = self._color(QPalette.ColorRole.PlaceholderText)
        grid = QPen(self._color(QPalette.ColorRole.Mid), 1)
        painter.setPen(self._color(QPalette.ColorRole.WindowText))
        painter.drawText(QPointF(4, chart.area.top() - 7), title)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        last_y = math.inf
        for tick in chart.y_ticks():
            y = round(chart.y_pixel(tick))
            painter.setPen(grid)
            painter.drawLine(QPointF(chart.area.left(), y), QPointF(chart.area.right(), y))
            if last_y - y >= metrics.height():
                painter.setPen(muted)
                # The topmost number keeps clear of the title above it.
                box = QRectF(0, max(y - metrics.height() / 2, chart.area.top() - 4), _AXIS_PX - 6, metrics.height())
                painter.drawText(box, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, f"{tick:g}")
                last_y = y
        if steps:
            self._draw_steps(painter, chart, metrics, muted)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)

    def _draw_steps(self, painter: QPainter, chart: Chart, metrics: QFontMetricsF, muted: QColor) -> None:
        painter.setPen(muted)
        count = max(1, int(chart.area.width() // 45))
        for tick in nice_ticks(*chart.x_range, count):
            if tick != int(tick):
                continue
            text = f"{int(tick):,}"
            half = metrics.horizontalAdvance(text) / 2
            x = min(chart.x_pixel(tick), self.width() - half - 2)
            painter.drawText(QPointF(x - half, chart.area.bottom() + metrics.ascent() + 4), text)

    def _draw_losses(self, painter: QPainter, chart: Chart) -> None:
        if not self._losses:
            return
        steps, values = thin(self._losses, max(16, int(chart.area.width())))
        faint = QColor(self._color(QPalette.ColorRole.Highlight))
        faint.setAlphaF(0.5)
        self._draw_line(painter, chart, steps, values, QPen(faint, 1))
        self._draw_line(painter, chart, steps, smooth(values), QPen(self._color(QPalette.ColorRole.Highlight), 2))

    def _draw_scores(self, painter: QPainter, chart: Chart) -> None:
        if self._parent_miou is not None:
            pen = QPen(self._color(QPalette.ColorRole.PlaceholderText), 1.5, Qt.PenStyle.DashLine)
            painter.setPen(pen)
            y = chart.y_pixel(self._parent_miou)
            painter.drawLine(QPointF(chart.area.left(), y), QPointF(chart.area.right(), y))
        if not self._validations:
            painter.setPen(self._color(QPalette.ColorRole.PlaceholderText))
            painter.drawText(chart.area, Qt.AlignmentFlag.AlignCenter, "not scored yet")
            return
        steps, values = thin(self._validations, max(16, int(chart.area.width())))
        color = self._color(QPalette.ColorRole.Link)
        self._draw_line(painter, chart, steps, values, QPen(color, 2))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(color)
        for step, value in zip(steps, values, strict=True) if len(steps) <= 40 else ():
            painter.drawEllipse(chart.pixel(step, value), _MARKER_PX, _MARKER_PX)
        painter.setBrush(Qt.BrushStyle.NoBrush)

    def _draw_legend(self, painter: QPainter, chart: Chart) -> None:
        if self._parent_miou is None:
            return
        metrics = QFontMetricsF(painter.font())
        text = f"to beat: {self._parent_miou:.2f}"
        left = chart.area.right() - metrics.horizontalAdvance(text)
        y = chart.area.top() - 7
        painter.setPen(QPen(self._color(QPalette.ColorRole.PlaceholderText), 1.5, Qt.PenStyle.DashLine))
        painter.drawLine(QPointF(left - 26, y - metrics.ascent() / 3), QPointF(left - 6, y - metrics.ascent() / 3))
        painter.drawText(QPointF(left, y), text)

    def _draw_hover(self, painter: QPainter, upper: Chart, lower: Chart) -> None:
        if self._hover is None:
            return
        painter.setPen(QPen(self._color(QPalette.ColorRole.PlaceholderText), 1))
        for area in (upper.area, lower.area):
            painter.drawLine(QPointF(self._hover, area.top()), QPointF(self._hover, area.bottom()))
        text = self.read_out(self._hover)
        metrics = QFontMetricsF(painter.font())
        width, height = metrics.horizontalAdvance(text) + 12, metrics.height() + 6
        left = min(max(2.0, self._hover - width / 2), max(2.0, self.width() - width - 2))
        box = QRectF(left, upper.area.bottom() - height / 2 + _GAP_PX, width, height)
        painter.setPen(QPen(self._color(QPalette.ColorRole.Mid), 1))
        painter.setBrush(self._color(QPalette.ColorRole.ToolTipBase))
        painter.drawRoundedRect(box, 4, 4)
        painter.setPen(self._color(QPalette.ColorRole.ToolTipText))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)

    @staticmethod
    def _draw_line(
        painter: QPainter, chart: Chart, steps: npt.NDArray[np.float64], values: npt.NDArray[np.float64], pen: QPen
    ) -> None:
        pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
        painter.setPen(pen)
        points = [chart.pixel(step, value) for step, value in zip(steps.tolist(), values.tolist(), strict=True)]
        painter.drawPolyline(QPolygonF(points))

    # -- small parts -------------------------------------------------------------------------------

    def _score_range(self) -> tuple[float, float]:
        scores = [p[1] for p in self._validations if math.isfinite(p[1])]
        if self._parent_miou is not None:
            scores.append(self._parent_miou)
        if not scores:
            return 0.0, 1.0
        low, high = min(scores), max(scores)
        pad = max(0.05, 0.15 * (high - low))
        return max(0.0, low - pad), min(1.0, high + pad)

    def _small_font(self) -> QFont:
        font = QFont(self.font())
        font.setPointSizeF(max(7.0, font.pointSizeF() * 0.85))
        return font

    def _color(self, role: QPalette.ColorRole) -> QColor:
        return self.palette().color(QPalette.ColorGroup.Active, role)

    def _words(self) -> str:
        if self.is_empty:
            return "No data yet"
        parts = [f"loss {self._losses[-1][1]:.3f} at step {self._losses[-1][0]}"] if self._losses else []
        parts += [f"validation mean IoU {self._validations[-1][1]:.3f}"] if self._validations else []
        return ", ".join(parts)
