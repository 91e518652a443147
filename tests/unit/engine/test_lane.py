from __future__ import annotations

import pytest

from segstudio.engine.lane import Lane, Task


class Ask:
    """A type of request."""


class Other:
    """Another type of request."""


def task(number, kind=Ask, *, interactive=True):
    return Task(number, kind(), lambda event: None, interactive=interactive)


@pytest.fixture
def lane():
    return Lane("engine")


def test_batch_tasks_run_in_the_order_they_came(lane):
    tasks = [task(n, interactive=False) for n in range(3)]
    assert [lane.add(one) for one in tasks] == [(), (), ()]
    taken = []
    while (one := lane.take()) is not None:
        taken.append(one)
        lane.running = None
    assert taken == tasks


def test_nothing_is_taken_while_one_runs(lane):
    lane.add(task(1, interactive=False))
    lane.add(task(2, interactive=False))
    assert lane.take().id == 1
    assert lane.take() is None


def test_an_interactive_task_overtakes_the_running_and_the_waiting_one(lane):
    first, second, third = task(1), task(2), task(3)
    lane.add(first)
    lane.take()
    assert lane.add(second) == (first,)
    assert lane.add(third) == (first, second)
    assert lane.running is first
    assert list(lane.waiting) == [third]


def test_tasks_of_another_type_or_not_interactive_are_not_overtaken(lane):
    lane.add(task(1, Other))
    lane.add(task(2, interactive=False))
    assert lane.add(task(3)) == ()
    assert len(lane.waiting) == 3


def test_interactive_tasks_go_first(lane):
    lane.add(task(1, interactive=False))
    lane.add(task(2))
    assert lane.take().id == 2


def test_a_task_put_back_is_the_next(lane):
    lane.add(task(1, interactive=False))
    lane.add(task(2, interactive=False))
    taken = lane.take()
    lane.put_back(taken)
    assert lane.running is None
    assert lane.take() is taken


def test_tasks_are_found_by_number_running_or_waiting(lane):
    lane.add(task(1, interactive=False))
    lane.add(task(2, interactive=False))
    lane.take()
    assert (lane.find(1).id, lane.find(2).id, lane.find(3)) == (1, 2, None)


def test_an_answered_task_waits_for_nobody(lane):
    one = task(1)
    lane.add(one)
    assert lane.has_interactive
    one.answered = True
    assert not lane.has_interactive
