"""Proposals on disk: what comes back is what was put away; what is damaged counts as absent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segstudio.core.prediction import Prediction
from segstudio.services.proposals import ProposalStore


def _prediction() -> Prediction:
    rng = np.random.default_rng(3)
    return Prediction(
        labels=rng.integers(0, 5, (13, 17), dtype=np.uint8),
        confidence=rng.integers(0, 256, (13, 17), dtype=np.uint8),
        probabilities=rng.random((5, 13, 17)).astype(np.float16),
        class_ids=(0, 2, 4, 9, 254),
        model_id="unet-småll",
        image_revision=12,
        refined=True,
        trained=False,
    )


def test_a_proposal_comes_back_without_its_probabilities(tmp_path: Path) -> None:
    store, put = ProposalStore(tmp_path), _prediction()
    store.save(3, put)
    got = store.load(3)
    assert got is not None
    assert (got.labels == put.labels).all()
    assert (got.confidence == put.confidence).all()
    assert got.probabilities is None
    assert (got.class_ids, got.model_id, got.image_revision, got.refined, got.trained) == (
        (0, 2, 4, 9, 254),
        "unet-småll",
        12,
        True,
        False,
    )


def test_an_image_without_a_proposal_has_none(tmp_path: Path) -> None:
    assert ProposalStore(tmp_path).load(1) is None


@pytest.mark.parametrize("damage", ["empty", "cut", "foreign", "pickled"])
def test_a_damaged_file_counts_as_absent(tmp_path: Path, damage: str) -> None:
    store = ProposalStore(tmp_path)
    store.save(1, _prediction())
    path = tmp_path / "cache" / "proposals" / "1.npz"
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:100])
    elif damage == "foreign":
        with path.open("wb") as stream:
            np.savez(stream, labels=np.zeros((3, 3), np.int64), confidence=np.zeros((3, 3)))
    else:
        with path.open("wb") as stream:
            np.savez(stream, labels=np.array([object()], dtype=object))
    assert store.load(1) is None


def test_clearing_forgets_every_proposal_and_leaves_no_draft(tmp_path: Path) -> None:
    store = ProposalStore(tmp_path)
    store.save(1, _prediction())
    store.save(2, _prediction())
    assert sorted(p.name for p in (tmp_path / "cache" / "proposals").iterdir()) == ["1.npz", "2.npz"]
    store.clear()
    assert store.load(1) is None
    assert store.load(2) is None
