"""The engine for programs without an event loop: ask, wait, get the result or the error."""

from __future__ import annotations

import queue
from collections.abc import Callable

from segstudio.core.errors import Cancelled
from segstudio.core.jobs import Progress
from segstudio.engine.base import JobHandle, Listener
from segstudio.engine.protocol import EngineEvent, Failed, Finished, Progressed, Result, WasCancelled


def wait_for(start: Callable[[Listener], JobHandle], on_progress: Callable[[Progress], None] | None = None) -> Result:
    """What the job finished with.

    An interrupt (Ctrl+C) cancels the job and is raised again once it has ended.

    Raises:
        SegStudioError: The job failed.
        Cancelled: It was cancelled.
    """
    events: queue.SimpleQueue[EngineEvent] = queue.SimpleQueue()
    handle = start(events.put)
    interrupted: KeyboardInterrupt | None = None
    while True:
        try:
            event = events.get()
        except KeyboardInterrupt as error:
            interrupted = error
            handle.cancel()
            continue
        match event:
            case Progressed(progress=progress) if on_progress is not None:
                on_progress(progress)
            case Finished(result=result):
                if interrupted is not None:
                    raise interrupted
                return result
            case Failed(report=report):
                raise report.to_exception()
            case WasCancelled():
                raise interrupted or Cancelled
