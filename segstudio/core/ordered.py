"""Work on several threads whose results come back in order, a few at a time."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Final, TypeVar

from segstudio.core.errors import Cancelled

T = TypeVar("T")
R = TypeVar("R")

THREADS: Final = min(4, os.cpu_count() or 1)
_AHEAD: Final = 2  # items a thread may be ahead of the one asked for: enough to keep it busy, and memory stays flat


def in_order(
    work: Callable[[T], R],
    items: Iterable[T],
    *,
    threads: int = THREADS,
    before: Callable[[T], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[tuple[T, R]]:
    """Each item with what `work` makes of it, in the order of `items`; only a few results wait at a time.

    Args:
        work: Called on one of several threads.
        items: Taken one by one, as threads become free.
        threads: How many.
        before: Called on the caller's thread before an item's result is waited for.
        cancelled: Asked between items.

    Raises:
        Cancelled: `cancelled` said so.
        Exception: Whatever `work` raises, at its item's turn; the items after it are dropped.
    """
    upcoming = iter(items)
    waiting: deque[tuple[T, Future[R]]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="segstudio-ordered")
    try:
        for item in islice(upcoming, threads * _AHEAD):
            waiting.append((item, pool.submit(work, item)))
        while waiting:
            if cancelled is not None and cancelled():
                raise Cancelled
            item, future = waiting.popleft()
            if before is not None:
                before(item)
            result = future.result()
            for following in islice(upcoming, 1):
                waiting.append((following, pool.submit(work, following)))
            yield item, result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
