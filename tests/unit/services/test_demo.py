"""The sample project: real images, some labelled, without a network."""

from __future__ import annotations

import pytest

from segstudio.core.items import Split, Status
from segstudio.core.paths import projects_dir
from segstudio.core.segmentmap import SegmentMap
from segstudio.imaging.decode import probe
from segstudio.project.project import Project
from segstudio.services.demo import open_demo


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any attempt to reach a network fails the test."""
    import socket

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("the demo reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.usefixtures("offline")
def test_the_demo_is_a_project_with_labelled_and_open_images() -> None:
    with open_demo() as project:
        items = project.images()
        reviewed = [i for i in items if i.status is Status.REVIEWED]
        assert len(items) >= 6
        assert 2 <= len(reviewed) < len(items)
        for item in reviewed:
            info = probe(item.path)
            segment_map = project.load_map(item.id)
            assert segment_map is not None
            assert segment_map.shape == (info.height, info.width)
            assert set(segment_map.class_counts()) - {255} == set(project.catalog.ids)
        first = project.image(project.setting("current_image"))
        assert first.status is Status.NEW
        assert project.setting("is_demo") == 1


def test_the_demo_can_be_trained_and_validated_from_the_start() -> None:
    with open_demo() as project:
        splits = {i.split for i in project.images() if i.status is Status.REVIEWED}
        assert splits == {Split.TRAIN, Split.VALIDATION}


def test_the_demo_opens_as_it_was_left_and_fresh_beside_it() -> None:
    with open_demo() as project:
        path, image = project.path, project.images()[-1]
        info = probe(image.path)
        project.save_map(image.id, SegmentMap.empty(info.height, info.width), status=Status.REVIEWED)
    with open_demo() as again:
        assert again.path == path
        assert again.image(image.id).status is Status.REVIEWED
    with open_demo(fresh=True) as fresh:
        assert fresh.path != path
        assert fresh.images()[-1].status is Status.NEW
    assert path.parent == projects_dir()


def test_a_demo_that_is_open_elsewhere_is_refused_with_a_sentence() -> None:
    from segstudio.core.errors import ProjectLocked

    with open_demo() as project, pytest.raises(ProjectLocked, match="already open"):
        open_demo()
    assert Project.open(project.path).close() is None  # type: ignore[func-returns-value]
