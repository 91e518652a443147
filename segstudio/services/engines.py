"""The engine as the window sees it: started here, so that the window needs to know nothing below services."""

from __future__ import annotations

from segstudio.engine.base import Engine, EngineStatus
from segstudio.engine.host import ProcessEngine

__all__ = ["Engine", "EngineStatus", "start_engine"]


def start_engine() -> Engine:
    """An engine whose worker processes start when there is work; close it at the end."""
    return ProcessEngine()
