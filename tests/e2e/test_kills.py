"""Whatever process dies, the person loses no stroke and reads one sentence."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from segstudio.project.project import Project

pytestmark = pytest.mark.slow
_SCREENS = pytest.mark.parametrize("environment", ["offscreen", "xcb"], indirect=True)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Pictures with structure, large enough that the CRF takes a while."""
    folder = tmp_path / "Bilder"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(3):
        picture = cv2.GaussianBlur(rng.integers(0, 255, (700, 900, 3), np.uint8), (0, 0), 9)
        cv2.imwrite(str(folder / f"bild {index + 1}.png"), cv2.normalize(picture, None, 0, 255, cv2.NORM_MINMAX))
    return folder


@pytest.mark.timeout(300)
@pytest.mark.parametrize("environment", ["offscreen"], indirect=True)
def test_a_killed_worker_is_one_sentence_and_a_restart(
    drive: Callable[..., subprocess.CompletedProcess[str]], images: Path, tmp_path: Path
) -> None:
    result = drive("kills.py", str(images), str(tmp_path / "facts.json"), timeout=280)
    assert result.returncode == 0, result.stdout + result.stderr
    facts = json.loads((tmp_path / "facts.json").read_text(encoding="utf-8"))
    assert facts["stroke_kept"]
    assert set(facts["sentences"]) >= {"engine", "trainer"}
    for kind, sentences in facts["sentences"].items():
        assert len(sentences) == 1, (kind, sentences)
        assert "stopped unexpectedly" in sentences[0], (kind, sentences)
    assert facts["states"] == ["failed", "done"]


@pytest.mark.timeout(120)
@_SCREENS
def test_every_finished_stroke_is_there_after_the_window_was_killed(
    drive: Callable[..., subprocess.CompletedProcess[str]], images: Path, tmp_path: Path
) -> None:
    expected = tmp_path / "expected.npz"
    result = drive("killed_window.py", str(images), str(expected), timeout=100)
    assert result.returncode == -signal.SIGKILL, result.stdout + result.stderr
    with np.load(expected, allow_pickle=False) as facts, Project.open(Path(str(facts["project"]))) as project:
        found = project.load_map(project.images()[0].id)
        assert found is not None
        assert (found.decided == facts["decided"]).all()
        assert (found.ids == facts["ids"]).all()
        assert found.decided.any()
