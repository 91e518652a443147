"""Where SegStudio's own files and the person's files live.

`SEGSTUDIO_HOME` moves everything a person's SegStudio writes of its own (settings, cache, projects of opened
folders) under one folder; tests and portable installations use it.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

_APP = "SegStudio"
_PACKAGE = Path(__file__).resolve().parent.parent


def _data(name: str) -> Path:
    installed = _PACKAGE / "_data" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


def resources_dir() -> Path:
    """Icons, themes, shortcuts, palettes and the demo's description: in the wheel or the source tree."""
    return _data("resources")


def models_dir() -> Path:
    """Cards and weights we ship: in the wheel or the source tree."""
    return _data("models")


def _home() -> Path | None:
    value = os.environ.get("SEGSTUDIO_HOME")
    return Path(value) if value else None


def user_config_dir() -> Path:
    """Where settings live; may not exist yet."""
    home = _home()
    return home / "config" if home else Path(platformdirs.user_config_dir(_APP, appauthor=False))


def user_data_dir() -> Path:
    """Where cards and weights a person adds live; may not exist yet."""
    home = _home()
    return home / "data" if home else Path(platformdirs.user_data_dir(_APP, appauthor=False))


def user_cache_dir() -> Path:
    """Where deletable files live; may not exist yet."""
    home = _home()
    return home / "cache" if home else Path(platformdirs.user_cache_dir(_APP, appauthor=False))


def projects_dir() -> Path:
    """Where the projects of opened folders go, so that nobody's image folder is written to unasked."""
    home = _home()
    return home / "projects" if home else Path(platformdirs.user_documents_dir()) / _APP
