"""Processes that are killed in the middle of their work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from segstudio.core.jobs import ErrorKind
from segstudio.engine.protocol import Failed, Finished, Progressed, RefineSpec, Trained, TrainSpec
from segstudio.refine.params import CrfParams

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")


def start_work(engine, kind, heard, tools, folder):
    if kind == "engine":
        engine.predict(tools.spec("wait"), tools.picture(), heard)
        heard.wait_for(Progressed)
    elif kind == "refine":
        halves = np.full((2, 20, 30), 0.5, np.float16)
        engine.refine(RefineSpec(CrfParams(), (0, 1), "wait"), tools.picture(), halves, heard)
        heard.wait_for(Progressed)
    else:
        engine.train(TrainSpec(str(folder)), heard)
        heard.wait_for(Trained)


def finish_work(engine, kind, heard, tools, folder):
    if kind == "engine":
        engine.predict(tools.spec(), tools.picture(), heard)
    elif kind == "refine":
        halves = np.full((2, 20, 30), 0.5, np.float16)
        engine.refine(RefineSpec(CrfParams(), (0, 1), "echo"), tools.picture(), halves, heard)
    else:
        engine.train(TrainSpec(str(folder / "five-steps")), heard)
    return heard.end()


SENTENCES = {
    "engine": "The engine stopped unexpectedly (killed by the system, often for lack of memory); "
    "it has been restarted.",
    "refine": "The refinement process stopped unexpectedly (killed by the system, often for lack of memory); "
    "it has been restarted.",
    "trainer": "The trainer stopped unexpectedly (killed by the system, often for lack of memory); "
    "start the training again to go on, no label is lost.",
}


@pytest.mark.parametrize("kind", ["engine", "refine", "trainer"])
def test_a_killed_worker_is_a_sentence_and_the_next_job_works(engine, deaths, tools, kind, tmp_path):
    heard = tools.Heard()
    start_work(engine, kind, heard, tools, tmp_path)
    killed = engine.process_ids()[kind]
    os.kill(killed, signal.SIGKILL)
    report = heard.end(10).report
    assert report.kind is ErrorKind.DIED
    assert report.message == SENTENCES[kind]
    assert deaths == [SENTENCES[kind]]
    assert isinstance(finish_work(engine, kind, tools.Heard(), tools, tmp_path), Finished)
    assert engine.process_ids().get(kind) != killed
    assert deaths == [SENTENCES[kind]]


def test_a_restart_happens_without_a_further_request(engine, deaths, tools):
    heard = tools.Heard()
    start_work(engine, "engine", heard, tools, None)
    killed = engine.process_ids()["engine"]
    os.kill(killed, signal.SIGKILL)
    heard.end(10)
    tools.wait_until(lambda: engine.process_ids().get("engine", killed) != killed)


def test_jobs_that_waited_for_a_killed_worker_are_done_by_the_next(engine, deaths, tools):
    running, waiting = tools.Heard(), tools.Heard()
    engine.predict(tools.spec("wait"), tools.picture(), running, interactive=False)
    running.wait_for(Progressed)
    engine.predict(tools.spec(), tools.picture(value=8), waiting, interactive=False)
    os.kill(engine.process_ids()["engine"], signal.SIGKILL)
    assert isinstance(running.end(10), Failed)
    assert (waiting.end(30).result.confidence == 8).all()


def test_a_worker_killed_while_idle_is_told_and_replaced_at_the_next_request(engine, deaths, tools):
    first = tools.Heard()
    engine.predict(tools.spec(), tools.picture(), first)
    first.end()
    os.kill(engine.process_ids()["engine"], signal.SIGKILL)
    tools.wait_until(lambda: deaths)
    assert deaths[0].endswith("the next request starts it again.")
    second = tools.Heard()
    engine.predict(tools.spec(), tools.picture(), second)
    assert isinstance(second.end(), Finished)


def test_a_worker_that_leaves_by_itself_names_its_exit_code(engine, deaths, tools):
    heard = tools.Heard()
    engine.predict(tools.spec("die"), tools.picture(), heard)
    assert "it ended with code 7" in heard.end().report.message


def test_a_crash_in_native_code_names_its_signal(engine, deaths, tools):
    heard = tools.Heard()
    start_work(engine, "engine", heard, tools, None)
    os.kill(engine.process_ids()["engine"], signal.SIGSEGV)
    assert "SIGSEGV" in heard.end(10).report.message


def test_a_stopped_process_does_not_hold_up_closing(engine, tools):
    heard = tools.Heard()
    start_work(engine, "engine", heard, tools, None)
    os.kill(engine.process_ids()["engine"], signal.SIGSTOP)
    engine.close()
    assert not tools.shared_names()


PARENT = """
import os, signal, sys, threading
sys.path.insert(0, {folder!r})
import numpy as np
from segstudio.engine.host import ProcessEngine
from segstudio.engine.protocol import PredictSpec, Progressed, RefineSpec, Trained, TrainSpec
from segstudio.refine.params import CrfParams
engine = ProcessEngine(dict.fromkeys(("engine", "refine", "trainer"), "engine_test_workers:main"))
image, halves = np.zeros((8, 8, 3), np.uint8), np.full((2, 8, 8), 0.5, np.float16)
begun = [threading.Event() for _ in range(3)]
def when(index):
    return lambda event: begun[index].set() if isinstance(event, (Progressed, Trained)) else None
