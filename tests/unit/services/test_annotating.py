"""What a person can do to one image, and what must not happen to the rest of it."""

from __future__ import annotations

import numpy as np
import pytest

from segstudio.core.catalog import IGNORE, Catalog, LabelClass
from segstudio.core.items import ImageItem
from segstudio.core.prediction import NO_OPINION, Prediction
from segstudio.core.segmentmap import SegmentMap
from segstudio.services.annotating import Annotator


def _annotator(catalog: Catalog | None = None) -> tuple[Annotator, list[str]]:
    classes = catalog or Catalog.from_names(["background", "cell", "wall"])
    edits: list[str] = []
    from pathlib import Path

    item = ImageItem(id=1, path=Path("x.png"), name="x.png", width=30, height=20)
    annotator = Annotator(
        item,
        np.zeros((20, 30, 3), np.uint8),
        SegmentMap.empty(20, 30),
        catalog=lambda: classes,
        on_edit=lambda _a, kind, edit: edits.append(f"{kind} {edit.name}"),
    )
    return annotator, edits


def _proposal(labels: np.ndarray) -> Prediction:
    return Prediction(
        labels=labels.astype(np.uint8),
        confidence=np.full(labels.shape, 128, np.uint8),
        probabilities=None,
        class_ids=(0, 1, 2),
        model_id="m",
    )


def _block(height: int = 5, width: int = 5) -> np.ndarray:
    return np.ones((height, width), dtype=bool)


def test_painting_decides_exactly_the_pixels_under_the_mask() -> None:
    annotator, edits = _annotator()
    gesture = annotator.begin("Brush")
    assert gesture.paint(_block(), 2, 3, 1) == 25
    gesture.commit()
    expected = np.zeros((20, 30), bool)
    expected[2:7, 3:8] = True
    assert (annotator.map.decided == expected).all()
    assert (annotator.map.ids[expected] == 1).all()
    assert (annotator.map.ids[~expected] == IGNORE).all()
    assert edits == ["apply Brush"]


def test_a_mask_that_hangs_over_the_edge_is_cut() -> None:
    annotator, _ = _annotator()
    gesture = annotator.begin("Brush")
    assert gesture.paint(_block(), -2, 28, 1) == 3 * 2
    assert gesture.paint(_block(), 100, 100, 1) == 0


def test_a_locked_class_is_not_painted_over_nor_erased() -> None:
    locked = Catalog.from_names(["background", "cell"]).with_class(
        LabelClass(id=2, name="wall", color=(0, 0, 0), locked=True)
    )
    annotator, _ = _annotator(locked)
    wall = annotator.begin("Wall")
    wall.paint(_block(), 0, 0, 2)
    wall.commit()
    over = annotator.begin("Brush")
    over.paint(_block(5, 10), 0, 0, 1)
    over.erase(_block(2, 2), 0, 0)
    over.commit()
    assert (annotator.map.ids[:5, :5] == 2).all()
    assert (annotator.map.ids[:5, 5:10] == 1).all()


def test_erasing_makes_pixels_undecided_again() -> None:
    annotator, _ = _annotator()
    gesture = annotator.begin("Brush")
    gesture.paint(_block(), 0, 0, 1)
    gesture.erase(_block(2, 2), 0, 0)
    gesture.commit()
    assert not annotator.map.decided[:2, :2].any()
    assert (annotator.map.ids[:2, :2] == IGNORE).all()
    assert annotator.map.decided[2, 2]


def test_ignore_can_be_painted_and_counts_as_decided() -> None:
    annotator, _ = _annotator()
    gesture = annotator.begin("Brush")
    gesture.paint(_block(), 0, 0, IGNORE)
    gesture.commit()
    assert annotator.map.decided[0, 0]
    assert annotator.map.ids[0, 0] == IGNORE


def test_an_unknown_class_is_a_programming_error() -> None:
    annotator, _ = _annotator()
    with pytest.raises(ValueError, match="class 9"):
        annotator.begin("Brush").paint(_block(), 0, 0, 9)


def test_abort_leaves_no_trace() -> None:
    annotator, edits = _annotator()
    before = annotator.map.copy()
    gesture = annotator.begin("Brush")
    gesture.paint(_block(), 0, 0, 1)
    gesture.abort()
    assert annotator.map == before
    assert edits == []
    assert not annotator.dirty


