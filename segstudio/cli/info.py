"""`segstudio info`: versions, devices, folders and CRF engines."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Annotated, Any

import typer

import segstudio
from segstudio.cli.console import engine, out, write_json
from segstudio.core.paths import models_dir, projects_dir, user_config_dir
from segstudio.engine.protocol import DevicesSpec
from segstudio.services.blocking import wait_for
from segstudio.services.refining import RefiningService

_LIBRARIES = ("torch", "torchvision", "PySide6-Essentials", "numpy", "opencv-python-headless", "scikit-image")


def command(*, json: Annotated[bool, typer.Option("--json", help="Figures as JSON.")] = False) -> int:
    """Say what this installation has: versions, devices, folders, CRF engines.

    Example: segstudio info
    """
    with engine() as running:
        devices: Any = wait_for(lambda listener: running.ask(DevicesSpec(), listener))
    data: dict[str, Any] = {
        "segstudio": segstudio.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "libraries": {name: version(name) for name in _LIBRARIES},
        "devices": [{"id": d.id, "name": d.name, "memory": d.memory_total} for d in devices],
        "crf": {name: reason or "ready" for name, reason in RefiningService.backends().items()},
        "folders": {"projects": str(projects_dir()), "settings": str(user_config_dir()), "models": str(models_dir())},
    }
    if json:
        write_json(data, None)
        return 0
    out.print(f"SegStudio {data['segstudio']}, Python {data['python']}, {data['system']}", markup=False)
    for title in ("libraries", "crf", "folders"):
        table: dict[str, str] = data[title]
        for key, value in table.items():
            out.print(f"  {title:<10} {key:<24} {value}", markup=False)
    for device in devices:
        size = f"{device.memory_total / 2**30:.1f} GiB" if device.memory_total else ""
        out.print(f"  {'device':<10} {device.id:<24} {device.name} {size}", markup=False)
    return 0
