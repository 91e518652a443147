"""What the refinement's worker answers besides the proposal."""

from __future__ import annotations

import numpy as np
import pytest

from segstudio.core.errors import UserError
from segstudio.engine.protocol import RefineSpec
from segstudio.engine.refine_main import refine_job
from segstudio.engine.worker import Job
from segstudio.refine.params import CrfParams
from segstudio.refine.team import team

IDS = tuple(range(4, 16))


@pytest.fixture(scope="module", autouse=True)
def own_threads() -> None:
    """The threads of the CRF's engine stay for the life of the process."""
    team()


def job(probabilities: np.ndarray, *, exact: bool = False) -> Job:
    image = np.zeros((12, 16, 3), np.uint8)
    image[:, 8:] = 200
    spec = RefineSpec(CrfParams(iterations=3), IDS, exact=exact)
    return Job(spec, (image, probabilities), lambda _p: None, lambda _e: None, lambda: False, lambda: False)


def halves() -> np.ndarray:
    """(12, 12, 16) float16: the first class left, the last right, those between nowhere."""
    probabilities = np.zeros((len(IDS), 12, 16), np.float16)
    probabilities[0, :, :8] = probabilities[-1, :, 8:] = 1
    return probabilities


def test_the_classes_in_play_are_named_by_their_ids():
    result = refine_job(job(halves()))
    assert result.live == (4, 15)
    assert set(np.unique(result.labels)) == {4, 15}
    assert refine_job(job(halves(), exact=True)).live == IDS


def test_pixels_that_are_no_numbers_are_counted():
    probabilities = halves()
    probabilities[1, 3, 4] = probabilities[0, 5, 6] = np.nan
    result = refine_job(job(probabilities))
    assert result.uniform == 2
    assert (result.labels[:, :8] == 4).all()


def test_a_prediction_of_another_number_of_classes_is_refused():
    with pytest.raises(UserError, match="has 2 classes"):
        refine_job(job(np.full((2, 12, 16), 0.5, np.float16)))
