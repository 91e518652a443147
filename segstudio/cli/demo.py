"""`segstudio demo`: the window on a ready sample project, offline."""

from __future__ import annotations

import importlib
from typing import Annotated

import typer


def command(
    *,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start anew; the old demo is kept.")] = False,
) -> int:
    """Open the window on a ready sample project; needs no network.

    Example: segstudio demo
    """
    # By name: commands never load Qt, this one starts the window.
    window = importlib.import_module("segstudio.gui.app")
    return int(window.run(None, demo=True, fresh_demo=fresh))
