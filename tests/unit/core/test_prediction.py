"""A proposal for a box becomes one for the image: what lies around it stays, or has no opinion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from segstudio.core.geometry import Rect
from segstudio.core.prediction import NO_OPINION, Prediction, placed

SHAPE = (12, 16)
BOX = Rect(3, 4, 6, 8)


def _prediction(shape: tuple[int, int], class_id: int, *, step: int = 1, trained: bool = True) -> Prediction:
    probabilities = np.zeros((2, -(-shape[0] // step), -(-shape[1] // step)), np.float16)
    probabilities[class_id] = 1
    return Prediction(
        labels=np.full(shape, class_id, np.uint8), confidence=np.full(shape, 100 + class_id, np.uint8),
        probabilities=probabilities, class_ids=(0, 1), model_id="unet", image_revision=3, trained=trained,
    )  # fmt: skip


PART = _prediction((BOX.height, BOX.width), 1)


def _inside() -> np.ndarray:
    inside = np.zeros(SHAPE, bool)
    inside[BOX.slices] = True
    return inside


def test_without_a_former_proposal_there_is_no_opinion_around_the_box() -> None:
    whole = placed(PART, BOX, SHAPE, None)
    assert np.array_equal(whole.labels == 1, _inside())
    assert (whole.labels[~_inside()] == NO_OPINION).all()
    assert (whole.confidence[~_inside()] == 0).all()
    assert whole.probabilities is None
    assert (whole.model_id, whole.image_revision) == ("unet", 3)


def test_the_former_proposal_stays_around_the_box_and_is_not_changed() -> None:
    former = _prediction(SHAPE, 0)
    whole = placed(PART, BOX, SHAPE, former)
    assert np.array_equal(whole.labels == 1, _inside())
    assert np.array_equal(whole.confidence, np.where(_inside(), 101, 100))
    assert whole.probabilities is not None
    assert np.array_equal(whole.probabilities[1] == 1, _inside())
    assert (former.labels == 0).all()
    assert former.probabilities is not None
    assert (former.probabilities[0] == 1).all()


def test_a_reduced_grid_takes_the_box_in_the_cells_whose_middle_lies_in_it() -> None:
    whole = placed(PART, BOX, SHAPE, _prediction(SHAPE, 0, step=2))
    assert whole.probabilities is not None
    expected = np.zeros((6, 8), bool)
    expected[1:4, 2:6] = True
    assert np.array_equal(whole.probabilities[1] == 1, expected)


def test_a_box_on_a_reduced_grid_fills_its_place() -> None:
    whole = placed(_prediction((BOX.height, BOX.width), 1, step=4), BOX, SHAPE, _prediction(SHAPE, 0))
    assert whole.probabilities is not None
    assert np.array_equal(whole.probabilities[1] == 1, _inside())


@pytest.mark.parametrize("change", [{"model_id": "fcn8s"}, {"class_ids": (0, 7)}, {"probabilities": None}])
def test_probabilities_of_two_networks_are_not_mixed(change: dict[str, object]) -> None:
    assert placed(PART, BOX, SHAPE, replace(_prediction(SHAPE, 0), **change)).probabilities is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("part", "former", "expected"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_a_random_part_makes_the_whole_random(part: bool, former: bool, expected: bool) -> None:
    whole = placed(replace(PART, trained=part), BOX, SHAPE, _prediction(SHAPE, 0, trained=former))
    assert whole.trained is expected
