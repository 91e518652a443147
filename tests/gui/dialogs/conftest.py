"""A real workspace on small real files, for the roads that go all the way to the disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pytestqt.qtbot import QtBot

from segstudio.core.catalog import Catalog
from segstudio.core.items import Status
from segstudio.core.segmentmap import Segment, SegmentMap
from segstudio.core.settings import Settings
from segstudio.engine.inline import InlineEngine
from segstudio.gui.bridge import Dispatcher
from segstudio.services.opening import new_project
from segstudio.services.workspace import Workspace

_SHAPE = (40, 60)


@pytest.fixture
def real(qtbot: QtBot, tmp_path: Path) -> Iterator[Workspace]:
    """Four images of 60 x 40, the first two reviewed: an instance with a hole on background."""
    folder = tmp_path / "images"
    folder.mkdir()
    random = np.random.default_rng(5)
    for number in range(1, 5):
        Image.fromarray(random.integers(0, 255, (*_SHAPE, 3), dtype=np.uint8)).save(folder / f"image{number}.png")
    project = new_project(tmp_path / "p", images=folder, catalog=Catalog.from_names(["background", "cell"]))
    ids = np.zeros(_SHAPE, np.uint16)
    ids[5:30, 5:40] = 256
    ids[12:20, 12:20] = 0
    for item in project.images()[:2]:
        made = SegmentMap(ids.copy(), np.ones(_SHAPE, np.bool_), {256: Segment(256, 1)})
        project.set_image_info(item.id, width=_SHAPE[1], height=_SHAPE[0])
        project.save_map(item.id, made, action="test", status=Status.REVIEWED)
    dispatcher = Dispatcher()
    workspace = Workspace(project, InlineEngine(), dispatcher, Settings(tmp_path / "settings.json"))
    failures: list[BaseException] = []
    workspace.bugs.connect(failures.append)
    yield workspace
    workspace.close()
    dispatcher.close()
    assert not failures
