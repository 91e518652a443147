"""Whatever a segment map holds, the store gives back."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segstudio.core.catalog import Catalog
from segstudio.core.edits import EditBuilder
from segstudio.core.geometry import Rect
from segstudio.core.segmentmap import Segment, SegmentMap
from segstudio.project.journal import pack_edit
from segstudio.project.masks import decode_map, encode_map
from segstudio.project.project import Project


@st.composite
def segment_maps(draw: st.DrawFn, height: int | None = None, width: int | None = None) -> SegmentMap:
    """Maps with plain classes, ignore, instances used and unused, and any decisions."""
    h = height or draw(st.integers(1, 40))
    w = width or draw(st.integers(1, 40))
    segments = {
        i: Segment(i, draw(st.integers(0, 254)), draw(st.booleans()))
        for i in draw(st.lists(st.integers(256, 65535), unique=True, max_size=6))
    }
    values = np.array([0, 1, 254, 255, *segments], dtype=np.uint16)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    decided = rng.random((h, w)) < draw(st.sampled_from((0.0, 0.3, 1.0)))
    return SegmentMap(rng.choice(values, (h, w)), decided, segments)


@given(segment_maps())
def test_encoding_and_decoding_gives_back_every_pixel_and_segment(segment_map: SegmentMap) -> None:
    encoded = encode_map(segment_map)
    decoded = decode_map(encoded.ids, encoded.decided, encoded.segments, name="x")
    assert decoded == segment_map
    assert decoded.segments == segment_map.segments
    assert (encoded.height, encoded.width) == segment_map.shape


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        with Project.create(home / "p", catalog=Catalog.from_names(["a"])) as made:
            made.add_images([home / "image.png"])
            yield made


@settings(max_examples=60)
@given(
    start=segment_maps(height=20, width=30),
    actions=st.lists(
        st.tuples(st.sampled_from(("paint", "undo", "redo", "save")), st.integers(0, 19), st.integers(0, 29)),
        max_size=12,
    ),
)
def test_any_mix_of_strokes_undo_redo_and_saves_is_restored(
    project: Project, start: SegmentMap, actions: list[tuple[str, int, int]]
) -> None:
    image = project.images()[0].id
    project.save_map(image, start)
    live, done, undone = start.copy(), [], []
    for action, row, column in actions:
        revision = project.revision(image)
        if action == "paint":
            rect = Rect(row, column, 7, 9).clipped(20, 30)
            builder = EditBuilder(live, "Brush")
            builder.touch(rect)
            live.ids[rect.slices], live.decided[rect.slices] = (row * 30 + column) % 255, True
            edit = builder.commit()
            if edit is not None:
                project.journal(image, pack_edit(edit))
                done.append(edit)
                undone.clear()
        elif action == "undo" and done:
            undone.append(done.pop())
            undone[-1].revert(live)
            project.journal(image, pack_edit(undone[-1], undo=True))
        elif action == "redo" and undone:
            done.append(undone.pop())
            done[-1].apply(live)
            project.journal(image, pack_edit(done[-1]))
        elif action == "save":
            project.save_map(image, live, revision=revision)
        assert project.load_map(image) == live
