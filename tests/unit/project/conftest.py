"""A small project to work on, and gestures to draw in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from segstudio.core.catalog import Catalog
from segstudio.core.edits import Edit, EditBuilder
from segstudio.core.geometry import Rect
from segstudio.core.segmentmap import SegmentMap
from segstudio.project.project import Project

Paint = Callable[[SegmentMap, Rect, int], Edit]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of four images of 40 x 30 pixels, one of them in a sub-folder."""
    place = tmp_path / "images"
    for name in ("image 10.png", "image 2.png", "Ünï–文字.png", "sub/a.png"):
        file = place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        done, data = cv2.imencode(".png", np.full((30, 40, 3), 90, np.uint8))
        assert done
        file.write_bytes(data.tobytes())
    return place


@pytest.fixture
def project(tmp_path: Path, folder: Path) -> Iterator[Project]:
    with Project.create(tmp_path / "work", images=folder, catalog=Catalog.from_names(["background", "cat"])) as made:
        yield made


@pytest.fixture
def paint() -> Paint:
    """Fills a rectangle as one gesture and gives back its edit."""

    def fill(target: SegmentMap, rect: Rect, class_id: int) -> Edit:
        builder = EditBuilder(target, "Brush")
        builder.touch(rect)
        target.ids[rect.slices] = class_id
        target.decided[rect.slices] = True
        edit = builder.commit()
        assert edit is not None
        return edit

    return fill