def test_undo_and_redo_are_journaled_and_grow_the_revision() -> None:
    annotator, edits = _annotator()
    gesture = annotator.begin("Brush")
    gesture.paint(_block(), 0, 0, 1)
    gesture.commit()
    annotator.undo()
    assert not annotator.map.decided.any()
    annotator.redo()
    assert annotator.map.decided[0, 0]
    assert edits == ["apply Brush", "revert Brush", "apply Brush"]
    assert annotator.revision == 3
    assert annotator.undo() is not None
    assert annotator.undo() is None


def test_accept_all_takes_undecided_pixels_only() -> None:
    annotator, _ = _annotator()
    gesture = annotator.begin("Brush")
    gesture.paint(_block(20, 10), 0, 0, 2)
    gesture.commit()
    annotator.set_prediction(_proposal(np.ones((20, 30))))
    assert annotator.accept_all() == 20 * 20
    assert (annotator.map.ids[:, :10] == 2).all()
    assert (annotator.map.ids[:, 10:] == 1).all()
    annotator.undo()
    assert annotator.map.decided.sum() == 200


def test_accept_class_leaves_the_other_classes_open() -> None:
    annotator, _ = _annotator()
    labels = np.zeros((20, 30))
    labels[:4] = 1
    annotator.set_prediction(_proposal(labels))
    assert annotator.accept_class(1) == 4 * 30
    assert annotator.map.decided.sum() == 4 * 30


def test_accept_under_the_brush_takes_only_what_is_under_it() -> None:
    annotator, _ = _annotator()
    annotator.set_prediction(_proposal(np.full((20, 30), 2)))
    gesture = annotator.begin("Accept")
    assert gesture.accept(_block(), 18, 0) == 2 * 5
    gesture.commit()
    assert (annotator.map.ids[18:, :5] == 2).all()


def _box_proposal() -> tuple[np.ndarray, np.ndarray]:
    """Labels with an opinion in one block only, and where that is."""
    inside = np.zeros((20, 30), bool)
    inside[4:9, 6:16] = True
    return np.where(inside, 1, NO_OPINION), inside


@pytest.mark.parametrize("overwrite", [False, True])
def test_pixels_without_an_opinion_are_never_accepted(overwrite: bool) -> None:
    annotator, _ = _annotator()
    labels, inside = _box_proposal()
    annotator.set_prediction(_proposal(labels))
    gesture = annotator.begin("Accept")
    assert gesture.accept(_block(20, 30), 0, 0, overwrite=overwrite) == inside.sum()
    gesture.commit()
    assert (annotator.map.decided == inside).all()
    assert annotator.accept_all() == 0


def test_completing_takes_what_a_box_proposes_and_background_around_it() -> None:
    annotator, _ = _annotator()
    labels, inside = _box_proposal()
    annotator.set_prediction(_proposal(labels))
    assert annotator.complete() == (inside.sum(), (~inside).sum())
    assert annotator.map.decided.all()
    assert (annotator.map.ids == np.where(inside, 1, 0)).all()


def test_reject_drops_the_proposal_and_keeps_the_map() -> None:
    annotator, edits = _annotator()
    annotator.set_prediction(_proposal(np.ones((20, 30))))
    annotator.reject()
    assert annotator.prediction is None
    assert edits == []


def test_completing_takes_the_proposal_else_background() -> None:
    annotator, _ = _annotator()
    gesture = annotator.begin("Brush")
    gesture.paint(_block(), 0, 0, 1)
    gesture.commit()
    assert annotator.complete() == (0, 20 * 30 - 25)
    assert (annotator.map.ids[10:] == 0).all()
    annotator.undo()
    annotator.set_prediction(_proposal(np.full((20, 30), 2)))
    assert annotator.complete() == (20 * 30 - 25, 0)


def test_completing_without_background_or_proposal_leaves_pixels_open() -> None:
    annotator, _ = _annotator(Catalog.from_names(["sky", "road"]))
    assert annotator.complete() == (0, 0)
    assert not annotator.map.decided.any()
