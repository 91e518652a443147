"""Whatever a person does, undo and redo lead through exactly the states that were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from segstudio.core.catalog import Catalog
from segstudio.core.edits import Edit
from segstudio.core.items import ImageItem
from segstudio.core.prediction import Prediction
from segstudio.core.segmentmap import SegmentMap
from segstudio.services.annotating import Annotator, EditKind

_HEIGHT, _WIDTH = 300, 270  # more than one tile each way
_CATALOG = Catalog.from_names(["background", "a", "b"])

_ACTIONS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["paint", "erase", "accept", "abort"]),
            st.integers(-20, _HEIGHT),
            st.integers(-20, _WIDTH),
            st.integers(1, 90),
            st.sampled_from([0, 1, 2, 255]),
        ),
        st.sampled_from([("undo",), ("redo",), ("accept_all",)]),
    ),
    max_size=14,
)


class _Recorder:
    """Plays actions on an annotator and keeps every state, as a person would remember them."""

    def __init__(self) -> None:
        self.journal: list[tuple[EditKind, bytes]] = []
        item = ImageItem(id=1, path=Path("x.png"), name="x.png")
        self.annotator = Annotator(
            item,
            np.zeros((_HEIGHT, _WIDTH, 3), np.uint8),
            SegmentMap.empty(_HEIGHT, _WIDTH),
            catalog=lambda: _CATALOG,
            on_edit=lambda _a, kind, edit: self.journal.append((kind, edit.to_bytes())),
        )
        labels = np.arange(_HEIGHT * _WIDTH, dtype=np.uint32).reshape(_HEIGHT, _WIDTH) // 1000 % 3
        self.annotator.set_prediction(
            Prediction(
                labels=labels.astype(np.uint8),
                confidence=np.full(labels.shape, 99, np.uint8),
                probabilities=None,
                class_ids=(0, 1, 2),
                model_id="m",
            )
        )
        self.states = [self.annotator.map.copy()]
        self.place = 0

    def play(self, action: tuple[object, ...]) -> None:
        match action:
            case ("undo",):
                moved = self.annotator.undo()
                assert (moved is None) == (self.place == 0)
                self.place -= moved is not None
            case ("redo",):
                moved = self.annotator.redo()
                assert (moved is None) == (self.place == len(self.states) - 1)
                self.place += moved is not None
            case ("accept_all",):
                self.annotator.accept_all()
                self._note()
            case (str(kind), int(top), int(left), int(size), int(class_id)):
                self._gesture(kind, top, left, size, class_id)
        assert self.annotator.map == self.states[self.place]

    def _gesture(self, kind: str, top: int, left: int, size: int, class_id: int) -> None:
        gesture = self.annotator.begin(kind)
        mask = np.ones((size, size), dtype=bool)
        if kind == "erase":
            gesture.erase(mask, top, left)
        elif kind == "accept":
            gesture.accept(mask, top, left)
        else:
            gesture.paint(mask, top, left, class_id)
        if kind == "abort":
            gesture.abort()
        else:
            gesture.commit()
        self._note()

    def _note(self) -> None:
        if self.annotator.map != self.states[self.place]:
            self.states[self.place + 1 :] = [self.annotator.map.copy()]
            self.place += 1


@settings(max_examples=40, deadline=None)
@given(_ACTIONS)
def test_undo_and_redo_lead_through_the_states_that_were(actions: list[tuple[object, ...]]) -> None:
    recorder = _Recorder()
    for action in actions:
        recorder.play(action)


@settings(max_examples=25, deadline=None)
@given(_ACTIONS)
def test_replaying_the_journal_gives_the_map(actions: list[tuple[object, ...]]) -> None:
    recorder = _Recorder()
    for action in actions:
        recorder.play(action)
    again = SegmentMap.empty(_HEIGHT, _WIDTH)
    for kind, payload in recorder.journal:
        edit = Edit.from_bytes(payload)
        edit.apply(again) if kind == "apply" else edit.revert(again)
    assert again == recorder.annotator.map
