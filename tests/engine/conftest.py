from __future__ import annotations

import multiprocessing
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from segstudio.engine.host import ProcessEngine
from segstudio.engine.protocol import FINAL_EVENTS, PredictSpec
from segstudio.engine.shm import NAME_PREFIX

TEST_WORKER = "engine_test_workers:main"


class Heard:
    """A listener that remembers, and waits for what it should hear."""

    def __init__(self):
        self.events = []
        self._condition = threading.Condition()

    def __call__(self, event):
        with self._condition:
            self.events.append(event)
            self._condition.notify_all()

    def wait_for(self, kind, timeout=60):
        with self._condition:
            assert self._condition.wait_for(lambda: self.of(kind), timeout), f"no {kind} among {self.events}"
            return self.of(kind)[-1]

    def wait_for_count(self, kind, count, timeout=60):
        with self._condition:
            assert self._condition.wait_for(lambda: len(self.of(kind)) >= count, timeout), self.events

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    def end(self, timeout=60):
        return self.wait_for(FINAL_EVENTS, timeout)


def wait_until(condition, timeout=30):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.01)


def shared_names():
    """Shared memory of this process or of one that is gone; other programs at work have their own."""
    folder = Path("/dev/shm")
    names = [path.name for path in folder.glob(NAME_PREFIX + "*")] if folder.is_dir() else []
    owners = {name: int(name.removeprefix(NAME_PREFIX).split("_")[0]) for name in names}
    return {name for name, pid in owners.items() if pid == os.getpid() or not Path(f"/proc/{pid}").exists()}


def predict_spec(action="echo", classes=3):
    return PredictSpec(action, tuple(range(classes)), tuple(f"c{k}" for k in range(classes)))


def picture(height=20, width=30, value=0):
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.arange(width, dtype=np.uint8)
    image[..., 1] = value
    return image


@pytest.fixture
def heard():
    return Heard


@pytest.fixture
def nothing_leaks():
    """Fails the test if it leaves a thread, a process or shared memory behind."""
    before = shared_names()
    threads = set(threading.enumerate())
    yield
    wait_until(lambda: not multiprocessing.active_children(), 10)
    assert {thread for thread in threading.enumerate() if thread.name.startswith("segstudio")} <= threads
    assert shared_names() <= before


@pytest.fixture
def make_engine(monkeypatch, nothing_leaks):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    made = []

    def make(**entry_points):
        kinds = {"engine": TEST_WORKER, "refine": TEST_WORKER, "trainer": TEST_WORKER, **entry_points}
        made.append(ProcessEngine(kinds))
        return made[-1]

    yield make
    for engine in made:
        engine.close()


@pytest.fixture
def engine(make_engine):
    return make_engine()


@pytest.fixture
def deaths(engine):
    sentences = []
    engine.on_death.connect(sentences.append)
    return sentences


@pytest.fixture
def tools():
    """The helpers above, for test modules (which cannot import a conftest)."""
    return Tools


class Tools:
    Heard = Heard
    wait_until = staticmethod(wait_until)
    shared_names = staticmethod(shared_names)
    spec = staticmethod(predict_spec)
    picture = staticmethod(picture)
