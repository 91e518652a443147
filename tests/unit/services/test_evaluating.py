"""Figures of merit, against figures counted by hand."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from segstudio.core.catalog import Catalog
from segstudio.core.errors import FormatError
from segstudio.services.evaluating import evaluate_folders, evaluate_pairs


def _write(folder: Path, name: str, labels: list[list[int]]) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.array(labels, np.uint8))


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """(predictions, labels) of two images, eight pixels in all, one of them ignored."""
    _write(tmp_path / "truth", "a.png", [[0, 0], [1, 255]])
    _write(tmp_path / "truth", "deep/b.png", [[1, 1], [1, 0]])
    _write(tmp_path / "guess", "a.png", [[0, 1], [1, 1]])
    _write(tmp_path / "guess", "deep/b.png", [[1, 1], [0, 0]])
    return tmp_path / "guess", tmp_path / "truth"


def test_folders_give_the_figures_counted_by_hand(folders: tuple[Path, Path]) -> None:
    shown: list[float] = []
    result = evaluate_folders(*folders, Catalog.from_names(["background", "cell", "wall"]), shown.append)
    # Class 0: 2 found, 1 missed, 1 too many. Class 1: 3 found, 1 missed, 1 too many. Class 2: nowhere.
    figures = result.to_json()
    assert figures["images"] == 2
    assert figures["pixels"] == 7
    assert figures["confusion"] == [[2, 1, 0], [1, 3, 0], [0, 0, 0]]
    assert [c["iou"] for c in figures["classes"]] == [pytest.approx(2 / 4), pytest.approx(3 / 5), None]
    assert figures["mean_iou"] == pytest.approx((2 / 4 + 3 / 5) / 2)
    assert figures["pixel_accuracy"] == pytest.approx(5 / 7)
    assert figures["mean_accuracy"] == pytest.approx((2 / 3 + 3 / 4) / 2)
    assert figures["frequency_weighted_iou"] == pytest.approx((3 * 2 / 4 + 4 * 3 / 5) / 7)
    assert [c["dice"] for c in figures["classes"]][:2] == [pytest.approx(4 / 6), pytest.approx(6 / 8)]
    assert shown == [0.5, 1.0]


def test_class_ids_with_gaps_are_scored_under_their_own_names() -> None:
    catalog = Catalog.from_json([{"id": 9, "name": "wall"}, {"id": 4, "name": "cell"}])
    prediction = np.array([[4, 9, 9, 0]], np.uint8)
    label = np.array([[4, 4, 9, 9]], np.uint8)
    result = evaluate_pairs([(prediction, label)], catalog)
    assert result.class_names == ("cell", "wall")
    # A prediction of no class is a miss, never a hit.
    assert result.matrix.iou.tolist() == [pytest.approx(1 / 2), pytest.approx(1 / 3)]


def test_a_missing_prediction_is_one_sentence_that_names_it(folders: tuple[Path, Path]) -> None:
    guess, truth = folders
    (guess / "deep" / "b.png").unlink()
    with pytest.raises(FormatError, match=r"1 of 2 labels have no prediction \(deep/b is the first\)"):
        evaluate_folders(guess, truth, Catalog.from_names(["background", "cell"]))


def test_a_prediction_of_another_size_is_one_sentence_that_names_both(folders: tuple[Path, Path]) -> None:
    guess, truth = folders
    _write(guess, "a.png", [[0, 1, 1], [1, 1, 1]])
    with pytest.raises(FormatError, match=r"a\.png is 3 x 2 pixels, its label 2 x 2"):
        evaluate_folders(guess, truth, Catalog.from_names(["background", "cell"]))


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_without_labels_is_one_sentence(tmp_path: Path, there: bool) -> None:
    if there:
        (tmp_path / "labels").mkdir()
    (tmp_path / "guess").mkdir()
    with pytest.raises(FormatError, match="no label images"):
        evaluate_folders(tmp_path / "guess", tmp_path / "labels", Catalog.from_names(["background", "cell"]))


def test_a_folder_of_predictions_that_is_not_there_is_one_sentence(folders: tuple[Path, Path]) -> None:
    with pytest.raises(FormatError, match="2 of 2 labels have no prediction"):
        evaluate_folders(folders[0].parent / "nowhere", folders[1], Catalog.from_names(["background", "cell"]))
