"""Small labelled pictures, and the way there and back, for tests of formats."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from PIL import Image

from segstudio.core.catalog import IGNORE, Catalog, Kind, LabelClass
from segstudio.core.segmentmap import Segment, SegmentMap
from segstudio.formats.base import ImportedLabel, LabelledImage, LoadRequest, load_for_image
from segstudio.formats.classes import ClassTable, SourceClass
from segstudio.formats.registry import format_named

CATALOG = Catalog(
    [
        LabelClass(id=0, name="background", color=(96, 96, 96), kind=Kind.STUFF),
        LabelClass(id=1, name="cell", color=(10, 200, 30)),
        LabelClass(id=2, name="sky", color=(1, 2, 250), kind=Kind.STUFF),
        LabelClass(id=7, name='a "quoted" name é', color=(250, 2, 3)),
    ]
)


def picture(height: int = 40, width: int = 60) -> npt.NDArray[np.uint8]:
    """(H, W, 3) noise, the same every time."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def labelled_image(
    folder: Path, name: str, labels: SegmentMap, *, split: str = "train", reviewed: bool = True, **save: Any
) -> LabelledImage:
    """An image file below `folder` with its labels, ready for an export."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(*labels.shape)).save(path, **save)
    return LabelledImage(
        name=name,
        path=path,
        load=labels.copy,
        width=labels.width,
        height=labels.height,
        split=split,
        reviewed=reviewed,
    )


def table(classes: Sequence[SourceClass], catalog: Catalog = CATALOG, **options: Any) -> ClassTable:
    """The way from a source's classes to a catalog."""
    return ClassTable(classes, catalog, **options)


def load(
    label: ImportedLabel,
    classes: Sequence[SourceClass],
    shape: tuple[int, int],
    *,
    catalog: Catalog = CATALOG,
    **options: Any,
) -> SegmentMap:
    """A label as an import loads it; pixels no shape covers become background where the catalog has one."""
    unlabelled = IGNORE if catalog.background_id is None else catalog.background_id
    request = LoadRequest(table(classes, catalog, **options), shape[1], shape[0], unlabelled)
    return load_for_image(label, label.name, request)


def read_back(
    name: str, out: Path, shapes: dict[str, tuple[int, int]], *, catalog: Catalog = CATALOG, source: Path | None = None
) -> dict[str, SegmentMap]:
    """The labels an import of `out` finds, by the name it gives them; `shapes` (H, W) by the same names."""
    found = format_named(name).importer.read(source or out)
    try:
        return {label.name: load(label, found.classes, shapes[label.name], catalog=catalog) for label in found.labels}
    finally:
        found.close()


@st.composite
def segment_maps(draw: st.DrawFn, *, instances: bool = True, crowds: bool = True, largest: int = 24) -> SegmentMap:
    """Small maps of blocks: plain classes, instances (touching, with holes, in parts), ignore; all pixels decided."""
    height, width = draw(st.integers(2, largest)), draw(st.integers(2, largest))
    ids = np.zeros((height, width), dtype=np.uint16)
    segments: dict[int, Segment] = {}
    values = [0, 1, 2, 7, IGNORE]
    if instances:
        for segment_id in draw(st.lists(st.integers(256, 300), max_size=4, unique=True)):
            crowd = crowds and draw(st.booleans())
            segments[segment_id] = Segment(segment_id, draw(st.sampled_from([1, 7])), crowd)
        values += list(segments)
    for _ in range(draw(st.integers(0, 8))):
        top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        bottom, right = draw(st.integers(top + 1, height)), draw(st.integers(left + 1, width))
        ids[top:bottom, left:right] = draw(st.sampled_from(values))
    labels = SegmentMap(ids, np.ones(ids.shape, dtype=np.bool_), segments)
    return SegmentMap(ids, labels.decided, labels.used_segments())
