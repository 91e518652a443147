"""Figures of merit by hand-counted examples; settings survive damage."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from segstudio.core.errors import UserError
from segstudio.core.events import Signal
from segstudio.core.geometry import Rect
from segstudio.core.items import Split, assign_split
from segstudio.core.metrics import ConfusionMatrix
from segstudio.core.settings import Settings


def test_figures_agree_with_a_count_by_hand() -> None:
    matrix = ConfusionMatrix(3)
    label = np.array([[0, 0, 1, 1], [0, 255, 1, 254]])
    guess = np.array([[0, 1, 1, 1], [0, 2, 0, 0]])
    matrix.update(guess, label)
    # class 0: 2 hits, truth 3, predicted 3 (one on a class-1 pixel); class 1: 2 hits, truth 3, predicted 3
    assert matrix.matrix.tolist() == [[2, 1, 0], [1, 2, 0], [0, 0, 0]]
    assert matrix.iou[:2].tolist() == [0.5, 0.5]
    assert math.isnan(matrix.iou[2])
    assert matrix.mean_iou == 0.5
    assert matrix.pixel_accuracy == pytest.approx(4 / 6)
    assert matrix.frequency_weighted_iou == pytest.approx(0.5)
    assert matrix.dice[0] == pytest.approx(4 / 6)


def test_a_prediction_outside_the_classes_is_a_miss() -> None:
    matrix = ConfusionMatrix(2)
    matrix.update(np.array([255, 0]), np.array([0, 0]))
    assert matrix.iou[0] == 0.5


def test_accumulating_equals_merging() -> None:
    rng = np.random.default_rng(0)
    whole, parts = ConfusionMatrix(4), [ConfusionMatrix(4), ConfusionMatrix(4)]
    for part in parts:
        guess, label = rng.integers(0, 4, (2, 30, 30))
        whole.update(guess, label)
        part.update(guess, label)
    parts[0].merge(parts[1])
    assert (parts[0].matrix == whole.matrix).all()


def test_different_sizes_are_refused_naming_both() -> None:
    with pytest.raises(UserError, match=r"4 x 3.*5 x 3"):
        ConfusionMatrix(2).update(np.zeros((3, 4), int), np.zeros((3, 5), int))


def test_settings_survive_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "settings.json"
    settings = Settings(path)
    settings.set("opacity", 0.5)
    assert Settings(path).get("opacity", 1.0) == 0.5
    path.write_text("{not json", encoding="utf-8")
    assert Settings(path).get("opacity", 1.0) == 1.0


def test_recent_projects_are_newest_first_and_exist(tmp_path: Path) -> None:
    settings = Settings(tmp_path / "settings.json")
    for name in ("a", "b", "gone"):
        (tmp_path / name).mkdir()
        settings.add_recent(tmp_path / name)
    settings.add_recent(tmp_path / "a")
    (tmp_path / "gone").rmdir()
    assert [p.name for p in settings.recent_projects()] == ["a", "b"]


def test_one_image_in_six_validates_and_the_third_is_the_first() -> None:
    sides = [assign_split(i) for i in range(12)]
    assert sides.count(Split.VALIDATION) == 2
    assert sides.index(Split.VALIDATION) == 2


def test_a_disconnected_callback_is_not_called() -> None:
    signal: Signal[int] = Signal()
    heard: list[int] = []
    disconnect = signal.connect(heard.append)
    signal.emit(1)
    disconnect()
    disconnect()
    signal.emit(2)
    assert heard == [1]


def test_rectangles_intersect_unite_and_clip() -> None:
    a, b = Rect(0, 0, 10, 10), Rect(5, 8, 10, 10)
    assert a.intersection(b) == Rect(5, 8, 5, 2)
    assert a.union(b) == Rect(0, 0, 15, 18)
    assert Rect(-5, -5, 8, 8).clipped(100, 2) == Rect(0, 0, 3, 2)
    assert a.intersection(Rect(20, 20, 1, 1)).is_empty
