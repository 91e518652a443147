"""The plot puts values where they belong."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QRectF
from PySide6.QtGui import QPalette

from segstudio.gui.panels.plot import Chart, TrainingPlot, log_ticks, nice_ticks, smooth, thin


@pytest.fixture
def plot(qtbot):
    widget = TrainingPlot()
    qtbot.addWidget(widget)
    widget.resize(300, 240)
    widget.show()
    return widget


def test_a_linear_chart_maps_corners_to_corners():
    chart = Chart(QRectF(40, 20, 200, 100), (0, 100), (0, 2))
    assert (chart.pixel(0, 0).x(), chart.pixel(0, 0).y()) == (40, 120)
    assert (chart.pixel(100, 2).x(), chart.pixel(100, 2).y()) == (240, 20)
    assert (chart.pixel(50, 1).x(), chart.pixel(50, 1).y()) == (140, 70)
    assert chart.y_pixel(99) == 20
    assert chart.step_at(chart.x_pixel(37)) == pytest.approx(37)


def test_a_logarithmic_chart_gives_each_decade_the_same_height():
    chart = Chart(QRectF(0, 0, 100, 90), (0, 1), (0.01, 10), log=True)
    heights = [chart.y_pixel(v) for v in (0.01, 0.1, 1, 10)]
    assert heights == pytest.approx([90, 60, 30, 0])


def test_ticks_are_round_numbers_inside_the_range():
    assert nice_ticks(0, 1) == [0, 0.5, 1]
    assert nice_ticks(0, 870, 5) == [0, 200, 400, 600, 800]
    assert nice_ticks(0.52, 0.68, 3) == [0.6]
    assert nice_ticks(3, 3) == [3]
    assert log_ticks(0.02, 0.6) == pytest.approx([0.02, 0.05, 0.1, 0.2, 0.5])
    assert log_ticks(0.001, 1000) == pytest.approx([0.001, 0.01, 0.1, 1, 10, 100, 1000])


def test_smoothing_keeps_a_constant_and_calms_noise():
    assert smooth(np.full(20, 3.0)) == pytest.approx(np.full(20, 3.0))
    noise = np.random.default_rng(0).normal(size=500)
    assert smooth(noise)[50:].std() < 0.5 * noise.std()


def test_thinning_keeps_the_mean_and_drops_what_is_not_finite():
    steps, values = thin([(i, float(i)) for i in range(1, 1001)] + [(1001, float("nan"))], 100)
    assert len(steps) == 100 and values.mean() == pytest.approx(500.5)
    assert thin([], 10)[0].shape == (0,)


def test_the_curve_is_drawn_where_the_chart_says(plot):
    plot.set_data([(1, 2.0), (100, 2.0)], [(100, 0.5)])
    upper, _lower = plot.charts()
    picture = plot.grab().toImage()
    where = upper.pixel(50, 2.0)
    accent = plot.palette().color(QPalette.ColorGroup.Active, QPalette.ColorRole.Highlight)
    drawn = picture.pixelColor(QPoint(round(where.x()), round(where.y())))
    away = picture.pixelColor(QPoint(round(where.x()), round(where.y()) + 25))
    assert abs(drawn.red() - accent.red()) + abs(drawn.blue() - accent.blue()) < 80
    assert abs(away.red() - accent.red()) + abs(away.blue() - accent.blue()) > 80


def test_both_charts_share_the_steps_and_hold_the_score_to_beat(plot):
    plot.set_data([(1, 2.0), (80, 1.0)], [(50, 0.4), (100, 0.6)], 0.75)
    upper, lower = plot.charts()
    assert upper.x_range == lower.x_range == (1, 100)
    assert lower.y_range[0] < 0.4 and lower.y_range[1] > 0.75
    assert upper.area.bottom() < lower.area.top() and lower.area.bottom() < plot.height()


def test_the_pointer_reads_out_the_nearest_values(plot):
    plot.set_data([(1, 2.0), (50, 1.25), (100, 1.0)], [(100, 0.6)])
    x = plot.charts()[0].x_pixel(52)
    assert plot.read_out(x) == "step 50 · loss 1.250 · mIoU 0.600 (step 100)"
    plot.set_data([], [])
    assert plot.read_out(x) == "" and plot.is_empty


def test_a_logarithmic_axis_needs_positive_losses(plot):
    plot.set_log(True)
    plot.set_data([(1, 1.0), (2, 0.1)], [])
    assert plot.charts()[0].log
    plot.set_data([(1, 1.0), (2, 0.0)], [])
    assert not plot.charts()[0].log


def test_hovering_and_the_empty_state_paint_without_complaint(qtbot, plot):
    assert not plot.grab().isNull()
    plot.set_data([(i, 1 / i) for i in range(1, 3000)], [(i, 0.5) for i in range(1, 3000, 100)], 0.4)
    qtbot.mouseMove(plot, QPoint(150, 60))
    assert not plot.grab().isNull() and "loss" in plot.accessibleDescription()
