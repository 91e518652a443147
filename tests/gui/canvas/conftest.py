"""Annotators of any size for the canvas."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segstudio.core.catalog import Catalog
from segstudio.core.items import ImageItem, Split, Status
from segstudio.core.segmentmap import SegmentMap
from segstudio.services.annotating import Annotator

MakeAnnotator = Callable[[int, int], Annotator]


class CatalogBox:
    """The classes of a project, exchangeable as they are there."""

    def __init__(self) -> None:
        self.value = Catalog.from_names(["background", "road", "car", "sky"])


@pytest.fixture
def catalog_box() -> CatalogBox:
    return CatalogBox()


@pytest.fixture
def make_annotator(catalog_box: CatalogBox) -> MakeAnnotator:
    def make(height: int, width: int) -> Annotator:
        item = ImageItem(
            id=1, path=Path("/pictures/a.png"), name="a.png", width=width, height=height, status=Status.NEW,
            split=Split.TRAIN, revision=0, problem=None, decided=0.0,
        )  # fmt: skip
        rgb = np.full((height, width, 3), 128, dtype=np.uint8)
        return Annotator(
            item,
            rgb,
            SegmentMap.empty(height, width),
            catalog=lambda: catalog_box.value,
            on_edit=lambda *_: None,
        )

    return make
