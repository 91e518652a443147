"""A person's preferences, kept as one small JSON file written atomically."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any, Final, TypeVar

from segstudio.core.paths import user_config_dir

T = TypeVar("T")
_RECENT_LIMIT: Final = 12


class Settings:
    """Preferences by name; unknown names give the caller's default, a broken file counts as empty."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or user_config_dir() / "settings.json"
        self._values = _read(self._path)

    @property
    def path(self) -> Path:
        return self._path

    def get(self, key: str, default: T) -> T:
        """The stored value where it has the default's type (or the default is None), else the default."""
        value = self._values.get(key, default)
        if default is not None and not isinstance(value, type(default)):
            return default
        return value  # type: ignore[no-any-return]

    def set(self, key: str, value: Any) -> None:
        """Stores a JSON value and writes the file."""
        if self._values.get(key) == value and key in self._values:
            return
        self._values[key] = value
        self._write()

    def recent_projects(self) -> list[Path]:
        """Projects opened lately that still exist, newest first."""
        stored: list[Any] = self.get("recent_projects", [])
        return [Path(p) for p in stored if isinstance(p, str) and Path(p).is_dir()]

    def add_recent(self, path: Path) -> None:
        """Puts a project at the head of the recent list."""
        text = str(path.resolve())
        rest = [str(p) for p in self.recent_projects() if str(p) != text]
        self.set("recent_projects", [text, *rest][:_RECENT_LIMIT])

    def _write(self) -> None:
        # A full disk must never keep a project from opening or a window from saving and closing.
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._path.parent, prefix="settings-", suffix=".tmp")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as stream:
                    json.dump(self._values, stream, indent=1, ensure_ascii=False)
                Path(name).replace(self._path)
            except OSError:
                Path(name).unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        # Preferences are a convenience: a missing or damaged file must never keep the window from opening.
        return {}
    return values if isinstance(values, dict) else {}
