"""Other projects' readers, run in environments of their own.

Their requirements (a second Qt, OpenCV builds, an old numpy) must not meet the program's, so each group of them gets a
virtual environment on first use. A script in `scripts/` runs there, reads what the program wrote with the foreign
project's own code, and answers with JSON and arrays.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

# The oldest Python of the program; numpy 1, which panopticapi needs, is not built for the newest.
_PYTHON: Final = "3.11"

# One place for every version. Two groups where requirements allow it: an environment costs disk and seconds.
REQUIREMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    # Its own Qt. pycocotools is what labelme's conversion to COCO asks for.
    "labelme": ("labelme==6.3.1", "imgviz==2.1.0", "numpy==2.4.6", "pillow==13.0.0", "pycocotools==2.0.11"),
    # What benchmarks publish to score with. panopticapi-lite is panopticapi as a package: the project itself has none.
    "scorers": ("cityscapesscripts==2.3.0", "panopticapi-lite==0.2.0", "numpy==1.26.4", "pillow==13.0.0"),
    # Data set libraries.
    "datasets": (
        "supervision==0.31.2",
        "datumaro==1.13.12",
        "numpy==2.4.6",
        "opencv-python-headless==4.14.0.94",
        "pillow==12.3.0",
        "pycocotools==2.0.11",
    ),
}

_SCRIPTS: Final = Path(__file__).with_name("scripts")
_MAKING_S: Final = 240


class EnvironmentUnavailable(Exception):
    """An environment cannot be made here: no uv, no network, no package. Says why in one line."""


class ForeignReaderFailed(Exception):
    """A script ran and failed: its standard error."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a foreign reader found: whatever JSON can say, and arrays by name."""

    data: Any
    arrays: Mapping[str, NDArray[Any]]


class ForeignReaders:
    """Runs scripts in the environments of `REQUIREMENTS`, which live under `folder` from one run to the next."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._unavailable: dict[str, str] = {}

    def run(self, name: str, script: str, *arguments: object, timeout: float = 120) -> Reading:
        """What `scripts/<script>.py` answers, run with `arguments` in the environment `name`.

        Raises:
            EnvironmentUnavailable: the environment cannot be made.
            ForeignReaderFailed: the script failed, or was not done after `timeout` seconds.
        """
        (reading,) = self.run_each(name, script, [arguments], timeout=timeout)
        return reading

    def run_each(
        self, name: str, script: str, calls: Sequence[Sequence[object]], *, timeout: float = 120
    ) -> list[Reading]:
        """What `run` gives for the arguments of each of `calls`, by one process."""
        python = self.python(name)
        with tempfile.TemporaryDirectory(prefix="foreign-reader-") as answers:
            asked = json.dumps([list(map(str, arguments)) for arguments in calls])
            command = [str(python), str(_SCRIPTS / f"{script}.py"), answers, asked]
            try:
                completed = subprocess.run(
                    command, env=_variables(), cwd=answers, capture_output=True, text=True, timeout=timeout
                )
            except subprocess.TimeoutExpired as error:
                raise ForeignReaderFailed(f"{script} was not done after {timeout:.0f} s") from error
            if completed.returncode != 0:
                raise ForeignReaderFailed(f"{script} failed ({completed.returncode}):\n{completed.stderr}")
            return [_answer(Path(answers, str(number))) for number in range(len(calls))]

    def python(self, name: str) -> Path:
        """The Python of the environment `name`, which is made where it is not there yet.

        Raises:
            EnvironmentUnavailable: it cannot be made; asked again, the answer comes at once.
        """
        requirements = REQUIREMENTS[name]
        key = hashlib.sha256("\n".join((_PYTHON, *requirements)).encode()).hexdigest()[:12]
        home = self._folder / f"{name}-{key}"
        if not home.is_dir():
            if name not in self._unavailable:
                try:
                    _make(home, requirements)
                except EnvironmentUnavailable as error:
                    self._unavailable[name] = str(error)
            if name in self._unavailable:
                raise EnvironmentUnavailable(f"no environment for {name}: {self._unavailable[name]}")
        return home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _answer(folder: Path) -> Reading:
    data = json.loads((folder / "data.json").read_text(encoding="utf-8"))
    with np.load(folder / "arrays.npz", allow_pickle=False) as arrays:
        return Reading(data, dict(arrays))


def _make(home: Path, requirements: tuple[str, ...]) -> None:
    """Makes the environment `home` whole or not at all, also where two test runs make it at once."""
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="making-", dir=home.parent) as making:
        staging = Path(making, "environment")
        _uv("venv", "--relocatable", "--python", _PYTHON, str(staging))
        _uv("pip", "install", "--python", str(staging), *requirements)
        try:
            staging.rename(home)
        except OSError:
            if not home.is_dir():
                raise


def _uv(*arguments: str) -> None:
    program = shutil.which("uv")
    if program is None:
        raise EnvironmentUnavailable("uv is not installed")
    try:
        completed = subprocess.run(
            [program, *arguments], env=_variables(), capture_output=True, text=True, timeout=_MAKING_S
        )
    except subprocess.TimeoutExpired as error:
        raise EnvironmentUnavailable(f"uv {arguments[0]} was not done after {_MAKING_S} s") from error
    if completed.returncode != 0:
        raise EnvironmentUnavailable(" ".join(completed.stderr.split())[-300:])


def _variables() -> dict[str, str]:
    """The environment variables of a foreign process: nothing that leads it to the program's own packages."""
    ours = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "PYTHONWARNINGS")
    inherited = {key: value for key, value in os.environ.items() if key not in ours}
    return inherited | {"QT_QPA_PLATFORM": "offscreen", "MPLBACKEND": "Agg", "PYTHONUTF8": "1"}
