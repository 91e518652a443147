"""The runner of other projects' readers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from . import foreign
from .foreign import EnvironmentUnavailable, ForeignReaderFailed, ForeignReaders


def test_without_uv_an_environment_is_said_to_be_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(EnvironmentUnavailable, match="labelme: uv is not installed"):
        ForeignReaders(tmp_path).python("labelme")


def test_an_environment_that_cannot_be_made_is_tried_once_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def refuse(*arguments: str) -> None:
        tried.append(arguments)
        raise EnvironmentUnavailable("no network")

    monkeypatch.setattr(foreign, "_uv", refuse)
    readers = ForeignReaders(tmp_path)
    for _ in range(2):
        with pytest.raises(EnvironmentUnavailable, match="no network"):
            readers.python("labelme")
    assert len(tried) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_failing_script_fails_with_its_own_words(run_foreign, tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    with pytest.raises(ForeignReaderFailed, match="LabelFileReadError"):
        run_foreign("labelme", "labelme_read", tmp_path, "{}")