engine.predict(PredictSpec("wait", (0, 1), ("a", "b")), image, when(0), interactive=False)
engine.refine(RefineSpec(CrfParams(), (0, 1), {backend!r}), image, halves, when(1), interactive=False)
engine.train(TrainSpec("run"), when(2))
assert all(event.wait(60) for event in begun)
print(*engine.process_ids().values(), flush=True)
{ending}
"""


def run_parent(tmp_path, ending, backend="wait", *, as_script=True):
    code = textwrap.dedent(PARENT).format(folder=str(Path(__file__).parent), ending=ending, backend=backend)
    script = tmp_path / "unguarded script.py"
    script.write_text(code, encoding="utf-8")
    command = [sys.executable, str(script)] if as_script else [sys.executable, "-"]
    return subprocess.run(command, input=None if as_script else code, capture_output=True, text=True, timeout=100)


def is_running(pid):
    try:
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


@pytest.mark.parametrize("backend", ["wait", "stubborn"])
def test_workers_end_and_shared_memory_is_freed_when_the_parent_is_killed(tmp_path, tools, backend):
    done = run_parent(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)", backend)
    workers = [int(pid) for pid in done.stdout.split()]
    assert done.returncode == -signal.SIGKILL
    assert len(workers) == 3
    tools.wait_until(lambda: not any(is_running(pid) for pid in workers), 10)
    tools.wait_until(lambda: not tools.shared_names(), 10)


@pytest.mark.parametrize("as_script", [True, False])
def test_a_script_without_a_guard_or_a_file_can_use_the_engine_and_forget_to_close_it(tmp_path, tools, as_script):
    done = run_parent(tmp_path, "sys.exit(5)", as_script=as_script)
    workers = [int(pid) for pid in done.stdout.split()]
    assert (done.returncode, done.stderr) == (5, "")
    assert len(workers) == 3
    tools.wait_until(lambda: not any(is_running(pid) for pid in workers), 10)
    assert not tools.shared_names()


def test_ctrl_c_in_the_terminal_leaves_the_workers_to_the_parent(engine, deaths, tools):
    heard = tools.Heard()
    engine.predict(tools.spec(), tools.picture(), heard)
    heard.end()
    os.kill(engine.process_ids()["engine"], signal.SIGINT)
    again = tools.Heard()
    engine.predict(tools.spec(), tools.picture(), again)
    assert isinstance(again.end(), Finished)
    assert deaths == []
