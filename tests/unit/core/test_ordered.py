"""Results in order from several threads, with few of them waiting."""

from __future__ import annotations

import threading
import time

import pytest

from segstudio.core.errors import Cancelled
from segstudio.core.ordered import in_order


def test_results_come_in_the_order_of_the_items_whatever_finishes_first() -> None:
    def work(item: int) -> int:
        time.sleep(0.02 if item == 0 else 0)
        return item * item

    told: list[int] = []
    assert list(in_order(work, range(9), threads=3, before=told.append)) == [(i, i * i) for i in range(9)]
    assert told == list(range(9))


def test_items_are_taken_as_they_are_needed() -> None:
    taken: list[int] = []

    def items() -> object:
        for item in range(100):
            taken.append(item)
            yield item

    results = in_order(lambda item: item, items(), threads=2)  # type: ignore[arg-type]
    next(results)
    assert len(taken) <= 5
    results.close()  # type: ignore[attr-defined]
    assert not [t for t in threading.enumerate() if t.name.startswith("segstudio-ordered")]


def test_an_error_arrives_at_its_items_turn_and_ends_the_work() -> None:
    done: list[int] = []

    def work(item: int) -> int:
        if item == 3:
            raise ValueError("three")
        done.append(item)
        return item

    seen = []
    with pytest.raises(ValueError, match="three"):
        for item, _ in in_order(work, range(50), threads=2):
            seen.append(item)
    assert seen == [0, 1, 2]
    assert len(done) < 12


def test_cancelling_stops_between_items() -> None:
    seen: list[int] = []
    with pytest.raises(Cancelled):
        for item, _ in in_order(lambda i: i, range(50), cancelled=lambda: len(seen) == 2):
            seen.append(item)
    assert seen == [0, 1]
