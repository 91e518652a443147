from __future__ import annotations

import pickle
import signal

import numpy as np
import pytest

from segstudio.core.jobs import Progress
from segstudio.core.memory import total_memory
from segstudio.engine.channels import channels_by_name, channels_by_order
from segstudio.engine.protocol import PredictSpec, Progressed, RefineSpec, Reply
from segstudio.engine.results import proposal_from, result_bytes, stored_probabilities
from segstudio.engine.system import death_sentence, process_memory
from segstudio.refine.params import CrfParams


def test_a_network_s_channels_find_their_classes_by_name():
    assert channels_by_name(("background", "Cell"), (0, 7, 9), ("_background_", "nucleus", "cell")) == (0, 9)


def test_a_name_the_catalog_lacks_makes_names_useless():
    assert channels_by_name(("background", "tree"), (0, 1), ("background", "cell")) is None
    assert channels_by_name((), (0, 1), ("background", "cell")) is None


def test_two_channels_never_share_a_class():
    assert channels_by_name(("cell", "Cell"), (0, 1), ("background", "cell")) is None


def test_by_order_means_sorted_ids():
    assert channels_by_order((5, 0, 2)) == (0, 2, 5)


def test_a_proposal_has_the_winner_s_class_and_probability():
    probabilities = np.zeros((3, 2, 2), np.float32)
    probabilities[:, 0, 0] = (0.2, 0.5, 0.3)
    probabilities[2, 0, 1] = probabilities[0, 1, 0] = probabilities[1, 1, 1] = 1
    proposal = proposal_from(probabilities, (0, 7, 254), "")
    assert proposal.labels.tolist() == [[7, 254], [0, 7]]
    assert proposal.labels.dtype == np.uint8
    assert proposal.confidence.tolist() == [[128, 255], [255, 255]]
    assert proposal.probabilities.dtype == np.float16


def test_small_probabilities_are_stored_as_they_are():
    probabilities = np.random.default_rng(0).random((2, 5, 7), np.float32)
    assert np.array_equal(stored_probabilities(probabilities), probabilities.astype(np.float16))


@pytest.mark.parametrize("shape", [(2, 64, 64), (3, 61, 67), (5, 1, 300)])
def test_large_probabilities_shrink_below_the_limit_and_still_sum_to_one(shape):
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(shape[0]), size=shape[1:]).transpose(2, 0, 1)
    stored = stored_probabilities(probabilities, limit=1000)
    assert stored.nbytes <= 1000
    assert np.allclose(stored.astype(np.float32).sum(0), 1, atol=5e-3)


def test_the_room_for_results_is_bounded():
    assert result_bytes(100, 3) == 200 + 600
    assert result_bytes(100_000_000, 21) == 200_000_000 + (64 << 20)


def test_messages_cross_processes():
    messages = [
        PredictSpec("card.toml", (0, 1), ("a", "b")),
        RefineSpec(CrfParams(), (0, 1)),
        Reply(3, Progressed(Progress(0.5, "half"))),
    ]
    assert pickle.loads(pickle.dumps(messages)) == messages


def test_the_sentence_for_a_death_names_who_why_and_what_now():
    assert death_sentence("engine", -signal.SIGKILL, restarted=True) == (
        "The engine stopped unexpectedly (killed by the system, often for lack of memory); it has been restarted."
    )
    assert "SIGABRT" in death_sentence("refine", -signal.SIGABRT, restarted=True)
    assert "code 3" in death_sentence("engine", 3, restarted=False)
    assert "signal 99" in death_sentence("engine", -99, restarted=False)
    assert "unknown" in death_sentence("engine", None, restarted=False)


def test_memory_figures_are_plausible():
    assert 1 << 20 < process_memory() < total_memory()
